"""A tool made of a typed function: `FunctionTool`, which `ToolRegistry.register` uses as a decorator."""

from __future__ import annotations

import inspect
import sys
import types
import typing

from ._annotation import describe
from ._convert import check_json
from ._docstring import read
from ._tool import Tool, ToolParameter, ToolResult, ToolStatus, wait_for
from .errors import AgenticError, InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class FunctionTool(Tool):
    """A tool made of a typed function.

    The schema comes from the annotations: `str`, `int`, `float`, `bool`, `list`, `tuple`, `set`, `dict`, `Optional` and
    other unions, `Literal`, enums, paths, `TypedDict`, dataclasses, `Any`; no annotation means any value. A parameter
    with a default is optional. Descriptions come from the docstring (Google, NumPy or reST form) or from
    `Annotated[str, "the description"]`. Enums, tuples, sets, paths and dataclasses arrive as such.

    What the function returns is the output, None as empty text; a `ToolResult` is the result itself. It may be
    `async def`. With `**kwargs` it takes arguments that it does not name.

    Args:
        function: the function.
        name: the tool's name. Default: the function's.
        description: what it does. Default: the first paragraph of the docstring.

    Raises:
        InvalidTypeError: `function` cannot be called, or a parameter's type has no JSON form.
        InvalidValueError: an annotation that cannot be resolved, or `*args`.

    >>> def add(a: int, b: int = 1) -> int:
    ...     "Adds two numbers."
    ...     return a + b
    >>> tool = FunctionTool(add)
    >>> tool.execute(a=2).output
    3
    >>> tool.to_schema()["parameters"]["properties"]["b"]
    {'type': 'integer', 'description': '', 'default': 1}
    """

    __module__ = "agentic_executor.tools"

    def __init__(self, function: Callable[..., Any], name: str | None = None, description: str | None = None) -> None:
        if not callable(function) or isinstance(function, type):
            raise InvalidTypeError(f"function: must be a function, not {_kind(function)}")
        told, described = read(inspect.getdoc(function) or "")
        self._function = function
        self._name = _own_name(function) if name is None else name
        self._description = told if description is None else description
        self._parameters: list[ToolParameter] = []
        self._converts: dict[str, Callable[[Any], Any]] = {}
        self._positional: list[str] = []
        self._variadic = False
        for parameter in _parameters(function):
            if parameter.kind is parameter.VAR_KEYWORD:
                self._variadic = True
            else:
                self._add(parameter, described.get(parameter.name, ""))

    @property
    def name(self) -> str:
        """The name it is called by."""
        return self._name

    @property
    def description(self) -> str:
        """What it does, for people and models."""
        return self._description

    @property
    def parameters(self) -> list[ToolParameter]:
        """The arguments it takes, in order."""
        return self._parameters

    @property
    def function(self) -> Callable[..., Any]:
        """The function it calls."""
        return self._function

    def execute(self, /, **kwargs: Any) -> ToolResult:
        """Calls the function. What it raises is raised here, and is a failed result in a registry's or plan's call."""
        for name, convert in self._converts.items():
            if name in kwargs:
                kwargs[name] = convert(kwargs[name])
        positional = [kwargs.pop(name) for name in self._positional if name in kwargs]
        answer = self._function(*positional, **kwargs)
        if hasattr(answer, "__await__"):
            answer = wait_for(answer)
        if isinstance(answer, ToolResult):
            return answer
        return ToolResult(ToolStatus.SUCCESS, "" if answer is None else answer)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._function, self._name, self._description)

    def _takes_unknown(self) -> bool:
        return self._variadic

    def _add(self, parameter: inspect.Parameter, described: str) -> None:
        name, required = parameter.name, parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise InvalidValueError(f"{name}: arguments come by name, so *{name} would never get any")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            self._positional.append(name)
        annotation = typing.Any if parameter.annotation is parameter.empty else parameter.annotation
        default = None
        if not required and parameter.default is None:
            annotation = _without_none(annotation)
        schema, convert = describe(annotation, name)
        if convert is not None:
            self._converts[name] = convert
        if not required:
            default = getattr(parameter.default, "value", parameter.default)
            try:
                check_json(default, name)
            except AgenticError:  # a sentinel, say: the function knows what it means
                default = None
            if default is not None:
                schema = {**schema, "default": default}
        kind = schema.pop("type") if isinstance(schema.get("type"), str) else ""
        description = schema.pop("description", described)
        self._parameters.append(ToolParameter(name, kind, description, required, default, schema=schema or None))


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _own_name(function: Callable[..., Any]) -> str:
    inner = getattr(function, "func", function)  # of functools.partial
    return str(getattr(inner, "__name__", type(inner).__name__))


def _without_none(annotation: Any) -> Any:
    """The annotation of an argument that is absent rather than null."""
    if hasattr(annotation, "__metadata__"):
        parts = (_without_none(annotation.__origin__), *annotation.__metadata__)
        annotated: Any = typing.Annotated
        return annotated[parts]
    options = typing.get_args(annotation)
    if typing.get_origin(annotation) not in (typing.Union, getattr(types, "UnionType", typing.Union)):
        return annotation
    return typing.Union[tuple(option for option in options if option is not type(None))]


def _parameters(function: Callable[..., Any]) -> Iterable[inspect.Parameter]:
    """The parameters, with annotations that were kept as text (`from __future__ import annotations`) resolved."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError, NameError) as error:
        raise InvalidValueError(f"function: the signature cannot be read: {error}") from error
    return [parameter.replace(annotation=_resolved(parameter, function)) for parameter in parameters]


def _resolved(parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:
    annotation = parameter.annotation
    if annotation is parameter.empty or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        return annotation
    holder = types.SimpleNamespace(__annotations__={parameter.name: annotation})
    inner = inspect.unwrap(function)
    inner = getattr(inner, "func", getattr(inner, "__func__", inner))
    if not hasattr(inner, "__globals__"):
        inner = type(inner).__call__
    namespace = getattr(inner, "__globals__", {})
    try:
        hints = typing.get_type_hints(holder, namespace, _locals_around(), include_extras=True)
    except Exception as error:  # evaluating an annotation is running the user's code
        raise InvalidValueError(
            f"{parameter.name}: the annotation {annotation!r} cannot be resolved: {error}"
        ) from error
    return hints[parameter.name]


def _locals_around() -> dict[str, Any]:
    """The local names where the package was called: a class defined beside a local function is an annotation too."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    return frame.f_locals
