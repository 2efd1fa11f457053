"""The models that a comparison is between, each with the loss to train it with."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from easyvae.comparison.names import file_name
from easyvae.data import Pictures
from easyvae.data.random_state import RandomState
from easyvae.losses import BetaLoss
from easyvae.model import VAE

Contender: TypeAlias = VAE | tuple[VAE, BetaLoss]
"""A model that is trained already, or one to train and its loss."""

Contenders: TypeAlias = dict[str, tuple[VAE, BetaLoss | None]]
"""By name; without a loss a model is trained already."""


def gather_contenders(
    models: Mapping[str, Contender],
    betas: Sequence[float],
    data: Any,
    *,
    seed: int,
    reconstruction: Any,
    channels: Sequence[int],
    latent: int,
    image_size: int | Sequence[int] | None,
    in_channels: int | None,
    **architecture: Any,
) -> Contenders:
    """Copies the caller's models, and adds one for each beta.

    See `compare` for the arguments; of `data` nothing counts but the shape.

    Raises:
        ValueError: If two models would have one name, or an argument is out of its range.
        TypeError: If an argument is of the wrong type.
    """
    contenders = {name: _copy(name, entry) for name, entry in models.items()}
    if isinstance(betas, str) or not isinstance(betas, Sequence):
        raise TypeError(f"`betas` (={betas!r}) must be a sequence of numbers, such as [1, 0.1]")
    if architecture and not betas:
        names = ", ".join(f"`{name}`" for name in architecture)
        raise TypeError(f"{names}: these describe the models of `betas`, and there are none")
    size, colours = _sizes(data, contenders, image_size, in_channels)
    for beta in betas:
        loss = BetaLoss(beta, reconstruction=reconstruction)
        name = f"beta {loss.beta:g}"
        if name in contenders:
            raise ValueError(f"`betas` has {loss.beta:g} twice, or `models` has {name!r} already")
        with RandomState(seed).active():
            model = VAE(channels, latent, image_size=size, in_channels=colours, **architecture)
        contenders[name] = (model, loss)
    return contenders


def common_shape(contenders: Contenders) -> tuple[int, ...]:
    """Returns the input shape of all models.

    Raises:
        ValueError: If there are no models, two would share a file, or their shapes differ.
    """
    if not contenders:
        raise ValueError(
            "there is nothing to compare: give `betas`, such as [1, 0.1], or `models`"
        )
    slugs: dict[str, str] = {}
    for name in contenders:
        slug = file_name(name).casefold()  # some disks know no capitals
        if slug in slugs:
            raise ValueError(
                f"`models` has the names {slugs[slug]!r} and {name!r}, which would share the file "
                f"{file_name(name)}.safetensors; rename one"
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


def _copy(name: str, entry: Contender) -> tuple[VAE, BetaLoss | None]:
    """Returns a copy of a model, with the loss to train it with if there is one."""
    model, loss = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, None)
    if not isinstance(model, VAE) or not (loss is None or isinstance(loss, BetaLoss)):
        raise TypeError(
            f"`models` has {type(entry).__name__} as {name!r}; it must have a pair (VAE, "
            "BetaLoss) to train, or a VAE that is trained already"
        )
    return copy.deepcopy(model), copy.deepcopy(loss)


def _sizes(
    data: Any,
    contenders: Contenders,
    image_size: int | Sequence[int] | None,
    in_channels: int | None,
) -> tuple[int | Sequence[int], int]:
    """Returns the images' sizes and colours: asked for, or of the models, or of the data."""
    images = data.images if isinstance(data, Pictures) else data
    shape = tuple(map(int, getattr(images, "shape", ())))
    size: int | Sequence[int] = 64
    colours = 3
    if contenders:
        model, _ = next(iter(contenders.values()))
        colours, *size = model.input_shape
    elif len(shape) == 3 and shape[1] == shape[2]:  # square greys, without their one channel
        colours, size = 1, shape[1:]
    elif len(shape) == 4 and shape[3] in (1, 3) and shape[1] > 4:  # refused, with advice, later
        colours, size = shape[3], shape[1:3]
    elif len(shape) > 2:
        colours, size = shape[1], shape[2:]
    return (
        size if image_size is None else image_size,
        colours if in_channels is None else in_channels,
    )
