"""What happens in a run, as it happens.

An executor hands each `Event` to its `on_event`, and `AgenticExecutor.stream` yields them. The kinds and the fields of
each are those of the journal; `docs/reference/event.schema.json` lists them.
"""

from __future__ import annotations

from ._record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Event"]

_OWN = ("version", "run", "sequence", "time", "event")


class Event(Record):
    """One line of a run's history.

    Args:
        run: the run it belongs to.
        sequence: its place in the run, from 0.
        time: when it was written, RFC 3339 in UTC.
        kind: what happened: `run_started`, `plan_changed`, `step_started`, `call_intended`, `call_refused`,
            `call_output` (a piece of output as it arrives), `call_finished`, `recovery_taken`, `layer_not_applied`,
            `step_finished` or `run_finished`. Later versions may add kinds: leave aside what you do not know.
        data: the fields of that kind.
        version: the version of the format. Default 1.

    >>> Event("r1", 3, "2025-01-01T00:00:00Z", "step_started", {"step": "step_1"}).data["step"]
    'step_1'
    """

    __match_args__ = ("run", "sequence", "time", "kind", "data")

    def __init__(
        self,
        run: str,
        sequence: int,
        time: str,
        kind: str,
        data: dict[str, Any] | None = None,
        *,
        version: int = 1,
    ) -> None:
        self.run = run
        self.sequence = sequence
        self.time = time
        self.kind = kind
        self.data: dict[str, Any] = {} if data is None else data
        self.version = version

    @classmethod
    def _from_native(cls, form: dict[str, Any]) -> Event:
        data = {key: value for key, value in form.items() if key not in _OWN}
        return cls(form["run"], form["sequence"], form["time"], form["event"], data, version=form.get("version", 1))

    def to_dict(self) -> dict[str, Any]:
        """The event as the journal has it: `version, run, sequence, time, event` (its kind), then its own fields."""
        own = {
            "version": self.version,
            "run": self.run,
            "sequence": self.sequence,
            "time": self.time,
            "event": self.kind,
        }
        return {**own, **self.data}
