"""One call that trains models alike and measures them on the same held-out pictures."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from easyvae.comparison.result import Comparison, Result, file_name
from easyvae.core.checks import as_path
from easyvae.core.files import ModelFileError, read_json, write_file
from easyvae.core.seeds import RandomState
from easyvae.data import Pictures, Sample, Warp, as_pictures, split
from easyvae.evaluation import Evaluator
from easyvae.losses import BetaLoss
from easyvae.metrics import Features, random_features
from easyvae.model import VAE
from easyvae.training import History, NonFiniteError, fit
from easyvae.training.console import Console
from easyvae.training.distributed import choose_device
from easyvae.training.open_data import open_pictures
from easyvae.training.recipe import choose_warp

Contender: TypeAlias = VAE | tuple[VAE, BetaLoss]
"""A model that is trained already, or one to train and its loss."""

Contenders: TypeAlias = dict[str, tuple[VAE, BetaLoss | None]]


def gather_contenders(
    models: Mapping[str, Contender],
    betas: Sequence[float],
    data: Any,
    seed: int,
    reconstruction: Any,
    image_size: int | Sequence[int] | None,
    in_channels: int | None,
    architecture: Mapping[str, Any],
) -> Contenders:
    """Copies the caller's models, and adds one for each beta.

    See `compare` for the arguments; of `data` nothing counts but the shape.
    """
    contenders = {name: _copy(name, entry) for name, entry in models.items()}
    if isinstance(betas, str) or not isinstance(betas, Sequence):
        raise TypeError(f"`betas` (={betas!r}) must be a sequence of numbers, such as [1, 0.1]")
    further = [f"`{name}`" for name in architecture if name not in ("channels", "latent")]
    if further and not betas:
        names = ", ".join(further)
        raise TypeError(f"{names}: these describe the models of `betas`, and there are none")
    size, colours = _sizes(data, contenders)
    size = size if image_size is None else image_size
    colours = colours if in_channels is None else in_channels
    for beta in betas:
        loss = BetaLoss(beta, reconstruction=reconstruction)
        name = f"beta {loss.beta:g}"
        if name in contenders:
            raise ValueError(f"`betas` has {loss.beta:g} twice, or `models` has {name!r} already")
        with RandomState(seed).active():
            contenders[name] = VAE(image_size=size, in_channels=colours, **architecture), loss
    return contenders


def common_shape(contenders: Contenders) -> tuple[int, ...]:
    """Returns the input shape of all models, whose names and shapes it checks."""
    if not contenders:
        raise ValueError(
            "there is nothing to compare: give `betas`, such as [1, 0.1], or `models`"
        )
    (first, (model, _)), *_others = contenders.items()
    shape = model.input_shape
    names: dict[str, str] = {}
    for name, (model, _) in contenders.items():
        slug = file_name(name)
        other = names.setdefault(slug.casefold(), name)  # some disks know no capitals
        if other != name:
            raise ValueError(
                f"`models` has the names {other!r} and {name!r}, which would share the file "
                f"{slug}.safetensors; rename one"
            )
        if model.input_shape != shape:
            raise ValueError(
                f"`models` must all take one shape; {first!r} takes {shape} and {name!r} "
                f"{model.input_shape}"
            )
    return shape


def _copy(name: str, entry: Contender) -> tuple[VAE, BetaLoss | None]:
    """Returns a copy of a model, with the loss to train it with if there is one."""
    model, loss = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, None)
    if not isinstance(model, VAE) or not (loss is None or isinstance(loss, BetaLoss)):
        raise TypeError(
            f"`models` has {type(entry).__name__} as {name!r}; it must have a pair (VAE, "
            "BetaLoss) to train, or a VAE that is trained already"
        )
    return copy.deepcopy(model), copy.deepcopy(loss)


def _sizes(data: Any, contenders: Contenders) -> tuple[int | Sequence[int], int]:
    """Returns the images' sizes and colours: those of the models, or else of the data."""
    if contenders:
        model, _ = next(iter(contenders.values()))
        return model.input_shape[1:], model.input_shape[0]
    images = data.images if isinstance(data, Pictures) else data
    shape = tuple(map(int, getattr(images, "shape", ())))
    if len(shape) == 3 and shape[1] == shape[2]:  # square greys, without their one channel
        return shape[1:], 1
    if len(shape) == 4 and shape[3] in (1, 3) and shape[1] > 4:  # refused, with advice, later
        return shape[1:3], shape[3]
    return (shape[2:], shape[1]) if len(shape) > 2 else (64, 3)


def begin_folder(folder: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
    """Begins a comparison in a folder, or makes sure that it goes on as it began."""
    path = folder / "comparison.json"
    now = json.loads(json.dumps(facts))
    if resume and path.is_file():
        before = read_json(path)
        if missing := now.keys() - before.keys():
            raise ModelFileError(path, f"is not what `compare` writes: no {min(missing)}")
        differing = [
            f"{name} ({before[name]!r}, now {now[name]!r})"
            for name in now
            if before[name] != now[name]
        ]
        if differing:
            raise ValueError(
                f"`out` (={str(folder)!r}) holds a comparison that differs in "
                f"{', '.join(differing)}; choose another folder, or pass `resume=False` "
                "(--fresh) to train anew"
            )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`out` (={str(folder)!r}) is a file; it must be a folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(now, indent=1) + "\n").encode())


SHOWN = 16  # of the held-out pictures are kept, to be drawn


def compare(
    data: Any,
    models: Mapping[str, Contender] | None = None,
    *,
    betas: Sequence[float] = (),
    epochs: int = 20,
    validation: Any = 0.1,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    warp: Warp | Literal["auto"] | None = "auto",
    out: str | PathLike[str] | None = None,
    resume: bool = True,
    features: Features = random_features,
    importance_samples: int = 0,
    progress: bool = True,
    reconstruction: Any = "bce",
    channels: Sequence[int] = (32, 64, 128, 256),
    latent: int = 128,
    image_size: int | Sequence[int] | None = None,
    in_channels: int | None = None,
    **architecture: Any,
) -> Comparison:
    """Trains models on one data set and measures them on the same held-out pictures.

    All have one split, which keeps identical pictures together, one seed and one order of the
    pictures. With `out`, a comparison that was stopped goes on where it was: call it again.

    Args:
        data: What `fit` takes, but for a `DataLoader`.
        models: By name, a pair of a model and its loss, to train; or a model alone, which is
            trained already and taken as it is. They are copied: yours stay as they are.
        betas: Adds a model for each, of one architecture, which begins from the same weights.
        epochs: Passes through the data for each model.
        validation: The share of the data to hold out, or other data.
        batch_size: As in `fit`.
        lr: As in `fit`.
        seed: Of the split, the order, all noise, and the weights of the `betas`.
        device: As in `fit`.
        precision: As in `fit`.
        warp: As in `fit`; "auto" is the same for all models: `Warp()` if any of them has a
            beta below 0.5, and none a term or a network of its own.
        out: A folder for the runs, where `save` also puts the report.
        resume: Go on where a comparison in `out` was stopped; `False` trains anew.
        features: Maps pictures (n, C, H, W) in [0, 1], on the CPU, to features (n, F), in which
            distances between pictures and between sets of them are taken.
        importance_samples: See `easyvae.evaluation.evaluate`.
        progress: Tell what is going on.
        reconstruction: Of the `betas`, see `BetaLoss`.
        channels: Of the `betas`, see `VAE`, as all arguments that follow.
        latent: Latent size.
        image_size: That of `models`, of a tensor or array of images, or 64.
        in_channels: Likewise, or 3.
        **architecture: The other arguments of `VAE`.

    Returns:
        The `Comparison`.

    Raises:
        ValueError: If there are no models, their input shapes differ, `out` holds a comparison
            with other settings, or an argument is out of its range.
        TypeError: If an argument is of the wrong type.
        NonFiniteError: If a training breaks down; the message names the model.

    Example:
        >>> images = torch.rand(60, 3, 16, 16)
        >>> found = compare(
        ...     images, betas=[1, 0.1], epochs=1, channels=[8, 16], latent=4, progress=False
        ... )
        >>> list(found.table)
        ['beta 1', 'beta 0.1']
    """
    architecture |= {"channels": channels, "latent": latent}
    contenders = gather_contenders(
        models or {}, betas, data, seed, reconstruction, image_size, in_channels, architecture
    )
    shape = common_shape(contenders)
    console = Console(enabled=progress)
    pictures = open_pictures(data, shape, console=console)
    if isinstance(data, str | PathLike):
        console.line(str(pictures.report))
    if validation is not None and not isinstance(validation, int | float):
        validation = as_pictures(validation, shape)  # once, for all models
    trained, held_out = _hold_out(pictures, validation, seed)
    alike = all(model.output == "sigmoid" for model, _ in contenders.values())
    evaluator = Evaluator(
        held_out,
        trained,
        likelihood=None if alike else "normal",  # likelihoods compare only with their like
        features=features,
        importance_samples=importance_samples,
        seed=seed,
    )
    recipe: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "lr": lr}
    recipe |= {"precision": precision, "seed": seed}
    warp = choose_warp(
        warp, [(model, loss) for model, loss in contenders.values() if loss is not None]
    )
    facts = {
        "training": len(trained),
        "held_out": len(held_out),
        "input_shape": list(shape),
        **recipe,
        "warp": warp and asdict(warp),
        "data": pictures.fingerprint,
        "validation": getattr(validation, "fingerprint", validation),
    }
    folder = None if out is None else as_path("out", out)
    if folder is not None:
        begin_folder(folder, facts, resume=resume)
    recipe |= {"device": device, "resume": resume, "progress": progress}
    recipe |= {"validation": validation, "warp": warp}
    results: dict[str, Result] = {}
    for number, (name, (model, loss)) in enumerate(contenders.items(), start=1):
        console.line(f"model {number} of {len(contenders)}: {name}")
        history = _train(name, model, loss, pictures, folder, **recipe)
        results[name] = Result(model.eval(), loss, history, evaluator(model))
    return Comparison(results, held_out[:SHOWN], facts, folder)


def _train(
    name: str,
    model: VAE,
    loss: BetaLoss | None,
    pictures: Pictures,
    folder: Path | None,
    **recipe: Any,
) -> History | None:
    """Trains a model, in the comparison's folder if there is one; without a loss it is left."""
    if loss is None:
        model.to(choose_device(recipe["device"]))
        return None
    out = None if folder is None else folder / "runs" / file_name(name)
    try:
        return fit(model, pictures, loss=loss, out=out, **recipe)
    except NonFiniteError as error:
        # A note would not do: the command line shows the message alone.
        error.args = (f"model {name!r}: {error}",)
        raise


def _hold_out(pictures: Pictures, validation: Any, seed: int) -> tuple[Sample, Sample]:
    """Returns the images for training and those held out, in a random order."""
    if validation is None:
        raise ValueError(
            "`validation` (=None) must be a fraction or data: models are compared on it"
        )
    if isinstance(validation, int | float):
        held_out, parts = pictures, split(pictures, float(validation), seed)
    else:
        held_out, parts = validation, (torch.arange(len(pictures)), torch.arange(len(validation)))
    generator = torch.Generator().manual_seed(seed)
    training, rest = (part[torch.randperm(len(part), generator=generator)] for part in parts)
    return Sample(pictures, training), Sample(held_out, rest)
