"""The enclosure, seen from Python: each denial beside the same action where it is allowed."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import probes
from agentic_executor import AgenticExecutor, doctor
from agentic_executor.sandbox import CodeSandbox, SandboxConfig, SandboxResult, SandboxStatus
from agentic_executor.tools import ToolRegistry

pytestmark = pytest.mark.usefixtures("project")


def run(code: str, **config: Any) -> SandboxResult:
    config.setdefault("blocked_imports", [])
    return CodeSandbox(SandboxConfig(**config)).execute(code)


def output(code: str, **config: Any) -> str:
    result = run(code, **config)
    assert result.status is SandboxStatus.COMPLETED, result
    return result.stdout.strip()


def test_a_file_of_the_host_is_absent_unless_it_is_named(outside: Path) -> None:
    code = f"print(open({str(outside / 'secret.txt')!r}).read())"
    assert "FileNotFoundError" in run(code).stderr
    assert output(code, read_only=[str(outside)]) == "secret"
    assert output(code, read_write=[str(outside)]) == "secret"
    assert output(code, working_dir=str(outside)) == "secret"


def test_the_home_folder_is_absent() -> None:
    key = Path.home() / ".ssh" / "id_test"
    key.parent.mkdir(exist_ok=True)
    key.write_text("PRIVATE")
    code = f"print(open({str(key)!r}).read())"
    assert "FileNotFoundError" in run(code).stderr
    assert output(code, read_only=[str(key.parent)]) == "PRIVATE"


def test_read_only_is_not_writable_and_read_write_is(outside: Path) -> None:
    code = f"open({str(outside / 'new.txt')!r}, 'w').write('new')"
    assert "OSError" in run(code, read_only=[str(outside)]).stderr
    assert not (outside / "new.txt").exists()
    assert run(code, read_write=[str(outside)]).status is SandboxStatus.COMPLETED
    assert (outside / "new.txt").read_text() == "new"


def test_a_hidden_path_is_absent_in_a_folder_that_is_shown(outside: Path) -> None:
    (outside / "plain.txt").write_text("plain\n")
    code = "import os; print(sorted(os.listdir()))"
    assert output(code, working_dir=str(outside)) == "['plain.txt', 'secret.txt']"
    assert output(code, working_dir=str(outside), hide=[str(outside / "secret.txt")]) == "['plain.txt']"


def test_what_failed_code_wrote_is_dropped(outside: Path) -> None:
    code = "open('new.txt', 'w').write('new')"
    assert run(code + "\nraise ValueError", working_dir=str(outside)).status is SandboxStatus.ERROR
    assert not (outside / "new.txt").exists()
    assert run(code, working_dir=str(outside)).status is SandboxStatus.COMPLETED
    assert (outside / "new.txt").exists()


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server on the host's loopback that says hello."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                with connection:
                    connection.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join()


def test_the_network_is_out_of_reach_unless_granted(server: int) -> None:
    code = f"import socket; print(socket.create_connection(('127.0.0.1', {server}), 5).recv(9))"
    assert output(code, network="host") == "b'hello'"
    refused = run(code)
    assert refused.status is SandboxStatus.ERROR
    assert "OSError" in refused.stderr or "ConnectionRefusedError" in refused.stderr


@pytest.mark.parametrize("code", [
    "import subprocess; print(subprocess.run(['true']).returncode)",
    "print(__import__('subprocess').run(['true']).returncode)",
    "import importlib; print(importlib.import_module('subprocess').run(['true']).returncode)",
    "exec('import subprocess'); print(subprocess.run(['true']).returncode)",
])  # fmt: skip
def test_a_blocked_import_is_refused_by_whatever_way(code: str) -> None:
    result = run(code, blocked_imports=["subprocess"])
    assert result.status is SandboxStatus.ERROR
    assert "Blocked import" in result.stderr and "subprocess" in result.stderr
    assert output(code) == "0"


def test_what_a_blocked_import_stands_for_is_closed_below_python() -> None:
    code = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "argv = (ctypes.c_char_p * 2)(b'/bin/true', None)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    libc.execv(b'/bin/true', argv)\n"
        "    os._exit(ctypes.get_errno())\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert output(code) == "0"
    assert output(code, blocked_imports=["subprocess"]) == "1"


def test_a_socket_is_closed_below_python_too() -> None:
    code = "import _socket; print(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM).family)"
    assert output(code) == "2"
    assert run(code, blocked_imports=["socket"]).status is SandboxStatus.ERROR
    errno_97 = "import ctypes; print(ctypes.CDLL(None).socket(2, 1, 0) >= 0)"
    assert output(errno_97) == "True"
    assert output(errno_97, blocked_imports=["socket"]) == "False"


def test_a_blocked_import_can_be_caught() -> None:
    code = "try:\n    import subprocess\nexcept ImportError as error:\n    print(error)"
    assert "Blocked import" in output(code, blocked_imports=["subprocess"])


def test_memory_is_bounded_for_the_whole_tree() -> None:
    code = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        held = b'x' * (60 << 20)\n"
        "        time.sleep(3)\n"
        "        os._exit(0)\n"
        "time.sleep(1)\n"
        "print('alive')\n"
    )
    assert output(code, max_memory_mb=512) == "alive"
    assert run(code, max_memory_mb=128).status is SandboxStatus.MEMORY_EXCEEDED


def test_cpu_time_is_bounded() -> None:
    code = "import time\nend = time.process_time() + 2\nwhile time.process_time() < end: pass\nprint('done')"
    assert output(code, cpu_seconds=30) == "done"
    result = run(code, cpu_seconds=1)
    assert result.status in (SandboxStatus.TIMEOUT, SandboxStatus.ERROR)
    assert any("cpu" in limit for limit in result.limits_hit), result


def test_processes_are_bounded() -> None:
    code = (
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    for _ in range(30):\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(5); os._exit(0)\n"
        "        made += 1\n"
        "except OSError:\n"
        "    pass\n"
        "print(made)\n"
    )
    assert output(code) == "30"
    assert int(output(code, max_processes=10)) < 10


def test_open_files_are_bounded() -> None:
    code = "files = [open('/dev/null') for _ in range(100)]\nprint(len(files))"
    assert output(code) == "100"
    assert "Too many open files" in run(code, max_open_files=50).stderr


def test_disk_is_bounded() -> None:
    # The layer is walked now and then, and once more when the program is gone; the scratch space is bounded at once.
    for path in ("big", "/tmp/big"):
        code = (
            f"with open({path!r}, 'wb') as file:\n"
            "    for _ in range(40):\n"
            "        file.write(b'x' * (1 << 20)); file.flush()\n"
            "print('written')\n"
        )
        assert output(code) == "written"
        result = run(code, max_disk_mb=10)
        assert result.status is SandboxStatus.ERROR, result
        assert result.limits_hit == ["disk"]


def test_a_files_size_is_bounded() -> None:
    code = "with open('big', 'wb') as file: file.write(b'x' * (8 << 20))\nprint('written')"
    assert output(code) == "written"
    result = run(code, max_file_size_mb=4)
    assert result.status is not SandboxStatus.COMPLETED, result


def test_output_is_kept_head_and_tail() -> None:
    code = "for n in range(100000): print(n)"
    whole = run(code)
    assert (whole.truncated, whole.stdout_tail) == (False, "")
    assert whole.stdout.endswith("99999\n")
    cut = run(code, max_output_bytes=2000)
    assert cut.truncated is True
    assert cut.stdout.startswith("0\n1\n")
    assert cut.stdout.rstrip().endswith("[OUTPUT TRUNCATED]")
    assert cut.stdout_tail.endswith("99999\n")
    assert cut.status is SandboxStatus.COMPLETED


def test_standard_error_has_its_own_limit() -> None:
    cut = run("import sys\nfor n in range(10000): print(n, file=sys.stderr)\nprint('out')", max_output_bytes=1000)
    assert cut.stdout == "out\n"
    assert cut.stderr.startswith("0\n1\n")
    assert cut.stderr_tail.endswith("9999\n")


def test_the_environment_is_what_the_config_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET_TOKEN", "geheim")
    code = "import os; print(os.environ.get('SOME_SECRET_TOKEN'), os.environ.get('GIVEN'))"
    assert output(code) == "None None"
    assert output(code, env={"GIVEN": "yes"}) == "None yes"
    assert output(code, env={"SOME_SECRET_TOKEN": os.environ["SOME_SECRET_TOKEN"]}) == "geheim None"


def test_dotenv_files_are_shown_on_request_only(outside: Path) -> None:
    (outside / ".env").write_text("KEY=geheim")
    code = "import os; print(os.path.exists('.env') and open('.env').read())"
    assert output(code, working_dir=str(outside)) == "False"
    assert output(code, working_dir=str(outside), dotenv=True) == "KEY=geheim"


def test_no_process_outlives_a_run(new_name: Any) -> None:
    name = new_name()
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    open('/proc/self/comm', 'w').write({name!r})\n"
        "    os.close(0); os.close(1); os.close(2)\n"
        "    time.sleep(600)\n"
        "time.sleep(float(sys.argv[1]))\n"
    )
    sandbox = CodeSandbox()
    thread = threading.Thread(target=lambda: sandbox.execute(code, args=["2"]))
    thread.start()
    # The control: while the run lasts, the daemon is there to be seen.
    assert probes.until(lambda: probes.named(name))
    thread.join()
    assert not probes.named(name)


def test_it_sees_no_other_process() -> None:
    assert int(output("import os; print(sum(name.isdigit() for name in os.listdir('/proc')))")) <= 3


def test_standard_input_and_arguments_are_passed() -> None:
    with CodeSandbox() as sandbox:
        result = sandbox.execute("import sys; print(sys.stdin.read(), sys.argv[1:])", stdin="given", args=["a", "b c"])
        assert result.stdout == "given ['a', 'b c']\n"
        assert sandbox.execute("import sys; print(repr(sys.stdin.read()), sys.argv[1:])").stdout == "'' []\n"


def test_bash_runs_too() -> None:
    result = CodeSandbox(SandboxConfig(blocked_imports=[])).execute(
        "echo $((6 * 7)) ${BASH_VERSION:+bash}", language="bash"
    )
    assert result.stdout == "42 bash\n"
    assert AgenticExecutor().execute_code("echo hi", language="bash").steps[0].result.output == "hi\n"  # type: ignore[union-attr]


def test_a_result_tells_what_was_enforced_and_spent() -> None:
    result = run("x = b'x' * (40 << 20)")
    assert result.enforced
    assert all(control.state in ("active", "degraded", "off") for control in result.enforced.values())
    assert all((control.reason is None) == (control.state == "active") for control in result.enforced.values())
    assert result.usage is not None
    assert result.usage.peak_memory > 40 << 20
    assert result.memory_used_mb > 40
    assert result.usage.wall > 0 and result.usage.user + result.usage.system > 0


def test_tools_tell_it_too() -> None:
    result = ToolRegistry.default_registry().execute("shell", command="true")
    assert result.enforced and result.usage is not None
    assert ToolRegistry.default_registry().execute("file_write", path="a", content="b").cause is None


def test_the_user_inside_has_no_power() -> None:
    code = "print(next(line for line in open('/proc/self/status') if line.startswith('CapEff')).split()[1])"
    assert int(output(code), 16) == 0
    assert "PermissionError" in run("import os; os.chroot('/')").stderr


def test_doctor_knows_this_host() -> None:
    report = doctor()
    assert report.ok, str(report)
    assert report.tier in ("A", "A'")
    assert report.kernel == os.uname().release
    assert report.enforced


def test_what_runs_later_outside_is_refused_unless_allowed(outside: Path) -> None:
    code = "import os; os.makedirs('.vscode'); open('.vscode/tasks.json', 'w').write('{}'); print('done')"
    refused = run(code, working_dir=str(outside))
    assert refused.status is not SandboxStatus.COMPLETED
    assert not (outside / ".vscode").exists()
    assert output(code, working_dir=str(outside), allow_persist=[".vscode"]) == "done"
    assert (outside / ".vscode" / "tasks.json").exists()
