"""Plan files: reading, writing, rendering, running, and what is said about mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentic_executor import AgenticExecutor, ExecutionMode, ExecutionPlan, PlanStep
from agentic_executor.errors import AgenticError, PlanFileError
from agentic_executor.planner import RetryPolicy, StepStatus

YAML = """\
task: greet
context:
  who: world
steps:
  - tool: file_write
    params: {path: hi.txt, content: "hello ${{ context.who }}"}
  - id: read
    tool: file_read
    description: Read it
    params: {path: hi.txt}
    depends_on: step_1
    retries: 0
"""


def test_a_plan_of_a_text() -> None:
    plan = ExecutionPlan.from_yaml(YAML)
    assert plan.task == "greet"
    assert [step.id for step in plan.steps] == ["step_1", "read"]
    assert all(isinstance(step, PlanStep) and step.status is StepStatus.PENDING for step in plan.steps)
    assert plan.steps[1].depends_on == ["step_1"]
    assert plan.steps[1].max_retries == 0
    assert plan.steps[1].description == "Read it"


def test_a_plan_of_a_file_runs(project: Path) -> None:
    (project / "plan.yaml").write_text(YAML)
    for plan in (ExecutionPlan.from_file("plan.yaml"), project / "plan.yaml"):
        result = AgenticExecutor().execute_plan(plan)
        assert result.success, result.summary()
        assert result.steps[1].result is not None
        assert result.steps[1].result.output == "hello world"


def test_a_context_of_the_call_goes_before_that_of_the_file(project: Path) -> None:
    result = AgenticExecutor().execute_plan(ExecutionPlan.from_yaml(YAML), {"who": "reader"})
    assert result.steps[1].result is not None
    assert result.steps[1].result.output == "hello reader"


def test_a_plan_runs_again_from_the_start(project: Path) -> None:
    plan = ExecutionPlan.from_yaml(YAML)
    for _ in range(2):
        assert AgenticExecutor().execute_plan(plan).success
        assert [step.status for step in plan.steps] == [StepStatus.COMPLETED] * 2


def rich() -> ExecutionPlan:
    plan = ExecutionPlan("everything", metadata={"note": "kept"}, mode=ExecutionMode.PARALLEL)
    plan.add_step(
        "shell", {"command": "echo 'a: b'"}, "Say: it", retry=RetryPolicy(5, 0.5, 3.0, 10.0, False), timeout=90
    )
    plan.add_step(
        "shell", {"command": "false"}, "Fail", ["step_1"], on_failure={"fallback": ["step_3"]}, commit="always"
    )
    plan.add_step("shell", {"command": "true"}, "Stand in", max_retries=0, when="${{ context.go }}")
    return plan


@pytest.mark.parametrize("name", ["plan.yaml", "plan.json"])
def test_what_is_saved_reads_back_the_same(project: Path, name: str) -> None:
    plan = rich()
    plan.save(name)
    again = ExecutionPlan.from_file(name)
    assert [step.to_dict() for step in again.steps] == [step.to_dict() for step in plan.steps]
    assert again.task == plan.task
    assert ExecutionMode(getattr(again.mode, "value", again.mode)) is ExecutionMode.PARALLEL
    assert again.metadata["note"] == "kept"


def test_a_json_plan_is_its_dict() -> None:
    plan = rich()
    assert json.loads(plan.render("json")) == plan.to_dict()


def test_policies_are_in_the_dict_where_they_differ() -> None:
    first, second, third = (step.to_dict() for step in rich().steps)
    assert first["timeout"] == 90
    assert first["retries"] == {"max": 5, "delay": 0.5, "factor": 3.0, "max_delay": 10.0, "jitter": False}
    assert second["on_failure"] == {"fallback": ["step_3"]} and second["commit"] == "always"
    assert third["retries"] == 0 and third["when"] == "${{ context.go }}"
    assert "commit" not in first and "timeout" not in second


def test_a_plan_as_a_picture() -> None:
    plan = rich()
    assert plan.render("mermaid").split(None, 1)[0] in ("graph", "flowchart")
    assert plan.render("dot").startswith("digraph")
    assert all(step.description in plan.render(form) for step in plan for form in ("mermaid", "dot", "yaml", "json"))
    assert plan.summary() in plan.render("text")


def test_another_format_is_refused_by_name() -> None:
    with pytest.raises(AgenticError, match="^format"):
        rich().render("latex")


def test_every_mistake_of_a_file_has_its_line_and_column(project: Path) -> None:
    (project / "plan.yaml").write_text(
        "task: x\nsteps:\n  - tool: shell\n    parms: {}\n  - tool: shell\n    depends_on: nobody\n"
    )
    with pytest.raises(PlanFileError) as caught:
        ExecutionPlan.from_file("plan.yaml")
    problems = caught.value.problems
    assert problems
    assert all(line >= 1 and column >= 1 and message for line, column, message in problems)
    assert any(line == 4 and "parms" in message for line, column, message in problems)
    assert "plan.yaml" in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("text", ["", "steps: []", "- 1", "steps: 3", "task: [", "\0", "steps:\n  - {}\n"])
def test_what_holds_no_plan_is_a_plan_file_error(text: str) -> None:
    with pytest.raises(PlanFileError):
        ExecutionPlan.from_yaml(text)


def test_a_file_that_is_not_there(project: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ExecutionPlan.from_file("missing.yaml")


def test_a_mistaken_file_that_is_run_is_a_failed_result(project: Path) -> None:
    (project / "plan.yaml").write_text("steps: 3\n")
    result = AgenticExecutor().execute_plan("plan.yaml")
    assert result.success is False
    assert result.error


def test_steps_for_each_of_a_list(project: Path) -> None:
    plan = ExecutionPlan("many")
    plan.add_step(
        "file_write", {"path": "${{ item }}.txt", "content": "x"}, "Write", for_each={"items": ["a", "b", "c"]}
    )
    assert AgenticExecutor().execute_plan(plan).success
    assert sorted(path.name for path in project.iterdir()) == ["a.txt", "b.txt", "c.txt"]


def test_a_fallback_runs_in_the_place_of_what_failed(project: Path) -> None:
    plan = ExecutionPlan("fallback")
    plan.add_step("shell", {"command": "exit 1"}, "Fail", max_retries=0, on_failure={"fallback": ["step_2"]})
    plan.add_step("shell", {"command": "echo instead"}, "Stand in")
    result = AgenticExecutor().execute_plan(plan)
    assert result.success, result.summary()
    assert result.steps[-1].result is not None
    assert result.steps[-1].result.output == "instead\n"


def test_a_plan_is_a_sequence_of_its_steps() -> None:
    plan = rich()
    assert len(plan) == 3
    assert [step.id for step in plan] == ["step_1", "step_2", "step_3"]
    assert bool(ExecutionPlan("empty")) is True
