"""One run in a `CodeSandbox`: what the engine is told, and its answer as a `SandboxResult`."""

from __future__ import annotations

import os

from . import _folder
from ._checks import text, texts, word
from ._sandbox_form import sandbox_now, working_folder
from ._settings import base_settings, check_path
from .sandbox import SandboxResult, SandboxStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._native import Cancel
    from .sandbox import CodeSandbox
    from .tools import ToolResult

LANGUAGES = ("python", "bash", "javascript")
_TRUNCATED = "[OUTPUT TRUNCATED]"
_STATUS = {"timeout": SandboxStatus.TIMEOUT, "out_of_memory": SandboxStatus.MEMORY_EXCEEDED}
# What ends a program from outside, so that its own last words may not say why.
_ENDED = ("timeout", "out_of_memory", "disk_full", "cancelled", "crash")


def execute(
    owner: CodeSandbox, code: Any, language: Any, stdin: Any, args: Any, cancel: Cancel | None = None
) -> SandboxResult:
    """Runs code."""
    params: dict[str, Any] = {"code": text(code, "code"), "language": word(language, "language", LANGUAGES)}
    if stdin is not None:
        params["stdin"] = text(stdin, "stdin")
    if args is not None:
        params["args"] = texts(args, "args")
    return run(owner, params, settings(owner), owner.config.max_output_bytes, cancel)


def execute_file(owner: CodeSandbox, path: Any) -> SandboxResult:
    """Runs a file, in its place when it lies in the working folder, else shown beside it."""
    check_path("path", path)
    name = os.fspath(path)
    told = settings(owner)
    workspace = os.path.realpath(told["workspace"])
    # A relative name is the caller's first, then the one that code in the working folder would mean.
    candidates = (os.path.abspath(name), os.path.join(workspace, name))
    found = next((file for file in candidates if os.path.exists(file)), None)
    if found is None:
        return SandboxResult(SandboxStatus.ERROR, "", f"File not found: {name}", cause="not_found")
    file = os.path.realpath(found)
    named = _inside(os.path.abspath(found), workspace) or _inside(file, workspace)
    if named is None:
        told["sandbox"]["read_only"].append(file)
    return run(owner, {"file": named or file}, told, owner.config.max_output_bytes)


def _inside(path: str, workspace: str) -> str | None:
    """The path relative to the workspace, when it leads through it.

    What lies there is looked up by the run: it may be a link that code in an earlier run made, and to follow that out
    of the workspace would show code any file of the caller's.
    """
    folder = os.path.dirname(path)
    while os.path.realpath(folder) != workspace:
        if folder == os.path.dirname(folder):
            return None
        folder = os.path.dirname(folder)
    return os.path.relpath(path, folder)


def settings(owner: CodeSandbox) -> dict[str, Any]:
    """What the engine is told of the sandbox: limits, the folder, and what was installed."""
    config = owner.config
    sandbox = sandbox_now(config)
    workspace = working_folder(config)
    folder = _folder.of(owner) if workspace is None else _folder.existing(owner)
    if folder is not None and folder.has_packages():
        sandbox["read_only"].append(folder.packages)
        own = sandbox["env"].get("PYTHONPATH")
        sandbox["env"]["PYTHONPATH"] = folder.packages if not own else f"{folder.packages}{os.pathsep}{own}"
    told = base_settings(folder.work if workspace is None and folder is not None else workspace)
    told["sandbox"] = sandbox
    return told


def run(
    owner: CodeSandbox,
    params: dict[str, Any],
    told: dict[str, Any],
    most: int,
    cancel: Cancel | None = None,
) -> SandboxResult:
    """Calls the engine; of each stream the first `most` bytes are shown."""
    from . import _native
    from ._convert import result_from

    # The engine keeps half of what it may as the head, the other half as the tail.
    told["sandbox"]["output_bytes"] = 2 * most
    if owner._tools is None:
        from .tools import RunCodeTool, ToolRegistry

        registry = ToolRegistry()
        registry.register(RunCodeTool())
        owner._tools = registry
    call = object()
    owner._running.add(call)
    try:
        answer = _native.call(told, owner._tools._engine_tools(), "run_code", params, cancel)
    finally:
        owner._running.discard(call)
    return result(result_from(answer), most)


def result(answer: ToolResult, most: int) -> SandboxResult:
    """A result of `run_code` as one of a sandbox."""
    facts = answer.metadata
    status = SandboxStatus.COMPLETED if answer.is_success else _STATUS.get(answer.cause or "", SandboxStatus.ERROR)
    stdout, stdout_tail = _head(facts, "stdout", most)
    stderr, stderr_tail = _head(facts, "stderr", most)
    # The reason, where the program has not given one itself: a program that exits with a status says enough.
    itself = facts.get("returncode", 0) != 0 and answer.cause not in _ENDED
    if not answer.is_success and not stderr and not itself:
        stderr = answer.error or ""
    return SandboxResult(
        status,
        stdout,
        stderr,
        None,
        facts.get("execution_time", 0.0),
        facts.get("memory_used_mb", 0.0),
        exit_code=facts.get("returncode"),
        stdout_tail=stdout_tail,
        stderr_tail=stderr_tail,
        truncated=bool(stdout_tail or stderr_tail or facts.get("truncated", False)),
        limits_hit=list(facts.get("limits_hit", ())),
        denials=list(facts.get("denials", ())),
        cause=answer.cause,
        usage=answer.usage,
        enforced=answer.enforced,
    )


def _head(facts: dict[str, Any], stream: str, most: int) -> tuple[str, str]:
    """What is shown of a stream, and the end of one that is longer."""
    whole: str = facts.get(stream, "")
    head = facts.get(f"{stream}_head")
    if head is not None:
        return _cut(head), facts.get(f"{stream}_tail", "")
    # No character is longer than four bytes.
    if 4 * len(whole) <= most:
        return whole, ""
    raw = whole.encode("utf-8", "replace")
    if len(raw) <= most:
        return whole, ""
    return _cut(raw[:most].decode("utf-8", "ignore")), raw[-most:].decode("utf-8", "ignore")


def _cut(head: str) -> str:
    return head + ("" if head.endswith("\n") else "\n") + _TRUNCATED
