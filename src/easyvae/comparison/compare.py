"""One call that trains models alike and measures them on the same held-out pictures."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from easyvae.comparison.names import file_name
from easyvae.comparison.result import Comparison, Result
from easyvae.data import Images, Pictures, Sample, as_pictures, load_pictures, split
from easyvae.evaluation import Evaluator, Features
from easyvae.losses import BetaLoss
from easyvae.metrics import random_features
from easyvae.model import VAE
from easyvae.processes import choose_device
from easyvae.reporter import Reporter
from easyvae.training import fit

Contenders: TypeAlias = Mapping[str, tuple[VAE, BetaLoss]]

SHOWN = 16
"""How many of the held-out pictures a comparison keeps, to show them."""


def compare(
    data: Any,
    models: Contenders | None = None,
    *,
    betas: Sequence[float] = (),
    epochs: int = 20,
    validation: Any = 0.1,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    out: str | PathLike[str] | None = None,
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
    pictures. A model that is not new (`model.fresh` is false) counts as trained, and is taken as
    it is. With `out`, a comparison that was stopped goes on where it was: call it again.

    Args:
        data: What `fit` takes, but for a `DataLoader`.
        models: Pairs of a model and its loss, by name.
        betas: Adds a model for each, of one architecture, which begins from the same weights.
        epochs: Passes through the data for each model.
        validation: The share of the data to hold out, or other data.
        batch_size: As in `fit`.
        lr: As in `fit`.
        seed: Of the split, the order, all noise, and the weights of the `betas`.
        device: As in `fit`.
        precision: As in `fit`.
        out: A folder for the runs, where `save` also puts the report.
        features: Maps pictures (n, C, H, W) in [0, 1] to features (n, F), in which distances
            between pictures and between sets of them are taken.
        importance_samples: See `easyvae.evaluation.evaluate`.
        progress: Tell what is going on.
        reconstruction: Of the `betas`, see `BetaLoss`.
        channels: Of the `betas`, see `VAE`, as all arguments that follow.
        latent: Latent size.
        image_size: That of the data by default; 64 for files.
        in_channels: Those of the data by default; 3 for files.
        **architecture: The other arguments of `VAE`.

    Returns:
        The `Comparison`.

    Raises:
        ValueError: If there are no models, their input shapes differ, or an argument is out of
            its range.

    Example:
        >>> images = torch.rand(60, 3, 16, 16)
        >>> found = compare(
        ...     images, betas=[1, 0.1], epochs=1, channels=[8, 16], latent=4, progress=False
        ... )
        >>> list(found.table)
        ['beta 1', 'beta 0.1']
    """
    contenders = dict(models or {})
    size, colours = _sizes(data, image_size, in_channels)
    for beta in betas:
        name = f"beta {beta:g}"
        if name in contenders:
            raise ValueError(f"`betas` has {beta:g} twice, or `models` has a {name!r} already")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = VAE(channels, latent, image_size=size, in_channels=colours, **architecture)
        contenders[name] = (model, BetaLoss(beta, reconstruction=reconstruction))
    shape = _check(contenders)
    say = Reporter(enabled=progress)
    pictures = _open(data, shape, say)
    trained, held_out = _hold_out(pictures, validation, shape, seed)
    folder = None if out is None else Path(out)
    evaluator: Evaluator | None = None
    results: dict[str, Result] = {}
    for number, (name, (model, loss)) in enumerate(contenders.items(), start=1):
        say.line(f"model {number} of {len(contenders)}: {name}")
        history = None
        if model.fresh:
            history = fit(
                model,
                pictures,
                loss=loss,
                epochs=epochs,
                batch_size=batch_size,
                validation=validation,
                lr=lr,
                device=device,
                precision=precision,
                seed=seed,
                out=None if folder is None else folder / "runs" / file_name(name),
                progress=progress,
            )
        else:
            model.to(choose_device(device))
        evaluator = evaluator or Evaluator(
            held_out,
            trained,
            features=features,
            importance_samples=importance_samples,
            seed=seed,
        )
        results[name] = Result(model, loss, history, evaluator(model))
    facts = {
        "training": len(trained),
        "held_out": len(held_out),
        "input_shape": list(shape),
        "epochs": epochs,
        "seed": seed,
        "data": pictures.fingerprint,
    }
    return Comparison(results, held_out[:SHOWN], facts, folder)


def _sizes(
    data: Any, image_size: int | Sequence[int] | None, in_channels: int | None
) -> tuple[int | Sequence[int], int]:
    """Returns the sizes of the images: those asked for, or those of the data, or 64 and 3."""
    images = data.images if isinstance(data, Pictures) else data
    shape = tuple(getattr(images, "shape", ()))
    size: int | Sequence[int] = list(map(int, shape[2:])) if len(shape) > 2 else 64
    colours = int(shape[1]) if len(shape) > 2 else 3
    return (
        size if image_size is None else image_size,
        colours if in_channels is None else in_channels,
    )


def _check(contenders: Contenders) -> tuple[int, ...]:
    """Checks names, models and losses, and returns the models' input shape."""
    if not contenders:
        raise ValueError(
            "there is nothing to compare: give `betas`, such as [1, 0.1], or `models`"
        )
    slugs: dict[str, str] = {}
    for name, pair in contenders.items():
        if not (
            isinstance(pair, tuple)
            and len(pair) == 2
            and isinstance(pair[0], VAE)
            and isinstance(pair[1], BetaLoss)
        ):
            raise TypeError(f"`models` must have a pair (VAE, BetaLoss) as {name!r}")
        slug = file_name(name)
        if slug in slugs:
            raise ValueError(
                f"`models` has the names {slugs[slug]!r} and {name!r}, which would share the file "
                f"{slug}.safetensors; rename one"
            )
        slugs[slug] = name
    shapes = {name: model.input_shape for name, (model, _) in contenders.items()}
    (first, shape), *others = shapes.items()
    for name, other in others:
        if other != shape:
            raise ValueError(
                f"`models` must all take one shape; {first!r} takes {shape} and {name!r} {other}"
            )
    return shape


def _open(data: Any, shape: tuple[int, ...], say: Reporter) -> Pictures:
    if not isinstance(data, str | PathLike):
        return as_pictures(data, shape)
    try:
        pictures = load_pictures(data, shape, progress=say.scan)
    finally:
        say.close()
    say.line(str(pictures.report))
    return pictures


def _hold_out(
    pictures: Pictures, validation: Any, shape: tuple[int, ...], seed: int
) -> tuple[Images, Images]:
    """Returns the images for training and those held out, in a random order."""
    if validation is None:
        raise ValueError(
            "`validation` (=None) must be a fraction or data: models are compared on it"
        )
    if isinstance(validation, int | float):
        training, rest = split(pictures, float(validation), seed)
        held_out = pictures
    else:
        held_out = as_pictures(validation, shape)
        training, rest = torch.arange(len(pictures)), torch.arange(len(held_out))
    generator = torch.Generator().manual_seed(seed)
    training, rest = (
        indices[torch.randperm(len(indices), generator=generator)] for indices in (training, rest)
    )
    return Sample(pictures, training), Sample(held_out, rest)
