"""The data classes have one manner: comparing, showing, copying, pickling, matching."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from agentic_executor import ExecutionPlan, ExecutionResult, ExecutionStep, PlanStep, SandboxConfig
from agentic_executor.events import Event
from agentic_executor.executor import Change, LeftOut, RollbackResult
from agentic_executor.planner import RetryPolicy
from agentic_executor.sandbox import CodeSandbox, SandboxResult, SandboxStatus
from agentic_executor.tools import ToolParameter, ToolRegistry, ToolResult, ToolStatus


def samples() -> list[Any]:
    result = ToolResult(ToolStatus.SUCCESS, "out", None, {"a": [1]})
    step = PlanStep("s", "shell", {"command": "ls"}, "List", ["r"], result=result)
    return [
        result,
        ToolParameter("n", "integer", "A number"),
        step,
        RetryPolicy(max=3),
        ExecutionPlan("task", [step], {"a": 1}),
        ExecutionStep("s", "shell", {"a": 1}, result, 1.0, 2.0),
        ExecutionResult("task", True, [ExecutionStep("s", "shell", {})], 1.0, None, {"a": 1}),
        SandboxConfig(timeout_seconds=5),
        SandboxResult(SandboxStatus.COMPLETED, "out", ""),
        RollbackResult(
            "r", "s", [Change("/a", "added", 1)], changed_since=[LeftOut("/b", "was changed since")], to="t"
        ),
        Change("/a", "modified", 3),
        LeftOut("/a", "it holds b, which is to stay"),
        Event("r", 1, "2025-01-01T00:00:00Z", "step_started", {"step": "s"}),
    ]


NAMES = [type(sample).__name__ for sample in samples()]


@pytest.fixture(params=range(len(NAMES)), ids=NAMES)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Two records made the same way."""
    return samples()[request.param], samples()[request.param]


def test_records_with_the_same_fields_are_equal(pair: tuple[Any, Any]) -> None:
    first, second = pair
    assert first == second
    assert not (first != second)
    field = type(first).__match_args__[0]
    setattr(second, field, object())
    assert first != second


def test_records_of_different_types_are_not_equal() -> None:
    every = samples()
    for index, one in enumerate(every):
        for other in every[index + 1 :]:
            assert one != other
        assert one != one.__dict__


def test_a_record_is_mutable_and_therefore_not_hashable(pair: tuple[Any, Any]) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(pair[0])


def test_copies_and_pickles_are_equal_and_independent(pair: tuple[Any, Any]) -> None:
    original, same = pair
    for clone in (
        copy.copy(original),
        copy.deepcopy(original),
        *(pickle.loads(pickle.dumps(original, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)),
    ):
        assert type(clone) is type(original)
        assert clone == original
        setattr(clone, type(clone).__match_args__[0], object())
        assert original == same


def test_a_deep_copy_shares_nothing() -> None:
    plan = ExecutionPlan("task", [PlanStep("s", "shell", {"a": [1]}, "d")])
    clone = copy.deepcopy(plan)
    clone.steps[0].params["a"].append(2)
    assert plan.steps[0].params == {"a": [1]}


def test_a_repr_names_the_class_and_its_fields(pair: tuple[Any, Any]) -> None:
    text = repr(pair[0])
    assert text.startswith(type(pair[0]).__name__ + "(")
    assert type(pair[0]).__match_args__[0] + "=" in text


def test_a_repr_stays_short_whatever_is_in_it() -> None:
    result = ToolResult(ToolStatus.SUCCESS, "x" * 1_000_000, None, {"deep": [{"again": "y" * 1_000_000}] * 1000})
    assert len(repr(result)) < 5_000
    plan = ExecutionPlan("task", [PlanStep("s", "shell", {"command": "z" * 10_000}, "d") for _ in range(1000)])
    assert len(repr(plan)) < 10_000


def test_a_record_that_holds_itself_can_be_shown() -> None:
    result = ToolResult(ToolStatus.SUCCESS, "")
    result.metadata["self"] = result
    assert "ToolResult" in repr(result)


def test_fields_can_be_matched_by_position() -> None:
    assert ToolResult.__match_args__ == ("status", "output", "error", "metadata")
    assert PlanStep.__match_args__[:4] == ("id", "tool", "params", "description")
    assert ExecutionStep.__match_args__ == ("step_id", "tool", "params", "result", "start_time", "end_time", "retries")
    assert ExecutionResult.__match_args__ == ("task", "success", "steps", "total_time", "error", "metadata")
    assert SandboxConfig.__match_args__[:3] == ("timeout_seconds", "max_memory_mb", "max_output_bytes")


def test_a_notebook_shows_escaped_html() -> None:
    evil = "<script>alert(1)</script><img src=x onerror='y' title=\"z\">&lt;\x1b]0;t\x07\u202egpj.exe"
    plan = ExecutionPlan(evil, [PlanStep("s", "shell", {"a": evil}, evil)])
    shown = [
        ToolResult(ToolStatus.ERROR, evil, evil),
        plan,
        ExecutionResult(
            evil, False, [ExecutionStep(evil, evil, {"a": evil}, ToolResult(ToolStatus.ERROR, evil, evil))], 0.0, evil
        ),
        SandboxResult(SandboxStatus.ERROR, evil, evil),
        ToolRegistry.default_registry(),
    ]
    for one in shown:
        html = one._repr_html_()
        assert "<script>" not in html and "<img" not in html and "onerror='" not in html
        assert not any(hidden in html for hidden in "\x1b\x07\u202e")
        assert "<" in html
    assert all("&lt;script&gt;" in one._repr_html_() for one in shown[:4])
    assert all("&amp;lt;" in one._repr_html_() for one in shown[:4])


def test_other_objects_have_a_useful_repr() -> None:
    registry = ToolRegistry.default_registry()
    assert "file_read" in repr(registry)
    assert "shell" in repr(registry.get("shell"))
    assert repr(CodeSandbox()).startswith("CodeSandbox(")


def test_a_configured_registry_and_its_tools_can_be_pickled() -> None:
    registry = ToolRegistry.default_registry()
    registry.get("shell").timeout = 7  # type: ignore[union-attr]
    registry.execute("nothing")
    clone = pickle.loads(pickle.dumps(registry))
    assert list(clone.list_tools()) == list(registry.list_tools())
    assert clone.get("shell").timeout == 7
