"""What arguments are checked with: each function answers with the value, or raises an error that names the argument."""

from __future__ import annotations

from enum import Enum

from .errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def text(value: Any, name: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name}: must be a str, not {type_name(value)}")
    return value


def flag(value: Any, name: str) -> bool:
    """A bool."""
    if not isinstance(value, bool):
        raise InvalidTypeError(f"{name}: must be a bool, not {type_name(value)}")
    return value


def count(value: Any, name: str, least: int = 0, most: int = 2**32 - 1) -> int:
    """A whole number in a range; `True` is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTypeError(f"{name}: must be an int, not {type_name(value)}")
    if not least <= value <= most:
        raise InvalidValueError(f"{name}: must be from {least} to {most}, not {value}")
    return value


def number(value: Any, name: str, least: float, most: float) -> float:
    """A number in a range; NaN is in none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name}: must be a number, not {type_name(value)}")
    if not least <= value <= most:
        raise InvalidValueError(f"{name}: must be from {least} to {most}, not {value}")
    return float(value)


def seconds(value: Any, name: str, most: int) -> float:
    """A time above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name}: must be a number of seconds, not {type_name(value)}")
    if not 0.001 <= value <= most:
        raise InvalidValueError(f"{name}: must be from 0.001 to {most} seconds, not {value}")
    return float(value)


def mapping(value: Any, name: str) -> dict[str, Any]:
    """A dict, or another mapping as one."""
    if isinstance(value, dict):
        return value
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        return {key: value[key] for key in value.keys()}
    raise InvalidTypeError(f"{name}: must be a dict, not {type_name(value)}")


def texts(value: Any, name: str) -> list[str]:
    """A list of strings; a string is not taken for the list of its letters."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise InvalidTypeError(f"{name}: must be a list of str, not {type_name(value)}")
    return [text(item, f"{name}[{index}]") for index, item in enumerate(value)]


def word(value: Any, name: str, known: tuple[str, ...]) -> str:
    """One of the known words; a member of an enum counts as its value."""
    plain = value.value if isinstance(value, Enum) else value
    listed = ", ".join(repr(one) for one in known)
    if not isinstance(plain, str):
        raise InvalidTypeError(f"{name}: must be one of {listed}, not {type_name(value)}")
    if plain not in known:
        raise InvalidValueError(f"{name}: must be one of {listed}, not {plain!r}")
    return plain


def type_name(value: Any) -> str:
    """What messages call a value's type."""
    return "None" if value is None else type(value).__name__
