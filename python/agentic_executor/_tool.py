"""What a tool is to a Python program: `Tool`, what it answers (`ToolResult`) and what it takes (`ToolParameter`).

A tool written in Python is called through `Tool._invoke`, the one door from the engine into the user's code: whatever
that code does, short of an exception that is meant to end the program, comes out as a `ToolResult`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from enum import Enum

from ._record import Record
from .errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from typing import Any


class ToolStatus(Enum):
    """How a call ended.

    >>> ToolStatus.PERMISSION_DENIED.value
    'permission_denied'
    """

    __module__ = "agentic_executor.tools"

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    PERMISSION_DENIED = "permission_denied"


class Usage(Record):
    """What a call spent in the sandbox.

    Attributes:
        wall: seconds on the clock, from the request to the end of the last process.
        user: seconds of CPU time in user mode, all processes together.
        system: seconds of CPU time in the kernel, all processes together.
        peak_memory: the most memory all processes held at once, in bytes.
        exact: whether the kernel counted `peak_memory` (a cgroup); otherwise it was sampled.

    >>> Usage(wall=0.05, user=0.03, system=0.01, peak_memory=9_000_000, exact=True).wall
    0.05
    """

    __module__ = "agentic_executor.tools"
    __match_args__ = ("wall", "user", "system", "peak_memory", "exact")

    def __init__(self, wall: float, user: float, system: float, peak_memory: int, exact: bool) -> None:
        self.wall = wall
        self.user = user
        self.system = system
        self.peak_memory = peak_memory
        self.exact = exact


class Enforcement(Record):
    """What became of one control of the sandbox in a call.

    Attributes:
        state: `active`, `degraded` or `off`.
        reason: why it is not active; None when it is.

    >>> Enforcement("off", "the kernel has no Landlock")
    Enforcement(state='off', reason='the kernel has no Landlock')
    """

    __module__ = "agentic_executor.tools"
    __match_args__ = ("state", "reason")

    def __init__(self, state: str, reason: str | None = None) -> None:
        self.state = state
        self.reason = reason


class ToolResult(Record):
    """What a tool answered. A failure is a result too; nothing is raised for it.

    Attributes:
        status: how the call ended.
        output: what it produced; text for the built-in tools.
        error: what went wrong, or None.
        metadata: further facts, by the names in the tool's documentation. Default: a new, empty dict.
        cause: why it failed, in one word (`not_found`, `timeout`, `invalid_arguments`, ...), or None.
        usage: what it spent, when it ran in the sandbox.
        enforced: control by control, what the sandbox enforced, when it ran there.

    Two results are equal when their first four fields are.

    >>> result = ToolResult(ToolStatus.SUCCESS, "3 files")
    >>> result.is_success
    True
    >>> result.to_dict()
    {'status': 'success', 'output': '3 files', 'error': None, 'metadata': {}}
    """

    __module__ = "agentic_executor.tools"
    __match_args__ = ("status", "output", "error", "metadata")

    def __init__(
        self,
        status: ToolStatus,
        output: Any,
        error: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        cause: str | None = None,
        usage: Usage | None = None,
        enforced: dict[str, Enforcement] | None = None,
    ) -> None:
        if not isinstance(status, ToolStatus):
            raise InvalidTypeError(f"status: must be a ToolStatus, not {type(status).__name__}")
        self.status = status
        self.output = output
        self.error = error
        self.metadata: dict[str, Any] = {} if metadata is None else metadata
        self.cause = cause
        self.usage = usage
        self.enforced = enforced

    @property
    def is_success(self) -> bool:
        """Whether the tool did what was asked.

        >>> ToolResult(ToolStatus.ERROR, "", "no such host").is_success
        False
        """
        return self.status is ToolStatus.SUCCESS

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values: `status` (the string), `output`, `error`, `metadata`.

        >>> ToolResult(ToolStatus.ERROR, "", "no such host").to_dict()["status"]
        'error'
        """
        return {
            "status": self.status.value,
            "output": self.output,
            "error": self.error,
            "metadata": self.metadata,
        }

    def _repr_html_(self) -> str:
        from ._html import table

        rows: list[tuple[object, ...]] = [("status", self.status.value), ("output", self.output)]
        if self.error is not None:
            rows.append(("error", self.error))
        if self.cause is not None:
            rows.append(("cause", self.cause))
        if self.usage is not None:
            rows.append(("time", f"{self.usage.wall:.3f} s"))
            rows.append(("memory", f"{self.usage.peak_memory / (1 << 20):.1f} MiB"))
        for name, control in (self.enforced or {}).items():
            if control.state != "active":
                rows.append((name, f"{control.state}: {control.reason or 'no reason given'}"))
        return table(("ToolResult", ""), rows)


def failure(cause: str, error: str, **metadata: Any) -> ToolResult:
    """A failed call, with its cause where the engine's own tools have it."""
    return ToolResult(ToolStatus.ERROR, "", error, {"cause": cause, **metadata}, cause=cause)


class ToolParameter(Record):
    """One argument of a tool.

    Attributes:
        name: its name.
        param_type: a JSON Schema type name: `string`, `integer`, `number`, `boolean`, `array`, `object`. Empty when
            `schema` says the type.
        description: what it means, for people and models.
        required: whether a call without it is refused. Default: yes.
        default: what holds when it is absent. It is told, not filled in: the tool applies it.
        schema: further JSON Schema keywords of the argument (`enum`, `items`, `minimum`, ...), or None.

    >>> ToolParameter("path", "string", "The file to read")
    ToolParameter(name='path', param_type='string', description='The file to read', required=True)
    """

    __module__ = "agentic_executor.tools"
    __match_args__ = ("name", "param_type", "description", "required", "default")
    _keyword_fields = ("schema",)

    def __init__(
        self,
        name: str,
        param_type: str,
        description: str,
        required: bool = True,
        default: Any = None,
        *,
        schema: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.param_type = param_type
        self.description = description
        self.required = required
        self.default = default
        self.schema = schema


class Tool(ABC):
    """A named action with a JSON Schema. Subclass it to give an executor a tool of your own.

    `name`, `description` and `parameters` are properties or plain class attributes; `execute` does the work, and may be
    `async def`. What `execute` raises becomes a failed result with the traceback in `metadata["traceback"]`;
    `KeyboardInterrupt` and `SystemExit` pass through; in parallel mode, on a thread of the engine, they fail the step
    like the others. `__init__` need not call `super().__init__()`.

    Arguments that `parameters` does not name are refused, unless `execute` takes `**kwargs`.

    >>> class Greet(Tool):
    ...     name = "greet"
    ...     description = "Greets somebody"
    ...     parameters = [ToolParameter("who", "string", "Whom to greet")]
    ...
    ...     def execute(self, who):
    ...         return ToolResult(ToolStatus.SUCCESS, f"Hello, {who}!")
    >>> Greet().execute(who="Ada").output
    'Hello, Ada!'
    >>> Greet().validate_params({})
    'Missing required parameter: who'
    """

    __module__ = "agentic_executor.tools"

    @property
    @abstractmethod
    def name(self) -> str:
        """The name it is called by: 1 to 64 ASCII letters, digits, `_` or `-`."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What it does, for people and models."""

    @property
    @abstractmethod
    def parameters(self) -> list[ToolParameter]:
        """The arguments it takes, in order."""

    # `*args` only so that type checkers let a subclass name its arguments: calls are by keyword.
    @abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> ToolResult:
        """Does the work. Called with the arguments by name, after they were checked against the schema.

        In parallel mode it is called on a thread of the engine, several tools at a time.
        """

    def validate_params(self, params: dict[str, Any]) -> str | None:
        """What is wrong with the arguments of a call, or None. Override it for checks that a schema cannot say.

        Given here: `Missing required parameter: NAME` for the first one that is missing. The engine checks types and
        unknown names by the schema before.

        Raises:
            InvalidTypeError: `params` is not a dict.
        """
        if not isinstance(params, dict):
            raise InvalidTypeError(f"params: must be a dict, not {type(params).__name__}")
        for parameter in self.parameters:
            if parameter.required and parameter.name not in params:
                return f"Missing required parameter: {parameter.name}"
        return None

    def resources(self, params: dict[str, Any]) -> list[str] | None:
        """What a call touches, as names of your own, for parallel mode: calls that share a name wait for each other.

        Given here: an empty list, so that calls run beside any other; that is what parallel mode was chosen for. None
        means "not known": the call runs alone.
        """
        return []

    def to_schema(self) -> dict[str, Any]:
        """The tool as a model is told of it: `name`, `description` and, as JSON Schema, `parameters`.

        `ToolRegistry.get_schemas` has the shapes that providers want.

        Raises:
            InvalidTypeError: `parameters` is not a list of `ToolParameter`.
        """
        properties: dict[str, Any] = {}
        required: list[str] = []
        for place, parameter in _listed(self.parameters):
            if parameter.name in properties:
                raise InvalidValueError(f"{place}.name: {parameter.name!r} is taken by one before it")
            keywords: dict[str, Any] = {"type": parameter.param_type} if parameter.param_type else {}
            keywords["description"] = parameter.description
            keywords.update(parameter.schema or {})
            properties[parameter.name] = keywords
            if parameter.required:
                required.append(parameter.name)
        return {
            "name": self.name,
            "description": self.description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def _takes_unknown(self) -> bool:
        """Whether arguments that the schema does not name are passed on."""
        import inspect

        try:
            taken = inspect.signature(self.execute).parameters.values()
        except (TypeError, ValueError):  # implemented in C and silent about it
            return True
        return any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken)

    def _invoke(self, params: dict[str, Any]) -> ToolResult:
        """Calls the tool for the engine. Anything but an exception that is to end the program is a result."""
        from . import _fork

        process = os.getpid()
        try:
            if getattr(self.validate_params, "__func__", None) is not Tool.validate_params:
                problem = self.validate_params(params)
                if problem is not None:
                    return failure("invalid_arguments", str(problem))
            answer: Any = self.execute(**params)
            if hasattr(answer, "__await__"):
                answer = wait_for(answer)
        except BaseException as error:
            _fork.end_child(process, error)
            if isinstance(error, Exception):
                return _raised(error)
            raise
        _fork.end_child(process, None)
        if isinstance(answer, ToolResult):
            return answer
        return failure("failed", f"{self.name}: execute must return a ToolResult, not {type(answer).__name__}")


def _listed(parameters: object) -> Iterator[tuple[str, ToolParameter]]:
    """The parameters of a tool, each with its place for messages, after what they are made of was checked."""
    if not isinstance(parameters, (list, tuple)):
        raise InvalidTypeError(f"parameters: must be a list of ToolParameter, not {type(parameters).__name__}")
    for index, parameter in enumerate(parameters):
        place = f"parameters[{index}]"
        if not isinstance(parameter, ToolParameter):
            raise InvalidTypeError(f"{place}: must be a ToolParameter, not {type(parameter).__name__}")
        for field in ("name", "param_type", "description"):
            value = getattr(parameter, field)
            if not isinstance(value, str):
                raise InvalidTypeError(f"{place}.{field}: must be a str, not {type(value).__name__}")
        if not isinstance(parameter.schema, (dict, type(None))):
            raise InvalidTypeError(f"{place}.schema: must be a dict or None, not {type(parameter.schema).__name__}")
        yield place, parameter


def wait_for(awaitable: Awaitable[Any]) -> Any:
    """The value of an awaitable, from code that cannot await. Under a running loop it gets a thread with its own."""
    import asyncio

    async def value() -> Any:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(value())

    import contextvars
    import threading

    outcome: list[tuple[Any, BaseException | None]] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.append((context.run(asyncio.run, value()), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, name="agentic-tool", daemon=True)
    thread.start()
    thread.join()
    answer, error = outcome[0]
    if error is not None:
        raise error
    return answer


def _raised(error: Exception) -> ToolResult:
    import traceback

    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # a user's `__str__` is no safer than the rest of the user's code
        text = ""
    message = f"{kind}: {text}" if text else kind
    try:
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:
        lines = message
    return failure(_cause(error), message, exception=kind, traceback=lines)


def _cause(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "not_found"
    if isinstance(error, PermissionError):
        return "permission_denied"
    # Before Python 3.11 those of asyncio and concurrent.futures are classes of their own.
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
        return "timeout"
    return "failed"
