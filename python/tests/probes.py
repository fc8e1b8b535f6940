"""What a test can see of the processes around it: descendants, descriptors, threads, memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def _processes() -> Iterator[tuple[int, int, str]]:
    """Every process as (pid, parent, state)."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text(errors="replace")
            except OSError:
                continue
            # The name stands in parentheses and may hold any character.
            state, parent = stat.rpartition(")")[2].split()[:2]
            yield int(entry), int(parent), state


def descendants(pid: int | None = None) -> set[int]:
    """The living processes below `pid` (default: this process)."""
    children: dict[int, list[int]] = {}
    for child, parent, state in _processes():
        if state not in "ZX":
            children.setdefault(parent, []).append(child)
    found: set[int] = set()
    left = [os.getpid() if pid is None else pid]
    while left:
        for child in children.get(left.pop(), []):
            if child not in found:
                found.add(child)
                left.append(child)
    return found


def zombies(pid: int | None = None) -> set[int]:
    """The children of `pid` that ended and were not waited for."""
    own = os.getpid() if pid is None else pid
    return {child for child, parent, state in _processes() if parent == own and state == "Z"}


def named(name: str) -> set[int]:
    """The processes of the whole machine whose kernel name (`comm`, at most 15 bytes) is `name`."""
    found: set[int] = set()
    for pid, _, state in _processes():
        try:
            comm = Path("/proc", str(pid), "comm").read_text(errors="replace").strip()
        except OSError:
            continue
        if comm == name and state not in "ZX":
            found.add(pid)
    return found


def with_argument(text: str) -> set[int]:
    """The processes of the whole machine whose command line holds `text`, but for this one."""
    found: set[int] = set()
    for pid, _, _ in _processes():
        try:
            line = Path("/proc", str(pid), "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in line and pid != os.getpid():
            found.add(pid)
    return found


def descriptors() -> int:
    """Open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    """Kernel threads of this process."""
    return len(os.listdir("/proc/self/task"))


def resident_mb() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def until(condition: Callable[[], Any], timeout: float = 20.0) -> Any:
    """The first true value of `condition`, which is asked again and again; its last value when time is up."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.01)
