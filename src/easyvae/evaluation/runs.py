"""How a training run has divided pictures: which of them it has seen, and which it held out."""

from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from easyvae.data import Images, Pictures, as_pictures
from easyvae.feeds import SourceOpener
from easyvae.files import ModelFileError, read_json
from easyvae.reporter import Reporter


class Division(NamedTuple):
    """What a run has made of a set of pictures; each part is in a random order.

    Attributes:
        training: Those that it was trained on.
        held_out: Those that it held out; `None` if it was trained on all of them.
    """

    training: Images
    held_out: Images | None


class Run(NamedTuple):
    """What the settings of a run tell about its data; each is of the type and range it says.

    A run folder may come from anyone: what it names is a claim, and no leave to open it.

    Attributes:
        pictures: The path or set that it names as what it was trained on, if it does.
        data: A fingerprint of the images that it was trained on.
        validation: One of those that it was validated on, if there were any.
        validation_share: The fraction of the data that they were, if they were set aside.
        seed: Of the split.
    """

    pictures: str | None
    data: str
    validation: str | None
    validation_share: float | None
    seed: int


def read_run(model: str | PathLike[str]) -> Run | None:
    """Reads the settings of the run that a model comes from.

    Args:
        model: A run folder, or the model file in one.

    Returns:
        The settings, or `None` where there is no run.

    Raises:
        ModelFileError: If the settings are damaged.
    """
    folder = Path(model)
    if folder.name == "model.safetensors":
        folder = folder.parent
    path = folder / "run.json"
    if not path.exists():
        return None
    if not path.is_file():  # a pipe would be waited for, for ever
        raise ModelFileError(path, "is not a regular file")
    return _checked(path, read_json(path))


def _checked(path: Path, settings: dict[str, Any]) -> Run:
    def check(name: str, value: Any, good: bool, rule: str) -> None:
        if not good:
            plain = value is None or isinstance(value, bool | int | float | str)
            shown = repr(value)[:80] if plain else f"a {type(value).__name__}"
            raise ModelFileError(
                path, f"is not a run's settings: `{name}` (={shown}) must be {rule}"
            )

    known = settings.get("must_match")
    if not isinstance(known, dict):
        check("must_match", known, False, "an object")
        known = {}
    pictures, share = settings.get("pictures"), settings.get("validation_share")
    data, validation, seed = (known.get(name) for name in ("data", "validation", "seed"))
    is_path = isinstance(pictures, str) and 0 < len(pictures) <= 4096 and "\0" not in pictures
    check("pictures", pictures, pictures is None or is_path, "a path, or null")
    is_share = isinstance(share, float) and 0 < share < 1
    check("validation_share", share, share is None or is_share, "between 0 and 1, or null")
    check("data", data, isinstance(data, str), "a fingerprint")
    is_mark = isinstance(validation, str)
    check("validation", validation, validation is None or is_mark, "a fingerprint, or null")
    is_seed = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**64
    check("seed", seed, is_seed, "an integer from 0 to 2**64 - 1")
    return Run(pictures, known["data"], validation, share, known["seed"])


def divide_as_run(pictures: Pictures, run: Run) -> Division | None:
    """Divides pictures as a run has divided them, if it was trained on just these.

    Args:
        pictures: The pictures, read as the run has read them.
        run: The settings of the run.

    Returns:
        The division, or `None` where the run was trained on other data.
    """
    shape, count = tuple(pictures.images.shape[1:]), len(pictures)
    opener = SourceOpener(
        shape=shape,
        batch_size=1,
        seed=run.seed,
        unit_range=False,
        rank=0,
        world=1,
        say=Reporter(enabled=False),
    )
    if run.validation_share is not None:
        try:
            training, held_out = opener.open(pictures, run.validation_share)
        except ValueError:  # they cannot be divided so, as all copies of one picture
            return None
        if held_out is None or held_out.fingerprint() != run.validation:
            return None
        return Division(training.feed.sample(count), held_out.feed.sample(count))
    for flip in (False, True):  # the fingerprint tells whether pictures were mirrored
        training, _ = opener.open(as_pictures(pictures, shape, flip=flip), None)
        if training.fingerprint() == run.data:
            return Division(training.feed.sample(count), None)
    return None
