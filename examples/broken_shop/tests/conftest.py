import json
from pathlib import Path

import pytest


@pytest.fixture
def config():
    return json.loads((Path(__file__).parent.parent / "config" / "shop.json").read_text())
