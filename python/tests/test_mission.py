"""Programs that the documents show, run as printed: those of examples/mission and those of the README.

Each runs in a process of its own, in a copy of examples/mission that is a git repository. What it prints is held to its
own comments; what it does besides is looked at afterwards.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
MISSION = ROOT / "examples/mission"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# What the methods returned, in the order of the calls: a program may forget what it got.
BEFORE = """
import functools, json
import agentic_executor.executor, agentic_executor.tools
returned = []
def kept(method):
    @functools.wraps(method)
    def call(*args, **kwargs):
        result = method(*args, **kwargs)
        returned.append(result)
        return result
    return call
executor_type, registry_type = agentic_executor.executor.AgenticExecutor, agentic_executor.tools.ToolRegistry
for owner, name in [
    (executor_type, "execute"), (executor_type, "execute_code"), (executor_type, "edit_file"),
    (executor_type, "run_tests"), (registry_type, "execute"),
]:
    setattr(owner, name, kept(getattr(owner, name)))
"""
MARK = "=== what it leaves ==="
AFTER = """
print({mark!r})
print(json.dumps({probe}))
"""


class Ran(NamedTuple):
    """A program that has run."""

    printed: str
    left: Any


def blocks(document: Path) -> dict[str, str]:
    """The Python programs of a document, by the heading above them and, from the second under it on, a number."""
    text, found = document.read_text(), {}
    for match in BLOCK.finditer(text):
        headings = re.findall(r"^##+ (.+)$", text[: match.start()], re.MULTILINE)
        name, number = headings[-1] if headings else document.stem, 2
        while name in found:
            name, number = f"{headings[-1]} {number}", number + 1
        found[name] = match[1]
    return found


def said(program: str) -> list[str]:
    """What its comments say that it prints: those behind a `print` and those on the lines that follow it."""
    lines, wanted, last = program.splitlines(), [], -1
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            before = lines[row - 1][:column].strip()
            follows = not before and (row - 1 == last or lines[row - 2].lstrip().startswith("print("))
            if before.startswith("print(") or follows:
                wanted.append(token.string[1:].removeprefix(" "))
                last = row
    return wanted


def assert_says(printed: str, wanted: list[str]) -> None:
    """Holds what was printed to comments: each in its turn, `...` standing for anything."""
    pattern = ".*?".join(re.escape(line).replace(r"\.\.\.\ ", ".*?").replace(r"\ \.\.\.", ".*?") for line in wanted)
    assert re.search(pattern, printed, re.DOTALL), f"the comments say\n{wanted}\nand it printed\n{printed}"


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    """A copy of examples/mission as a git repository with one commit."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    copy = tmp_path / "mission"
    shutil.copytree(MISSION, copy, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    identity = {f"GIT_{who}_{what}": "shop@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "The shop"]):
        subprocess.run([git, *arguments], cwd=copy, env=environment, check=True)
    return copy


def run(program: str, folder: Path, probe: str = "None") -> Ran:
    """Runs the program as it is, between what keeps results and what looks at them; fails unless it exits with 0."""
    # The environment of these tests, activated: the programs run `pytest`.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + program + AFTER.format(mark=MARK, probe=probe)],
        cwd=folder,
        env={**os.environ, "PATH": path, "VIRTUAL_ENV": sys.prefix},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    printed, _, left = done.stdout.rpartition(MARK)
    return Ran(printed, json.loads(left))


def numbered(path: Path) -> list[tuple[int, str]]:
    return list(enumerate(path.read_text().splitlines(), 1))


PROGRAMS = blocks(MISSION / "snippets.md")
README = blocks(ROOT / "README.md")
RESULTS = "[result.to_dict() for result in returned]"


def test_every_program_has_a_test() -> None:
    assert list(PROGRAMS) == [
        "Run a task",
        "Run code, edit a file, run the tests",
        "Call tools, export their schemas",
        "Plan a task",
        "Run code in a sandbox",
        "Recover from a failure",
    ]


def test_a_task_is_run(mission: Path) -> None:
    ran = run(PROGRAMS["Run a task"], mission, RESULTS)
    assert "Status: SUCCESS" in ran.printed
    assert "Read config and run tests" in ran.printed
    [result] = ran.left
    outputs = [step["result"]["output"] for step in result["steps"]]
    assert "DEBUG = False" in outputs[0]
    assert "2 passed" in outputs[-1]


def test_code_is_run_a_file_edited_and_the_tests_are_green(mission: Path) -> None:
    ran = run(PROGRAMS["Run code, edit a file, run the tests"], mission, RESULTS)
    code, edit, tests = ran.left
    assert code["success"], code
    assert code["steps"][0]["result"]["output"] == "55\n"
    assert edit["success"], edit
    original = (MISSION / "config.py").read_text()
    assert (mission / "config.py").read_text() == original.replace("DEBUG = False", "DEBUG = True") != original
    assert tests["success"], tests
    (suite,) = tests["steps"][0]["result"]["metadata"]["tests"]["suites"]
    output = suite["output"]
    assert "test_customers_are_greeted_by_name PASSED" in output
    assert "2 passed" in output


def test_tools_are_called_and_have_schemas(mission: Path) -> None:
    program = PROGRAMS["Call tools, export their schemas"]
    ran = run(program, mission, f"[{RESULTS}, schemas]")
    (read, status, search), schemas = ran.left
    assert [result["status"] for result in (read, status, search)] == ["success"] * 3
    assert read["output"] == (MISSION / "README.md").read_text()
    assert "On branch main" in status["output"]
    assert "nothing to commit, working tree clean" in status["output"]
    found = sorted(re.findall(r"^(?:.*/)?(\w+\.py):(\d+): ", search["output"], re.MULTILINE))
    lines = [(path.name, row, line) for path in MISSION.rglob("*.py") for row, line in numbered(path)]
    assert found == sorted((name, str(row)) for name, row, line in lines if "TODO" in line) != []
    assert [schema["name"] for schema in schemas] == ["file_read", "file_write", "shell", "search"]
    assert all(schema["parameters"]["type"] == "object" for schema in schemas)


def test_a_plan_is_told(mission: Path) -> None:
    program = PROGRAMS["Plan a task"]
    ran = run(program, mission)
    assert ran.printed == "\n".join(said(program)) + "\n"
    assert ran.printed.startswith("Task: refactor rename function\nSteps:\n  1. [pending] search - Find occurrences\n")


def test_the_sandbox_computes(mission: Path) -> None:
    program = PROGRAMS["Run code in a sandbox"]
    ran = run(program, mission, "result.status.value")
    assert_says(ran.printed, said(program))
    assert ran.printed == "Pi = 3.1415926536\n  0! = 1\n  1! = 1\n  2! = 2\n  3! = 6\n  4! = 24\n\n"
    assert ran.left == "completed"


def test_a_missing_file_is_searched_for(mission: Path) -> None:
    ran = run(PROGRAMS["Recover from a failure"], mission, "[recovery.tool, recovery.params, recovery.status.value]")
    tool, parameters, status = ran.left
    assert tool == "search"
    assert parameters["file_pattern"] == "config.yaml"
    assert status == "pending"


def test_the_readme_has_programs() -> None:
    assert README, "README.md shows no Python program"


@pytest.mark.parametrize("name", README)
def test_a_program_of_the_readme(name: str, mission: Path) -> None:
    wanted = said(README[name])
    ran = run(README[name], mission, "len(returned)")
    assert_says(ran.printed, wanted)
    assert wanted or ran.left, "the program neither says what it prints nor calls anything"


def test_comments_are_held_to_what_is_printed() -> None:
    program = 'x = "# no"  # set\nprint(x)  # ... no\nprint(f(1))\n# a\n# b\n\n# not this\n'
    assert said(program) == ["... no", "a", "b"]
    assert_says("# no\na\nb\n", said(program))
    with pytest.raises(AssertionError):
        assert_says("# no\nb\na\n", said(program))
