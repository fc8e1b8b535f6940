"""Between the engine's plain values and the package's objects."""

from __future__ import annotations

from enum import Enum

from ._tool import Enforcement, ToolResult, ToolStatus, Usage
from .errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STATUS = {status.value: status for status in ToolStatus}
_INTEGERS = range(-(1 << 63), 1 << 64)


def result_from(answer: dict[str, Any]) -> ToolResult:
    """The result that the engine answered with: of a Python tool the very object that it returned."""
    returned = answer.get("object")
    if isinstance(returned, ToolResult):
        return returned
    usage, enforced = answer.get("usage"), answer.get("enforced")
    return ToolResult(
        _STATUS[answer["status"]],
        answer["output"],
        answer["error"],
        answer["metadata"],
        cause=answer.get("cause"),
        usage=Usage(**usage) if usage is not None else None,
        enforced={name: Enforcement(**control) for name, control in enforced.items()} if enforced is not None else None,
    )


def result_to(result: ToolResult) -> dict[str, Any]:
    """A result as the engine reads it."""
    usage, enforced = result.usage, result.enforced
    return {
        **result.to_dict(),
        "cause": result.cause,
        "usage": {name: getattr(usage, name) for name in usage.__match_args__} if usage is not None else None,
        "enforced": (
            {name: {"state": control.state, "reason": control.reason} for name, control in enforced.items()}
            if enforced is not None
            else None
        ),
    }


def check_json(value: Any, place: str) -> None:
    """Refuses what JSON cannot hold, naming the place (`parameters.properties.path: ...`).

    Raises:
        InvalidTypeError: a type without a JSON form, or a key that is no string.
        InvalidValueError: NaN, infinity, an integer beyond 64 bits, a lone surrogate, or a value that holds itself.
    """
    _check_json(value, place, ())


def _check_json(value: Any, place: str, around: tuple[int, ...]) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, Enum):
        _check_json(value.value, place, around)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidValueError(f"{place}: text with a lone surrogate is not Unicode") from None
    elif isinstance(value, int):
        if value not in _INTEGERS:
            raise InvalidValueError(f"{place}: the integer does not fit 64 bits")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidValueError(f"{place}: {value} has no JSON form")
    elif isinstance(value, (dict, list, tuple)):
        if id(value) in around:
            raise InvalidValueError(f"{place}: the value holds itself")
        around = (*around, id(value))
        if not isinstance(value, dict):
            for index, item in enumerate(value):
                _check_json(item, f"{place}[{index}]", around)
            return
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidTypeError(f"{place}: the key {key!r} is {type(key).__name__}, not str")
            _check_json(item, f"{place}.{key}", around)
    else:
        raise InvalidTypeError(f"{place}: a value of type {type(value).__name__} has no JSON form")
