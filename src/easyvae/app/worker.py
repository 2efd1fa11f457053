"""Work that takes a processor's while: a few at a time, a bounded number waiting."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any, ParamSpec, TypeVar

from starlette.requests import Request

from easyvae.app.errors import RequestError, busy

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Threads that take requests' work in turn.

    Args:
        name: What the threads are called.
        threads: How many work at a time.
        waiting: How many more may wait; those beyond are told to come back.
    """

    def __init__(self, name: str, *, threads: int = 1, waiting: int = 32) -> None:
        """Starts no thread yet."""
        self._pool = ThreadPoolExecutor(threads, f"easyvae-{name}")
        self._places = BoundedSemaphore(threads + waiting)
        self._busy = 0

    @property
    def idle(self) -> bool:
        """Whether nobody is waiting for an answer."""
        return self._busy == 0

    async def run(
        self, request: Request, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Waits for its turn and for the work; gives the turn up if the client has gone.

        Raises:
            RequestError: If too many are waiting.
        """
        if not self._places.acquire(blocking=False):
            raise busy("too many requests at once")
        self._busy += 1
        try:
            future = self._pool.submit(work, *args, **kwargs)
        except RuntimeError:  # the server is going down
            self._done(None)
            raise busy("the server is stopping") from None
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: _in_loop(loop, self._done, done))
        result = asyncio.wrap_future(future)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            either: set[asyncio.Future[Any]] = {result, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise RequestError(503, "gone", "the client has gone")
            return await result
        finally:
            gone.cancel()
            future.cancel()  # of no effect once it runs

    def stop(self) -> None:
        """Lets go of what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, _: object) -> None:
        self._busy -= 1
        self._places.release()


def _in_loop(
    loop: asyncio.AbstractEventLoop, call: Callable[[Future[T]], None], done: Future[T]
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, done)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
