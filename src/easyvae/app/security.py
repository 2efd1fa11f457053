"""What every request passes on its way in, and every answer on its way out."""

import asyncio
import contextlib
import ipaddress
import logging
import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from easyvae.app.errors import RequestError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
DRAIN = 5.0
"""Seconds for which the rest of a body is let go of once its request is refused."""
_log = logging.getLogger(__name__)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.ASCII)


class Guard:
    """Refuses requests that a foreign page or name has led here, and sets the safety headers.

    A page elsewhere can make a browser send requests to this server, and by pointing its own
    name here (DNS rebinding) it could even read the answers. So the `Host` must be a name of this
    server, and a request must come from its own page, from a program, or from a link that
    somebody follows.

    Args:
        app: The application.
        hosts: Names it goes by, beyond those of the loopback interface. With "*" any address
            in figures will do as well: it cannot be rebound.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._any_address = "*" in hosts
        self._hosts = LOOPBACK | {host.lower().strip("[]") for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        exchange = _Exchange(receive, send, has_body=has_body)
        refusal = self._refusal(scope["method"], headers)
        if refusal is None and has_body and scope["method"] != "POST":
            refusal = RequestError(400, "body", "a body belongs to POST")
        if refusal is None:
            try:
                await self._app(scope, exchange.receive, exchange.send)
            except asyncio.CancelledError:  # the server stops, and has waited for long enough
                if exchange.begun:
                    raise
                refusal = RequestError(503, "busy", "the server is stopping")
            except Exception:
                if exchange.begun:
                    raise
                _log.exception("%s %s failed", scope["method"], scope["path"])
                refusal = RequestError(500, "failed", "the server failed to answer this")
        if refusal is not None:
            await refusal.response()(scope, exchange.receive, exchange.send)

    def _refusal(self, method: str, headers: Headers) -> RequestError | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return RequestError(400, "bad_host", "this server goes by another name")
        origin = headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2].lower() != hosts[0].lower()
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            # A link may lead here from anywhere; what such a page fetches is its own affair.
            followed = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
            foreign = foreign or not followed
        if foreign:
            return RequestError(403, "bad_origin", "only the server's own page may ask for this")
        return None

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match.group(1).strip("[]")
        if name in self._hosts:
            return True
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return self._any_address
        return False


class _Exchange:
    """A request and its answer, to which it adds the safety headers.

    Attributes:
        begun: Whether some of the answer has been sent.
    """

    def __init__(self, receive: Receive, send: Send, *, has_body: bool) -> None:
        self._receive = receive
        self._send = send
        self._unread = has_body
        self._refused = False
        self.begun = False

    async def receive(self) -> Message:
        """Passes on some of the body."""
        message = await self._receive()
        self._unread = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Passes on some of the answer."""
        if message["type"] == "http.response.start":
            self.begun = True
            outgoing = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                outgoing.setdefault(name, value)
            outgoing.setdefault("Cache-Control", "no-store")
            self._refused = self._unread and message["status"] >= 400
            if self._refused:  # whatever is left of the body is nobody's
                outgoing["Connection"] = "close"
        elif self._refused and not message.get("more_body", False):
            # The whole answer goes first. A client that is still sending would not see one from
            # a server that hangs up, so it may go on for a while.
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while self._unread:
                    await self.receive()
