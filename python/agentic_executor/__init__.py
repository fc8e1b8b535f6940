"""Agentic Code Executor: plans tasks, runs their steps in a kernel sandbox over private layers, recovers, and reports.

>>> from agentic_executor import ExecutionPlan
>>> plan = ExecutionPlan("say hello")
>>> plan.add_step("shell", {"command": "echo hello"}, "Say it").id
'step_1'

Modules: `executor`, `planner`, `tools`, `sandbox`, `events`, `testing`, `errors`. Importing the package is quick and
starts nothing: the engine is loaded by the first call that needs it.
"""

from __future__ import annotations

from .errors import (
    AgenticError,
    InvalidTypeError,
    InvalidValueError,
    PlanFileError,
    PlanningError,
    ResumeError,
    RollbackError,
    SandboxUnavailableError,
    StateError,
)
from .events import Event
from .executor import AgenticExecutor, ExecutionMode, ExecutionResult, ExecutionStep, RollbackResult
from .planner import ExecutionPlan, PlanStep, RetryPolicy, StepStatus, TaskPlanner
from .sandbox import CodeSandbox, HostReport, SandboxConfig, SandboxResult, SandboxStatus, doctor
from .tools import (
    ApplyPatchTool,
    EditTool,
    FileReadTool,
    FileWriteTool,
    ListFilesTool,
    RollbackTool,
    RunCodeTool,
    RunTestsTool,
    SearchTool,
    ShellTool,
    Tool,
    ToolParameter,
    ToolRegistry,
    ToolResult,
    ToolStatus,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .testing import (
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
    "AgenticExecutor",
    "ExecutionMode",
    "ExecutionResult",
    "ExecutionStep",
    "Tool",
    "ToolRegistry",
    "FileReadTool",
    "FileWriteTool",
    "ShellTool",
    "SearchTool",
    "TaskPlanner",
    "ExecutionPlan",
    "PlanStep",
    "CodeSandbox",
    "SandboxConfig",
    # Beyond the names that programs have used from the start.
    "AgenticError",
    "ApplyPatchTool",
    "EditTool",
    "Event",
    "HostReport",
    "InvalidTypeError",
    "InvalidValueError",
    "ListFilesTool",
    "PlanFileError",
    "PlanningError",
    "ResumeError",
    "RetryPolicy",
    "RollbackError",
    "RollbackResult",
    "RollbackTool",
    "RunCodeTool",
    "RunTestsTool",
    "SandboxResult",
    "SandboxStatus",
    "SandboxUnavailableError",
    "StateError",
    "StepStatus",
    "TestAttempt",
    "TestCase",
    "TestCounts",
    "TestGroup",
    "TestHistory",
    "TestReport",
    "TestRunStatus",
    "TestStatus",
    "TestSuite",
    "ToolParameter",
    "ToolResult",
    "ToolStatus",
    "__version__",
    "doctor",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Few programs look at tests: imported when one does.
    if name == "testing" or (name in __all__ and name.startswith("Test")):
        import importlib

        testing = importlib.import_module(f"{__name__}.testing")
        return testing if name == "testing" else getattr(testing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
