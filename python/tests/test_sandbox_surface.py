"""`agentic_executor.sandbox`: configuration, results, `CodeSandbox`."""

from __future__ import annotations

import enum
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentic_executor.sandbox import CodeSandbox, SandboxConfig, SandboxResult, SandboxStatus

BLOCKED = ["os.system", "subprocess", "socket", "requests", "urllib", "ftplib", "telnetlib", "smtplib"]


@pytest.mark.parametrize("name", ["READY", "RUNNING", "COMPLETED", "TIMEOUT", "ERROR", "MEMORY_EXCEEDED"])
def test_a_status_has_its_lower_case_name_as_value(name: str) -> None:
    assert isinstance(SandboxStatus[name], enum.Enum)
    assert SandboxStatus[name].value == name.lower()


def test_there_are_six_statuses() -> None:
    assert len(SandboxStatus) == 6


def test_the_defaults_of_a_config() -> None:
    config = SandboxConfig()
    assert config.timeout_seconds == 30
    assert config.max_memory_mb == 256
    assert config.max_output_bytes == 1048576
    assert config.allowed_imports is None
    assert config.blocked_imports == BLOCKED
    assert config.working_dir is None
    assert config.cleanup_on_exit is True


def test_every_control_that_the_engine_knows_can_be_given_up_by_name() -> None:
    from agentic_executor import _native, _sandbox_form

    sandbox = {**_sandbox_form.sandbox_dict(SandboxConfig()), "allow_degraded": ["no_control"]}
    with pytest.raises(ValueError, match="no_control") as refused:
        _native.check_sandbox(sandbox, {})
    unknown, *known = re.findall("`([a-z_]+)`", str(refused.value))
    assert unknown == "no_control"
    assert "network_proxy" in known
    assert SandboxConfig(allow_degraded=known).allow_degraded == known
    with pytest.raises(ValueError, match=r"allow_degraded\[0\]"):
        SandboxConfig(allow_degraded=["no_control"])


def test_the_blocked_imports_of_a_config_are_its_own() -> None:
    SandboxConfig().blocked_imports.append("math")
    assert SandboxConfig().blocked_imports == BLOCKED


def test_a_config_by_position_and_by_keyword() -> None:
    by_position = SandboxConfig(5, 64, 100, ["math"], ["os"], "/tmp", False)
    by_keyword = SandboxConfig(
        timeout_seconds=5, max_memory_mb=64, max_output_bytes=100, allowed_imports=["math"], blocked_imports=["os"],
        working_dir="/tmp", cleanup_on_exit=False,
    )  # fmt: skip
    assert by_position == by_keyword
    assert (by_position.timeout_seconds, by_position.max_memory_mb, by_position.max_output_bytes) == (5, 64, 100)
    assert (by_position.allowed_imports, by_position.blocked_imports) == (["math"], ["os"])
    assert (by_position.working_dir, by_position.cleanup_on_exit) == ("/tmp", False)


def test_a_result_by_position_and_by_keyword() -> None:
    by_position = SandboxResult(SandboxStatus.ERROR, "out", "err", 3, 1.5, 2.5)
    by_keyword = SandboxResult(
        status=SandboxStatus.ERROR, stdout="out", stderr="err", return_value=3, execution_time=1.5, memory_used_mb=2.5
    )
    assert by_position == by_keyword
    as_dict = by_position.to_dict()
    expected = {
        "status": "error",
        "stdout": "out",
        "stderr": "err",
        "return_value": 3,
        "execution_time": 1.5,
        "memory_used_mb": 2.5,
    }
    assert {key: as_dict[key] for key in expected} == expected


def test_the_defaults_of_a_result() -> None:
    result = SandboxResult(SandboxStatus.COMPLETED, "", "")
    assert (result.return_value, result.execution_time, result.memory_used_mb) == (None, 0.0, 0.0)


def test_it_runs_code() -> None:
    with CodeSandbox() as sandbox:
        result = sandbox.execute("import sys; print('out'); print('err', file=sys.stderr)")
    assert isinstance(result, SandboxResult)
    assert result.status is SandboxStatus.COMPLETED
    assert result.stdout == "out\n"
    assert result.stderr == "err\n"
    assert result.execution_time > 0
    assert result.memory_used_mb > 0


def test_with_answers_the_sandbox_itself() -> None:
    sandbox = CodeSandbox()
    with sandbox as entered:
        assert entered is sandbox


def test_the_config_is_kept() -> None:
    config = SandboxConfig()
    assert CodeSandbox(config).config is config
    assert CodeSandbox(config=config).config is config
    assert CodeSandbox().config == SandboxConfig()


def test_it_runs_without_with() -> None:
    assert CodeSandbox().execute("print(1)").stdout == "1\n"


def test_the_interpreter_is_the_callers_own() -> None:
    result = CodeSandbox().execute("import sys; print(sys.version); print(sys.prefix)")
    assert result.stdout == f"{sys.version}\n{sys.prefix}\n"


def test_the_interpreter_may_have_been_started_by_a_crooked_path(project: Path) -> None:
    crooked = os.path.join(os.path.dirname(sys.executable), "..", "bin", os.path.basename(sys.executable))
    if not os.path.exists(crooked):
        pytest.skip(f"{sys.executable} lies in no folder `bin`")
    code = "from agentic_executor import CodeSandbox; print(CodeSandbox().execute('print(1)'))"
    for path in (crooked, os.path.relpath(sys.executable)):
        ran = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=60)
        assert "COMPLETED" in ran.stdout, ran.stdout + ran.stderr


def test_code_that_raises() -> None:
    result = CodeSandbox().execute("def f():\n    raise ValueError('boom')\nprint('before')\nf()\n")
    assert result.status is SandboxStatus.ERROR
    assert result.stdout == "before\n"
    assert "Traceback (most recent call last)" in result.stderr
    assert "line 2, in f" in result.stderr
    assert "ValueError: boom" in result.stderr


def test_code_that_is_no_python() -> None:
    result = CodeSandbox().execute("def f(:\n")
    assert result.status is SandboxStatus.ERROR
    assert "SyntaxError" in result.stderr


def test_code_that_exits() -> None:
    assert CodeSandbox().execute("import sys; sys.exit(0)").status is SandboxStatus.COMPLETED
    assert CodeSandbox().execute("import sys; sys.exit(3)").status is SandboxStatus.ERROR


def test_a_time_limit() -> None:
    result = CodeSandbox(SandboxConfig(timeout_seconds=1)).execute("print('first', flush=True)\nwhile True: pass")
    assert result.status is SandboxStatus.TIMEOUT
    assert result.stdout == "first\n"


def test_a_limit_that_is_set_later_takes_effect() -> None:
    sandbox = CodeSandbox()
    sandbox.config.timeout_seconds = 1
    assert sandbox.execute("while True: pass").status is SandboxStatus.TIMEOUT
    sandbox.config = SandboxConfig(blocked_imports=["math"])
    assert sandbox.execute("import math").status is SandboxStatus.ERROR
    sandbox.config.blocked_imports.remove("math")
    assert sandbox.execute("import math").status is SandboxStatus.COMPLETED


def test_a_memory_limit() -> None:
    code = "x = bytearray(200 << 20)\nprint(len(x))"
    assert CodeSandbox(SandboxConfig(max_memory_mb=64)).execute(code).status is SandboxStatus.MEMORY_EXCEEDED
    assert CodeSandbox(SandboxConfig(max_memory_mb=512)).execute(code).status is SandboxStatus.COMPLETED


@pytest.mark.parametrize("code", ["import subprocess", "from urllib import request", "import os; os.system('true')"])
def test_a_blocked_import(code: str) -> None:
    result = CodeSandbox().execute(code)
    assert result.status is SandboxStatus.ERROR
    assert "Blocked import" in result.stderr
    name = "os.system" if "os.system" in code else code.split()[1]
    assert name in result.stderr
    assert CodeSandbox(SandboxConfig(blocked_imports=[])).execute(code).status is SandboxStatus.COMPLETED


def test_a_word_in_a_text_is_no_import() -> None:
    result = CodeSandbox().execute("# import subprocess\nprint('import socket')")
    assert result.status is SandboxStatus.COMPLETED
    assert result.stdout == "import socket\n"


def test_allowed_imports() -> None:
    sandbox = CodeSandbox(SandboxConfig(allowed_imports=["math"]))
    assert sandbox.execute("import math; print(math.sqrt(4))").stdout == "2.0\n"
    result = sandbox.execute("import json")
    assert result.status is SandboxStatus.ERROR
    assert "json" in result.stderr


def test_output_past_the_limit_is_its_head() -> None:
    result = CodeSandbox(SandboxConfig(max_output_bytes=1000)).execute("for i in range(10000): print(i)")
    assert result.stdout.startswith("0\n1\n2\n")
    assert result.stdout.rstrip("\n").endswith("[OUTPUT TRUNCATED]")
    assert len(result.stdout) < 1100


def test_output_up_to_the_limit_is_whole() -> None:
    result = CodeSandbox(SandboxConfig(max_output_bytes=1000)).execute("print('x' * 999)")
    assert result.stdout == "x" * 999 + "\n"


def test_a_file_is_run(project: Path) -> None:
    (project / "script.py").write_text("print(__name__)\n")
    for path in ("script.py", str(project / "script.py"), project / "script.py"):
        assert CodeSandbox().execute_file(path).stdout == "__main__\n"


def test_a_file_that_is_not_there(project: Path) -> None:
    result = CodeSandbox().execute_file("missing.py")
    assert result.status is SandboxStatus.ERROR
    assert result.stderr.startswith("File not found: ")
    assert "missing.py" in result.stderr


def test_a_working_dir(outside: Path) -> None:
    sandbox = CodeSandbox(SandboxConfig(working_dir=str(outside)))
    assert sandbox.execute("print(open('secret.txt').read())").stdout == "secret\n\n"
    sandbox.execute("open('new.txt', 'w').write('new')")
    assert (outside / "new.txt").read_text() == "new"


def test_without_one_the_folder_is_private_and_kept_between_calls(project: Path) -> None:
    (project / "mine.txt").write_text("mine")
    with CodeSandbox() as sandbox:
        assert sandbox.execute("open('kept.txt', 'w').write('kept')").status is SandboxStatus.COMPLETED
        assert sandbox.execute("print(open('kept.txt').read())").stdout == "kept\n"
        assert sandbox.execute("import os; print(os.listdir())").stdout == "['kept.txt']\n"
    assert os.listdir(project) == ["mine.txt"]
    assert CodeSandbox().execute("import os; print(os.listdir())").stdout == "[]\n"


@pytest.mark.parametrize("cleanup", [True, False])
def test_the_private_folder_lives_until_exit(cleanup: bool) -> None:
    with CodeSandbox(SandboxConfig(cleanup_on_exit=cleanup)) as sandbox:
        result = sandbox.execute("import os; open('kept.txt', 'w').write('kept'); print(os.getcwd())")
        folder = Path(result.stdout.strip())
        assert (folder / "kept.txt").read_text() == "kept"
    assert folder.exists() is not cleanup
    assert sandbox.execute("import os; print(os.listdir())").stdout == "[]\n"
    shutil.rmtree(folder, ignore_errors=True)
