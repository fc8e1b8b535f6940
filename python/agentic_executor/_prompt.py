"""Asking before a step: the question on the terminal, and what an answer means to the engine."""

from __future__ import annotations

import sys

from ._checks import type_name
from .errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .planner import PlanStep

_WORDS = {
    "y": "yes",
    "yes": "yes",
    "n": "no",
    "no": "no",
    "a": "all",
    "all": "all",
    "q": "abort",
    "quit": "abort",
    "abort": "abort",
}


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:  # closed
        return False


def ask(step: PlanStep) -> str | dict[str, Any]:
    """Asks on the terminal until there is an answer; the end of input means quit."""
    import json

    shown = _printable(json.dumps(step.params, ensure_ascii=False, default=repr))
    question = f"Run {_printable(step.id)} {_printable(step.tool)} {shown}? [y]es [n]o [e]dit [a]ll [q]uit "
    while True:
        try:
            line = input(question).strip()
        except EOFError:
            return "quit"
        if line.lower() in _WORDS:
            return line
        if line.lower() not in ("e", "edit"):
            print(f"`{_printable(line)}` is not one of y, n, e, a, q")
            continue
        params = _edited(shown)
        if params is not None:
            return params


def answer_dict(answer: object) -> dict[str, Any]:
    """What the engine is told of an answer.

    Raises:
        InvalidTypeError, InvalidValueError: it is no answer.
    """
    if isinstance(answer, bool):
        return {"answer": "yes" if answer else "no"}
    if isinstance(answer, dict):
        return {"answer": "edit", "params": answer}
    if not isinstance(answer, str):
        raise InvalidTypeError(f"prompt: must answer with a bool, a str or a dict, not {type_name(answer)}")
    word = _WORDS.get(answer.strip().lower())
    if word is None:
        raise InvalidValueError(f"prompt: must answer 'yes', 'no', 'all' or 'quit', not {answer!r}")
    return {"answer": word}


def _edited(shown: str) -> dict[str, Any] | None:
    """Other parameters; None to ask again."""
    import json

    print(f"now: {shown}")
    while True:
        try:
            line = input("new (JSON, empty to keep): ").strip()
        except EOFError:
            return None
        if not line:
            return None
        try:
            params = json.loads(line)
        except ValueError as error:
            print(f"not JSON: {error}")
            continue
        if isinstance(params, dict):
            return params
        print("the parameters are a JSON object")


def _printable(text: str) -> str:
    """A terminal obeys control characters; what a plan says is only to be read."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
