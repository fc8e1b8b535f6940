"""`install_package`: refused without network; with it, pip asks the index that the host is configured for."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import os
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentic_executor.sandbox import CodeSandbox, SandboxConfig, SandboxStatus

pytestmark = pytest.mark.usefixtures("project")

NAME = "agentic_tiny"


def wheel() -> bytes:
    """A wheel with one module that answers 42."""
    files = {
        f"{NAME}.py": "answer = 42\n",
        f"{NAME}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n",
        f"{NAME}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(text)}")
    files[f"{NAME}-1.0.dist-info/RECORD"] = "\n".join([*record, f"{NAME}-1.0.dist-info/RECORD,,", ""])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for path, text in files.items():
            zipped.writestr(path, text)
    return archive.getvalue()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a package index on the loopback, which pip is configured for, was asked."""
    requests: list[str] = []
    file = f"{NAME}-1.0-py3-none-any.whl"
    pages = {f"/simple/{NAME.replace('_', '-')}/": f'<a href="/{file}">{file}</a>'.encode(), f"/{file}": wheel()}

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            page = pages.get(self.path)
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/zip")
            self.send_header("Content-Length", str(len(page or b"")))
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_address[1]}/simple/")
        monkeypatch.setenv("PIP_RETRIES", "0")
        yield requests
        server.shutdown()
        thread.join()


def granted() -> CodeSandbox:
    return CodeSandbox(SandboxConfig(network="host"))


def test_without_network_it_is_refused_and_says_what_would_help(asked: list[str]) -> None:
    result = CodeSandbox().install_package(NAME)
    assert result.status is SandboxStatus.ERROR
    assert "network" in result.stderr
    assert asked == []


def test_with_network_it_can_be_imported_afterwards(asked: list[str]) -> None:
    with granted() as sandbox:
        assert sandbox.execute(f"import {NAME}").status is SandboxStatus.ERROR
        result = sandbox.install_package(NAME)
        assert result.status is SandboxStatus.COMPLETED, result.stderr
        assert asked
        assert sandbox.execute(f"import {NAME}; print({NAME}.answer)").stdout == "42\n"
        # The network is needed for the installation only.
        sandbox.config.network = "none"
        assert sandbox.execute(f"import {NAME}; print({NAME}.answer)").stdout == "42\n"


def test_it_lands_in_this_sandbox_only(asked: list[str], project: Path) -> None:
    with granted() as sandbox:
        assert sandbox.install_package(NAME).status is SandboxStatus.COMPLETED
        assert sandbox.execute("import os; print(os.listdir())").stdout == "[]\n"
    assert granted().execute(f"import {NAME}").status is SandboxStatus.ERROR
    assert sandbox.execute(f"import {NAME}").status is SandboxStatus.ERROR
    with pytest.raises(ImportError):
        __import__(NAME)
    assert os.listdir(project) == []


def test_a_version_can_be_asked_for(asked: list[str]) -> None:
    with granted() as sandbox:
        assert sandbox.install_package(f"{NAME}==1.0").status is SandboxStatus.COMPLETED
        missing = sandbox.install_package(f"{NAME}==2.0")
    assert missing.status is SandboxStatus.ERROR
    assert "2.0" in missing.stderr


def test_a_package_that_is_not_there(asked: list[str]) -> None:
    with granted() as sandbox:
        result = sandbox.install_package("agentic-no-such-package")
    assert result.status is SandboxStatus.ERROR
    assert "agentic-no-such-package" in result.stderr
    assert "/simple/agentic-no-such-package/" in asked


@pytest.mark.parametrize("name", [
    "", " ", "--help", "-r /etc/passwd", "--index-url=http://127.0.0.1:1/", "http://127.0.0.1:1/x.whl",
    "git+https://127.0.0.1/x", "x @ http://127.0.0.1:1/x.whl", "/etc/passwd", "./here", "../there", "a b",
    "x; rm -rf /", "x\0y", "x\n--help",
])  # fmt: skip
def test_what_is_no_package_name_is_refused(asked: list[str], name: str) -> None:
    with pytest.raises(ValueError, match="^name"):
        granted().install_package(name)
    assert asked == []


@pytest.mark.parametrize("name", [None, 3, b"x", ["x"]])
def test_what_is_no_text_is_refused(asked: list[str], name: object) -> None:
    with pytest.raises(TypeError, match="^name"):
        granted().install_package(name)  # type: ignore[arg-type]
    assert asked == []


def test_it_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple/")
        assert granted().install_package(NAME, timeout=3).status is SandboxStatus.TIMEOUT
