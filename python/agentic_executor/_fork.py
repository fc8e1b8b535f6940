"""A child that a tool or a callback forks: it has a copy of the call, and none of the threads that go on with it.

So it cannot return from there. It ends where it would have returned, as the child of a program does that ends.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def end_child(process: int, error: BaseException | None) -> None:
    """Ends this process, unless it is `process`, which began the call."""
    if os.getpid() != process:
        _end(error)


def _end(error: BaseException | None) -> NoReturn:
    import sys

    code = 1
    try:
        if isinstance(error, SystemExit):
            code = _exit_status(error.code)
        elif error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            print("a forked child cannot return to the run of its parent, and ends here", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        # What was registered to be done at exit is the parent's to do.
        os._exit(code)


def _exit_status(code: object) -> int:
    """As the interpreter has it: None is 0, and anything but a number is printed."""
    import sys

    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
