"""Running tasks and plans: `AgenticExecutor`, and what came of a run.

Long because each method carries its reference; what the methods do is in `_run.py`.

>>> from agentic_executor import AgenticExecutor
>>> executor = AgenticExecutor(max_steps=10)
>>> executor.registry.list_tools()
['file_read', 'file_write', 'shell', 'search']
"""

from __future__ import annotations

import os
from enum import Enum

from ._record import Record
from ._rollback import Change, LeftOut, RollbackResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Literal, Protocol, Union

    from _typeshed import StrPath

    from ._stream import AsyncEventStream, EventStream
    from .events import Event
    from .planner import ExecutionPlan, PlanStep
    from .sandbox import SandboxConfig
    from .testing import TestHistory, TestReport
    from .tools import ToolRegistry, ToolResult

    # What a prompt may answer: yes or no, a word, or the parameters to call the tool with instead.
    _Answer = Union[bool, str, dict[str, Any]]

    class _Planner(Protocol):
        """Whatever makes plans of tasks."""

        def plan(self, task: str, context: Mapping[str, Any] | None = None) -> ExecutionPlan: ...


__all__ = [
    "AgenticExecutor",
    "AsyncEventStream",
    "Change",
    "EventStream",
    "ExecutionMode",
    "ExecutionResult",
    "ExecutionStep",
    "LeftOut",
    "RollbackResult",
]


class ExecutionMode(Enum):
    """How steps are scheduled.

    >>> ExecutionMode("parallel")
    <ExecutionMode.PARALLEL: 'parallel'>
    """

    SEQUENTIAL = "sequential"
    """One after the other, in the order of the plan."""
    PARALLEL = "parallel"
    """Independent steps at once. Tools written in Python are then called on other threads."""
    INTERACTIVE = "interactive"
    """One after the other; each waits for a yes, a no or changed parameters."""


class ExecutionStep(Record):
    """One executed step of a result.

    Args:
        step_id: the step's id in the plan.
        tool: the tool it called.
        params: the arguments, references resolved.
        result: the `ToolResult` of its last attempt. Of a Python tool, the object that it returned.
        start_time: seconds since the epoch when it started. Default 0.
        end_time: seconds since the epoch when it ended; 0 for one that has not. Default 0.
        retries: tries after the first. Default 0.

    >>> ExecutionStep("step_1", "shell", {}, None, 10.0, 12.5).duration
    2.5
    """

    __match_args__ = ("step_id", "tool", "params", "result", "start_time", "end_time", "retries")

    def __init__(
        self,
        step_id: str,
        tool: str,
        params: dict[str, Any],
        result: ToolResult | None = None,
        start_time: float = 0.0,
        end_time: float = 0.0,
        retries: int = 0,
    ) -> None:
        self.step_id = step_id
        self.tool = tool
        self.params = params
        self.result = result
        self.start_time = start_time
        self.end_time = end_time
        self.retries = retries

    @property
    def duration(self) -> float:
        """Seconds from start to end; 0 for a step that has not ended."""
        return max(0.0, self.end_time - self.start_time) if self.end_time > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `step_id, tool, params, result, duration, retries`."""
        return {
            "step_id": self.step_id,
            "tool": self.tool,
            "params": self.params,
            "result": None if self.result is None else self.result.to_dict(),
            "duration": self.duration,
            "retries": self.retries,
        }


class ExecutionResult(Record):
    """What came of a run.

    Args:
        task: what was asked for.
        success: whether all of it was done.
        steps: the executed steps, in the order in which they ended. Default none.
        total_time: seconds from start to end. Default 0.
        error: what went wrong.
        metadata: further facts. `steps`: counts by status. `skipped`: steps and reasons. `recoveries`: what was done
            about failures. `assumptions`: what the planner took for granted. `kind`: `bad_input` when nothing was
            started because the task or plan cannot be meant. `traceback`: of a callback that raised.
        run_id: the run's identity in the journal; empty when nothing was started.
        stop_reason: why it ended: `succeeded`, `failed`, `partial`, `denied`, `limit`, `unenforceable` or `cancelled`.
            Default: by `success`, one of the first two.

    >>> print(ExecutionResult("greet", False, error="no such file").summary())
    Status: FAILED
    Task: greet
    Steps: 0/0 completed
    Time: 0.00s
    Error: no such file
    """

    __match_args__ = ("task", "success", "steps", "total_time", "error", "metadata")
    _keyword_fields = ("run_id", "stop_reason")

    def __init__(
        self,
        task: str,
        success: bool,
        steps: list[ExecutionStep] | None = None,
        total_time: float = 0.0,
        error: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        run_id: str = "",
        stop_reason: str | None = None,
    ) -> None:
        self.task = task
        self.success = success
        self.steps: list[ExecutionStep] = [] if steps is None else steps
        self.total_time = total_time
        self.error = error
        self.metadata: dict[str, Any] = {} if metadata is None else metadata
        self.run_id = run_id
        self.stop_reason = stop_reason or ("succeeded" if success else "failed")

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `task, success, steps, total_time, error, metadata, run_id, stop_reason`."""
        return {
            "task": self.task,
            "success": self.success,
            "steps": [step.to_dict() for step in self.steps],
            "total_time": self.total_time,
            "error": self.error,
            "metadata": self.metadata,
            "run_id": self.run_id,
            "stop_reason": self.stop_reason,
        }

    @property
    def tests(self) -> TestReport | None:
        """What came of the tests that the run ran: the last report of its steps; None when no step has one.

        It is read anew each time: keep it in a variable.
        """
        from ._testing import report_of

        return report_of(self.steps)

    def summary(self) -> str:
        """A few lines for people: status, task, step counts, time, error, recoveries, assumptions."""
        from . import _views

        return _views.summary(self)

    def _repr_html_(self) -> str:
        from . import _views

        return _views.execution_result(self)


class AgenticExecutor:
    """Plans tasks and runs them: steps with tools, in a sandbox, over private layers of a folder, with recovery.

    What happens in a run is told by its result: tasks and tools that fail raise nothing. What is raised is misuse
    (`InvalidTypeError`, `InvalidValueError`, naming the argument), a host that cannot run the sandbox at all
    (`SandboxUnavailableError`), a state folder that cannot be used (`StateError`), and `KeyboardInterrupt`, once
    nothing of the run is left.

    Args:
        registry: the tools that steps may call. Default: `ToolRegistry.default_registry()`.
        sandbox_config: what code may spend, see and reach. Shell commands are granted the same paths, variables and
            network; what they may spend is up to their tool. Default: `SandboxConfig()`.
        mode: how steps are scheduled: an `ExecutionMode`. Default `ExecutionMode.SEQUENTIAL`.
        max_steps: steps that one run may start, retries not counted. Default 50.
        on_step_complete: called with each `ExecutionStep` that has ended, on the calling thread. If it raises, the run
            is ended and its result tells of it.
        on_event: called with each `Event` as it happens, on the calling thread; if it raises, the same holds.
        prompt: asked before each step in interactive mode, and wherever a rule of `approval` says `ask`, with the
            `PlanStep`. It answers True or `"yes"`, False or `"no"`, `"all"` (yes to this and everything after),
            `"quit"`, or a dict: the parameters to call the tool with instead. Default: a question on the terminal;
            where standard input is none, everything that would be asked is declined.
        workspace: the folder that steps act on. Default: the current directory at each call.
        state: the folder for journals and stored file versions. Default: `$AGENTIC_STATE`, else `agentic` in the user's
            state folder.
        max_time: seconds that one run may take. Default: no limit.
        max_retries_total: retries over a whole run. Default 100.
        max_identical_calls: calls of one tool with the same arguments that one run may make. Default: `max_steps`.
        parallel: steps that run at once in parallel mode. Default: the processors.
        staged: hold back what the steps of a run write until all of them have succeeded: later steps see it, the
            workspace does not. True: then apply it, as one change that is rolled back as one. A callable: ask it
            first, with the unified diff; what is true applies, what is false leaves the workspace as it was
            (`stop_reason` is `denied`). `metadata["staged"]` of the result has `applied`. A run that does not succeed
            leaves the workspace as it was. Default False: a step's changes are applied when it ends.
        approval: rules on which calls may be made, the last one that matches decides: dicts with `action` (`"allow"`,
            `"ask"` or `"deny"`) and the globs `tool`, `path` and `command` where wanted. Default: all are allowed.

    Every argument is an attribute that can be set at any time and holds from the next call on; so is `planner`,
    whatever has a `plan(task, context)`. One executor may be used from several threads at once.
    """

    planner: _Planner
    """What makes plans of tasks: a `TaskPlanner` over the registry's tools, unless you set your own."""

    def __init__(
        self,
        registry: ToolRegistry | None = None,
        sandbox_config: SandboxConfig | None = None,
        mode: ExecutionMode = ExecutionMode.SEQUENTIAL,
        max_steps: int = 50,
        on_step_complete: Callable[[ExecutionStep], object] | None = None,
        *,
        on_event: Callable[[Event], object] | None = None,
        prompt: Callable[[PlanStep], _Answer] | None = None,
        workspace: StrPath | None = None,
        state: StrPath | None = None,
        max_time: float | None = None,
        max_retries_total: int | None = None,
        max_identical_calls: int | None = None,
        parallel: int | None = None,
        approval: list[dict[str, str]] | None = None,
        staged: bool | Callable[[str], object] = False,
    ) -> None:
        from . import _run
        from .planner import TaskPlanner
        from .sandbox import SandboxConfig
        from .tools import ToolRegistry

        self.registry: ToolRegistry = ToolRegistry.default_registry() if registry is None else registry
        self.sandbox_config: SandboxConfig = SandboxConfig() if sandbox_config is None else sandbox_config
        self.mode = mode
        self.max_steps = max_steps
        self.on_step_complete = on_step_complete
        self.on_event = on_event
        self.prompt = prompt
        self.workspace = workspace
        self.state = state
        self.max_time = max_time
        self.max_retries_total = max_retries_total
        self.max_identical_calls = max_identical_calls
        self.parallel = parallel
        self.approval: list[dict[str, str]] = [] if approval is None else approval
        self.staged = staged
        _run.check(self)
        self.planner = TaskPlanner(self.registry.list_tools())

    def __repr__(self) -> str:
        tools = ", ".join(self.registry.list_tools())
        return f"AgenticExecutor({tools}; mode={getattr(self.mode, 'value', self.mode)}, max_steps={self.max_steps})"

    def plan(self, task: str, context: Mapping[str, Any] | None = None) -> ExecutionPlan:
        """The plan for a task, by `planner`, without running it.

        Raises:
            PlanningError: no plan can be made of it.

        >>> AgenticExecutor().plan("search for TODO").steps[0].tool
        'search'
        """
        from . import _run

        return _run.make_plan(self, task, context)

    def execute(self, task: str, context: Mapping[str, Any] | None = None) -> ExecutionResult:
        """Plans a task and runs the plan.

        Args:
            task: what to do, in words.
            context: facts for the planner (`path`, `content`, `pattern`, `command`, ...); steps may refer to them as
                `${{ context.key }}`.

        A task that the planner does not understand is a failure that lists what is understood (`metadata["kind"]` is
        `bad_input`).

        >>> AgenticExecutor().execute("greet", {"command": "echo hello"}).success
        True
        >>> AgenticExecutor().execute("sing").metadata["kind"]
        'bad_input'
        """
        from . import _run

        return _run.execute(self, task, context)

    def execute_plan(self, plan: ExecutionPlan | StrPath, context: Mapping[str, Any] | None = None) -> ExecutionResult:
        """Runs a plan, or a plan file.

        Every step starts over; `status`, `result`, `error` and `retry_count` of the given steps follow the run as it
        goes. The workspace and mode that a plan names hold where this executor has none of its own (no `workspace`;
        `mode` left at sequential).

        Args:
            plan: an `ExecutionPlan`, or the path of a plan file.
            context: values for `${{ context.key }}`, over the plan's own.

        A plan that cannot be meant (a cycle, a missing step, mistakes in the file) is a failure; `metadata["kind"]` is
        `bad_input`, and `metadata["problems"]` lists line, column and message of each mistake in a file.

        >>> from agentic_executor import ExecutionPlan
        >>> plan = ExecutionPlan("greet")
        >>> step = plan.add_step("shell", {"command": "echo ${{ context.word }}"}, "Say it")
        >>> AgenticExecutor().execute_plan(plan, {"word": "hello"}).stop_reason
        'succeeded'
        >>> step.status.value, step.result.output
        ('completed', 'hello\\n')
        """
        from . import _run

        return _run.execute_plan(self, plan, context)

    def execute_code(
        self, code: str, description: str = "Execute code", *, language: str = "python"
    ) -> ExecutionResult:
        """Runs code in the sandbox, as a plan of one step; the step's output is what it printed.

        It works in `sandbox_config.working_dir`, else in a private temporary folder of its own, removed afterwards;
        never in `workspace`.

        Args:
            code: the program.
            description: what it is for.
            language: `"python"` (default), `"bash"` or `"javascript"`.

        >>> AgenticExecutor().execute_code("print(6 * 7)").steps[0].result.output
        '42\\n'
        """
        from . import _run

        return _run.execute_code(self, code, description, language)

    def edit_file(self, path: StrPath, old_content: str, new_content: str) -> ExecutionResult:
        """Replaces every occurrence of a text in a file; the step's `metadata["replacements"]` has the count.

        Obeys the allowed paths of `file_read` and `file_write`. A text that is not there is a failure:
        `Old content not found in file`.

        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "config.py")
        ...     with open(path, "w") as file:
        ...         written = file.write("DEBUG = False")
        ...     result = AgenticExecutor(workspace=folder).edit_file("config.py", "False", "True")
        ...     with open(path) as file:
        ...         print(result.success, file.read())
        True DEBUG = True
        """
        from . import _run

        return _run.edit_file(self, path, old_content, new_content)

    def run_tests(
        self,
        test_command: str | None = "pytest",
        working_dir: StrPath | None = None,
        *,
        workers: int | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        global_timeout: float | None = None,
        fail_fast: bool = False,
        flaky: Literal["pass", "fail"] = "pass",
        leaky: Literal["pass", "fail"] = "pass",
        keep: bool = True,
    ) -> ExecutionResult:
        """Runs a project's tests by its own runner; `tests` of the result is the `TestReport`, test by test.

        What fails is run again, each test alone. It is a success when tests ran and none failed: no tests are none.

        Args:
            test_command: the command. None: what the project's files say (pytest, unittest, cargo test, go test, jest,
                ...), which may be several. Any other command is one test that its exit status decides.
                Default `pytest`.
            working_dir: the folder to run it in, absolute or in the workspace. Default: the workspace.
            workers: tests at once. Default: as the project and its runner say.
            retries: how often a test that failed is run again. Default 2; for a command that reports no tests of its
                own, 0.
            timeout: seconds that one test may take. Default 300.
            global_timeout: seconds that the whole may take. Default 600.
            fail_fast: end at the first failure.
            flaky: `"fail"`: a test that failed and then passed fails the run. Default `"pass"`: it is reported.
            leaky: `"fail"`: a test that leaves processes running fails the run. Default `"pass"`.
            keep: keep what the tests write in the workspace, when tests fail, too. False: leave it as it was.

        >>> result = AgenticExecutor().run_tests("exit 3", keep=False)
        >>> result.success, result.tests.status
        (False, <TestRunStatus.FAILED: 'failed'>)
        """
        from . import _run

        options = {
            "workers": workers,
            "retries": retries,
            "timeout": timeout,
            "global_timeout": global_timeout,
            "fail_fast": fail_fast,
            "flaky": flaky,
            "leaky": leaky,
        }
        return _run.run_tests(self, test_command, working_dir, options, keep)

    def test_history(self, runs: int = 100) -> list[TestHistory]:
        """What the journal remembers of the workspace's tests: the flakiest first, then what fails, then the slowest.

        Args:
            runs: how many of the newest runs that ran tests are looked at, by whomever they were started.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     executor = AgenticExecutor(workspace=folder)
        ...     for command in ["test -d .", "test -d .", "test -d ./none"]:
        ...         result = executor.run_tests(command)
        ...     for test in executor.test_history():
        ...         print(test.id, test.runs, test.failed, test.last.value)
        test -d ./none 1 1 failed
        test -d . 2 0 passed
        """
        from . import _run

        return _run.test_history(self, runs)

    def resume(self, run: str, *, force: bool = False, retry: Iterable[str] = ()) -> ExecutionResult:
        """Goes on with a run that was cut off, or that ended before its plan did; its result is that of the whole run.

        Steps that completed answer as they did and are not done again; `on_step_complete` is not told of them. A step
        that was cut off begins with the files as they were before it. The run keeps its id and its folder; the mode,
        the tools and the limits are this executor's.

        Args:
            run: the run's id (`ExecutionResult.run_id`), or enough of its beginning or end.
            force: go on although plan, tools or files are not what the run left.
            retry: steps to call again although they may have done something outside the workspace when the process
                ended, as every tool written in Python may.

        Raises:
            ResumeError: another process runs it, it has succeeded, not all is as it was left (`changed` lists it), or
                a step needs `retry`. Nothing was done.
            InvalidValueError: there is no such run.

        >>> import tempfile
        >>> from agentic_executor import ExecutionPlan
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     executor = AgenticExecutor(workspace=folder)
        ...     plan = ExecutionPlan("note")
        ...     first = plan.add_step("file_write", {"path": "a.txt", "content": "1"}, "Write")
        ...     last = plan.add_step("shell", {"command": "test -e given"}, "Look", [first.id])
        ...     done = executor.execute_plan(plan)
        ...     print(done.success)
        ...     open(folder + "/given", "w").close()
        ...     print(executor.resume(done.run_id).success)
        False
        True
        """
        from . import _run

        return _run.resume(self, run, force, retry)

    def rollback(
        self,
        run: str,
        to: str | None = None,
        paths: Iterable[StrPath] | None = None,
        *,
        dry_run: bool = False,
        force: bool = False,
    ) -> RollbackResult:
        """Takes back what a run did: files, links, folders and permission bits are again what they were before it.

        All of it or nothing, whichever tool did it; a shell's `rm`, too. It is a run of its own in the journal, and can
        be rolled back itself. `on_event`, `approval` and `prompt` hold for it.

        Args:
            run: the run's id (`ExecutionResult.run_id`), or enough of its beginning or end. It may be of another
                executor, of `agentic run` or of another workspace, in the same state folder.
            to: the step whose end is gone back to. Default: the beginning of the run.
            paths: only these paths and what lies beneath them; relative ones are of `workspace`. Default: all.
            dry_run: say what would be done, and do nothing. What is in the way is then told and not raised.
            force: overwrite what somebody else changed since. It is kept first, so that rolling back the rollback
                brings it back.

        Raises:
            RollbackError: somebody else changed a path since (`changed_since` lists them), what the run replaced is not
                kept any more, or the rollback was denied. Nothing was done.
            InvalidValueError: there is no such run or step, or the run changed nothing at one of the paths.

        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     executor = AgenticExecutor(workspace=folder)
        ...     done = executor.execute("note", {"command": "echo tea > note.txt"})
        ...     undone = executor.rollback(done.run_id)
        ...     print([change.kind for change in undone.changes], os.listdir(folder))
        ...     again = executor.rollback(undone.rollback)
        ...     print([change.kind for change in again.changes], os.listdir(folder))
        ['deleted'] []
        ['added'] ['note.txt']
        """
        from . import _run

        return _run.rollback(self, run, to, paths, dry_run, force)

    def diff(self, run: str, step: str | None = None, *, stat: bool = False) -> str:
        """What a run changed, as a unified diff in the form that `git apply` takes.

        Args:
            run: the run's id (`ExecutionResult.run_id`), or enough of its beginning or end.
            step: only what this step changed. Default: all of the run.
            stat: a table of how much each path changed, instead.

        Bytes that were changed again since, by others, are not there to be shown; the diff says so.

        Raises:
            RollbackError: what the run replaced is not kept any more.
            InvalidValueError: there is no such run or step.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     executor = AgenticExecutor(workspace=folder)
        ...     done = executor.execute("note", {"command": "echo tea > note.txt"})
        ...     print(executor.diff(done.run_id), end="")
        ...     print(executor.diff(done.run_id, stat=True), end="")
        diff --git a/note.txt b/note.txt
        new file mode 100644
        --- /dev/null
        +++ b/note.txt
        @@ -0,0 +1 @@
        +tea
         note.txt |    1 +
         1 path changed, 1 lines added, 0 removed
        """
        from . import _run

        return _run.diff(self, run, step, stat)

    def stream(
        self, task_or_plan: str | ExecutionPlan | os.PathLike[str], context: Mapping[str, Any] | None = None
    ) -> EventStream:
        """Runs a task or plan on a thread of its own and yields its events as they happen.

        A str is a task, an `os.PathLike` a plan file. The stream's `result` is the `ExecutionResult`; leaving it early
        (`close()`, the end of a `with`) cancels the run.

            with executor.stream("run tests") as events:
                for event in events:
                    print(event.kind)
            print(events.result.summary())

        >>> with AgenticExecutor().stream("greet", {"command": "echo hello"}) as events:
        ...     kinds = [event.kind for event in events]
        >>> kinds[0], kinds[-1], events.result.success
        ('run_started', 'run_finished', True)
        """
        from ._stream import EventStream

        return EventStream(self, task_or_plan, context)

    async def aexecute(self, task: str, context: Mapping[str, Any] | None = None) -> ExecutionResult:
        """As `execute`, without blocking the event loop.

        The call runs on a thread of its own; so do the callbacks and tools written in Python. Cancelling the task ends
        the run, and waits until nothing of it is left. The same holds for the other methods that begin with `a`.

        >>> import asyncio
        >>> asyncio.run(AgenticExecutor().aexecute("greet", {"command": "echo hello"})).success
        True
        """
        from . import _async, _run

        return await _async.run(lambda cancel: _run.execute(self, task, context, cancel))

    async def aexecute_plan(
        self, plan: ExecutionPlan | StrPath, context: Mapping[str, Any] | None = None
    ) -> ExecutionResult:
        """As `execute_plan`, without blocking the event loop."""
        from . import _async, _run

        return await _async.run(lambda cancel: _run.execute_plan(self, plan, context, cancel))

    async def aexecute_code(
        self, code: str, description: str = "Execute code", *, language: str = "python"
    ) -> ExecutionResult:
        """As `execute_code`, without blocking the event loop."""
        from . import _async, _run

        return await _async.run(lambda cancel: _run.execute_code(self, code, description, language, cancel))

    async def aedit_file(self, path: StrPath, old_content: str, new_content: str) -> ExecutionResult:
        """As `edit_file`, without blocking the event loop."""
        from . import _async, _run

        return await _async.run(lambda cancel: _run.edit_file(self, path, old_content, new_content, cancel))

    async def arun_tests(
        self,
        test_command: str | None = "pytest",
        working_dir: StrPath | None = None,
        *,
        workers: int | None = None,
        retries: int | None = None,
        timeout: float | None = None,
        global_timeout: float | None = None,
        fail_fast: bool = False,
        flaky: Literal["pass", "fail"] = "pass",
        leaky: Literal["pass", "fail"] = "pass",
        keep: bool = True,
    ) -> ExecutionResult:
        """As `run_tests`, without blocking the event loop."""
        from . import _async, _run

        options = {
            "workers": workers,
            "retries": retries,
            "timeout": timeout,
            "global_timeout": global_timeout,
            "fail_fast": fail_fast,
            "flaky": flaky,
            "leaky": leaky,
        }
        return await _async.run(lambda cancel: _run.run_tests(self, test_command, working_dir, options, keep, cancel))

    async def aresume(self, run: str, *, force: bool = False, retry: Iterable[str] = ()) -> ExecutionResult:
        """As `resume`, without blocking the event loop."""
        from . import _async, _run

        return await _async.run(lambda cancel: _run.resume(self, run, force, retry, cancel))

    async def arollback(
        self,
        run: str,
        to: str | None = None,
        paths: Iterable[StrPath] | None = None,
        *,
        dry_run: bool = False,
        force: bool = False,
    ) -> RollbackResult:
        """As `rollback`, without blocking the event loop."""
        from . import _async, _run

        return await _async.run(lambda cancel: _run.rollback(self, run, to, paths, dry_run, force, cancel))

    async def adiff(self, run: str, step: str | None = None, *, stat: bool = False) -> str:
        """As `diff`, without blocking the event loop."""
        from . import _async, _run

        return await _async.run(lambda cancel: _run.diff(self, run, step, stat, cancel))

    def astream(
        self, task_or_plan: str | ExecutionPlan | os.PathLike[str], context: Mapping[str, Any] | None = None
    ) -> AsyncEventStream:
        """As `stream`, for `async for`.

        Closing it (`aclose()`, the end of an `async with`) cancels the run.

            async with executor.astream("run tests") as events:
                async for event in events:
                    print(event.kind)
            print(events.result.summary())
        """
        from ._stream import AsyncEventStream

        return AsyncEventStream(self, task_or_plan, context)


def __getattr__(name: str) -> Any:
    # The streams need threads and queues: imported when somebody names them.
    if name in ("EventStream", "AsyncEventStream"):
        from . import _stream

        return getattr(_stream, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
