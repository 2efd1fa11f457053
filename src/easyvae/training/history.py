"""What happened in a training run, epoch by epoch."""

import csv
import io
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from easyvae.core.files import ModelFileError, open_regular, write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Row(TypedDict):
    """One epoch. Losses are averages over images, in nats; without validation its are `None`."""

    epoch: int
    train_loss: float
    train_reconstruction: float
    train_kl: float
    val_loss: float | None
    val_reconstruction: float | None
    val_kl: float | None
    beta: float
    lr: float
    seconds: float
    images_per_second: float


COLUMNS = tuple(Row.__annotations__)


class History:
    """The rows of a training run.

    Training losses are taken with the beta in use, and validation losses with the schedule's
    last one, so that epochs can be compared.

    Attributes:
        rows: One dict per epoch, see `Row`.

    Example:
        >>> history = History()
        >>> history["val_loss"]
        []
        >>> len(history)
        0
    """

    def __init__(self, rows: list[Row] | None = None) -> None:
        self.rows: list[Row] = list(rows or [])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> list[float | int | None]:
        """Returns a column, one value per epoch.

        Raises:
            KeyError: If there is no such column.
        """
        if column not in COLUMNS:
            raise KeyError(f"{column!r} is no column; there are {', '.join(COLUMNS)}")
        return [row[column] for row in self.rows]  # type: ignore[literal-required]  # checked above

    def __repr__(self) -> str:
        if not self.rows:
            return "History of 0 epochs"
        return f"History of {len(self)} epochs, the last: {describe_row(self.rows[-1])}"

    def plot(self) -> "Figure":
        """Draws the losses over the epochs.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        from easyvae.plots import plot_history

        figure: Figure = plot_history(self)
        return figure

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Writes the rows as a CSV file with a header, all or nothing."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_file(Path(path), text.getvalue().encode())

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> "History":
        """Reads what `to_csv` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ModelFileError: If it is not such a file.
        """
        try:
            with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or ()) != COLUMNS:
                    raise ValueError(f"its header must be {COLUMNS}")
                rows = [_read_row(record) for record in reader]
        except ModelFileError:
            raise
        except (ValueError, csv.Error) as error:
            raise ModelFileError(path, f"is not a history ({error})") from None
        return cls(rows)


def _read_row(record: dict[Any, Any]) -> Row:
    """Turns a row of a CSV file, whose header has been compared, into numbers."""
    if None in record or None in record.values():
        raise ValueError(f"a row does not have {len(COLUMNS)} columns")
    return {  # type: ignore[return-value]  # these are the columns of a row
        name: int(text) if name == "epoch" else float(text) if text else None
        for name, text in record.items()
    }


def describe_row(row: Row) -> str:
    """Writes an epoch as a line."""
    validation = "" if row["val_loss"] is None else f"validation {row['val_loss']:.2f}, "
    return (
        f"epoch {row['epoch']}, loss {row['train_loss']:.2f}, "
        f"reconstruction {row['train_reconstruction']:.2f}, KL {row['train_kl']:.2f}, "
        f"{validation}{row['images_per_second']:.0f} images/s"
    )
