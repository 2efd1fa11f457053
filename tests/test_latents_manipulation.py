"""Films, mixtures and directions, for our models and for anything that encodes and decodes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from easyvae import VAE, Posterior, interpolate, lerp, reparameterize, slerp
from easyvae.latents import (
    attribute_direction,
    edit,
    embed,
    eval_mode,
    is_single,
    mix,
    principal_directions,
    traverse,
)

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch": {"norm": "batch"},
    "group": {"norm": "group", "residual_blocks": 1},
    "identity": {"output": "identity"},
    "sound": {"image_size": (50,)},
    "volume": {"image_size": (9, 8, 7), "in_channels": 1},
    "oblong": {"image_size": (17, 30), "in_channels": 1},
}
EVERY = pytest.mark.parametrize("arguments", MODELS.values(), ids=MODELS.keys())
METHODS = pytest.mark.parametrize("method", ["slerp", "lerp"])


def tiny(**changes: Any) -> VAE:
    """A model in training mode, whose batch norms have seen some images."""
    model = VAE(**{"channels": [8, 16], "latent": 4, "image_size": 16, **changes})
    model(torch.rand(8, *model.input_shape))
    return model


class Foreign(nn.Module):
    """A model of another library: no `input_shape`, and an `encode` that returns anything."""

    def __init__(self, returns: str, *, spatial: bool = False) -> None:
        super().__init__()
        self.returns, self.spatial = returns, spatial
        self.down = nn.Conv2d(3, 4, 2, 2)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 3, 2, 2)

    def encode(self, x: Tensor) -> Any:
        z = self.norm(self.down(x))  # (N, 4, 8, 8)
        mean = z if self.spatial else z.flatten(1)
        return {
            "tensor": lambda: mean,
            "tuple": lambda: (mean, torch.zeros_like(mean)),
            "triple": lambda: (mean, torch.zeros_like(mean), torch.ones_like(mean)),
            "distribution": lambda: Normal(mean, torch.ones_like(mean)),
            "posterior": lambda: Posterior(mean, torch.zeros_like(mean)),
        }[self.returns]()

    def decode(self, z: Tensor) -> Tensor:
        return self.up(z.unflatten(1, (4, 8, 8)) if z.ndim == 2 else z).sigmoid()

    def reconstruct(self, x: Tensor) -> Tensor:
        with eval_mode(self), torch.no_grad():
            z = self.norm(self.down(x))
            return self.up(z).sigmoid()


FOREIGN = pytest.mark.parametrize(
    "foreign",
    [
        Foreign(returns, spatial=spatial)
        for returns in ("tensor", "tuple", "triple", "distribution", "posterior")
        for spatial in (False, True)
    ],
    ids=lambda model: f"{model.returns} {'spatial' if model.spatial else 'flat'}",
)


# Interpolation


@EVERY
@METHODS
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("n", [None, 1, 3])
def test_the_ends_are_the_reconstructions(
    arguments: dict[str, Any], method: Any, steps: int, n: int | None
) -> None:
    """The first frame is that of `a` and the last that of `b`, bit for bit."""
    model = tiny(**arguments)
    shape = model.input_shape if n is None else (n, *model.input_shape)
    a, b = torch.rand(2, *shape)
    film = interpolate(model, a, b, steps, method=method)
    assert film.shape == (steps, *a.shape)
    assert torch.equal(film[0], model.reconstruct(a))
    if steps > 1:
        assert torch.equal(film[-1], model.reconstruct(b))


@EVERY
@METHODS
def test_frames_are_decoded_points_of_the_path(arguments: dict[str, Any], method: Any) -> None:
    """Between the ends each frame is the decoded path between the posterior means."""
    model = tiny(**arguments).eval()
    a, b = torch.rand(2, 3, *model.input_shape)
    film = interpolate(model, a, b, 5, method=method)
    path = {"slerp": slerp, "lerp": lerp}[method]
    z = path(model.encode(a).mean, model.encode(b).mean, torch.linspace(0, 1, 5).double())
    for frame, latent in zip(film, z, strict=True):
        torch.testing.assert_close(frame, model.decode(latent))


def test_ten_steps_by_lerp_are_the_default() -> None:
    """`interpolate(model, a, b)` says it in fewer words."""
    model = tiny()
    a, b = torch.rand(2, *model.input_shape)
    film = interpolate(model, a, b)
    assert torch.equal(film, interpolate(model, a, b, steps=10, method="lerp"))
    assert not torch.equal(film, interpolate(model, a, b, method="slerp"))


def test_the_method_may_be_a_function() -> None:
    """A callable `(a, b, t)` is a path, given latents (N, D) and positions (S,)."""
    model = tiny()
    a, b = torch.rand(2, 2, *model.input_shape)
    seen = []

    def path(z_a: Tensor, z_b: Tensor, t: Tensor) -> Tensor:
        seen.append((z_a.shape, z_b.shape, t.shape))
        return lerp(z_a, z_b, t)

    film = interpolate(model, a, b, 6, method=path)
    assert torch.equal(film, interpolate(model, a, b, 6, method="lerp"))
    assert seen == [((2, 4), (2, 4), (4,))]


@EVERY
def test_films_are_deterministic(arguments: dict[str, Any]) -> None:
    """No sample is drawn, no gradient kept, and no flag or statistic changed."""
    model = tiny(**arguments)
    a, b = torch.rand(2, 2, *model.input_shape, requires_grad=True)
    flags = [module.training for module in model.modules()]
    buffers = [buffer.clone() for buffer in model.buffers()]
    state = torch.get_rng_state()
    film = interpolate(model, a, b, 4)
    assert torch.equal(film, interpolate(model, a, b, 4))
    assert not film.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == flags
    assert all(map(torch.equal, buffers, model.buffers()))
    assert torch.is_grad_enabled()


def test_the_way_back_is_the_film_reversed() -> None:
    """From `b` to `a` the same frames come in the opposite order."""
    model = tiny()
    a, b = torch.rand(2, *model.input_shape)
    torch.testing.assert_close(interpolate(model, a, b, 7), interpolate(model, b, a, 7).flip(0))


def test_a_film_of_one_picture_stands_still() -> None:
    """Between a picture and itself every frame is its reconstruction."""
    model = tiny()
    a = torch.rand(model.input_shape)
    film = interpolate(model, a, a, 5)
    torch.testing.assert_close(film, model.reconstruct(a).expand_as(film))


def test_bytes_are_pictures_too() -> None:
    """A picture of uint8 and one of floats may meet."""
    model = tiny()
    a, b = torch.randint(256, (2, *model.input_shape), dtype=torch.uint8)
    assert torch.equal(interpolate(model, a, b, 3), interpolate(model, a, b / 255, 3))


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        *((value, ValueError) for value in (0, -1, 2.5, math.nan)),
        *((value, TypeError) for value in (True, "3", None)),
    ],
)
def test_wrong_steps_are_refused(steps: Any, error: type[Exception]) -> None:
    """Frames are counted, and there is at least one."""
    model = tiny()
    a, b = torch.rand(2, *model.input_shape)
    with pytest.raises(error, match=r"`steps` \(=.*\) must be an integer of at least 1"):
        interpolate(model, a, b, steps)
    with pytest.raises(error, match="`steps`"):
        traverse(model, a, 0, steps=steps)


@pytest.mark.parametrize("method", ["nlerp", "", None, 3])
def test_wrong_methods_are_refused(method: Any) -> None:
    """The message lists what there is."""
    model = tiny()
    a, b = torch.rand(2, *model.input_shape)
    with pytest.raises(ValueError, match=r"`method`.*'slerp', 'lerp' or a callable"):
        interpolate(model, a, b, method=method)


def test_pictures_of_two_shapes_are_refused() -> None:
    """They have to be of one shape, and of the model's."""
    model = tiny()
    with pytest.raises(ValueError, match=r"`a` .* and `b` .* must have one shape"):
        interpolate(model, torch.rand(3, 16, 16), torch.rand(2, 3, 16, 16))
    with pytest.raises(ValueError, match=r"`x` .*image_size=9"):
        interpolate(model, *torch.rand(2, 1, 3, 9, 9))
    with pytest.raises(ValueError, match="channels come last"):
        interpolate(model, *torch.rand(2, 16, 16, 3))


@FOREIGN
@pytest.mark.parametrize("n", [None, 1, 3])
def test_foreign_models(foreign: Foreign, n: int | None) -> None:
    """Whatever `encode` returns and whatever shape its latents have, the ends are as decoded."""
    foreign.train()
    shape = (3, 16, 16) if n is None else (n, 3, 16, 16)
    a, b = torch.rand(2, *shape)
    before = [buffer.clone() for buffer in foreign.buffers()]
    film = interpolate(foreign, a, b, 5)
    assert film.shape == (5, *shape)
    for frame, end in ((film[0], a), (film[-1], b)):
        alone = end[None] if n is None else end
        assert torch.equal(frame, foreign.reconstruct(alone).reshape(shape))
    assert foreign.training
    assert foreign.norm.training
    assert all(map(torch.equal, before, foreign.buffers()))


@FOREIGN
def test_the_shape_of_latents_does_not_matter(foreign: Foreign) -> None:
    """Latents (N, 4, 8, 8) go the same way as the same numbers in a row."""
    flat = Foreign("tensor")
    flat.load_state_dict(foreign.state_dict())
    a, b = torch.rand(2, 2, 3, 16, 16)
    torch.testing.assert_close(interpolate(foreign, a, b, 5), interpolate(flat, a, b, 5))
    pictures = torch.stack([a[0], b[0]])
    torch.testing.assert_close(mix(foreign, pictures, [1, 3]), mix(flat, pictures, [1, 3]))


@FOREIGN
def test_other_tools_take_foreign_models(foreign: Foreign) -> None:
    """A mixture of two is a frame of their film; the other tools give pictures of the shape."""
    a, b = torch.rand(2, 3, 16, 16)
    film = interpolate(foreign, a, b, 5)
    mixed = mix(foreign, torch.stack([a, b]), [0.75, 0.25])
    torch.testing.assert_close(mixed, film[1], rtol=1e-4, atol=1e-5)
    assert traverse(foreign, a, 0, steps=3).shape == (3, 3, 16, 16)
    still = edit(foreign, a, torch.randn(256), 0.0)
    torch.testing.assert_close(still, film[0])


def test_a_model_need_be_no_module() -> None:
    """Any object with `encode` and `decode` will do."""

    class Plain:
        def encode(self, x: Tensor) -> Tensor:
            return x.flatten(1)

        def decode(self, z: Tensor) -> Tensor:
            return z.unflatten(1, (1, 2, 3))

    a, b = torch.rand(2, 1, 2, 3)
    film = interpolate(Plain(), a, b, 3, method="lerp")
    torch.testing.assert_close(film, torch.stack([a, (a + b) / 2, b]))


@pytest.mark.parametrize("returned", [np.zeros((1, 4)), [torch.zeros(1, 4)], None, {}, (1, 2)])
def test_posteriors_without_a_mean_are_refused(returned: Any) -> None:
    """The message says what `encode` may return."""

    class Wrong:
        def encode(self, x: Tensor) -> Any:
            return returned

        def decode(self, z: Tensor) -> Tensor:
            return z

    with pytest.raises(TypeError, match=r"`model\.encode` returned .*it must return a tensor"):
        interpolate(Wrong(), *torch.rand(2, 1, 2, 2))


@pytest.mark.parametrize(
    ("shape", "dims", "single"),
    [((3, 8, 8), 3, True), ((1, 3, 8, 8), 3, False), ((3, 8), 2, True), ((2, 3, 8), 2, False)],
)
def test_single_pictures_are_told_by_the_model(
    shape: tuple[int, ...], dims: int, single: bool
) -> None:
    """A model's `input_shape` tells a single sound from a batch of three."""
    model = tiny(image_size=(8,) * (dims - 1))
    assert is_single(model, torch.zeros(shape)) is single


# Mixing any number


@METHODS
def test_a_mixture_of_two_is_a_frame(method: Any) -> None:
    """Weights 0.75 and 0.25 are a quarter of the way."""
    model = tiny()
    pictures = torch.rand(2, *model.input_shape)
    film = interpolate(model, pictures[0], pictures[1], 5, method=method)
    for i, frame in enumerate(film):
        mixed = mix(model, pictures, [1 - i / 4, i / 4], method=method)
        torch.testing.assert_close(mixed, frame, rtol=1e-4, atol=1e-6)


@EVERY
@METHODS
def test_mixtures(arguments: dict[str, Any], method: Any) -> None:
    """All the weight on one picture is its reconstruction, and order does not matter."""
    model = tiny(**arguments)
    pictures = torch.rand(4, *model.input_shape)
    corners = mix(model, pictures, torch.eye(4), method=method)
    assert corners.shape == (4, *model.input_shape)
    torch.testing.assert_close(corners, model.reconstruct(pictures))
    one = mix(model, pictures, [1, 2, 3, 4], method=method)
    assert one.shape == model.input_shape
    assert not one.requires_grad
    other = mix(model, pictures.flip(0), [4, 3, 2, 1], method=method)
    torch.testing.assert_close(one, other)


def test_wrong_mixtures_are_refused() -> None:
    """The message names the argument."""
    model = tiny()
    pictures = torch.rand(3, *model.input_shape)
    for weights in ([1, 1], [0, 0, 0], [1, -1, 1]):
        with pytest.raises(ValueError, match="`weights`"):
            mix(model, pictures, weights)
    with pytest.raises(ValueError, match="`pictures`"):
        mix(model, pictures[:0], [])
    with pytest.raises(TypeError, match="`pictures` must be a tensor"):
        mix(model, pictures.numpy(), [1, 1, 1])  # type: ignore[arg-type]  # it is wrong


# Traversals, directions and edits


def test_a_traversal_changes_one_dimension() -> None:
    """Frames are the decoded mean with one number replaced, from -span to span."""
    model = tiny(norm="batch")
    x = torch.rand(model.input_shape)
    frames = traverse(model, x, 2, steps=5, span=2.0)
    assert frames.shape == (5, *model.input_shape)
    z = embed(model, x[None])[0]
    with eval_mode(model), torch.no_grad():
        for frame, value in zip(frames, (-2, -1, 0, 1, 2), strict=True):
            changed = z.clone()
            changed[2] = value
            torch.testing.assert_close(frame, model.decode(changed[None])[0])
    assert torch.equal(traverse(model, x, -2, steps=5, span=2.0), frames)


@pytest.mark.parametrize(
    ("dimension", "error"),
    [(4, ValueError), (-5, ValueError), (1.5, TypeError), (True, TypeError), ("0", TypeError)],
)
def test_wrong_dimensions_are_refused(dimension: Any, error: type[Exception]) -> None:
    """The message names the argument."""
    with pytest.raises(error, match="`dimension`"):
        traverse(tiny(), torch.rand(3, 16, 16), dimension)


def test_edits_add_directions() -> None:
    """An edit is the decoded mean plus amounts times directions; none is the reconstruction."""
    model = tiny()
    x, directions = torch.rand(model.input_shape), torch.randn(2, 4)
    torch.testing.assert_close(edit(model, x, directions, [0, 0]), model.reconstruct(x))
    z = embed(model, x[None])
    with torch.no_grad():
        expected = model.eval().decode(z + 2 * directions[0] - directions[1])[0]
    torch.testing.assert_close(edit(model, x, directions, [2, -1]), expected)
    sets = edit(model, x, directions, [[0, 0], [2, -1], [1, 1]])
    assert sets.shape == (3, *model.input_shape)
    torch.testing.assert_close(sets[1], expected)
    several = edit(model, x, directions[0], [0.0, 1.5])
    torch.testing.assert_close(several, edit(model, x, directions, [[0, 0], [1.5, 0]]))
    one = edit(model, x, directions[0], 1.5)
    assert one.shape == model.input_shape
    torch.testing.assert_close(one, edit(model, x, directions, [1.5, 0]))


@pytest.mark.parametrize(
    ("directions", "amounts", "name"),
    [
        (torch.randn(2, 4), [1.0], "amounts"),
        (torch.randn(2, 4), 1.0, "amounts"),
        (torch.randn(4), torch.ones(1, 2, 3), "amounts"),
        (torch.randn(4), "much", "amounts"),
        (torch.randn(2, 3), [1.0, 2.0], "directions"),
        (torch.randn(2, 1), [1.0, 2.0], "directions"),
        (torch.randn(1, 2, 4), [1.0], "directions"),
    ],
)
def test_wrong_edits_are_refused(directions: Tensor, amounts: Any, name: str) -> None:
    """Nothing broadcasts by accident, and the message names the argument."""
    with pytest.raises((ValueError, TypeError), match=f"`{name}`"):
        edit(tiny(), torch.rand(3, 16, 16), directions, amounts)


def test_principal_directions_recover_a_covariance() -> None:
    """From many latents they are the axes of their covariance, one standard deviation long."""
    g = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(6, 6, generator=g, dtype=torch.float64))
    lengths = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.1], dtype=torch.float64)
    latents = torch.randn(50_000, 6, generator=g, dtype=torch.float64) * lengths @ axes.T + 7
    found = principal_directions(latents, count=6)
    torch.testing.assert_close(found.norm(dim=1), lengths, rtol=0.02, atol=0)
    cosines = (found @ axes) / found.norm(dim=1, keepdim=True)
    torch.testing.assert_close(cosines.abs(), torch.eye(6, dtype=torch.float64), rtol=0, atol=0.02)
    gram = found @ found.T
    torch.testing.assert_close(gram, gram.diag().diag(), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.T @ found, latents.T.cov())
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_principal_directions_keep_dtype_and_count(dtype: torch.dtype) -> None:
    """Fewer directions are the first of more, in the dtype of the latents."""
    latents = torch.randn(100, 5).to(dtype)
    assert torch.equal(principal_directions(latents, 2), principal_directions(latents, 5)[:2])
    assert principal_directions(latents, 2).dtype == dtype


@pytest.mark.parametrize(
    ("shape", "count"), [((5, 3), 4), ((3, 5), 3), ((1, 5), 1), ((5,), 1), ((5, 3), 0)]
)
def test_too_few_latents_are_refused(shape: tuple[int, ...], count: int) -> None:
    """There are at most D directions, and at most one less than latents."""
    with pytest.raises(ValueError, match="`count`"):
        principal_directions(torch.randn(shape), count)


def test_attribute_directions_are_differences_of_means() -> None:
    """Two groups that differ by a vector have this vector, and the other way its opposite."""
    g, shift = torch.randn(50, 4), torch.tensor([1.0, -2.0, 0.0, 3.0])
    torch.testing.assert_close(attribute_direction(g + shift, g), shift)
    torch.testing.assert_close(attribute_direction(g, g + shift), -shift)
    assert attribute_direction(g[:3], g).shape == (4,)


@pytest.mark.parametrize(
    "shapes", [((0, 4), (2, 4)), ((2, 4), (0, 4)), ((2, 4), (2, 3)), ((4,),) * 2]
)
def test_wrong_groups_are_refused(shapes: Any) -> None:
    """Groups have latents of one size, at least one each."""
    with pytest.raises(ValueError, match=r"`with(out)?_it`"):
        attribute_direction(*(torch.randn(shape) for shape in shapes))


@EVERY
def test_embedding_in_batches_changes_nothing(arguments: dict[str, Any]) -> None:
    """The posterior means are the same however many go through the encoder at a time."""
    model = tiny(**arguments)
    x = torch.rand(7, *model.input_shape)
    whole = embed(model, x)
    assert whole.shape == (7, 4)
    assert not whole.requires_grad
    with eval_mode(model), torch.no_grad():
        assert torch.equal(whole, model.encode(x).mean)
    for size in (1, 3, 7, 100):
        torch.testing.assert_close(embed(model, x, batch_size=size), whole)
    assert model.training


@EVERY
def test_embedded_samples_are_those_of_the_posteriors(arguments: dict[str, Any]) -> None:
    """They are means plus noise, the same noise however many pictures are encoded at a time."""
    model = tiny(**arguments)
    x = torch.rand(7, *model.input_shape)
    state = torch.get_rng_state()

    def draw(seed: int, size: int = 256) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return embed(model, x, batch_size=size, sample=True, generator=generator)

    whole = draw(0)
    with eval_mode(model), torch.no_grad():
        mean, log_var = model.encode(x)
        generator = torch.Generator().manual_seed(0)
        assert torch.equal(whole, reparameterize(mean, log_var, generator=generator))
    assert not torch.equal(whole, draw(1))
    for size in (1, 3):
        torch.testing.assert_close(draw(0, size), whole)
    assert torch.equal(torch.get_rng_state(), state)
    assert not whole.requires_grad
    assert model.training


@FOREIGN
def test_foreign_posteriors_are_sampled_too(foreign: Foreign) -> None:
    """A tensor alone has no variance to sample; all others here have a variance of 1."""
    x = torch.rand(300, 3, 16, 16)
    if foreign.returns == "tensor":
        with pytest.raises(TypeError, match=r"`model\.encode` returned Tensor; for `sample=True`"):
            embed(foreign, x, sample=True)
    else:
        noise = embed(foreign, x, sample=True) - embed(foreign, x)
        assert float(noise.std()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("size", "error"),
    [(0, ValueError), (-1, ValueError), (2.5, ValueError), (True, TypeError)],
)
def test_wrong_batch_sizes_are_refused(size: Any, error: type[Exception]) -> None:
    """Pictures at a time are counted."""
    with pytest.raises(error, match="`batch_size`"):
        embed(tiny(), torch.rand(2, 3, 16, 16), batch_size=size)


# Samples


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_reparameterize_is_mean_and_deviation(dtype: torch.dtype) -> None:
    """It is `mean + exp(log_var / 2) eps`, with the noise of the generator."""
    mean, log_var = torch.randn(2, 3, 4).to(dtype)
    z = reparameterize(mean, log_var, generator=torch.Generator().manual_seed(1))
    eps = torch.empty(3, 4, dtype=dtype).normal_(generator=torch.Generator().manual_seed(1))
    assert z.dtype == dtype
    torch.testing.assert_close(z, mean + torch.exp(log_var / 2) * eps)


def test_reparameterize_has_the_right_moments_and_gradients() -> None:
    """Samples have the mean and variance asked for, and gradients reach both."""
    mean = torch.full((200_000,), 2.0, requires_grad=True)
    log_var = torch.full((200_000,), math.log(9.0), requires_grad=True)
    z = reparameterize(mean, log_var)
    assert float(z.detach().mean()) == pytest.approx(2, abs=0.05)
    assert float(z.detach().var()) == pytest.approx(9, rel=0.02)
    z.sum().backward()
    assert torch.equal(mean.grad, torch.ones_like(mean))  # type: ignore[arg-type]  # it is there
    torch.testing.assert_close(log_var.grad, (z.detach() - 2) / 2)


def test_reparameterize_uses_the_generator_it_is_given() -> None:
    """With one of its own it leaves the global random state alone."""
    state = torch.get_rng_state()
    reparameterize(torch.zeros(3), torch.zeros(3), generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)
    reparameterize(torch.zeros(3), torch.zeros(3))
    assert not torch.equal(torch.get_rng_state(), state)
