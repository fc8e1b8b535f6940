"""Hosts allowed by name, and secrets that code never holds: `SandboxConfig(allow_net=..., secrets=...)`."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentic_executor import AgenticExecutor, ExecutionPlan
from agentic_executor.errors import InvalidTypeError, InvalidValueError
from agentic_executor.sandbox import CodeSandbox, SandboxConfig, SandboxStatus

pytestmark = pytest.mark.usefixtures("project")

SECRET = "s3cret-value-c4d1"


class Server:
    """Answers with the headers that it got, and keeps them."""

    def __init__(self) -> None:
        seen: list[str] = []

        class Echo(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(str(self.headers))
                body = f"hello {self.headers.get('X-Key')}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.seen = seen
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        self.port = self.http.server_address[1]
        self.rule = f"api.test:{self.port}=127.0.0.1"
        self.url = f"http://api.test:{self.port}/v1/a"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def fetch(url: str) -> str:
    return f"import urllib.request\nprint(urllib.request.urlopen({url!r}).read().decode())"


def test_an_allowed_host_is_reached_and_no_other(server: Server) -> None:
    # The blocked imports are those of the default, which lets sockets be where hosts are allowed.
    sandbox = CodeSandbox(SandboxConfig(allow_net=[server.rule]))
    result = sandbox.execute(fetch(server.url))
    assert (result.status, result.stdout) == (SandboxStatus.COMPLETED, "hello None\n")
    result = sandbox.execute(fetch("http://other.test/"))
    assert result.status is SandboxStatus.ERROR
    assert "403" in result.stderr
    (denial,) = [one for one in result.denials if one["control"] == "network_allow_list"]
    assert (denial["rule"], denial["object"]) == ("no rule allows other.test:80", "other.test:80")
    assert denial["how_to_allow"] == 'name the host (--allow-net other.test, allow_net=["other.test"])'
    # Programs stay blocked, and without the rule nothing is reached.
    assert "subprocess" in sandbox.execute("import subprocess").stderr
    assert CodeSandbox(SandboxConfig(blocked_imports=[])).execute(fetch(server.url)).status is SandboxStatus.ERROR
    assert len(server.seen) == 1


def test_a_secret_arrives_and_is_nowhere_inside(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", SECRET)
    config = SandboxConfig(allow_net=[server.rule], secrets=[f"X-Key=env:API_KEY@http://api.test:{server.port}/v1"])
    code = fetch(server.url) + "\nimport os; print('held', any('s3cret' in v for v in os.environ.values()))"
    result = CodeSandbox(config).execute(code)
    assert result.stdout == f"hello {'*' * len(SECRET)}\nheld False\n", result
    assert f"x-key: {SECRET}" in server.seen[0].lower()
    # The value is read at each call.
    monkeypatch.setenv("API_KEY", "another-value")
    assert CodeSandbox(config).execute(code).stdout.startswith(f"hello {'*' * len('another-value')}\n")


def test_a_budget_holds(server: Server) -> None:
    code = f"""
import urllib.request
for n in range(100):
    try: urllib.request.urlopen({server.url!r}).read()
    except OSError: print('cut'); break
"""
    assert CodeSandbox(SandboxConfig(allow_net=[server.rule], max_net=0.002)).execute(code).stdout == "cut\n"
    assert CodeSandbox(SandboxConfig(allow_net=[server.rule], max_net=5)).execute(code).stdout == ""


def test_steps_of_a_plan_reach_it_too(server: Server, project: Path) -> None:
    executor = AgenticExecutor(sandbox_config=SandboxConfig(allow_net=[server.rule]))
    (project / "fetch.py").write_text(fetch(server.url))
    plan = ExecutionPlan("fetch")
    plan.add_step("shell", {"command": "python3 fetch.py"}, "As a command")
    result = executor.execute_plan(plan)
    assert result.success, result
    assert executor.execute_code(fetch(server.url), "As code").success
    assert len(server.seen) == 2


def test_the_guides_program_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "network.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    exec(program, {})
    assert capsys.readouterr().out == "".join(f"{said}\n" for said in re.findall(r"  # (.*)", program))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"allow_net": ["https://api.test"]}, "allow_net: `https://api.test`: a rule is HOST"),
        ({"allow_net": ["127.1"]}, "allow_net: `127.1` is an address in a spelling"),
        ({"allow_net": ["api.test"], "network": "host"}, "allow_net: opens these hosts and nothing else"),
        ({"allow_net": ["api.test"], "profile": "strict"}, "the profile `strict` answers no socket"),
        ({"allow_net": ["api.test"], "blocked_imports": ["socket"]}, 'blocked_imports has "socket"'),
        ({"allow_net": ["api.test"], "allowed_imports": ["json"]}, "allowed_imports names no module"),
        ({"secrets": ["X=env:API_KEY@http://api.test"]}, "secrets: is for hosts that are allowed"),
        ({"tls_terminate": ["api.test"]}, "tls_terminate: is for hosts that are allowed"),
        ({"trust_ca": "/etc/hosts"}, "trust_ca: is for hosts that are allowed"),
        ({"max_net": 1}, "max_net: is for hosts that are allowed"),
        ({"allow_net": ["api.test"], "max_net": 0}, "max_net: must be from"),
        ({"allow_net": ["api.test"], "trust_ca": "/etc/hosts"}, "it holds no certificate"),
        ({"allow_net": ["api.test"], "tls_terminate": ["b.test"]}, "tls_terminate: `b.test`"),
        ({"allow_net": ["api.test"], "secrets": ["X=env:NO_SUCH@http://api.test"]}, "NO_SUCH, which is not set"),
        ({"allow_net": ["api.test"], "secrets": ["X=env:API_KEY@api.test"]}, "TLS that is not opened"),
        ({"allow_net": ["api.test"], "secrets": [f"X={SECRET}@http://api.test"]}, "the value itself is not typed"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    fields: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", SECRET)
    with pytest.raises(InvalidValueError) as refused:
        SandboxConfig(**fields)
    assert why in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_field_of_the_wrong_type_is_refused_by_name() -> None:
    wrong = {"allow_net": "api.test", "secrets": [1], "tls_terminate": 1, "trust_ca": 1, "max_net": "1"}
    for field, value in wrong.items():
        with pytest.raises(InvalidTypeError, match=field):
            SandboxConfig(**{field: value})  # type: ignore[arg-type]


def test_what_was_set_later_is_refused_when_it_is_used(tmp_path: Path) -> None:
    sandbox = CodeSandbox(SandboxConfig())
    sandbox.config.allow_net = ["api.test"]
    with pytest.raises(InvalidValueError, match="blocked_imports has"):
        sandbox.execute("print(1)")
    sandbox.config.blocked_imports = []
    assert sandbox.execute("print(1)").stdout == "1\n"
