"""What a rollback did: the public names are in `agentic_executor.executor`."""

from __future__ import annotations

from ._record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Change(Record):
    """One path that is different now.

    Args:
        path: the path, absolute.
        kind: `"added"`, `"modified"`, `"deleted"` or `"mode"` (only its permission bits differ).
        size: bytes of its new content, 0 for folders and deletions. Default 0.

    >>> Change("/project/old.txt", "added", 12)
    Change(path='/project/old.txt', kind='added', size=12)
    """

    __module__ = "agentic_executor.executor"
    __match_args__ = ("path", "kind", "size")

    def __init__(self, path: str, kind: str, size: int = 0) -> None:
        self.path = path
        self.kind = kind
        self.size = size

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `path, kind, size`."""
        return {"path": self.path, "kind": self.kind, "size": self.size}


class LeftOut(Record):
    """One path that a rollback does not treat as the others.

    Args:
        path: the path, absolute.
        reason: why.

    >>> LeftOut("/project/build", "it holds cache, which is to stay")
    LeftOut(path='/project/build', reason='it holds cache, which is to stay')
    """

    __module__ = "agentic_executor.executor"
    __match_args__ = ("path", "reason")

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `path, reason`."""
        return {"path": self.path, "reason": self.reason}


class RollbackResult(Record):
    """What a rollback did, or would do.

    Args:
        run: the id of the run that was rolled back.
        rollback: the id of the run that did it, to be rolled back itself. None when nothing was done: for a dry run,
            and where everything is as it was.
        changes: the paths that are different now, sorted. Default none.
        kept: what stays as it is, with the reason: folders that hold what others made, what cannot be put back.
        changed_since: what somebody else changed since the run: what a dry run found to be in the way, or what was
            overwritten by `force=True`.
        to: the step that was rolled back to; None: all of the run.
        dry_run: nothing was done, but would be.

    >>> RollbackResult("0198c0de", None, [Change("/project/a", "deleted")], dry_run=True)
    RollbackResult(run='0198c0de', changes=[Change(path='/project/a', kind='deleted', size=0)], dry_run=True)
    """

    __module__ = "agentic_executor.executor"
    __match_args__ = ("run", "rollback", "changes", "kept", "changed_since")
    _keyword_fields = ("to", "dry_run")

    def __init__(
        self,
        run: str,
        rollback: str | None = None,
        changes: list[Change] | None = None,
        kept: list[LeftOut] | None = None,
        changed_since: list[LeftOut] | None = None,
        *,
        to: str | None = None,
        dry_run: bool = False,
    ) -> None:
        self.run = run
        self.rollback = rollback
        self.changes: list[Change] = [] if changes is None else changes
        self.kept: list[LeftOut] = [] if kept is None else kept
        self.changed_since: list[LeftOut] = [] if changed_since is None else changed_since
        self.to = to
        self.dry_run = dry_run

    @classmethod
    def _from_native(cls, answer: dict[str, Any], to: str | None) -> RollbackResult:
        return cls(
            answer["run"],
            answer["rollback"],
            [Change(*one) for one in answer["changes"]],
            [LeftOut(*one) for one in answer["kept"]],
            [LeftOut(*one) for one in answer["changed_since"]],
            to=to,
            dry_run=answer["dry_run"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `run, to, dry_run, rollback, changes, kept, changed_since`."""
        return {
            "run": self.run,
            "to": self.to,
            "dry_run": self.dry_run,
            "rollback": self.rollback,
            "changes": [one.to_dict() for one in self.changes],
            "kept": [one.to_dict() for one in self.kept],
            "changed_since": [one.to_dict() for one in self.changed_since],
        }
