"""Whether models and a set of pictures can be shown together."""

from collections.abc import Mapping

from easyvae.data import Pictures
from easyvae.data.store import pieces
from easyvae.model import VAE


def check_models(models: Mapping[str, VAE]) -> tuple[int, ...]:
    """Makes sure that models can be shown side by side.

    Returns:
        The shape that all of them take, (C, H, W).

    Raises:
        ValueError: If they cannot.
    """
    if not models:
        raise ValueError("`models` (={}) must have at least one model")
    shapes = {name: model.input_shape for name, model in models.items()}
    first, shape = next(iter(shapes.items()))
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(
            f"the mixer shows pictures, of 1 or 3 channels and two sizes; {first} takes {shape}"
        )
    for name, other in shapes.items():
        if other != shape:
            raise ValueError(
                f"all models must take pictures of one size; {first} takes {shape}, "
                f"and {name} {other}"
            )
    return shape


def check_pictures(pictures: Pictures, shape: tuple[int, ...]) -> None:
    """Makes sure that a set can be shown.

    Raises:
        ValueError: If it is empty, of another shape, or not of pictures.
    """
    images = pictures.images
    if not len(images):
        raise ValueError("`pictures` must have at least one picture")
    if tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"`pictures` {tuple(images.shape)} must have the models' shape, "
            f"(N, {', '.join(map(str, shape))})"
        )
    if images.is_floating_point():
        for piece in pieces(images):
            low, high = (float(x) for x in images[piece].aminmax())
            if not (low >= 0 and high <= 1):  # nor NaN
                raise ValueError(
                    f"`pictures` (from {low:g} to {high:g}) must be from 0 to 1, or bytes: "
                    "otherwise it is not known what is black and what is white"
                )
