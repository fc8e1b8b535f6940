"""A run's events as an iterator: the run goes on in a thread of its own and waits when its events are not taken."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque

from ._checks import type_name
from .errors import AgenticError, InvalidTypeError
from .planner import ExecutionPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from ._native import Cancel
    from .events import Event
    from .executor import AgenticExecutor, ExecutionResult

_MOST_WAITING = 1024


def _refusal(result: ExecutionResult) -> Event:
    """What is told of a task or plan that cannot be meant, and of which the engine therefore tells nothing."""
    import time

    from .events import Event

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = {"stop_reason": result.stop_reason, "error": result.error, "duration": {"secs": 0, "nanos": 0}}
    return Event(result.run_id, 0, now, "run_finished", told)


class _Feed:
    """Events between the run's thread and whoever takes them, and how the run ended."""

    def __init__(self, executor: AgenticExecutor, task_or_plan: Any, context: Any) -> None:
        from . import _native

        if not isinstance(task_or_plan, (str, ExecutionPlan, os.PathLike)):
            raise InvalidTypeError(
                f"task_or_plan: must be a str, an ExecutionPlan or an os.PathLike, not {type_name(task_or_plan)}"
            )
        self.work = (executor, task_or_plan, context)
        self.cancel: Cancel = _native.Cancel()
        self.waiting: deque[Event] = deque()
        self.changed = threading.Condition()
        # Told of each change, where the taker cannot wait for the condition.
        self.wake: Callable[[], None] | None = None
        self.told = False
        self.closed = False
        self.over = False
        self.result: ExecutionResult | None = None
        self.error: BaseException | None = None

    def start(self) -> threading.Thread:
        """Starts the run."""
        import contextvars

        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(self._run,), name="agentic-stream", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        from . import _run

        executor, asked, context = self.work
        call = _run.execute if isinstance(asked, str) else _run.execute_plan
        try:
            self.result = call(executor, asked, context, self.cancel, self.put)
            if not self.told:
                self.put(_refusal(self.result))
        except BaseException as error:
            self.error = error
        with self.changed:
            self.over = True
            self._tell()

    def put(self, event: Event) -> None:
        """Adds an event; waits while too many are not taken."""
        with self.changed:
            while len(self.waiting) >= _MOST_WAITING and not self.closed:
                self.changed.wait()
            self.told = True
            if not self.closed:
                self.waiting.append(event)
                self._tell()

    def take(self) -> Event | None:
        """The next event, or None when none is there now."""
        with self.changed:
            if not self.waiting:
                return None
            if len(self.waiting) == _MOST_WAITING:
                self.changed.notify_all()
            return self.waiting.popleft()

    def close(self) -> None:
        """Asks for the run's end; nothing further is kept."""
        self.cancel.cancel()
        with self.changed:
            self.closed = True
            self.waiting.clear()
            self._tell()

    def outcome(self) -> ExecutionResult:
        """What came of the run, or what it raised."""
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise AgenticError("result: the stream has not ended yet")
        return self.result

    def _tell(self) -> None:
        self.changed.notify_all()
        if self.wake is not None:
            self.wake()


class EventStream:
    """The events of a run as they happen, made by `AgenticExecutor.stream`.

    Iterate over it; it is a context manager, too. Leaving it early cancels the run. An exception that the run raises
    (misuse, a state folder that cannot be used) is raised by the iteration.
    """

    __module__ = "agentic_executor.executor"

    def __init__(self, executor: AgenticExecutor, task_or_plan: Any, context: Any = None) -> None:
        feed = self._feed = _Feed(executor, task_or_plan, context)
        # The thread knows the feed alone, so that a stream that nobody holds any more ends its run.
        self._finalizer = weakref.finalize(self, feed.close)
        self._thread = feed.start()

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        feed = self._feed
        with feed.changed:
            while not feed.waiting and not feed.over and not feed.closed:
                feed.changed.wait()
        event = feed.take()
        if event is not None:
            return event
        if feed.error is not None and not feed.closed:
            error, feed.closed = feed.error, True
            raise error
        raise StopIteration

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def result(self) -> ExecutionResult:
        """What came of the run. Takes the events that are left and waits for the end.

        Raises:
            What the run raised.
        """
        while not self._feed.over and not self._feed.closed:
            next(self, None)
        self._thread.join()
        return self._feed.outcome()

    def close(self) -> None:
        """Cancels the run, unless it has ended, and waits until nothing of it is left."""
        self._finalizer()
        self._thread.join()


class AsyncEventStream:
    """The events of a run for `async for`, made by `AgenticExecutor.astream`.

    It is an async context manager, too. Leaving it early, or cancelling the task that waits for its next event, cancels
    the run. The run starts with the first event that is waited for, or with `async with`.
    """

    __module__ = "agentic_executor.executor"

    def __init__(self, executor: AgenticExecutor, task_or_plan: Any, context: Any = None) -> None:
        feed = self._feed = _Feed(executor, task_or_plan, context)
        self._finalizer = weakref.finalize(self, feed.close)
        self._changed: asyncio.Event | None = None

    def _start(self) -> asyncio.Event:
        if self._changed is not None:
            return self._changed
        import asyncio

        loop, feed = asyncio.get_running_loop(), self._feed
        changed = self._changed = asyncio.Event()

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(changed.set)
            except RuntimeError:
                pass  # the loop was closed over the run: nobody is left to be told

        feed.wake = wake
        feed.start()
        return changed

    def __aiter__(self) -> AsyncEventStream:
        return self

    async def __anext__(self) -> Event:
        import asyncio

        feed, changed = self._feed, self._start()
        while True:
            changed.clear()
            event = feed.take()
            if event is not None:
                return event
            if feed.over or feed.closed:
                break
            try:
                await changed.wait()
            except asyncio.CancelledError:
                await self.aclose()
                raise
        if feed.error is not None and not feed.closed:
            error, feed.closed = feed.error, True
            raise error
        raise StopAsyncIteration

    async def __aenter__(self) -> AsyncEventStream:
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def result(self) -> ExecutionResult:
        """What came of the run, once the stream has ended.

        Raises:
            AgenticError: it has not.
            What the run raised.
        """
        return self._feed.outcome()

    async def aclose(self) -> None:
        """Cancels the run, unless it has ended, and waits until nothing of it is left."""
        import asyncio

        self._finalizer()
        if self._changed is None:
            return
        cancelled: asyncio.CancelledError | None = None
        while True:
            # Cleared first: what changes after the look below is not missed.
            self._changed.clear()
            if self._feed.over:
                break
            try:
                await self._changed.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
