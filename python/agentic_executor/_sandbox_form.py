"""What a `SandboxConfig` says, checked and in the form of the engine; and what the engine answers about the host."""

from __future__ import annotations

import os

from ._checks import count, flag, mapping, number, seconds, text, texts, type_name, word
from ._settings import base_settings, check_path
from .errors import InvalidTypeError, InvalidValueError
from .sandbox import HostReport, SandboxConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_YEAR = 365 * 86_400
_MOST_BYTES = 1 << 50
_MOST_MB = _MOST_BYTES >> 20
_NETWORK_FIELDS = ("allow_net", "secrets", "tls_terminate", "trust_ca", "max_net")
_CONTROLS = (
    "user_namespace mount_namespace pid_namespace network_namespace ipc_namespace uts_namespace cgroup_namespace view "
    "capabilities no_new_privs landlock seccomp memory processes cpu disk network_proxy imports dotenv"
).split()


def config_or_default(config: Any, name: str) -> SandboxConfig:
    """The configuration, a default one for None, or an error that names the argument."""
    if config is None:
        return SandboxConfig()
    if not isinstance(config, SandboxConfig):
        raise InvalidTypeError(f"{name}: must be a SandboxConfig, not {type_name(config)}")
    return config


def check(config: SandboxConfig) -> None:
    """Refuses a configuration that cannot be meant."""
    sandbox = sandbox_dict(config)
    # What belongs to hosts that are allowed has a syntax of its own, which the engine reads.
    if any(sandbox[name] for name in _NETWORK_FIELDS):
        from . import _native

        _native.check_sandbox(sandbox, dict(os.environ))


def sandbox_dict(config: SandboxConfig) -> dict[str, Any]:
    """The configuration for the engine, every field checked."""
    import sys

    if config.working_dir is not None:
        check_path("working_dir", config.working_dir)
    if config.python is not None:
        check_path("python", config.python)
    flag(config.cleanup_on_exit, "cleanup_on_exit")
    # Who started the interpreter may have spelled it with `..`, which the engine takes for an attempt to get out.
    python = _absolute(config.python or sys.executable) if config.python or sys.executable else None
    allowed = config.allowed_imports
    return {
        "timeout": seconds(config.timeout_seconds, "timeout_seconds", _YEAR),
        "cpu": None if config.cpu_seconds is None else seconds(config.cpu_seconds, "cpu_seconds", _YEAR),
        "memory_mb": count(config.max_memory_mb, "max_memory_mb", 4, _MOST_MB),
        "cpus": None if config.max_cpus is None else count(config.max_cpus, "max_cpus", 1, 1 << 20),
        "processes": count(config.max_processes, "max_processes", 1, 1 << 20),
        "open_files": count(config.max_open_files, "max_open_files", 16, 1 << 20),
        "disk_mb": count(config.max_disk_mb, "max_disk_mb", 1, _MOST_MB),
        "file_size_mb": count(config.max_file_size_mb, "max_file_size_mb", 1, _MOST_MB),
        "output_bytes": count(config.max_output_bytes, "max_output_bytes", 1, _MOST_BYTES // 2),
        "network": word(config.network, "network", ("none", "host")),
        "allow_net": texts(config.allow_net, "allow_net"),
        "secrets": texts(config.secrets, "secrets"),
        "tls_terminate": texts(config.tls_terminate, "tls_terminate"),
        "trust_ca": None if config.trust_ca is None else _path(config.trust_ca, "trust_ca"),
        "max_net": None if config.max_net is None else number(config.max_net, "max_net", 0.000_001, _MOST_MB),
        "profile": word(config.profile, "profile", ("strict", "default")),
        "read_only": _paths(config.read_only, "read_only"),
        "read_write": _paths(config.read_write, "read_write"),
        "hide": _paths(config.hide, "hide"),
        "env": _environment(config.env),
        "runtimes": {"python": python} if python else {},
        "allowed_imports": None if allowed is None else _modules(allowed, "allowed_imports"),
        "blocked_imports": _modules(config.blocked_imports, "blocked_imports"),
        "allow_degraded": _controls(config.allow_degraded),
        "dotenv": None if config.dotenv is None else flag(config.dotenv, "dotenv"),
        "allow_persist": _persistent(config.allow_persist),
    }


def sandbox_now(config: SandboxConfig) -> dict[str, Any]:
    """The same for a call that is made now: what is to be shown must be there."""
    sandbox = sandbox_dict(config)
    for name in ("read_only", "read_write"):
        for index, path in enumerate(sandbox[name]):
            if not os.path.exists(path):
                raise InvalidValueError(f"{name}[{index}]: {path} does not exist")
    return sandbox


def working_folder(config: SandboxConfig) -> str | None:
    """The folder that the configuration names, absolute; None when it names none."""
    if config.working_dir is None:
        return None
    check_path("working_dir", config.working_dir)
    folder = _absolute(config.working_dir)
    if not os.path.isdir(folder):
        raise InvalidValueError(f"working_dir: {folder} is not a folder")
    return folder


def doctor() -> HostReport:
    """What `agentic_executor.doctor` answers."""
    from . import _native
    from ._tool import Enforcement

    # The report is of the host; any folder will do, and this one is there.
    answer = _native.doctor(base_settings(os.path.dirname(__file__)))
    enforced = {name: Enforcement(**control) for name, control in answer["enforced"].items()}
    return HostReport(answer["tier"], answer["kernel"], enforced, answer["refused"], answer["advice"])


def _absolute(path: Any) -> str:
    absolute: str = os.path.abspath(os.fspath(path))
    return absolute


def _path(path: Any, name: str) -> str:
    check_path(name, path)
    return _absolute(path)


def _paths(paths: Any, name: str) -> list[str]:
    if isinstance(paths, (str, bytes, os.PathLike)) or not hasattr(paths, "__iter__"):
        raise InvalidTypeError(f"{name}: must be a list of paths, not {type_name(paths)}")
    absolute = []
    for index, path in enumerate(paths):
        check_path(f"{name}[{index}]", path)
        absolute.append(_absolute(path))
    return absolute


def _persistent(paths: Any) -> list[str]:
    if isinstance(paths, (str, bytes, os.PathLike)) or not hasattr(paths, "__iter__"):
        raise InvalidTypeError(f"allow_persist: must be a list of paths, not {type_name(paths)}")
    known = []
    for index, path in enumerate(paths):
        check_path(f"allow_persist[{index}]", path)
        # Relative ones are the folder's own: they are not those of the current folder.
        known.append(os.fsdecode(path))
    return known


def _modules(names: Any, name: str) -> list[str]:
    known = texts(names, name)
    for index, module in enumerate(known):
        if not module or not all(part.isidentifier() for part in module.split(".")):
            raise InvalidValueError(f"{name}[{index}]: {module!r} is not the name of a module")
    return known


def _controls(names: Any) -> list[str]:
    known = texts(names, "allow_degraded")
    for index, name in enumerate(known):
        word(name, f"allow_degraded[{index}]", tuple(_CONTROLS))
    return known


def _environment(env: Any) -> dict[str, str]:
    variables = mapping(env, "env")
    for key, value in variables.items():
        if not isinstance(key, str):
            raise InvalidTypeError(f"env: the key {key!r} must be a str, not {type_name(key)}")
        if not key or "=" in key or "\0" in key:
            raise InvalidValueError(f"env: {key!r} cannot be the name of a variable")
        if "\0" in text(value, f"env[{key!r}]"):
            raise InvalidValueError(f"env[{key!r}]: must not hold a NUL character")
    return dict(variables)
