"""The engine. Private: what is here may change with any version; the package around it is what programs use.

Nothing here keeps state between calls but `Tools` and `Cancel`: each call is told everything, works with the
interpreter lock released, and answers with plain values.

Settings, of which every key but `workspace` may be missing:

    {"workspace": absolute path, "state": path | None, "durable": bool (journal on disk, else in memory),
     "mode": "sequential" | "parallel" | "interactive", "max_steps": int,
     "budgets": {"time": seconds | None, "retries": int, "identical_calls": int, "parallel": int},
     "home": path | None, "environ": {name: text},
     "sandbox": {"timeout": seconds, "cpu": seconds | None, "memory_mb": int, "cpus": int | None, "processes": int,
                 "open_files": int,
                 "disk_mb": int, "file_size_mb": int, "output_bytes": int, "network": "none" | "host",
                 "allow_net": [rule], "secrets": [secret], "tls_terminate": [host], "trust_ca": path | None,
                 "max_net": MB | None,
                 "profile": "strict" | "default",
                 "read_only": [path], "read_write": [path], "hide": [path], "env": {name: text},
                 "runtimes": {language: path}, "allowed_imports": [name] | None, "blocked_imports": [name],
                 "allow_degraded": [control], "dotenv": bool | None, "allow_persist": [path]},
     "approval": [{"action": "allow" | "ask" | "deny", "tool": glob | None, "path": glob | None,
                   "command": glob | None}]}

The state folder, when it is None, is `AGENTIC_STATE` of the environment, else `agentic` in the XDG state folder; if the
workspace contains that, a private folder under /var/tmp.

A result:

    {"status": str, "output": JSON, "error": str | None, "metadata": dict, "cause": str | None,
     "usage": {"wall", "user", "system": seconds, "peak_memory": bytes, "exact": bool} | None,
     "enforced": {control: {"state": "active" | "degraded" | "off", "reason": str | None}} | None}

or `{"object": ToolResult}`: the very object that a Python tool returned.

A plan; the policies of a step (from `retry` on) that are missing have their defaults:

    {"task": str, "metadata": dict, "steps": [
        {"id": str, "tool": str, "params": dict, "description": str, "depends_on": [id], "status": str,
         "result": result | None, "error": str | None, "retry_count": int,
         "retry": {"max": int, "delay": seconds, "factor": float, "max_delay": seconds, "jitter": bool},
         "commit": "on_success" | "always" | "never", "expect": "success" | "failure", "timeout": seconds | None,
         "on_failure": "stop" | "continue" | "rollback" | "replan" | {"fallback": [id]}, "when": str | None,
         "for_each": {"items": JSON, "name": str} | None}]}

Values that JSON cannot hold (bytes, sets, other objects, NaN, integers beyond 64 bits, lone surrogates, keys that are
not str) raise `errors.InvalidTypeError` or `errors.InvalidValueError`, which name the place (`params.path: ...`).
Accepted are None, bool, int, float, str, list, tuple, dict, `os.PathLike` and enums with such a value.

Callbacks run on the thread that called. One that raises cancels the run, and its exception is raised by the call.
`KeyboardInterrupt` in the main thread is raised after the run was cancelled and its processes ended.
"""

from collections.abc import Callable
from typing import Any, final

from ._tool import Tool

__all__ = [
    "__version__",
    "Cancel",
    "Tools",
    "run",
    "call",
    "roll_back",
    "diff",
    "doctor",
    "check_sandbox",
    "result_summary",
    "test_history",
    "report_to_junit",
    "plan",
    "replan",
    "parse_plan",
    "render_plan",
    "step_to_dict",
]

__version__: str

@final
class Cancel:
    """A request to end, from any thread."""

    def __new__(cls) -> Cancel: ...
    def cancel(self) -> None:
        """Asks whatever runs with it to end. Asking again changes nothing."""
    def is_cancelled(self) -> bool:
        """Whether it was asked."""

@final
class Tools:
    """A registry as the engine has it."""

    def __new__(cls) -> Tools: ...
    def register(self, tool: Tool, built_in: bool) -> None:
        """Adds a tool; one of the same name is replaced.

        With `built_in` the name says which of the engine's own it is, and the object's attributes are read at every
        call. Otherwise name, description, schema and `_takes_unknown()` are read once, and a call is `_invoke(params)`.

        Raises:
            InvalidValueError: a name or a schema that cannot be.
        """
    def schemas(self, format: str) -> list[dict[str, Any]]:
        """Every tool in a provider's shape: `plain`, `openai`, `anthropic` or `mcp`."""

def run(
    settings: dict[str, Any],
    tools: Tools,
    request: dict[str, Any],
    cancel: Cancel | None = None,
    on_step: Callable[[dict[str, Any]], object] | None = None,
    on_event: Callable[[dict[str, Any]], object] | None = None,
    on_status: Callable[[str, str, int, str | None], object] | None = None,
    prompt: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    review: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Runs a request and answers with what became of it.

    The request is `{"kind": "plan", "plan": plan, "context": dict}`, `{"kind": "code", "code", "description",
    "language"}`, `{"kind": "edit", "path", "old", "new"}`, `{"kind": "tests", "params": arguments of run_tests,
    "working_dir", "keep": bool}` or `{"kind": "resume", "run", "force", "retry": [step]}`, which works in the run's own
    folder.

    The answer is `{"task", "success", "steps": [{"step_id", "tool", "params", "result", "start_time", "end_time",
    "retries"}], "total_time", "error", "metadata", "run_id", "stop_reason"}`.

    `on_step` gets each finished step in that form; `on_status` the id, status, attempts and error of a step when it
    starts and ends; `on_event` each event of the journal; `prompt` the step to be approved, and answers with
    `{"answer": "yes" | "no" | "all" | "abort"}` or `{"answer": "edit", "params": dict}`.
    """

def call(
    settings: dict[str, Any],
    tools: Tools,
    name: str,
    params: dict[str, Any],
    cancel: Cancel | None = None,
    on_event: Callable[[dict[str, Any]], object] | None = None,
    prompt: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Calls one tool, through the same door as a step, and answers with its result."""

def roll_back(
    settings: dict[str, Any],
    tools: Tools,
    request: dict[str, Any],
    cancel: Cancel | None = None,
    on_step: Callable[[dict[str, Any]], object] | None = None,
    on_event: Callable[[dict[str, Any]], object] | None = None,
    prompt: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Takes back what a run did, in the run's own workspace.

    The request is `{"run": str, "to": step | None, "paths": [path], "dry_run": bool, "force": bool}`, relative paths
    those of the settings' workspace. The answer is `{"run": id, "dry_run": bool, "rollback": id | None, "changes":
    [(path, kind, size)], "kept": [(path, reason)], "changed_since": [(path, reason)]}`.

    Raises:
        RollbackError: it was not done.
        InvalidValueError: there is no such run, step or path in it.
    """

def diff(
    settings: dict[str, Any], run: str, step: str | None = None, stat: bool = False, cancel: Cancel | None = None
) -> str:
    """What a run or a step changed: a unified diff, or with `stat` a table. Raises as `roll_back`."""

def plan(task: str, context: dict[str, Any], available_tools: list[str], workspace: str) -> dict[str, Any]:
    """The plan that the rules make of a task.

    Raises:
        PlanningError: they make none.
    """

def replan(available_tools: list[str], plan: dict[str, Any], step: dict[str, Any], error: str) -> dict[str, Any] | None:
    """The step that follows a failure, or None when nothing can help."""

def parse_plan(content: str, source: str) -> dict[str, Any]:
    """A plan file as `{"plan": plan, "context": dict, "workspace": str | None, "mode": str | None}`.

    Raises:
        PlanFileError: it holds no plan; `source` names it in the message.
    """

def render_plan(plan: dict[str, Any], format: str) -> str:
    """A plan as `text`, `json`, `yaml`, `mermaid` or `dot`."""

def step_to_dict(step: dict[str, Any]) -> dict[str, Any]:
    """A step as programs see it, with the policies that differ from their defaults."""

def result_summary(result: dict[str, Any]) -> str:
    """What became of a run, in a few lines of text."""

def test_history(settings: dict[str, Any], runs: int) -> list[dict[str, Any]]:
    """What the journal remembers of the workspace's tests in the newest `runs` runs that ran any."""

def report_to_junit(report: dict[str, Any]) -> str:
    """A report of tests as JUnit XML.

    Raises:
        InvalidTypeError, InvalidValueError: it is none.
    """

def doctor(settings: dict[str, Any]) -> dict[str, Any]:
    """What this host can enforce.

    The answer is `{"tier": str, "kernel": str, "enforced": {control: {"state", "reason"}}, "refused": str | None,
    "advice": {control: text}}`.
    """

def check_sandbox(sandbox: dict[str, Any], environ: dict[str, str]) -> None:
    """Raises `errors.InvalidValueError` when this part of the settings cannot be meant; `environ` holds its secrets."""
