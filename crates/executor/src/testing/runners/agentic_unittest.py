"""`python -m unittest`, with a result class that tells the conductor of the tests what happens, as lines of JSON.

An error of ours never becomes an error of the tests. Works with Python 3.6 or later.
"""

import inspect
import json
import os
import sys
import time
import traceback
import unittest
from unittest.main import TestProgram

_MOST = 32 << 10
# A test that runs tests of its own is none of the run's: it finds nothing of ours in its environment.
_EVENTS = os.environ.pop("AGENTIC_TEST_EVENTS", None)
_SELECT = os.environ.pop("AGENTIC_TEST_SELECT", None)
_OWNER = os.getpid()
_LISTED = []


def _tell(event, **fields):
    # A test that forks has this code in the child too: its words are not the run's.
    if not _EVENTS or _OWNER != os.getpid():
        return
    try:
        line = json.dumps(dict(fields, event=event), ensure_ascii=True) + "\n"
        fd = os.open(_EVENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(fd, line.encode("ascii"))
        finally:
            os.close(fd)
    except Exception:
        pass


def _known(test):
    fields = {"id": test.id(), "name": test.id().rpartition(".")[2]}
    if isinstance(test, unittest.TestCase):
        fields["suite"] = type(test).__module__ + "." + type(test).__qualname__
        fields["name"] = getattr(test, "_testMethodName", fields["name"])
        try:
            method = inspect.unwrap(getattr(type(test), fields["name"]))
            fields["file"] = inspect.getsourcefile(method)
            fields["line"] = method.__code__.co_firstlineno
        except Exception:
            pass
    return fields


def _flat(suite):
    for test in suite:
        if isinstance(test, unittest.BaseTestSuite):
            for one in _flat(test):
                yield one
        else:
            yield test


def _selected(suite, select, top=True):
    """The same suites (a class's fixtures hang on them), without the tests that are not wanted."""
    kept = []
    for test in suite:
        if isinstance(test, unittest.BaseTestSuite):
            inner = _selected(test, select, False)
            if inner.countTestCases():
                kept.append(inner)
        elif ("only" in select and test.id() in select["only"]) or (
            "except" in select and test.id() not in select["except"]
        ):
            kept.append(test)
    return type(suite)(kept)


class _Result(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._began = {}
        self._seen = {}
        self.ended = 0

    def startTest(self, test):
        self._began[test.id()] = time.monotonic()
        _tell("started", **_known(test))
        super().startTest(test)

    def _note(self, test, status, message=None, output="", reason=None):
        before = self._seen.get(test.id())
        if before is not None and before["status"] == "failed":
            before["output"] = (before["output"] + "\n" + output)[-_MOST:]
            return
        self._seen[test.id()] = {"status": status, "message": message, "output": output, "reason": reason}

    def _failed(self, test, err, prefix=""):
        text = self._exc_info_to_string(err, test)
        short = traceback.format_exception_only(err[0], err[1])[-1].strip()
        if isinstance(test, unittest.TestCase):
            self._note(test, "failed", (prefix + short)[:_MOST], text[-_MOST:])
        else:
            # A fixture of a class or module: no test of that name exists.
            _tell("error", file=None, message=("%s: %s" % (test, short))[:_MOST])

    def addSuccess(self, test):
        super().addSuccess(test)
        self._note(test, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        # A part that is skipped leaves the test around it skipped, unless another part fails.
        whole = getattr(test, "test_case", test)
        if isinstance(whole, unittest.TestCase):
            self._note(whole, "skipped", reason=str(reason)[:_MOST])
            return
        # A fixture that skips all it was for: `setUpClass (module.Class)`, `setUpModule (module)`.
        holder = str(whole).rpartition("(")[2].rstrip(")")
        for known in _LISTED:
            suite = known.get("suite") or ""
            if suite == holder or (str(whole).startswith("setUpModule") and suite.startswith(holder + ".")):
                self.ended += 1
                _tell("ended", **dict(known, status="skipped", reason=str(reason)[:_MOST]))

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._note(test, "skipped", reason="expected to fail")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._note(test, "failed", "passed, and was expected to fail")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err, " ".join(subtest._subDescription().split()) + " ")

    def stopTest(self, test):
        began = self._began.pop(test.id(), None)
        end = self._seen.pop(test.id(), None)
        if end is not None:
            self.ended += 1
            duration = None if began is None else time.monotonic() - began
            _tell("ended", duration=duration, **dict(_known(test), **end))
        if began is not None:
            super().stopTest(test)


class _Runner(unittest.TextTestRunner):
    resultclass = _Result

    def run(self, test):
        if _SELECT:
            with open(_SELECT, encoding="utf-8") as file:
                select = {name: set(ids) for name, ids in json.load(file).items()}
            test = _selected(test, select)
        listed = _LISTED[:] = [_known(one) for one in _flat(test)]
        for at in range(0, len(listed), 200):
            _tell("listed", tests=listed[at : at + 200])
        self._count = len(listed)
        return super().run(test)


class _Program(TestProgram):
    def runTests(self):
        self.testRunner = _Runner
        runner = _Runner(
            verbosity=self.verbosity, failfast=self.failfast, buffer=self.buffer, warnings=self.warnings
        )
        self.result = runner.run(self.test)
        _tell("finished", tests=self.result.ended)
        if runner._count == 0:
            sys.exit(5)
        sys.exit(not self.result.wasSuccessful())


if __name__ == "__main__":
    # As `python -m unittest`: the working directory comes first, and this folder is nobody's business.
    sys.path[0] = os.getcwd()
    sys.argv[0] = "python -m unittest"
    if len(sys.argv) == 1:
        sys.argv.append("discover")
    _Program(module=None)
