"""A program that uses every public name of the package: run by the tests, and read by type checkers."""

from __future__ import annotations

import asyncio
import os
import tempfile

import agentic_executor
from agentic_executor import (
    AgenticExecutor,
    CodeSandbox,
    ExecutionMode,
    ExecutionPlan,
    ExecutionResult,
    ExecutionStep,
    FileReadTool,
    FileWriteTool,
    PlanStep,
    SandboxConfig,
    SearchTool,
    ShellTool,
    TaskPlanner,
    Tool,
    ToolRegistry,
    doctor,
)
from agentic_executor.errors import (
    AgenticError,
    InvalidTypeError,
    InvalidValueError,
    PlanFileError,
    PlanningError,
    ResumeError,
    RollbackError,
    SandboxUnavailableError,
    StateError,
)
from agentic_executor.events import Event
from agentic_executor.executor import AsyncEventStream, Change, EventStream, LeftOut, RollbackResult
from agentic_executor.planner import RetryPolicy, StepStatus
from agentic_executor.sandbox import HostReport, SandboxResult, SandboxStatus
from agentic_executor.testing import (
    TestAttempt,
    TestCase,
    TestCounts,
    TestGroup,
    TestHistory,
    TestReport,
    TestRunStatus,
    TestStatus,
    TestSuite,
)
from agentic_executor.tools import (
    ApplyPatchTool,
    EditTool,
    Enforcement,
    FunctionTool,
    ListFilesTool,
    RollbackTool,
    RunCodeTool,
    RunTestsTool,
    ToolParameter,
    ToolResult,
    ToolStatus,
    Usage,
)


class WordCount(Tool):
    """A tool as a class."""

    @property
    def name(self) -> str:
        return "word_count"

    @property
    def description(self) -> str:
        return "Counts the words of a text"

    @property
    def parameters(self) -> list[ToolParameter]:
        return [ToolParameter("text", "string", "The text")]

    def execute(self, text: str) -> ToolResult:
        return ToolResult(ToolStatus.SUCCESS, len(text.split()), metadata={"characters": len(text)})


def shout(text: str, marks: int = 1) -> str:
    """Shouts.

    Args:
        text: what to shout.
        marks: how many exclamation marks follow.
    """
    return text.upper() + "!" * marks


def tools() -> ToolRegistry:
    registry = ToolRegistry.default_registry()
    registry.register(WordCount())
    registry.register(FunctionTool(shout))
    for tool in (
        ApplyPatchTool(),
        EditTool(),
        ListFilesTool(),
        RollbackTool(),
        RunCodeTool(),
        RunTestsTool(),
        FileReadTool(),
        FileWriteTool(),
        ShellTool(timeout=20),
        SearchTool(),
    ):
        registry.register(tool)

    @registry.register("double")
    def double(n: int) -> int:
        """Doubles a number."""
        return 2 * n

    assert double(2) == 4
    assert registry.execute("double", n=21).output == 42
    assert registry.execute("shout", text="hello", marks=2).output == "HELLO!!"
    assert registry.execute("word_count", text="one two").output == 2
    assert {schema["name"] for schema in registry.get_schemas("openai") if "name" in schema} <= set(
        registry.list_tools()
    )
    listed = registry.execute("list_files")
    assert listed.status is ToolStatus.SUCCESS, listed
    usage, enforced = _spent(registry.execute("shell", command="true"))
    assert usage.wall > 0 and all(control.state for control in enforced.values())
    return registry


def _spent(result: ToolResult) -> tuple[Usage, dict[str, Enforcement]]:
    assert result.usage is not None and result.enforced is not None
    return result.usage, result.enforced


def plans(registry: ToolRegistry) -> ExecutionPlan:
    planner = TaskPlanner(registry.list_tools())
    assert planner.plan("read the file", {"path": "a.txt"}).steps[0].tool == "file_read"
    plan = ExecutionPlan("count")
    first = plan.add_step("file_write", {"path": "a.txt", "content": "one two three"}, "Write it")
    second: PlanStep = plan.add_step("file_read", {"path": "a.txt"}, "Read it", [first.id])
    plan.add_step(
        "word_count", {"text": "${{ steps.step_2.output }}"}, "Count", [second.id], retry=RetryPolicy(max=1, delay=0.1)
    )
    assert plan.get_ready_steps() == [first]
    return plan


def runs(registry: ToolRegistry, plan: ExecutionPlan) -> None:
    finished: list[ExecutionStep] = []
    events: list[Event] = []
    executor = AgenticExecutor(
        registry, SandboxConfig(timeout_seconds=20), ExecutionMode.SEQUENTIAL, 10, finished.append
    )
    executor.on_event = events.append
    result: ExecutionResult = executor.execute_plan(plan)
    assert result.success, result.summary()
    assert [step.status for step in plan.steps] == [StepStatus.COMPLETED] * 3
    assert finished[-1].result is not None and finished[-1].result.output == 3
    assert events[-1].kind == "run_finished"
    executor.on_event = None
    print(result.summary())
    assert executor.execute("run it", {"command": "echo hi"}).success
    assert executor.execute_code("print(1)", "Print").success
    assert executor.edit_file("a.txt", "two", "2").success
    assert executor.run_tests("test -f a.txt").success
    stream: EventStream = executor.stream("run it", {"command": "true"})
    with stream as yielded:
        assert [event.kind for event in yielded][-1] == "run_finished"
    assert stream.result is not None and stream.result.success
    asyncio.run(waits(executor, plan))


def tests() -> None:
    executor = AgenticExecutor()
    result = executor.run_tests("test -f missing.txt", retries=1, keep=False)
    report: TestReport | None = result.tests
    assert report is not None and report.status is TestRunStatus.FAILED and not report.success, result.summary()
    counts: TestCounts = report.counts
    suite: TestSuite = report.suites[0]
    test: TestCase = report.with_status(TestStatus.FAILED)[0]
    attempt: TestAttempt = test.attempts[-1]
    groups: tuple[TestGroup, ...] = report.groups
    assert (counts.failed, suite.runner, len(test.attempts), groups) == (1, "command", 2, ())
    assert attempt.status is TestStatus.FAILED and "<failure" in report.to_junit()
    assert TestReport.from_dict(report.to_dict()) == report
    history: list[TestHistory] = executor.test_history(runs=1)
    assert [known.last for known in history] == [TestStatus.FAILED], history


def undo(registry: ToolRegistry) -> None:
    executor = AgenticExecutor(registry)
    done = executor.execute("note", {"command": "echo tea > note.txt"})
    assert executor.diff(done.run_id).endswith("+tea\n")
    assert "note.txt" in executor.diff(done.run_id[:13], "step_1", stat=True)
    with open("note.txt", "w", encoding="utf-8") as note:
        note.write("coffee")
    try:
        executor.rollback(done.run_id)
    except RollbackError as error:
        others: list[LeftOut] = error.changed_since
        assert [os.path.basename(one.path) for one in others] == ["note.txt"], others
    undone: RollbackResult = executor.rollback(done.run_id, paths=["note.txt"], force=True)
    change: Change = undone.changes[0]
    assert change.kind == "deleted" and undone.rollback is not None
    assert asyncio.run(executor.arollback(undone.rollback, dry_run=True)).changes[0].kind == "added"
    assert asyncio.run(executor.adiff(undone.rollback)).startswith("diff --git a/note.txt")


def goes_on(registry: ToolRegistry) -> None:
    executor = AgenticExecutor(registry)
    done: ExecutionResult = executor.execute("look", {"command": "test -e there"})
    try:
        executor.resume(done.run_id + "x")
    except InvalidValueError:
        open("there", "w").close()
    again: ExecutionResult = executor.resume(done.run_id, retry=["step_1"])
    assert again.success and again.run_id == done.run_id
    try:
        asyncio.run(executor.aresume(done.run_id, force=True))
    except ResumeError as error:
        changed: list[str] = error.changed
        assert changed == [] and "has succeeded" in str(error)


async def waits(executor: AgenticExecutor, plan: ExecutionPlan) -> None:
    results = await asyncio.gather(
        executor.aexecute("run it", {"command": "true"}),
        executor.aexecute_code("print(1)"),
        executor.arun_tests("true"),
    )
    assert all(result.success for result in results)
    assert (await executor.aexecute_plan(plan)).success
    assert (await executor.aedit_file("a.txt", "one", "1")).success
    stream: AsyncEventStream = executor.astream("run it", {"command": "true"})
    async with stream as yielded:
        kinds = [event.kind async for event in yielded]
    assert kinds[-1] == "run_finished"


def sandboxes() -> None:
    config = SandboxConfig(timeout_seconds=10, max_memory_mb=128, max_processes=16, env={"GREETING": "hi"})
    with CodeSandbox(config) as sandbox:
        result: SandboxResult = sandbox.execute("import os; print(os.environ['GREETING'])")
        assert result.status is SandboxStatus.COMPLETED and result.stdout == "hi\n"
        with open("script.py", "w", encoding="utf-8") as script:
            script.write("print('file')")
        assert sandbox.execute_file("script.py").stdout == "file\n"
        assert sandbox.install_package("anything").status is SandboxStatus.ERROR
        assert asyncio.run(sandbox.aexecute("print('later')")).success
    report: HostReport = doctor()
    assert report.ok


def mistakes() -> None:
    try:
        AgenticExecutor(max_steps=-1)
    except InvalidValueError as error:
        assert str(error).startswith("max_steps")
    try:
        SandboxConfig(blocked_imports=["os"], env={"A": 3})  # type: ignore[dict-item]
    except InvalidTypeError as error:
        assert "env" in str(error)
    try:
        ExecutionPlan.from_yaml("steps: 3")
    except PlanFileError as error:
        assert error.problems
    try:
        TaskPlanner([]).plan("contemplate")
    except PlanningError as error:
        assert str(error)
    assert issubclass(SandboxUnavailableError, AgenticError) and issubclass(StateError, AgenticError)


def main() -> None:
    print(agentic_executor.__version__)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        registry = tools()
        runs(registry, plans(registry))
        tests()
        undo(registry)
        goes_on(registry)
        sandboxes()
        mistakes()
        os.chdir("/")
    print("done")


if __name__ == "__main__":
    main()
