"""The exceptions of the package.

Only misuse and a host that cannot do what was asked are raised; a tool or task that fails is told by its result.
Each class has the builtin exception as its second base where there is one, so `except ValueError` works as well.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .executor import LeftOut

__all__ = [
    "AgenticError",
    "InvalidTypeError",
    "InvalidValueError",
    "PlanFileError",
    "PlanningError",
    "ResumeError",
    "RollbackError",
    "SandboxUnavailableError",
    "StateError",
]


class AgenticError(Exception):
    """The base of every exception that this package raises.

    >>> issubclass(InvalidValueError, AgenticError)
    True
    """


class InvalidTypeError(AgenticError, TypeError):
    """An argument has the wrong type. The message begins with the argument's name."""


class InvalidValueError(AgenticError, ValueError):
    """An argument has the right type and a value that cannot be. The message begins with the argument's name."""


class PlanningError(AgenticError, ValueError):
    """No plan can be made of the task with the tools at hand; the message says what is missing."""


class PlanFileError(AgenticError, ValueError):
    """A plan file does not hold a plan.

    Attributes:
        problems: each problem found as `(line, column, message)`; lines and columns count from 1.

    >>> PlanFileError("plan.yaml: 1 problem", [(3, 5, "unknown field `tol`")]).problems
    [(3, 5, 'unknown field `tol`')]
    """

    problems: list[tuple[int, int, str]]

    def __init__(self, message: str, problems: Iterable[tuple[int, int, str]] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)


class ResumeError(AgenticError, RuntimeError):
    """A run cannot go on: another process runs it, it has succeeded, or not all is as it left it. Nothing was done.

    Attributes:
        changed: what is not as the run left it (plan, tools, files), in words. Empty when something else is in the way.
    """

    changed: list[str]

    def __init__(self, message: str, changed: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.changed = list(changed)


class RollbackError(AgenticError, RuntimeError):
    """A run cannot be rolled back, or what it changed cannot be shown. Nothing was done.

    Attributes:
        changed_since: the paths that somebody else changed since the run, each with the reason. Empty when something
            else is in the way: what the run replaced is not kept any more, a rule denies the rollback, a full disk.
    """

    changed_since: list[LeftOut]

    def __init__(self, message: str, changed_since: Iterable[LeftOut] = ()) -> None:
        super().__init__(message)
        self.changed_since = list(changed_since)


class SandboxUnavailableError(AgenticError, RuntimeError):
    """This host cannot enforce what was asked for; `agentic_executor.doctor()` tells what and why."""


class StateError(AgenticError, OSError):
    """The state folder (journals, stored file versions) cannot be read or written, or the current directory is gone."""
