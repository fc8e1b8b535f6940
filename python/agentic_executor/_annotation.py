"""The JSON Schema of a type annotation, and how a JSON value becomes what the annotation promises.

`describe` answers with both. Most values need no conversion; an enum's member, a tuple, a set, a path and a dataclass
are made of their JSON forms, so that a function gets what its signature says.
"""

from __future__ import annotations

import collections.abc
import enum
import os
import types
import typing

from .errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional

    _Convert = Callable[[Any], Any]
    _Described = tuple[dict[str, Any], Optional[_Convert]]

_SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_ARRAYS = {
    list: None,
    collections.abc.Sequence: None,
    collections.abc.MutableSequence: None,
    collections.abc.Iterable: None,
    collections.abc.Collection: None,
    set: set,
    frozenset: frozenset,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
}
_OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))
_QUALIFIERS = ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar")


def describe(annotation: Any, name: str, inside: tuple[Any, ...] = ()) -> _Described:
    """The schema of `annotation` and the conversion to it, or None where a JSON value is what it promises.

    `name` begins the message of an error; `inside` are the classes that are being described around it.

    Raises:
        InvalidTypeError: the annotation has no JSON form.
        InvalidValueError: a class that holds itself, or an enum of values that JSON has not.
    """
    annotation, description = _bare(annotation)
    schema, convert = _described(annotation, name, inside)
    if description:
        schema = {**schema, "description": description}
    return schema, convert


def _bare(annotation: Any) -> tuple[Any, str]:
    """The annotation without what is wrapped around it, and the description found in `Annotated`."""
    description = ""
    while True:
        if hasattr(annotation, "__metadata__"):
            # The outermost comes last where one was put around another.
            texts = [text for text in annotation.__metadata__ if isinstance(text, str)]
            description = description or (texts[-1] if texts else "")
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):  # NewType
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif isinstance(annotation, typing.TypeVar):
            constraints = annotation.__constraints__
            annotation = annotation.__bound__ or (typing.Union[constraints] if constraints else typing.Any)
        elif getattr(typing.get_origin(annotation), "_name", None) in _QUALIFIERS:
            annotation = typing.get_args(annotation)[0]
        else:
            return annotation, description


def _described(annotation: Any, name: str, inside: tuple[Any, ...]) -> _Described:
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if annotation is typing.Any or annotation is object:
        return {}, None
    if annotation is None or annotation in _SCALARS:
        return {"type": _SCALARS[type(None) if annotation is None else annotation]}, None
    if origin in _UNIONS:
        return _union(arguments, name, inside)
    if origin is typing.Literal:
        return _choice(list(arguments), name)
    if origin is tuple:
        return _tuple(arguments, name, inside)
    if origin in _ARRAYS:
        return _array(_ARRAYS[origin], arguments, name, inside)
    if origin in _OBJECTS:
        return _object(arguments, name, inside)
    if isinstance(origin, type):
        if issubclass(origin, enum.Enum):
            return _choice(list(origin), name)
        if hasattr(origin, "__fspath__"):
            return {"type": "string"}, None if origin is os.PathLike else origin
        if typing.is_typeddict(origin) if hasattr(typing, "is_typeddict") else hasattr(origin, "__total__"):
            return _typed_dict(origin, name, inside)
        if hasattr(origin, "__dataclass_fields__"):
            return _dataclass(origin, name, inside)
    raise InvalidTypeError(f"{name}: {_shown(annotation)} has no JSON form")


def _shown(annotation: Any) -> str:
    return getattr(annotation, "__qualname__", None) or repr(annotation)


def _union(options: tuple[Any, ...], name: str, inside: tuple[Any, ...]) -> _Described:
    described = [describe(option, name, inside) for option in options]
    schemas = [schema for schema, _ in described]
    converts = [convert for _, convert in described if convert is not None]
    if all(set(schema) == {"type"} and isinstance(schema["type"], str) for schema in schemas):
        schema: dict[str, Any] = {"type": [schema["type"] for schema in schemas]}
    else:
        schema = {"anyOf": schemas} if all(schemas) else {}

    def convert(value: Any) -> Any:
        for attempt in converts:
            try:
                return attempt(value)
            except (TypeError, ValueError, LookupError):
                continue
        return value

    return schema, convert if converts else None


def _choice(choices: list[Any], name: str) -> _Described:
    """One of some values: the members of an enum, or a `Literal`."""
    values = [choice.value if isinstance(choice, enum.Enum) else choice for choice in choices]
    for value in values:
        if type(value) not in _SCALARS:
            raise InvalidValueError(f"{name}: {value!r} is no text, number or truth value, so JSON cannot name it")
    kinds = list(dict.fromkeys(_SCALARS[type(value)] for value in values))
    schema = {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}
    if not any(isinstance(choice, enum.Enum) for choice in choices):
        return schema, None

    def convert(value: Any) -> Any:
        for choice, known in zip(choices, values):
            if known == value and type(known) is type(value):
                return choice
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, values))}")

    return schema, convert


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"an array is expected, not {type(value).__name__}")
    return value


def _array(make: _Convert | None, arguments: tuple[Any, ...], name: str, inside: tuple[Any, ...]) -> _Described:
    item, each = describe(arguments[0], name, inside) if arguments else ({}, None)
    schema: dict[str, Any] = {"type": "array"}
    if item:
        schema["items"] = item
    if make is not None:
        schema["uniqueItems"] = True
    if make is None and each is None:
        return schema, None

    def convert(value: Any) -> Any:
        items = [each(item) for item in _items(value)] if each is not None else _items(value)
        return make(items) if make is not None else items

    return schema, convert


def _tuple(arguments: tuple[Any, ...], name: str, inside: tuple[Any, ...]) -> _Described:
    if not arguments or arguments[-1] is Ellipsis:
        schema, convert = _array(None, arguments[:1], name, inside)
        return schema, (lambda value: tuple(convert(value) if convert is not None else _items(value)))
    described = [describe(argument, name, inside) for argument in ([] if arguments == ((),) else arguments)]
    converts = [convert for _, convert in described]
    size = len(described)
    schema = {"type": "array", "prefixItems": [item for item, _ in described], "minItems": size, "maxItems": size}

    def made(value: Any) -> Any:
        if len(_items(value)) != size:
            raise ValueError(f"{size} items are expected, not {len(value)}")
        return tuple(each(item) if each is not None else item for each, item in zip(converts, value))

    return schema, made


def _object(arguments: tuple[Any, ...], name: str, inside: tuple[Any, ...]) -> _Described:
    if not arguments:
        return {"type": "object"}, None
    key, value_type = arguments
    if key not in (str, typing.Any) and not isinstance(key, typing.TypeVar):
        raise InvalidTypeError(f"{name}: the keys of a JSON object are str, not {_shown(key)}")
    item, each = describe(value_type, name, inside)
    schema: dict[str, Any] = {"type": "object"}
    if item:
        schema["additionalProperties"] = item
    if each is None:
        return schema, None

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"an object is expected, not {type(value).__name__}")
        return {key: each(item) for key, item in value.items()}

    return schema, convert


def _typed_dict(kind: Any, name: str, inside: tuple[Any, ...]) -> _Described:
    schema, converts = _fields(kind, list(kind.__annotations__), name, inside)
    schema["required"] = [field for field in schema["properties"] if field in kind.__required_keys__]
    return schema, _convert_fields(converts) if converts else None


def _dataclass(kind: Any, name: str, inside: tuple[Any, ...]) -> _Described:
    import dataclasses

    fields = [field for field in dataclasses.fields(kind) if field.init]
    schema, converts = _fields(kind, [field.name for field in fields], name, inside)
    missing = dataclasses.MISSING
    schema["required"] = [
        field.name for field in fields if field.default is missing and field.default_factory is missing
    ]
    schema["additionalProperties"] = False
    fill = _convert_fields(converts)
    return schema, (lambda value: kind(**fill(value)))


def _fields(
    kind: Any, names: list[str], name: str, inside: tuple[Any, ...]
) -> tuple[dict[str, Any], dict[str, _Convert]]:
    if kind in inside:
        raise InvalidValueError(f"{name}: {_shown(kind)} holds itself, which a schema without references cannot say")
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError) as error:
        raise InvalidValueError(f"{name}: the annotations of {_shown(kind)} cannot be resolved: {error}") from error
    properties: dict[str, Any] = {}
    converts: dict[str, _Convert] = {}
    for field in names:
        properties[field], convert = describe(hints[field], f"{name}.{field}", (*inside, kind))
        if convert is not None:
            converts[field] = convert
    return {"type": "object", "properties": properties}, converts


def _convert_fields(converts: dict[str, _Convert]) -> _Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"an object is expected, not {type(value).__name__}")
        return {key: converts[key](item) if key in converts else item for key, item in value.items()}

    return convert
