"""The `async` variants: they leave the loop alone, and end with the task that awaits them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import probes
from agentic_executor import AgenticExecutor, ExecutionPlan
from agentic_executor.sandbox import CodeSandbox, SandboxStatus
from agentic_executor.tools import ToolRegistry, ToolStatus

pytestmark = pytest.mark.usefixtures("project")

BOUND = 0.2
"""Seconds within which a cancelled call is back, after the issue that asked for it."""


def test_each_variant_answers_what_the_plain_one_does(project: Path) -> None:
    (project / "a.txt").write_text("x")
    plan = ExecutionPlan("echo")
    plan.add_step("shell", {"command": "echo planned"}, "Say it")

    async def outputs() -> list[Any]:
        executor = AgenticExecutor()
        results = [
            await executor.aexecute("run it", {"command": "echo task"}),
            await executor.aexecute_plan(plan),
            await executor.aexecute_code("print('code')", "Say it"),
            await executor.arun_tests("echo tests", None),
        ]
        assert (await executor.aedit_file("a.txt", "x", "y")).success
        return [step.result.output for result in results for step in result.steps if step.result]

    assert asyncio.run(outputs()) == ["task\n", "planned\n", "code\n", "tests\n"]
    assert (project / "a.txt").read_text() == "y"


def test_the_sandbox_has_one_too() -> None:
    with CodeSandbox() as sandbox:
        ran = asyncio.run(sandbox.aexecute("print('sandbox')"))
    assert (ran.stdout, ran.status) == ("sandbox\n", SandboxStatus.COMPLETED)


def test_the_loop_goes_on_meanwhile() -> None:
    async def ticks() -> int:
        count = 0
        call = asyncio.ensure_future(AgenticExecutor().aexecute_code("import time; time.sleep(1)"))
        while not call.done():
            count += 1
            await asyncio.sleep(0.01)
        assert (await call).success
        return count

    # A blocked loop would come to one; a busy machine may well come to fewer than a hundred.
    assert asyncio.run(ticks()) > 10


def test_eight_at_once() -> None:
    async def gather() -> list[Any]:
        executor = AgenticExecutor()
        results = await asyncio.gather(*(executor.aexecute_code(f"print({n} ** 2)") for n in range(8)))
        return [result.steps[0].result.output for result in results]  # type: ignore[union-attr]

    assert asyncio.run(gather()) == [f"{n**2}\n" for n in range(8)]


def cancelled(call: Callable[[], Awaitable[Any]], running: Callable[[], Any]) -> float:
    """Seconds from the cancellation of a running call until it was back."""

    async def cancel() -> float:
        task = asyncio.ensure_future(call())
        while not running():
            assert not task.done(), task
            await asyncio.sleep(0.01)
        start = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.perf_counter() - start

    return asyncio.run(cancel())


def test_cancelling_is_quick_and_leaves_no_process(new_name: Callable[[], str]) -> None:
    AgenticExecutor().execute_code("pass")
    before = probes.descendants()
    figures = []
    for _ in range(3):
        name = new_name()
        code = f"open('/proc/self/comm', 'w').write('{name}')\nwhile True: pass"
        figures.append(
            cancelled(lambda code=code: AgenticExecutor().aexecute_code(code), lambda name=name: probes.named(name))
        )
        assert not probes.named(name)
        if figures[-1] <= BOUND:
            break
    print(f"back {min(figures) * 1000:.0f} ms after the cancellation")
    assert min(figures) <= BOUND, figures
    assert probes.until(lambda: probes.descendants() <= before), probes.descendants() - before


def test_a_timeout_ends_the_process(nap: str) -> None:
    async def too_long() -> None:
        await asyncio.wait_for(AgenticExecutor().aexecute("run it", {"command": f"sleep {nap}"}), 2)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(too_long())
    assert not probes.with_argument(nap)


def test_one_of_many_can_be_cancelled(nap: str) -> None:
    async def some() -> list[Any]:
        executor = AgenticExecutor()
        long = asyncio.ensure_future(executor.aexecute("run it", {"command": f"sleep {nap}"}))
        short = [asyncio.ensure_future(executor.aexecute_code(f"print({n})")) for n in range(3)]
        while not probes.with_argument(nap):
            await asyncio.sleep(0.01)
        long.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await long
        return [result.success for result in await asyncio.gather(*short)]

    assert asyncio.run(some()) == [True] * 3
    assert not probes.with_argument(nap)


def test_a_cancelled_call_changes_nothing_later(project: Path, nap: str) -> None:
    call = lambda: AgenticExecutor().aexecute("run it", {"command": f"echo half > half.txt; sleep {nap}"})  # noqa: E731
    cancelled(call, lambda: probes.with_argument(nap))
    assert not (project / "half.txt").exists()


def test_a_failure_is_a_result_here_too() -> None:
    result = asyncio.run(AgenticExecutor().aexecute("run it", {"command": "exit 3"}))
    assert result.success is False
    assert result.steps[-1].result is not None
    assert result.steps[-1].result.status is ToolStatus.ERROR


def test_a_python_tool_runs_under_the_async_variant() -> None:
    registry = ToolRegistry()

    @registry.register("double")
    def double(n: int) -> int:
        """Doubles."""
        return 2 * n

    plan = ExecutionPlan("double")
    plan.add_step("double", {"n": 4}, "Double")
    result = asyncio.run(AgenticExecutor(registry).aexecute_plan(plan))
    assert result.steps[0].result is not None
    assert result.steps[0].result.output == 8
