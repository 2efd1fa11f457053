"""Pillow, imported only when a picture is read, and kept from talking over us."""

import threading
import warnings
from types import ModuleType

from easyvae.checks import missing


def import_pillow() -> ModuleType:
    """Returns `PIL.Image`, or say how to install it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("reading pictures", "Pillow") from error
    return Image


class _QuietPillow:
    """Holds back Pillow's warnings (large pictures, odd EXIF) while any thread is decoding.

    The list of warning filters belongs to the whole process, and `warnings.catch_warnings` in
    several threads at once can leave it changed for good; so the first one in sets the filter and
    the last one out takes it away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._filters.__exit__(None, None, None)


quiet_pillow = _QuietPillow()
