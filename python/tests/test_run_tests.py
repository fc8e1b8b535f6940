"""`run_tests`: a project's own tests, with a verdict for each; `TestReport`, and what is remembered of each test."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agentic_executor import AgenticExecutor, ExecutionPlan, ExecutionResult, ExecutionStep
from agentic_executor.errors import InvalidTypeError, InvalidValueError
from agentic_executor.testing import (
    TestAttempt,
    TestCase,
    TestCounts,
    TestGroup,
    TestHistory,
    TestReport,
    TestRunStatus,
    TestStatus,
    TestSuite,
)
from agentic_executor.tools import RunTestsTool, ShellTool, ToolRegistry, ToolResult, ToolStatus
from probes import with_argument

PYTEST = f"{sys.executable} -m pytest -q"
UNITTEST = f"{sys.executable} -m unittest"

# A file of the workspace is how a test knows that it was run before.
SHOP = """
import os
import pytest

def test_price():
    assert 6 * 7 == 42

def test_stock():
    assert 1 == 2, "none left"

@pytest.mark.skip(reason="closed on Sundays")
def test_sunday():
    pass

def test_till():
    if not os.path.exists("opened"):
        open("opened", "w").close()
        raise RuntimeError("it sticks")

class TestDoor:
    @pytest.mark.parametrize("side", ["in", "out"])
    def test_opens(self, side):
        assert side
"""

TILL = """
import os
import unittest

class Till(unittest.TestCase):
    def test_opens(self):
        pass

    def test_counts(self):
        self.assertEqual(1, 2)

    @unittest.skip("no customers")
    def test_rings(self):
        pass
"""


@pytest.fixture
def shop(project: Path) -> Path:
    """A project with tests of every kind of end that pytest itself knows."""
    (project / "test_shop.py").write_text(SHOP)
    return project


def report_of(result: ExecutionResult) -> TestReport:
    report = result.tests
    assert isinstance(report, TestReport), result
    return report


def statuses(report: TestReport) -> dict[str, str]:
    return {test.name: test.status.value for test in report.tests}


def sample() -> TestReport:
    """A report with something in every field."""
    failed = TestAttempt(TestStatus.FAILED, duration=0.25, message="assert 1 == 2", output="where it failed")
    passed = TestAttempt(TestStatus.PASSED, duration=0.5)
    tests = [
        TestCase("t.py::test_a", "test_a", TestStatus.PASSED, attempts=[passed]),
        TestCase(
            "t.py::test_b",
            "test_b",
            TestStatus.FAILED,
            suite="t.py",
            duration=0.25,
            file="t.py",
            line=3,
            message="assert 1 == 2",
            output="where it failed",
            attempts=[failed, failed],
        ),
        TestCase("t.py::test_c", "test_c", TestStatus.FLAKY, attempts=[failed, passed]),
        TestCase("t.py::test_d", "test_d", TestStatus.LEAKY, attempts=[passed], left_processes=["sleep"]),
        TestCase("t.py::test_e", "test_e", TestStatus.SKIPPED, message="<not & now>"),
    ]
    suite = TestSuite(
        "pytest",
        "api",
        "pytest -q",
        reason="pyproject.toml names pytest",
        returncode=1,
        duration=1.5,
        rounds=2,
        notes=["pytest-xdist is not there"],
        left_processes=["sleep"],
        output="1 failed",
    )
    counts = TestCounts(total=5, passed=1, failed=1, skipped=1, flaky=1, leaky=1)
    groups = [TestGroup("assert 1 == 2", ["t.py::test_b", "t.py::test_f"])]
    return TestReport(TestRunStatus.FAILED, counts, 1.5, [suite], tests, groups)


def test_every_test_has_its_verdict(shop: Path) -> None:
    result = AgenticExecutor().run_tests(PYTEST)
    report = report_of(result)
    assert statuses(report) == {
        "test_price": "passed",
        "test_stock": "failed",
        "test_sunday": "skipped",
        "test_till": "flaky",
        "test_opens[in]": "passed",
        "test_opens[out]": "passed",
    }
    assert not result.success and not report.success
    assert report.status is TestRunStatus.FAILED
    assert report.counts == TestCounts(total=6, passed=3, failed=1, skipped=1, flaky=1)
    assert result.steps[0].tool == "run_tests"
    assert result.steps[0].result is not None
    assert (result.steps[0].result.cause, result.steps[0].result.metadata["returncode"]) == ("test_failure", 1)
    # The tool runs again what failed, and the engine the tool not once more.
    assert result.steps[0].retries == 0


def test_a_report_tells_where_why_and_how_often(shop: Path) -> None:
    report = report_of(AgenticExecutor().run_tests(PYTEST, retries=1))
    (failed,) = report.with_status(TestStatus.FAILED)
    assert (failed.id, failed.file, failed.suite_index) == ("test_shop.py::test_stock", "test_shop.py", 0)
    assert failed.line == SHOP.splitlines().index("def test_stock():") + 1
    assert failed.message is not None and "none left" in failed.message
    assert "assert 1 == 2" in failed.output
    assert [attempt.status for attempt in failed.attempts] == [TestStatus.FAILED] * 2
    (flaky,) = report.with_status("flaky")
    assert [attempt.status for attempt in flaky.attempts] == [TestStatus.FAILED, TestStatus.PASSED]
    assert flaky.attempts[0].message is not None and "it sticks" in flaky.attempts[0].message
    (skipped,) = report.with_status(TestStatus.SKIPPED)
    assert skipped.attempts == () and skipped.message == "closed on Sundays"
    assert [test.status for test in report.with_status(TestStatus.PASSED, TestStatus.FLAKY)].count(
        TestStatus.PASSED
    ) == 3
    (suite,) = report.suites
    assert (suite.runner, suite.folder, suite.command, suite.returncode) == ("pytest", "", PYTEST, 1)
    assert suite.rounds >= 2 and suite.problems == () and report.problems == []


def test_everything_has_its_type(shop: Path) -> None:
    report = report_of(AgenticExecutor().run_tests(PYTEST))
    assert isinstance(report.counts, TestCounts) and type(report.duration) is float and report.duration > 0
    assert isinstance(report.suites, tuple) and isinstance(report.tests, tuple) and isinstance(report.groups, tuple)
    for test in report.tests:
        assert isinstance(test, TestCase) and isinstance(test.status, TestStatus)
        assert isinstance(test.attempts, tuple) and isinstance(test.left_processes, tuple)
        for attempt in test.attempts:
            assert isinstance(attempt, TestAttempt) and isinstance(attempt.status, TestStatus)
            assert type(attempt.duration) is float
    assert all(isinstance(suite, TestSuite) and type(suite.duration) is float for suite in report.suites)


def test_a_report_is_what_the_metadata_has(shop: Path) -> None:
    result = AgenticExecutor().run_tests(PYTEST)
    assert result.steps[0].result is not None
    told = result.steps[0].result.metadata["tests"]
    report = report_of(result)
    assert TestReport.from_dict(told) == report
    assert report.to_dict() == told
    assert json.loads(json.dumps(report.to_dict())) == told
    assert TestReport.from_dict(result.to_dict()["steps"][0]["result"]["metadata"]["tests"]) == report


def test_a_flaky_test_fails_the_run_where_that_is_asked(project: Path) -> None:
    (project / "test_till.py").write_text(
        "import os\ndef test_till():\n    new = not os.path.exists('opened')\n"
        "    open('opened', 'w').close()\n    assert not new\n"
    )
    for flaky, success in [("fail", False), ("pass", True)]:
        result = AgenticExecutor().run_tests(PYTEST, keep=False, flaky=flaky)  # type: ignore[arg-type]
        assert statuses(report_of(result)) == {"test_till": "flaky"}
        assert (result.success, report_of(result).success) == (success, success)


def test_a_leaky_test_fails_the_run_where_that_is_asked(project: Path, nap: str) -> None:
    (project / "test_till.py").write_text(
        f"import subprocess\ndef test_till():\n    subprocess.Popen(['sleep', '{nap}'])\n"
    )
    for leaky, success in [("fail", False), ("pass", True)]:
        result = AgenticExecutor().run_tests(PYTEST, leaky=leaky)  # type: ignore[arg-type]
        (test,) = report_of(result).tests
        assert (test.status, test.left_processes) == (TestStatus.LEAKY, ("sleep",))
        assert result.success is success
    assert with_argument(nap) == set()


def test_unittest_is_known_as_well(project: Path) -> None:
    (project / "test_till.py").write_text(TILL)
    report = report_of(AgenticExecutor().run_tests(UNITTEST))
    assert statuses(report) == {"test_opens": "passed", "test_counts": "failed", "test_rings": "skipped"}
    assert report.suites[0].runner == "unittest"


def test_the_projects_files_say_what_is_run(project: Path) -> None:
    (project / "test_till.py").write_text(TILL.replace("assertEqual(1, 2)", "assertEqual(2, 2)"))
    result = AgenticExecutor().run_tests(None)
    report = report_of(result)
    assert result.success, result.summary()
    assert report.counts == TestCounts(total=3, passed=2, skipped=1)
    assert report.suites[0].reason


def test_what_is_run_without_arguments_is_pytest(shop: Path) -> None:
    report = report_of(AgenticExecutor().run_tests())
    assert (report.suites[0].command, report.counts.total) == ("pytest", 6)


def test_no_tests_are_no_success(project: Path) -> None:
    for command in (None, PYTEST):
        result = AgenticExecutor().run_tests(command)
        report = report_of(result)
        assert report.status is TestRunStatus.NO_TESTS, report
        assert not report.success and not result.success
        assert (report.tests, report.counts) == ((), TestCounts())
        assert result.error is not None and "no tests" in result.error


def test_a_command_that_reports_nothing_is_one_test(project: Path) -> None:
    (project / "check.sh").write_text("echo all well\n")
    result = AgenticExecutor().run_tests("sh check.sh")
    (test,) = report_of(result).tests
    assert result.success and (test.id, test.status) == ("sh check.sh", TestStatus.PASSED)
    assert report_of(result).suites[0].runner == "command"
    (project / "check.sh").write_text("echo try >> tries; exit 3\n")
    result = AgenticExecutor().run_tests("sh check.sh")
    assert report_of(result).counts == TestCounts(total=1, failed=1)
    assert report_of(result).suites[0].returncode == 3
    assert (project / "tries").read_text() == "try\n"
    report = report_of(AgenticExecutor().run_tests("sh check.sh", retries=2))
    assert len(report.tests[0].attempts) == 3


def test_a_test_that_takes_too_long_is_told_and_the_others_are_run(project: Path) -> None:
    (project / "test_slow.py").write_text(
        "import time\ndef test_slow():\n    time.sleep(60)\ndef test_quick():\n    pass\n"
    )
    report = report_of(AgenticExecutor().run_tests(PYTEST, timeout=2, retries=0))
    assert statuses(report) == {"test_slow": "timed_out", "test_quick": "passed"}
    assert report.with_status("timed_out")[0].status.is_failure


def test_the_whole_may_take_too_long(project: Path) -> None:
    result = AgenticExecutor().run_tests("sleep 60", global_timeout=0.5)
    assert report_of(result).counts == TestCounts(total=1, timed_out=1)
    assert not result.success and result.total_time < 30


def test_the_first_failure_can_be_the_last(project: Path) -> None:
    (project / "test_till.py").write_text(
        "import time\ndef test_first():\n    assert False\ndef test_slow():\n    time.sleep(60)\n"
    )
    result = AgenticExecutor().run_tests(PYTEST, fail_fast=True)
    assert [test.name for test in report_of(result).with_status("failed")] == ["test_first"]
    assert report_of(result).counts.passed == 0 and result.total_time < 50


def test_failures_of_one_cause_are_a_group(project: Path) -> None:
    (project / "test_many.py").write_text("".join(f"def test_{n}():\n    import no_such\n" for n in range(3)))
    (group,) = report_of(AgenticExecutor().run_tests(PYTEST, retries=0)).groups
    assert isinstance(group, TestGroup) and "no_such" in group.cause
    assert group.tests == tuple(f"test_many.py::test_{n}" for n in range(3))


@pytest.mark.parametrize("keep", [True, False])
def test_what_tests_write_is_kept_unless_told_otherwise(project: Path, keep: bool) -> None:
    (project / "test_note.py").write_text("def test_note():\n    open('note', 'w').write('x')\n    assert False\n")
    before = sorted(project.rglob("*"))
    result = AgenticExecutor().run_tests(PYTEST, keep=keep)
    assert report_of(result).counts.failed == 1
    assert (project / "note").exists() is keep
    if not keep:
        assert sorted(project.rglob("*")) == before


def test_they_are_run_in_their_folder(project: Path, outside: Path) -> None:
    for folder in (project / "sub", outside):
        folder.mkdir(exist_ok=True)
        (folder / "test_here.py").write_text("def test_here():\n    pass\n")
        report = report_of(AgenticExecutor().run_tests(PYTEST, str(folder)))
        assert [test.id for test in report.tests] == ["test_here.py::test_here"]


def test_a_loop_goes_on_meanwhile(shop: Path) -> None:
    async def both() -> tuple[ExecutionResult, ExecutionResult]:
        executor = AgenticExecutor()
        first = executor.arun_tests(PYTEST, retries=0, keep=False)
        return await asyncio.gather(first, executor.arun_tests("true", keep=False))

    first, second = asyncio.run(both())
    assert report_of(first).counts.failed == 2 and not first.success
    assert report_of(second).success and second.success


def test_the_journal_remembers_each_test(shop: Path, tmp_path: Path) -> None:
    executor = AgenticExecutor(state=tmp_path / "state")
    assert executor.test_history() == []
    runs = [executor.run_tests(PYTEST, keep=False) for _ in range(2)]
    (shop / "opened").touch()
    runs.append(executor.run_tests(PYTEST))
    history = {test.id.partition("::")[2]: test for test in executor.test_history()}
    till = history["test_till"]
    assert isinstance(till, TestHistory)
    assert (till.runs, till.passed, till.flaky, till.failed, till.leaky) == (3, 1, 2, 0, 0)
    assert till.flake_rate == pytest.approx(2 / 3)
    assert (till.last, till.last_run, till.runner, till.folder) == (TestStatus.PASSED, runs[-1].run_id, "pytest", "")
    assert (history["test_stock"].failed, history["test_stock"].last) == (3, TestStatus.FAILED)
    assert (history["test_sunday"].runs, history["test_sunday"].last) == (0, TestStatus.SKIPPED)
    assert till.mean_duration is not None and till.mean_duration >= 0
    # The flakiest first, then what fails.
    assert [test.id.partition("::")[2] for test in executor.test_history()][:2] == ["test_till", "test_stock"]
    assert {test.runs for test in executor.test_history(runs=1)} == {0, 1}
    assert TestHistory.from_dict(till.to_dict()) == till
    # Another workspace has another history.
    other = tmp_path / "other"
    other.mkdir()
    assert AgenticExecutor(state=tmp_path / "state", workspace=other).test_history() == []


def test_a_report_as_junit(shop: Path) -> None:
    root = ElementTree.fromstring(report_of(AgenticExecutor().run_tests(PYTEST)).to_junit().encode())
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "6", "1")
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert len(cases) == 6

    def inside(name: str) -> set[str]:
        return {element.tag for element in cases[name]}

    assert "failure" in inside("test_stock") and "flakyFailure" in inside("test_till")
    assert "skipped" in inside("test_sunday") and inside("test_price") == set()


def test_any_report_can_be_told_as_junit() -> None:
    root = ElementTree.fromstring(sample().to_junit().encode())
    (skipped,) = root.iter("skipped")
    assert skipped.get("message") == "<not & now>"
    wrong = TestReport(TestRunStatus.PASSED, TestCounts(), float("nan"), [], [])
    with pytest.raises(InvalidValueError, match="report"):
        wrong.to_junit()


def test_a_run_of_a_plan_has_the_report_of_its_last_tests(project: Path) -> None:
    plan = ExecutionPlan("Test twice")
    first = plan.add_step("run_tests", {"command": "true"}, "First")
    plan.add_step("run_tests", {"command": "test -d ."}, "Second", [first.id])
    plan.add_step("shell", {"command": "true"}, "Last")
    result = AgenticExecutor(ToolRegistry.full_registry()).execute_plan(plan)
    assert result.success, result.summary()
    assert [test.id for test in report_of(result).tests] == ["test -d ."]


def test_a_run_without_tests_has_no_report(project: Path) -> None:
    assert AgenticExecutor().execute_code("print(1)").tests is None
    assert ExecutionResult("t", True).tests is None
    for metadata in ({"tests": 3}, {"tests": {"status": "passed"}}, {"tests": None}):
        step = ExecutionStep("s", "mine", {}, ToolResult(ToolStatus.SUCCESS, "", metadata=metadata))
        assert ExecutionResult("t", True, [step]).tests is None
    assert ExecutionResult("t", True, [ExecutionStep("s", "mine", {})]).tests is None


def test_the_tool_by_itself(project: Path) -> None:
    result = RunTestsTool().execute(command="exit 3")
    assert (result.status, result.cause) == (ToolStatus.ERROR, "test_failure")
    assert result.metadata["returncode"] == 3 and result.metadata["view"] == "host"
    assert TestReport.from_dict(result.metadata["tests"]).counts.failed == 1
    assert RunTestsTool().execute(command="true", workers=0).metadata["pointer"] == "/workers"


def test_the_commands_that_the_shell_may_not_run_are_no_tests_either(project: Path) -> None:
    executor = AgenticExecutor(ToolRegistry.full_registry())
    shell = executor.registry.get("shell")
    assert isinstance(shell, ShellTool)
    assert executor.run_tests("touch a").success
    shell.blocked_commands = ["touch"]
    for registry in (executor.registry, ToolRegistry.default_registry()):
        registry.register(shell)
        result = AgenticExecutor(registry).run_tests("touch b")
        assert not result.success and "touch" in str(result.error)
        assert not (project / "b").exists()


class Quiet(ShellTool):
    """A shell with code of its own."""

    def execute(self, **kwargs: Any) -> ToolResult:
        return super().execute(**kwargs)


@pytest.mark.parametrize("kind", [ShellTool, Quiet])
def test_they_are_asked_for_wherever_the_shell_stands(project: Path, kind: type[ShellTool]) -> None:
    registry = ToolRegistry()
    registry.register(RunTestsTool())
    registry.register(kind(allowed_commands=["test"]))
    assert registry.execute("run_tests", command="touch a").status is ToolStatus.PERMISSION_DENIED
    assert registry.execute("run_tests", command="test -d .").status is ToolStatus.SUCCESS
    assert AgenticExecutor(registry).run_tests("touch a").stop_reason == "failed"
    assert not (project / "a").exists()


def test_the_built_in_tools_say_what_the_engine_says() -> None:
    registry = ToolRegistry.full_registry()
    for ours, engines in zip(registry.get_schemas(), registry.get_schemas("mcp")):
        assert ours["description"] == engines["description"]
        if ours["name"] == "run_tests":
            told = engines["inputSchema"]["properties"]
            assert list(ours["parameters"]["properties"]) == list(told)
            for name, keywords in ours["parameters"]["properties"].items():
                assert keywords.items() <= told[name].items(), name


def test_reports_are_what_they_are_made_of() -> None:
    report = sample()
    assert report == sample() and hash(report) == hash(sample()) and len({report, sample()}) == 1
    assert TestReport.from_dict(report.to_dict()) == report
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    for clone in (copy.copy(report), copy.deepcopy(report), pickle.loads(pickle.dumps(report))):
        assert clone == report and type(clone) is TestReport
    assert TestReport.__match_args__ == ("status", "counts", "duration", "suites", "tests", "groups")
    assert TestCase("a", "a", TestStatus.PASSED) != TestCase("a", "a", TestStatus.FAILED)
    assert repr(report.counts) == "TestCounts(total=5, passed=1, failed=1, skipped=1, flaky=1, leaky=1)"
    assert len(repr(TestReport(TestRunStatus.PASSED, TestCounts(), 0.0, [], report.tests * 1000))) < 10_000


def test_reports_cannot_be_changed() -> None:
    report = sample()
    for one, field in [(report, "status"), (report.counts, "total"), (report.tests[0], "id"), (report, "surprise")]:
        with pytest.raises(AttributeError, match=field):
            setattr(one, field, 1)
    with pytest.raises(AttributeError, match="tests"):
        del report.tests
    assert report == sample()


def test_what_is_no_report_is_named() -> None:
    def wrong(*path: Any, value: Any) -> str:
        form = copy.deepcopy(sample().to_dict())
        place: Any = form
        for key in path[:-1]:
            place = place[key]
        if value is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        with pytest.raises((InvalidTypeError, InvalidValueError)) as raised:
            TestReport.from_dict(form)
        return str(raised.value)

    assert wrong("status", value="fine").startswith("report.status: ")
    assert wrong("status", value=...) == "report.status: is missing"
    assert wrong("tests", value={}).startswith("report.tests: must be a list")
    assert wrong("tests", 1, "status", value=3).startswith("report.tests[1].status: ")
    assert wrong("tests", 1, "attempts", 0, "duration", value=-1).startswith("report.tests[1].attempts[0].duration: ")
    assert wrong("counts", "leaky", value=True).startswith("report.counts.leaky: ")
    assert wrong("suites", 0, "problems", value="none").startswith("report.suites[0].problems: ")
    with pytest.raises(InvalidTypeError, match="report: must be a dict"):
        TestReport.from_dict([])  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=r"statuses\[1\]"):
        sample().with_status("failed", "fine")
    # A later version may tell more, and optional parts need not be there.
    form = {**sample().to_dict(), "later": 1}
    del form["groups"]
    assert TestReport.from_dict(form).groups == ()


def test_pytest_does_not_take_them_for_tests(project: Path) -> None:
    (project / "test_import.py").write_text("from agentic_executor.testing import *\n\ndef test_one():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
