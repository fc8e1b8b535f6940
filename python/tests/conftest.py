"""What the tests share: an environment of their own, a project to work in, programs in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FOREIGN = (
    "AGENTIC_",
    "XDG_",
    "PIP_",
    "PYTEST_ADDOPTS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; runs only with --long")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if "long" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes: run with --long"))


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of the session; nothing of the caller's settings reaches a test."""
    home = tmp_path_factory.mktemp("home")
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(FOREIGN):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("AGENTIC_STATE", str(folder))
        yield folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder.resolve()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the project, whose name begins as the project's does."""
    folder = tmp_path / "project_beside"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret\n")
    return folder.resolve()


@pytest.fixture
def nap() -> str:
    """Seconds for `sleep` that no other process of the machine sleeps for, so that it is known by its command line."""
    return f"600.{uuid.uuid4().int % 10**12:012}"


@pytest.fixture
def new_name() -> Callable[[], str]:
    """Makes names for processes (`comm`) that no other process of the machine has."""
    return lambda: f"t{uuid.uuid4().hex[:14]}"


class Program:
    """A Python program in a process of its own, which is ended with the test."""

    def __init__(self, source: str, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        script = folder / "program.py"
        script.write_text(textwrap.dedent(source))
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, **environment},
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def finish(self, timeout: float = 120.0) -> str:
        """What it printed since; fails unless it exits with 0."""
        output, errors = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, f"exit {self.process.returncode}\n{output}\n{errors}"
        return output


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts a program: `program(source, *arguments, **environment)`."""
    started: list[Program] = []

    def start(source: str, *arguments: str, **environment: str) -> Program:
        folder = tmp_path / f"program_{len(started)}"
        folder.mkdir()
        started.append(Program(source, folder, arguments, environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


@pytest.fixture
def run_program(program: Callable[..., Program]) -> Callable[..., str]:
    """Runs a program to its end and answers what it printed."""

    def run(source: str, *arguments: str, timeout: float = 120.0, **environment: str) -> Any:
        return program(source, *arguments, **environment).finish(timeout)

    return run
