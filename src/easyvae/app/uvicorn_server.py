"""Runs the mixer's application on a port."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 200
"""How many clients are served at a time; those beyond get a 503."""
HEADER_SECONDS = 10.0
"""How long the head of a request may take."""
GRACE = 0.5
"""Seconds for which a server that is told to stop waits for answers under way."""
WRITE_SECONDS = 30.0
"""How long a client may let an answer wait without reading any more of it."""


class PatientProtocol(H11Protocol):
    """HTTP, with an end to the patience for the head of a request, and for unread answers.

    uvicorn itself waits for ever for the rest of a head that has begun, or for one on a new
    connection, and for a client to read.
    """

    _limit: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its parent
        """Starts the clock."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # to be told whenever any of an answer has to wait
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stops the clock once the head is complete."""
        super().data_received(data)
        between = self.cycle is None or self.cycle.response_complete
        if between and self.conn.their_state is h11.IDLE:
            self._wait()
        elif self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def pause_writing(self) -> None:
        """Starts another clock: some of an answer has to wait."""
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stops it: all of the answer was taken."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops both."""
        for clock in (self._limit, self._unread):
            if clock is not None:
                clock.cancel()
        super().connection_lost(exc)

    def _watch(self, before: int) -> None:
        def look() -> None:
            left = self.transport.get_write_buffer_size()
            if left < before:  # it is slow, but there
                self._watch(left)
            else:
                self.transport.abort()

        self._unread = self.loop.call_later(WRITE_SECONDS, look)

    def _wait(self) -> None:
        if self._limit is None:
            self._limit = self.loop.call_later(HEADER_SECONDS, self.transport.abort)


def listen(host: str, port: int) -> socket.socket:
    """Opens a port; 0 is any that is free.

    Raises:
        OSError: If it is in use or not allowed; the message is one line.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # elsewhere it would share the port with another server
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Of its connections: in a larger buffer it does not show that a slow client reads.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**18)
            bound.bind(address)
            bound.listen(128)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fault = f"port {port} is in use: choose another with --port, or 0 for a free one"
        else:
            fault = f"cannot listen on {host}, port {port}: {error.strerror or error}"
        raise OSError(fault) from error
    return bound


class Server(uvicorn.Server):
    """A server that calls `ready` once requests are answered."""

    def __init__(self, app: Any, ready: Callable[[], None]) -> None:
        self._ready = ready
        super().__init__(
            uvicorn.Config(
                app,
                http=PatientProtocol,
                ws="none",
                lifespan="on",
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=GRACE,  # type: ignore[arg-type]  # any number will do
                h11_max_incomplete_event_size=32768,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and tells."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def serve(app: Any, bound: socket.socket, *, ready: Callable[[], None] = lambda: None) -> None:
    """Serves an application until it is told to stop, by Ctrl-C or SIGTERM.

    Args:
        app: The application.
        bound: What `listen` returns; it is closed in the end.
        ready: Called once requests are answered.
    """
    with bound:
        Server(app, ready).run(sockets=[bound])
