"""Functions as tools: the decorator, and the schema that annotations and docstring give."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Union

import pytest

from agentic_executor.tools import Tool, ToolRegistry, ToolResult, ToolStatus

pytestmark = pytest.mark.usefixtures("project")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def described(registry: ToolRegistry, name: str) -> dict[str, Any]:
    return next(schema for schema in registry.get_schemas() if schema["name"] == name)


def test_a_decorated_function_is_a_tool_of_the_registry() -> None:
    registry = ToolRegistry()

    @registry.register("add")
    def add(a: int, b: int = 2) -> int:
        """Adds two numbers."""
        return a + b

    tool = registry.get("add")
    assert isinstance(tool, Tool)
    assert tool.name == "add"
    assert registry.execute("add", a=1).output == 3
    assert registry.execute("add", a=1, b=5).output == 6


def test_the_decorated_function_can_still_be_called() -> None:
    registry = ToolRegistry()

    @registry.register("add")
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    assert add(2, 3) == 5


def test_the_schema_comes_from_annotations_and_docstring() -> None:
    registry = ToolRegistry()

    @registry.register("greet")
    def greet(who: str, times: int = 1) -> str:
        """Greets somebody.

        Args:
            who: Whom to greet.
            times: How often.
        """
        return f"Hello {who}! " * times

    schema = described(registry, "greet")
    assert schema["description"].startswith("Greets somebody")
    parameters = schema["parameters"]
    assert parameters["type"] == "object"
    assert parameters["required"] == ["who"]
    assert parameters["properties"]["who"]["type"] == "string"
    assert parameters["properties"]["who"]["description"].startswith("Whom to greet")
    assert parameters["properties"]["times"]["type"] == "integer"
    assert parameters["properties"]["times"]["description"].startswith("How often")


def test_each_annotation_has_its_json_type() -> None:
    registry = ToolRegistry()

    @registry.register("all")
    def everything(
        text: str,
        whole: int,
        real: float,
        flag: bool,
        items: List[str],
        table: Dict[str, int],
        bare_list: list,  # type: ignore[type-arg]
        bare_dict: dict,  # type: ignore[type-arg]
    ) -> None:
        """Takes everything."""

    properties = described(registry, "all")["parameters"]["properties"]
    types = {name: described["type"] for name, described in properties.items()}
    assert types == {
        "text": "string",
        "whole": "integer",
        "real": "number",
        "flag": "boolean",
        "items": "array",
        "table": "object",
        "bare_list": "array",
        "bare_dict": "object",
    }
    assert properties["items"]["items"]["type"] == "string"


def test_choices_are_listed() -> None:
    registry = ToolRegistry()

    @registry.register("paint")
    def paint(finish: Literal["matt", "gloss"], colour: Colour = Colour.RED) -> str:
        """Paints."""
        return f"{finish} {Colour(colour).value}"

    properties = described(registry, "paint")["parameters"]["properties"]
    assert properties["finish"]["enum"] == ["matt", "gloss"]
    assert properties["colour"]["enum"] == ["red", "blue"]
    assert registry.execute("paint", finish="matt").output == "matt red"
    refused = registry.execute("paint", finish="shiny")
    assert refused.status is ToolStatus.ERROR
    assert "finish" in str(refused.error)


def test_what_may_be_none_and_has_a_default_is_not_required() -> None:
    registry = ToolRegistry()

    @registry.register("maybe")
    def maybe(a: Optional[int] = None, b: Union[int, None] = None) -> str:
        """Maybe."""
        return f"{a} {b}"

    assert described(registry, "maybe")["parameters"]["required"] == []
    assert registry.execute("maybe").output == "None None"
    assert registry.execute("maybe", a=1).output == "1 None"
    assert registry.execute("maybe", a=None, b=2).output == "None 2"


def test_without_annotation_anything_is_taken() -> None:
    registry = ToolRegistry()

    @registry.register("echo")
    def echo(value):  # type: ignore[no-untyped-def]
        """Answers what it got."""
        return value

    for value in ("text", 3, [1, {"a": None}], True):
        assert registry.execute("echo", value=value).output == value


def test_a_wrong_type_is_refused_before_the_function_runs() -> None:
    registry = ToolRegistry()
    calls: list[int] = []

    @registry.register("count")
    def count(n: int) -> None:
        """Counts."""
        calls.append(n)

    result = registry.execute("count", n="many")
    assert result.status is ToolStatus.ERROR
    assert result.metadata["pointer"] == "/n"
    assert calls == []


def test_kwargs_take_what_is_unknown() -> None:
    registry = ToolRegistry()

    @registry.register("open")
    def takes(a: int, **rest: Any) -> dict[str, Any]:
        """Takes more."""
        return rest

    @registry.register("closed")
    def closed(a: int) -> int:
        """Takes no more."""
        return a

    assert list(described(registry, "open")["parameters"]["properties"]) == ["a"]
    assert registry.execute("open", a=1, b=2).output == {"b": 2}
    refused = registry.execute("closed", a=1, b=2)
    assert refused.status is ToolStatus.ERROR
    assert "b" in str(refused.error)


def test_a_tool_result_is_answered_as_it_is() -> None:
    registry = ToolRegistry()
    given = ToolResult(ToolStatus.ERROR, "partly", "no", {"a": 1})

    @registry.register("fails")
    def fails() -> ToolResult:
        """Fails."""
        return given

    assert registry.execute("fails") is given


def test_nothing_returned_is_a_success_without_output() -> None:
    registry = ToolRegistry()

    @registry.register("quiet")
    def quiet() -> None:
        """Says nothing."""

    result = registry.execute("quiet")
    assert result.status is ToolStatus.SUCCESS
    assert not result.output


def test_a_raised_exception_is_a_failed_result_with_its_traceback() -> None:
    registry = ToolRegistry()

    @registry.register("raises")
    def raises() -> None:
        """Raises."""
        raise LookupError("nothing there")

    result = registry.execute("raises")
    assert result.status is ToolStatus.ERROR
    assert "LookupError" in str(result.error) and "nothing there" in str(result.error)
    assert 'raise LookupError("nothing there")' in result.metadata["traceback"]


def test_an_async_function_is_awaited() -> None:
    registry = ToolRegistry()

    @registry.register("later")
    async def later(a: int) -> int:
        """Answers later."""
        import asyncio

        await asyncio.sleep(0)
        return a + 1

    assert registry.execute("later", a=1).output == 2


def test_a_method_of_an_object_is_a_tool_without_self() -> None:
    class Shelf:
        def __init__(self) -> None:
            self.items = ["book"]

        def put(self, item: str) -> int:
            """Puts an item on the shelf."""
            self.items.append(item)
            return len(self.items)

    registry, shelf = ToolRegistry(), Shelf()
    registry.register("put")(shelf.put)
    assert list(described(registry, "put")["parameters"]["properties"]) == ["item"]
    assert registry.execute("put", item="vase").output == 2
    assert shelf.items == ["book", "vase"]


def test_a_path_annotation_is_a_string_in_the_schema() -> None:
    registry = ToolRegistry()

    @registry.register("touch")
    def touch(path: Path) -> str:
        """Touches."""
        return str(path)

    assert described(registry, "touch")["parameters"]["properties"]["path"]["type"] == "string"


def test_an_annotation_that_cannot_be_resolved_is_named() -> None:
    registry = ToolRegistry()

    def odd(value: NoSuchName) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Odd."""

    with pytest.raises(ValueError, match="value"):
        registry.register("odd")(odd)
