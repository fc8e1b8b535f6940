"""Many calls: descriptors, processes, threads and memory stay flat, and the state folder stays empty of layers."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import probes
from agentic_executor import AgenticExecutor, ExecutionMode, ExecutionPlan
from agentic_executor.sandbox import CodeSandbox, SandboxConfig
from agentic_executor.tools import ToolRegistry, ToolStatus


class Held(NamedTuple):
    """What this process holds."""

    descriptors: int
    children: int
    zombies: int
    threads: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        return cls(probes.descriptors(), len(probes.descendants()), len(probes.zombies()), probes.threads())


def assert_flat(call: Callable[[int], None], times: int, most_mb: float) -> None:
    """Nothing is held after `times` calls that was not held after the first twenty."""
    for n in range(20):
        call(n)
    before, memory = Held.now(), probes.resident_mb()
    for n in range(times):
        call(n)
    # Threads of the engine end a moment after their call.
    probes.until(lambda: all(now <= then for now, then in zip(Held.now(), before)), 10)
    after = Held.now()
    grown = probes.resident_mb() - memory
    print(f"{times} calls: {before} -> {after}, {grown:+.1f} MB")
    assert all(now <= then for now, then in zip(after, before)), f"{before} -> {after}"
    assert grown < most_mb


def code(n: int) -> None:
    result = AgenticExecutor().execute_code(f"print({n})")
    assert result.steps[0].result is not None
    assert result.steps[0].result.output == f"{n}\n"


def mixed(n: int) -> None:
    """One call of each kind, half of which fail."""
    registry = ToolRegistry.default_registry()

    @registry.register("double")
    def double(value: int) -> int:
        """Doubles."""
        if value % 2:
            raise ValueError(value)
        return 2 * value

    assert registry.execute("file_write", path="a.txt", content=str(n)).status is ToolStatus.SUCCESS
    assert registry.execute("file_read", path="a.txt").output == str(n)
    assert registry.execute("file_read", path="none.txt").status is ToolStatus.ERROR
    assert registry.execute("search", pattern=str(n)).status is ToolStatus.SUCCESS
    assert registry.execute("shell", command=f"exit {n % 2}").metadata["returncode"] == n % 2
    plan = ExecutionPlan("double")
    for value in range(4):
        plan.add_step("double", {"value": value}, "Double").max_retries = 0
    result = AgenticExecutor(registry, mode=ExecutionMode.PARALLEL).execute_plan(plan)
    assert result.success is False


@pytest.mark.parametrize(("call", "times"), [(code, 150), (mixed, 25)])
def test_calls_hold_nothing(project: Path, call: Callable[[int], None], times: int) -> None:
    assert_flat(call, times, 16)


@pytest.mark.long
@pytest.mark.parametrize(("call", "times"), [(code, 2000), (mixed, 300)])
def test_two_thousand_calls_hold_nothing(project: Path, call: Callable[[int], None], times: int) -> None:
    assert_flat(call, times, 24)


def test_failures_hold_nothing(project: Path) -> None:
    def fail(n: int) -> None:
        def boom(step: Any) -> None:
            raise ValueError

        assert AgenticExecutor(on_step_complete=boom).execute_code("pass").success is False
        assert AgenticExecutor().execute_code("raise ValueError").success is False
        next(iter(AgenticExecutor().stream("run it", {"command": "sleep 60"})))

    assert_flat(fail, 20, 16)


def test_sandboxes_hold_nothing(project: Path) -> None:
    def use(n: int) -> None:
        with CodeSandbox() as sandbox:
            sandbox.execute("open('f', 'w').write('x' * 100000)")
        CodeSandbox().execute("print(1)")

    assert_flat(use, 40, 16)


def layers(state: Path) -> list[Path]:
    """The layers that lie in a state folder."""
    return [path for path in state.glob("layers/*") if any(path.iterdir())]


def test_no_layer_is_left(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "own_state"
    monkeypatch.setenv("AGENTIC_STATE", str(state))
    registry = ToolRegistry.default_registry()
    calls: list[Callable[[], Any]] = [
        lambda: registry.execute("shell", command="echo a > a"),
        lambda: registry.execute("shell", command="echo b > b; exit 1"),
        lambda: registry.execute("shell", command="echo c > c; sleep 60", timeout=1),
        lambda: AgenticExecutor().execute_code("open('d', 'w').write('d')"),
        lambda: AgenticExecutor().execute_code("open('e', 'w').write('e'); raise ValueError"),
        lambda: CodeSandbox().execute("open('f', 'w').write('f')"),
        lambda: CodeSandbox(SandboxConfig(timeout_seconds=1)).execute("open('g', 'w').write('g')\nwhile True: pass"),
        lambda: AgenticExecutor().execute("run it", {"command": "echo h > h"}),
        lambda: next(iter(AgenticExecutor().stream("run it", {"command": "echo i > i; sleep 60"}))),
    ]
    for number, call in enumerate(calls):
        call()
        assert state.is_dir(), "the state folder was never used"
        assert probes.until(lambda: not layers(state), 5), (number, layers(state))


def test_a_dropped_sandbox_removes_its_folder(project: Path) -> None:
    sandbox = CodeSandbox()
    folder = sandbox.execute("import os; print(os.getcwd())").stdout.strip()
    assert os.path.isdir(folder)
    del sandbox
    gc.collect()
    assert not os.path.exists(folder)


def test_a_programs_end_leaves_no_process_and_no_folder(program: Callable[..., Any], state: Path) -> None:
    started = program("""
        import os
        from agentic_executor import CodeSandbox
        print(CodeSandbox().execute("import os; print(os.getcwd())").stdout, end="")
        sandbox = CodeSandbox()
        print(sandbox.execute("import os; print(os.getcwd())").stdout, end="", flush=True)
        import sys
        sys.stdin.readline()
    """)
    folders = [started.line(), started.line()]
    children = probes.descendants(started.pid)
    assert children, "no spawner was seen"
    assert os.path.isdir(folders[1])
    started.finish()
    assert probes.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children)), children
    assert [folder for folder in folders if os.path.exists(folder)] == []
