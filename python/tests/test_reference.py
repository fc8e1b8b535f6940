"""`docs/reference/python.md` is what the package says of itself; `AGENTIC_UPDATE=1 pytest -k reference` writes it."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest

from reference import MODULES, reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
# Read before the session's fixture takes the caller's settings away.
UPDATE = "AGENTIC_UPDATE" in os.environ


def test_the_page_is_what_the_package_says() -> None:
    said = reference()
    if UPDATE:
        PAGE.write_text(said, encoding="utf-8")
    hint = f"docs/reference/{PAGE.name} is not what the package says; AGENTIC_UPDATE=1 pytest -k reference writes it"
    assert PAGE.read_text(encoding="utf-8") == said, hint


@pytest.mark.parametrize("name", MODULES[1:])
def test_every_public_name_has_its_place(name: str) -> None:
    titles = set(re.findall(r"^#+ (.*)$", reference(), re.MULTILINE))
    assert set(importlib.import_module(name).__all__) - titles == set()
