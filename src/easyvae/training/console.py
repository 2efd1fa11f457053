"""What a run tells its user: a bar in a terminal, a line per epoch elsewhere."""

import sys
from typing import Any

from easyvae.training.checkpoint_checks import Progress
from easyvae.training.history import Row, describe_row


class Console:
    """Writes to standard error, or nothing at all."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._bar: Any = None
        self._make_bar: Any = None
        if enabled and sys.stderr.isatty():
            try:
                from tqdm import tqdm

                self._make_bar = tqdm
            except ImportError:
                pass  # lines will do

    def line(self, text: str) -> None:
        """Writes a line, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        elif self.enabled:
            print(text, file=sys.stderr, flush=True)

    def scan(self, done: int, total: int) -> None:
        """Counts the pictures that have been read of a folder or archive."""
        if self._bar is None:
            self._show_bar(total=total, desc="reading", unit=" pictures")
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def start_epoch(self, progress: Progress, epochs: int, images: int | None) -> None:
        """Begins an epoch, or goes on with it."""
        name = f"epoch {progress.epoch + 1}/{epochs}"
        self._show_bar(total=images, initial=int(progress.sums[3]), desc=name, unit=" images")

    def _show_bar(self, **options: Any) -> None:
        if self._make_bar is not None:
            self._bar = self._make_bar(leave=False, dynamic_ncols=True, **options)

    def step(self, images: int, progress: Progress) -> None:
        """Counts a batch; the losses shown are averages over the epoch so far."""
        if self._bar is not None:
            loss, reconstruction, kl = (value / progress.sums[3] for value in progress.sums[:3])
            self._bar.set_postfix_str(
                f"loss {loss:.1f}, reconstruction {reconstruction:.1f}, KL {kl:.1f}",
                refresh=False,
            )
            self._bar.update(images)

    def end_epoch(self, row: Row, epochs: int) -> None:
        """Ends the epoch with a line."""
        self.close()
        self.line(describe_row(row).replace(",", f"/{epochs},", 1))

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
