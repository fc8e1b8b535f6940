"""`agentic_executor.planner`: steps, plans, the planner's kinds of tasks, and what follows a failure."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from agentic_executor.planner import ExecutionPlan, PlanStep, StepStatus, TaskPlanner
from agentic_executor.tools import ToolResult, ToolStatus

pytestmark = pytest.mark.usefixtures("project")

TOOLS = ["file_read", "file_write", "shell", "search"]


@pytest.mark.parametrize("name", ["PENDING", "RUNNING", "COMPLETED", "FAILED", "SKIPPED"])
def test_a_status_has_its_lower_case_name_as_value(name: str) -> None:
    assert isinstance(StepStatus[name], enum.Enum)
    assert StepStatus[name].value == name.lower()


def test_there_are_five_statuses() -> None:
    assert [status.name for status in StepStatus] == ["PENDING", "RUNNING", "COMPLETED", "FAILED", "SKIPPED"]


def test_a_step_by_position() -> None:
    result = ToolResult(ToolStatus.ERROR, "")
    step = PlanStep("s", "shell", {"command": "ls"}, "List", ["r"], StepStatus.FAILED, result, "no", 1, 5)
    assert (step.id, step.tool, step.params, step.description) == ("s", "shell", {"command": "ls"}, "List")
    assert (step.depends_on, step.status, step.error, step.retry_count, step.max_retries) == (
        ["r"],
        StepStatus.FAILED,
        "no",
        1,
        5,
    )
    assert step.result is result


def test_a_step_by_keyword() -> None:
    step = PlanStep(
        id="s", tool="shell", params={}, description="d", depends_on=["r"], status=StepStatus.RUNNING,
        result=None, error="e", retry_count=2, max_retries=3,
    )  # fmt: skip
    assert step == PlanStep("s", "shell", {}, "d", ["r"], StepStatus.RUNNING, None, "e", 2, 3)


def test_the_defaults_of_a_step() -> None:
    first, second = PlanStep("a", "shell", {}, "d"), PlanStep("b", "shell", {}, "d")
    assert (first.depends_on, first.status, first.result, first.error) == ([], StepStatus.PENDING, None, None)
    assert (first.retry_count, first.max_retries) == (0, 2)
    first.depends_on.append("x")
    assert second.depends_on == []


def test_a_step_as_dict() -> None:
    step = PlanStep("s", "shell", {"command": "ls"}, "List", ["r"])
    assert step.to_dict() == {
        "id": "s", "tool": "shell", "params": {"command": "ls"}, "description": "List",
        "depends_on": ["r"], "status": "pending", "result": None, "error": None,
    }  # fmt: skip


def test_a_finished_step_as_dict() -> None:
    step = PlanStep("s", "shell", {}, "List")
    step.status, step.result, step.error = StepStatus.FAILED, ToolResult(ToolStatus.ERROR, "out", "no"), "no"
    as_dict = step.to_dict()
    assert as_dict["status"] == "failed"
    assert as_dict["error"] == "no"
    result = as_dict["result"]
    assert {key: result[key] for key in ("status", "output", "error", "metadata")} == {
        "status": "error", "output": "out", "error": "no", "metadata": {},
    }  # fmt: skip


def test_a_step_can_be_retried_while_retries_are_left() -> None:
    step = PlanStep("s", "shell", {}, "d", max_retries=2)
    assert step.can_retry() is True
    step.retry_count = 1
    assert step.can_retry() is True
    step.retry_count = 2
    assert step.can_retry() is False
    step.max_retries = 3
    assert step.can_retry() is True
    assert PlanStep("s", "shell", {}, "d", max_retries=0).can_retry() is False


def test_a_plan_by_position_and_by_keyword() -> None:
    steps, metadata = [PlanStep("a", "shell", {}, "d")], {"a": 1}
    by_position = ExecutionPlan("task", steps, metadata)
    by_keyword = ExecutionPlan(task="task", steps=steps, metadata=metadata)
    assert by_position == by_keyword
    assert by_position.steps is steps
    assert by_position.metadata is metadata


def test_the_defaults_of_a_plan() -> None:
    first, second = ExecutionPlan("a"), ExecutionPlan("b")
    assert (first.steps, first.metadata) == ([], {})
    first.add_step("shell", {}, "d")
    first.metadata["a"] = 1
    assert (second.steps, second.metadata) == ([], {})


def test_added_steps_are_numbered_and_kept() -> None:
    plan = ExecutionPlan("task")
    first = plan.add_step("search", {"pattern": "x"}, "Find")
    second = plan.add_step(tool="file_read", params={"path": "x"}, description="Read", depends_on=["step_1"])
    assert [step.id for step in plan.steps] == ["step_1", "step_2"]
    assert plan.steps[0] is first
    assert plan.steps[1] is second
    assert isinstance(first, PlanStep)
    assert first.depends_on == []
    assert second.depends_on == ["step_1"]
    assert first.status is StepStatus.PENDING


def test_a_step_by_id() -> None:
    plan = ExecutionPlan("task")
    step = plan.add_step("shell", {}, "d")
    assert plan.get_step("step_1") is step
    assert plan.get_step("step_2") is None


def test_ready_are_the_pending_steps_whose_dependencies_completed() -> None:
    plan = ExecutionPlan("task")
    first = plan.add_step("shell", {}, "first")
    second = plan.add_step("shell", {}, "second", depends_on=["step_1"])
    third = plan.add_step("shell", {}, "third")
    assert plan.get_ready_steps() == [first, third]
    assert plan.get_ready_steps()[0] is first
    first.status = StepStatus.RUNNING
    assert plan.get_ready_steps() == [third]
    first.status = StepStatus.FAILED
    assert plan.get_ready_steps() == [third]
    first.status = StepStatus.COMPLETED
    assert plan.get_ready_steps() == [second, third]


def test_a_plan_is_complete_when_every_step_has_ended() -> None:
    plan = ExecutionPlan("task")
    steps = [plan.add_step("shell", {}, "d") for _ in range(3)]
    assert plan.is_complete() is False
    for step, status in zip(steps, (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED)):
        assert plan.is_complete() is False
        step.status = status
    assert plan.is_complete() is True
    steps[0].status = StepStatus.RUNNING
    assert plan.is_complete() is False


def test_a_plan_as_dict() -> None:
    plan = ExecutionPlan("task", metadata={"a": 1})
    step = plan.add_step("shell", {"command": "ls"}, "List")
    as_dict = plan.to_dict()
    assert as_dict["task"] == "task"
    assert as_dict["steps"] == [step.to_dict()]
    assert as_dict["metadata"] == {"a": 1}


def test_the_summary_of_a_plan() -> None:
    plan = ExecutionPlan("refactor")
    plan.add_step("search", {"pattern": "x"}, "Find occurrences").status = StepStatus.COMPLETED
    plan.add_step("file_read", {"path": "x"}, "Read files", depends_on=["step_1"])
    plan.add_step("file_write", {"path": "x"}, "Update files", depends_on=["step_1", "step_2"])
    assert plan.summary().rstrip("\n").split("\n") == [
        "Task: refactor",
        "Steps:",
        "  1. [completed] search - Find occurrences",
        "  2. [pending] file_read - Read files (depends on: step_1)",
        "  3. [pending] file_write - Update files (depends on: step_1, step_2)",
    ]


def planned(task: str, **context: Any) -> ExecutionPlan:
    plan = TaskPlanner(TOOLS).plan(task, context or None)
    assert isinstance(plan, ExecutionPlan)
    assert plan.task == task
    return plan


def only(plan: ExecutionPlan) -> PlanStep:
    assert len(plan.steps) == 1, plan.summary()
    assert plan.steps[0].depends_on == []
    return plan.steps[0]


def test_the_planner_knows_its_tools() -> None:
    assert TaskPlanner(TOOLS).available_tools == TOOLS
    assert TaskPlanner(available_tools=TOOLS).available_tools == TOOLS


def test_a_read() -> None:
    step = only(planned("read the file", path="config.yaml"))
    assert (step.tool, step.params["path"]) == ("file_read", "config.yaml")


@pytest.mark.parametrize("task", ["write the file", "create a file"])
def test_a_write(task: str) -> None:
    step = only(planned(task, path="a.txt", content="hello"))
    assert (step.tool, step.params["path"], step.params["content"]) == ("file_write", "a.txt", "hello")


@pytest.mark.parametrize("task", ["search for it", "find it"])
def test_a_search(task: str) -> None:
    step = only(planned(task, pattern="TODO"))
    assert (step.tool, step.params["pattern"]) == ("search", "TODO")


def test_tests() -> None:
    step = only(planned("run the tests"))
    assert step.tool == "shell"
    assert "pytest" in step.params["command"]
    assert only(planned("run the tests", command="make check")).params["command"] == "make check"


def test_an_installation() -> None:
    step = only(planned("install a package", package="requests"))
    assert step.tool == "shell"
    assert "install" in step.params["command"] and "requests" in step.params["command"]


@pytest.mark.parametrize("task", ["git commit the changes", "commit the changes"])
def test_a_commit_stages_first(task: str) -> None:
    plan = planned(task, message="Fix it")
    stage, commit = plan.steps
    assert (stage.tool, commit.tool) == ("shell", "shell")
    assert stage.params["command"].startswith("git add")
    assert commit.params["command"].startswith("git commit") and "Fix it" in commit.params["command"]
    assert commit.depends_on == [stage.id]


@pytest.mark.parametrize("task", ["refactor rename function", "rename the function", "refactor the code"])
def test_a_refactoring_is_a_chain(task: str) -> None:
    plan = planned(task, old_name="getUserData", new_name="fetchUserProfile")
    assert [step.tool for step in plan.steps] == ["search", "file_read", "file_write"]
    assert [step.depends_on for step in plan.steps] == [[], ["step_1"], ["step_2"]]
    assert "getUserData" in plan.steps[0].params["pattern"]


def test_anything_else_with_a_command() -> None:
    step = only(planned("do the usual thing", command="make"))
    assert (step.tool, step.params["command"]) == ("shell", "make")


def test_the_context_is_left_as_it_was() -> None:
    context = {"path": "a.txt", "extra": [1]}
    TaskPlanner(TOOLS).plan("read the file", context)
    assert context == {"path": "a.txt", "extra": [1]}
