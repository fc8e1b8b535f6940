"""What came of a project's tests: a `TestReport` with a verdict for each test.

`ExecutionResult.tests` answers with one after `AgenticExecutor.run_tests`, and after any other run that called the tool
`run_tests`; `AgenticExecutor.test_history` answers with what the journal remembers of each test.

The records cannot be changed, what is several is a tuple, and equal ones have the same hash. Each has `to_dict()`: the
plain values that the result's metadata has and `docs/reference/tests.schema.json` describes. The class method
`from_dict(form)` reads them again, and raises `InvalidTypeError` or `InvalidValueError`, naming the place, where it
cannot. What it does not know it leaves aside.
"""

from __future__ import annotations

from ._testing import (
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

__all__ = [
    "TestAttempt",
    "TestCase",
    "TestCounts",
    "TestGroup",
    "TestHistory",
    "TestReport",
    "TestRunStatus",
    "TestStatus",
    "TestSuite",
]
