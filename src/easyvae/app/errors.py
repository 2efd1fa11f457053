"""What a request gets that cannot be answered."""

from collections.abc import Mapping

from starlette.responses import JSONResponse


class RequestError(Exception):
    """An answer other than the one asked for.

    Attributes:
        status: The HTTP status.
        code: A word that the page translates.
        message: One English sentence, for people who use the routes directly.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """Returns the answer."""
        content = {"error": self.code, "message": self.message}
        return JSONResponse(content, self.status, self.headers)


def busy(message: str, seconds: int = 1) -> RequestError:
    """Returns the answer to a request that comes at a bad time."""
    return RequestError(503, "busy", message, {"Retry-After": str(seconds)})
