"""One call that trains models alike and measures them on the same held-out pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch

from easyvae.checks import as_path
from easyvae.comparison.contenders import Contender, common_shape, gather_contenders
from easyvae.comparison.folder import begin_folder
from easyvae.comparison.names import file_name
from easyvae.comparison.result import Comparison, Result
from easyvae.data import Pictures, Sample, Warp, as_pictures, load_pictures, split
from easyvae.evaluation import Evaluator
from easyvae.history import History
from easyvae.metrics import Features, random_features
from easyvae.model import VAE
from easyvae.processes import choose_device
from easyvae.reporter import Reporter
from easyvae.training import NonFiniteError, choose_warp, fit

SHOWN = 16
"""How many of the held-out pictures a comparison keeps, to show them."""


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
    contenders = gather_contenders(
        models or {},
        betas,
        data,
        seed=seed,
        reconstruction=reconstruction,
        channels=channels,
        latent=latent,
        image_size=image_size,
        in_channels=in_channels,
        **architecture,
    )
    shape = common_shape(contenders)
    say = Reporter(enabled=progress)
    pictures = _open(data, shape, say)
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
    recipe: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "precision": precision,
        "seed": seed,
    }
    chosen = choose_warp(
        warp, [(model, loss) for model, loss in contenders.values() if loss is not None]
    )
    facts = {
        "training": len(trained),
        "held_out": len(held_out),
        "input_shape": list(shape),
        **recipe,
        "warp": chosen and asdict(chosen),
        "data": pictures.fingerprint,
        "validation": getattr(validation, "fingerprint", validation),
    }
    folder = None if out is None else as_path("out", out)
    if folder is not None:
        begin_folder(folder, facts, resume=resume)
    results: dict[str, Result] = {}
    for number, (name, (model, loss)) in enumerate(contenders.items(), start=1):
        say.line(f"model {number} of {len(contenders)}: {name}")
        history = None
        if loss is None:
            model.to(choose_device(device))
        else:
            history = _train(
                name,
                model,
                pictures,
                folder,
                loss=loss,
                validation=validation,
                device=device,
                resume=resume,
                progress=progress,
                warp=chosen,
                **recipe,
            )
        results[name] = Result(model.eval(), loss, history, evaluator(model))
    return Comparison(results, held_out[:SHOWN], facts, folder)


def _train(
    name: str, model: VAE, pictures: Pictures, folder: Path | None, **arguments: Any
) -> History:
    """Trains a model, in the comparison's folder if there is one.

    Raises:
        NonFiniteError: If a loss or gradient is not finite; the message begins with the name.
    """
    out = None if folder is None else folder / "runs" / file_name(name)
    try:
        return fit(model, pictures, out=out, **arguments)
    except NonFiniteError as error:
        # A note would not do: the command line shows the message alone.
        error.args = (f"model {name!r}: {error}",)
        raise


def _open(data: Any, shape: tuple[int, ...], say: Reporter) -> Pictures:
    if not isinstance(data, str | PathLike):
        return as_pictures(data, shape)
    try:
        pictures = load_pictures(data, shape, progress=say.scan)
    finally:
        say.close()
    say.line(str(pictures.report))
    return pictures


def _hold_out(pictures: Pictures, validation: Any, seed: int) -> tuple[Sample, Sample]:
    """Returns the images for training and those held out, in a random order."""
    if validation is None:
        raise ValueError(
            "`validation` (=None) must be a fraction or data: models are compared on it"
        )
    held_out = pictures
    if isinstance(validation, int | float):
        training, rest = split(pictures, float(validation), seed)
    else:
        held_out = validation
        training, rest = torch.arange(len(pictures)), torch.arange(len(held_out))
    generator = torch.Generator().manual_seed(seed)
    training, rest = (
        indices[torch.randperm(len(indices), generator=generator)] for indices in (training, rest)
    )
    return Sample(pictures, training), Sample(held_out, rest)
