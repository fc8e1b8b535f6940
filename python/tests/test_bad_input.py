"""Misuse: an exception or a failed result that names the argument; the process goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentic_executor import AgenticExecutor, CodeSandbox, ExecutionMode, ExecutionPlan, SandboxConfig
from agentic_executor.errors import AgenticError, InvalidTypeError, InvalidValueError
from agentic_executor.planner import PlanStep, TaskPlanner
from agentic_executor.sandbox import SandboxStatus
from agentic_executor.tools import (
    FileReadTool,
    SearchTool,
    ShellTool,
    Tool,
    ToolParameter,
    ToolRegistry,
    ToolResult,
    ToolStatus,
)

pytestmark = pytest.mark.usefixtures("project")


def refusal(call: Callable[[], Any]) -> str:
    """What a call is refused with: the message of an exception of ours, or the error of a failed result."""
    try:
        answer = call()
    except (AgenticError, TypeError) as error:
        # Python itself raises TypeError for keywords that a signature does not have.
        return str(error)
    if isinstance(answer, ToolResult):
        assert answer.status is not ToolStatus.SUCCESS, answer
        return str(answer.error)
    if hasattr(answer, "stderr"):
        assert answer.status is SandboxStatus.ERROR, answer
        return str(answer.stderr)
    assert answer.success is False, answer
    return str(answer.error)


def still_works() -> bool:
    return AgenticExecutor().execute_code("print(1)").success


WRONG_TYPES: list[tuple[str, Callable[[], Any]]] = [
    ("task", lambda: AgenticExecutor().execute(3)),  # type: ignore[arg-type]
    ("context", lambda: AgenticExecutor().execute("run it", "not a dict")),  # type: ignore[arg-type]
    ("context", lambda: AgenticExecutor().execute("run it", ["a"])),  # type: ignore[arg-type]
    ("context", lambda: TaskPlanner(["shell"]).plan("run it", 3)),  # type: ignore[arg-type]
    ("available_tools", lambda: TaskPlanner("shell").plan("run it", {"command": "ls"})),  # type: ignore[arg-type]
    ("code", lambda: AgenticExecutor().execute_code(None)),  # type: ignore[arg-type]
    ("code", lambda: AgenticExecutor().execute_code(b"print(1)")),  # type: ignore[arg-type]
    ("description", lambda: AgenticExecutor().execute_code("pass", 3)),  # type: ignore[arg-type]
    ("path", lambda: AgenticExecutor().edit_file(3, "a", "b")),  # type: ignore[arg-type]
    ("old_content", lambda: AgenticExecutor().edit_file("a", 3, "b")),  # type: ignore[arg-type]
    ("new_content", lambda: AgenticExecutor().edit_file("a", "b", None)),  # type: ignore[arg-type]
    ("test_command", lambda: AgenticExecutor().run_tests(["pytest"])),  # type: ignore[arg-type]
    ("working_dir", lambda: AgenticExecutor().run_tests("true", 3)),  # type: ignore[arg-type]
    ("workers", lambda: AgenticExecutor().run_tests("true", workers="2")),  # type: ignore[arg-type]
    ("retries", lambda: AgenticExecutor().run_tests("true", retries=True)),
    ("timeout", lambda: AgenticExecutor().run_tests("true", timeout="5")),  # type: ignore[arg-type]
    ("global_timeout", lambda: AgenticExecutor().run_tests("true", global_timeout=[5])),  # type: ignore[arg-type]
    ("fail_fast", lambda: AgenticExecutor().run_tests("true", fail_fast="yes")),  # type: ignore[arg-type]
    ("flaky", lambda: AgenticExecutor().run_tests("true", flaky=True)),  # type: ignore[arg-type]
    ("leaky", lambda: AgenticExecutor().run_tests("true", leaky=0)),  # type: ignore[arg-type]
    ("keep", lambda: AgenticExecutor().run_tests("true", keep=None)),  # type: ignore[arg-type]
    ("runs", lambda: AgenticExecutor().test_history("all")),  # type: ignore[arg-type]
    ("plan", lambda: AgenticExecutor().execute_plan({"steps": []})),  # type: ignore[arg-type]
    ("registry", lambda: AgenticExecutor(registry={}).execute_code("pass")),  # type: ignore[arg-type]
    ("sandbox_config", lambda: AgenticExecutor(sandbox_config={}).execute_code("pass")),  # type: ignore[arg-type]
    ("mode", lambda: AgenticExecutor(mode="fast").execute_code("pass")),  # type: ignore[arg-type]
    ("max_steps", lambda: AgenticExecutor(max_steps="many").execute_code("pass")),  # type: ignore[arg-type]
    ("on_step_complete", lambda: AgenticExecutor(on_step_complete=3).execute_code("pass")),  # type: ignore[arg-type]
    ("code", lambda: CodeSandbox().execute(3)),  # type: ignore[arg-type]
    ("path", lambda: CodeSandbox().execute_file(3)),  # type: ignore[arg-type]
    ("config", lambda: CodeSandbox({}).execute("pass")),  # type: ignore[arg-type]
    ("timeout_seconds", lambda: CodeSandbox(SandboxConfig(timeout_seconds="5")).execute("pass")),  # type: ignore[arg-type]
    ("blocked_imports", lambda: CodeSandbox(SandboxConfig(blocked_imports="os")).execute("pass")),  # type: ignore[arg-type]
    ("allowed_imports", lambda: CodeSandbox(SandboxConfig(allowed_imports=[3])).execute("pass")),  # type: ignore[list-item]
    ("working_dir", lambda: CodeSandbox(SandboxConfig(working_dir=3)).execute("pass")),  # type: ignore[arg-type]
    ("allowed_paths", lambda: FileReadTool("/tmp").execute(path="/tmp/x")),  # type: ignore[arg-type]
    ("allowed_paths", lambda: FileReadTool([3]).execute(path="x")),  # type: ignore[list-item]
    ("search_paths", lambda: SearchTool(3).execute(pattern="x")),  # type: ignore[arg-type]
    ("allowed_commands", lambda: ShellTool(allowed_commands="ls").execute(command="ls")),  # type: ignore[arg-type]
    ("blocked_commands", lambda: ShellTool(blocked_commands=[3]).execute(command="ls")),  # type: ignore[list-item]
    ("timeout", lambda: ShellTool(timeout="5").execute(command="ls")),  # type: ignore[arg-type]
    ("working_dir", lambda: ShellTool(working_dir=3).execute(command="ls")),  # type: ignore[arg-type]
    ("tool", lambda: ToolRegistry().register(3)),  # type: ignore[call-overload]
]


@pytest.mark.parametrize(("name", "call"), WRONG_TYPES, ids=[f"{n}-{name}" for n, (name, _) in enumerate(WRONG_TYPES)])
def test_a_wrong_type_is_named(name: str, call: Callable[[], Any]) -> None:
    assert name in refusal(call)


BAD_VALUES: list[tuple[str, Callable[[], Any]]] = [
    ("max_steps", lambda: AgenticExecutor(max_steps=-1).execute_code("pass")),
    ("timeout_seconds", lambda: CodeSandbox(SandboxConfig(timeout_seconds=-1)).execute("pass")),
    ("timeout_seconds", lambda: CodeSandbox(SandboxConfig(timeout_seconds=float("nan"))).execute("pass")),  # type: ignore[arg-type]
    ("max_memory_mb", lambda: CodeSandbox(SandboxConfig(max_memory_mb=-1)).execute("pass")),
    ("max_memory_mb", lambda: CodeSandbox(SandboxConfig(max_memory_mb=10**30)).execute("pass")),
    ("max_output_bytes", lambda: CodeSandbox(SandboxConfig(max_output_bytes=-1)).execute("pass")),
    ("test_command", lambda: AgenticExecutor().run_tests("echo \ud800")),
    ("command", lambda: AgenticExecutor().run_tests(" ")),
    ("workers", lambda: AgenticExecutor().run_tests("true", workers=0)),
    ("retries", lambda: AgenticExecutor().run_tests("true", retries=21)),
    ("timeout", lambda: AgenticExecutor().run_tests("true", timeout=0)),
    ("global_timeout", lambda: AgenticExecutor().run_tests("true", global_timeout=float("nan"))),
    ("flaky", lambda: AgenticExecutor().run_tests("true", flaky="maybe")),  # type: ignore[arg-type]
    ("leaky", lambda: AgenticExecutor().run_tests("true", leaky="")),  # type: ignore[arg-type]
    ("runs", lambda: AgenticExecutor().test_history(0)),
    ("working_dir", lambda: CodeSandbox(SandboxConfig(working_dir="/there/is/none")).execute("pass")),
    ("timeout", lambda: ShellTool(timeout=-1).execute(command="true")),
    ("timeout", lambda: ToolRegistry.default_registry().execute("shell", command="true", timeout=-1)),
    ("timeout", lambda: ToolRegistry.default_registry().execute("shell", command="true", timeout=float("nan"))),
    ("max_results", lambda: ToolRegistry.default_registry().execute("search", pattern="x", max_results=-1)),
    ("command", lambda: ToolRegistry.default_registry().execute("shell", command="echo \0")),
    ("path", lambda: ToolRegistry.default_registry().execute("file_read", path="a\0b")),
    ("path", lambda: ToolRegistry.default_registry().execute("file_read", path="\ud800")),
    ("content", lambda: ToolRegistry.default_registry().execute("file_write", path="a", content="\ud800")),
    ("code", lambda: AgenticExecutor().execute_code("print('\ud800')")),
    ("code", lambda: CodeSandbox().execute("print('\ud800')")),
    ("task", lambda: AgenticExecutor().execute("\ud800", {"command": "true"})),
]


@pytest.mark.parametrize(("name", "call"), BAD_VALUES, ids=[f"{n}-{name}" for n, (name, _) in enumerate(BAD_VALUES)])
def test_a_value_that_cannot_be_is_named(name: str, call: Callable[[], Any]) -> None:
    assert name in refusal(call)


@pytest.mark.parametrize("kind", [AgenticExecutor, CodeSandbox, SandboxConfig, FileReadTool, ShellTool, ToolRegistry])
def test_an_unknown_keyword_is_named(kind: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="surprise"):
        kind(surprise=1)


def test_the_errors_have_the_builtin_as_second_base() -> None:
    assert issubclass(InvalidTypeError, (AgenticError,)) and issubclass(InvalidTypeError, TypeError)
    assert issubclass(InvalidValueError, (AgenticError,)) and issubclass(InvalidValueError, ValueError)


class Loose(Tool):
    """A tool whose parts are given."""

    name: Any = "loose"
    description: Any = "Loose"
    parameters: Any = ()

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)

    def execute(self, **kwargs: Any) -> ToolResult:
        return ToolResult(ToolStatus.SUCCESS, kwargs)


@pytest.mark.parametrize("name", ["", None, 3, "with space", "x" * 1000, "grün", "\ud800"])
def test_a_tool_without_a_proper_name_is_refused(name: Any) -> None:
    registry = ToolRegistry()
    with pytest.raises(AgenticError, match="name"):
        registry.register(Loose(name=name))
    assert list(registry.list_tools()) == []


@pytest.mark.parametrize(
    "schema", [{"default": object()}, {"default": {1, 2}}, {"description": b"x"}, {"enum": [float("nan")]}]
)
def test_a_schema_that_json_cannot_hold_is_refused(schema: dict[str, Any]) -> None:
    class Odd(Loose):
        def to_schema(self) -> dict[str, Any]:
            return {
                "name": "loose",
                "description": "Odd",
                "parameters": {"type": "object", "properties": {"a": {"type": "string", **schema}}, "required": []},
            }

    message = refusal(lambda: registered(Odd()).execute("loose"))
    assert next(iter(schema)) in message


def registered(tool: Tool) -> ToolRegistry:
    registry = ToolRegistry()
    registry.register(tool)
    return registry


@pytest.mark.parametrize("parameters", [None, 3, ["path"], [{"name": "path"}]])
def test_parameters_that_are_none_are_refused(parameters: Any) -> None:
    assert "parameters" in refusal(lambda: registered(Loose(parameters=parameters)).execute("loose"))


def test_a_name_that_raises_is_an_exception_of_its_own() -> None:
    class Raises(Loose):
        @property
        def name(self) -> str:  # type: ignore[override]
            raise LookupError("no name today")

        def __init__(self) -> None:
            pass

    with pytest.raises((LookupError, AgenticError), match="no name today"):
        ToolRegistry().register(Raises())


def cycle() -> dict[str, Any]:
    around: dict[str, Any] = {}
    around["again"] = around
    return around


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


UNSENDABLE: dict[str, Callable[[], Any]] = {
    "object": object,
    "bytes": lambda: b"x",
    "set": lambda: {1},
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "huge": lambda: 10**400,
    "surrogate": lambda: "\udfff",
    "key": lambda: {1: 2},
    "cycle": cycle,
    "deep": lambda: deep(10_000),
}


@pytest.mark.parametrize("kind", UNSENDABLE)
@pytest.mark.parametrize("door", ["registry", "plan", "context"])
def test_what_json_cannot_hold_is_refused_by_name(kind: str, door: str) -> None:
    value = UNSENDABLE[kind]()
    registry = registered(Loose())
    plan = ExecutionPlan("odd")
    plan.add_step("loose", {"value": value}, "Odd")
    calls: dict[str, Callable[[], Any]] = {
        "registry": lambda: registry.execute("loose", value=value),
        "plan": lambda: AgenticExecutor(registry).execute_plan(plan),
        "context": lambda: AgenticExecutor().execute("run it", {"command": "true", "value": value}),
    }
    assert "value" in refusal(calls[door])
    assert still_works()


def test_moderate_nesting_passes() -> None:
    value = deep(50)
    assert registered(Loose()).execute("loose", value=value).output == {"value": value}


def test_the_largest_integers_pass() -> None:
    for value in (2**63 - 1, -(2**63)):
        assert registered(Loose()).execute("loose", value=value).output == {"value": value}


@pytest.mark.parametrize("run", [
    lambda code: AgenticExecutor().execute_code(code),
    lambda code: CodeSandbox().execute(code),
], ids=["executor", "sandbox"])  # fmt: skip
def test_a_hundred_megabytes_of_code(run: Callable[[str], Any]) -> None:
    code = "# " + "x" * (100 << 20)
    answer = run(code)
    if getattr(answer, "success", None) or getattr(answer, "status", None) is SandboxStatus.COMPLETED:
        return
    assert "code" in str(getattr(answer, "error", None) or getattr(answer, "stderr", None))
    assert still_works()


def test_a_nul_in_code_is_a_failure_that_says_so() -> None:
    message = refusal(lambda: AgenticExecutor().execute_code("print(1)\0"))
    assert "null" in message.lower() or "nul" in message.lower()


def test_bad_steps_are_named() -> None:
    bad: list[tuple[str, PlanStep]] = [
        ("id", PlanStep("", "shell", {}, "d")),
        ("id", PlanStep(3, "shell", {}, "d")),  # type: ignore[arg-type]
        ("tool", PlanStep("a", None, {}, "d")),  # type: ignore[arg-type]
        ("params", PlanStep("a", "shell", ["ls"], "d")),  # type: ignore[arg-type]
        ("depends_on", PlanStep("a", "shell", {"command": "ls"}, "d", [3])),  # type: ignore[list-item]
        ("max_retries", PlanStep("a", "shell", {"command": "ls"}, "d", max_retries=-1)),
        ("missing", PlanStep("a", "shell", {"command": "ls"}, "d", ["missing"])),
    ]
    for name, step in bad:
        message = refusal(lambda step=step: AgenticExecutor().execute_plan(ExecutionPlan("odd", [step])))  # type: ignore[misc]
        assert name in message, (name, message)


def test_a_cycle_and_a_double_id_are_named() -> None:
    first, second = (
        PlanStep("a", "shell", {"command": "ls"}, "d", ["b"]),
        PlanStep("b", "shell", {"command": "ls"}, "d", ["a"]),
    )
    assert "a" in refusal(lambda: AgenticExecutor().execute_plan(ExecutionPlan("cycle", [first, second])))
    twice = [PlanStep("same", "shell", {"command": "ls"}, "d") for _ in range(2)]
    assert "same" in refusal(lambda: AgenticExecutor().execute_plan(ExecutionPlan("twice", twice)))


def test_a_registry_that_changes_while_it_runs(project: Path) -> None:
    registry = ToolRegistry.default_registry()

    @registry.register("meddle")
    def meddle(n: int) -> str:
        """Registers another tool, and replaces itself."""
        registry.register(Loose(name=f"new_{n}"))
        registry.register(Loose(name="meddle"))
        return "meddled"

    plan = ExecutionPlan("meddle")
    for n in range(3):
        plan.add_step("meddle", {"n": n}, "Meddle")
    assert AgenticExecutor(registry).execute_plan(plan).success
    assert registry.execute("new_0").status is ToolStatus.SUCCESS


def test_registering_in_one_thread_and_running_in_another() -> None:
    registry = ToolRegistry()
    registry.register(Loose())
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_registering() -> None:
        n = 0
        try:
            while not stop.is_set():
                registry.register(Loose(name=f"tool_{n % 50}"))
                n += 1
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=keep_registering)
    thread.start()
    try:
        for n in range(100):
            assert registry.execute("loose", n=n).output == {"n": n}
    finally:
        stop.set()
        thread.join()
    assert failures == []


def test_a_parameter_that_has_the_wrong_fields() -> None:
    for parameter, word in (
        (ToolParameter(3, "string", "d"), "name"),  # type: ignore[arg-type]
        (ToolParameter("a", "text", "d"), "text"),
        (ToolParameter("a", "string", None), "description"),  # type: ignore[arg-type]
    ):
        assert word in refusal(lambda p=parameter: registered(Loose(parameters=[p])).execute("loose", a="x"))  # type: ignore[misc]


def test_an_executor_whose_fields_are_set_to_nonsense() -> None:
    executor: Any = AgenticExecutor()
    for name, value in (
        ("registry", None),
        ("mode", 3),
        ("max_steps", None),
        ("on_step_complete", "x"),
        ("planner", 3),
    ):
        kept = getattr(executor, name)
        setattr(executor, name, value)
        assert name in refusal(lambda: executor.execute("run it", {"command": "true"}))
        setattr(executor, name, kept)
    assert executor.execute("run it", {"command": "true"}).success
    executor.mode = ExecutionMode.PARALLEL
    assert executor.execute("run it", {"command": "true"}).success
