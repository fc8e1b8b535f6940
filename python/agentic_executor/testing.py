"""What came of a project's tests: a `TestReport` with a verdict for each test.

`ExecutionResult.tests` answers with one after `AgenticExecutor.run_tests`, and after any other run that called the tool
`run_tests`; `AgenticExecutor.test_history` with what the journal remembers of each test. They tell what has happened:
fields cannot be changed, what is several is a tuple, and equal ones have the same hash. Each has `to_dict()`, the plain
values that are also in the result's metadata and that `docs/reference/tests.schema.json` describes, and the class method
`from_dict(form)`, which reads them again and raises `InvalidTypeError` or `InvalidValueError`, naming the place, where
it cannot.
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
