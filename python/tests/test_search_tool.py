"""`search`: lines, limits, folders."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from agentic_executor.tools import SearchTool, ToolResult, ToolStatus


@pytest.fixture
def sources(project: Path) -> Path:
    (project / "one.py").write_text("import os\n# TODO first\n")
    (project / "two.txt").write_text("todo second\nnothing\nTodo third\n")
    (project / "deep").mkdir()
    (project / "deep" / "three.py").write_text("x = 1  # TODO: fourth\n")
    return project


def lines(result: ToolResult) -> list[tuple[str, int, str]]:
    """The output's lines as (file name, line number, text)."""
    assert result.status is ToolStatus.SUCCESS, result
    found = []
    for line in result.output.splitlines():
        match = re.fullmatch(r"(.+?):(\d+): (.*)", line)
        assert match, line
        found.append((os.path.basename(match[1]), int(match[2]), match[3].strip()))
    return sorted(found)


def test_every_line_that_matches_whatever_its_case(sources: Path) -> None:
    result = SearchTool().execute(pattern="todo")
    assert lines(result) == [
        ("one.py", 2, "# TODO first"),
        ("three.py", 1, "x = 1  # TODO: fourth"),
        ("two.txt", 1, "todo second"),
        ("two.txt", 3, "Todo third"),
    ]
    assert result.metadata["matches"] == 4
    assert result.metadata["files_searched"] == 3


def test_the_pattern_is_a_regex(sources: Path) -> None:
    assert [text for _, _, text in lines(SearchTool().execute(pattern=r"^x\s*=\s*\d"))] == ["x = 1  # TODO: fourth"]


def test_the_file_pattern_is_a_glob(sources: Path) -> None:
    result = SearchTool().execute(pattern="todo", file_pattern="*.py")
    assert {name for name, _, _ in lines(result)} == {"one.py", "three.py"}
    assert result.metadata["files_searched"] == 2


def test_no_more_than_the_maximum(sources: Path) -> None:
    result = SearchTool().execute(pattern="todo", max_results=2)
    assert len(lines(result)) == 2


def test_fifty_at_most_by_default(project: Path) -> None:
    (project / "many.txt").write_text("hit\n" * 80)
    assert len(lines(SearchTool().execute(pattern="hit"))) == 50


def test_no_match_is_a_success(sources: Path) -> None:
    result = SearchTool().execute(pattern="nowhere to be found")
    assert result.status is ToolStatus.SUCCESS
    assert result.output == "No matches found"
    assert result.error is None
    assert result.metadata["matches"] == 0
    assert result.metadata["files_searched"] == 3


def test_a_bad_regex(sources: Path) -> None:
    result = SearchTool().execute(pattern="(unclosed")
    assert result.status is ToolStatus.ERROR
    assert str(result.error).startswith("Invalid regex: ")


def test_a_path_in_the_output_can_be_opened(sources: Path) -> None:
    output = SearchTool().execute(pattern="fourth").output
    assert "fourth" in Path(output.split(":", 1)[0]).read_text()


def test_only_the_search_paths(sources: Path, outside: Path) -> None:
    tool = SearchTool([str(sources / "deep")])
    assert [name for name, _, _ in lines(tool.execute(pattern="todo"))] == ["three.py"]
    tool.search_paths = [str(outside)]
    assert [name for name, _, _ in lines(tool.execute(pattern="secret"))] == ["secret.txt"]


def test_several_search_paths(sources: Path, outside: Path) -> None:
    tool = SearchTool([str(sources / "deep"), str(outside)])
    assert [name for name, _, _ in lines(tool.execute(pattern="todo|secret"))] == ["secret.txt", "three.py"]


@pytest.mark.parametrize("paths", [None, ["."]])
def test_the_current_folder_is_that_of_the_call(sources: Path, outside: Path, paths: list[str] | None) -> None:
    tool = SearchTool(paths)
    os.chdir(outside)
    assert [name for name, _, _ in lines(tool.execute(pattern="."))] == ["secret.txt"]


def test_a_symlink_does_not_lead_out(sources: Path, outside: Path) -> None:
    (sources / "link").symlink_to(outside)
    (sources / "file").symlink_to(outside / "secret.txt")
    assert SearchTool().execute(pattern="^secret$").output == "No matches found"
    assert len(lines(SearchTool([str(outside)]).execute(pattern="^secret$"))) == 1


def test_files_that_are_no_text_do_not_disturb(sources: Path) -> None:
    (sources / "blob.bin").write_bytes(bytes(range(256)) * 40)
    assert len(lines(SearchTool().execute(pattern="todo"))) == 4


def test_an_empty_folder(project: Path) -> None:
    result = SearchTool().execute(pattern="x")
    assert result.output == "No matches found"
    assert result.metadata["files_searched"] == 0
