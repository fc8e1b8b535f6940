"""Plans: steps with what they depend on, how they are made from a task, and what follows a failure.

A plan is made of ordinary objects. It may be wrong while it is being built; running or rendering it checks it.

>>> plan = ExecutionPlan("greet")
>>> first = plan.add_step("file_write", {"path": "hi.txt", "content": "hi"}, "Write it")
>>> second = plan.add_step("file_read", {"path": "hi.txt"}, "Read it", [first.id])
>>> print(plan.summary())
Task: greet
Steps:
  1. [pending] file_write - Write it
  2. [pending] file_read - Read it (depends on: step_1)
"""

from __future__ import annotations

import os
from enum import Enum

from ._record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from .executor import ExecutionMode

__all__ = ["ExecutionPlan", "PlanStep", "RetryPolicy", "StepStatus", "TaskPlanner"]


class StepStatus(Enum):
    """Where a step stands.

    >>> StepStatus("completed")
    <StepStatus.COMPLETED: 'completed'>
    """

    PENDING = "pending"
    """Not started."""
    RUNNING = "running"
    """Started."""
    COMPLETED = "completed"
    """Done."""
    FAILED = "failed"
    """Failed for good."""
    SKIPPED = "skipped"
    """Never started: a dependency failed, its `when` was false, or a person said no."""


class RetryPolicy(Record):
    """How often and how soon a failed step is tried again.

    Args:
        max: tries after the first, 0 to 1000. Default 2.
        delay: seconds before the first of them. Default 0.2.
        factor: each wait is this many times the one before, 1 to 100. Default 2.
        max_delay: the longest wait in seconds. Default 30.
        jitter: whether each wait is shortened by a random part. Default True.

    Values are checked when the plan runs.

    >>> RetryPolicy(max=5, delay=1.0).factor
    2.0
    """

    __match_args__ = ("max", "delay", "factor", "max_delay", "jitter")

    def __init__(
        self,
        max: int = 2,
        delay: float = 0.2,
        factor: float = 2.0,
        max_delay: float = 30.0,
        jitter: bool = True,
    ) -> None:
        self.max = max
        self.delay = delay
        self.factor = factor
        self.max_delay = max_delay
        self.jitter = jitter


class PlanStep(Record):
    """One tool call of a plan, with its place and its policies.

    Args:
        id: its name in the plan: `step_1`, ...
        tool: the tool it calls.
        params: the tool's arguments; strings may hold `${{ ... }}` references to `context`, `task` and earlier steps.
        description: what it is for.
        depends_on: ids of the steps that must have completed before it starts. Default none.
        status: where it stands. Default `StepStatus.PENDING`.
        result: the `ToolResult` of its last attempt, once there is one.
        error: what went wrong.
        retry_count: tries after the first, so far.
        max_retries: tries after the first that it may have. Default 2. The same number as `retry.max`.
        retry: a `RetryPolicy` with the waits between tries. When it is given, `max_retries` follows it.
        commit: when its writes reach the workspace: `"on_success"` (default), `"always"` or `"never"`.
        expect: `"success"` (default), or `"failure"`: it completes when tests ran and some failed, and only then.
        timeout: seconds it may take, up to a week. Default: the tool's own.
        on_failure: what follows when it has failed for good. `"stop"` (default): the run stops. `"continue"`: steps
            that do not depend on it go on. `"rollback"`: as `stop`, and its writes are dropped whatever `commit` says.
            `"replan"`: the planner may put another step in its place. `{"fallback": [ids]}`: these run instead.
        when: runs only if this `${{ ... }}` expression is true.
        for_each: `{"items": list or reference, "name": "item"}` repeats it over a list; `name` may be left out.

    Every field can be set at any time; a run reads the fields when it starts, and checks them.

    >>> step = PlanStep("build", "shell", {"command": "make"}, "Build", timeout=600)
    >>> step.status, step.can_retry()
    (<StepStatus.PENDING: 'pending'>, True)
    """

    __match_args__ = (
        "id",
        "tool",
        "params",
        "description",
        "depends_on",
        "status",
        "result",
        "error",
        "retry_count",
        "max_retries",
    )
    _keyword_fields = ("retry", "commit", "expect", "timeout", "on_failure", "when", "for_each")

    def __init__(
        self,
        id: str,
        tool: str,
        params: dict[str, Any],
        description: str,
        depends_on: Sequence[str] | None = None,
        status: StepStatus = StepStatus.PENDING,
        result: Any = None,
        error: str | None = None,
        retry_count: int = 0,
        max_retries: int = 2,
        *,
        retry: RetryPolicy | None = None,
        commit: str = "on_success",
        expect: str = "success",
        timeout: float | None = None,
        on_failure: str | dict[str, list[str]] = "stop",
        when: str | None = None,
        for_each: dict[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.tool = tool
        self.params = params
        self.description = description
        self.depends_on: list[str] = _id_list(depends_on)
        self.status = status
        self.result: Any = result
        self.error = error
        self.retry_count = retry_count
        self._retry = RetryPolicy(max=max_retries) if retry is None else retry
        self.commit = commit
        self.expect = expect
        self.timeout = timeout
        self.on_failure = on_failure
        self.when = when
        self.for_each = for_each

    @property
    def retry(self) -> RetryPolicy:
        """How often and how soon it is tried again; None sets the default policy."""
        return self._retry

    @retry.setter
    def retry(self, policy: RetryPolicy | None) -> None:
        self._retry = RetryPolicy() if policy is None else policy

    @property
    def max_retries(self) -> int:
        """Tries after the first that it may have: `retry.max`."""
        return self._retry.max

    @max_retries.setter
    def max_retries(self, count: int) -> None:
        # A policy may be shared by several steps, and this one alone is meant.
        old = self._retry
        self._retry = RetryPolicy(count, old.delay, old.factor, old.max_delay, old.jitter)

    def _is_shown(self, field: str, value: Any) -> bool:
        if field == "retry":
            return bool(value != RetryPolicy(max=self.max_retries))
        return super()._is_shown(field, value)

    def can_retry(self) -> bool:
        """Whether a try is left."""
        return self.retry_count < self.max_retries

    def to_dict(self) -> dict[str, Any]:
        """The step as plain values.

        Keys: `id, tool, params, description, depends_on, status, result, error`, then those policies that differ from
        their defaults, named as in plan files (`retries, timeout, commit, expect, on_failure, when, for_each`).
        """
        result = self.result
        form: dict[str, Any] = {
            "id": self.id,
            "tool": self.tool,
            "params": self.params,
            "description": self.description,
            "depends_on": list(self.depends_on),
            "status": _status_word(self.status),
            "result": result.to_dict() if hasattr(result, "to_dict") else result,
            "error": self.error,
        }
        form.update(_policies(self))
        return form


class ExecutionPlan(Record):
    """Steps for a task, and what they depend on.

    Args:
        task: what was asked for.
        steps: the steps, in the order in which sequential mode runs them. Default none.
        metadata: further facts. `assumptions` lists what the planner took for granted; `context` holds values that
            steps refer to as `${{ context.key }}`.
        workspace: the folder that the plan's steps act on, for an executor without one of its own. Default: none.
        mode: an `ExecutionMode` (or its word) for an executor that leaves its own at sequential. Default: none.

    `len(plan)` counts the steps and iterating over it yields them.
    """

    __match_args__ = ("task", "steps", "metadata")
    _keyword_fields = ("workspace", "mode")

    def __init__(
        self,
        task: str,
        steps: list[PlanStep] | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        workspace: str | os.PathLike[str] | None = None,
        mode: ExecutionMode | str | None = None,
    ) -> None:
        self.task = task
        self.steps: list[PlanStep] = [] if steps is None else steps
        self.metadata: dict[str, Any] = {} if metadata is None else metadata
        self.workspace = workspace
        self.mode = mode

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ExecutionPlan:
        """The plan of a file: YAML, and so JSON.

        The file's context becomes `metadata["context"]`; its workspace is taken from the file's own folder.

        Raises:
            PlanFileError: with every problem at its line and column.
            OSError: the file cannot be read.
        """
        from . import _plan_form

        return _plan_form.read_file(cls, path)

    @classmethod
    def from_yaml(cls, text: str) -> ExecutionPlan:
        """The plan that a text in the form of a plan file describes.

        Raises:
            PlanFileError: with every problem at its line and column.

        >>> plan = ExecutionPlan.from_yaml("steps: [{tool: shell, params: {command: make}, timeout: 10m}]")
        >>> plan.steps[0].timeout
        600.0
        """
        from . import _plan_form

        return _plan_form.read_text(cls, text, "<string>", None)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[PlanStep]:
        return iter(self.steps)

    def __bool__(self) -> bool:
        # A plan without steps is still a plan: `if plan:` asks for None.
        return True

    def add_step(
        self,
        tool: str,
        params: dict[str, Any],
        description: str,
        depends_on: Sequence[str] | None = None,
        **policies: Any,
    ) -> PlanStep:
        """Adds a pending step with the next free id (`step_1`, `step_2`, ...) and returns it.

        Args:
            tool: the tool it calls.
            params: the tool's arguments.
            description: what it is for.
            depends_on: ids of the steps that must have completed before. Default none.
            **policies: any of the keyword arguments of `PlanStep`, and `max_retries`.

        >>> plan = ExecutionPlan("test")
        >>> plan.add_step("shell", {"command": "pytest"}, "Test", timeout=600, max_retries=0).id
        'step_1'
        """
        taken = {step.id for step in self.steps}
        number = len(self.steps) + 1
        while f"step_{number}" in taken:
            number += 1
        step = PlanStep(f"step_{number}", tool, params, description, depends_on, **policies)
        self.steps.append(step)
        return step

    def get_step(self, id: str) -> PlanStep | None:
        """The step of that id, or None."""
        return next((step for step in self.steps if step.id == id), None)

    def get_ready_steps(self) -> list[PlanStep]:
        """The steps that can start now, in the order of the plan.

        Pending, every dependency completed, and no mere stand-in (fallback) of another step.
        """
        completed = {step.id for step in self.steps if _status_word(step.status) == "completed"}
        stand_ins = {id for step in self.steps for id in _fallback(step)}
        return [
            step
            for step in self.steps
            if _status_word(step.status) == "pending"
            and step.id not in stand_ins
            and all(id in completed for id in step.depends_on)
        ]

    def is_complete(self) -> bool:
        """Whether every step is completed, failed or skipped. True of a plan without steps."""
        return all(_status_word(step.status) in ("completed", "failed", "skipped") for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain values: `task`, `steps` (`PlanStep.to_dict`), `metadata`; `workspace`, `mode` if set."""
        form: dict[str, Any] = {
            "task": self.task,
            "steps": [step.to_dict() for step in self.steps],
            "metadata": self.metadata,
        }
        if self.workspace is not None:
            form["workspace"] = os.fspath(self.workspace)
        if self.mode is not None:
            form["mode"] = getattr(self.mode, "value", self.mode)
        return form

    def summary(self) -> str:
        """The task and its numbered steps, a line each, as people read them. No newline at the end."""
        lines = [f"Task: {self.task}", "Steps:"]
        for number, step in enumerate(self.steps, 1):
            line = f"  {number}. [{_status_word(step.status)}] {step.tool} - {step.description}"
            if step.expect == "failure":
                line += " (expects failed tests)"
            if step.depends_on:
                line += f" (depends on: {', '.join(step.depends_on)})"
            lines.append(line)
        return "\n".join(lines)

    def to_yaml(self) -> str:
        """The plan as a plan file. Reading it back gives the same plan, all steps pending.

        Raises:
            InvalidTypeError, InvalidValueError: a field or value that a plan file cannot hold, by name.
        """
        return self.render("yaml")

    def render(self, format: str = "text") -> str:
        """The plan in another form, with a newline at the end.

        Args:
            format: `"text"` (the summary and its assumptions), `"json"`, `"yaml"` (a plan file), `"mermaid"`, `"dot"`.

        Raises:
            InvalidTypeError, InvalidValueError: an unknown format; a field or value that cannot be written, by name.

        >>> plan = ExecutionPlan("make")
        >>> step = plan.add_step("shell", {"command": "make"}, "Build")
        >>> print(plan.render("mermaid"), end="")
        flowchart TD
            s1["1. Build (shell)"]
        """
        from . import _plan_form

        return _plan_form.render(self, format)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the plan to a file, as JSON where the name ends in `.json`, else as YAML.

        Raises:
            InvalidTypeError, InvalidValueError: as `render`.
            OSError: the file cannot be written.
        """
        text = self.render("json" if os.fspath(path).lower().endswith(".json") else "yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def _repr_html_(self) -> str:
        from . import _views

        return _views.plan(self)


class TaskPlanner:
    """Makes plans of tasks by rules, and says what may follow a failure.

    Args:
        available_tools: names of the tools that a plan may use. The list can be changed at any time.

    >>> TaskPlanner(["search", "shell"]).available_tools
    ['search', 'shell']
    """

    def __init__(self, available_tools: list[str]) -> None:
        self.available_tools = available_tools

    def __repr__(self) -> str:
        return f"TaskPlanner({self.available_tools!r})"

    def plan(self, task: str, context: Mapping[str, Any] | None = None) -> ExecutionPlan:
        """The plan for a task in words. What the current directory holds (test settings, say) is taken into account.

        Args:
            task: what to do: read, write, search, test, install, commit, refactor, or a command of the context.
            context: facts: `path`, `content`, `pattern`, `command`, `package`, `message`, `old_name`, `new_name`.

        Raises:
            PlanningError: no rule understands the task, or a tool it needs is not available; the message lists what
                is understood.
            InvalidTypeError, InvalidValueError: an argument of the wrong type or with a value that cannot be, by name.

        >>> plan = TaskPlanner(["search"]).plan("search for TODO")
        >>> plan.steps[0].params["pattern"]
        'TODO'
        """
        from . import _plan_form
        from ._settings import current_directory

        return _plan_form.plan_task(task, context, self.available_tools, current_directory())

    def replan_on_failure(self, plan: ExecutionPlan, failed_step: PlanStep, error: str) -> PlanStep | None:
        """What may be tried in place of a step that failed; a new step, not yet part of the plan.

        By cause first: a file that is not found becomes a `search` for its name. A cause that cannot change and has no
        remedy: None. Else, while retries are left, the same step again, pending, `retry_count` one higher. Then what
        the recovery table has. None when nothing can help.

        Args:
            plan: the plan that the step belongs to.
            failed_step: the step; its `result`, when it has one, goes before the text of `error`.
            error: what went wrong, in words.

        Raises:
            InvalidTypeError, InvalidValueError: an argument of the wrong type or with a value that cannot be, by name.

        >>> plan = ExecutionPlan("read config")
        >>> step = plan.add_step("file_read", {"path": "config.yaml"}, "Read config")
        >>> step.status = StepStatus.FAILED
        >>> TaskPlanner(["file_read", "search"]).replan_on_failure(plan, step, "file not found").tool
        'search'
        """
        from . import _plan_form

        return _plan_form.replan(self.available_tools, plan, failed_step, error)


def _id_list(ids: Sequence[str] | None) -> list[str]:
    if ids is None:
        return []
    # One id is meant as one, not as its letters. A list stays the caller's own.
    if isinstance(ids, str):
        return [ids]
    return ids if isinstance(ids, list) else list(ids)


def _status_word(status: Any) -> Any:
    return status.value if isinstance(status, StepStatus) else status


def _fallback(step: PlanStep) -> list[str]:
    policy = step.on_failure
    return policy.get("fallback", []) if isinstance(policy, dict) else []


def _policies(step: PlanStep) -> dict[str, Any]:
    form: dict[str, Any] = {}
    if step.retry != RetryPolicy():
        plain = step.retry == RetryPolicy(max=step.max_retries)
        names = RetryPolicy.__match_args__
        form["retries"] = step.max_retries if plain else {name: getattr(step.retry, name) for name in names}
    if step.timeout is not None:
        form["timeout"] = step.timeout
    if step.commit != "on_success":
        form["commit"] = step.commit
    if step.expect != "success":
        form["expect"] = step.expect
    if step.on_failure != "stop":
        form["on_failure"] = step.on_failure
    if step.when is not None:
        form["when"] = step.when
    if step.for_each is not None:
        form["for_each"] = step.for_each
    return form
