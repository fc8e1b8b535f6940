"""`AgenticExecutor(staged=...)`: nothing reaches the folder before the run succeeded and the callable agreed."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentic_executor import AgenticExecutor, ExecutionPlan, InvalidTypeError, ResumeError, RollbackError


def two_steps(last: str = "cat made.txt >> kept.txt") -> ExecutionPlan:
    plan = ExecutionPlan("Two steps")
    first = plan.add_step("file_write", {"path": "made.txt", "content": "made\n"}, "Make")
    plan.add_step("shell", {"command": last}, "Use", [first.id])
    return plan


def test_the_callable_sees_the_diff_before_the_folder_changes(project: Path) -> None:
    (project / "kept.txt").write_text("kept\n")
    seen = []

    def review(diff: str) -> bool:
        seen.append((diff, (project / "made.txt").exists(), (project / "kept.txt").read_text()))
        return True

    executor = AgenticExecutor(staged=review)
    result = executor.execute_plan(two_steps())
    assert result.success, result.summary()
    assert result.metadata["staged"] == {"applied": True, "changes": 2}
    [(diff, existed, kept)] = seen
    assert (existed, kept) == (False, "kept\n")
    assert "+++ b/made.txt" in diff and "+made" in diff and "--- a/kept.txt" in diff
    assert (project / "kept.txt").read_text() == "kept\nmade\n"
    with pytest.raises(RollbackError, match="was staged"):
        executor.rollback(result.run_id, to="step_1")
    executor.rollback(result.run_id)
    assert not (project / "made.txt").exists() and (project / "kept.txt").read_text() == "kept\n"


def test_what_is_declined_leaves_the_folder_as_it_was(project: Path) -> None:
    result = AgenticExecutor(staged=lambda diff: "").execute_plan(two_steps())
    assert (result.success, result.stop_reason) == (False, "denied")
    assert result.error is not None and "not agreed to" in result.error
    assert list(project.iterdir()) == []


def test_true_is_all_or_nothing(project: Path) -> None:
    executor = AgenticExecutor(staged=True)
    assert executor.execute_plan(two_steps()).success
    assert (project / "kept.txt").read_text() == "made\n"
    (project / "made.txt").write_text("mine\n")
    failed = executor.execute_plan(two_steps("exit 3"))
    assert failed.stop_reason == "partial" and failed.metadata["staged"]["applied"] is False
    assert (project / "made.txt").read_text() == "mine\n"
    with pytest.raises(ResumeError, match="run the plan again"):
        executor.resume(failed.run_id)


def test_a_callable_that_raises_ends_the_run_and_applies_nothing(project: Path) -> None:
    def review(diff: str) -> bool:
        raise RuntimeError("no idea")

    result = AgenticExecutor(staged=review).execute_plan(two_steps())
    assert not result.success and "no idea" in str(result.error)
    assert list(project.iterdir()) == []


def test_code_in_a_folder_of_its_own_is_not_held_back() -> None:
    def review(diff: str) -> bool:
        raise AssertionError("nothing to look at")

    assert AgenticExecutor(staged=review).execute_code("open('x', 'w').write('x')").success


def test_what_is_neither_a_bool_nor_callable_is_refused() -> None:
    with pytest.raises(InvalidTypeError, match="staged: must be a bool or callable, not str"):
        AgenticExecutor(staged="yes")  # type: ignore[arg-type]
