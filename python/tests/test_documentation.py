"""What the package says of itself: examples that run, docstrings, `__all__`, and an import that starts nothing."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import agentic_executor

PUBLIC = ["agentic_executor"] + [
    f"agentic_executor.{name}" for name in ("errors", "events", "executor", "planner", "sandbox", "testing", "tools")
]

EXPORTED = """AgenticExecutor ExecutionMode ExecutionResult ExecutionStep Tool ToolRegistry FileReadTool FileWriteTool
    ShellTool SearchTool TaskPlanner ExecutionPlan PlanStep CodeSandbox SandboxConfig""".split()

# What an import of the package may not drag in: each costs more than the package itself.
HEAVY = """asyncio dataclasses inspect json pathlib tempfile subprocess traceback typing concurrent.futures logging
    multiprocessing threading socket ssl re agentic_executor._native""".split()


def modules() -> list[str]:
    found = [module.name for module in pkgutil.iter_modules(agentic_executor.__path__) if module.name != "_native"]
    return ["agentic_executor", *(f"agentic_executor.{name}" for name in found)]


def public_members(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Every public class, function, method and property, by its dotted name."""
    for name in module.__all__:
        value = getattr(module, name)
        yield name, value
        if inspect.isclass(value):
            for member, raw in vars(value).items():
                if not member.startswith("_") and (
                    callable(raw) or isinstance(raw, (property, classmethod, staticmethod))
                ):
                    yield f"{name}.{member}", raw


@pytest.mark.parametrize("name", modules())
def test_the_examples_run(name: str, project: Path) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_there_are_examples_to_run() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    counts = {
        name: sum(len(test.examples) for test in finder.find(importlib.import_module(name))) for name in modules()
    }
    assert sum(counts.values()) > 30, counts


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is_for(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    silent = [
        member
        for member, value in public_members(module)
        if not isinstance(value, str) and not (inspect.getdoc(value) or "").strip()
    ]
    # A method that fills in an abstract one inherits its docstring, which `getdoc` of the raw function misses.
    silent = [member for member in silent if not inspect.getdoc(_resolve(module, member))]
    assert silent == []


def _resolve(module: types.ModuleType, dotted: str) -> Any:
    value: Any = module
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def test_the_top_level_exports_what_programs_import() -> None:
    assert set(EXPORTED) <= set(agentic_executor.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_complete_and_true(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    for exported in module.__all__:
        assert hasattr(module, exported), exported
    own = {
        member
        for member, value in vars(module).items()
        if not member.startswith("_") and getattr(value, "__module__", None) == name
    }
    assert own <= set(module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_star_import_gives_what_all_lists(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"from {name} import *", namespace)
    assert set(importlib.import_module(name).__all__) <= set(namespace)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_class_names_a_module_that_it_can_be_imported_from(name: str) -> None:
    module = importlib.import_module(name)
    for exported in module.__all__:
        value = getattr(module, exported)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ in PUBLIC, (exported, value.__module__)
            assert getattr(importlib.import_module(value.__module__), value.__name__) is value


def test_the_top_level_names_are_those_of_the_modules() -> None:
    for name in EXPORTED:
        value = getattr(agentic_executor, name)
        assert getattr(importlib.import_module(value.__module__), name) is value


def test_names_that_are_not_there_are_an_attribute_error() -> None:
    for name in PUBLIC:
        with pytest.raises(AttributeError, match="no_such_name"):
            importlib.import_module(name).no_such_name


def test_it_has_a_version_and_is_typed() -> None:
    assert isinstance(agentic_executor.__version__, str)
    assert agentic_executor.__version__[0].isdigit()
    folder = Path(agentic_executor.__path__[0])
    assert (folder / "py.typed").is_file()
    assert (folder / "_native.pyi").is_file()


def test_an_import_starts_nothing_and_drags_nothing_in(run_program: Callable[..., str]) -> None:
    output = run_program("""
        import os, sys
        before = set(sys.modules)
        threads, descriptors = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
        import agentic_executor
        agentic_executor.AgenticExecutor, agentic_executor.ToolRegistry, agentic_executor.CodeSandbox
        assert len(os.listdir("/proc/self/task")) == threads
        assert len(os.listdir("/proc/self/fd")) == descriptors
        with open(f"/proc/self/task/{os.getpid()}/children") as children:
            assert children.read() == ""
        print(*sorted(set(sys.modules) - before))
    """)
    imported = set(output.split())
    assert "agentic_executor" in imported
    assert sorted(imported & set(HEAVY)) == []


def test_the_sample_program_runs(run_program: Callable[..., str]) -> None:
    source = (Path(__file__).parent / "sample_program.py").read_text(encoding="utf-8")
    assert run_program(source, timeout=300).rstrip().endswith("done")


def test_the_sample_program_uses_every_public_name() -> None:
    source = (Path(__file__).parent / "sample_program.py").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", source))
    unused = {
        f"{name}.{exported}"
        for name in PUBLIC
        for exported in importlib.import_module(name).__all__
        if exported not in words
    }
    assert unused == set()
