"""`agentic_executor.executor`: data, attributes, `execute`, `execute_code`, `edit_file`, `run_tests`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest

from agentic_executor import TaskPlanner
from agentic_executor.executor import AgenticExecutor, ExecutionMode, ExecutionResult, ExecutionStep
from agentic_executor.sandbox import SandboxConfig
from agentic_executor.tools import FileReadTool, FileWriteTool, ShellTool, ToolRegistry, ToolResult, ToolStatus


@pytest.mark.parametrize("name", ["SEQUENTIAL", "PARALLEL", "INTERACTIVE"])
def test_a_mode_has_its_lower_case_name_as_value(name: str) -> None:
    assert isinstance(ExecutionMode[name], enum.Enum)
    assert ExecutionMode[name].value == name.lower()


def test_there_are_three_modes() -> None:
    assert [mode.name for mode in ExecutionMode] == ["SEQUENTIAL", "PARALLEL", "INTERACTIVE"]


def test_a_step_by_position_and_by_keyword() -> None:
    result = ToolResult(ToolStatus.SUCCESS, "x")
    by_position = ExecutionStep("s", "shell", {"a": 1}, result, 10.0, 12.5, 1)
    by_keyword = ExecutionStep(
        step_id="s", tool="shell", params={"a": 1}, result=result, start_time=10.0, end_time=12.5, retries=1
    )
    assert by_position == by_keyword
    assert by_position.result is result
    assert by_position.duration == 2.5
    assert by_position.to_dict() == {
        "step_id": "s", "tool": "shell", "params": {"a": 1}, "result": result.to_dict(), "duration": 2.5, "retries": 1,
    }  # fmt: skip


def test_the_defaults_of_a_step() -> None:
    step = ExecutionStep("s", "shell", {})
    assert (step.result, step.start_time, step.end_time, step.retries, step.duration) == (None, 0.0, 0.0, 0, 0.0)
    assert step.to_dict()["result"] is None
    step.start_time, step.end_time = 1.0, 3.0
    assert step.duration == 2.0


def test_a_result_by_position_and_by_keyword() -> None:
    steps, metadata = [ExecutionStep("s", "shell", {})], {"a": 1}
    by_position = ExecutionResult("task", False, steps, 1.5, "no", metadata)
    by_keyword = ExecutionResult(task="task", success=False, steps=steps, total_time=1.5, error="no", metadata=metadata)
    assert by_position == by_keyword
    assert by_position.steps is steps
    as_dict = by_position.to_dict()
    assert as_dict["task"] == "task"
    assert as_dict["success"] is False
    assert as_dict["steps"] == [steps[0].to_dict()]
    assert as_dict["total_time"] == 1.5
    assert as_dict["error"] == "no"
    assert as_dict["metadata"] == {"a": 1}


def test_the_defaults_of_a_result() -> None:
    first, second = ExecutionResult("task", True), ExecutionResult("task", True)
    assert (first.steps, first.total_time, first.error, first.metadata) == ([], 0.0, None, {})
    first.steps.append(ExecutionStep("s", "shell", {}))
    first.metadata["a"] = 1
    assert (second.steps, second.metadata) == ([], {})


def test_the_summary_of_a_success() -> None:
    done = ExecutionStep("s", "shell", {}, ToolResult(ToolStatus.SUCCESS, ""))
    summary = ExecutionResult("build it", True, [done], 1.25).summary()
    assert "Status: SUCCESS" in summary
    assert "build it" in summary
    assert "1/1" in summary
    assert "1.2" in summary


def test_the_summary_of_a_failure() -> None:
    done = ExecutionStep("a", "shell", {}, ToolResult(ToolStatus.SUCCESS, ""))
    bad = ExecutionStep("b", "shell", {}, ToolResult(ToolStatus.ERROR, "", "no"))
    summary = ExecutionResult("build it", False, [done, bad], 0.5, "it broke").summary()
    assert "Status: FAILED" in summary
    assert "build it" in summary
    assert "1/2" in summary
    assert "it broke" in summary


def test_the_defaults_of_an_executor() -> None:
    executor = AgenticExecutor()
    assert list(executor.registry.list_tools()) == ["file_read", "file_write", "shell", "search"]
    assert executor.mode is ExecutionMode.SEQUENTIAL
    assert executor.max_steps == 50
    assert executor.on_step_complete is None
    assert isinstance(executor.planner, TaskPlanner)
    assert executor.sandbox_config is None or isinstance(executor.sandbox_config, SandboxConfig)


def test_an_executor_by_position_and_by_keyword() -> None:
    registry, config = ToolRegistry.default_registry(), SandboxConfig()

    def done(step: ExecutionStep) -> None:
        pass

    for executor in (
        AgenticExecutor(registry, config, ExecutionMode.PARALLEL, 7, done),
        AgenticExecutor(
            registry=registry, sandbox_config=config, mode=ExecutionMode.PARALLEL, max_steps=7, on_step_complete=done
        ),
    ):
        assert executor.registry is registry
        assert executor.sandbox_config is config
        assert executor.mode is ExecutionMode.PARALLEL
        assert executor.max_steps == 7
        assert executor.on_step_complete is done


def test_a_task_is_planned_and_run(project: Path) -> None:
    (project / "config.py").write_text("DEBUG = False\n")
    result = AgenticExecutor().execute("read the file", {"path": "config.py"})
    assert isinstance(result, ExecutionResult)
    assert result.success is True, result.summary()
    assert result.task == "read the file"
    assert result.error is None
    assert result.total_time > 0
    step = result.steps[0]
    assert isinstance(step, ExecutionStep)
    assert (step.step_id, step.tool, step.params["path"], step.retries) == ("step_1", "file_read", "config.py", 0)
    assert isinstance(step.result, ToolResult)
    assert step.result.status is ToolStatus.SUCCESS
    assert step.result.output == "DEBUG = False\n"
    assert step.end_time >= step.start_time > 0


def test_a_failing_task_is_a_result(project: Path) -> None:
    result = AgenticExecutor().execute(task="run it", context={"command": "echo broken >&2; exit 1"})
    assert result.success is False
    assert result.error
    assert "Status: FAILED" in result.summary()
    assert result.steps[-1].result is not None
    assert result.steps[-1].result.status is ToolStatus.ERROR
    assert result.steps[-1].retries == 2


def test_a_task_that_nobody_understands_is_a_failed_result(project: Path) -> None:
    result = AgenticExecutor().execute("contemplate")
    assert result.success is False
    assert result.error


def test_max_steps_can_be_set_later(project: Path) -> None:
    executor = AgenticExecutor()
    executor.max_steps = 2
    result = executor.execute("refactor rename function", {"old_name": "a", "new_name": "b"})
    assert result.success is False
    assert len(result.steps) <= 2
    executor.max_steps = 50
    assert "step" in str(result.error).lower()


def test_the_mode_can_be_set_later(project: Path) -> None:
    executor = AgenticExecutor()
    executor.mode = ExecutionMode.PARALLEL
    assert executor.execute("run it", {"command": "echo hi"}).success


def test_the_planner_can_be_replaced(project: Path) -> None:
    class Fixed(TaskPlanner):
        def plan(self, task: str, context: dict[str, Any] | None = None) -> Any:
            return super().plan("run it", {"command": "echo planned"})

    executor = AgenticExecutor()
    executor.planner = Fixed(["shell"])
    result = executor.execute("anything at all")
    assert result.success
    assert result.steps[0].result is not None
    assert result.steps[0].result.output == "planned\n"


def test_code_runs_as_one_step(project: Path) -> None:
    result = AgenticExecutor().execute_code("print(6 * 7)")
    assert result.success, result.summary()
    assert len(result.steps) == 1
    assert result.steps[0].tool == "sandbox"
    assert result.steps[0].result is not None
    assert result.steps[0].result.output == "42\n"
    assert result.task == "Execute code"


def test_code_has_its_description(project: Path) -> None:
    assert AgenticExecutor().execute_code("pass", "Do nothing").task == "Do nothing"
    assert AgenticExecutor().execute_code(code="pass", description="Do nothing").task == "Do nothing"


def test_code_that_raises_is_a_failed_result(project: Path) -> None:
    result = AgenticExecutor().execute_code("raise ValueError('boom')")
    assert result.success is False
    assert "ValueError: boom" in str(result.error) + str(result.steps[0].result)


def test_code_runs_under_the_executors_sandbox_config(project: Path) -> None:
    executor = AgenticExecutor(sandbox_config=SandboxConfig(timeout_seconds=1))
    result = executor.execute_code("while True: pass")
    assert result.success is False
    assert result.steps[0].result is not None
    assert result.steps[0].result.status is ToolStatus.TIMEOUT
    executor.sandbox_config = SandboxConfig(blocked_imports=["math"])
    assert executor.execute_code("import math").success is False
    executor.sandbox_config.blocked_imports = []
    assert executor.execute_code("import math").success is True


def test_recovery_does_not_go_past_the_configured_limits(project: Path) -> None:
    executor = AgenticExecutor(sandbox_config=SandboxConfig(timeout_seconds=2, max_memory_mb=64))
    late = executor.execute_code("while True: pass")
    assert late.success is False
    assert late.steps[-1].result is not None and late.steps[-1].result.usage is not None
    assert late.steps[-1].result.usage.wall < 25
    greedy = executor.execute_code("x = b'1' * (100 << 20); import time; time.sleep(1)")  # seen by sampling, too
    assert greedy.success is False
    assert AgenticExecutor().execute_code("x = bytearray(100 << 20)").success


def test_an_edit_replaces_every_occurrence_and_counts(project: Path) -> None:
    (project / "a.py").write_text("x = 1\ny = x + x\n")
    result = AgenticExecutor().edit_file("a.py", "x", "z")
    assert result.success, result.summary()
    assert (project / "a.py").read_text() == "z = 1\ny = z + z\n"
    assert "3" in str([step.result for step in result.steps])


def test_an_edit_by_keyword(project: Path) -> None:
    (project / "config.py").write_text("DEBUG = False\n")
    result = AgenticExecutor().edit_file(path="config.py", old_content="DEBUG = False", new_content="DEBUG = True")
    assert result.success
    assert (project / "config.py").read_text() == "DEBUG = True\n"


def test_an_edit_of_what_is_not_there(project: Path) -> None:
    (project / "a.py").write_text("x = 1\n")
    result = AgenticExecutor().edit_file("a.py", "nowhere", "z")
    assert result.success is False
    assert result.error == "Old content not found in file"
    assert (project / "a.py").read_text() == "x = 1\n"


def test_an_edit_of_a_file_that_is_not_there(project: Path) -> None:
    result = AgenticExecutor().edit_file("missing.py", "a", "b")
    assert result.success is False
    assert "missing.py" in str(result.error)


@pytest.mark.parametrize("closed", ["file_read", "file_write"])
def test_an_edit_obeys_the_allowed_paths_of_both_tools(project: Path, outside: Path, closed: str) -> None:
    executor = AgenticExecutor()
    read, write = executor.registry.get("file_read"), executor.registry.get("file_write")
    assert isinstance(read, FileReadTool) and isinstance(write, FileWriteTool)
    path = str(outside / "secret.txt")
    read.allowed_paths = write.allowed_paths = [str(outside)]
    assert executor.edit_file(path, "secret", "open").success
    (read if closed == "file_read" else write).allowed_paths = [str(project)]
    assert executor.edit_file(path, "open", "broken").success is False
    assert (outside / "secret.txt").read_text() == "open\n"


def test_tests_are_run(project: Path) -> None:
    (project / "check.sh").write_text("echo all well\n")
    result = AgenticExecutor().run_tests("sh check.sh")
    assert result.success, result.summary()
    assert result.steps[-1].result is not None
    assert "all well" in result.steps[-1].result.output
    (project / "check.sh").write_text("echo one failed; exit 1\n")
    assert AgenticExecutor().run_tests(test_command="sh check.sh").success is False


def test_tests_are_run_in_their_folder(project: Path, outside: Path) -> None:
    (project / "sub").mkdir()
    for folder in (str(project / "sub"), "sub", str(outside)):
        result = AgenticExecutor().run_tests("pwd", working_dir=folder)
        assert result.success
        assert result.steps[-1].result is not None
        assert result.steps[-1].result.output.strip() == str((project / folder).resolve())
    assert AgenticExecutor().run_tests("pwd", working_dir="nowhere").success is False


def test_the_shell_tools_of_the_registry_are_used(project: Path, outside: Path) -> None:
    executor = AgenticExecutor()
    shell = executor.registry.get("shell")
    assert isinstance(shell, ShellTool)
    shell.working_dir = str(outside)
    result = executor.execute("run it", {"command": "cat secret.txt"})
    assert result.success
    shell.blocked_commands = ["cat"]
    assert executor.execute("run it", {"command": "cat secret.txt"}).success is False


def test_a_registry_without_tools(project: Path) -> None:
    result = AgenticExecutor(registry=ToolRegistry()).execute("run it", {"command": "true"})
    assert result.success is False
    assert result.error


def test_the_home_folder_as_the_workspace_is_warned_of(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = AgenticExecutor()
    assert executor.execute("run it", {"command": "true"}).success
    monkeypatch.setenv("HOME", str(project))
    with pytest.warns(RuntimeWarning, match="home folder"):
        assert executor.execute("run it", {"command": "true"}).success
