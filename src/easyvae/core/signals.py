"""Ctrl-C and SIGTERM as requests: a step under way is finished before the program ends."""

import signal
import threading
from types import FrameType
from typing import Any, NoReturn, Self


class Terminated(SystemExit):
    """What ends a program after SIGTERM: with the customary exit code 143, and a last line."""

    def __init__(self, advice: str) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.advice = advice


class StopSignals:
    """Notes the first signal, and lets a second one through.

    Only the main thread can handle signals; in others this does nothing.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # one that came from outside Python cannot be put back
                signal.signal(number, handler)
        self._before.clear()

    def leave(self, advice: str) -> NoReturn:
        """Ends the program as the signal would have.

        Raises:
            KeyboardInterrupt: After Ctrl-C.
            Terminated: After SIGTERM.
        """
        if self.requested == signal.SIGTERM:
            raise Terminated(advice)
        raise KeyboardInterrupt(advice)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            raise KeyboardInterrupt
        self.requested = number
