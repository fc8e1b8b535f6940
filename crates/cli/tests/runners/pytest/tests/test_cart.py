import os
import subprocess
import time

import pytest


@pytest.mark.skip(reason="needs a card reader")
def test_pays_by_card():
    raise AssertionError("never run")


def test_hangs():
    time.sleep(600)


def test_flickers():
    attempt = os.environ.get("AGENTIC_TEST_ATTEMPT", "1")
    assert attempt != "1", "not at the first attempt"


def test_leaks():
    null = subprocess.DEVNULL
    subprocess.Popen(["sleep", "300"], stdin=null, stdout=null, stderr=null, start_new_session=True)
