"""Hostile code, odd objects and unlucky moments: what must not leak, hang, or end the program."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentic_executor import AgenticExecutor, ExecutionPlan, ExecutionResult, ExecutionStep
from agentic_executor._folder import remove_tree
from agentic_executor._install import check_requirement
from agentic_executor.errors import AgenticError, InvalidValueError
from agentic_executor.sandbox import CodeSandbox, SandboxConfig
from agentic_executor.tools import ToolRegistry


def plan_of(registry: ToolRegistry, function: Callable[[], Any]) -> ExecutionPlan:
    """A plan of one step: `function` as the tool `odd`."""
    registry.register(function, name="odd")
    plan = ExecutionPlan("odd")
    plan.add_step("odd", {}, "Call it")
    return plan


@pytest.mark.parametrize("name", ["job.py", "link/job.py"], ids=["directly", "through_a_link"])
def test_a_link_that_code_left_shows_no_file_of_the_caller(tmp_path: Path, name: str) -> None:
    folder, secret = tmp_path / "work", tmp_path / "secret"
    folder.mkdir()
    secret.write_text('KEY = "hunter2" oops\n')
    (tmp_path / "link").symlink_to(folder)
    (folder / "job.py").write_text("print('ours')\n")
    swap = f"import os; os.remove('job.py'); os.symlink({str(secret)!r}, 'job.py')"
    # A link out of the folder in a file's place is not kept, unless it is allowed.
    refused = CodeSandbox(SandboxConfig(working_dir=folder)).execute(swap)
    assert not refused.success and "job.py" in refused.stderr, refused
    sandbox = CodeSandbox(SandboxConfig(working_dir=folder, allow_persist=["job.py"]))
    path = tmp_path / name if "/" in name else folder / name
    assert sandbox.execute_file(path).stdout == "ours\n"
    swapped = sandbox.execute(swap)
    assert swapped.success, swapped
    result = sandbox.execute_file(path)
    assert not result.success
    assert "hunter2" not in result.stdout + result.stderr
    # What the caller names himself is shown, though it lies beside the folder.
    assert "hunter2" in sandbox.execute_file(secret).stderr


def test_a_file_is_run_where_it_lies_in_the_working_folder(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "job.py").write_text("import os; print(__file__, os.getcwd())\n")
    (tmp_path / "beside.py").symlink_to(folder / "sub" / "job.py")
    sandbox = CodeSandbox(SandboxConfig(working_dir=folder))
    expected = f"{folder.resolve()}/sub/job.py {folder.resolve()}\n"
    for name in ("sub/job.py", folder / "sub" / "job.py", tmp_path / "beside.py"):
        assert sandbox.execute_file(name).stdout == expected


@pytest.mark.parametrize("of_home", [True, False], ids=["in_the_home_folder", "in_a_projects_folder"])
def test_a_virtual_environment_shows_nothing_that_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_home: bool
) -> None:
    folder = tmp_path / "place"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (folder / ".netrc").write_text("password hunter2\n")
    (folder / "notes").mkdir()
    if of_home:
        monkeypatch.setenv("HOME", str(folder))
    sandbox = CodeSandbox(SandboxConfig(python=folder / "bin" / "python"))
    result = sandbox.execute(f"import os, sys; print(sys.prefix); print(sorted(os.listdir({str(folder)!r})))")
    prefix, listed = result.stdout.splitlines()
    assert prefix == str(folder)
    assert "pyvenv.cfg" in listed
    assert ".netrc" not in listed
    assert "notes" not in listed


def test_folders_that_code_closed_are_removed() -> None:
    # Beside pytest's folders, which only their owner can enter.
    with tempfile.TemporaryDirectory() as place:
        beside, folder = Path(place, "beside"), Path(place, "tree")
        beside.mkdir()
        beside.chmod(0o751)
        (beside / "kept").write_text("kept")
        inner = folder / "a" / "b"
        inner.mkdir(parents=True)
        (inner / "file").write_text("x")
        (inner / "link").symlink_to(beside)
        (folder / "out").symlink_to(beside)
        inner.chmod(0o500)
        inner.parent.chmod(0)
        if os.geteuid() == 0:
            # Root passes by all modes: the removal is tried as somebody else.
            for path in (place, folder, inner.parent, inner):
                os.chown(path, 65534, 65534)
            pid = os.fork()
            if pid == 0:
                try:
                    os.setgid(65534)
                    os.setuid(65534)
                    remove_tree(str(folder))
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
        else:
            remove_tree(str(folder))
        assert not os.path.lexists(folder)
        assert (beside / "kept").read_text() == "kept"
        assert beside.stat().st_mode & 0o777 == 0o751


def test_deep_folders_are_removed_from_a_deep_stack(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    os.makedirs(folder.joinpath(*["d"] * 300))

    def deep(frames: int) -> None:
        if frames:
            deep(frames - 1)
        else:
            remove_tree(str(folder))

    deep(sys.getrecursionlimit() - 250)
    assert not folder.exists()


def test_a_summary_moves_no_cursor() -> None:
    code = r"import sys; sys.stderr.write('\x1b]0;title\x07\x1b[2Jboo\r\u202e'); sys.exit(1)"
    result = AgenticExecutor().execute_code(code)
    assert "boo" in result.summary()
    assert all(letter.isprintable() or letter == "\n" for letter in result.summary())
    made = ExecutionResult("a\x1b[2J", False, error="b\x9b", metadata={"assumptions": ["c\x07"]})
    assert all(letter.isprintable() or letter == "\n" for letter in made.summary())


class Unequal:
    """As an array: `==` answers with something that is neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = object.__hash__


def test_an_output_that_cannot_be_compared_is_an_output() -> None:
    registry, output = ToolRegistry(), Unequal()
    plan = plan_of(registry, lambda: output)
    told: list[ExecutionStep] = []
    result = AgenticExecutor(registry, on_step_complete=told.append).execute_plan(plan)
    assert result.success, result.summary()
    assert result.steps[0].result is not None
    assert result.steps[0].result.output is output
    assert told == result.steps


class Unspeakable:
    """Its `repr` fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("output", [Unspeakable(), 10**5000], ids=["object", "integer"])
def test_an_output_that_cannot_be_shown_is_an_output(output: Any) -> None:
    registry = ToolRegistry()
    result = AgenticExecutor(registry).execute_plan(plan_of(registry, lambda: output))
    assert result.success, result.summary()
    for view in (repr(result), repr(result.steps[0].result), result._repr_html_()):
        assert "Unspeakable" in view or "int" in view or "100000" in view


def test_a_temporary_folder_that_was_tidied_away_is_made_again() -> None:
    with CodeSandbox() as sandbox:
        folder = os.path.dirname(sandbox.execute("import os; print(os.getcwd())").stdout.strip())
        remove_tree(folder)
        assert sandbox.execute("print(1)").stdout == "1\n"


def endless(kind: str) -> Any:
    """Data that never ends when it is walked."""
    if kind == "list":
        items: list[Any] = []
        items += [items, items]
        return items
    if kind == "dict":
        parent: dict[str, Any] = {}
        parent.update({str(n): {"parent": parent} for n in range(20)})
        return parent
    if kind == "shared":
        shared: list[Any] = []
        for _ in range(60):
            shared = [shared, shared]
        return shared

    class Endless(list[int]):
        def __iter__(self) -> Any:
            while True:
                yield 1

    return Endless()


@pytest.mark.parametrize("kind", ["list", "dict", "shared", "iterator"])
def test_an_endless_output_ends(kind: str, run_program: Callable[..., str]) -> None:
    # In a process of its own: what is tested is that it comes back at all.
    source = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_robustness import endless, plan_of
        from agentic_executor import AgenticExecutor
        from agentic_executor.tools import ToolRegistry
        registry, output = ToolRegistry(), endless({kind!r})
        plan = plan_of(registry, lambda: output)
        result = AgenticExecutor(registry).execute_plan(plan)
        print(result.success, result.steps[0].result.output is output)
    """
    assert run_program(source, timeout=90).split() == ["True", "True"]


def test_endless_parameters_are_refused() -> None:
    registry = ToolRegistry()
    registry.register(lambda x: "", name="odd")
    for kind, said in (("list", "holds itself"), ("shared", "more than")):
        with pytest.raises(InvalidValueError, match=said):
            registry.execute("odd", x=endless(kind))


@pytest.mark.parametrize(
    ("leave", "status"),
    [("sys.exit(3)", 3), ("sys.exit()", 0), ("raise ValueError('in the child')", 1), ("return", 1)],
)
@pytest.mark.parametrize("where", ["tool", "callback"])
def test_a_child_forked_inside_a_run_ends_where_it_would_return(
    run_program: Callable[..., str], where: str, leave: str, status: int
) -> None:
    output = run_program(f"""
        import os, sys
        from agentic_executor import AgenticExecutor, ExecutionPlan
        from agentic_executor.tools import ToolRegistry
        def fork():
            pid = os.fork()
            if pid == 0:
                print("child", flush=True)
                {leave}
            else:
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        registry = ToolRegistry.default_registry()
        registry.register(fork)
        plan = ExecutionPlan("fork")
        if {where == "tool"}:
            plan.add_step("fork", {{}}, "Fork")
            executor = AgenticExecutor(registry)
        else:
            plan.add_step("shell", {{"command": "true"}}, "Nothing")
            executor = AgenticExecutor(registry, on_step_complete=lambda step: fork())
        print(executor.execute_plan(plan).success)
    """, timeout=60)  # fmt: skip
    assert output.split() == ["child", str(status), "True"]


def test_the_end_of_the_interpreter_waits_for_a_tool_on_a_daemon_thread(run_program: Callable[..., str]) -> None:
    # The object at the end makes sure that the tool comes back while the interpreter is being taken down.
    output = run_program("""
        import sys, threading, time
        from agentic_executor.tools import ToolRegistry
        started = threading.Event()
        def slow() -> str:
            started.set()
            time.sleep(0.5)
            return "slow"
        registry = ToolRegistry()
        registry.register(slow)
        threading.Thread(target=registry.execute, args=("slow",), daemon=True).start()
        started.wait()
        class Last:
            def __del__(self, sleep=time.sleep):
                sleep(1)
        sys.modules["last"] = Last()
        print("bye")
    """)
    assert output.split() == ["bye"]


def test_a_state_folder_that_was_replaced_is_used_anew(project: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    executor = AgenticExecutor(state=state)
    assert executor.execute("greet", {"command": "true"}).success
    state.rename(tmp_path / "old")
    state.mkdir(mode=0o700)
    assert executor.execute("greet", {"command": "true"}).success
    assert (state / "journal.sqlite3").exists()


def test_a_disk_that_was_full_is_used_again(run_program: Callable[..., str]) -> None:
    # A limit on the size of files stands for the full disk.
    output = run_program("""
        import resource, tempfile
        from agentic_executor import AgenticExecutor
        with tempfile.TemporaryDirectory() as state:
            executor = AgenticExecutor(state=state)
            run = lambda: executor.execute("greet", {"command": "true"}).success
            most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            print(run())
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, most))
            print(run())
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            print(run())
    """)
    assert output.split() == ["True", "False", "True"]


def test_no_place_for_a_temporary_folder(run_program: Callable[..., str], tmp_path: Path) -> None:
    output = run_program("""
        import sys, tempfile
        from agentic_executor import AgenticExecutor, CodeSandbox
        from agentic_executor.errors import StateError
        tempfile.tempdir = sys.argv[1]
        for call in (AgenticExecutor().execute_code, CodeSandbox().execute):
            try:
                call("pass")
            except StateError as error:
                print("told", sys.argv[1] in str(error))
    """, str(tmp_path / "missing"))  # fmt: skip
    assert output.split() == ["told", "True"] * 2


def test_programs_of_the_caller_hold_no_end_of_a_run(run_program: Callable[..., str]) -> None:
    output = run_program("""
        import os, threading
        from agentic_executor import AgenticExecutor
        def inheritable():
            found = set()
            for fd in os.listdir("/proc/self/fd"):
                try:
                    if os.get_inheritable(int(fd)):
                        found.add(fd)
                except OSError:
                    pass  # closed by now: the listing's own is one of them
            return found
        before = inheritable()
        begun, go_on = threading.Event(), threading.Event()
        def note(event):
            if event.kind == "call_output":
                begun.set()
        code = "print('x', flush=True)\\nimport time\\ntime.sleep(3)"
        run = threading.Thread(target=AgenticExecutor(on_event=note).execute_code, args=(code,))
        run.start()
        assert begun.wait(60)
        print(sorted(inheritable() - before))
        run.join()
    """)
    assert output == "[]\n"


@pytest.mark.parametrize(
    "name", ["evil.zip", "foo-1.0-py3-none-any.whl", "x.tar.gz", "a" + " " * 100_000 + "!", "a" * 2000]
)
def test_no_package(name: str) -> None:
    with pytest.raises(InvalidValueError, match="^name: "):
        check_requirement(name)


def test_a_home_folder_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "none"
    monkeypatch.setenv("HOME", str(home))
    for name in ("AGENTIC_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AgenticError, match=f"the home folder {home} does not exist; set AGENTIC_STATE"):
        CodeSandbox().execute("print(1)")
    monkeypatch.setenv("AGENTIC_STATE", str(tmp_path / "state"))
    assert CodeSandbox().execute("print(1)").stdout == "1\n"
    assert not home.exists()
