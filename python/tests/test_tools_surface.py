"""`agentic_executor.tools`: status, result, parameter, the base class and the schemas of the built-in tools."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from agentic_executor.tools import (
    FileReadTool,
    FileWriteTool,
    SearchTool,
    ShellTool,
    Tool,
    ToolParameter,
    ToolResult,
    ToolStatus,
)


class Greet(Tool):
    """The shortest tool with an optional parameter."""

    @property
    def name(self) -> str:
        return "greet"

    @property
    def description(self) -> str:
        return "Greets somebody"

    @property
    def parameters(self) -> list[ToolParameter]:
        return [
            ToolParameter("who", "string", "Whom to greet"),
            ToolParameter("times", "integer", "How often", required=False, default=1),
        ]

    def execute(self, **kwargs: Any) -> ToolResult:
        return ToolResult(ToolStatus.SUCCESS, f"Hello {kwargs['who']}" * kwargs.get("times", 1))


@pytest.mark.parametrize("name", ["SUCCESS", "ERROR", "TIMEOUT", "PERMISSION_DENIED"])
def test_a_status_has_its_lower_case_name_as_value(name: str) -> None:
    assert isinstance(ToolStatus[name], enum.Enum)
    assert ToolStatus[name].value == name.lower()
    assert ToolStatus(name.lower()) is ToolStatus[name]


def test_there_are_four_statuses() -> None:
    assert [status.name for status in ToolStatus] == ["SUCCESS", "ERROR", "TIMEOUT", "PERMISSION_DENIED"]


def test_a_result_by_position() -> None:
    result = ToolResult(ToolStatus.ERROR, "out", "err", {"a": 1})
    assert (result.status, result.output, result.error, result.metadata) == (ToolStatus.ERROR, "out", "err", {"a": 1})


def test_a_result_by_keyword() -> None:
    result = ToolResult(metadata={"a": 1}, error="err", output="out", status=ToolStatus.ERROR)
    assert result == ToolResult(ToolStatus.ERROR, "out", "err", {"a": 1})


def test_the_defaults_of_a_result_are_its_own() -> None:
    first, second = ToolResult(ToolStatus.SUCCESS, "a"), ToolResult(ToolStatus.SUCCESS, "b")
    assert first.error is None
    assert first.metadata == {}
    first.metadata["mark"] = True
    assert second.metadata == {}


def test_the_given_metadata_is_kept_by_identity() -> None:
    metadata: dict[str, Any] = {}
    assert ToolResult(ToolStatus.SUCCESS, None, metadata=metadata).metadata is metadata


def test_a_result_as_dict() -> None:
    result = ToolResult(ToolStatus.PERMISSION_DENIED, "", "no", {"path": "x"})
    assert result.to_dict() == {"status": "permission_denied", "output": "", "error": "no", "metadata": {"path": "x"}}


def test_a_results_fields_can_be_set() -> None:
    result = ToolResult(ToolStatus.SUCCESS, "a")
    result.status, result.output, result.error = ToolStatus.TIMEOUT, "b", "late"
    assert result.to_dict() == {"status": "timeout", "output": "b", "error": "late", "metadata": {}}


def test_a_parameter_by_position_and_by_keyword() -> None:
    by_position = ToolParameter("n", "integer", "A number", False, 3)
    by_keyword = ToolParameter(name="n", param_type="integer", description="A number", required=False, default=3)
    for parameter in (by_position, by_keyword):
        assert parameter.name == "n"
        assert parameter.param_type == "integer"
        assert parameter.description == "A number"
        assert parameter.required is False
        assert parameter.default == 3


def test_the_defaults_of_a_parameter() -> None:
    parameter = ToolParameter("n", "integer", "A number")
    assert parameter.required is True
    assert parameter.default is None


def test_the_base_class_is_abstract() -> None:
    with pytest.raises(TypeError):
        Tool()  # type: ignore[abstract]


@pytest.mark.parametrize("missing", ["name", "description", "parameters", "execute"])
def test_a_subclass_without_one_of_its_parts_is_abstract(missing: str) -> None:
    parts: dict[str, Any] = {
        "name": property(lambda self: "x"),
        "description": property(lambda self: "x"),
        "parameters": property(lambda self: []),
        "execute": lambda self, **kwargs: ToolResult(ToolStatus.SUCCESS, ""),
    }
    assert type("Whole", (Tool,), parts)() is not None
    del parts[missing]
    with pytest.raises(TypeError, match=missing):
        type("Partial", (Tool,), parts)()


def test_plain_class_attributes_serve_as_well_as_properties() -> None:
    class Plain(Tool):
        name = "plain"  # type: ignore[assignment]
        description = "Plain"  # type: ignore[assignment]
        parameters: list[ToolParameter] = []  # type: ignore[assignment]

        def execute(self, **kwargs: Any) -> ToolResult:
            return ToolResult(ToolStatus.SUCCESS, "plain")

    assert Plain().to_schema()["name"] == "plain"


def test_validate_params_names_the_missing_one() -> None:
    assert Greet().validate_params({}) == "Missing required parameter: who"
    assert Greet().validate_params({"times": 2}) == "Missing required parameter: who"


def test_validate_params_answers_none_when_all_is_there() -> None:
    assert Greet().validate_params({"who": "Ada"}) is None
    assert Greet().validate_params({"who": "Ada", "times": 2}) is None


def test_the_schema_of_a_subclass() -> None:
    assert Greet().to_schema() == {
        "name": "greet",
        "description": "Greets somebody",
        "parameters": {
            "type": "object",
            "properties": {
                "who": {"type": "string", "description": "Whom to greet"},
                "times": {"type": "integer", "description": "How often"},
            },
            "required": ["who"],
        },
    }


def test_a_default_that_is_not_none_may_stand_in_the_schema_and_nothing_else() -> None:
    times = Greet().to_schema()["parameters"]["properties"]["times"]
    assert set(times) - {"default"} == {"type", "description"}


BUILT_IN = [
    (FileReadTool, "file_read", ["path"], ["encoding"]),
    (FileWriteTool, "file_write", ["path", "content"], ["mode"]),
    (ShellTool, "shell", ["command"], ["timeout"]),
    (SearchTool, "search", ["pattern"], ["file_pattern", "max_results"]),
]


@pytest.mark.parametrize(("kind", "name", "required", "optional"), BUILT_IN)
def test_a_built_in_tool_describes_itself(
    kind: type[Tool], name: str, required: list[str], optional: list[str]
) -> None:
    tool = kind()
    assert isinstance(tool, Tool)
    assert tool.name == name
    assert tool.description
    by_name = {parameter.name: parameter for parameter in tool.parameters}
    assert list(by_name) == required + optional
    assert [parameter.name for parameter in tool.parameters if parameter.required] == required
    assert all(isinstance(parameter, ToolParameter) and parameter.description for parameter in tool.parameters)


@pytest.mark.parametrize(("kind", "name", "required", "optional"), BUILT_IN)
def test_a_built_in_tools_schema(kind: type[Tool], name: str, required: list[str], optional: list[str]) -> None:
    schema = kind().to_schema()
    assert set(schema) == {"name", "description", "parameters"}
    assert schema["name"] == name
    parameters = schema["parameters"]
    assert parameters["type"] == "object"
    assert sorted(parameters["properties"]) == sorted(required + optional)
    assert parameters["required"] == required
    for described in parameters["properties"].values():
        assert described["type"]
        assert described["description"]


@pytest.mark.parametrize(("kind", "name", "required", "optional"), BUILT_IN)
def test_a_built_in_tool_validates(kind: type[Tool], name: str, required: list[str], optional: list[str]) -> None:
    assert kind().validate_params({}) == f"Missing required parameter: {required[0]}"
    assert kind().validate_params(dict.fromkeys(required, "x")) is None


def test_the_documented_defaults_of_optional_parameters() -> None:
    def default(tool: Tool, name: str) -> Any:
        return next(parameter.default for parameter in tool.parameters if parameter.name == name)

    assert default(FileReadTool(), "encoding") == "utf-8"
    assert default(FileWriteTool(), "mode") == "overwrite"
    assert default(SearchTool(), "file_pattern") == "*"
    assert default(SearchTool(), "max_results") == 50


def test_the_fields_of_the_built_in_tools_by_position() -> None:
    assert FileReadTool(["/a"]).allowed_paths == ["/a"]
    assert FileWriteTool(["/a"]).allowed_paths == ["/a"]
    assert SearchTool(["/a"]).search_paths == ["/a"]
    shell = ShellTool(["ls"], ["rm"], 5, "/tmp")
    assert shell.allowed_commands == ["ls"]
    assert shell.blocked_commands == ["rm"]
    assert shell.timeout == 5
    assert shell.working_dir == "/tmp"


def test_the_fields_of_the_built_in_tools_by_keyword() -> None:
    assert FileReadTool(allowed_paths=["/a"]).allowed_paths == ["/a"]
    assert FileWriteTool(allowed_paths=["/a"]).allowed_paths == ["/a"]
    assert SearchTool(search_paths=["/a"]).search_paths == ["/a"]
    shell = ShellTool(allowed_commands=["ls"], blocked_commands=["rm"], timeout=5, working_dir="/tmp")
    assert (shell.allowed_commands, shell.blocked_commands) == (["ls"], ["rm"])


def test_the_defaults_of_the_shell_tool() -> None:
    shell = ShellTool()
    assert shell.allowed_commands is None
    assert shell.timeout == 30
    assert shell.working_dir is None
    assert shell.blocked_commands == ["rm -rf /", "mkfs", "dd if="]
