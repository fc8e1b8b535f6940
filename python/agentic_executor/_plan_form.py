"""Plans as the engine has them: objects to plain dicts and back.

What the engine is told is checked here for its shape, by name (`steps[0].depends_on`); what JSON cannot hold is found
by the engine itself when it takes the values over.
"""

from __future__ import annotations

import os

from ._checks import count, flag, mapping, number, seconds, text, texts, type_name, word
from .errors import InvalidTypeError, InvalidValueError, PlanFileError
from .planner import ExecutionPlan, PlanStep, RetryPolicy, StepStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar

    _Plan = TypeVar("_Plan", bound=ExecutionPlan)

_WEEK = 604_800
_MOST_RETRIES = 1000
_FORMATS = ("text", "json", "yaml", "mermaid", "dot")
_COMMIT = ("on_success", "always", "never")
_EXPECT = ("success", "failure")
_ON_FAILURE = ("stop", "continue", "rollback", "replan")
_MODES = ("sequential", "parallel", "interactive")


def plan_dict(plan: Any, *, fresh: bool = False) -> dict[str, Any]:
    """The plan for the engine; `fresh` with every step pending, as a run begins."""
    if not isinstance(plan, ExecutionPlan):
        raise InvalidTypeError(f"plan: must be an ExecutionPlan, not {type_name(plan)}")
    if not isinstance(plan.steps, (list, tuple)):
        raise InvalidTypeError(f"plan.steps: must be a list, not {type_name(plan.steps)}")
    return {
        "task": text(plan.task, "plan.task"),
        "metadata": mapping(plan.metadata, "plan.metadata"),
        "steps": [step_dict(step, f"steps[{index}]", fresh=fresh) for index, step in enumerate(plan.steps)],
    }


def step_dict(step: Any, name: str, *, fresh: bool = False) -> dict[str, Any]:
    """The step for the engine; `name` is what messages call it."""
    if not isinstance(step, PlanStep):
        raise InvalidTypeError(f"{name}: must be a PlanStep, not {type_name(step)}")
    status = word(step.status, f"{name}.status", tuple(known.value for known in StepStatus))
    return {
        "id": text(step.id, f"{name}.id"),
        "tool": text(step.tool, f"{name}.tool"),
        "params": mapping(step.params, f"{name}.params"),
        "description": text(step.description, f"{name}.description"),
        "depends_on": texts(step.depends_on, f"{name}.depends_on"),
        "status": "pending" if fresh else status,
        "result": None if fresh else _result(step.result),
        "error": None if fresh or step.error is None else str(step.error),
        "retry_count": 0 if fresh else count(step.retry_count, f"{name}.retry_count"),
        "retry": _retry(step.retry, name),
        "commit": word(step.commit, f"{name}.commit", _COMMIT),
        "expect": word(step.expect, f"{name}.expect", _EXPECT),
        "timeout": None if step.timeout is None else seconds(step.timeout, f"{name}.timeout", _WEEK),
        "on_failure": _on_failure(step.on_failure, f"{name}.on_failure"),
        "when": _when(step.when, f"{name}.when"),
        "for_each": _for_each(step.for_each, f"{name}.for_each"),
    }


def step_object(form: Mapping[str, Any]) -> PlanStep:
    """The step that the engine tells of."""
    retry = form.get("retry")
    result = form.get("result")
    return PlanStep(
        form["id"],
        form["tool"],
        dict(form["params"]),
        form["description"],
        list(form.get("depends_on") or ()),
        StepStatus(form.get("status", "pending")),
        None if result is None else _result_object(result),
        form.get("error"),
        form.get("retry_count", 0),
        retry=None if retry is None else RetryPolicy(**retry),
        commit=form.get("commit", "on_success"),
        expect=form.get("expect", "success"),
        timeout=form.get("timeout"),
        on_failure=form.get("on_failure", "stop"),
        when=form.get("when"),
        for_each=form.get("for_each"),
    )


def plan_object(kind: type[_Plan], form: Mapping[str, Any]) -> _Plan:
    """The plan that the engine tells of."""
    return kind(form["task"], [step_object(step) for step in form["steps"]], dict(form.get("metadata") or {}))


def plan_task(task: Any, context: Any, available_tools: Any, workspace: str) -> ExecutionPlan:
    """What `TaskPlanner.plan` answers."""
    from . import _native

    form = _native.plan(text(task, "task"), context_dict(context), texts(available_tools, "available_tools"), workspace)
    return plan_object(ExecutionPlan, form)


def replan(available_tools: Any, plan: Any, failed_step: Any, error: Any) -> PlanStep | None:
    """What `TaskPlanner.replan_on_failure` answers."""
    from . import _native

    step = step_dict(failed_step, "failed_step")
    form = _native.replan(texts(available_tools, "available_tools"), plan_dict(plan), step, text(error, "error"))
    return None if form is None else step_object(form)


def read_file(kind: type[_Plan], path: Any) -> _Plan:
    """The plan of a file."""
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidTypeError(f"path: must be a str or os.PathLike, not {type_name(path)}")
    name = os.fspath(path)
    with open(name, "rb") as file:
        raw = file.read()
    try:
        content = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        what = "the file is not UTF-8"
        raise PlanFileError(f"{name}:{line}:{column}: {what}", [(line, column, what)]) from None
    return read_text(kind, content, name, os.path.dirname(os.path.abspath(name)))


def read_text(kind: type[_Plan], content: Any, source: str, folder: str | None) -> _Plan:
    """The plan of a text; its workspace is taken from `folder`, when there is one."""
    from . import _native

    form = _native.parse_plan(text(content, "text"), source)
    plan = plan_object(kind, form["plan"])
    if form["context"]:
        # Where references look for it, over what `to_yaml` wrote of an earlier one.
        plan.metadata["context"] = {**plan.metadata.get("context", {}), **form["context"]}
    workspace = form["workspace"]
    if workspace is not None:
        plan.workspace = workspace if folder is None else os.path.normpath(os.path.join(folder, workspace))
    if form["mode"] is not None:
        from .executor import ExecutionMode

        plan.mode = ExecutionMode(form["mode"])
    return plan


def render(plan: ExecutionPlan, format: Any) -> str:
    """The plan in another form; where it is a plan file, with the file's own fields first."""
    from . import _native

    content: str = _native.render_plan(plan_dict(plan), word(format, "format", _FORMATS))
    if format not in ("yaml", "json"):
        return content
    import json

    own: dict[str, str] = {}
    if plan.workspace is not None:
        own["workspace"] = os.fspath(plan.workspace)
    if plan.mode is not None:
        own["mode"] = word(plan.mode, "plan.mode", _MODES)
    if format == "yaml":
        # A string of JSON is one of YAML, too.
        return "".join(f"{key}: {json.dumps(value)}\n" for key, value in own.items()) + content
    fields = "".join(f'\n  "{key}": {json.dumps(value)},' for key, value in own.items())
    return content.replace("{", "{" + fields, 1)


def context_dict(context: Any) -> dict[str, Any]:
    """A context, or an error that says what is no context."""
    return {} if context is None else mapping(context, "context")


def _result(result: Any) -> dict[str, Any] | None:
    """A step's result, when it is one; programs may keep anything there."""
    from .tools import ToolResult

    if not isinstance(result, ToolResult):
        return None
    from ._convert import result_to

    return result_to(result)


def _result_object(form: dict[str, Any]) -> Any:
    from ._convert import result_from

    return result_from(form)


def _retry(policy: Any, step: str) -> dict[str, Any]:
    name = f"{step}.retry"
    if not isinstance(policy, RetryPolicy):
        raise InvalidTypeError(f"{name}: must be a RetryPolicy, not {type_name(policy)}")
    return {
        "max": count(policy.max, f"{step}.max_retries", 0, _MOST_RETRIES),
        "delay": number(policy.delay, f"{name}.delay", 0, _WEEK),
        "factor": number(policy.factor, f"{name}.factor", 1, 100),
        "max_delay": number(policy.max_delay, f"{name}.max_delay", 0, _WEEK),
        "jitter": flag(policy.jitter, f"{name}.jitter"),
    }


def _on_failure(policy: Any, name: str) -> str | dict[str, list[str]]:
    if not isinstance(policy, dict):
        return word(policy, name, _ON_FAILURE)
    if list(policy) != ["fallback"]:
        raise InvalidValueError(f"{name}: must be a word or {{'fallback': [step ids]}}, not {policy!r}")
    ids = texts(policy["fallback"], f"{name}['fallback']")
    if not ids:
        raise InvalidValueError(f"{name}['fallback']: needs at least one step")
    return {"fallback": ids}


def _when(condition: Any, name: str) -> str | None:
    if condition is None:
        return None
    # Plan files take `true` and `false`, too.
    if isinstance(condition, bool):
        return "true" if condition else "false"
    return text(condition, name)


def _for_each(each: Any, name: str) -> dict[str, Any] | None:
    if each is None:
        return None
    fields = mapping(each, name)
    unknown = [key for key in fields if key not in ("items", "name")]
    if unknown:
        raise InvalidValueError(f"{name}: has the keys 'items' and 'name', not {unknown[0]!r}")
    items = fields.get("items")
    if not (isinstance(items, (list, tuple)) or (isinstance(items, str) and "${{" in items)):
        raise InvalidValueError(f"{name}['items']: must be a list, or a `${{{{ ... }}}}` reference to one")
    return {"items": items, "name": text(fields.get("name", "item"), f"{name}['name']")}
