"""How a training run has divided pictures: which of them it has seen, and which it held out."""

from os import PathLike
from pathlib import Path
from typing import NamedTuple

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
    """What the settings of a run tell about its data.

    Attributes:
        data: A fingerprint of the images that it was trained on.
        validation: One of those that it was validated on, if there were any.
        validation_share: The fraction of the data that they were, if they were set aside.
        seed: Of the split.
    """

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
    if not path.is_file():
        return None
    try:
        settings = read_json(path)
        known = settings["must_match"]
        share = settings.get("validation_share")
        return Run(known["data"], known["validation"], share, known["seed"])
    except (KeyError, TypeError) as error:
        raise ModelFileError(path, f"is not a run's settings ({error!r})") from None


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
