"""Executors side by side in threads, and after the program's own `fork`, `spawn` and `forkserver`."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentic_executor import AgenticExecutor
from agentic_executor.sandbox import CodeSandbox
from agentic_executor.tools import ToolRegistry

pytestmark = [
    pytest.mark.usefixtures("project"),
    pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning"),
]


def square(n: int) -> str:
    """What the sandbox says that the square of `n` is."""
    result = AgenticExecutor().execute_code(f"print({n} ** 2)")
    assert result.success, result.summary()
    assert result.steps[0].result is not None
    return str(result.steps[0].result.output)


def in_threads(threads: int, calls: int) -> list[str]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(square, range(threads * calls)))


def test_sixteen_threads() -> None:
    assert in_threads(16, 6) == [f"{n**2}\n" for n in range(96)]


@pytest.mark.long
def test_sixteen_threads_with_a_hundred_calls_each() -> None:
    assert in_threads(16, 100) == [f"{n**2}\n" for n in range(1600)]


def test_one_executor_in_many_threads() -> None:
    executor = AgenticExecutor()

    def call(n: int) -> Any:
        result = executor.execute_code(f"print({n})").steps[0].result
        return result.output if result else None

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(32))) == [f"{n}\n" for n in range(32)]


def test_one_sandbox_in_many_threads() -> None:
    with CodeSandbox() as sandbox, ThreadPoolExecutor(4) as pool:
        outputs = pool.map(lambda n: sandbox.execute(f"open('f{n}', 'w').write('x'); print({n})").stdout, range(12))
        assert list(outputs) == [f"{n}\n" for n in range(12)]
        assert sandbox.execute("import os; print(len(os.listdir()))").stdout == "12\n"


def test_writers_of_different_files_do_not_disturb_each_other(project: Path) -> None:
    registry = ToolRegistry.default_registry()

    def write(n: int) -> Any:
        return registry.execute("file_write", path=f"{n}.txt", content=str(n)).error

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(40))) == [None] * 40
    assert sorted(int(path.read_text()) for path in project.iterdir()) == list(range(40))


def test_other_threads_go_on_during_a_call() -> None:
    ticks = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.wait(0.01):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    AgenticExecutor().execute_code("import time; time.sleep(1)")
    stop.set()
    thread.join()
    # With the interpreter lock held it would be one or two.
    assert ticks > 10


def forked(function: Callable[[], Any], timeout: float = 60) -> str:
    """What `function` answers in a forked child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            try:
                answer = repr(function())
            except BaseException as error:
                answer = f"raised {error!r}"
            os.write(writer, answer.encode())
        finally:
            os._exit(0)
    os.close(writer)
    end = time.monotonic() + timeout
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reader)
            pytest.fail(f"the forked child did not end in {timeout} s")
        time.sleep(0.01)
    with os.fdopen(reader) as answer_file:
        return answer_file.read()


def test_a_forked_child_after_use() -> None:
    assert square(2) == "4\n"
    assert forked(lambda: square(3)) == "'9\\n'"
    assert square(4) == "16\n"


def test_a_forked_child_uses_the_objects_of_its_parent() -> None:
    executor, sandbox, registry = AgenticExecutor(), CodeSandbox(), ToolRegistry.default_registry()
    executor.execute_code("pass")
    sandbox.execute("pass")
    registry.execute("shell", command="true")
    assert forked(lambda: registry.execute("shell", command="echo child").output) == "'child\\n'"
    assert forked(lambda: executor.execute_code("print(1)").success) == "True"
    assert forked(lambda: sandbox.execute("print(1)").stdout) == "'1\\n'"
    assert registry.execute("shell", command="echo parent").output == "parent\n"


def test_the_parents_temporary_folder_survives_the_childs_end() -> None:
    with CodeSandbox() as sandbox:
        sandbox.execute("open('kept', 'w').write('kept')")

        def use_and_leave() -> str:
            with sandbox:
                return sandbox.execute("pass").status.value

        assert forked(use_and_leave) == "'completed'"
        assert sandbox.execute("print(open('kept').read())").stdout == "kept\n"


def test_forked_children_of_a_fork() -> None:
    square(1)
    assert forked(lambda: (square(2), forked(lambda: square(3)), square(4))) == repr(("4\n", "'9\\n'", "16\n"))


def test_a_fork_without_prior_use(run_program: Callable[..., str]) -> None:
    output = run_program("""
        import os
        from agentic_executor import AgenticExecutor
        pid = os.fork()
        result = AgenticExecutor().execute_code("print('ran')")
        assert result.success, result.summary()
        if pid == 0:
            os._exit(7)
        _, status = os.waitpid(pid, 0)
        print("child", os.WEXITSTATUS(status))
    """)
    assert output.split() == ["child", "7"]


def test_a_fork_while_another_thread_runs() -> None:
    square(1)
    stop = threading.Event()
    counts: list[int] = []

    def keep_running() -> None:
        while not stop.is_set():
            square(5)
            counts.append(1)

    thread = threading.Thread(target=keep_running)
    thread.start()
    try:
        while not counts:
            time.sleep(0.01)
        for n in range(5):
            assert forked(lambda n=n: square(n)) == repr(f"{n**2}\n")  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def test_several_children_at_once() -> None:
    square(1)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: forked(lambda: square(n)), range(4))) == [repr(f"{n**2}\n") for n in range(4)]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("used", [True, False], ids=["used_before", "unused"])
def test_multiprocessing(run_program: Callable[..., str], method: str, used: bool) -> None:
    assert method in multiprocessing.get_all_start_methods()
    output = run_program(
        """
        import multiprocessing, sys
        from agentic_executor import AgenticExecutor

        def square(n):
            return AgenticExecutor().execute_code(f"print({n} ** 2)").steps[0].result.output

        if __name__ == "__main__":
            if sys.argv[2] == "True":
                assert square(1) == "1\\n"
            with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
                print("".join(pool.map(square, range(6))))
            print(square(9))
        """,
        method,
        str(used),
    )
    assert output.split() == ["0", "1", "4", "9", "16", "25", "81"]


def test_results_and_plans_cross_process_borders(run_program: Callable[..., str]) -> None:
    output = run_program("""
        import multiprocessing
        from agentic_executor import AgenticExecutor, ExecutionPlan

        def run(plan):
            return AgenticExecutor().execute_plan(plan)

        if __name__ == "__main__":
            plan = ExecutionPlan("echo")
            plan.add_step("shell", {"command": "echo over there"}, "Say it")
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                result = pool.apply(run, (plan,))
            print(result.success, result.steps[0].result.output)
    """)
    assert output.split() == ["True", "over", "there"]


def test_a_daemon_thread_that_runs_does_not_hold_up_the_end(run_program: Callable[..., str]) -> None:
    assert run_program("""
        import threading, time
        from agentic_executor import AgenticExecutor
        AgenticExecutor().execute_code("pass")
        threading.Thread(target=lambda: AgenticExecutor().execute_code("while True: pass"), daemon=True).start()
        time.sleep(0.5)
        print("bye")
    """, timeout=20).split() == ["bye"]  # fmt: skip


def test_the_journal_of_a_forked_child_whose_parent_is_gone_loses_nothing(
    run_program: Callable[..., str], state: Path
) -> None:
    printed = run_program("""
        import os, subprocess, sys
        from agentic_executor import AgenticExecutor
        run = "print(AgenticExecutor().execute('run it', {'command': 'true'}).run_id, flush=True)"
        exec(run)
        if os.fork():
            os._exit(0)
        exec(run)
        # Opens the journal and closes it; as the last to do so, for all that the locks of the file tell, it tidies up.
        tidy = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM runs'); c.close()"
        subprocess.run([sys.executable, "-c", tidy, os.environ["AGENTIC_STATE"] + "/journal.sqlite3"], check=True)
        for _ in range(3):
            exec(run)
    """)
    runs = printed.split()
    with contextlib.closing(sqlite3.connect(f"file:{state}/journal.sqlite3?mode=ro", uri=True)) as journal:
        known = {run for (run,) in journal.execute("SELECT run FROM runs")}
    assert len(runs) == 5
    assert set(runs) <= known
