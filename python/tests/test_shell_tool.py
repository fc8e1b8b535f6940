"""`shell`: output, exit status, time limit, and the lists of commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentic_executor.tools import ShellTool, ToolRegistry, ToolStatus

pytestmark = pytest.mark.usefixtures("project")


def test_the_output_is_stdout() -> None:
    result = ShellTool().execute(command="echo hello")
    assert result.status is ToolStatus.SUCCESS
    assert result.output == "hello\n"
    assert result.error is None
    assert result.metadata["returncode"] == 0
    assert result.metadata["command"] == "echo hello"


def test_stderr_follows_in_the_output() -> None:
    output = ShellTool().execute(command="echo out; echo err >&2").output
    assert output.startswith("out\n")
    assert "[stderr]: err" in output.split("out\n", 1)[1]


def test_what_a_command_leaves_running_is_named() -> None:
    result = ShellTool().execute(command="sleep 1000 >/dev/null 2>&1 & echo served")
    assert (result.output, result.metadata["left_processes"]) == ("served\n", ["sleep"])
    assert "left_processes" not in ShellTool().execute(command="sleep 0.01 & wait").metadata


def test_another_exit_status_is_an_error_with_stderr() -> None:
    result = ShellTool().execute(command="echo out; echo wrong >&2; exit 3")
    assert result.status is ToolStatus.ERROR
    assert result.metadata["returncode"] == 3
    assert str(result.error).strip() == "wrong"
    assert "out" in result.output


def test_a_command_that_is_not_there() -> None:
    result = ShellTool().execute(command="there-is-no-such-command")
    assert result.status is ToolStatus.ERROR
    assert result.metadata["returncode"] == 127
    assert "there-is-no-such-command" in str(result.error)


def test_past_the_tools_time_limit() -> None:
    result = ShellTool(timeout=1).execute(command="sleep 60")
    assert result.status is ToolStatus.TIMEOUT
    assert result.error == "Command timed out after 1s"


def test_past_the_time_limit_of_the_call() -> None:
    result = ShellTool().execute(command="sleep 60", timeout=1)
    assert result.status is ToolStatus.TIMEOUT
    assert result.error == "Command timed out after 1s"


def test_a_time_limit_that_is_set_later_takes_effect() -> None:
    shell = ShellTool(timeout=60)
    shell.timeout = 1
    assert shell.execute(command="sleep 60").status is ToolStatus.TIMEOUT


def test_what_a_command_writes_is_there_afterwards(project: Path) -> None:
    ShellTool().execute(command="mkdir d && echo hello > d/f.txt")
    assert (project / "d/f.txt").read_text() == "hello\n"


def test_it_runs_in_the_current_folder_of_the_call(project: Path, outside: Path) -> None:
    shell = ShellTool()
    assert shell.execute(command="pwd").output.strip() == str(project)
    os.chdir(outside)
    assert shell.execute(command="pwd").output.strip() == str(outside)


def test_it_runs_in_its_working_dir(outside: Path) -> None:
    shell = ShellTool(working_dir=str(outside))
    assert shell.execute(command="cat secret.txt").output == "secret\n"
    shell.execute(command="echo new > new.txt")
    assert (outside / "new.txt").read_text() == "new\n"


def test_a_working_dir_that_is_set_later_takes_effect(outside: Path) -> None:
    registry = ToolRegistry.default_registry()
    shell = registry.get("shell")
    assert isinstance(shell, ShellTool)
    assert registry.execute("shell", command="cat secret.txt").status is ToolStatus.ERROR
    shell.working_dir = str(outside)
    assert registry.execute("shell", command="cat secret.txt").output == "secret\n"


def test_a_relative_working_dir_is_resolved_at_call_time(project: Path) -> None:
    shell = ShellTool(working_dir="sub")
    (project / "sub").mkdir()
    (project / "deep" / "sub").mkdir(parents=True)
    assert shell.execute(command="pwd").output.strip() == str(project / "sub")
    os.chdir(project / "deep")
    assert shell.execute(command="pwd").output.strip() == str(project / "deep" / "sub")


def test_a_working_dir_that_is_not_there_is_an_error_that_names_it() -> None:
    result = ShellTool(working_dir="nowhere").execute(command="pwd")
    assert result.status is ToolStatus.ERROR
    assert "nowhere" in str(result.error)


@pytest.mark.parametrize(
    "command",
    ["rm -rf /", "rm  -rf   /", "true && rm -rf /", "mkfs", "mkfs /dev/none", "dd if=/dev/zero of=x", "true; mkfs"],
)
def test_blocked_by_default(command: str) -> None:
    result = ShellTool().execute(command=command)
    assert result.status is ToolStatus.PERMISSION_DENIED
    assert result.error


@pytest.mark.parametrize(
    "command",
    ["rm -rf /tmp/x-that-is-not-there", "echo mkfs", "echo 'rm -rf /'", "printf %s 'dd if=x'"],
)
def test_not_blocked_by_default(command: str) -> None:
    assert ShellTool().execute(command=command).status is ToolStatus.SUCCESS


def test_what_is_blocked_does_not_run(project: Path) -> None:
    ShellTool(blocked_commands=["touch"]).execute(command="mkdir before; touch file")
    assert os.listdir(project) == []


def test_other_blocked_commands(project: Path) -> None:
    shell = ShellTool(blocked_commands=["touch"])
    assert shell.execute(command="touch file").status is ToolStatus.PERMISSION_DENIED
    assert shell.execute(command="echo touch").status is ToolStatus.SUCCESS
    shell.blocked_commands = []
    assert shell.execute(command="touch file").status is ToolStatus.SUCCESS
    assert (project / "file").exists()


@pytest.mark.parametrize("command", ["echo hi", "echo 'a; ls'", "echo a && echo b", "echo a; echo b"])
def test_on_the_allow_list(command: str) -> None:
    assert ShellTool(allowed_commands=["echo"]).execute(command=command).status is ToolStatus.SUCCESS


@pytest.mark.parametrize(
    "command",
    ["ls", "echo hi; ls", "echo hi && ls", "echo hi || ls", "echo hi | cat", "echo hi & ls", "echo hi\nls",
     "echo $(ls)", "echo `ls`", "echo \"$(ls)\"", "echo <(ls)", "echo 'unfinished", "(ls)", "if true; then ls; fi",
     "echoes", "./echo"],
)  # fmt: skip
def test_not_on_the_allow_list(command: str) -> None:
    result = ShellTool(allowed_commands=["echo"]).execute(command=command)
    assert result.status is ToolStatus.PERMISSION_DENIED, result


def test_an_allowed_command_of_two_words() -> None:
    shell = ShellTool(allowed_commands=["echo one"])
    assert shell.execute(command="echo one").output == "one\n"
    assert shell.execute(command="echo two").status is ToolStatus.PERMISSION_DENIED


def test_an_empty_allow_list_allows_nothing_and_none_everything() -> None:
    shell = ShellTool(allowed_commands=[])
    assert shell.execute(command="echo hi").status is ToolStatus.PERMISSION_DENIED
    shell.allowed_commands = None
    assert shell.execute(command="echo hi").status is ToolStatus.SUCCESS


def test_blocked_beats_allowed() -> None:
    shell = ShellTool(["echo"], ["echo"])
    assert shell.execute(command="echo hi").status is ToolStatus.PERMISSION_DENIED


def test_the_environment_is_the_sandboxs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET_TOKEN", "geheim")
    assert "geheim" not in ShellTool().execute(command="env").output


def test_the_blocked_list_of_one_tool_is_its_own() -> None:
    first, second = ShellTool(), ShellTool()
    assert first.blocked_commands is not None
    first.blocked_commands.append("echo")
    assert second.execute(command="echo hi").status is ToolStatus.SUCCESS
    assert first.execute(command="echo hi").status is ToolStatus.PERMISSION_DENIED
