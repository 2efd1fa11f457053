"""Work in turn: what waits, what is let go of, and what nobody waits for any more."""

import asyncio
import contextlib
import gc
import threading
import weakref
from typing import Any

import pytest

pytest.importorskip("starlette", reason="starlette is not installed")

from starlette.requests import Request

from easyvae.app.errors import RequestError
from easyvae.app.jobs import Jobs


def request_of(gone: asyncio.Event) -> Request:
    """Returns the request of a client that stays until it is gone."""

    async def receive() -> dict[str, str]:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


class Payload:
    """Something large."""


def test_work_that_was_given_up_is_let_go_of_at_once() -> None:
    """While the thread is at other work: neither the work nor its place is held any longer."""
    gate = threading.Event()

    async def main() -> None:
        worker = Jobs("test", waiting=1)
        first = asyncio.create_task(worker.run(request_of(asyncio.Event()), gate.wait, 20))
        await asyncio.sleep(0.01)
        assert not worker.idle
        for _ in range(5):
            payload, gone = Payload(), asyncio.Event()
            seen = weakref.ref(payload)
            task = asyncio.create_task(worker.run(request_of(gone), id, payload))
            await asyncio.sleep(0.01)
            gone.set()
            with contextlib.suppress(RequestError):
                await task
            del payload, task
            await asyncio.sleep(0.01)  # in which the wait for a turn is cancelled
            gc.collect()
            assert seen() is None
        gate.set()
        assert await first
        worker.stop()

    asyncio.run(main())


def test_beyond_those_that_wait_one_is_told_to_come_back() -> None:
    """And later all have had their turn, in their order."""
    gate, done = threading.Event(), list[int]()

    def work(number: int) -> None:
        gate.wait(20)
        done.append(number)

    async def main() -> None:
        worker = Jobs("test", waiting=2)
        request = request_of(asyncio.Event())
        tasks = [asyncio.create_task(worker.run(request, work, i)) for i in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(RequestError, match="too many") as caught:
            await worker.run(request, work, 3)
        assert caught.value.headers["Retry-After"] == "1"
        gate.set()
        await asyncio.gather(*tasks)
        worker.stop()

    asyncio.run(main())
    assert done == [0, 1, 2]


def test_work_that_fails_when_its_client_has_gone_says_nothing() -> None:
    """There is nobody to be told: the log stays clean."""
    gate, said = threading.Event(), list[Any]()

    def fail() -> None:
        gate.wait(20)
        raise ValueError("too late")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        worker, gone = Jobs("test"), asyncio.Event()
        task = asyncio.create_task(worker.run(request_of(gone), fail))
        await asyncio.sleep(0.01)
        gone.set()
        with contextlib.suppress(RequestError):
            await task
        gate.set()
        while not worker.idle:
            await asyncio.sleep(0.01)
        del task
        gc.collect()
        worker.stop()

    asyncio.run(main())
    assert said == []
