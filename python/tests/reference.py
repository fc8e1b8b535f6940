"""Writes `docs/reference/python.md` from the package's signatures and docstrings.

Nothing here depends on the interpreter's version: annotations are the text in the source, docstrings are cleaned, and
defaults are shown as they are written.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import agentic_executor

MODULES = [
    "agentic_executor",
    *(f"agentic_executor.{name}" for name in "executor planner tools sandbox events testing errors".split()),
]
SELF = ("self", "cls")
WIDEST = 100

HEAD = """\
# Python package

Made from the package itself by `python/tests/reference.py`; do not edit by hand. The
[guide](../guides/python.md) has the same by example.

In signatures, `Path` and `StrPath` are a `str` or an `os.PathLike[str]`; `Planner` is whatever has a
`plan(task, context)`; `Answer` is a `bool`, a `str` or a `dict`, as `prompt` of `AgenticExecutor` describes. What
stands after `*` is given by keyword. Plans, steps, results and configurations are mutable, equal by their fields, and
can be pickled and copied. Reports of tests are the same, but cannot be changed.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in MODULES:
        parts.extend(_module(name))
    return "\n".join(parts)


def _module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield f"## {name}\n"
    yield _prose(inspect.cleandoc(module.__doc__ or ""))
    if name == MODULES[0]:
        yield from _exports(module)
        return
    for exported in sorted(module.__all__):
        value = getattr(module, exported)
        yield from _class(value) if inspect.isclass(value) else _callable(value, exported, "###")


def _exports(module: Any) -> Iterator[str]:
    """The top level has every name at hand; each is described where it is from."""
    yield "| name | from |\n|---|---|"
    for name in sorted(module.__all__):
        value = getattr(module, name)
        home = getattr(value, "__module__", None)
        yield f"| [`{name}`](#{name.lower()}) | `{home}` |" if home else f"| `{name}` | the version, a `str` |"
    yield ""


def _class(kind: type) -> Iterator[str]:
    yield f"### {kind.__name__}\n"
    bases = [base.__name__ for base in _public_bases(kind)]
    head = f"class {kind.__name__}({', '.join(bases)})" if bases else f"class {kind.__name__}"
    fields: dict[str, str] = {}
    init = vars(kind).get("__init__")
    if init is not None and not issubclass(kind, Enum):
        signature = inspect.signature(init)
        fields = {name: _annotation(of) for name, of in signature.parameters.items()}
        yield _fenced(
            _wrapped(kind.__name__, signature, with_answer=False) + (f"   # {', '.join(bases)}" if bases else "")
        )
    else:
        yield _fenced(head)
    yield _prose(inspect.cleandoc(kind.__doc__ or ""), fields)
    described = _described(kind)
    if issubclass(kind, Enum):
        yield "| member | value | |\n|---|---|---|"
        yield from (f"| `{member.name}` | `{member.value}` | {described.get(member.name, '')} |" for member in kind)
        yield ""
        return
    for name, text in described.items():
        yield f"#### {kind.__name__}.{name}\n"
        yield _prose(text)
    inherited = {member for base in _public_bases(kind) for member in dir(base)}
    for name, member in vars(kind).items():
        if not name.startswith("_") and (name not in inherited or kind in _public_bases(kind)):
            yield from _member(kind, name, member)


def _public_bases(kind: type) -> list[type]:
    """What it is derived from, as far as a program may name it."""
    found = []
    for base in kind.__mro__[1:]:
        home = importlib.import_module(base.__module__)
        builtin = base.__module__ == "builtins" and base is not object
        if builtin or (base.__module__ in MODULES and base.__name__ in home.__all__) or base is Enum:
            found.append(base)
    return [base for base in found if not any(base is not other and issubclass(other, base) for other in found)]


def _described(kind: type) -> dict[str, str]:
    """The attributes of a class body that a text stands under."""
    body = _class_bodies()[kind.__name__]
    found = {}
    for statement, after in zip(body, body[1:]):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[target.id] = inspect.cleandoc(str(after.value.value))
    return found


@functools.cache
def _class_bodies() -> dict[str, list[ast.stmt]]:
    """Every class of the package as it is written. `inspect` would look for it in the module that the class names."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in Path(agentic_executor.__path__[0]).glob("*.py")]
    return {node.name: node.body for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _member(kind: type, name: str, member: Any) -> Iterator[str]:
    title = f"{kind.__name__}.{name}"
    if isinstance(member, property):
        yield f"#### {title}\n"
        answer = inspect.signature(member.fget).return_annotation  # type: ignore[arg-type]
        can_be_set = "" if member.fset is None else "; can be set"
        yield _fenced(f"{name}: {answer}   # property{can_be_set}")
        yield _prose(inspect.cleandoc(member.__doc__ or ""))
    elif isinstance(member, (classmethod, staticmethod)):
        yield from _callable(member.__func__, title, "####")
    elif inspect.isfunction(member):
        yield from _callable(member, title, "####")


def _callable(function: Any, title: str, heading: str) -> Iterator[str]:
    yield f"{heading} {title}\n"
    signature = inspect.signature(function)
    keyword = "async " if inspect.iscoroutinefunction(function) else ""
    yield _fenced(keyword + _wrapped(title, signature))
    yield _prose(
        inspect.cleandoc(function.__doc__ or ""), {name: _annotation(of) for name, of in signature.parameters.items()}
    )


def _annotation(of: inspect.Parameter) -> str:
    return "" if of.annotation is of.empty else str(of.annotation)


def _wrapped(title: str, signature: inspect.Signature, with_answer: bool = True) -> str:
    """The signature on one line, or with a line for each argument."""
    shown: list[str] = []
    starred = False
    previous = None
    for name, of in signature.parameters.items():
        if previous is not None and previous.kind is of.POSITIONAL_ONLY and of.kind is not of.POSITIONAL_ONLY:
            shown.append("/")
        previous = of
        if not (of.name in SELF and not shown):
            starred = starred or of.kind is of.VAR_POSITIONAL
            if of.kind is of.KEYWORD_ONLY and not starred:
                starred = True
                shown.append("*")
            shown.append(_argument(name, of))
    shown = shown[1:] if shown[:1] == ["/"] else shown
    answer = ""
    if with_answer and signature.return_annotation is not signature.empty:
        answer = f" -> {signature.return_annotation}"
    line = f"{title}({', '.join(shown)}){answer}"
    if len(line) <= WIDEST:
        return line
    return "\n".join([f"{title}(", *(f"    {argument}," for argument in shown), f"){answer}"])


def _argument(name: str, of: inspect.Parameter) -> str:
    stars = "*" if of.kind is of.VAR_POSITIONAL else "**" if of.kind is of.VAR_KEYWORD else ""
    text = f"{stars}{name}: {_annotation(of)}" if _annotation(of) else f"{stars}{name}"
    if of.default is of.empty:
        return text
    default = f"{type(of.default).__name__}.{of.default.name}" if isinstance(of.default, Enum) else repr(of.default)
    return f"{text} = {default}"


def _fenced(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}\n```\n"


def _prose(docstring: str, types: dict[str, str] | None = None) -> str:
    """A docstring in Markdown: its sections as tables, its examples fenced."""
    parts: list[str] = []
    for block in re.split(r"\n[ ]*\n", docstring):
        first, _, rest = block.partition("\n")
        if first in ("Args:", "Attributes:"):
            parts.append(_fields(textwrap.dedent(rest), types or {}))
        elif first == "Raises:":
            parts.append(_raises(textwrap.dedent(rest)))
        elif block.startswith(">>> "):
            parts.append(_fenced(block, "pycon"))
        elif block.startswith("    "):
            parts.append(_fenced(textwrap.dedent(block)))
        else:
            parts.append(block + "\n")
    return "\n".join(parts)


def _entries(text: str) -> list[str]:
    """Each entry of a section as one line."""
    return [" ".join(entry.split()) for entry in re.split(r"\n(?=\S)", text)]


def _fields(text: str, types: dict[str, str]) -> str:
    rows = ["| name | type | |", "|---|---|---|"]
    for entry in _entries(text):
        name, _, meaning = entry.partition(": ")
        kind = types.get(name.lstrip("*"), "").replace("|", r"\|")
        rows.append(f"| `{name}` | {f'`{kind}`' if kind else ''} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def _raises(text: str) -> str:
    lines = ["Raises:\n"]
    for entry in _entries(text):
        kinds, colon, why = entry.partition(": ")
        named = colon and re.fullmatch(r"\w+(, \w+)*", kinds)
        lines.append(f"- {', '.join(f'`{kind}`' for kind in kinds.split(', '))}: {why}" if named else f"- {entry}")
    return "\n".join(lines) + "\n"
