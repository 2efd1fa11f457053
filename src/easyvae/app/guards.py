"""What every request passes on its way in, and every answer on its way out."""

import ipaddress
import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.ASCII)


class Guard:
    """Refuses requests that a foreign page or name has led here, and sets the safety headers.

    A page elsewhere can make a browser send requests to this server, and by pointing its own
    name here (DNS rebinding) it could even read the answers. So the `Host` must be a name of this
    server, and what changes anything must come from the server's own page.

    Args:
        app: The application.
        hosts: Names it goes by, beyond those of the loopback interface. With "*" any address
            in figures will do as well: it cannot be rebound.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        """Keeps the names."""
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

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                outgoing = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    outgoing.setdefault(name, value)
                outgoing.setdefault("Cache-Control", "no-store")
                if has_body and message["status"] >= 400:
                    # Whatever is left of the body is nobody's: without this it could go on.
                    outgoing["Connection"] = "close"
            await send(message)

        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            code, status, text = refusal
            response = JSONResponse({"error": code, "message": text}, status)
            await response(scope, receive, answer)
        elif has_body and scope["method"] != "POST":
            response = JSONResponse({"error": "body", "message": "a body belongs to POST"}, 400)
            await response(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    def _refusal(self, method: str, headers: Headers) -> tuple[str, int, str] | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return "bad_host", 400, "this server goes by another name"
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != hosts[0].lower():
            return "bad_origin", 403, "only the server's own page may send this"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "bad_origin", 403, "only the server's own page may send this"
        return None

    def _knows(self, host: str) -> bool:
        match = _HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match.group(1).strip("[]")
        return name in self._hosts or (self._any_address and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
