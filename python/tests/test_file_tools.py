"""`file_read` and `file_write`: what they answer, and that they stay inside their allowed paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentic_executor.tools import FileReadTool, FileWriteTool, ToolRegistry, ToolResult, ToolStatus


def reads(result: ToolResult, text: str) -> bool:
    assert result.status is ToolStatus.SUCCESS, result
    return result.output == text


def denied(result: ToolResult) -> bool:
    assert result.status is ToolStatus.PERMISSION_DENIED, result
    assert result.error
    return "secret" not in str(result.output)


def test_reads_a_file_and_says_its_path_and_size(project: Path) -> None:
    (project / "a.txt").write_text("hello\n")
    result = FileReadTool().execute(path="a.txt")
    assert reads(result, "hello\n")
    assert result.error is None
    assert os.path.basename(result.metadata["path"]) == "a.txt"
    assert result.metadata["size"] == 6


@pytest.mark.parametrize("as_type", [str, Path])
def test_an_absolute_path_of_either_type_is_read(project: Path, as_type: type) -> None:
    (project / "a.txt").write_text("hello")
    assert reads(FileReadTool().execute(path=as_type(project / "a.txt")), "hello")
    assert reads(FileReadTool([as_type(project)]).execute(path="a.txt"), "hello")


def test_reads_another_encoding(project: Path) -> None:
    (project / "a.txt").write_bytes("grün".encode("latin-1"))
    assert reads(FileReadTool().execute(path="a.txt", encoding="latin-1"), "grün")


def test_what_cannot_be_decoded_is_an_error(project: Path) -> None:
    (project / "a.txt").write_bytes(b"\xff\xfe\xfa")
    result = FileReadTool().execute(path="a.txt")
    assert result.status is ToolStatus.ERROR
    assert result.error


def test_an_unknown_encoding_is_an_error_that_names_it(project: Path) -> None:
    (project / "a.txt").write_text("x")
    result = FileReadTool().execute(path="a.txt", encoding="klingon")
    assert result.status is ToolStatus.ERROR
    assert "klingon" in str(result.error)


def test_no_such_file(project: Path) -> None:
    result = FileReadTool().execute(path="missing.txt")
    assert result.status is ToolStatus.ERROR
    assert str(result.error).startswith("File not found: ")
    assert str(result.error).splitlines()[0].endswith("missing.txt")


def test_a_folder_is_no_file(project: Path) -> None:
    (project / "folder").mkdir()
    assert FileReadTool().execute(path="folder").status is ToolStatus.ERROR


def test_a_missing_path_is_named(project: Path) -> None:
    result = ToolRegistry.default_registry().execute("file_read")
    assert result.status is ToolStatus.ERROR
    assert result.error == "Missing required parameter: path"
    assert result.metadata["pointer"] == "/path"


def test_outside_the_current_folder_is_denied(project: Path, outside: Path) -> None:
    assert denied(FileReadTool().execute(path=str(outside / "secret.txt")))
    assert reads(FileReadTool([str(outside)]).execute(path=str(outside / "secret.txt")), "secret\n")


def test_dots_do_not_get_out(project: Path, outside: Path) -> None:
    assert denied(FileReadTool().execute(path=f"../{outside.name}/secret.txt"))
    assert denied(FileReadTool([str(project)]).execute(path=f"{project}/../{outside.name}/secret.txt"))


def test_a_folder_whose_name_begins_the_same_is_outside(project: Path, outside: Path) -> None:
    assert str(outside).startswith(str(project))
    assert denied(FileReadTool([str(project)]).execute(path=str(outside / "secret.txt")))


def test_a_symlink_does_not_get_out(project: Path, outside: Path) -> None:
    (project / "link").symlink_to(outside / "secret.txt")
    (project / "folder").symlink_to(outside)
    for path in ("link", "folder/secret.txt"):
        result = FileReadTool([str(project)]).execute(path=path)
        assert denied(result)


def test_a_symlink_that_stays_inside_is_followed(project: Path) -> None:
    (project / "a.txt").write_text("hello")
    (project / "link").symlink_to("a.txt")
    assert reads(FileReadTool().execute(path="link"), "hello")


def test_each_of_several_allowed_paths_counts(project: Path, outside: Path, tmp_path: Path) -> None:
    (project / "a.txt").write_text("hello")
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "c.txt").write_text("third")
    tool = FileReadTool([str(project), str(outside)])
    assert reads(tool.execute(path=str(project / "a.txt")), "hello")
    assert reads(tool.execute(path=str(outside / "secret.txt")), "secret\n")
    assert denied(tool.execute(path=str(tmp_path / "third" / "c.txt")))


def test_allowed_paths_that_are_set_later_take_effect(project: Path, outside: Path) -> None:
    tool = FileReadTool()
    assert denied(tool.execute(path=str(outside / "secret.txt")))
    tool.allowed_paths = [str(outside)]
    assert reads(tool.execute(path=str(outside / "secret.txt")), "secret\n")
    tool.allowed_paths = [str(project)]
    assert denied(tool.execute(path=str(outside / "secret.txt")))


def test_an_allowed_path_that_is_appended_takes_effect(project: Path, outside: Path) -> None:
    tool = FileReadTool([str(project)])
    assert denied(tool.execute(path=str(outside / "secret.txt")))
    assert tool.allowed_paths is not None
    tool.allowed_paths.append(str(outside))
    assert reads(tool.execute(path=str(outside / "secret.txt")), "secret\n")


@pytest.mark.parametrize("allowed", [None, ["."]])
def test_relative_paths_are_resolved_at_call_time(project: Path, outside: Path, allowed: list[str] | None) -> None:
    tool = FileReadTool(allowed)
    os.chdir(outside)
    assert reads(tool.execute(path="secret.txt"), "secret\n")
    os.chdir(project)
    assert tool.execute(path="secret.txt").status is ToolStatus.ERROR


def test_writes_a_file_and_says_path_size_and_mode(project: Path) -> None:
    result = FileWriteTool().execute(path="a.txt", content="hello\n")
    assert result.status is ToolStatus.SUCCESS
    assert (project / "a.txt").read_text() == "hello\n"
    assert os.path.basename(result.metadata["path"]) == "a.txt"
    assert result.metadata["size"] == 6
    assert result.metadata["mode"] == "overwrite"


def test_overwrites_and_appends(project: Path) -> None:
    tool = FileWriteTool()
    tool.execute(path="a.txt", content="one\n")
    assert tool.execute(path="a.txt", content="two\n").status is ToolStatus.SUCCESS
    assert (project / "a.txt").read_text() == "two\n"
    result = tool.execute(path="a.txt", content="three\n", mode="append")
    assert result.metadata["mode"] == "append"
    assert (project / "a.txt").read_text() == "two\nthree\n"


def test_append_makes_the_file(project: Path) -> None:
    FileWriteTool().execute(path="a.txt", content="one", mode="append")
    assert (project / "a.txt").read_text() == "one"


def test_parent_folders_are_made(project: Path) -> None:
    assert FileWriteTool().execute(path="a/b/c.txt", content="deep").status is ToolStatus.SUCCESS
    assert (project / "a/b/c.txt").read_text() == "deep"


def test_text_is_written_as_it_is(project: Path) -> None:
    text = "grün\r\n\tΩ \U0001f600\n\nno newline at the end"
    FileWriteTool().execute(path="a.txt", content=text)
    assert (project / "a.txt").read_bytes() == text.encode()
    assert reads(FileReadTool().execute(path="a.txt"), text)


def test_an_empty_file_is_written(project: Path) -> None:
    assert FileWriteTool().execute(path="a.txt", content="").status is ToolStatus.SUCCESS
    assert (project / "a.txt").read_bytes() == b""


def test_another_mode_is_refused_by_name(project: Path) -> None:
    result = FileWriteTool().execute(path="a.txt", content="x", mode="prepend")
    assert result.status is ToolStatus.ERROR
    assert "mode" in str(result.error)
    assert not (project / "a.txt").exists()


def test_writing_outside_is_denied_and_writes_nothing(project: Path, outside: Path) -> None:
    (project / "folder").symlink_to(outside)
    (project / "link").symlink_to(outside / "secret.txt")
    for path in (str(outside / "new.txt"), f"../{outside.name}/new.txt", "folder/new.txt", "link"):
        assert denied(FileWriteTool([str(project)]).execute(path=path, content="broken"))
    assert sorted(os.listdir(outside)) == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == "secret\n"
    tool = FileWriteTool([str(outside)])
    assert tool.execute(path=str(outside / "new.txt"), content="allowed").status is ToolStatus.SUCCESS
    assert (outside / "new.txt").read_text() == "allowed"


def test_paths_of_the_write_tool_that_are_set_later_take_effect(project: Path, outside: Path) -> None:
    tool = FileWriteTool()
    tool.allowed_paths = [str(outside)]
    assert tool.execute(path=str(outside / "new.txt"), content="x").status is ToolStatus.SUCCESS
    assert denied(tool.execute(path=str(project / "new.txt"), content="x"))
