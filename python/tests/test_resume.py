"""`AgenticExecutor.resume`: a run that was killed or failed goes on from Python."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from agentic_executor import (
    AgenticExecutor,
    ExecutionPlan,
    InvalidTypeError,
    InvalidValueError,
    ResumeError,
    ToolRegistry,
)

KILLED = """
    import os, signal, sys
    from agentic_executor import AgenticExecutor, ExecutionPlan, ToolRegistry

    registry = ToolRegistry.full_registry()

    @registry.register
    def send(word: str) -> str:
        "Sends a word somewhere."
        with open(sys.argv[1], "a") as file:
            file.write(word)
        if len(sys.argv) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return "sent"

    plan = ExecutionPlan("Send")
    plan.add_step("shell", {"command": "echo ran >> one"}, "First")
    plan.add_step("send", {"word": "hello "}, "Send", ["step_1"])
    plan.add_step("shell", {"command": "echo ran >> three"}, "Last", ["step_2"])
    AgenticExecutor(registry).execute_plan(plan)
"""


def newest() -> str:
    """The newest run of the state folder."""
    with closing(sqlite3.connect(Path(os.environ["AGENTIC_STATE"]) / "journal.sqlite3")) as journal:
        return str(journal.execute("SELECT run FROM runs ORDER BY run DESC").fetchone()[0])


def sending(sent: Path) -> ToolRegistry:
    """The registry of the program above, in a process that is not killed."""
    registry = ToolRegistry.full_registry()

    @registry.register
    def send(word: str) -> str:
        "Sends a word somewhere."
        with open(sent, "a") as file:
            file.write(word)
        return "sent"

    return registry


def test_a_tool_in_python_that_was_cut_off_is_called_again_only_when_told(project: Path, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(sent), "die"]
    assert subprocess.run(program, check=False, cwd=project).returncode == -signal.SIGKILL
    assert sent.read_text() == "hello "
    run, executor = newest(), AgenticExecutor(sending(sent))
    with pytest.raises(ResumeError, match="is not known") as raised:
        executor.resume(run)
    assert 'retry=["step_2"]' in str(raised.value)
    assert sent.read_text() == "hello " and not (project / "three").exists()
    result = executor.resume(run, retry=["step_2"])
    assert result.success, result.summary()
    assert [step.step_id for step in result.steps] == ["step_1", "step_2", "step_3"]
    assert sent.read_text() == "hello hello "
    assert [(project / name).read_text() for name in ("one", "three")] == ["ran\n", "ran\n"]


def test_what_changed_is_listed_and_nothing_is_done(project: Path) -> None:
    executor = AgenticExecutor()
    plan = ExecutionPlan("Two")
    plan.add_step("shell", {"command": "echo ran >> one"}, "First")
    plan.add_step("shell", {"command": "test -e given && echo ran >> two"}, "Second", ["step_1"])
    run = executor.execute_plan(plan).run_id
    (project / "given").write_text("")
    (project / "one").write_text("mine")
    with pytest.raises(ResumeError, match="one was changed since") as raised:
        executor.resume(run)
    assert len(raised.value.changed) == 1 and not (project / "two").exists()
    assert isinstance(raised.value, RuntimeError)
    result = executor.resume(run[-12:], force=True)
    assert result.success and result.run_id == run, result.summary()
    assert ((project / "one").read_text(), (project / "two").read_text()) == ("mine", "ran\n")
    with pytest.raises(ResumeError, match="has succeeded"):
        executor.resume(run)


def test_arguments_are_named(project: Path) -> None:
    executor = AgenticExecutor()
    executor.execute("note", {"command": "true"})
    for given, error, match in [
        (lambda: executor.resume("no-such-run"), InvalidValueError, "run: no run matches"),
        (lambda: executor.resume(""), InvalidValueError, "run: is empty"),
        (lambda: executor.resume(3), InvalidTypeError, "run"),  # type: ignore[arg-type]
        (lambda: executor.resume("a", force=1), InvalidTypeError, "force"),  # type: ignore[arg-type]
        (lambda: executor.resume("a", retry="step_1"), InvalidTypeError, "retry: must be a list of steps, not str"),
        (lambda: executor.resume("a", retry=[3]), InvalidTypeError, r"retry\[0\]"),  # type: ignore[list-item]
    ]:
        with pytest.raises(error, match=match):
            given()
