"""`Record`: the base of the package's data classes.

Takes the place of `dataclasses`, whose import alone costs more than the whole package may. A record class writes its
`__init__` out, and names its positional fields in `__match_args__` and its keyword-only ones in `_keyword_fields`:

    class Point(Record):
        __match_args__ = ("x", "y")
        _keyword_fields = ("label",)

        def __init__(self, x: int, y: int, *, label: str | None = None) -> None:
            ...

Both are compared and shown. An attribute in neither (a measurement, say) is only carried along by pickle and copy.
"""

from __future__ import annotations

from enum import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

_LONGEST_STRING = 80
_MOST_ITEMS = 8
_DEEPEST = 5


class Record:
    """Fields with a value: equal by type and fields, mutable and therefore not hashable, with a short `repr`."""

    __match_args__: ClassVar[tuple[str, ...]] = ()
    _keyword_fields: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = self.__match_args__ + self._keyword_fields
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __repr__(self) -> str:
        return _short(self, _DEEPEST)

    def _is_shown(self, field: str, value: Any) -> bool:
        """Whether `repr` shows a field: what is empty, and an option left at its default, tells nothing."""
        if value is None or (type(value) in (list, tuple, dict) and not value):
            return False
        defaults = type(self).__init__.__kwdefaults__ or {}
        return field not in defaults or bool(value != defaults[field])


class FrozenRecord(Record):
    """A record of what has happened: its fields are set once, by its `__init__`, and it can be hashed."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ or name not in self.__match_args__ + self._keyword_fields:
            raise AttributeError(f"{name}: a {type(self).__name__} cannot be changed")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name}: a {type(self).__name__} cannot be changed")

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self.__match_args__ + self._keyword_fields)))


def _short(value: Any, depth: int) -> str:
    """A `repr` of bounded length and depth; an object that contains itself ends as `...`."""
    kind = type(value)
    if kind is str or kind is bytes:
        if len(value) <= _LONGEST_STRING:
            return repr(value)
        return f"{value[:_LONGEST_STRING]!r}... ({len(value)} {'bytes' if kind is bytes else 'characters'})"
    if isinstance(value, Enum):
        return f"{kind.__name__}.{value.name}"
    if isinstance(value, Record):
        return _short_record(value, depth)
    if kind is dict:
        return _short_items([(key, item) for key, item in value.items()], "{", "}", depth)
    if kind is list:
        return _short_items(value, "[", "]", depth)
    if kind is tuple:
        return _short_items(list(value), "(", ",)" if len(value) == 1 else ")", depth)
    text = shown(value)
    return text if len(text) <= 2 * _LONGEST_STRING else f"{text[: 2 * _LONGEST_STRING]}..."


def shown(value: Any) -> str:
    """The `repr` of any object; that of `object` where its own fails."""
    try:
        return repr(value)
    except Exception:  # an integer of too many digits, or the object's own code
        return object.__repr__(value)


def _short_record(record: Record, depth: int) -> str:
    """`Name(field=value, ...)` of the fields that tell something."""
    name = type(record).__name__
    if depth == 0:
        return f"{name}(...)"
    fields = ((field, getattr(record, field, None)) for field in record.__match_args__ + record._keyword_fields)
    shown = [f"{field}={_short(value, depth - 1)}" for field, value in fields if record._is_shown(field, value)]
    return f"{name}({', '.join(shown)})"


def _short_items(items: list[Any], opening: str, closing: str, depth: int) -> str:
    if not items:
        return opening + closing
    if depth == 0:
        return f"{opening}...{closing}"
    if opening == "{":
        shown = [f"{_short(key, depth - 1)}: {_short(item, depth - 1)}" for key, item in items[:_MOST_ITEMS]]
    else:
        shown = [_short(item, depth - 1) for item in items[:_MOST_ITEMS]]
    if len(items) > _MOST_ITEMS:
        shown.append(f"... ({len(items)} items)")
    return opening + ", ".join(shown) + closing
