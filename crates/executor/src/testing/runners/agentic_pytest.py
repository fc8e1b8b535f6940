"""Tells the conductor of the tests what pytest does, as lines of JSON.

Loaded by `-p agentic_pytest`. Works with Python 3.6 and pytest 6 or later; quiet in the workers of xdist, whose
controller tells everything. An error of ours never becomes an error of the tests.
"""

import json
import os
import threading

import pytest

_MOST = 32 << 10
# A test that starts a pytest of its own is none of the run's: it finds nothing of ours in its environment.
_EVENTS = os.environ.pop("AGENTIC_TEST_EVENTS", None)
_SELECT = os.environ.pop("AGENTIC_TEST_SELECT", None)
_WORKERS = os.environ.pop("AGENTIC_TEST_WORKERS", None)
_OWNER = None
_LOCK = threading.Lock()


def _leave_environment():
    """The controller of xdist keeps the option for its workers; whoever runs tests does not."""
    options = os.environ.get("PYTEST_ADDOPTS", "").replace("-p agentic_pytest", "", 1).strip()
    os.environ.pop("PYTEST_ADDOPTS", None)
    if options:
        os.environ["PYTEST_ADDOPTS"] = options


if "PYTEST_XDIST_WORKER" in os.environ:
    _leave_environment()


def _quiet(config):
    return not _EVENTS or hasattr(config, "workerinput")


def _tell(event, **fields):
    # A test that forks runs the hooks in the child too: its words are not the run's.
    if _OWNER != os.getpid():
        return
    try:
        line = json.dumps(dict(fields, event=event), ensure_ascii=True) + "\n"
        with _LOCK:
            fd = os.open(_EVENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(fd, line.encode("ascii"))
            finally:
                os.close(fd)
    except Exception:
        pass


def _known(nodeid, location):
    path, _, name = nodeid.partition("::")
    holder, _, last = name.rpartition("::") if "[" not in name else ("", "", name)
    if "[" in name:
        before, bracket, rest = name.partition("[")
        holder, _, short = before.rpartition("::")
        last = short + bracket + rest
    fields = {"id": nodeid, "name": last or nodeid, "suite": holder or None}
    if location:
        fields["file"] = os.path.join(os.getcwd(), str(location[0]))
        if location[1] is not None:
            fields["line"] = location[1] + 1
    else:
        fields["file"] = path
    return fields


def _located(config, location):
    """Locations are relative to the root of pytest, which need not be the working directory."""
    if not location:
        return None
    root = str(getattr(config, "rootpath", None) or config.rootdir)
    return (os.path.join(root, str(location[0])), location[1])


class _Test:
    def __init__(self):
        self.status = "passed"
        self.duration = 0.0
        self.message = None
        self.reason = None
        self.parts = []


class _Plugin:
    def __init__(self, config):
        self.config = config
        self.tests = {}
        self.ended = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        _leave_environment()
        tests = [_known(item.nodeid, _located(self.config, item.location)) for item in session.items]
        for at in range(0, len(tests), 200):
            _tell("listed", tests=tests[at : at + 200])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node, ids):
        if not self.tests:
            for at in range(0, len(ids), 200):
                _tell("listed", tests=[_known(one, None) for one in ids[at : at + 200]])

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node):
        node.workerinput["agentic_select"] = _SELECT

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid, location):
        self.tests[nodeid] = _Test()
        _tell("started", **_known(nodeid, _located(self.config, location)))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report):
        test = self.tests.setdefault(report.nodeid, _Test())
        test.duration += getattr(report, "duration", 0.0) or 0.0
        if report.when in ("setup", "call"):
            _tell("phase", id=report.nodeid, phase="call" if report.when == "setup" else "teardown")
        if report.failed:
            text = str(getattr(report, "longreprtext", "") or report.longrepr or "")
            crashed = report.when not in ("setup", "call", "teardown") and "crashed while running" in text
            if crashed:
                test.status = "crashed"
            elif test.status != "crashed":
                test.status = "failed"
            if test.message is None:
                test.message = _message(report, text)
                if report.when in ("setup", "teardown"):
                    test.message = "error at %s: %s" % (report.when, test.message)
            test.parts.append(text)
        elif report.skipped and test.status == "passed":
            test.status = "skipped"
            xfail = getattr(report, "wasxfail", None)
            if xfail is not None:
                test.reason = "expected to fail" + (": " + xfail if xfail else "")
            elif isinstance(report.longrepr, tuple):
                test.reason = str(report.longrepr[2])
                if test.reason.startswith("Skipped: "):
                    test.reason = test.reason[len("Skipped: ") :]
        if report.when == "teardown" or test.status == "crashed":
            for title, text in report.sections:
                test.parts.append("--- %s\n%s" % (title, text))
            if test.status == "crashed":
                self._end(report.nodeid, report.location)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid, location):
        self._end(nodeid, location)

    def _end(self, nodeid, location):
        test = self.tests.pop(nodeid, None)
        if test is None:
            return
        self.ended += 1
        shown = "\n".join(test.parts)[-_MOST:] if test.status in ("failed", "crashed") else ""
        _tell(
            "ended",
            status=test.status,
            duration=test.duration,
            message=test.message and test.message[:_MOST],
            reason=test.reason and test.reason[:_MOST],
            output=shown,
            **_known(nodeid, _located(self.config, location))
        )

    def pytest_collectreport(self, report):
        if report.failed:
            text = str(getattr(report, "longreprtext", "") or report.longrepr or "")
            _tell("error", file=report.nodeid or None, message="could not be collected: " + _last(text))

    def pytest_internalerror(self, excrepr):
        _tell("error", file=None, message="internal error of pytest: " + _last(str(excrepr)))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self):
        _tell("finished", tests=self.ended)


def _last(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (marked or lines or ["no reason given"])[-1][:_MOST]


def _message(report, text):
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    if crash is not None and getattr(crash, "message", None):
        return str(crash.message).splitlines()[0]
    return _last(text)


def pytest_configure(config):
    global _OWNER
    if _quiet(config):
        return
    _OWNER = os.getpid()
    config.pluginmanager.register(_Plugin(config), "agentic-test-reporter")


@pytest.hookimpl(hookwrapper=True)
def pytest_cmdline_main(config):
    """Sets the number of workers, where xdist is installed; a part of the tests is not to be judged by its coverage."""
    if not _quiet(config):
        if _WORKERS and config.pluginmanager.hasplugin("xdist"):
            if int(_WORKERS) > 1:
                config.option.numprocesses = int(_WORKERS)
            elif getattr(config.option, "numprocesses", None):
                config.option.numprocesses = 0
        if _SELECT:
            for options in (config.option, config.known_args_namespace):
                if getattr(options, "cov_fail_under", None) is not None:
                    options.cov_fail_under = 0
    yield


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    path = getattr(config, "workerinput", {}).get("agentic_select") or _SELECT
    if not path:
        return
    with open(path, encoding="utf-8") as file:
        select = json.load(file)
    if "only" in select:
        wanted = set(select["only"])
        kept = [item for item in items if item.nodeid in wanted]
    else:
        unwanted = set(select["except"])
        kept = [item for item in items if item.nodeid not in unwanted]
    if len(kept) != len(items):
        stays = set(map(id, kept))
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in stays])
        items[:] = kept
