"""Results as people see them: the summary in words, and tables for notebooks."""

from __future__ import annotations

from ._html import table
from ._record import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .executor import ExecutionResult
    from .planner import ExecutionPlan
    from .sandbox import HostReport, SandboxResult

_HEAD = 400


def summary(result: ExecutionResult) -> str:
    """A few lines for people, in the words of the command line."""
    status = "SUCCESS" if result.success else "FAILED"
    if result.stop_reason not in ("succeeded", "failed"):
        status += f" ({result.stop_reason})"
    counts = result.metadata.get("steps")
    counted: dict[str, Any] = counts if isinstance(counts, dict) else {}
    done = sum(step.result is not None and step.result.is_success for step in result.steps)
    steps = f"Steps: {done}/{counted.get('total', len(result.steps))} completed"
    for name in ("failed", "skipped"):
        if counted.get(name):
            steps += f", {counted[name]} {name}"
    lines = [f"Status: {status}", f"Task: {_printable(result.task)}", steps, f"Time: {result.total_time:.2f}s"]
    if result.error is not None:
        lines.append(f"Error: {_printable(result.error)}")
    for recovery in result.metadata.get("recoveries", ()):
        said = f"{recovery.get('step')} ({recovery.get('cause')}): {recovery.get('detail')}"
        lines.append(f"Recovery: {_printable(said)}")
    lines.extend(f"Assumed: {_printable(assumption)}" for assumption in result.metadata.get("assumptions", ()))
    return "\n".join(lines).rstrip()


def execution_result(result: ExecutionResult) -> str:
    """The outcome, then a row for each step."""
    facts: list[tuple[object, ...]] = [
        ("status", result.stop_reason),
        ("task", result.task),
        ("time", f"{result.total_time:.2f} s"),
    ]
    if result.error is not None:
        facts.append(("error", result.error))
    rows = []
    for step in result.steps:
        answer = step.result
        status = "" if answer is None else answer.status.value
        said = "" if answer is None else (answer.output if answer.is_success else answer.error)
        rows.append((step.step_id, step.tool, status, f"{step.duration:.2f} s", step.retries, _head(said)))
    headers = ("step", "tool", "status", "time", "retries", "output")
    return table(("ExecutionResult", ""), facts) + (table(headers, rows) if rows else "")


def plan(plan: ExecutionPlan) -> str:
    """A row for each step."""
    rows = [
        (step.id, getattr(step.status, "value", step.status), step.tool, step.description, ", ".join(step.depends_on))
        for step in plan.steps
    ]
    return table(("task",), [(plan.task,)]) + table(("step", "status", "tool", "description", "depends on"), rows)


def sandbox_result(result: SandboxResult) -> str:
    """What it printed, and what it spent."""
    rows: list[tuple[object, ...]] = [("status", result.status.value), ("stdout", result.stdout)]
    if result.stderr:
        rows.append(("stderr", result.stderr))
    if result.cause is not None:
        rows.append(("cause", result.cause))
    rows.append(("time", f"{result.execution_time:.3f} s"))
    rows.append(("memory", f"{result.memory_used_mb:.1f} MB"))
    return table(("SandboxResult", ""), rows)


def host_report(report: HostReport) -> str:
    """A row for each control."""
    rows = [(name, of.state, of.reason or "", report.advice.get(name, "")) for name, of in report.enforced.items()]
    facts = [("tier", report.tier), ("kernel", report.kernel), ("refused", report.refused or "no")]
    return table(("HostReport", ""), facts) + table(("control", "state", "reason", "advice"), rows)


def _printable(said: object) -> str:
    """A terminal obeys control characters; what a program wrote is only to be read."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in str(said))


def _head(said: object) -> str:
    text = "" if said is None else said if isinstance(said, str) else shown(said)
    return text if len(text) <= _HEAD else f"{text[:_HEAD]}..."
