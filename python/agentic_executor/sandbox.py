"""Running one piece of code in the kernel's enclosure: `CodeSandbox`, what it may spend, and what came of it.

>>> with CodeSandbox(SandboxConfig(timeout_seconds=10)) as sandbox:
...     sandbox.execute("print(6 * 7)").stdout
'42\\n'

Each run is a process of its own in the folder that the sandbox has; what it may use is `SandboxConfig`'s to say.
"""

from __future__ import annotations

from enum import Enum

from ._record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from _typeshed import StrPath

    from ._tool import Enforcement, Usage
    from .tools import ToolRegistry


__all__ = ["CodeSandbox", "HostReport", "SandboxConfig", "SandboxResult", "SandboxStatus", "doctor"]

_BLOCKED_PROGRAMS = ("os.system", "subprocess")
_BLOCKED_SOCKETS = ("socket", "requests", "urllib", "ftplib", "telnetlib", "smtplib")
_MIB = 1 << 20


class SandboxStatus(Enum):
    """Where a sandbox stands, or how a run in it ended.

    >>> SandboxStatus("memory_exceeded").name
    'MEMORY_EXCEEDED'
    """

    READY = "ready"
    """Nothing runs."""
    RUNNING = "running"
    """Something runs."""
    COMPLETED = "completed"
    """It ended with exit status 0."""
    TIMEOUT = "timeout"
    """The time limit passed."""
    ERROR = "error"
    """It failed, was refused, or could not be started."""
    MEMORY_EXCEEDED = "memory_exceeded"
    """The memory limit passed."""


class SandboxConfig(Record):
    """What code may spend, import, see and reach.

    Limits hold for the whole process tree. "MB" is 2**20 bytes. Every field can be set later and is read at each call.

    Args:
        timeout_seconds: time on the clock. Default 30.
        max_memory_mb: memory, files in memory included; at least 4. Default 256.
        max_output_bytes: bytes kept of standard output, and of standard error. Default 1,048,576.
        allowed_imports: the only modules that code may import, when given. Default: all but the blocked ones.
        blocked_imports: modules (`subprocess`) and functions (`os.system`) that code may not import. What they stand
            for (starting programs, sockets) is closed by the kernel, too. Default: `os.system`, `subprocess`, `socket`,
            `requests`, `urllib`, `ftplib`, `telnetlib`, `smtplib`, with `allow_net` only the first two; `[]` for none.
        working_dir: the folder that code works in, kept. Default: a temporary one.
        cleanup_on_exit: whether the temporary folder is removed at the end. Default True.
        max_cpus: processors to run on. Default: all, up to half of `max_processes`.
        max_processes: processes and threads at once. Default 64.
        max_open_files: open descriptors per process, at least 16. Default 1024.
        max_disk_mb: what may be written in all. Default 128.
        max_file_size_mb: the largest single file. Default 4096.
        cpu_seconds: CPU time, user and system. Default: no limit of its own.
        network: `"none"` (default) or `"host"`, the host's network as it is.
        allow_net: hosts that may be reached, and no other, through a proxy outside the sandbox: `"HOST[:PORT]"` (80 and
            443 without a port), `"*.HOST"` for the names below it, `"HOST=ADDRESS"` to pin it, `"HOST=NETWORK/BITS"`
            to admit addresses that are not public. Default none. What is refused is in the result's `denials`.
        secrets: headers that the proxy sets and code never holds: `"HEADER=[PREFIX ]env:VARIABLE@HOST[/PATH]"` with the
            value in that variable of the caller's environment, or `file:PATH`; over HTTPS only where `tls_terminate`
            names the host. Default none.
        tls_terminate: allowed hosts whose TLS the proxy opens, under an authority that only this run trusts. Default
            none.
        trust_ca: a file of certificates (PEM) that are trusted besides the system's, outside and inside. Default none.
        max_net: MB that may pass the proxy in one run, both ways. Default 1024.
        profile: which system calls code is answered: `"default"`, or `"strict"` for pure code in one process, with
            threads and files, but no other program, no child and no socket.
        read_only: further host paths that code may read. Default none.
        read_write: host paths that code may write directly, outside every layer. Default none.
        hide: paths that are made absent. Default none.
        env: environment variables to set. Of the caller's own only harmless ones (language, time zone) are passed.
        python: the interpreter that runs Python code. Default: the caller's own, `sys.executable`.
        allow_degraded: names of controls that may be missing where this host cannot enforce them; `doctor()` has the
            names. Default none: code is refused rather than run with less.
        dotenv: whether the `.env` files of the folder are shown to code. Default: no.
        allow_persist: protected paths of the folder that steps may change (git hooks, editor and agent settings and
            whatever else runs later without being asked for), relative to it, or `["all"]`. Default none: a step that
            changes one fails with the cause `persistence`, and nothing of it is kept.

    Raises:
        InvalidTypeError, InvalidValueError: a field of the wrong type, or a value that cannot be meant, by name; here
            and again when the configuration is used.

    >>> SandboxConfig(timeout_seconds=5, max_memory_mb=64).network
    'none'
    >>> SandboxConfig(timeout_seconds=-1)
    Traceback (most recent call last):
        ...
    agentic_executor.errors.InvalidValueError: timeout_seconds: must be from 0.001 to 31536000 seconds, not -1
    """

    __match_args__ = (
        "timeout_seconds",
        "max_memory_mb",
        "max_output_bytes",
        "allowed_imports",
        "blocked_imports",
        "working_dir",
        "cleanup_on_exit",
    )
    _keyword_fields = (
        "max_cpus",
        "max_processes",
        "max_open_files",
        "max_disk_mb",
        "max_file_size_mb",
        "cpu_seconds",
        "network",
        "allow_net",
        "secrets",
        "tls_terminate",
        "trust_ca",
        "max_net",
        "profile",
        "read_only",
        "read_write",
        "hide",
        "env",
        "python",
        "allow_degraded",
        "dotenv",
        "allow_persist",
    )

    def __init__(
        self,
        timeout_seconds: float = 30,
        max_memory_mb: int = 256,
        max_output_bytes: int = _MIB,
        allowed_imports: list[str] | None = None,
        blocked_imports: list[str] | None = None,
        working_dir: StrPath | None = None,
        cleanup_on_exit: bool = True,
        *,
        max_cpus: int | None = None,
        max_processes: int = 64,
        max_open_files: int = 1024,
        max_disk_mb: int = 128,
        max_file_size_mb: int = 4096,
        cpu_seconds: float | None = None,
        network: str = "none",
        allow_net: list[str] | None = None,
        secrets: list[str] | None = None,
        tls_terminate: list[str] | None = None,
        trust_ca: StrPath | None = None,
        max_net: float | None = None,
        profile: str = "default",
        read_only: list[StrPath] | None = None,
        read_write: list[StrPath] | None = None,
        hide: list[StrPath] | None = None,
        env: dict[str, str] | None = None,
        python: StrPath | None = None,
        allow_degraded: list[str] | None = None,
        dotenv: bool | None = None,
        allow_persist: list[StrPath] | None = None,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.max_memory_mb = max_memory_mb
        self.max_output_bytes = max_output_bytes
        self.allowed_imports = allowed_imports
        if blocked_imports is None:
            blocked_imports = [*_BLOCKED_PROGRAMS, *(() if allow_net else _BLOCKED_SOCKETS)]
        self.blocked_imports: list[str] = blocked_imports
        self.working_dir = working_dir
        self.cleanup_on_exit = cleanup_on_exit
        self.max_cpus = max_cpus
        self.max_processes = max_processes
        self.max_open_files = max_open_files
        self.max_disk_mb = max_disk_mb
        self.max_file_size_mb = max_file_size_mb
        self.cpu_seconds = cpu_seconds
        self.network = network
        self.allow_net: list[str] = [] if allow_net is None else allow_net
        self.secrets: list[str] = [] if secrets is None else secrets
        self.tls_terminate: list[str] = [] if tls_terminate is None else tls_terminate
        self.trust_ca = trust_ca
        self.max_net = max_net
        self.profile = profile
        self.read_only: list[StrPath] = [] if read_only is None else read_only
        self.read_write: list[StrPath] = [] if read_write is None else read_write
        self.hide: list[StrPath] = [] if hide is None else hide
        self.env: dict[str, str] = {} if env is None else env
        self.python = python
        self.allow_degraded: list[str] = [] if allow_degraded is None else allow_degraded
        self.dotenv = dotenv
        self.allow_persist: list[StrPath] = [] if allow_persist is None else allow_persist
        from . import _sandbox_form

        _sandbox_form.check(self)

    def __setattr__(self, name: str, value: object) -> None:
        # A misspelt limit would hold nothing.
        if name not in self.__match_args__ + self._keyword_fields and not name.startswith("_"):
            raise AttributeError(f"SandboxConfig has no field {name!r}")
        super().__setattr__(name, value)


class SandboxResult(Record):
    """What came of a run in a sandbox.

    Args:
        status: how it ended.
        stdout: what it printed. Past `max_output_bytes`: the head, ending in `[OUTPUT TRUNCATED]`.
        stderr: what it printed on standard error, the traceback of code that raised included; of a run that was refused
            or killed and printed nothing there, the reason.
        return_value: always None: what code computes it prints or writes to a file.
        execution_time: seconds on the clock. Default 0.
        memory_used_mb: the most memory it held at once, in units of 2**20 bytes. Default 0.
        exit_code: its exit status; 124 past the time limit, 137 past the memory limit, 128 + N for signal N; None when
            it did not start.
        stdout_tail: the end of an output that was truncated.
        stderr_tail: the end of a standard error that was truncated.
        truncated: whether output is missing.
        limits_hit: the limits it ran into (`wall`, `memory`, `processes`, ...).
        denials: what it was refused, each a dict: `control`, `rule`, `object`, `how_to_allow` (None where nothing
            does), `certainty` (`exact` or `inferred`), `count`.
        cause: why it failed, in one word (`timeout`, `out_of_memory`, `blocked_import`, `syntax_error`, ...).
        usage: what it spent, when it started.
        enforced: control by control, what the kernel enforced.

    >>> SandboxResult(SandboxStatus.COMPLETED, "42\\n", "").success
    True
    """

    __match_args__ = ("status", "stdout", "stderr", "return_value", "execution_time", "memory_used_mb")
    _keyword_fields = ("exit_code", "stdout_tail", "stderr_tail", "truncated", "limits_hit", "denials", "cause")

    def __init__(
        self,
        status: SandboxStatus,
        stdout: str,
        stderr: str,
        return_value: Any = None,
        execution_time: float = 0.0,
        memory_used_mb: float = 0.0,
        *,
        exit_code: int | None = None,
        stdout_tail: str = "",
        stderr_tail: str = "",
        truncated: bool = False,
        limits_hit: list[str] | None = None,
        denials: list[dict[str, Any]] | None = None,
        cause: str | None = None,
        usage: Usage | None = None,
        enforced: dict[str, Enforcement] | None = None,
    ) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.return_value = return_value
        self.execution_time = execution_time
        self.memory_used_mb = memory_used_mb
        self.exit_code = exit_code
        self.stdout_tail = stdout_tail
        self.stderr_tail = stderr_tail
        self.truncated = truncated
        self.limits_hit: list[str] = [] if limits_hit is None else limits_hit
        self.denials: list[dict[str, Any]] = [] if denials is None else denials
        self.cause = cause
        self.usage = usage
        self.enforced = enforced

    @property
    def success(self) -> bool:
        """Whether it ended with exit status 0."""
        return self.status is SandboxStatus.COMPLETED

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `status, stdout, stderr, return_value, execution_time, memory_used_mb`."""
        return {
            "status": self.status.value,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "return_value": self.return_value,
            "execution_time": self.execution_time,
            "memory_used_mb": self.memory_used_mb,
        }

    def _repr_html_(self) -> str:
        from . import _views

        return _views.sandbox_result(self)


class CodeSandbox:
    """Runs code under a configuration, any number of times, from any thread.

    Code works in `config.working_dir`, else in one temporary folder that lives from the first call until the sandbox
    is closed, collected, or the interpreter exits. What code writes there is kept when it succeeds, and dropped
    otherwise. Each call is a new process: variables do not outlive it.

    Args:
        config: a `SandboxConfig`; its fields are read at each call. Default: `SandboxConfig()`.

    Use it as a context manager or as it is; a closed sandbox may be used again, with a new folder.

    >>> with CodeSandbox() as sandbox:
    ...     sandbox.execute("open('note.txt', 'w').write('tea')").status.value
    ...     sandbox.execute("print(open('note.txt').read())").stdout
    'completed'
    'tea\\n'
    """

    config: SandboxConfig

    def __init__(self, config: SandboxConfig | None = None) -> None:
        from . import _sandbox_form

        self.config = _sandbox_form.config_or_default(config, "config")
        self._tools: ToolRegistry | None = None
        self._running: set[object] = set()

    def __repr__(self) -> str:
        return f"CodeSandbox({self.config!r})"

    def __enter__(self) -> CodeSandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def status(self) -> SandboxStatus:
        """READY, or RUNNING while a call is under way."""
        return SandboxStatus.RUNNING if self._running else SandboxStatus.READY

    def execute(
        self,
        code: str,
        *,
        language: str = "python",
        stdin: str | None = None,
        args: list[str] | None = None,
    ) -> SandboxResult:
        """Runs code and waits for its end.

        Args:
            code: the program.
            language: `"python"` (default), `"bash"` or `"javascript"`.
            stdin: text on its standard input. Default: none.
            args: its arguments. Default: none.

        Raises:
            InvalidTypeError, InvalidValueError: an argument or a field of the configuration that cannot be meant.
            SandboxUnavailableError: the sandbox cannot be started on this host at all.
            StateError: there is no folder for it to work in.

        >>> with CodeSandbox() as sandbox:
        ...     result = sandbox.execute("import sys; print(sys.stdin.read().upper())", stdin="hello")
        >>> result.stdout
        'HELLO\\n'
        """
        from . import _sandbox_run

        return _sandbox_run.execute(self, code, language, stdin, args)

    def execute_file(self, path: StrPath) -> SandboxResult:
        """Runs a file: Python, or what its name says (`.sh`, `.js`). A missing one: ERROR, `File not found: PATH`.

        A file outside the working folder is shown to the run, alone and read-only; the working folder stays the same.

        Raises:
            As `execute`.

        >>> CodeSandbox().execute_file("missing.py").stderr
        'File not found: missing.py'
        """
        from . import _sandbox_run

        return _sandbox_run.execute_file(self, path)

    def install_package(self, name: str, timeout: float = 120) -> SandboxResult:
        """Installs a package for later calls of this sandbox, into a folder of its own that code sees read-only.

        pip runs in the sandbox, with the index that the host's pip is configured for. That needs the network: without
        `network="host"`, or `allow_net` with the hosts of the index (`pypi.org` and `files.pythonhosted.org`), nothing
        is tried, and the result says so. Package installation runs with at least 1 GiB of memory and 2 GiB of disk,
        without import rules.

        Args:
            name: a requirement: a name, extras, version specifiers (`"rich"`, `"httpx[http2]>=0.27,<1"`).
            timeout: seconds it may take. Default 120.

        Raises:
            InvalidTypeError, InvalidValueError: `name` is no such requirement (an option, a URL, a path); `timeout`.
            As `execute`.

        >>> CodeSandbox().install_package("rich").cause
        'network_denied'
        """
        from . import _install

        return _install.install(self, name, timeout)

    async def aexecute(
        self,
        code: str,
        *,
        language: str = "python",
        stdin: str | None = None,
        args: list[str] | None = None,
    ) -> SandboxResult:
        """As `execute`, without blocking the event loop. Cancelling the task ends the run, and waits until it has.

        >>> import asyncio
        >>> asyncio.run(CodeSandbox().aexecute("print(1)")).stdout
        '1\\n'
        """
        from . import _async, _sandbox_run

        return await _async.run(lambda cancel: _sandbox_run.execute(self, code, language, stdin, args, cancel))

    def cleanup(self) -> None:
        """Removes the temporary folder and the packages installed there, whatever `cleanup_on_exit` says."""
        from . import _folder

        _folder.remove(self)

    def close(self) -> None:
        """Ends the use of the temporary folder: removes it, unless `cleanup_on_exit` is False. Also done by `with`."""
        from . import _folder

        _folder.close(self)


class HostReport(Record):
    """What this host can enforce, found out by running a program under everything.

    Args:
        tier: `"A"` (full isolation as an ordinary user), `"A'"` (as root) or `"none"`.
        kernel: the kernel's release.
        enforced: control by control, an `Enforcement`: `state` and `reason`.
        refused: why code would not be run at all, or None.
        advice: what would help, by control.

    >>> HostReport("A", "6.8.0", {}, None, {}).ok
    True
    """

    __match_args__ = ("tier", "kernel", "enforced", "refused", "advice")

    def __init__(
        self,
        tier: str,
        kernel: str,
        enforced: dict[str, Enforcement] | None = None,
        refused: str | None = None,
        advice: dict[str, str] | None = None,
    ) -> None:
        self.tier = tier
        self.kernel = kernel
        self.enforced: dict[str, Enforcement] = {} if enforced is None else enforced
        self.refused = refused
        self.advice: dict[str, str] = {} if advice is None else advice

    @property
    def ok(self) -> bool:
        """Whether code can be run here with every control that the sandbox insists on."""
        return self.refused is None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `tier, kernel, ok, enforced, refused, advice`."""
        return {
            "tier": self.tier,
            "kernel": self.kernel,
            "ok": self.ok,
            "enforced": {name: {"state": of.state, "reason": of.reason} for name, of in self.enforced.items()},
            "refused": self.refused,
            "advice": dict(self.advice),
        }

    def __str__(self) -> str:
        lines = [f"Isolation tier {self.tier}, Linux {self.kernel}"]
        if self.refused is not None:
            lines.append(f"Code is refused here: {self.refused}")
        width = max(map(len, self.enforced), default=0)
        for name, of in self.enforced.items():
            lines.append(f"  {name:<{width}}  {of.state:<8}  {of.reason or ''}".rstrip())
            if name in self.advice:
                lines.append(f"  {'':<{width}}  {self.advice[name]}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from . import _views

        return _views.host_report(self)


def doctor() -> HostReport:
    """What this host can enforce, with advice where something is missing. Takes as long as running a small program.

    Raises:
        SandboxUnavailableError: the sandbox cannot be started on this host at all.

    >>> report = doctor()
    >>> report.tier in ("A", "A'", "none")
    True
    """
    from . import _sandbox_form

    return _sandbox_form.doctor()
