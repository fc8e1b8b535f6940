"""`AgenticExecutor.rollback` and `diff`: what a run did is taken back, and shown, from Python."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from agentic_executor import (
    AgenticExecutor,
    ExecutionPlan,
    InvalidTypeError,
    InvalidValueError,
    RollbackError,
    RollbackResult,
    ToolRegistry,
)
from agentic_executor.executor import Change, LeftOut

COMMAND = (
    "rm -r old && mkdir new && echo made > new/file && chmod +x run.sh && ln -s app.py link && echo third >> notes"
)


def listing(folder: Path) -> dict[str, Any]:
    """Every path with its kind, permission bits and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        content = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(folder))] = (stat.filemode(state.st_mode), content)
    return found


@pytest.fixture
def changed(project: Path) -> tuple[Path, dict[str, Any], str]:
    """A project that a run of three steps changed, what it was before, and the run's id."""
    (project / "old").mkdir()
    for name, content in {"app.py": "VERSION = 1\n", "old/a": "a", "notes": "first\nsecond\n", "run.sh": "#!"}.items():
        (project / name).write_text(content)
    before = listing(project)
    plan = ExecutionPlan("Change everything")
    edit = plan.add_step("file_write", {"path": "app.py", "content": "VERSION = 2\n"}, "Edit")
    shell = plan.add_step("shell", {"command": COMMAND}, "Shell", [edit.id])
    plan.add_step("file_write", {"path": "app.py", "content": "VERSION = 3\n"}, "Edit again", [shell.id])
    result = AgenticExecutor().execute_plan(plan)
    assert result.success, result.summary()
    assert listing(project) != before
    return project, before, result.run_id


def test_a_run_is_taken_back_and_the_rollback_too(changed: tuple[Path, dict[str, Any], str]) -> None:
    project, before, run = changed
    after = listing(project)
    executor = AgenticExecutor()
    planned = executor.rollback(run, dry_run=True)
    assert (planned.run, planned.rollback, planned.dry_run) == (run, None, True)
    assert listing(project) == after
    done = executor.rollback(run[:20])
    assert listing(project) == before
    assert done.changes == planned.changes
    assert {os.path.relpath(one.path, project): one.kind for one in done.changes} == {
        "app.py": "modified",
        "link": "deleted",
        "new": "deleted",
        "new/file": "deleted",
        "notes": "modified",
        "old": "added",
        "old/a": "added",
        "run.sh": "mode",
    }
    assert done.rollback is not None and (done.kept, done.changed_since) == ([], [])
    again = executor.rollback(run)
    assert (again.changes, again.rollback) == ([], None)
    executor.rollback(done.rollback)
    assert listing(project) == after


def test_a_run_goes_back_to_where_a_step_ended(changed: tuple[Path, dict[str, Any], str]) -> None:
    project, before, run = changed
    executor = AgenticExecutor()
    done = executor.rollback(run, "step_2")
    assert (done.to, [os.path.basename(one.path) for one in done.changes]) == ("step_2", ["app.py"])
    assert (project / "app.py").read_text() == "VERSION = 2\n" and (project / "new").exists()
    executor.rollback(run, to="step_1")
    assert (project / "app.py").read_text() == "VERSION = 2\n" and not (project / "new").exists()
    executor.rollback(run)
    assert listing(project) == before


def test_work_of_others_is_not_lost(changed: tuple[Path, dict[str, Any], str]) -> None:
    project, before, run = changed
    (project / "app.py").write_text("hours of work")
    (project / "new" / "file").write_text("minutes of work")
    mine = listing(project)
    executor = AgenticExecutor()
    with pytest.raises(RollbackError, match="2 paths were changed since by somebody else") as raised:
        executor.rollback(run)
    assert raised.value.changed_since == [
        LeftOut(str(project / "app.py"), "was changed since"),
        LeftOut(str(project / "new/file"), "was changed since"),
    ]
    assert listing(project) == mine
    # A dry run tells it.
    planned = executor.rollback(run, dry_run=True)
    assert planned.changed_since == raised.value.changed_since
    # The others alone, then all of it.
    executor.rollback(run, paths=["old", Path("notes"), project / "link"])
    assert (project / "old" / "a").read_text() == "a" and (project / "app.py").read_text() == "hours of work"
    forced = executor.rollback(run, force=True)
    assert listing(project) == before
    assert forced.changed_since == raised.value.changed_since
    assert forced.rollback is not None
    executor.rollback(forced.rollback)
    assert (project / "app.py").read_text() == "hours of work"
    assert (project / "new" / "file").read_text() == "minutes of work"


def test_a_run_is_rolled_back_where_it_worked(
    changed: tuple[Path, dict[str, Any], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, before, run = changed
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(InvalidValueError, match="paths: nothing was changed at or beneath .*elsewhere/old"):
        AgenticExecutor().rollback(run, paths=["old"])
    AgenticExecutor(workspace=project).rollback(run, paths=["old"])
    assert (project / "old" / "a").exists()
    AgenticExecutor().rollback(run)
    assert listing(project) == before and listing(elsewhere) == {}


def test_a_path_of_any_bytes_is_told_as_python_has_it(project: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    (project / name).write_text("before")
    executor = AgenticExecutor()
    run = executor.execute("x", {"command": "for f in caf*; do echo after > $f; done"}).run_id
    done = executor.rollback(run, paths=[name])
    assert done.changes == [Change(os.path.join(str(project), name), "modified", 6)]
    assert Path(done.changes[0].path).read_text() == "before"


def test_a_rollback_is_a_run_with_events_and_rules(changed: tuple[Path, dict[str, Any], str]) -> None:
    project, before, run = changed
    after = listing(project)
    kinds: list[str] = []
    denied = AgenticExecutor(approval=[{"action": "deny", "tool": "rollback"}])
    with pytest.raises(RollbackError, match="the call of `rollback` is denied") as raised:
        denied.rollback(run)
    assert raised.value.changed_since == []
    asked: list[str] = []

    def decline(step: Any) -> bool:
        asked.append(step.tool)
        return False

    with pytest.raises(RollbackError, match="declined"):
        AgenticExecutor(approval=[{"action": "ask", "tool": "rollback"}], prompt=decline).rollback(run)
    assert asked == ["rollback"] and listing(project) == after
    executor = AgenticExecutor(on_event=lambda event: kinds.append(event.kind), workspace=project)
    done = executor.rollback(run)
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished") and done.rollback is not None
    assert listing(project) == before


def test_what_a_listener_raises_is_raised(changed: tuple[Path, dict[str, Any], str]) -> None:
    project, _, run = changed
    after = listing(project)

    def listener(event: Any) -> None:
        raise KeyError(event.kind)

    with pytest.raises(KeyError, match="run_started"):
        AgenticExecutor(on_event=listener).rollback(run)
    assert listing(project) == after
    AgenticExecutor().rollback(run)


def test_what_is_not_kept_any_more_is_said(changed: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    project, _, _ = changed
    executor = AgenticExecutor(state=tmp_path / "state")
    run = executor.execute("x", {"command": "echo x > x"}).run_id
    shutil.rmtree(tmp_path / "state" / "undo")
    for act in (executor.rollback, executor.diff):
        with pytest.raises(RollbackError, match="what it replaced is not there any more"):
            act(run)
    assert (project / "x").read_text() == "x\n"


def test_a_diff_says_what_changed(changed: tuple[Path, dict[str, Any], str]) -> None:
    _, _, run = changed
    executor = AgenticExecutor()
    assert executor.diff(run, "step_1") == (
        "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-VERSION = 1\n+VERSION = 2\n"
    )
    whole = executor.diff(run)
    for said in ("-VERSION = 1\n+VERSION = 3\n", "old mode 100644\nnew mode 100755\n", "+third\n", "folder new made\n"):
        assert said in whole
    table = executor.diff(run, stat=True).splitlines()
    assert table[-1] == " 8 paths changed, 3 lines added, 2 removed"
    assert " notes    |    1 +" in table and " link     |  link -> app.py" in table


def test_undo_under_asyncio(changed: tuple[Path, dict[str, Any], str]) -> None:
    project, before, run = changed
    executor = AgenticExecutor()

    async def both() -> tuple[str, RollbackResult]:
        return await executor.adiff(run, stat=True), await executor.arollback(run)

    table, done = asyncio.run(both())
    assert table.endswith("removed\n") and done.rollback is not None
    assert listing(project) == before


def test_a_step_of_a_plan_takes_back_what_came_before_it(project: Path) -> None:
    plan = ExecutionPlan("Try and think better of it")
    plan.add_step("file_write", {"path": "kept", "content": "1"}, "Keep")
    plan.add_step("shell", {"command": "echo x > tried; rm kept"}, "Try")
    undo = plan.add_step("rollback", {"to": "step_1"}, "Take back")
    plan.add_step("list_files", {}, "Look")
    executor = AgenticExecutor(ToolRegistry.full_registry())
    result = executor.execute_plan(plan)
    assert result.success, result.summary()
    assert result.steps[-1].result is not None and result.steps[-1].result.output == "kept"
    assert undo.result is not None
    assert undo.result.output == "2 paths are as before.\nadded kept\ndeleted tried"
    # A bare call is part of no run.
    bare = executor.registry.execute("rollback", run=result.run_id)
    assert bare.status.value == "permission_denied" and "part of no run" in str(bare.error)
    executor.rollback(result.run_id)
    assert listing(project) == {}


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"run": ""}, InvalidValueError, "run: is empty"),
        ({"run": "no such run"}, InvalidValueError, "run: no run matches `no such run`"),
        ({"run": 7}, InvalidTypeError, "run: must be a str, not int"),
        ({"run": None}, InvalidTypeError, "run: must be a str, not None"),
        ({"to": "step"}, InvalidValueError, "to: run .* has no step `step` that ended; it has step_1, step_2, step_3"),
        ({"to": 1}, InvalidTypeError, "to: must be a str, not int"),
        ({"paths": "notes"}, InvalidTypeError, "paths: must be a list of paths, not str"),
        ({"paths": Path("notes")}, InvalidTypeError, "paths: must be a list of paths, not PosixPath"),
        ({"paths": []}, InvalidValueError, "paths: is empty"),
        ({"paths": ["notes", 3]}, InvalidTypeError, r"paths\[1\]: must be a str or os.PathLike, not int"),
        ({"paths": ["no\0tes"]}, InvalidValueError, r"paths\[0\]: must not hold a NUL character"),
        ({"paths": ["nowhere"]}, InvalidValueError, "paths: nothing was changed at or beneath .*nowhere"),
        ({"dry_run": 1}, InvalidTypeError, "dry_run: must be a bool, not int"),
        ({"force": "yes"}, InvalidTypeError, "force: must be a bool, not str"),
    ],
)
def test_wrong_input_is_named(
    changed: tuple[Path, dict[str, Any], str], arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    project, _, run = changed
    after = listing(project)
    with pytest.raises(error, match=said):
        AgenticExecutor().rollback(**{"run": run, **arguments})
    assert listing(project) == after


def test_wrong_input_of_a_diff_is_named(changed: tuple[Path, dict[str, Any], str]) -> None:
    _, _, run = changed
    executor = AgenticExecutor()
    with pytest.raises(InvalidValueError, match="step: run .* has no step `last`"):
        executor.diff(run, "last")
    with pytest.raises(InvalidValueError, match="run: no run matches"):
        executor.diff("nothing")
    with pytest.raises(InvalidTypeError, match="stat: must be a bool"):
        executor.diff(run, stat=1)  # type: ignore[arg-type]
