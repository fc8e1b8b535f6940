"""A blocking call under asyncio: on a thread of its own, cancelled with the task that awaits it.

A thread of its own, since the loop's pool may be busy with other calls that wait for this one. Cancellation asks the
engine for the end and waits until it has come, so that nothing is left running behind the caller's back.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import TypeVar

    from ._native import Cancel

    _T = TypeVar("_T")


async def run(work: Callable[[Cancel], _T]) -> _T:
    """What `work` answers; it is given the request to end that this task's cancellation makes."""
    import asyncio
    import contextvars
    import threading

    from . import _native

    loop = asyncio.get_running_loop()
    cancel = _native.Cancel()
    done: asyncio.Future[_T] = loop.create_future()
    context = contextvars.copy_context()

    def target() -> None:
        try:
            answer = context.run(work, cancel)
        except BaseException as error:
            # A Future takes no StopIteration.
            told = RuntimeError("the call raised StopIteration") if isinstance(error, StopIteration) else error
            _tell(loop, done, None, told)
        else:
            _tell(loop, done, answer, None)

    thread = threading.Thread(target=target, name="agentic-call", daemon=True)
    thread.start()
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            # `wait` leaves the future alone when this task is cancelled, and tells nothing of its exception.
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancel.cancel()
            cancelled = cancelled or error
    if cancelled is not None:
        done.exception()  # looked at, or asyncio would complain that nobody did
        raise cancelled
    return done.result()


def _tell(
    loop: asyncio.AbstractEventLoop, done: asyncio.Future[_T], answer: _T | None, error: BaseException | None
) -> None:
    def settle() -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(answer)  # type: ignore[arg-type]

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        pass  # the loop was closed over the call: nobody is left to be told
