"""The built-in tools. Their objects hold what the user may set; the work is done by the engine.

The engine reads an object's attributes at every call, so what is set takes effect at the next one. An attribute is
checked when it is set. A subclass that changes what the engine would do (`execute`, the name, the schema) is a Python
tool like any other, and reaches the engine's implementation through `super().execute`. Long because each object carries
its reference.
"""

from __future__ import annotations

from ._settings import check_path
from ._tool import Tool, ToolParameter
from .errors import InvalidTypeError, InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, ClassVar

    from _typeshed import StrPath

    from ._tool import ToolResult


_INFINITY = float("inf")


def _check_paths(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (list, tuple)):
        raise InvalidTypeError(f"{name}: must be a list of paths or None, not {type(value).__name__}")
    for index, path in enumerate(value):
        check_path(f"{name}[{index}]", path)


def _check_path(name: str, value: object) -> None:
    if value is not None:
        check_path(name, value)


def _check_commands(name: str, value: object) -> None:
    if not isinstance(value, (list, tuple)):
        raise InvalidTypeError(f"{name}: must be a list of strings, not {type(value).__name__}")
    for index, command in enumerate(value):
        if not isinstance(command, str):
            raise InvalidTypeError(f"{name}[{index}]: must be a str, not {type(command).__name__}")


def _check_allowed(name: str, value: object) -> None:
    if value is not None:
        _check_commands(name, value)


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"{name}: must be a number of seconds, not {type(value).__name__}")
    if not 0 < value < _INFINITY:
        raise InvalidValueError(f"{name}: must be a finite number of seconds above 0, not {value}")


class BuiltInTool(Tool):
    """What the built-in tools have in common: facts about them as class attributes, checks of what is set."""

    __module__ = "agentic_executor.tools"

    _built_in_name: ClassVar[str]
    _built_in_description: ClassVar[str]
    _built_in_parameters: ClassVar[tuple[ToolParameter, ...]]
    _attribute_checks: ClassVar[dict[str, Callable[[str, Any], None]]] = {}

    @property
    def name(self) -> str:
        """The name it is called by."""
        return self._built_in_name

    @property
    def description(self) -> str:
        """What it does, for people and models."""
        return self._built_in_description

    @property
    def parameters(self) -> list[ToolParameter]:
        """The arguments it takes, in order. The list is a new one each time."""
        import copy

        return [copy.deepcopy(parameter) for parameter in self._built_in_parameters]

    def execute(self, **kwargs: Any) -> ToolResult:
        """Runs the tool in the current directory, through the same door as a registry's call, and commits at once.

        Arguments that the tool does not know are refused; every failure is a result.

        Raises:
            InvalidTypeError, InvalidValueError: an argument that JSON cannot hold.
        """
        from . import _native
        from ._convert import result_from
        from ._settings import base_settings

        # The engine does not own the tool: it lives here until the call is over.
        tool, tools = self._plain(), _native.Tools()
        tools.register(tool, True)
        return result_from(_native.call(base_settings(), tools, self._built_in_name, kwargs))

    def _plain(self) -> BuiltInTool:
        """The tool as the engine knows it, also when a subclass goes by another name or schema."""
        if is_built_in(self):
            return self
        kind = next(kind for kind in type(self).__mro__ if "_built_in_name" in vars(kind))
        tool: BuiltInTool = object.__new__(kind)
        for name in self._attribute_checks:
            setattr(tool, name, getattr(self, name))
        return tool

    def __setattr__(self, name: str, value: object) -> None:
        check = self._attribute_checks.get(name)
        if check is not None:
            check(name, value)
        super().__setattr__(name, value)


_OWN = ("name", "description", "parameters", "execute", "to_schema", "validate_params")


def is_built_in(tool: Tool) -> bool:
    """Whether the engine serves the tool itself: nothing of what makes it what it is was overridden."""
    if not isinstance(tool, BuiltInTool):
        return False
    kind, own = type(tool), vars(tool)
    return all(getattr(kind, name) is getattr(BuiltInTool, name) and name not in own for name in _OWN)


class FileReadTool(BuiltInTool):
    """`file_read`: the text of a file.

    Arguments of a call: `path`; optional `encoding` (`utf-8`). Result metadata: `path`, `size` in bytes, and more.
    No such file: ERROR with `File not found: PATH`. Outside the allowed paths: PERMISSION_DENIED. Containment is by
    resolved path, so neither a symlink nor `..` gets out.

    Attributes:
        allowed_paths: the folders it keeps to; relative ones are of the current directory at call time. Default: None,
            the current directory.

    Raises:
        InvalidTypeError, InvalidValueError: `allowed_paths` is no list of paths.

    >>> FileReadTool(allowed_paths=["."]).execute(path="no-such-file").error
    'File not found: no-such-file'
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "file_read"
    _built_in_description = (
        "Read a text file, or some of its lines; images come back as base64. "
        "Binary files are refused with what they are."
    )
    _built_in_parameters = (
        ToolParameter("path", "string", "The file to read, relative to the workspace or absolute."),
        ToolParameter("encoding", "string", "How its text is encoded, such as utf-8 or latin-1.", False, "utf-8"),
    )
    _attribute_checks = {"allowed_paths": _check_paths}

    def __init__(self, allowed_paths: Sequence[StrPath] | None = None) -> None:
        self.allowed_paths = allowed_paths


class FileWriteTool(BuiltInTool):
    """`file_write`: a whole file, or more at its end. Missing parent folders are made.

    Arguments of a call: `path`, `content`; optional `mode` (`overwrite` or `append`). Result metadata: `path`, `size`
    of the file afterwards in bytes, `mode`, and more. Outside the allowed paths: PERMISSION_DENIED.

    Attributes:
        allowed_paths: the folders it keeps to; relative ones are of the current directory at call time. Default: None,
            the current directory.

    Raises:
        InvalidTypeError, InvalidValueError: `allowed_paths` is no list of paths.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     FileWriteTool([folder]).execute(path=folder + "/notes/today.txt", content="tea").metadata["size"]
    3
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "file_write"
    _built_in_description = (
        "Write text to a file, replacing what it held or adding to its end. "
        "Missing folders are made. To change part of a file, use edit."
    )
    _built_in_parameters = (
        ToolParameter("path", "string", "The file to write, relative to the workspace or absolute."),
        ToolParameter("content", "string", "The text to write."),
        ToolParameter(
            "mode", "string", "overwrite: replace what is in the file; append: add at its end.", False, "overwrite"
        ),
    )
    _attribute_checks = {"allowed_paths": _check_paths}

    def __init__(self, allowed_paths: Sequence[StrPath] | None = None) -> None:
        self.allowed_paths = allowed_paths


class EditTool(BuiltInTool):
    """`edit`: replaces text, in one file or in several, all edits or none. Only white space may differ from the file.

    Arguments of a call: `path`, `old`, `new`, and optional `replace_all` or `expected_count`, `expected_hash`,
    `encoding`; or `edits`, a list of such.
    Text that is not there, or there more than once, is ERROR with cause `edit_mismatch`; a file whose hash is not
    `expected_hash` (that of `file_read`) is ERROR with cause `conflict`. Result metadata: `occurrences`, `files` with
    each file's `tier`, `ranges`, `diff`, `before_hash`, `after_hash`.

    Attributes:
        allowed_paths: the folders it keeps to; relative ones are of the current directory at call time. Default: None,
            the current directory.

    Raises:
        InvalidTypeError, InvalidValueError: `allowed_paths` is no list of paths.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "config.py")
    ...     _ = file.write_text("DEBUG = False")
    ...     _ = EditTool([folder]).execute(path=str(file), old="False", new="True")
    ...     file.read_text()
    'DEBUG = True'
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "edit"
    _built_in_description = (
        "Replace text in one file (path, old, new) or in several (edits): all edits or none. "
        "The text must be there once, unless replace_all or expected_count says otherwise; "
        "only white space may differ, and the result says so."
    )
    _built_in_parameters = (
        ToolParameter("path", "string", "The file to change, relative to the workspace or absolute.", False),
        ToolParameter("old", "string", "The text to replace, as it is in the file.", False),
        ToolParameter("new", "string", "The text to put in its place.", False),
        ToolParameter(
            "replace_all",
            "boolean",
            "Replace every occurrence instead of refusing when there is more than one.",
            False,
            False,
        ),
        ToolParameter("expected_count", "integer", "How many occurrences must be there; they are all replaced.", False),
        ToolParameter("expected_hash", "string", "The hash that the file had when it was read.", False),
        ToolParameter("encoding", "string", "How the file's text is encoded, such as latin-1.", False),
        ToolParameter(
            "edits",
            "array",
            "Several edits instead of path, old and new, applied in order; either all of them or none.",
            False,
            schema={
                "items": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string", "description": "The file to change."},
                        "old": {"type": "string", "description": "The text to replace, as it is in the file."},
                        "new": {"type": "string", "description": "The text to put in its place."},
                        "replace_all": {"type": "boolean", "description": "Replace every occurrence."},
                        "expected_count": {"type": "integer", "description": "How many occurrences must be there."},
                        "expected_hash": {"type": "string", "description": "The hash it had when it was read."},
                        "encoding": {"type": "string", "description": "How the file's text is encoded."},
                    },
                    "required": ["path", "old", "new"],
                }
            },
        ),
    )
    _attribute_checks = {"allowed_paths": _check_paths}

    def __init__(self, allowed_paths: Sequence[StrPath] | None = None) -> None:
        self.allowed_paths = allowed_paths


class ApplyPatchTool(BuiltInTool):
    """`apply_patch`: a patch over one file or many, all of it or nothing. Every hunk must fit at exactly one place.

    Arguments of a call: `patch`, either the `*** Begin Patch` envelope or a unified diff. A hunk that fits nowhere, or
    at two places, is ERROR with cause `edit_mismatch`; the error names file, hunk and lines. Result metadata: `files`
    with each file's `action`, `hunks`, `tier`, `ranges`, `diff`, `before_hash`, `after_hash`.

    Attributes:
        allowed_paths: the folders it keeps to; relative ones are of the current directory at call time. Default: None,
            the current directory.

    Raises:
        InvalidTypeError, InvalidValueError: `allowed_paths` is no list of paths.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "config.py")
    ...     _ = file.write_text("DEBUG = False\\n")
    ...     lines = ["*** Begin Patch", f"*** Update File: {file}", "-DEBUG = False", "+DEBUG = True", "*** End Patch"]
    ...     _ = ApplyPatchTool([folder]).execute(patch="\\n".join(lines))
    ...     file.read_text()
    'DEBUG = True\\n'
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "apply_patch"
    _built_in_description = (
        "Apply a patch to the workspace: the `*** Begin Patch` envelope or a unified diff, over one file or many, "
        "all of it or nothing. Every hunk must fit at exactly one place."
    )
    _built_in_parameters = (
        ToolParameter(
            "patch",
            "string",
            "A patch: `*** Begin Patch`, `*** Update File: PATH` (or Add, Delete; `*** Move to: PATH`), hunks that "
            "begin with `@@` and hold lines with ` `, `-` or `+` before them, `*** End Patch`. "
            "Or a unified diff as git writes it.",
        ),
    )
    _attribute_checks = {"allowed_paths": _check_paths}

    def __init__(self, allowed_paths: Sequence[StrPath] | None = None) -> None:
        self.allowed_paths = allowed_paths


class SearchTool(BuiltInTool):
    """`search`: the lines that match a regular expression, without regard to case.

    Arguments of a call: `pattern`; optional `file_pattern` (a glob, `*`), `max_results` (50). Output: lines
    `PATH:LINE: TEXT`, or `No matches found`, which is a success. Result metadata: `matches`, `files_searched`, and
    more.
    A bad expression: ERROR with `Invalid regex: ...`.

    Attributes:
        search_paths: the folders it looks in; relative ones are of the current directory at call time. Default: None,
            the current directory.

    Raises:
        InvalidTypeError, InvalidValueError: `search_paths` is no list of paths.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "notes.txt").write_text("buy tea")
    ...     SearchTool([folder]).execute(pattern="TEA").metadata["matches"]
    1
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "search"
    _built_in_description = (
        "Search files with a regular expression, case-insensitively unless told otherwise. "
        "Binary files and what git ignores are passed over."
    )
    _built_in_parameters = (
        ToolParameter("pattern", "string", "The regular expression to look for; `^` alone matches every file once."),
        ToolParameter(
            "file_pattern", "string", "Only files that match: *.py by name, src/**/*.rs by path.", False, "*"
        ),
        ToolParameter("max_results", "integer", "How many matches to return at most; 0 means all.", False, 50),
    )
    _attribute_checks = {"search_paths": _check_paths}

    def __init__(self, search_paths: Sequence[StrPath] | None = None) -> None:
        self.search_paths = search_paths


class ListFilesTool(BuiltInTool):
    """`list_files`: the files under a folder, sorted, by name or glob. Links are listed, not followed.

    Arguments of a call, all optional: `path`, `name`, `glob`, `hidden`, `respect_gitignore`, `max_results` (1000).
    Output: one path a line, or `No files found`. Result metadata: `files`, `count`, `truncated`, `unreadable`.

    Attributes:
        search_paths: the folders it looks in; relative ones are of the current directory at call time. Default: None,
            the current directory.

    Raises:
        InvalidTypeError, InvalidValueError: `search_paths` is no list of paths.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ListFilesTool([folder]).execute().output
    'No files found'
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "list_files"
    _built_in_description = "List the files under a folder, by name or glob, sorted. Links are listed, not followed."
    _built_in_parameters = (
        ToolParameter("path", "string", "The folder to look in, relative to the workspace or absolute.", False),
        ToolParameter("name", "string", "Only files of exactly this name.", False),
        ToolParameter("glob", "string", "Only files that match: *.py by name, src/**/*.rs by path.", False),
        ToolParameter("hidden", "boolean", "Also names that begin with a dot.", False, False),
        ToolParameter("respect_gitignore", "boolean", "Leave out what .gitignore and .ignore files say.", False, True),
        ToolParameter("max_results", "integer", "How many paths to return at most; 0 means all.", False, 1000),
    )
    _attribute_checks = {"search_paths": _check_paths}

    def __init__(self, search_paths: Sequence[StrPath] | None = None) -> None:
        self.search_paths = search_paths


class ShellTool(BuiltInTool):
    """`shell`: a shell command, in the sandbox, with the user's own toolchains.

    Arguments of a call: `command`; optional `timeout` in seconds. Output: stdout, then `[stderr]: ...` when there is
    any. Result metadata: `returncode`, `command`, and more; `left_processes`, the names of processes that the command
    left running, which end with it. A non-zero exit is ERROR with `error` = stderr; past the timeout TIMEOUT with
    `Command timed out after Ns`; a command that the lists refuse PERMISSION_DENIED.

    The lists are judged on the parsed simple commands: `rm -rf /tmp/x` is not `rm -rf /`. They are a convenience, not a
    boundary: the sandbox is the boundary.

    Attributes:
        allowed_commands: the only commands that run, each by its first words; every simple command must match. Default:
            None, which allows every one.
        blocked_commands: commands that do not run, even when allowed. Default: `rm -rf /`, `mkfs`, `dd if=`; an empty
            list blocks nothing.
        timeout: seconds a command may take when the call does not say. Default: 30.
        working_dir: the folder commands run in, a workspace root of its own. Default: None, the current directory.

    Raises:
        InvalidTypeError, InvalidValueError: an attribute that cannot be; the message begins with its name.

    >>> ShellTool(timeout=5).execute(command="echo tea").output.strip()
    'tea'
    >>> ShellTool(allowed_commands=["git"]).execute(command="ls").status.value
    'permission_denied'
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "shell"
    _built_in_description = (
        "Run a shell command in the workspace, in the sandbox, with the user's toolchains. "
        "The output is what it printed; files it writes in the workspace are kept when it succeeds. "
        "Processes that it leaves running are ended with it, and named."
    )
    _built_in_parameters = (
        ToolParameter("command", "string", "The command, as it would be typed."),
        ToolParameter("timeout", "number", "Seconds it may take. Default: what the tool is set to (30).", False),
    )
    _attribute_checks = {
        "allowed_commands": _check_allowed,
        "blocked_commands": _check_commands,
        "timeout": _check_seconds,
        "working_dir": _check_path,
    }

    def __init__(
        self,
        allowed_commands: Sequence[str] | None = None,
        blocked_commands: Sequence[str] | None = None,
        timeout: float = 30,
        working_dir: StrPath | None = None,
    ) -> None:
        self.allowed_commands = allowed_commands
        self.blocked_commands: Sequence[str] = (
            ["rm -rf /", "mkfs", "dd if="] if blocked_commands is None else blocked_commands
        )
        self.timeout = timeout
        self.working_dir = working_dir


class RunCodeTool(BuiltInTool):
    """`run_code`: Python, bash or JavaScript code, in the sandbox, seeing the workspace and nothing else of the user's.

    Arguments of a call: `code` or `file`; optional `language` (`python`), `args`, `stdin`, `timeout` in seconds (30),
    `memory_mb` (256). Output: what it printed. Result metadata: `stdout`, `stderr`, `returncode`, and more.

    >>> RunCodeTool().execute(code="print(6 * 7)").output
    '42\\n'
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "run_code"
    _built_in_description = (
        "Run Python, bash or JavaScript code (or a file of the workspace) in the sandbox. "
        "The output is what it printed; files it writes in the workspace are kept when it succeeds."
    )
    _built_in_parameters = (
        ToolParameter("code", "string", "The code to run. Give either this or `file`.", False),
        ToolParameter("file", "string", "A file of the workspace to run. Give either this or `code`.", False),
        ToolParameter(
            "language",
            "string",
            "The language. Default: what the file's name says, else python.",
            False,
            schema={"enum": ["python", "bash", "javascript"]},
        ),
        ToolParameter("args", "array", "Arguments of the program.", False, schema={"items": {"type": "string"}}),
        ToolParameter("stdin", "string", "Text on its standard input. Default: empty.", False),
        ToolParameter("timeout", "number", "Seconds it may take. Default: 30.", False),
        ToolParameter("memory_mb", "integer", "Mebibytes of memory all its processes may use. Default: 256.", False),
    )


class RunTestsTool(BuiltInTool):
    """`run_tests`: the project's own tests by its own runner, in the sandbox, with a verdict for each test.

    Arguments of a call, all optional: `command` (default: what the project's files say), `workers`, `retries` (2),
    `timeout` in seconds for one test (300), `global_timeout` for the whole (3600), `fail_fast`, `flaky` and `leaky`
    (`pass` or `fail`). What fails is run again, alone. A failing test is ERROR with cause `test_failure`; no tests at
    all ERROR with `not_found`; a report that cannot be relied on ERROR with `failed`. Result metadata: `tests`, which
    `TestReport.from_dict` reads, `returncode` of the runner, and `view`. Commands that the lists of the registry's
    `shell` refuse are refused here, too.

    >>> RunTestsTool().execute(command="exit 3").metadata["tests"]["counts"]["failed"]
    1
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "run_tests"
    _built_in_description = (
        "Run the project's tests with its own runner, in the sandbox, and report each test: passed, failed, skipped, "
        "flaky, timed out, crashed or leaky, with its output and place. What fails is run again alone."
    )
    _built_in_parameters = (
        ToolParameter(
            "command",
            "string",
            "The test command. Default: what the project's files say (pytest, unittest, cargo test, nextest, go test, "
            "jest, vitest, node --test, bats, ctest, make test).",
            False,
        ),
        ToolParameter(
            "workers",
            "integer",
            "Tests at once. Default: as the project and its runner say.",
            False,
            schema={"minimum": 1, "maximum": 1024},
        ),
        ToolParameter(
            "retries",
            "integer",
            "How often a test that failed is run again, alone. Default 2; for a command that reports no tests of its "
            "own, 0.",
            False,
            schema={"maximum": 20},
        ),
        ToolParameter("timeout", "number", "Seconds that one test may take. Default 300.", False),
        ToolParameter("global_timeout", "number", "Seconds that the whole may take. Default 3600.", False),
        ToolParameter("fail_fast", "boolean", "End at the first failure.", False, False),
        ToolParameter(
            "flaky",
            "string",
            "Whether a flaky test fails the run. Default: pass.",
            False,
            "pass",
            schema={"enum": ["pass", "fail"]},
        ),
        ToolParameter(
            "leaky",
            "string",
            "Whether a test that leaves processes running fails the run. Default: pass.",
            False,
            "pass",
            schema={"enum": ["pass", "fail"]},
        ),
    )


class RollbackTool(BuiltInTool):
    """`rollback`: what a run did to the workspace's files is taken back, or what this very run did so far.

    Arguments of a call, all optional: `run` (the run that the call is part of), `to` (a step whose end is gone back
    to), `paths`, `dry_run`, `force`. Result metadata: `run`, `dry_run`, `rollback` (`changes`, `kept`,
    `changed_since`). It is for steps of a plan, and refuses: runs that have not ended, files outside the workspace,
    paths that a rule of `approval` denies, what runs later outside, what others changed since (`paths` of the
    metadata), and calls that are part of no run.
    `AgenticExecutor.rollback` is for people and programs.

    >>> RollbackTool().execute(run="0198c0de").status
    <ToolStatus.PERMISSION_DENIED: 'permission_denied'>
    """

    __module__ = "agentic_executor.tools"
    _built_in_name = "rollback"
    _built_in_description = (
        "Take back what a run did to the workspace's files, or this very run so far: whatever did it, shell commands "
        "included. Refuses when somebody else changed a path since, naming it. Can itself be taken back."
    )
    _built_in_parameters = (
        ToolParameter(
            "run",
            "string",
            "The run's id, or enough of its beginning or end. Default: the run that this call is part of.",
            False,
        ),
        ToolParameter(
            "to",
            "string",
            "The step whose end is gone back to; what came after it is taken back. Default: the beginning of the run.",
            False,
        ),
        ToolParameter(
            "paths",
            "array",
            "Only these paths and what lies beneath them, relative to the workspace or absolute. Default: all of them.",
            False,
            schema={"items": {"type": "string"}},
        ),
        ToolParameter("dry_run", "boolean", "Say what would be done, and do nothing.", False, False),
        ToolParameter(
            "force", "boolean", "Overwrite what somebody else changed since. It is kept first.", False, False
        ),
    )
