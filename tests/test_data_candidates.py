"""What easyvae has written is never data: run folders are left out, counted and said."""

import io
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from easyvae.data import ImageError, inspect_pictures, load_pictures
from easyvae.data.candidates import RunFolders, is_run
from easyvae.data.sources import open_source

OURS = {
    "a run": ["run.json", "checkpoints/step-000000002.safetensors", "curves.png", "own/1.png"],
    "a finished run": ["run.json", "model.safetensors", "reconstructions.png"],
    "a comparison under way": [
        "comparison.json",
        "runs/beta-1/run.json",
        "runs/beta-1/curves.png",
    ],
    "a comparison": ["results.json", "report.html", "samples.png", "models/beta-1.safetensors"],
}
NOT_OURS = {
    "settings of something else": ["run.json", "1.png"],
    "a model of something else": ["model.safetensors", "history.csv", "1.png"],
    "a folder of that name": ["runs/1.png", "checkpoints/2.png"],
}


def picture(value: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def made(folder: Path, names: list[str], *, archive: bool, backslashes: bool = False) -> Path:
    """Writes files of these names to a folder or an archive."""
    if archive:
        with zipfile.ZipFile(folder / "set.zip", "w") as file:
            for number, name in enumerate(names):
                file.writestr(name.replace("/", "\\") if backslashes else name, picture(number))
        return folder / "set.zip"
    for number, name in enumerate(names):
        (folder / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "set" / name).write_bytes(picture(number))
    return folder / "set"


@pytest.mark.parametrize("kind", list(OURS))
@pytest.mark.parametrize("archive", [False, True])
def test_run_folders_are_left_out_and_said(kind: str, archive: bool, tmp_path: Path) -> None:
    """At any depth, with all that is in them; the report and an inspection tell."""
    ours = [f"deep/{number}/{name}" for number in range(2) for name in OURS[kind]]
    path = made(tmp_path, ["a.png", "deep/b.png", "deep-0/c.png", *ours], archive=archive)
    pictures = load_pictures(path, (3, 8, 8))
    assert pictures.names == ["a.png", "deep-0/c.png", "deep/b.png"]
    assert pictures.report is not None
    assert pictures.report.runs == 2
    assert "2 run folders left out" in str(pictures.report)
    assert "run folders left out: 2" in str(inspect_pictures(path))


@pytest.mark.parametrize("kind", list(OURS))
@pytest.mark.parametrize("archive", [False, True])
def test_a_run_folder_is_no_source(kind: str, archive: bool, tmp_path: Path) -> None:
    """The error says what it is, and what to do."""
    with pytest.raises(
        ImageError, match=r"holds a run or comparison of easyvae.* in a folder beside"
    ):
        open_source(made(tmp_path, OURS[kind], archive=archive))


@pytest.mark.parametrize("kind", list(NOT_OURS))
@pytest.mark.parametrize("archive", [False, True])
def test_folders_of_others_are_data(kind: str, archive: bool, tmp_path: Path) -> None:
    """One name alone makes no run."""
    path = made(tmp_path, [f"x/{name}" for name in NOT_OURS[kind]], archive=archive)
    source = open_source(path)
    assert source.runs == 0
    assert len(source.names) == sum(name.endswith(".png") for name in NOT_OURS[kind])
    source.close()


def test_a_run_within_a_run_counts_once(tmp_path: Path) -> None:
    """As in the folder of a comparison."""
    names = [
        "a.png",
        *(f"b/{name}" for name in OURS["a comparison under way"]),
        "b/runs/beta-1/model.safetensors",
    ]
    (tmp_path / "zip").mkdir()
    for path in (
        made(tmp_path, names, archive=False),
        made(tmp_path / "zip", names, archive=True),
    ):
        source = open_source(path)
        assert (source.names, source.runs) == (["a.png"], 1)
        source.close()


def test_archives_with_backslashes_hold_runs_too(tmp_path: Path) -> None:
    """As some programs on Windows write them."""
    names = ["a.png", "b/run.json", "b/model.safetensors", "b/curves.png"]
    source = open_source(made(tmp_path, names, archive=True, backslashes=True))
    assert (source.names, source.runs) == (["a.png"], 1)
    source.close()


def test_nothing_but_runs_is_said(tmp_path: Path) -> None:
    """A folder in which there is nothing else has no pictures."""
    path = made(tmp_path, ["x/run.json", "x/model.safetensors", "x/1.png"], archive=False)
    with pytest.raises(ImageError, match=r"no readable .*; 1 run folder left out"):
        load_pictures(path, (3, 8, 8))


def test_what_a_run_leaves_does_not_change_the_data(tmp_path: Path) -> None:
    """The fingerprint of a folder is the same before a run in it, during it, and after."""
    path = made(tmp_path, ["1.png", "2.png"], archive=False)
    prints = [open_source(path).fingerprint]
    for name in ("run.json", "checkpoints/x", "curves.png", "model.safetensors"):
        (path / "runs" / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "runs" / "set" / name).write_bytes(picture())
        prints.append(open_source(path).fingerprint)
    assert len(set(prints)) == 1


def test_the_names_of_the_pairs() -> None:
    """A few more or fewer files make no difference."""
    assert is_run(["a", "run.json", "checkpoints", "b"])
    assert not is_run(["run.json", "comparison.json", "report.html"])
    assert not is_run([])


def test_hostile_names_take_no_time() -> None:
    """Hundreds of thousands of folders, or names as long as a format allows."""
    many = [
        f"{i}/{name}" for i in range(60_000) for name in ("run.json", "model.safetensors", "a")
    ]
    deep = ["runs/" * 10_000 + f"{i}/run.json" for i in range(300)]
    for names, count in ((many, 60_000), (deep, 0)):
        begin = time.process_time()
        runs = RunFolders(names)
        assert sum(name in runs for name in names) == (len(names) if count else 0)
        assert len(runs) == count
        assert time.process_time() - begin < 5
