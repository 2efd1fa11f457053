"""Work that takes a processor's while: a few at a time, a bounded number waiting."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request

from easyvae.app.errors import RequestError, busy

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Threads that take requests' work in turn.

    What waits does so here, and not in the threads' own queue: that would keep work whose client
    has gone, and all that it holds, until a thread came to it.

    Args:
        name: What the threads are called.
        threads: How many work at a time.
        waiting: How many more may wait; those beyond are told to come back.
    """

    def __init__(self, name: str, *, threads: int = 1, waiting: int = 32) -> None:
        """Starts no thread yet."""
        self._pool = ThreadPoolExecutor(threads, f"easyvae-{name}")
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
        loop = asyncio.get_running_loop()
        try:
            future = self._pool.submit(work, *args, **kwargs)
        except RuntimeError:
            self._turns.release()
            raise busy("the server is stopping") from None
        future.add_done_callback(lambda _: _in_loop(loop, self._turns.release))
        return await unless_gone(request, asyncio.wrap_future(future))

    def stop(self) -> None:
        """Takes no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def unless_gone(request: Request, awaitable: Awaitable[T]) -> T:
    """Waits for something, but no longer than the client does.

    Args:
        request: Of the client; its body has been read.
        awaitable: What to wait for; it is cancelled if the client goes.

    Raises:
        RequestError: If the client has gone.
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


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
