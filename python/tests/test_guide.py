"""The examples of `docs/guides/python.md` run and print what the guide says.

Each section (`##`) is one program in a process and a folder of its own. In it,

- a block under a line such as "`plan.yaml`:" is that file (`~/...`: in the home folder),
- a `python` block runs, with the names of those before it; `await` may stand in it, as in a notebook. What it prints is
  the `text` block right after it, else the comments beside its `print`s,
- a `console` block is commands with their output: of `python` and `pytest`, or of the `agentic` of this build.

Three dots stand for anything.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "python.md"


class Block(NamedTuple):
    """A fenced block: where it begins, what stands right above it, its language, its text, the output after it."""

    line: int
    above: str
    language: str
    text: str
    after: str | None

    @property
    def file(self) -> str | None:
        """The file that it is, if any."""
        named = re.fullmatch(r"`([^`]+)`:", self.above)
        return named and named[1]

    def expected(self) -> str:
        """What it is to print."""
        if self.after is not None:
            return self.after
        said = [line.partition("  # ")[2] for line in self.text.splitlines() if line.lstrip().startswith("print(")]
        return "".join(f"{line}\n" for line in said)


def sections() -> dict[str, list[Block]]:
    """The blocks of each section, by its title."""
    found: dict[str, list[Block]] = {}
    lines = GUIDE.read_text(encoding="utf-8").splitlines()
    title, above, number = "", "", 0
    while number < len(lines):
        line = lines[number]
        if line.startswith("## "):
            title = line[3:]
        if not line.startswith("```"):
            above = line or above
            number += 1
            continue
        end = lines.index("```", number + 1)
        text = "".join(f"{inner}\n" for inner in lines[number + 1 : end])
        blocks = found.setdefault(title, [])
        if line[3:] == "text" and blocks and not above:
            blocks[-1] = blocks[-1]._replace(after=text)
        else:
            blocks.append(Block(number + 2, above, line[3:], text, None))
        above, number = "", end + 1
    return found


def run_section(title: str) -> list[str]:
    """Runs a section in the current folder and answers what each block printed; for the process of its own."""
    import __main__

    outputs = []
    for block in sections()[title]:
        if block.file is not None:
            path = Path(block.file).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            outputs.append("")
        elif block.language == "console":
            outputs.append("".join(shown for command in commands(block) for shown in (f"$ {command}\n", ran(command))))
        else:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                run_python(block, vars(__main__))
            outputs.append(printed.getvalue())
    return outputs


def run_python(block: Block, names: dict[str, Any]) -> None:
    # The lines of a traceback are those of the guide.
    source = "\n" * (block.line - 1) + block.text
    code = compile(source, str(GUIDE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)


def commands(block: Block) -> list[str]:
    return [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]


def ran(command: str) -> str:
    program, *arguments = shlex.split(command, comments=True)
    start = {"python": [sys.executable], "pytest": [sys.executable, "-m", "pytest"], "agentic": [str(agentic())]}[
        program
    ]
    # Under CI pytest says more than on a terminal.
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    return subprocess.run(
        [*start, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout


def agentic() -> Path:
    """The command line of this build, where there is one."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "debug", "agentic")


if __name__ == "__main__":
    json.dump(run_section(sys.argv[1]), sys.stdout)
    sys.exit()

import pytest  # noqa: E402  (the process of a section needs none)

from test_install_package import NAME, wheel  # noqa: E402


@pytest.fixture
def find_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with one package is what pip is configured for."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / f"{NAME}-1.0-py3-none-any.whl").write_bytes(wheel())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


@pytest.mark.parametrize("title", sections())
def test_the_examples_of_a_section_print_what_it_says(
    title: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, find_links: None
) -> None:
    blocks = sections()[title]
    if any(command.startswith("agentic ") for block in blocks for command in commands(block)) and not os.access(
        agentic(), os.X_OK
    ):
        pytest.skip(f"{agentic()} is not built")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AGENTIC_STATE", str(tmp_path / "state"))
    run = subprocess.run([sys.executable, __file__, title], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    outputs = json.loads(run.stdout)
    assert len(outputs) == len(blocks)
    wrong = [
        f"{GUIDE.name}:{block.line}: expected\n{wanted}\ngot\n{printed}"
        for block, printed in zip(blocks, outputs)
        for wanted in [block.text if block.language == "console" else "" if block.file else block.expected()]
        if not doctest.OutputChecker().check_output(wanted, printed, doctest.ELLIPSIS)
    ]
    assert not wrong, "\n\n".join(wrong)


def test_no_example_goes_without_a_check() -> None:
    unchecked = []
    for block in (block for blocks in sections().values() for block in blocks):
        if block.file is None and block.language == "python":
            # A `print` is the proof; one without a comment needs the whole output.
            prints = [line for line in block.text.splitlines() if line.lstrip().startswith("print(")]
            checked = block.after is not None or (prints and all("  # " in line for line in prints))
        else:
            checked = block.file is not None or block.language == "console"
        if not checked:
            unchecked.append(f"{GUIDE.name}:{block.line} ({block.language})")
    assert unchecked == []


def test_comments_are_where_the_reader_of_blocks_looks_for_them() -> None:
    """A `print` with a comment of one space would silently be taken for one without."""
    for block in (block for blocks in sections().values() for block in blocks if block.language == "python"):
        for token in comments(block.text):
            code = token.line[: token.start[1]]
            assert not code.strip() or code.endswith("  "), f"{GUIDE.name}:{block.line + token.start[0] - 1}"


def comments(source: str) -> Iterator[tokenize.TokenInfo]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return (token for token in tokens if token.type == tokenize.COMMENT)


def test_a_wrong_output_would_be_seen() -> None:
    check = doctest.OutputChecker().check_output
    block = Block(1, "", "python", "print(6 * 7)  # 42\n", None)
    assert check(block.expected(), "42\n", doctest.ELLIPSIS)
    assert not check(block.expected(), "43\n", doctest.ELLIPSIS)
