"""`ToolRegistry`: registering, identity, schemas, calls by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentic_executor.tools import (
    FileReadTool,
    FileWriteTool,
    SearchTool,
    ShellTool,
    Tool,
    ToolParameter,
    ToolRegistry,
    ToolResult,
    ToolStatus,
)

pytestmark = pytest.mark.usefixtures("project")


class Recorder(Tool):
    """Keeps what it was called with; takes what its `execute` names."""

    def __init__(self, name: str = "recorder") -> None:
        self._name = name
        self.calls: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def description(self) -> str:
        return "Keeps what it was called with"

    @property
    def parameters(self) -> list[ToolParameter]:
        return [ToolParameter("text", "string", "Any text")]

    def execute(self, **kwargs: Any) -> ToolResult:
        self.calls.append(kwargs)
        return ToolResult(ToolStatus.SUCCESS, kwargs.get("text"))


class Strict(Recorder):
    """Takes its one parameter and no other."""

    def execute(self, text: str) -> ToolResult:  # type: ignore[override]
        return super().execute(text=text)


def test_a_new_registry_is_empty() -> None:
    registry = ToolRegistry()
    assert list(registry.list_tools()) == []
    assert registry.get_schemas() == []


def test_what_is_registered_is_what_is_got() -> None:
    registry, tool = ToolRegistry(), Recorder()
    registry.register(tool)
    assert registry.get("recorder") is tool
    assert list(registry.list_tools()) == ["recorder"]
    assert registry.get_schemas() == [tool.to_schema()]


def test_an_unknown_tool_is_none() -> None:
    assert ToolRegistry().get("nothing") is None


def test_the_default_registry_has_exactly_four_tools() -> None:
    registry = ToolRegistry.default_registry()
    assert list(registry.list_tools()) == ["file_read", "file_write", "shell", "search"]
    for name, kind in (
        ("file_read", FileReadTool),
        ("file_write", FileWriteTool),
        ("shell", ShellTool),
        ("search", SearchTool),
    ):
        assert type(registry.get(name)) is kind
        assert registry.get(name) is registry.get(name)


def test_the_default_registry_has_exactly_four_schemas() -> None:
    schemas = ToolRegistry.default_registry().get_schemas()
    assert [schema["name"] for schema in schemas] == ["file_read", "file_write", "shell", "search"]
    assert all(set(schema) == {"name", "description", "parameters"} for schema in schemas)


def test_the_full_registry_has_every_built_in_tool() -> None:
    tools = set(ToolRegistry.full_registry().list_tools())
    assert tools >= {
        "file_read",
        "file_write",
        "shell",
        "search",
        "edit",
        "apply_patch",
        "list_files",
        "run_code",
        "run_tests",
        "rollback",
    }


def test_two_registries_are_independent() -> None:
    first, second = ToolRegistry.default_registry(), ToolRegistry.default_registry()
    first.register(Recorder())
    assert second.get("recorder") is None
    assert first.get("shell") is not second.get("shell")


def test_a_call_by_name() -> None:
    registry, tool = ToolRegistry(), Recorder()
    registry.register(tool)
    result = registry.execute("recorder", text="hello")
    assert isinstance(result, ToolResult)
    assert result.status is ToolStatus.SUCCESS
    assert result.output == "hello"
    assert tool.calls == [{"text": "hello"}]


def test_a_call_of_a_built_in_tool_by_name(project: Path) -> None:
    registry = ToolRegistry.default_registry()
    assert registry.execute("file_write", path="a.txt", content="hello").status is ToolStatus.SUCCESS
    assert registry.execute("file_read", path="a.txt").output == "hello"
    assert (project / "a.txt").read_text() == "hello"


def test_a_call_of_an_unknown_tool() -> None:
    result = ToolRegistry().execute("nothing", a=1)
    assert result.status is ToolStatus.ERROR
    assert result.error == "Unknown tool: nothing"


def test_a_missing_parameter() -> None:
    registry, tool = ToolRegistry(), Recorder()
    registry.register(tool)
    result = registry.execute("recorder")
    assert result.status is ToolStatus.ERROR
    assert result.error == "Missing required parameter: text"
    assert result.metadata["pointer"] == "/text"
    assert tool.calls == []


@pytest.mark.parametrize("name", ["file_read", "file_write", "shell", "search"])
def test_built_in_tools_refuse_unknown_parameters(name: str, project: Path) -> None:
    given = {"path": "a", "content": "b"} if name == "file_write" else {"path": "a", "pattern": "b", "command": "true"}
    known = {
        parameter.name: given[parameter.name]
        for parameter in ToolRegistry.default_registry().get(name).parameters  # type: ignore[union-attr]
        if parameter.required
    }
    result = ToolRegistry.default_registry().execute(name, **known, surprise=1)
    assert result.status is ToolStatus.ERROR
    assert "surprise" in str(result.error)
    assert not (project / "a").exists()


def test_a_python_tool_with_kwargs_gets_unknown_parameters() -> None:
    registry, tool = ToolRegistry(), Recorder()
    registry.register(tool)
    assert registry.execute("recorder", text="a", surprise=[1, 2]).status is ToolStatus.SUCCESS
    assert tool.calls == [{"text": "a", "surprise": [1, 2]}]


def test_a_python_tool_without_kwargs_refuses_them() -> None:
    registry, tool = ToolRegistry(), Strict()
    registry.register(tool)
    assert registry.execute("recorder", text="a").status is ToolStatus.SUCCESS
    result = registry.execute("recorder", text="a", surprise=1)
    assert result.status is ToolStatus.ERROR
    assert "surprise" in str(result.error)
    assert tool.calls == [{"text": "a"}]


@pytest.mark.parametrize(("name", "params", "pointer"), [
    ("file_read", {"path": 3}, "/path"),
    ("search", {"pattern": "x", "max_results": "many"}, "/max_results"),
    ("shell", {"command": ["ls"]}, "/command"),
])  # fmt: skip
def test_a_parameter_of_the_wrong_type_is_named(name: str, params: dict[str, Any], pointer: str) -> None:
    result = ToolRegistry.default_registry().execute(name, **params)
    assert result.status is ToolStatus.ERROR
    assert result.metadata["pointer"] == pointer
    assert pointer.lstrip("/") in str(result.error)


def test_registering_a_name_again_replaces_it() -> None:
    registry, first, second = ToolRegistry(), Recorder(), Recorder()
    registry.register(first)
    registry.register(second)
    assert registry.get("recorder") is second
    assert list(registry.list_tools()) == ["recorder"]
    registry.execute("recorder", text="a")
    assert (first.calls, second.calls) == ([], [{"text": "a"}])


def test_a_built_in_tool_can_be_replaced_by_ones_own() -> None:
    registry, tool = ToolRegistry.default_registry(), Recorder("file_read")
    registry.register(tool)
    assert registry.execute("file_read", text="mine").output == "mine"
    assert registry.execute("shell", command="echo still").output == "still\n"


def test_a_tool_registered_after_the_first_call_is_there() -> None:
    registry = ToolRegistry.default_registry()
    registry.execute("shell", command="true")
    registry.register(Recorder())
    assert registry.execute("recorder", text="a").output == "a"


def test_a_subclass_of_a_built_in_tool_runs_its_own_code(project: Path) -> None:
    class Shouting(FileReadTool):
        def execute(self, **kwargs: Any) -> ToolResult:
            result = super().execute(**kwargs)
            return ToolResult(result.status, result.output.upper(), result.error, result.metadata)

    (project / "a.txt").write_text("hello")
    registry = ToolRegistry.default_registry()
    registry.register(Shouting())
    assert registry.execute("file_read", path="a.txt").output == "HELLO"


def test_a_subclass_of_the_registry() -> None:
    class Counting(ToolRegistry):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def execute(self, name: str, **params: Any) -> ToolResult:
            self.count += 1
            return super().execute(name, **params)

    registry = Counting()
    registry.register(Recorder())
    assert registry.execute("recorder", text="a").output == "a"
    assert registry.count == 1
    assert list(Counting.default_registry().list_tools()) == ["file_read", "file_write", "shell", "search"]
