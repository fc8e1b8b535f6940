"""`on_step_complete`, `on_event`, and events as an iterator."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import probes
from agentic_executor import AgenticExecutor, ExecutionMode, ExecutionPlan, ExecutionResult, ExecutionStep
from agentic_executor.events import Event
from agentic_executor.tools import ToolStatus

pytestmark = pytest.mark.usefixtures("project")


def echoes(*words: str) -> ExecutionPlan:
    plan = ExecutionPlan("echo")
    for word in words:
        plan.add_step("shell", {"command": f"echo {word}"}, f"Say {word}")
    return plan


def test_each_finished_step_is_told_in_order() -> None:
    told: list[ExecutionStep] = []
    result = AgenticExecutor(on_step_complete=told.append).execute_plan(echoes("a", "b", "c"))
    assert [step.step_id for step in told] == ["step_1", "step_2", "step_3"]
    assert all(isinstance(step, ExecutionStep) for step in told)
    assert [step.result.output for step in told if step.result] == ["a\n", "b\n", "c\n"]
    assert [step.to_dict() for step in told] == [step.to_dict() for step in result.steps]


def test_a_step_is_told_before_the_next_one_starts(project: Path) -> None:
    seen: list[list[str]] = []
    plan = ExecutionPlan("files")
    for name in ("a", "b"):
        plan.add_step("file_write", {"path": name, "content": name}, "Write")
    AgenticExecutor(on_step_complete=lambda step: seen.append(sorted(p.name for p in project.iterdir()))).execute_plan(
        plan
    )
    assert seen == [["a"], ["a", "b"]]


def test_a_callback_set_later_is_called_and_a_removed_one_is_not() -> None:
    told: list[str] = []
    executor = AgenticExecutor()
    executor.on_step_complete = lambda step: told.append(step.tool)
    executor.execute_code("pass")
    assert told == ["sandbox"]
    executor.on_step_complete = None
    executor.execute_code("pass")
    assert told == ["sandbox"]


def test_every_call_tells_its_steps(project: Path) -> None:
    (project / "a.txt").write_text("x")
    told: list[str] = []
    executor = AgenticExecutor(on_step_complete=lambda step: told.append(step.step_id))
    calls: list[Callable[[], ExecutionResult]] = [
        lambda: executor.edit_file("a.txt", "x", "y"),
        lambda: executor.run_tests("true"),
        lambda: executor.execute("run it", {"command": "true"}),
        lambda: executor.execute_code("pass"),
    ]
    for call in calls:
        result = call()
        assert result.success
        assert told == [step.step_id for step in result.steps]
        told.clear()


@pytest.mark.parametrize("mode", [ExecutionMode.SEQUENTIAL, ExecutionMode.PARALLEL])
def test_callbacks_come_on_the_calling_thread(mode: ExecutionMode) -> None:
    threads: set[int] = set()
    executor = AgenticExecutor(mode=mode, on_step_complete=lambda step: threads.add(threading.get_ident()))
    assert executor.execute_plan(echoes("a", "b", "c")).success
    assert threads == {threading.get_ident()}


def test_a_callback_that_raises_fails_the_run_and_says_so() -> None:
    told: list[str] = []

    def boom(step: ExecutionStep) -> None:
        told.append(step.step_id)
        raise ValueError("boom")

    result = AgenticExecutor(on_step_complete=boom).execute_plan(echoes("a", "b"))
    assert isinstance(result, ExecutionResult)
    assert result.success is False
    assert result.error == "on_step_complete raised ValueError: boom"
    assert "in boom" in result.metadata["traceback"]
    assert told == ["step_1"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_what_is_to_end_the_program_passes_through(raised: type[BaseException]) -> None:
    def end(step: ExecutionStep) -> None:
        raise raised

    with pytest.raises(raised):
        AgenticExecutor(on_step_complete=end).execute_plan(echoes("a", "b"))


def test_a_callback_may_use_the_executor() -> None:
    outputs: list[Any] = []

    def again(step: ExecutionStep) -> None:
        if not outputs:
            outputs.append(None)
            outputs[0] = executor.execute_code("print('inner')").steps[0].result.output  # type: ignore[union-attr]

    executor = AgenticExecutor(on_step_complete=again)
    assert executor.execute_code("print('outer')").success
    assert outputs == ["inner\n"]


def test_events_are_told_as_they_happen() -> None:
    events: list[Event] = []
    executor = AgenticExecutor()
    executor.on_event = events.append
    result = executor.execute_plan(echoes("a", "b"))
    assert result.success
    kinds = [event.kind for event in events]
    assert kinds[0] == "run_started" and kinds[-1] == "run_finished"
    assert kinds.count("step_finished") == 2
    assert len({event.run for event in events}) == 1
    kept = [event.sequence for event in events if event.kind != "call_output"]
    assert kept == sorted(set(kept))
    intended = next(event for event in events if event.kind == "call_intended")
    assert intended.data["tool"] == "shell"
    assert intended.data["params"] == {"command": "echo a"}


def test_an_event_callback_that_raises_fails_the_run_and_says_so() -> None:
    def boom(event: Event) -> None:
        raise ValueError("boom")

    executor = AgenticExecutor()
    executor.on_event = boom
    result = executor.execute_code("pass")
    assert result.success is False
    assert result.error == "on_event raised ValueError: boom"
    assert "in boom" in result.metadata["traceback"]


def test_an_event_as_dict_begins_with_what_all_have() -> None:
    event = next(iter(AgenticExecutor().stream("run it", {"command": "true"})))
    assert list(event.to_dict())[:5] == ["version", "run", "sequence", "time", "event"]
    assert event.to_dict()["event"] == event.kind == "run_started"
    assert event.to_dict()["task"] == "run it"


def test_a_stream_yields_events_and_ends() -> None:
    events = list(AgenticExecutor().stream("run it", {"command": "echo a"}))
    assert all(isinstance(event, Event) for event in events)
    assert events[0].kind == "run_started" and events[-1].kind == "run_finished"


def test_a_stream_takes_a_plan() -> None:
    stream = AgenticExecutor().stream(echoes("a", "b"))
    assert [event.data["step"] for event in stream if event.kind == "step_started"] == ["step_1", "step_2"]


def test_a_stream_has_its_result_at_the_end() -> None:
    stream = AgenticExecutor().stream("run it", {"command": "echo a"})
    for _ in stream:
        pass
    assert isinstance(stream.result, ExecutionResult)
    assert stream.result.success
    assert stream.result.steps[0].result is not None
    assert stream.result.steps[0].result.output == "a\n"


def test_events_come_while_the_run_works(project: Path, nap: str) -> None:
    stream = AgenticExecutor().stream("run it", {"command": f"sleep {nap}"})
    kinds = []
    for event in stream:
        kinds.append(event.kind)
        if event.kind == "call_intended":
            break
    assert probes.until(lambda: probes.with_argument(nap))
    stream.close()
    assert "run_finished" not in kinds


def test_closing_a_stream_ends_the_run(nap: str) -> None:
    stream = AgenticExecutor().stream("run it", {"command": f"sleep {nap}"})
    assert next(stream).kind == "run_started"
    assert probes.until(lambda: probes.with_argument(nap))
    stream.close()
    assert not probes.with_argument(nap)
    assert list(stream) == []


def test_a_stream_that_is_let_go_ends_the_run(nap: str) -> None:
    stream = AgenticExecutor().stream("run it", {"command": f"sleep {nap}"})
    next(stream)
    assert probes.until(lambda: probes.with_argument(nap))
    del stream
    assert probes.until(lambda: not probes.with_argument(nap)), "still running"


def test_an_async_stream() -> None:
    async def collect() -> list[str]:
        return [event.kind async for event in AgenticExecutor().astream("run it", {"command": "echo a"})]

    kinds = asyncio.run(collect())
    assert kinds[0] == "run_started" and kinds[-1] == "run_finished"


def test_leaving_an_async_stream_ends_the_run(nap: str) -> None:
    async def leave() -> None:
        stream = AgenticExecutor().astream("run it", {"command": f"sleep {nap}"})
        async for event in stream:
            if event.kind == "call_intended":
                break
        # Closed as an asynchronous generator is.
        await stream.aclose()

    asyncio.run(leave())
    assert probes.until(lambda: not probes.with_argument(nap)), "still running"


def test_the_stream_of_a_failing_task() -> None:
    stream = AgenticExecutor().stream("run it", {"command": "exit 3"})
    last = list(stream)[-1]
    assert last.kind == "run_finished"
    assert stream.result is not None and stream.result.success is False
    assert stream.result.steps[-1].result is not None
    assert stream.result.steps[-1].result.status is ToolStatus.ERROR
