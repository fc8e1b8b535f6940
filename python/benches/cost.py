"""What the package costs, side by side in one run: its import, and one call beside the command line's cold run.

    python python/benches/cost.py target/release/agentic

Every round runs each candidate once, in turn, so that whatever else the machine does meets all of them; medians are
compared within a round and over the rounds. Meaningful with the release builds of both.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import agentic_executor as package

ROUNDS = 41


def import_time() -> float:
    """Milliseconds of the import alone, as the interpreter counts them."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import agentic_executor"],
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in told.stderr.splitlines() if line.endswith("| agentic_executor"))
    return int(line.split("|")[1]) / 1000


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def check(answer: str) -> None:
    if answer != "1\n":
        raise SystemExit(f"the candidate printed {answer!r}")


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    agentic = os.path.abspath(sys.argv[1])
    print(f"{platform.platform()}, {os.cpu_count()} processors, CPython {platform.python_version()}, {ROUNDS} rounds")
    print(f"import agentic_executor: {statistics.median(import_time() for _ in range(ROUNDS)):.1f} ms, median")

    with tempfile.TemporaryDirectory() as folder, package.CodeSandbox() as sandbox:
        os.chdir(folder)
        executor = package.AgenticExecutor()

        def program(*command: str) -> Callable[[], None]:
            return lambda: check(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

        candidates: dict[str, Callable[[], object]] = {
            "agentic exec (cold)": program(agentic, "exec", "--runtime", sys.executable, "-e", "print(1)"),
            "executor.execute_code": lambda: check(executor.execute_code("print(1)").steps[0].result.output),
            "sandbox.execute": lambda: check(sandbox.execute("print(1)").stdout),
            "python -c": program(sys.executable, "-c", "print(1)"),
        }
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for work in candidates.values():
            work()
        for _ in range(ROUNDS):
            for name, work in candidates.items():
                times[name].append(timed(work))
    base = times["agentic exec (cold)"]
    for name, taken in times.items():
        ratio = statistics.median(one / other for one, other in zip(taken, base))
        print(f"{name:24}{statistics.median(taken):8.1f} ms{ratio:8.2f} of the cold run")


if __name__ == "__main__":
    main()
