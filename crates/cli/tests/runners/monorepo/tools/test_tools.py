import os
import unittest


class Tools(unittest.TestCase):
    def test_flickers(self):
        self.assertNotEqual(os.environ.get("AGENTIC_TEST_ATTEMPT", "1"), "1", "not at the first attempt")

    def test_sorts(self):
        self.assertEqual(sorted([2, 1]), [1, 2])
