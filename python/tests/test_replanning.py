"""`TaskPlanner.replan_on_failure`: by cause first, then retries, then the recovery table."""

from __future__ import annotations

import pytest

from agentic_executor.planner import ExecutionPlan, PlanStep, StepStatus, TaskPlanner
from agentic_executor.tools import ToolRegistry

pytestmark = pytest.mark.usefixtures("project")

TOOLS = ["file_read", "file_write", "shell", "search"]


def failed(tool: str = "shell", **params: str) -> tuple[ExecutionPlan, PlanStep]:
    plan = ExecutionPlan("task")
    step = plan.add_step(tool, params, "A step")
    step.status = StepStatus.FAILED
    return plan, step


def test_a_file_that_is_not_found_is_searched_by_name() -> None:
    plan, step = failed("file_read", path="conf/config.yaml")
    recovery = TaskPlanner(["file_read", "search"]).replan_on_failure(plan, step, "file not found")
    assert isinstance(recovery, PlanStep)
    assert recovery.tool == "search"
    assert recovery.params["pattern"] == "^"
    assert recovery.params["file_pattern"] == "config.yaml"
    assert recovery.status is StepStatus.PENDING


def test_the_message_of_the_tool_is_understood() -> None:
    plan, step = failed("file_read", path="config.yaml")
    error = str(ToolRegistry.default_registry().execute("file_read", path="config.yaml").error)
    recovery = TaskPlanner(TOOLS).replan_on_failure(plan, step, error)
    assert recovery is not None and recovery.tool == "search"


def test_the_search_finds_an_empty_file_too(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("found")
    monkeypatch.chdir(folder)
    (folder / "deep").mkdir()
    (folder / "deep" / "config.yaml").write_text("")
    plan, step = failed("file_read", path="config.yaml")
    recovery = TaskPlanner(TOOLS).replan_on_failure(plan, step, "File not found: config.yaml")
    assert recovery is not None
    result = ToolRegistry.default_registry().execute(recovery.tool, **recovery.params)
    assert "config.yaml" in str(result.output) or "config.yaml" in str(result.metadata)


@pytest.mark.parametrize("error", ["Permission denied: /etc/shadow", "Unknown tool: fly"])
def test_a_cause_that_cannot_change_has_no_remedy(error: str) -> None:
    plan, step = failed("file_read", path="x")
    assert step.can_retry()
    assert TaskPlanner(TOOLS).replan_on_failure(plan, step, error) is None


def test_any_other_failure_is_tried_again_while_retries_are_left() -> None:
    plan, step = failed("shell", command="flaky")
    step.error = "crashed"
    planner = TaskPlanner(TOOLS)
    for count in (1, 2):
        again = planner.replan_on_failure(plan, step, "something went wrong")
        assert again is not None
        assert (again.id, again.tool, again.params) == (step.id, "shell", {"command": "flaky"})
        assert again.status is StepStatus.PENDING
        assert again.retry_count == count
        step = again
        step.status = StepStatus.FAILED
    assert planner.replan_on_failure(plan, step, "something went wrong") is None


def test_no_retries_means_none() -> None:
    plan, step = failed("shell", command="flaky")
    step.max_retries = 0
    assert TaskPlanner(TOOLS).replan_on_failure(plan, step, "something went wrong") is None


def test_each_recovery_has_an_id_of_its_own() -> None:
    plan, step = failed("file_read", path="x.txt")
    recovery = TaskPlanner(TOOLS).replan_on_failure(plan, step, "File not found: x.txt")
    assert recovery is not None
    assert recovery.id != step.id
