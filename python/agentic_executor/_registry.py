"""`ToolRegistry`: the tools an executor has, by name.

The registry itself is plain Python. The engine's mirror of it (`_native.Tools`) is built at the first call and again
when a tool was added, replaced, removed or given another `execute`, and in a forked child. A run keeps the mirror it
began with, so a registry may change meanwhile.
"""

# ruff: noqa: F811 (`overload` is not known as such, since `typing` is not imported at run time)

from __future__ import annotations

import os
from _thread import allocate_lock

from ._builtin import (
    ApplyPatchTool,
    EditTool,
    FileReadTool,
    FileWriteTool,
    ListFilesTool,
    RollbackTool,
    RunCodeTool,
    RunTestsTool,
    SearchTool,
    ShellTool,
    is_built_in,
)
from ._convert import check_json, result_from
from ._settings import base_settings
from ._tool import Tool
from .errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar, overload

    from . import _native
    from ._tool import ToolResult

    _Function = TypeVar("_Function", bound=Callable[..., Any])
else:

    def overload(function):
        """`typing.overload` without what importing it costs."""
        return function


_FORMATS = ("plain", "openai", "anthropic", "mcp")
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")

# One lock for every registry: it is held for a moment and seldom. A child of `fork` gets a new one, since nobody is
# left there to release the old.
_lock = allocate_lock()


def _renew_lock() -> None:
    global _lock
    _lock = allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class ToolRegistry:
    """The tools an executor has, by name, in the order they were registered. May be shared between threads.

    >>> registry = ToolRegistry.default_registry()
    >>> registry.list_tools()
    ['file_read', 'file_write', 'shell', 'search']
    >>> @registry.register("greet")
    ... def greet(name: str) -> str:
    ...     "Greets somebody."
    ...     return f"Hello, {name}!"
    >>> registry.execute("greet", name="Ada").output
    'Hello, Ada!'
    >>> "greet" in registry, len(registry)
    (True, 5)
    """

    __module__ = "agentic_executor.tools"

    def __init__(self) -> None:
        # Replaced as a whole, never changed: whoever reads it has a consistent one without a lock.
        self._tools: dict[str, Tool] = {}
        self._mirror: tuple[tuple[object, ...], dict[str, Tool], _native.Tools] | None = None

    @classmethod
    def default_registry(cls) -> ToolRegistry:
        """A registry of `file_read`, `file_write`, `shell` and `search`.

        >>> len(ToolRegistry.default_registry())
        4
        """
        return cls._of(FileReadTool(), FileWriteTool(), ShellTool(), SearchTool())

    @classmethod
    def full_registry(cls) -> ToolRegistry:
        """A registry of every built-in tool: the default four, `edit`, `apply_patch`, `list_files`, `run_code`,
        `run_tests` and `rollback`.

        >>> ToolRegistry.full_registry().list_tools()[4:]
        ['edit', 'apply_patch', 'list_files', 'run_code', 'run_tests', 'rollback']
        """
        registry = cls.default_registry()
        for tool in (EditTool(), ApplyPatchTool(), ListFilesTool(), RunCodeTool(), RunTestsTool(), RollbackTool()):
            registry.register(tool)
        return registry

    @classmethod
    def _of(cls, *tools: Tool) -> ToolRegistry:
        registry = cls()
        for tool in tools:
            registry.register(tool)
        return registry

    @overload
    def register(self, tool: Tool) -> None: ...
    @overload
    def register(self, tool: _Function, *, name: str | None = None, description: str | None = None) -> _Function: ...
    @overload
    def register(
        self, tool: str | None = None, *, name: str | None = None, description: str | None = None
    ) -> Callable[[_Function], _Function]: ...
    def register(self, tool: Any = None, *, name: str | None = None, description: str | None = None) -> Any:
        """Adds a tool, or a typed function as one. A tool of the same name is replaced, in its place.

        With a `Tool` it returns None. As a decorator it returns the function unchanged: `@registry.register`,
        `@registry.register("name")` or `@registry.register(description="...")`. See `FunctionTool` for how a function's
        annotations and docstring become the schema.

        Args:
            tool: a `Tool`, a function, or the name of the function that follows.
            name: the name of a function's tool. Default: the function's.
            description: what a function's tool does. Default: the first paragraph of its docstring.

        Raises:
            InvalidTypeError: `tool` is none of these, or a part of its schema has no JSON form.
            InvalidValueError: a name that is not 1 to 64 ASCII letters, digits, `_` or `-`; a schema that cannot be.

        >>> registry = ToolRegistry()
        >>> @registry.register(description="Adds two numbers")
        ... def add(a: int, b: int) -> int:
        ...     return a + b
        >>> registry.get_schemas()[0]["parameters"]["required"]
        ['a', 'b']
        """
        if isinstance(tool, Tool):
            if name is not None or description is not None:
                raise InvalidTypeError("name, description: a Tool has its own; they are for functions")
            self._add(tool)
            return None
        if tool is None or isinstance(tool, str):
            if tool is not None and name is not None:
                raise InvalidTypeError("name: given twice")
            wanted = tool if name is None else name

            def decorate(function: _Function) -> _Function:
                self._add_function(function, wanted, description)
                return function

            return decorate
        if isinstance(tool, type):
            instead = f"; register an object of it: {tool.__name__}(...)" if issubclass(tool, Tool) else ""
            raise InvalidTypeError(f"tool: must be a Tool or a function, not the class {tool.__name__}{instead}")
        if not callable(tool):
            raise InvalidTypeError(f"tool: must be a Tool, a function or a name, not {type(tool).__name__}")
        self._add_function(tool, name, description)
        return tool

    def unregister(self, name: str) -> None:
        """Removes a tool.

        Raises:
            InvalidValueError: there is no tool of that name.

        >>> registry = ToolRegistry.default_registry()
        >>> registry.unregister("shell")
        >>> registry.list_tools()
        ['file_read', 'file_write', 'search']
        """
        with _lock:
            if name not in self._tools:
                raise InvalidValueError(f"name: there is no tool {name!r}")
            self._tools = {other: tool for other, tool in self._tools.items() if other != name}

    def get(self, name: str) -> Tool | None:
        """The tool of that name, the very object that was registered, or None.

        >>> tool = FileReadTool()
        >>> registry = ToolRegistry()
        >>> registry.register(tool)
        >>> registry.get("file_read") is tool
        True
        """
        return self._tools.get(name)

    def list_tools(self) -> list[str]:
        """The names, in the order of registration."""
        return list(self._tools)

    def get_schemas(self, format: str = "plain") -> list[dict[str, Any]]:
        """Every tool as a model is told of it, in order.

        Args:
            format: `plain` (`name`, `description`, `parameters`), `openai`, `anthropic` or `mcp`: the shape that
                function calling at that provider, or a client of the Model Context Protocol, takes.

        Raises:
            InvalidValueError: another `format`.

        >>> ToolRegistry.default_registry().get_schemas()[2]["name"]
        'shell'
        >>> sorted(ToolRegistry.default_registry().get_schemas("anthropic")[2])
        ['description', 'input_schema', 'name']
        """
        if format not in _FORMATS:
            raise InvalidValueError(f"format: must be one of {', '.join(_FORMATS)}, not {format!r}")
        if format == "plain":
            return [tool.to_schema() for tool in self._tools.values()]
        return self._engine_tools().schemas(format)

    def execute(self, name: str = "", /, **params: Any) -> ToolResult:
        """Calls a tool in the current directory, through the engine, and commits at once what it wrote.

        The arguments are checked against the tool's schema; a failure of any kind is a result, an unknown name is ERROR
        with `Unknown tool: NAME`.

        Args:
            name: the tool's name. Positional, so that a tool may have an argument `name`.
            **params: its arguments.

        Raises:
            InvalidTypeError, InvalidValueError: an argument that JSON cannot hold, or a name that is no text.

        >>> ToolRegistry.default_registry().execute("shell", command="echo tea").metadata["returncode"]
        0
        >>> ToolRegistry.default_registry().execute("sing").error
        'Unknown tool: sing'
        """
        # Programs that wrote `execute(name="shell", ...)` go on working.
        if not name and isinstance(params.get("name"), str):
            name = params.pop("name")
        if not isinstance(name, str):
            raise InvalidTypeError(f"name: must be a str, not {type(name).__name__}")
        from . import _native

        # The engine does not own the tools: what is unregistered meanwhile lives on here until the call is over.
        held, tools = self._tools, self._engine_tools()
        answer = _native.call(base_settings(), tools, name, params)
        del held
        return result_from(answer)

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __bool__(self) -> bool:
        # An empty registry is still a registry: `registry or default` must not drop it.
        return True

    def __repr__(self) -> str:
        return f"ToolRegistry({', '.join(self._tools)})"

    def _repr_html_(self) -> str:
        from ._html import table

        return table(("tool", "what it does"), [(name, tool.description) for name, tool in self._tools.items()])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tools": dict(self._tools), "_mirror": None}

    def _add(self, tool: Tool) -> None:
        name = check_name("tool", tool.name)
        if not is_built_in(tool):
            _check_schema(tool, name)
        with _lock:
            self._tools = {**self._tools, name: tool}

    def _add_function(self, function: Callable[..., Any], name: str | None, description: str | None) -> None:
        from ._function import FunctionTool

        self._add(FunctionTool(function, name, description))

    def _engine_tools(self) -> _native.Tools:
        """The engine's mirror, in step with the registry as it is now."""
        tools, mirror = self._tools, self._mirror
        served = tuple(map(is_built_in, tools.values()))
        made_for = (os.getpid(), *served)
        if mirror is not None and mirror[0] == made_for and mirror[1] is tools:
            return mirror[2]
        from . import _native

        engine = _native.Tools()
        for tool, built_in in zip(tools.values(), served):
            engine.register(tool, built_in)
        runs_tests = tools.get("run_tests")
        if runs_tests is not None and is_built_in(runs_tests):
            # Again, in its place: it keeps to the commands of the `shell` that it finds, wherever that stands.
            engine.register(runs_tests, True)
        self._mirror = (made_for, tools, engine)
        return engine


def check_name(argument: str, name: object) -> str:
    """The name of a tool, when it is one. `argument` begins the message otherwise."""
    if not isinstance(name, str):
        raise InvalidTypeError(f"{argument}: its name must be a str, not {type(name).__name__}")
    plain = name.isascii() and all(character.isalnum() or character in "_-" for character in name)
    if not (plain and 1 <= len(name) <= 64):
        raise InvalidValueError(f"{argument}: a name is 1 to 64 ASCII letters, digits, `_` or `-`, not {name!r}")
    return name


def _check_schema(tool: Tool, name: str) -> None:
    """Refuses at registration what would be of no use at a call, and says where it is."""
    description = tool.description
    if not isinstance(description, str):
        raise InvalidTypeError(f"tool {name}: its description must be a str, not {type(description).__name__}")
    schema = tool.to_schema()
    if not isinstance(schema, dict) or not isinstance(schema.get("parameters"), dict):
        raise InvalidTypeError(f"tool {name}: to_schema must return a dict with a dict `parameters`")
    parameters = schema["parameters"]
    check_json(parameters, f"tool {name}: parameters")
    properties = parameters.get("properties", {})
    for parameter, keywords in properties.items() if isinstance(properties, dict) else ():
        kind = keywords.get("type") if isinstance(keywords, dict) else None
        if isinstance(kind, str) and kind not in _TYPES:
            raise InvalidValueError(
                f"tool {name}: parameters.properties.{parameter}.type: "
                f"{kind!r} is no JSON Schema type (they are {', '.join(_TYPES)})"
            )
