"""Functions as tools: what their annotations and docstrings become, and what arrives."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import enum
import pathlib
import pickle
import sys
from typing import Annotated, Any, Dict, List, Literal, NewType, Optional, Tuple, TypedDict, TypeVar, Union

import pytest

from agentic_executor.errors import InvalidTypeError, InvalidValueError
from agentic_executor.tools import FunctionTool, ToolRegistry, ToolResult, ToolStatus


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
    color: Color = Color.RED


class Movie(TypedDict, total=False):
    title: str


@dataclasses.dataclass
class Node:
    children: List[Node]


UserId = NewType("UserId", int)
Text = TypeVar("Text", bound=str)


def properties(function: Any) -> Any:
    schema = FunctionTool(function, "tool").to_schema()["parameters"]
    for keywords in schema["properties"].values():
        keywords.pop("description")
    return schema["properties"]


ANNOTATIONS = [
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (None, {"type": "null"}),
    (Any, {}),
    (list, {"type": "array"}),
    (List[int], {"type": "array", "items": {"type": "integer"}}),
    (Tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (
        Tuple[int, str],
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
    ),
    (dict, {"type": "object"}),
    (Dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
    (Dict[str, Any], {"type": "object"}),
    (Optional[int], {"type": ["integer", "null"]}),
    (Union[int, List[str]], {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}),
    (Union[int, Any], {}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Literal["a", 1, None], {"type": ["string", "integer", "null"], "enum": ["a", 1, None]}),
    (Color, {"type": "string", "enum": ["red", "blue"]}),
    (Level, {"type": "integer", "enum": [1, 2]}),
    (UserId, {"type": "integer"}),
    (Text, {"type": "string"}),
    (pathlib.Path, {"type": "string"}),
    (Movie, {"type": "object", "properties": {"title": {"type": "string"}}, "required": []}),
    (
        Point,
        {
            "type": "object",
            "properties": {
                "x": {"type": "integer"},
                "y": {"type": "integer"},
                "color": {"type": "string", "enum": ["red", "blue"]},
            },
            "required": ["x"],
            "additionalProperties": False,
        },
    ),
]


@pytest.mark.parametrize(("annotation", "schema"), ANNOTATIONS, ids=lambda value: str(value)[:40])
def test_an_annotation_becomes_its_schema(annotation: Any, schema: Any) -> None:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    assert properties(function)["x"] == schema


def test_a_default_makes_a_parameter_optional_and_is_told() -> None:
    nothing = object()

    def function(a: int, b: int = 3, c: Optional[str] = None, d: Color = Color.BLUE, e: Any = nothing) -> None: ...

    tool = FunctionTool(function)
    assert tool.to_schema()["parameters"]["required"] == ["a"]
    assert properties(function) == {
        "a": {"type": "integer"},
        "b": {"type": "integer", "default": 3},
        "c": {"type": "string"},
        "d": {"type": "string", "enum": ["red", "blue"], "default": "blue"},
        "e": {},
    }
    assert [(p.name, p.param_type, p.required, p.default) for p in tool.parameters] == [
        ("a", "integer", True, None),
        ("b", "integer", False, 3),
        ("c", "string", False, None),
        ("d", "string", False, "blue"),
        ("e", "", False, None),
    ]


def google(path: str, most: int = 1, *, strict: bool = False) -> None:
    """Finds
    things.

    More about it.

    Args:
        path (str): where
            to look
        most: how many: a number
        strict: whether

    Returns:
        nothing: at all
    """


def numpy(path: str, most: int = 1, *, strict: bool = False) -> None:
    """Finds things.

    Parameters
    ----------
    path : str
        where
        to look
    most, strict : int
        how many: a number

    Returns
    -------
    nothing
        at all
    """


def rest(path: str, most: int = 1, *, strict: bool = False) -> None:
    """Finds things.

    :param path: where
        to look
    :param int most: how many: a number
    :returns: nothing
    """


@pytest.mark.parametrize(
    ("function", "strict"),
    [(google, "whether"), (numpy, "how many: a number"), (rest, "")],
    ids=lambda value: str(value),
)
def test_descriptions_come_from_the_docstring(function: Any, strict: str) -> None:
    tool = FunctionTool(function)
    assert tool.description == "Finds things."
    assert {parameter.name: parameter.description for parameter in tool.parameters} == {
        "path": "where to look",
        "most": "how many: a number",
        "strict": strict,
    }


def test_annotated_describes_and_beats_the_docstring() -> None:
    def function(a: Annotated[Optional[Annotated[int, "inner"]], "outer"] = None) -> None:
        """One.

        Args:
            a: of the docstring
        """

    assert FunctionTool(function).parameters[0].description == "outer"
    assert properties(function) == {"a": {"type": "integer"}}


def test_what_arrives_is_what_the_annotation_says() -> None:
    seen: Dict[str, Any] = {}

    def function(
        color: Color,
        point: Point,
        pair: Tuple[int, Color],
        names: Dict[str, List[Color]],
        where: pathlib.Path,
        level: Optional[Level] = None,
        either: Union[Color, int] = 1,
    ) -> None:
        seen.update(locals())

    FunctionTool(function).execute(
        color="red",
        point={"x": 1, "color": "blue"},
        pair=[1, "red"],
        names={"a": ["red", "blue"]},
        where="a/b",
        level=2,
        either=7,
    )
    seen.pop("seen")
    assert seen == {
        "color": Color.RED,
        "point": Point(1, 0, Color.BLUE),
        "pair": (1, Color.RED),
        "names": {"a": [Color.RED, Color.BLUE]},
        "where": pathlib.Path("a/b"),
        "level": Level.HIGH,
        "either": 7,
    }


def test_what_a_function_returns_is_the_output() -> None:
    own = ToolResult(ToolStatus.ERROR, "", "no")

    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert FunctionTool(lambda: None, "f").execute() == ToolResult(ToolStatus.SUCCESS, "")
    assert FunctionTool(lambda: 0, "f").execute().output == 0
    assert FunctionTool(lambda: own, "f").execute() is own
    assert FunctionTool(later).execute(x=1).output == 2

    async def under_a_running_loop() -> Any:
        return FunctionTool(later).execute(x=2).output

    assert asyncio.run(under_a_running_loop()) == 3


def test_local_classes_are_found_though_annotations_are_text() -> None:
    class Mood(enum.Enum):
        GOOD = "good"

    registry = ToolRegistry()

    @registry.register
    def feel(mood: Mood) -> str:
        return mood.name

    tool = registry.get("feel")
    assert tool is not None
    assert tool.execute(mood="good").output == "GOOD"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("bytes", InvalidTypeError, "x: bytes has no JSON form"),
        ("Dict[int, str]", InvalidTypeError, "x: the keys of a JSON object are str, not int"),
        ("NoSuchName", InvalidValueError, "x: the annotation 'NoSuchName' cannot be resolved: name 'NoSuchName'"),
        ("Node", InvalidValueError, "x.children: Node holds itself"),
    ],
)
def test_an_annotation_that_cannot_be_is_refused_by_name(text: str, kind: Any, message: str) -> None:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = text
    with pytest.raises(kind) as raised:
        FunctionTool(function)
    assert str(raised.value).startswith(message)


def test_shapes_of_functions() -> None:
    def many(*args: int) -> None: ...

    def named(a: int, /, b: int, **more: int) -> Any:
        return a, b, more

    with pytest.raises(InvalidValueError, match=r"^args: arguments come by name"):
        FunctionTool(many)
    tool = FunctionTool(named)
    assert tool._takes_unknown()
    assert tool.execute(a=1, b=2, self=3).output == (1, 2, {"self": 3})
    assert not FunctionTool(google)._takes_unknown()
    for wrong in (int, 3, None):
        with pytest.raises(InvalidTypeError, match=r"^function: "):
            FunctionTool(wrong)  # type: ignore[arg-type]


def test_copies_and_pickles() -> None:
    tool = FunctionTool(google, "other", "Another")
    for twin in (copy.deepcopy(tool), pickle.loads(pickle.dumps(tool))):
        assert twin.to_schema() == tool.to_schema()
        assert twin.function is google


@pytest.mark.skipif(sys.version_info < (3, 10), reason="`int | None` is evaluated from Python 3.10 on")
def test_unions_written_with_a_bar() -> None:
    def function(x: int | None = None, y: list[int | str] = []) -> None: ...  # noqa: B006

    assert properties(function) == {
        "x": {"type": "integer"},
        "y": {"type": "array", "items": {"type": ["integer", "string"]}, "default": []},
    }
