"""What came of a project's tests: the public names are in `agentic_executor.testing`.

The fields are those of the engine's `TestReport` and `TestHistory`. `_form` of each class says how a field is read, in
the order of its plain form. pytest takes what is called `Test...` for tests unless `__test__` says otherwise.
"""

from __future__ import annotations

from enum import Enum

from ._checks import count, mapping, number, text, texts, type_name, word
from ._record import FrozenRecord
from .errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, ClassVar, Final, TypeVar

    _Read = Callable[[Any, str], Any]
    _Kind = TypeVar("_Kind", bound="TestRecord")

_REQUIRED = object()


class TestStatus(Enum):
    """How a test ended, over all its attempts.

    >>> TestStatus("flaky").is_failure
    False
    """

    __module__ = "agentic_executor.testing"
    __test__ = False

    PASSED = "passed"
    """At the first attempt."""
    FAILED = "failed"
    """An assertion or an error, at every attempt."""
    SKIPPED = "skipped"
    """The runner did not run it, and meant not to."""
    FLAKY = "flaky"
    """It failed, and passed when it was run again in a process of its own."""
    TIMED_OUT = "timed_out"
    """It was still running when its time was over."""
    CRASHED = "crashed"
    """The process that ran it died."""
    LEAKY = "leaky"
    """It passed and left processes running."""

    @property
    def is_failure(self) -> bool:
        """Whether it is a failure whatever the settings say: failed, timed out or crashed."""
        return self in (TestStatus.FAILED, TestStatus.TIMED_OUT, TestStatus.CRASHED)


class TestRunStatus(Enum):
    """How a whole run of tests ended.

    >>> TestRunStatus("no_tests")
    <TestRunStatus.NO_TESTS: 'no_tests'>
    """

    __module__ = "agentic_executor.testing"
    __test__ = False

    PASSED = "passed"
    """At least one test ran, and none failed."""
    FAILED = "failed"
    """A test failed, timed out or crashed, or was flaky or leaky where that is to fail."""
    NO_TESTS = "no_tests"
    """Nothing was run: no runner, no tests, or all of them skipped. Not a success."""
    ERROR = "error"
    """What the runner reports cannot be relied on, or it could not do its work; `problems` says why. Not a success."""


def _seconds(value: Any, name: str) -> float:
    return number(value, name, 0, float("inf"))


def _whole(value: Any, name: str) -> int:
    return count(value, name, 0, 2**63 - 1)


def _code(value: Any, name: str) -> int:
    return count(value, name, -(2**31), 2**31 - 1)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    return tuple(texts(value, name))


def _member_of(kind: type[Enum]) -> _Read:
    words = tuple(member.value for member in kind)
    return lambda value, name: kind(word(value, name, words))


def _record(kind: type[TestRecord]) -> _Read:
    return lambda value, name: value if isinstance(value, kind) else kind._read(value, name)


def _records(kind: type[TestRecord]) -> _Read:
    read = _record(kind)

    def read_all(value: Any, name: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise InvalidTypeError(f"{name}: must be a list, not {type_name(value)}")
        return tuple(read(one, f"{name}[{index}]") for index, one in enumerate(value))

    return read_all


def _plain(value: Any) -> Any:
    if isinstance(value, TestRecord):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.value if isinstance(value, Enum) else value


_status = _member_of(TestStatus)


class TestRecord(FrozenRecord):
    """What the records of this module have in common: a plain form, and a way back."""

    __test__ = False
    # How each member of the plain form is read, and what it is when it is missing.
    _form: ClassVar[dict[str, tuple[_Read, Any]]]
    _place: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, by the names of the fields; what is several is a list."""
        return {name: _plain(getattr(self, name)) for name in self._form}

    @classmethod
    def from_dict(cls: type[_Kind], form: Mapping[str, Any]) -> _Kind:
        """The record of plain values. What it does not know is left aside: later versions may tell more.

        Raises:
            InvalidTypeError, InvalidValueError: a field is missing or cannot be meant; the message begins with its
                place.
        """
        return cls._read(form, cls._place)

    @classmethod
    def _read(cls: type[_Kind], form: Any, place: str) -> _Kind:
        members = mapping(form, place)
        fields: dict[str, Any] = {}
        for name, (read, default) in cls._form.items():
            value = members.get(name, default)
            if value is _REQUIRED:
                raise InvalidValueError(f"{place}.{name}: is missing")
            fields[name] = None if value is None and default is None else read(value, f"{place}.{name}")
        return cls(**fields)


class TestAttempt(TestRecord):
    """One time that a test was run.

    Args:
        status: passed, failed, timed out or crashed: a `TestStatus`.
        duration: seconds, as far as the runner tells.
        message: the line that says why it failed.
        output: what it printed, and where it failed.

    >>> TestAttempt(TestStatus.FAILED, message="assert 2 == 3")
    TestAttempt(status=TestStatus.FAILED, message='assert 2 == 3')
    """

    __module__ = "agentic_executor.testing"
    __test__ = False
    __match_args__ = ("status",)
    _keyword_fields = ("duration", "message", "output")
    _place = "attempt"
    _form = {
        "status": (_status, _REQUIRED),
        "duration": (_seconds, None),
        "message": (text, None),
        "output": (text, ""),
    }

    def __init__(
        self, status: TestStatus, *, duration: float | None = None, message: str | None = None, output: str = ""
    ) -> None:
        self.status: Final = status
        self.duration: Final = duration
        self.message: Final = message
        self.output: Final = output


class TestCase(TestRecord):
    """One test.

    Args:
        id: what its runner calls it; unique among the tests of its folder and runner.
        name: its name alone.
        status: how it ended: a `TestStatus`.
        suite: what holds it: a class, a module, a package, a binary.
        duration: seconds of the last attempt, as far as the runner tells.
        file: the file it is in, relative to the workspace, where the runner tells.
        line: the line, from 1, where the runner tells.
        message: the line that says why it failed, or why it was skipped.
        output: what it printed, and where it failed, at the last attempt that failed.
        attempts: every attempt, the first one first; empty when it was skipped.
        left_processes: names of the processes that it left running.
        suite_index: which of the report's suites it belongs to. Default 0.

    >>> TestCase("test_shop.py::test_price", "test_price", TestStatus.PASSED)
    TestCase(id='test_shop.py::test_price', name='test_price', status=TestStatus.PASSED)
    """

    __module__ = "agentic_executor.testing"
    __test__ = False
    __match_args__ = ("id", "name", "status")
    _keyword_fields = (
        "suite",
        "duration",
        "file",
        "line",
        "message",
        "output",
        "attempts",
        "left_processes",
        "suite_index",
    )
    _place = "test"
    _form = {
        "id": (text, _REQUIRED),
        "name": (text, _REQUIRED),
        "suite": (text, None),
        "status": (_status, _REQUIRED),
        "duration": (_seconds, None),
        "file": (text, None),
        "line": (_whole, None),
        "message": (text, None),
        "output": (text, ""),
        "attempts": (_records(TestAttempt), ()),
        "left_processes": (_texts, ()),
        "suite_index": (_whole, _REQUIRED),
    }

    def __init__(
        self,
        id: str,
        name: str,
        status: TestStatus,
        *,
        suite: str | None = None,
        duration: float | None = None,
        file: str | None = None,
        line: int | None = None,
        message: str | None = None,
        output: str = "",
        attempts: Iterable[TestAttempt] = (),
        left_processes: Iterable[str] = (),
        suite_index: int = 0,
    ) -> None:
        self.id: Final = id
        self.name: Final = name
        self.status: Final = status
        self.suite: Final = suite
        self.duration: Final = duration
        self.file: Final = file
        self.line: Final = line
        self.message: Final = message
        self.output: Final = output
        self.attempts: Final = tuple(attempts)
        self.left_processes: Final = tuple(left_processes)
        self.suite_index: Final = suite_index


class TestSuite(TestRecord):
    """One runner in one folder.

    Args:
        runner: `pytest`, `cargo test`, ...; `command` where it is none that is known.
        folder: the folder it ran in, relative to the workspace; empty for the workspace itself.
        command: the command of the first round, without what the engine adds to it.
        reason: why this command, where it was found rather than given.
        returncode: the runner's exit status in the first round, as a shell would show it. Default 0.
        duration: seconds, all rounds together. Default 0.
        rounds: how many times the runner was started. Default 1.
        problems: what was wrong with the runner or its report, or cannot be told.
        notes: what cannot be told of this runner, or was not done, without being wrong.
        left_processes: names of processes that were left running by tests that cannot be told.
        output: the end of what the runner printed in the first round.

    >>> TestSuite("pytest", "api", "pytest -q").folder
    'api'
    """

    __module__ = "agentic_executor.testing"
    __test__ = False
    __match_args__ = ("runner", "folder", "command")
    _keyword_fields = (
        "reason",
        "returncode",
        "duration",
        "rounds",
        "problems",
        "notes",
        "left_processes",
        "output",
    )
    _place = "suite"
    _form = {
        "runner": (text, _REQUIRED),
        "folder": (text, _REQUIRED),
        "command": (text, _REQUIRED),
        "reason": (text, None),
        "returncode": (_code, _REQUIRED),
        "duration": (_seconds, _REQUIRED),
        "rounds": (_whole, _REQUIRED),
        "problems": (_texts, ()),
        "notes": (_texts, ()),
        "left_processes": (_texts, ()),
        "output": (text, ""),
    }

    def __init__(
        self,
        runner: str,
        folder: str,
        command: str,
        *,
        reason: str | None = None,
        returncode: int = 0,
        duration: float = 0.0,
        rounds: int = 1,
        problems: Iterable[str] = (),
        notes: Iterable[str] = (),
        left_processes: Iterable[str] = (),
        output: str = "",
    ) -> None:
        self.runner: Final = runner
        self.folder: Final = folder
        self.command: Final = command
        self.reason: Final = reason
        self.returncode: Final = returncode
        self.duration: Final = duration
        self.rounds: Final = rounds
        self.problems: Final = tuple(problems)
        self.notes: Final = tuple(notes)
        self.left_processes: Final = tuple(left_processes)
        self.output: Final = output


class TestCounts(TestRecord):
    """How many tests ended in each way.

    Args:
        total: all. Default 0, as of the others.
        passed: passed at the first attempt, and left nothing running.
        failed: failed.
        skipped: skipped.
        flaky: passed when run again.
        timed_out: timed out.
        crashed: crashed.
        leaky: passed and left processes running.

    >>> TestCounts(total=3, passed=2, flaky=1)
    TestCounts(total=3, passed=2, flaky=1)
    """

    __module__ = "agentic_executor.testing"
    __test__ = False
    _keyword_fields = ("total", "passed", "failed", "skipped", "flaky", "timed_out", "crashed", "leaky")
    _place = "counts"
    _form = {name: (_whole, _REQUIRED) for name in _keyword_fields}

    def __init__(
        self,
        *,
        total: int = 0,
        passed: int = 0,
        failed: int = 0,
        skipped: int = 0,
        flaky: int = 0,
        timed_out: int = 0,
        crashed: int = 0,
        leaky: int = 0,
    ) -> None:
        self.total: Final = total
        self.passed: Final = passed
        self.failed: Final = failed
        self.skipped: Final = skipped
        self.flaky: Final = flaky
        self.timed_out: Final = timed_out
        self.crashed: Final = crashed
        self.leaky: Final = leaky


class TestGroup(TestRecord):
    """Tests that failed for what looks like the same reason.

    Args:
        cause: the reason, as the first of them tells it.
        tests: their ids.

    >>> TestGroup("No module named 'shop'", ["test_a", "test_b"]).tests
    ('test_a', 'test_b')
    """

    __module__ = "agentic_executor.testing"
    __test__ = False
    __match_args__ = ("cause", "tests")
    _place = "group"
    _form = {"cause": (text, _REQUIRED), "tests": (_texts, _REQUIRED)}

    def __init__(self, cause: str, tests: Iterable[str]) -> None:
        self.cause: Final = cause
        self.tests: Final = tuple(tests)


class TestReport(TestRecord):
    """What came of a project's tests.

    Args:
        status: how the run ended: a `TestRunStatus`.
        counts: how many tests ended in each way.
        duration: seconds.
        suites: the runners, in the order they ran.
        tests: the tests, in the order they were first seen.
        groups: failures that have the same cause, the largest group first.

    >>> tests = [TestCase("a", "a", TestStatus.PASSED), TestCase("b", "b", TestStatus.FAILED)]
    >>> suite = TestSuite("pytest", "", "pytest -q", returncode=1)
    >>> report = TestReport(TestRunStatus.FAILED, TestCounts(total=2, passed=1, failed=1), 0.5, [suite], tests)
    >>> report.success, [test.id for test in report.with_status(TestStatus.FAILED)]
    (False, ['b'])
    >>> TestReport.from_dict(report.to_dict()) == report
    True
    """

    __module__ = "agentic_executor.testing"
    __test__ = False
    __match_args__ = ("status", "counts", "duration", "suites", "tests", "groups")
    _place = "report"
    _form = {
        "status": (_member_of(TestRunStatus), _REQUIRED),
        "counts": (_record(TestCounts), _REQUIRED),
        "duration": (_seconds, _REQUIRED),
        "suites": (_records(TestSuite), _REQUIRED),
        "tests": (_records(TestCase), _REQUIRED),
        "groups": (_records(TestGroup), ()),
    }

    def __init__(
        self,
        status: TestRunStatus,
        counts: TestCounts,
        duration: float,
        suites: Iterable[TestSuite],
        tests: Iterable[TestCase],
        groups: Iterable[TestGroup] = (),
    ) -> None:
        self.status: Final = status
        self.counts: Final = counts
        self.duration: Final = duration
        self.suites: Final = tuple(suites)
        self.tests: Final = tuple(tests)
        self.groups: Final = tuple(groups)

    @property
    def success(self) -> bool:
        """Whether tests ran and none failed."""
        return self.status is TestRunStatus.PASSED

    @property
    def problems(self) -> list[str]:
        """What was wrong with the runners or their reports."""
        return [problem for suite in self.suites for problem in suite.problems]

    def with_status(self, *statuses: TestStatus | str) -> list[TestCase]:
        """The tests with one of these statuses, in order.

        Raises:
            InvalidTypeError, InvalidValueError: what is no status.
        """
        wanted = [_status(status, f"statuses[{index}]") for index, status in enumerate(statuses)]
        return [test for test in self.tests if test.status in wanted]

    def to_junit(self) -> str:
        """The report as JUnit XML, in the dialect that CI servers read.

        A flaky test is a success with `flakyFailure`; one that failed at every attempt has `rerunFailure`; what was
        wrong with a runner is a test of its own, in error.
        """
        from . import _native

        return _native.report_to_junit(self.to_dict())


class TestHistory(TestRecord):
    """One test over several runs.

    Args:
        id: what its runner calls it.
        folder: the folder that its runner ran in, relative to the workspace.
        runner: the runner.
        last: how it ended in the newest run: a `TestStatus`.
        last_run: the id of the newest run.
        runs: runs in which it was run (not skipped). Default 0, as of the other numbers.
        passed: of these, passed at the first attempt.
        failed: failed, timed out or crashed at every attempt.
        flaky: failed, and passed when run again.
        leaky: passed and left processes running.
        flake_rate: the part of its runs in which it was flaky, 0 to 1.
        mean_duration: mean seconds of an attempt, where its runner tells.

    >>> TestHistory("test_a", "", "pytest", TestStatus.FLAKY, "0198c", runs=2, passed=1, flaky=1, flake_rate=0.5).last
    <TestStatus.FLAKY: 'flaky'>
    """

    __module__ = "agentic_executor.testing"
    __test__ = False
    __match_args__ = ("id", "folder", "runner", "last", "last_run")
    _keyword_fields = ("runs", "passed", "failed", "flaky", "leaky", "flake_rate", "mean_duration")
    _place = "history"
    _form = {
        "id": (text, _REQUIRED),
        "folder": (text, _REQUIRED),
        "runner": (text, _REQUIRED),
        "runs": (_whole, _REQUIRED),
        "passed": (_whole, _REQUIRED),
        "failed": (_whole, _REQUIRED),
        "flaky": (_whole, _REQUIRED),
        "leaky": (_whole, _REQUIRED),
        "flake_rate": (_seconds, _REQUIRED),
        "mean_duration": (_seconds, None),
        "last": (_status, _REQUIRED),
        "last_run": (text, _REQUIRED),
    }

    def __init__(
        self,
        id: str,
        folder: str,
        runner: str,
        last: TestStatus,
        last_run: str,
        *,
        runs: int = 0,
        passed: int = 0,
        failed: int = 0,
        flaky: int = 0,
        leaky: int = 0,
        flake_rate: float = 0.0,
        mean_duration: float | None = None,
    ) -> None:
        self.id: Final = id
        self.folder: Final = folder
        self.runner: Final = runner
        self.last: Final = last
        self.last_run: Final = last_run
        self.runs: Final = runs
        self.passed: Final = passed
        self.failed: Final = failed
        self.flaky: Final = flaky
        self.leaky: Final = leaky
        self.flake_rate: Final = flake_rate
        self.mean_duration: Final = mean_duration


def report_of(steps: Iterable[Any]) -> TestReport | None:
    """The last report that the steps of a run have."""
    for step in reversed(list(steps)):
        metadata = getattr(getattr(step, "result", None), "metadata", None)
        if isinstance(metadata, dict) and "tests" in metadata:
            try:
                return TestReport.from_dict(metadata["tests"])
            except (InvalidTypeError, InvalidValueError):
                # Another tool's `tests` is not ours.
                return None
    return None
