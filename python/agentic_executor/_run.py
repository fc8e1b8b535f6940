"""One call of an `AgenticExecutor`: what the engine is told, who listens, and its answer as an `ExecutionResult`.

Each function reads the executor's attributes as they are now, and calls the engine once.
"""

from __future__ import annotations

import os
import time

from . import _fork
from ._checks import count, flag, mapping, seconds, text, type_name, word
from ._convert import check_json
from ._folder import make, remove_tree
from ._plan_form import context_dict, plan_dict, plan_task, read_file
from ._rollback import RollbackResult
from ._sandbox_form import config_or_default, sandbox_now, working_folder
from ._sandbox_run import LANGUAGES
from ._settings import base_settings, check_path
from .errors import AgenticError, InvalidTypeError, InvalidValueError, PlanFileError, PlanningError
from .executor import ExecutionResult, ExecutionStep
from .planner import ExecutionPlan, StepStatus, TaskPlanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._native import Cancel
    from ._testing import TestHistory
    from .events import Event
    from .executor import AgenticExecutor
    from .planner import PlanStep

    _Prompt = Callable[[dict[str, Any]], dict[str, Any]]

_MODES = ("sequential", "parallel", "interactive")
_ACTIONS = ("allow", "ask", "deny")
_VERDICTS = ("pass", "fail")
_YEAR = 365 * 86_400


def check(executor: AgenticExecutor) -> None:
    """Refuses attributes that cannot be meant, by name."""
    from .tools import ToolRegistry

    if not isinstance(executor.registry, ToolRegistry):
        raise InvalidTypeError(f"registry: must be a ToolRegistry, not {type_name(executor.registry)}")
    config_or_default(executor.sandbox_config, "sandbox_config")
    word(executor.mode, "mode", _MODES)
    for name in ("on_step_complete", "on_event", "prompt"):
        callback = getattr(executor, name)
        if callback is not None and not callable(callback):
            raise InvalidTypeError(f"{name}: must be callable, not {type_name(callback)}")
    for name in ("workspace", "state"):
        if getattr(executor, name) is not None:
            check_path(name, getattr(executor, name))
    if not isinstance(executor.staged, bool) and not callable(executor.staged):
        raise InvalidTypeError(f"staged: must be a bool or callable, not {type_name(executor.staged)}")
    count(executor.max_steps, "max_steps", 1)
    _budgets(executor)
    _rules(executor.approval)


def make_plan(executor: AgenticExecutor, task: Any, context: Any) -> ExecutionPlan:
    """The plan that the executor's planner makes of a task."""
    planner = executor.planner
    if isinstance(planner, TaskPlanner) and type(planner).plan is TaskPlanner.plan and executor.workspace is not None:
        # Our own planner looks at the folder that the steps will act on.
        folder = base_settings(executor.workspace)["workspace"]
        return plan_task(task, context, planner.available_tools, folder)
    plan = planner.plan(text(task, "task"), context)
    if not isinstance(plan, ExecutionPlan):
        raise InvalidTypeError(f"planner: must answer with an ExecutionPlan, not {type_name(plan)}")
    return plan


def execute(
    executor: AgenticExecutor,
    task: Any,
    context: Any,
    cancel: Cancel | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> ExecutionResult:
    """Plans a task and runs the plan."""
    text(task, "task")
    context = context_dict(context)
    check(executor)
    try:
        plan = make_plan(executor, task, context)
    except PlanningError as error:
        return _bad_input(task, str(error))
    except AgenticError:
        raise
    except Exception as error:
        return ExecutionResult(task, False, error=_described("planner", error), metadata=_traceback(error))
    return execute_plan(executor, plan, context, cancel, on_event)


def execute_plan(
    executor: AgenticExecutor,
    plan: Any,
    context: Any,
    cancel: Cancel | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> ExecutionResult:
    """Runs a plan or a plan file."""
    if isinstance(plan, (str, os.PathLike)):
        name = os.fspath(plan)
        try:
            plan = read_file(ExecutionPlan, plan)
        except PlanFileError as error:
            return _bad_input(str(name), str(error), problems=error.problems)
        except OSError as error:
            return _bad_input(str(name), f"failed to read the plan {name}: {error.strerror or error}")
    form = plan_dict(plan, fresh=True)
    own = form["metadata"].get("context")
    merged = {**own, **context_dict(context)} if isinstance(own, dict) else context_dict(context)
    request = {"kind": "plan", "plan": form, "context": merged}
    told = _settings(executor, plan.workspace if executor.workspace is None else executor.workspace)
    if plan.mode is not None and told["mode"] == "sequential":
        told["mode"] = word(plan.mode, "plan.mode", _MODES)
    for step in plan.steps:
        step.status, step.result, step.error, step.retry_count = StepStatus.PENDING, None, None, 0
    return _Run(executor, plan.task, plan, on_event).go(told, request, cancel)


def execute_code(
    executor: AgenticExecutor, code: Any, description: Any, language: Any, cancel: Cancel | None = None
) -> ExecutionResult:
    """Runs code, in the configured folder or in one of its own."""
    request = {
        "kind": "code",
        "code": text(code, "code"),
        "description": text(description, "description"),
        "language": word(language, "language", LANGUAGES),
    }
    check(executor)
    folder = working_folder(executor.sandbox_config)
    if folder is not None:
        return _Run(executor, description).go(_settings(executor, folder), request, cancel)
    folder = make("agentic-code-")
    try:
        run = _Run(executor, description)
        # The folder is the code's own and goes with it: nothing is held back from anybody.
        run.staged = False
        return run.go(_settings(executor, folder), request, cancel)
    finally:
        remove_tree(folder)


def edit_file(
    executor: AgenticExecutor, path: Any, old_content: Any, new_content: Any, cancel: Cancel | None = None
) -> ExecutionResult:
    """Replaces a text in a file."""
    check_path("path", path)
    request = {
        "kind": "edit",
        "path": os.fspath(path),
        "old": text(old_content, "old_content"),
        "new": text(new_content, "new_content"),
    }
    told = _settings(executor, executor.workspace)
    return _Run(executor, f"Edit {os.fspath(path)}").go(told, request, cancel)


def run_tests(
    executor: AgenticExecutor,
    test_command: Any,
    working_dir: Any,
    options: dict[str, Any],
    keep: Any,
    cancel: Cancel | None = None,
) -> ExecutionResult:
    """Runs a test command, or the tests that the project's files tell of."""
    if working_dir is not None:
        check_path("working_dir", working_dir)
        working_dir = os.fspath(working_dir)
    params = _test_params(test_command, **options)
    request = {"kind": "tests", "params": params, "working_dir": working_dir, "keep": flag(keep, "keep")}
    return _Run(executor, "Run tests").go(_settings(executor, executor.workspace), request, cancel)


def _test_params(
    command: Any,
    workers: Any,
    retries: Any,
    timeout: Any,
    global_timeout: Any,
    fail_fast: Any,
    flaky: Any,
    leaky: Any,
) -> dict[str, Any]:
    """The arguments of `run_tests`; what is None has the tool's default, but the limit of the whole."""
    if command is not None:
        check_json(text(command, "test_command"), "test_command")
    return {
        "command": command,
        "workers": None if workers is None else count(workers, "workers", 1, 1024),
        "retries": None if retries is None else count(retries, "retries", 0, 20),
        "timeout": None if timeout is None else seconds(timeout, "timeout", _YEAR),
        "global_timeout": 600.0 if global_timeout is None else seconds(global_timeout, "global_timeout", _YEAR),
        "fail_fast": flag(fail_fast, "fail_fast"),
        "flaky": word(flaky, "flaky", _VERDICTS),
        "leaky": word(leaky, "leaky", _VERDICTS),
    }


def test_history(executor: AgenticExecutor, runs: Any) -> list[TestHistory]:
    """What the journal remembers of the workspace's tests."""
    from . import _native
    from ._testing import TestHistory

    count(runs, "runs", 1)
    told = _native.test_history(_settings(executor, executor.workspace), runs)
    return [TestHistory.from_dict(one) for one in told]


def rollback(
    executor: AgenticExecutor,
    run: Any,
    to: Any,
    paths: Any,
    dry_run: Any,
    force: Any,
    cancel: Cancel | None = None,
) -> RollbackResult:
    """Takes back what a run did."""
    request: dict[str, Any] = {
        "run": _run_id(run),
        "to": None if to is None else text(to, "to"),
        "paths": [] if paths is None else _paths(paths),
        "dry_run": flag(dry_run, "dry_run"),
        "force": flag(force, "force"),
    }
    told = _settings(executor, executor.workspace)
    return RollbackResult._from_native(_Run(executor, "Roll back").roll_back(told, request, cancel), request["to"])


def resume(
    executor: AgenticExecutor, run: Any, force: Any, retry: Any, cancel: Cancel | None = None
) -> ExecutionResult:
    """Goes on with a run."""
    if isinstance(retry, (str, bytes)) or not hasattr(retry, "__iter__"):
        raise InvalidTypeError(f"retry: must be a list of steps, not {type_name(retry)}")
    steps = [text(step, f"retry[{index}]") for index, step in enumerate(retry)]
    request = {"kind": "resume", "run": _run_id(run), "force": flag(force, "force"), "retry": steps}
    return _Run(executor, "Resume").go(_settings(executor, executor.workspace), request, cancel)


def diff(executor: AgenticExecutor, run: Any, step: Any, stat: Any, cancel: Cancel | None = None) -> str:
    """What a run changed."""
    from . import _native

    run, step = _run_id(run), None if step is None else text(step, "step")
    flag(stat, "stat")
    return _native.diff(_settings(executor, executor.workspace), run, step, stat, cancel)


def _run_id(run: Any) -> str:
    if not text(run, "run").strip():
        raise InvalidValueError("run: is empty; a result whose run was never started has no id")
    return str(run)


def _paths(paths: Any) -> list[str]:
    if isinstance(paths, (str, bytes, os.PathLike)) or not hasattr(paths, "__iter__"):
        raise InvalidTypeError(f"paths: must be a list of paths, not {type_name(paths)}")
    listed = list(paths)
    if not listed:
        raise InvalidValueError("paths: is empty; None takes all of the run back")
    for index, path in enumerate(listed):
        check_path(f"paths[{index}]", path)
    return [os.fspath(path) for path in listed]


class _Run:
    """Who listens to one run, and what has been heard of it."""

    def __init__(
        self,
        executor: AgenticExecutor,
        task: str,
        plan: ExecutionPlan | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        self.executor = executor
        self.task = task
        self.plan = plan
        # Read once, so that one run has one listener of each kind.
        self.on_step_complete = executor.on_step_complete
        self.staged = executor.staged
        self.listeners = [listener for listener in (on_event, executor.on_event) if listener is not None]
        self.planned: dict[str, PlanStep] = {}
        for step in plan.steps if plan is not None else ():
            self.planned.setdefault(step.id, step)
        self.steps: dict[str, ExecutionStep] = {}
        self.raised: tuple[str, Exception] | None = None

    def go(self, told: dict[str, Any], request: dict[str, Any], cancel: Cancel | None) -> ExecutionResult:
        """Runs it to its end."""
        from . import _native

        began = time.perf_counter()
        ended = False
        try:
            answer = _native.run(
                told,
                self.executor.registry._engine_tools(),
                request,
                cancel,
                on_step=self._on_step if self.on_step_complete or self.planned or self.listeners else None,
                on_event=self._on_event if self.listeners else None,
                on_status=self._on_status if self.planned else None,
                prompt=self._prompt(told["mode"]),
                review=self._review(),
            )
            ended = True
        except Exception:
            if self.raised is None:
                raise
            return self._broken_off(*self.raised, time.perf_counter() - began)
        finally:
            if not ended:
                self._settle()
        return self._result(answer)

    def roll_back(self, told: dict[str, Any], request: dict[str, Any], cancel: Cancel | None) -> dict[str, Any]:
        """Takes a run back. What a listener raises is raised: there is no result yet to tell of it."""
        from . import _native

        return _native.roll_back(
            told,
            self.executor.registry._engine_tools(),
            request,
            cancel,
            on_step=self._on_step if self.on_step_complete or self.listeners else None,
            on_event=self._on_event if self.listeners else None,
            prompt=self._prompt(told["mode"]),
        )

    def _review(self) -> Callable[[str], object] | None:
        staged = self.staged
        if isinstance(staged, bool):
            return (lambda diff: True) if staged else None
        return lambda diff: self._call("staged", staged, diff)

    def _result(self, answer: dict[str, Any]) -> ExecutionResult:
        return ExecutionResult(
            answer["task"],
            answer["success"],
            [self._step(step) for step in answer["steps"]],
            answer["total_time"],
            answer["error"],
            answer["metadata"],
            run_id=answer["run_id"],
            stop_reason=answer["stop_reason"],
        )

    def _broken_off(self, callback: str, error: Exception, took: float) -> ExecutionResult:
        return ExecutionResult(
            self.task,
            False,
            list(self.steps.values()),
            took,
            _described(callback, error),
            _traceback(error),
            stop_reason="cancelled",
        )

    def _settle(self) -> None:
        """Steps of a run that was broken off are told nothing any more: what did not end has failed."""
        for step in self.planned.values():
            if step.status is StepStatus.RUNNING:
                step.status, step.error = StepStatus.FAILED, "the run was broken off"
            elif step.status is StepStatus.PENDING:
                step.status = StepStatus.SKIPPED

    def _step(self, form: dict[str, Any]) -> ExecutionStep:
        """The step's object: the same one for the callback and for the result."""
        from ._convert import result_from

        step = self.steps.get(form["step_id"])
        if step is None:
            step = self.steps[form["step_id"]] = ExecutionStep(form["step_id"], "", {})
        # What the engine calls `run_code` is the sandbox to whoever called `execute_code`.
        step.tool = "sandbox" if self.plan is None and form["tool"] == "run_code" else form["tool"]
        step.params = form["params"]
        result = None if form["result"] is None else result_from(form["result"])
        if _differ(step.result, result):
            step.result = result
        step.start_time, step.end_time, step.retries = form["start_time"], form["end_time"], form["retries"]
        planned = self.planned.get(step.step_id)
        if planned is not None:
            planned.result = step.result
        return step

    def _on_step(self, form: dict[str, Any]) -> None:
        step = self._step(form)
        if self.on_step_complete is not None:
            self._call("on_step_complete", self.on_step_complete, step)

    def _on_status(self, step_id: str, status: str, attempts: int, error: str | None) -> None:
        step = self.planned.get(step_id)
        if step is not None:
            step.status, step.error, step.retry_count = StepStatus(status), error, max(0, attempts - 1)

    def _on_event(self, form: dict[str, Any]) -> None:
        from .events import Event

        event = Event._from_native(form)
        for listener in self.listeners:
            self._call("on_event", listener, event)

    def _call(self, name: str, callback: Callable[..., object], *args: object) -> object:
        process = os.getpid()
        try:
            answer = callback(*args)
        except BaseException as error:
            _fork.end_child(process, error)
            if isinstance(error, Exception):
                self.raised = (name, error)
            raise
        _fork.end_child(process, None)
        return answer

    def _prompt(self, mode: str) -> _Prompt | None:
        """What the engine asks: the executor's own prompt, else the terminal, else nobody."""
        from . import _prompt

        own = self.executor.prompt
        if own is None:
            if _prompt.has_terminal():
                return lambda form: self._asked(_prompt.ask, form)
            # Interactive mode needs somebody to ask; nobody is there to say yes.
            return (lambda form: {"answer": "no"}) if mode == "interactive" else None
        return lambda form: self._asked(own, form)

    def _asked(self, prompt: Callable[[PlanStep], object], form: dict[str, Any]) -> dict[str, Any]:
        from ._plan_form import step_object
        from ._prompt import answer_dict

        # Its own step, so that a prompt that plays with it changes nothing by accident.
        return answer_dict(self._call("prompt", prompt, step_object(form)))


def _differ(known: object, told: object) -> bool:
    """Whether two results say different things. What a tool's output answers to `==` is its own affair."""
    if known is told:
        return False
    try:
        return bool(known != told)
    except Exception:  # an array, say, is not equal or different as a whole
        return True


def _settings(executor: AgenticExecutor, workspace: Any) -> dict[str, Any]:
    """What the engine is told by an executor."""
    check(executor)
    told = base_settings(workspace, state=executor.state, durable=True)
    if not os.path.isdir(told["workspace"]):
        raise InvalidValueError(f"workspace: {told['workspace']} is not a folder")
    told["mode"] = word(executor.mode, "mode", _MODES)
    told["max_steps"] = executor.max_steps
    told["budgets"] = _budgets(executor)
    told["sandbox"] = sandbox_now(executor.sandbox_config)
    told["approval"] = _rules(executor.approval)
    return told


def _budgets(executor: AgenticExecutor) -> dict[str, Any]:
    budgets: dict[str, Any] = {}
    if executor.max_time is not None:
        budgets["time"] = seconds(executor.max_time, "max_time", _YEAR)
    if executor.max_retries_total is not None:
        budgets["retries"] = count(executor.max_retries_total, "max_retries_total")
    # A plan that somebody wrote may repeat itself as often as it may have steps.
    same = executor.max_steps if executor.max_identical_calls is None else executor.max_identical_calls
    budgets["identical_calls"] = count(same, "max_identical_calls", 1)
    if executor.parallel is not None:
        budgets["parallel"] = count(executor.parallel, "parallel", 1, 1024)
    return budgets


def _rules(rules: Any) -> list[dict[str, str]]:
    if isinstance(rules, (str, bytes, dict)) or not hasattr(rules, "__iter__"):
        raise InvalidTypeError(f"approval: must be a list of dicts, not {type_name(rules)}")
    checked = []
    for index, rule in enumerate(rules):
        name = f"approval[{index}]"
        fields = {text(key, name): value for key, value in mapping(rule, name).items() if value is not None}
        unknown = [key for key in fields if key not in ("action", "tool", "path", "command")]
        if unknown:
            raise InvalidValueError(f"{name}: has the keys action, tool, path and command, not {unknown[0]!r}")
        rule = {key: text(value, f"{name}[{key!r}]") for key, value in fields.items() if key != "action"}
        checked.append({"action": word(fields.get("action"), f"{name}['action']", _ACTIONS), **rule})
    return checked


def _bad_input(task: str, error: str, **facts: Any) -> ExecutionResult:
    return ExecutionResult(task, False, error=error, metadata={"kind": "bad_input", **facts})


def _described(callback: str, error: Exception) -> str:
    kind = type(error).__name__
    try:
        said = str(error)
    except Exception:  # a user's `__str__` is no safer than the rest of the user's code
        said = ""
    return f"{callback} raised {kind}: {said}" if said else f"{callback} raised {kind}"


def _traceback(error: Exception) -> dict[str, Any]:
    import traceback

    return {"traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__))}
