"""What a function's docstring tells of it: its first paragraph, and what it says of each parameter.

Understood are the three common forms: Google (`Args:`), NumPy (`Parameters` underlined) and reST (`:param name:`).
"""

from __future__ import annotations

_SECTIONS = (
    "args:",
    "arguments:",
    "parameters:",
    "params:",
    "keyword args:",
    "keyword arguments:",
    "other parameters:",
)
_FIELDS = (":param ", ":parameter ", ":arg ", ":argument ", ":key ", ":keyword ")


def read(docstring: str) -> tuple[str, dict[str, str]]:
    """The first paragraph in one line, and the description of each parameter that has one."""
    lines = _dedented(docstring)
    described: dict[str, str] = {}
    for index, line in enumerate(lines):
        below = lines[index + 1] if index + 1 < len(lines) else ""
        if line.startswith(_FIELDS):
            _field(lines, index, described)
        elif line.lower() in _SECTIONS:
            _google(lines[index + 1 :], described)
        elif line.lower() in ("parameters", "other parameters") and _is_rule(below):
            _numpy(lines[index + 2 :], described)
    return _first_paragraph(lines), described


def _dedented(docstring: str) -> list[str]:
    import inspect

    return [line.rstrip() for line in inspect.cleandoc(docstring).splitlines()]


def _is_rule(line: str) -> bool:
    return len(line) >= 3 and not line.strip("-")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _first_paragraph(lines: list[str]) -> str:
    paragraph: list[str] = []
    for index, line in enumerate(lines):
        below = lines[index + 1] if index + 1 < len(lines) else ""
        if not line or line.startswith(":") or line.lower() in _SECTIONS or _is_rule(below):
            break
        paragraph.append(line.strip())
    return " ".join(paragraph)


def _field(lines: list[str], index: int, described: dict[str, str]) -> None:
    """`:param name: text`, also with a type before the name, and lines that are indented below."""
    head, _, text = lines[index][1:].partition(":")
    said = [text.strip()]
    for line in lines[index + 1 :]:
        if not line or _indent(line) == 0:
            break
        said.append(line.strip())
    _keep(head.split()[-1], said, described)


def _google(lines: list[str], described: dict[str, str]) -> None:
    """`name (type): text`, one to each entry of the section, and lines that are indented further."""
    depth = 0
    name, said = "", list[str]()
    for line in lines:
        if not line:
            continue
        if _indent(line) == 0:
            break
        depth = depth or _indent(line)
        head, colon, text = line.partition(":")
        if _indent(line) == depth and colon:
            _keep(name, said, described)
            name, said = head.split("(")[0].strip(), [text.strip()]
        else:
            said.append(line.strip())
    _keep(name, said, described)


def _numpy(lines: list[str], described: dict[str, str]) -> None:
    """`name : type` (several names with commas), its text indented below."""
    names, said = "", list[str]()
    for index, line in enumerate(lines):
        below = lines[index + 1] if index + 1 < len(lines) else ""
        if not line:
            continue
        if _indent(line) > 0:
            said.append(line.strip())
            continue
        if _is_rule(below):
            break
        _keep(names, said, described)
        names, said = line.partition(":")[0], []
    _keep(names, said, described)


def _keep(names: str, said: list[str], described: dict[str, str]) -> None:
    text = " ".join(word for word in said if word)
    for name in names.split(","):
        name = name.strip().lstrip("*")
        if name and text:
            described.setdefault(name, text)
