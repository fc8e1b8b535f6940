"""What the engine is told of the surroundings at each call: it looks up nothing itself."""

from __future__ import annotations

import os
import sys

from .errors import InvalidTypeError, InvalidValueError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def base_settings(
    workspace: str | os.PathLike[str] | None = None,
    *,
    state: str | os.PathLike[str] | None = None,
    durable: bool = False,
) -> dict[str, Any]:
    """The settings of a call: the workspace (default: the current directory), the environment, the home folder.

    With `durable` the journal is written to the state folder, else kept in memory. Code runs on the caller's own
    interpreter unless the caller of this function puts another one in `["sandbox"]["runtimes"]`.

    Raises:
        InvalidTypeError, InvalidValueError: `workspace` or `state` is no path.
        StateError: the current directory is gone.
    """
    folder = current_directory() if workspace is None else _absolute("workspace", workspace)
    home = _home()
    if home is not None and os.path.realpath(folder) == os.path.realpath(home):
        import warnings

        warnings.warn(
            f"the workspace is your home folder: what runs can read and change everything in {home}, keys included; "
            "work in a project folder, or name one as `workspace` or `working_dir`",
            RuntimeWarning,
            stacklevel=2,
        )
    settings: dict[str, Any] = {
        "workspace": folder,
        "state": None if state is None else _absolute("state", state),
        "durable": durable,
        "home": home,
        "environ": _environment(),
    }
    if sys.executable:
        settings["sandbox"] = {"runtimes": {"python": os.path.abspath(sys.executable)}}
    return settings


def _environment() -> dict[str, str]:
    """The caller's environment, as the activation of the virtual environment that the caller runs in would have it.

    Programs that were started by `.venv/bin/python` mean the `pytest` beside it, activated or not.
    """
    environment = dict(os.environ)
    if not environment.get("HOME"):
        environment.pop("HOME", None)
    if sys.prefix != sys.base_prefix and "VIRTUAL_ENV" not in environment:
        environment["VIRTUAL_ENV"] = sys.prefix
        programs = os.path.join(sys.prefix, "bin")
        environment["PATH"] = os.pathsep.join(filter(None, (programs, environment.get("PATH"))))
    return environment


def check_path(name: str, value: object) -> None:
    """Refuses what cannot be a path, naming the argument."""
    if not isinstance(value, (str, os.PathLike)):
        raise InvalidTypeError(f"{name}: must be a str or os.PathLike, not {type(value).__name__}")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise InvalidTypeError(f"{name}: must be a path in text, not in bytes")
    if not text:
        raise InvalidValueError(f"{name}: must not be empty")
    if "\0" in text:
        raise InvalidValueError(f"{name}: must not hold a NUL character")


def _absolute(name: str, value: str | os.PathLike[str]) -> str:
    check_path(name, value)
    path = os.fspath(value)
    return os.path.normpath(path if os.path.isabs(path) else os.path.join(current_directory(), path))


def current_directory() -> str:
    """The current directory, or the error that says it is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise StateError("the current directory was deleted; change to one that exists") from error


def _home() -> str | None:
    # An empty HOME, as some containers have it, is none.
    if os.environ.get("HOME"):
        home = os.path.expanduser("~")
    else:
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return None
    return home if os.path.isabs(home) else None
