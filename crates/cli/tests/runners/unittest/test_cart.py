import os
import subprocess
import time
import unittest


class Cart(unittest.TestCase):
    def test_flickers(self):
        self.assertNotEqual(os.environ.get("AGENTIC_TEST_ATTEMPT", "1"), "1", "not at the first attempt")

    def test_hangs(self):
        time.sleep(600)

    def test_leaks(self):
        null = subprocess.DEVNULL
        subprocess.Popen(["sleep", "300"], stdin=null, stdout=null, stderr=null, start_new_session=True)

    @unittest.skip("needs a card reader")
    def test_pays_by_card(self):
        self.fail("never run")
