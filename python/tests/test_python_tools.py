"""Tools written in Python inside plans: identity, threads, exceptions, references, tools that run tools."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agentic_executor import AgenticExecutor, ExecutionMode, ExecutionPlan, ExecutionResult
from agentic_executor.planner import StepStatus
from agentic_executor.tools import Tool, ToolParameter, ToolRegistry, ToolResult, ToolStatus

pytestmark = pytest.mark.usefixtures("project")

MODES = [ExecutionMode.SEQUENTIAL, ExecutionMode.PARALLEL]


class Calls(Tool):
    """Answers what a function of its keyword arguments answers."""

    name = "calls"  # type: ignore[assignment]
    description = "Calls a function"  # type: ignore[assignment]
    parameters: list[ToolParameter] = []  # type: ignore[assignment]

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def execute(self, **kwargs: Any) -> ToolResult:
        answer = self.function(**kwargs)
        return answer if isinstance(answer, ToolResult) else ToolResult(ToolStatus.SUCCESS, answer)


def ran(
    function: Callable[..., Any], *params: dict[str, Any], mode: ExecutionMode = ExecutionMode.SEQUENTIAL
) -> ExecutionResult:
    """The result of a plan with one call of `function` for each of `params`; none of them is tried again."""
    registry = ToolRegistry()
    registry.register(Calls(function))
    plan = ExecutionPlan("calls")
    for one in params or ({},):
        plan.add_step("calls", one, "Call").max_retries = 0
    return AgenticExecutor(registry, mode=mode, max_steps=500).execute_plan(plan)


@pytest.mark.parametrize("mode", MODES)
def test_a_tool_runs_in_a_plan(mode: ExecutionMode) -> None:
    result = ran(lambda n: n * n, *({"n": n} for n in range(5)), mode=mode)
    assert result.success, result.summary()
    by_id = {step.step_id: step.result.output for step in result.steps if step.result}
    assert by_id == {f"step_{n + 1}": n * n for n in range(5)}


def test_two_hundred_steps_in_parallel() -> None:
    seen: list[int] = []

    def keep(n: int) -> str:
        seen.append(n)
        return f"answer {n}"

    result = ran(keep, *({"n": n} for n in range(200)), mode=ExecutionMode.PARALLEL)
    assert result.success, result.summary()
    assert sorted(seen) == list(range(200))
    assert len(result.steps) == 200
    for step in result.steps:
        assert step.result is not None
        assert step.result.output == f"answer {step.params['n']}"
        assert step.step_id == f"step_{step.params['n'] + 1}"


def test_a_parallel_plan_keeps_to_its_order() -> None:
    done: list[str] = []
    registry = ToolRegistry()
    registry.register(Calls(lambda me: done.append(me)))
    plan = ExecutionPlan("diamond")
    plan.add_step("calls", {"me": "top"}, "top")
    plan.add_step("calls", {"me": "left"}, "left", ["step_1"])
    plan.add_step("calls", {"me": "right"}, "right", ["step_1"])
    plan.add_step("calls", {"me": "bottom"}, "bottom", ["step_2", "step_3"])
    assert AgenticExecutor(registry, mode=ExecutionMode.PARALLEL).execute_plan(plan).success
    assert done[0] == "top" and done[-1] == "bottom" and sorted(done[1:3]) == ["left", "right"]


def test_parallel_steps_run_at_once() -> None:
    # Each waits for the other; were they run one after the other, the barrier would break.
    barrier = threading.Barrier(2, timeout=30)
    result = ran(lambda n: barrier.wait() >= 0, {"n": 1}, {"n": 2}, mode=ExecutionMode.PARALLEL)
    assert result.success, result.summary()


def test_a_plans_steps_are_brought_up_to_date() -> None:
    registry = ToolRegistry()
    registry.register(
        Calls(lambda fine: ToolResult(ToolStatus.SUCCESS if fine else ToolStatus.ERROR, "out", None if fine else "no"))
    )
    plan = ExecutionPlan("status")
    good = plan.add_step("calls", {"fine": True}, "good")
    bad = plan.add_step("calls", {"fine": False}, "bad")
    after = plan.add_step("calls", {"fine": True}, "after", depends_on=[bad.id])
    bad.max_retries = 1
    result = AgenticExecutor(registry).execute_plan(plan)
    assert not result.success
    assert (good.status, bad.status, after.status) == (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED)
    assert plan.steps == [good, bad, after] and plan.steps[0] is good
    assert good.result is not None and good.result.output == "out"
    assert bad.error == "no"
    assert bad.retry_count == 1
    assert plan.is_complete()


@pytest.mark.parametrize("mode", MODES)
def test_the_result_is_the_very_object_that_was_returned(mode: ExecutionMode) -> None:
    output = object()
    given = ToolResult(ToolStatus.SUCCESS, output, metadata={"a": {1, 2}})
    result = ran(lambda: given, mode=mode)
    assert result.success, result.summary()
    assert result.steps[0].result is given
    assert given.output is output
    assert given.metadata == {"a": {1, 2}}


def test_params_arrive_as_they_were_given() -> None:
    given = {
        "text": "grün\n\U0001f600",
        "n": -3,
        "big": 2**63 - 1,
        "x": 0.1,
        "flag": True,
        "none": None,
        "deep": {"a": [1, [2, {}]]},
    }
    got: list[dict[str, Any]] = []
    assert ran(lambda **kwargs: got.append(kwargs), given).success
    assert got == [given]
    assert [type(value) for value in got[0].values()] == [type(value) for value in given.values()]


def test_a_step_may_refer_to_an_earlier_one() -> None:
    registry = ToolRegistry()
    registry.register(Calls(lambda text: text))
    plan = ExecutionPlan("refer")
    plan.add_step("calls", {"text": "first"}, "one")
    plan.add_step("calls", {"text": "${{ steps.step_1.output }} and more"}, "two", ["step_1"])
    result = AgenticExecutor(registry).execute_plan(plan)
    assert result.success, result.summary()
    assert result.steps[1].result is not None
    assert result.steps[1].result.output == "first and more"


@pytest.mark.parametrize("mode", MODES)
def test_an_exception_is_a_failed_result_with_its_traceback(mode: ExecutionMode) -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    result = ran(fail, mode=mode)
    assert result.success is False
    failed = result.steps[0].result
    assert failed is not None and failed.status is ToolStatus.ERROR
    assert "LookupError" in str(failed.error) and "nothing there" in str(failed.error)
    assert "in fail" in failed.metadata["traceback"]
    assert "nothing there" in str(result.error)


def test_an_exception_whose_text_cannot_be_had() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    def fail() -> None:
        raise Mute

    result = ran(fail)
    assert result.success is False
    assert "Mute" in str(result.error)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_what_is_to_end_the_program_passes_through(raised: type[BaseException]) -> None:
    def fail() -> None:
        raise raised

    with pytest.raises(raised):
        ran(fail)
    assert ran(lambda: 1).success


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_on_a_thread_of_the_engine_it_fails_the_step(raised: type[BaseException]) -> None:
    def fail() -> None:
        raise raised

    result = ran(fail, mode=ExecutionMode.PARALLEL)
    assert result.success is False
    assert raised.__name__ in str(result.error)


def test_a_result_of_another_type_is_a_failure_that_names_it() -> None:
    class Nonsense(Calls):
        def execute(self, **kwargs: Any) -> ToolResult:
            return self.function()  # type: ignore[no-any-return]

    for nonsense in (None, 3, "text", {"status": "success"}):
        registry = ToolRegistry()
        registry.register(Nonsense(lambda value=nonsense: value))
        result = registry.execute("calls")
        assert result.status is ToolStatus.ERROR
        assert type(nonsense).__name__ in str(result.error)


def test_a_failed_step_is_tried_again() -> None:
    attempts: list[int] = []

    def fails_twice() -> Any:
        attempts.append(1)
        return ToolResult(ToolStatus.ERROR, "", "not yet") if len(attempts) < 3 else "now"

    registry = ToolRegistry()
    registry.register(Calls(fails_twice))
    plan = ExecutionPlan("again")
    plan.add_step("calls", {}, "Call")
    result = AgenticExecutor(registry).execute_plan(plan)
    assert result.success, result.summary()
    assert len(attempts) == 3
    assert result.steps[-1].retries == 2


def test_validate_params_is_asked_and_its_answer_refuses() -> None:
    calls: list[int] = []

    class Picky(Calls):
        def validate_params(self, params: dict[str, Any]) -> str | None:
            return None if params["n"] % 2 == 0 else "n must be even"

    registry = ToolRegistry()
    registry.register(Picky(lambda n: calls.append(n)))
    assert registry.execute("calls", n=2).status is ToolStatus.SUCCESS
    result = registry.execute("calls", n=3)
    assert result.status is ToolStatus.ERROR
    assert result.error == "n must be even"
    assert calls == [2]


def test_an_async_execute_is_awaited() -> None:
    class Later(Calls):
        async def execute(self, **kwargs: Any) -> ToolResult:  # type: ignore[override]
            import asyncio

            await asyncio.sleep(0)
            return ToolResult(ToolStatus.SUCCESS, self.function(**kwargs))

    registry = ToolRegistry()
    registry.register(Later(lambda n: n + 1))
    assert registry.execute("calls", n=1).output == 2


def test_sequential_tools_run_on_the_calling_thread() -> None:
    seen: list[int] = []
    assert ran(lambda n: seen.append(threading.get_ident()), {"n": 1}, {"n": 2}).success
    assert seen == [threading.get_ident()] * 2


def test_a_connection_of_the_caller_can_be_used() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (n integer)")
    result = ran(lambda n: connection.execute("insert into t values (?)", (n,)).rowcount, {"n": 1}, {"n": 2})
    assert result.success, result.summary()
    assert connection.execute("select sum(n) from t").fetchone() == (3,)
    connection.close()


def test_a_tool_may_call_other_tools_of_its_registry() -> None:
    registry = ToolRegistry.default_registry()

    def both(n: int) -> Any:
        registry.execute("file_write", path=f"{n}.txt", content=f"number {n}").status is ToolStatus.SUCCESS
        return registry.execute("file_read", path=f"{n}.txt").output

    registry.register(Calls(both))
    assert registry.execute("calls", n=1).output == "number 1"


@pytest.mark.parametrize("mode", MODES)
def test_a_tool_may_run_an_executor(mode: ExecutionMode) -> None:
    executor = AgenticExecutor(ToolRegistry.default_registry(), mode=mode)

    def inner(n: int) -> Any:
        return executor.execute("run it", {"command": f"echo {n}"}).steps[0].result

    executor.registry.register(Calls(inner))
    plan = ExecutionPlan("outer")
    for n in range(3):
        plan.add_step("calls", {"n": n}, "Call")
    result = executor.execute_plan(plan)
    assert result.success, result.summary()
    assert sorted(step.result.output for step in result.steps if step.result) == ["0\n", "1\n", "2\n"]


def test_a_tool_may_call_itself() -> None:
    registry = ToolRegistry()

    def down(n: int) -> int:
        return 0 if n == 0 else 1 + int(registry.execute("calls", n=n - 1).output)

    registry.register(Calls(down))
    assert registry.execute("calls", n=10).output == 10
