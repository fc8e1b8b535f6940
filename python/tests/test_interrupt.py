"""Ctrl-C in the main thread: `KeyboardInterrupt` soon, and no process left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import probes

BOUND = 0.2
"""Seconds within which an interrupted call is back, after the issue that asked for it."""

PROGRAM = """
    import sys, time
    from agentic_executor import AgenticExecutor, ExecutionPlan, ToolRegistry, CodeSandbox
    from agentic_executor.tools import ToolStatus

    registry = ToolRegistry.default_registry()

    @registry.register("waits")
    def waits() -> None:
        "Waits."
        print("running", flush=True)
        time.sleep(600)

    executor = AgenticExecutor(registry)
    assert executor.execute_code("print(1)").success
    print("warm", flush=True)
    call, name, nap = sys.argv[1:]
    code = f"open('/proc/self/comm', 'w').write({name!r})\\nwhile True: pass"
    plan = ExecutionPlan("wait")
    plan.add_step("waits", {}, "Wait")
    calls = {
        "code": lambda: executor.execute_code(code),
        "sandbox": lambda: CodeSandbox().execute(code),
        "shell": lambda: registry.execute("shell", command="sleep " + nap, timeout=300),
        "task": lambda: executor.execute("run it", {"command": "sleep " + nap}),
        "tool": lambda: registry.execute("waits"),
        "step": lambda: executor.execute_plan(plan),
    }
    try:
        calls[call]()
        print("came back by itself")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    sys.stdin.readline()
    again = executor.execute_code("print('again')")
    print(again.steps[0].result.output if again.success else again.summary())
"""


def interrupted(program: Callable[..., Any], call: str, name: str, nap: str) -> float:
    """Seconds from SIGINT to `KeyboardInterrupt`; asserts that no process is left and that a second run works."""
    started = program(PROGRAM, call, name, nap)
    assert started.line() == "warm"
    before = probes.descendants(started.pid)
    if call in ("code", "sandbox"):
        assert probes.until(lambda: probes.named(name)), "the code never ran"
    elif call in ("shell", "task"):
        assert probes.until(lambda: probes.with_argument(f"sleep\0{nap}")), "the command never ran"
    else:
        assert started.line() == "running"
    # Well into the wait, so that the signal finds the call and not its beginning.
    time.sleep(0.1)
    start = time.perf_counter()
    started.interrupt()
    assert started.line() == "interrupted"
    seconds = time.perf_counter() - start
    assert not probes.named(name)
    assert not probes.with_argument(f"sleep\0{nap}")
    assert probes.until(lambda: probes.descendants(started.pid) <= before, 5), probes.descendants(started.pid) - before
    assert started.finish().split() == ["again"]
    return seconds


@pytest.mark.parametrize("call", ["code", "sandbox", "shell", "task", "tool", "step"])
def test_an_interrupt_is_quick_and_leaves_no_process(
    program: Callable[..., Any], new_name: Callable[[], str], nap: str, call: str
) -> None:
    figures: list[float] = []
    while len(figures) < 3 and (not figures or min(figures) > BOUND):
        figures.append(interrupted(program, call, new_name(), nap))
    print(f"{call}: back {min(figures) * 1000:.0f} ms after the interrupt")
    assert min(figures) <= BOUND, figures


def test_an_interrupt_in_another_threads_call_reaches_the_main_thread(program: Callable[..., Any]) -> None:
    started = program("""
        import threading, time
        from agentic_executor import AgenticExecutor
        results = []
        thread = threading.Thread(target=lambda: results.append(AgenticExecutor().execute_code(
            "import time; time.sleep(2); print('done')")))
        thread.start()
        try:
            print("running", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        thread.join()
        print(results[0].steps[0].result.output)
    """)
    assert started.line() == "running"
    started.interrupt()
    assert started.line() == "interrupted"
    assert started.finish().split() == ["done"]


def test_a_handler_of_the_programs_own_is_called(program: Callable[..., Any]) -> None:
    started = program("""
        import signal
        from agentic_executor import AgenticExecutor
        AgenticExecutor().execute_code("pass")
        class Stop(Exception): pass
        def stop(number, frame):
            raise Stop
        signal.signal(signal.SIGINT, stop)
        print("running", flush=True)
        try:
            AgenticExecutor().execute_code("while True: pass")
        except Stop:
            print("stopped")
    """)
    assert started.line() == "running"
    time.sleep(0.5)
    started.interrupt()
    assert started.finish(30).split() == ["stopped"]


def test_a_handler_that_raises_nothing_interrupts_nothing(program: Callable[..., Any]) -> None:
    started = program("""
        import signal
        from agentic_executor import AgenticExecutor
        AgenticExecutor().execute_code("pass")
        signal.signal(signal.SIGUSR1, lambda number, frame: print("seen", flush=True))
        signal.signal(signal.SIGINT, lambda number, frame: print("seen", flush=True))
        print("running", flush=True)
        result = AgenticExecutor().execute_code("import time; time.sleep(3); print('done')")
        print(result.steps[0].result.output)
    """)
    assert started.line() == "running"
    time.sleep(0.5)
    started.interrupt()
    assert started.finish(60).split() == ["seen", "done"]
