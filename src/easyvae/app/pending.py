"""What is computed in the background: not there yet, there, or never to come."""

from typing import Generic, TypeVar

from easyvae.app.errors import RequestError, busy

T = TypeVar("T")


class Pending(Generic[T]):
    """A place for something that is computed in the background.

    Args:
        code: The word for that it cannot be had.
        waiting: What a request for it is told until it is there.
        seconds: After how many it may ask again.

    Attributes:
        value: The thing, once it is there.
        failed: Why it will never be, if so.
    """

    def __init__(self, code: str, waiting: str, *, seconds: int = 1) -> None:
        """Has nothing yet."""
        self._code = code
        self._waiting = waiting
        self._seconds = seconds
        self.value: T | None = None
        self.failed: str | None = None

    def get(self) -> T:
        """Returns the thing.

        Raises:
            RequestError: If it is not there yet, 503, or never will be, 409.
        """
        if self.value is not None:
            return self.value
        if self.failed is not None:
            raise RequestError(409, self._code, self.failed)
        raise busy(self._waiting, self._seconds)
