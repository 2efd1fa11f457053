"""The history of a run: rows, columns, CSV."""

from pathlib import Path

import pytest

from easyvae import History
from easyvae.core.files import ModelFileError
from easyvae.training import Row
from easyvae.training.history import COLUMNS, describe_row

HEADER = (",".join(COLUMNS) + "\n").encode()


def rows(count: int, *, validated: bool = True) -> list[Row]:
    value = 7.25 if validated else None
    return [
        Row(
            epoch=i + 1,
            train_loss=10 / (i + 1),
            train_reconstruction=9.0,
            train_kl=0.1 + 0.2,
            val_loss=value,
            val_reconstruction=value,
            val_kl=value,
            beta=0.005,
            lr=4e-3,
            seconds=1.5,
            images_per_second=1000.0,
        )
        for i in range(count)
    ]


def test_columns_and_rows() -> None:
    """`history["val_loss"]` is a column, iterating gives rows, and an unknown column says so."""
    history = History(rows(3))
    assert history["epoch"] == [1, 2, 3]
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert len(history) == 3
    with pytest.raises(KeyError, match="val_loss"):
        history["validation"]


@pytest.mark.parametrize("validated", [True, False])
def test_csv_round_trip_is_exact(tmp_path: Path, validated: bool) -> None:
    """Every digit and every missing value survives."""
    history = History(rows(4, validated=validated))
    history.to_csv(tmp_path / "history.csv")
    assert History.from_csv(tmp_path / "history.csv").rows == history.rows


@pytest.mark.parametrize(
    "text",
    [
        b"a,b\n1,2\n",
        b"",
        b"\xff",
        b",".join([b"1"] * 3),
        HEADER + b"x" * 200_000,
        HEADER + b"one" + b",1" * 10,
        HEADER + b"1" + b",1" * 11,
        HEADER + b"1,2",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: bytes) -> None:
    """A CSV of something else is no history, nor is one with other columns or with words."""
    (tmp_path / "x.csv").write_bytes(text)
    with pytest.raises(ModelFileError, match="is not a history"):
        History.from_csv(tmp_path / "x.csv")


def test_repr_shows_the_newest_losses() -> None:
    """A notebook's last line says how far the run is and how good."""
    assert repr(History()) == "History of 0 epochs"
    assert "2 epochs" in repr(History(rows(2)))
    assert "validation" not in describe_row(rows(1, validated=False)[0])


def test_changing_the_list_given_changes_no_history() -> None:
    """The rows are copied, so that a caller's list is its own."""
    given = rows(2)
    history = History(given)
    given.clear()
    assert len(history) == 2
