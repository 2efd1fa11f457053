"""Work that takes a processor's while, a few at a time, and its results, of which few are kept."""

import asyncio
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

from starlette.requests import Request

from easyvae.app.errors import RequestError, busy

K = TypeVar("K")
P = ParamSpec("P")
T = TypeVar("T")
_Task = tuple[Future[Any], Callable[[], Any]]


class Jobs:
    """Threads that take requests' work in turn.

    What waits does so here, and not in the threads' own queue: that would keep work whose client
    has gone, and all that it holds, until a thread came to it.

    They are daemons, unlike those of a `ThreadPoolExecutor`: nothing interrupts a decoder, and
    the process must be able to end without waiting for it.

    Args:
        name: What the threads are called.
        threads: How many work at a time.
        waiting: How many more may wait; those beyond are told to come back.
        patient: Whether all other threads go first, and so the end of the process does too.
    """

    def __init__(
        self, name: str, *, threads: int = 1, waiting: int = 32, patient: bool = False
    ) -> None:
        self._name = f"easyvae-{name}"
        self._patient = patient
        self._most_threads = threads
        self._threads: list[threading.Thread] = []
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._stopped = False
        self._turns = asyncio.Semaphore(threads)
        self._most = waiting
        self._waiting = 0

    @property
    def idle(self) -> bool:
        """Whether a thread is free."""
        return not self._turns.locked()

    async def run(
        self, request: Request, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Waits for its turn and for the work; gives the turn up if the client has gone.

        Raises:
            RequestError: If too many are waiting.
        """
        if self._turns.locked() and self._waiting >= self._most:
            raise busy("too many requests at once")
        self._waiting += 1
        try:
            await unless_gone(request, self._turns.acquire())
        finally:
            self._waiting -= 1
        if self._stopped:
            self._turns.release()
            raise busy("the server is stopping")
        loop = asyncio.get_running_loop()
        future: Future[T] = Future()

        def give_turn_back(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._turns.release)

        future.add_done_callback(give_turn_back)
        self._tasks.put((future, lambda: work(*args, **kwargs)))
        if len(self._threads) < self._most_threads:
            thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return await unless_gone(request, asyncio.wrap_future(future))

    def stop(self, seconds: float = 0.0) -> None:
        """Takes no more work, and waits so many seconds for what is under way."""
        self._stopped = True
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(seconds)

    def _serve(self) -> None:
        if self._patient:
            give_way()
        while (task := self._tasks.get()) is not None:
            _fulfil(*task)
            del task  # and with it all that the work held, while the next is waited for


async def unless_gone(request: Request, awaitable: Awaitable[T]) -> T:
    """Waits for something, but no longer than the client, whose body has been read.

    Raises:
        RequestError: If the client has gone. What was waited for is cancelled.
    """
    result = asyncio.ensure_future(awaitable)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        either: set[asyncio.Future[Any]] = {result, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise RequestError(503, "gone", "the client has gone")
        return result.result()
    finally:
        gone.cancel()
        result.cancel()


def give_way() -> None:
    """Lets other threads go before this one, where the system knows a thread's priority."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _fulfil(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:  # whatever it is, it belongs to who waits for it
        future.set_exception(error)
        del future, work  # which the error's traceback would keep, in a circle


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Pending(Generic[T]):
    """A result that is computed in the background.

    Args:
        code: The word for that it cannot be had.
        waiting: What a request for it is told until it is there.

    Attributes:
        value: The result, once it is there.
        failed: Why it will never be, if so.
    """

    def __init__(self, code: str, waiting: str) -> None:
        self._code = code
        self._waiting = waiting
        self.value: T | None = None
        self.failed: str | None = None

    def get(self) -> T:
        """Returns the result.

        Raises:
            RequestError: If it is not there yet, 503, or never will be, 409.
        """
        if self.value is not None:
            return self.value
        if self.failed is not None:
            raise RequestError(409, self._code, self.failed)
        raise busy(self._waiting)


class Recent(Generic[K, T]):
    """The results that were last asked for, at most so many; for all threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[K, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> T | None:
        """Returns a result, if it is still there."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def put(self, key: K, result: T) -> None:
        """Keeps a result; the one that was not asked for the longest may have to go."""
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            while len(self._results) > self._most:
                self._results.popitem(last=False)
