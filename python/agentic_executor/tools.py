"""Named actions with a JSON Schema each: the built-in ones, your own, and the registry an executor takes them from."""

from __future__ import annotations

from ._builtin import (
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
)
from ._registry import ToolRegistry
from ._tool import Enforcement, Tool, ToolParameter, ToolResult, ToolStatus, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._function import FunctionTool

__all__ = [
    "ApplyPatchTool",
    "EditTool",
    "Enforcement",
    "FileReadTool",
    "FileWriteTool",
    "FunctionTool",
    "ListFilesTool",
    "RollbackTool",
    "RunCodeTool",
    "RunTestsTool",
    "SearchTool",
    "ShellTool",
    "Tool",
    "ToolParameter",
    "ToolRegistry",
    "ToolResult",
    "ToolStatus",
    "Usage",
]


def __getattr__(name: str) -> Any:
    # Reading signatures needs modules that cost more to import than the whole package.
    if name == "FunctionTool":
        from ._function import FunctionTool

        globals()[name] = FunctionTool
        return FunctionTool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
