import os
import signal
import unittest


class Price(unittest.TestCase):
    def test_adds(self):
        self.assertEqual(2 + 2, 4)

    def test_crashes(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def test_expects_four(self):
        got = 2 + 3
        self.assertEqual(got, 4, f"expected 4, got {got}")

    def test_multiplies(self):
        self.assertEqual(2 * 3, 6)
