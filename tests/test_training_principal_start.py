"""The start at the principal components of the data."""

import copy

import pytest
import torch
from torch import Tensor, nn

from easyvae import VAE, BetaLoss, VAEOutput
from easyvae.kittens import draw_kittens
from easyvae.training import principal_start

NEVER_WORSE = 1.03  # times the error of the principal components themselves


def smooth_images(count: int, *shape: int, seed: int = 0) -> Tensor:
    """Draws images of a few smooth patterns, so that some components hold most of them."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*(torch.linspace(0, 3, size) for size in shape[1:]), indexing="ij")
    waves = torch.stack(
        [
            torch.cos(sum(f * axis for f, axis in zip(frequencies, axes, strict=True)) + phase)
            for frequencies, phase in zip(
                (torch.rand(24, len(axes), generator=generator) * 6).tolist(),
                (torch.rand(24, generator=generator) * 6).tolist(),
                strict=True,
            )
        ]
    )
    weights = torch.randn(count, shape[0], 24, generator=generator) / torch.arange(1, 25)
    images = torch.einsum("ncw,w...->nc...", weights, waves)
    return (0.5 + images / 8 / images.std()).clamp(0, 1)


def principal_error(images: Tensor, count: int) -> float:
    """Returns the mean squared error of the best linear reconstruction by `count` numbers."""
    rows = images.flatten(1).double()
    rows = rows - rows.mean(0)
    return float(torch.linalg.svdvals(rows)[count:].square().sum() / rows.numel())


def error(model: VAE, images: Tensor) -> float:
    """Returns the mean squared error of the means' reconstructions."""
    return float((model.reconstruct(images) - images).square().mean())


@pytest.mark.parametrize(
    ("shape", "channels", "options"),
    [
        ((3, 16, 16), [32, 128], {}),
        ((1, 32), [8, 16], {}),
        ((1, 8, 8, 8), [16, 128], {}),
        ((2, 12, 20), [16, 64], {"kernel_size": 2}),
        ((2, 12, 20), [16, 64], {"kernel_size": [3, 5]}),
        ((1, 27, 18), [20, 100], {"kernel_size": 5, "stride": [3, 2]}),
        ((1, 27, 15), [9, 25], {"kernel_size": 3, "stride": [3, 1]}),
        ((3, 16, 16), [32, 128], {"residual_blocks": 1}),
        ((3, 16, 16), [33, 131], {}),
        ((3, 16, 16), [32, 128], {"hidden": 12}),
        ((1, 32), [8, 16], {"hidden": [41, 13]}),
        ((1, 8, 8, 8), [16, 128], {"hidden": [16, 32, 16], "residual_blocks": 1}),
    ],
)
@pytest.mark.parametrize("activation", ["silu", "relu", "gelu", "leaky_relu", "softplus"])
def test_matches_the_principal_components(
    shape: tuple[int, ...], channels: list[int], options: dict[str, object], activation: str
) -> None:
    """Where every tile has room for all of its components, it is the best linear autoencoder."""
    images = smooth_images(300, *shape)
    options = {"kernel_size": 4, **options, "activation": activation}
    size = list(shape[1:])
    model = VAE(channels, 6, image_size=size, in_channels=shape[0], output="identity", **options)
    assert principal_start(model, images, BetaLoss(0.001, reconstruction="mse")) == 6
    best = principal_error(images, 6)
    assert best * 0.99 < error(model, images) < best * NEVER_WORSE + 5e-5


@pytest.mark.parametrize("reconstruction", ["bce", "mse", "l1", "gaussian"])
@pytest.mark.parametrize("activation", ["silu", "tanh", "elu", "mish", nn.Hardswish, nn.Identity])
@pytest.mark.parametrize(("beta", "hidden"), [(0.005, ()), (1.0, ()), (1.0, [40, 16])])
def test_lowers_the_loss(
    reconstruction: str, activation: object, beta: float, hidden: list[int]
) -> None:
    """With every loss and activation the start is much better than a random one."""
    images = (smooth_images(200, 3, 21, 16) * 255).round().to(torch.uint8)
    loss = BetaLoss(beta, reconstruction=reconstruction)
    torch.manual_seed(0)
    model = VAE([16, 32], 8, image_size=(21, 16), activation=activation, hidden=hidden)
    before = error(model, images.float() / 255)
    assert principal_start(model, images, loss) == 8
    assert error(model, images.float() / 255) < before / 2


def test_no_more_components_than_asked_for() -> None:
    """The other latents keep the weights they were drawn with."""
    images = smooth_images(200, 3, 16, 16)
    model = VAE([16, 32], 8, image_size=16)
    before = model.encoder.mean.weight.clone()
    assert principal_start(model, images, BetaLoss(0.01), components=3) == 3
    changed = (model.encoder.mean.weight != before).any(1)
    assert changed.tolist() == [True] * 3 + [False] * 5
    with pytest.raises(ValueError, match="`components`"):
        principal_start(model, images, components=0)


@pytest.mark.parametrize("hidden", [(), 64])
def test_latents_have_the_variance_of_the_prior(hidden: int | tuple[()]) -> None:
    """A component above the noise has `Var(mean) + exp(log_var) = 1`; the others the prior."""
    images = smooth_images(400, 3, 16, 16)
    model = VAE([32, 128], 20, image_size=16, output="identity", hidden=hidden)
    for beta in (0.01, 1.0, 100.0):
        twin = VAE(**model.config)
        principal_start(twin, images, BetaLoss(beta, reconstruction="mse"))
        with torch.no_grad():
            mean, log_var = twin.encode(images)
        total = mean.var(0) + log_var.exp().mean(0)
        assert torch.all((total > 0.8) & (total < 1.2)), beta
    assert log_var.exp().mean() > 0.9  # at beta 100 nearly all is below the noise


@pytest.mark.parametrize(
    ("hidden", "count"),
    [(9, 4), ([64, 9], 4), ([9, 64], 4), (12, 6), (3, 1), (1, 0), ([64, 1], 0)],
)
def test_narrow_hidden_layers_hold_fewer_components(hidden: int | list[int], count: int) -> None:
    """Each component takes two units; with those that fit, the model is as good as can be."""
    images = smooth_images(300, 3, 16, 16)
    model = VAE([32, 128], 6, image_size=16, output="identity", hidden=hidden)
    before = copy.deepcopy(model.state_dict())
    assert principal_start(model, images, BetaLoss(0.001, reconstruction="mse")) == count
    if count:
        best = principal_error(images, count)
        assert best * 0.99 < error(model, images) < best * NEVER_WORSE + 5e-5
    else:
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]), name


def test_hidden_layers_cost_the_start_nothing() -> None:
    """On kittens a model with them starts where one without them does, far below random."""
    images = torch.from_numpy(draw_kittens(200, size=32)[0])
    loss, losses = BetaLoss(0.1), {}
    for hidden in ((), 64, [96, 48]):
        torch.manual_seed(0)
        model = VAE([16, 32, 64], 16, image_size=32, hidden=hidden)
        with torch.no_grad():
            before = float(loss(model(images), images))
            assert principal_start(model, images, loss) == 16
            losses[str(hidden)] = float(loss(model(images), images))
        assert losses[str(hidden)] < before - 100
    assert max(losses.values()) < min(losses.values()) + 5


def test_what_is_no_better_is_put_back() -> None:
    """Where the start has the higher loss, the weights are those that were drawn."""
    images = smooth_images(64, 3, 16, 16)

    def likeness(output: VAEOutput, x: Tensor) -> Tensor:
        return -(output.reconstruction - x).square().flatten(1).sum(1)

    for hidden in ((), 16):
        model = VAE([8, 16], 4, image_size=16, hidden=hidden)
        before = copy.deepcopy(model.state_dict())
        assert principal_start(model, images, BetaLoss(0.01, reconstruction=likeness)) == 0
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    "options",
    [{"norm": "batch"}, {"norm": "group"}, {"activation": nn.Hardshrink}],
)
def test_models_it_does_not_fit_stay_as_they_were(options: dict[str, object]) -> None:
    """Norms, and activations whose odd part is not linear at all, are left alone or improved."""
    model = VAE([8, 16], 4, image_size=16, **options)
    before = copy.deepcopy(model.state_dict())
    found = principal_start(model, smooth_images(64, 3, 16, 16))
    if "norm" in options:
        assert found == 0
    if found == 0:
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]), name


class Even(nn.Module):
    """An activation with no odd part."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns |x|."""
        return x.abs()


@pytest.mark.parametrize("case", ["even", "not finite", "one image", "constant"])
def test_leaves_a_model_that_it_cannot_help(case: str) -> None:
    """Where there is nothing to find, the weights are those that were drawn."""
    model = VAE([8, 16], 4, image_size=16, activation=Even if case == "even" else "silu")
    before = copy.deepcopy(model.state_dict())
    images = smooth_images(1 if case == "one image" else 64, 3, 16, 16)
    if case == "not finite":
        images[3, 0, 0, 0] = torch.nan
    if case == "constant":
        images = torch.full_like(images, 0.5)
    loss = BetaLoss(reconstruction="mse")
    found = principal_start(model, images, loss)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    if case != "constant":
        assert found == 0
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("hidden", [(), [50, 101]])
def test_more_latents_than_components(hidden: list[int]) -> None:
    """Latents without a component stay as drawn, and do nothing to the picture at first."""
    images = smooth_images(12, 3, 16, 16)
    model = VAE([16, 32], 40, image_size=16, hidden=hidden)
    found = principal_start(model, images, BetaLoss(0.005))
    assert 0 < found <= 12
    z = torch.zeros(2, 40)
    z[1, found:] = 3.0
    with torch.no_grad():
        same, moved = model.decode(z)
    assert torch.equal(same, moved)


def test_deterministic_and_leaves_random_state_alone() -> None:
    """Two calls give the same bits and draw nothing from the global generator."""
    images = smooth_images(100, 3, 16, 16)
    model = VAE([8, 16], 4, image_size=16)
    twin = copy.deepcopy(model)
    state = torch.get_rng_state()
    principal_start(model, images)
    assert torch.equal(state, torch.get_rng_state())
    principal_start(twin, images)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("hidden", [(), [21, 14]])
def test_every_weight_can_learn(hidden: list[int]) -> None:
    """After one step of gradient descent, every parameter has a gradient: nothing is dead."""
    images = smooth_images(64, 3, 16, 16)
    model = VAE([16, 33], 4, image_size=16, residual_blocks=1, hidden=hidden)
    loss = BetaLoss(0.005)
    assert principal_start(model, images, loss) == 4
    for _ in range(3):
        model.zero_grad()
        loss(model(images), images).backward()
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(1e-4 * p.grad)
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name
        if p.ndim > 2 or "hidden" in name:  # no channel or unit is cut off from the others
            assert (p.grad.reshape(len(p), -1).abs().sum(1) > 0).all(), name


def test_model_in_double_precision() -> None:
    """The weights keep their dtype."""
    model = VAE([8, 16], 4, image_size=16, hidden=10).double()
    assert principal_start(model, smooth_images(64, 3, 16, 16).double()) == 4
    assert {p.dtype for p in model.parameters()} == {torch.float64}


@pytest.mark.parametrize("activation", ["silu", "tanh", "gelu"])
@pytest.mark.parametrize("hidden", [(), (8,)])
@pytest.mark.parametrize("kind", ["grey", "colour", "one picture", "stripes"])
def test_rounding_is_no_component(activation: str, hidden: tuple[int, ...], kind: str) -> None:
    """Pictures that are all alike leave the weights as they were, whatever their values."""
    generator = torch.Generator().manual_seed(0)
    x = torch.full((300, 3, 16, 16), 0.13333334)
    if kind == "colour":
        x[:, 1:] = 0.2098
    if kind == "one picture":
        x[:] = torch.rand(3, 16, 16, generator=generator)
    if kind == "stripes":
        x[..., ::2] = 0.7
    for channels in ([8], [8, 16], [4, 8, 8]):
        model = VAE(channels, 8, image_size=16, activation=activation, hidden=hidden)
        before = copy.deepcopy(model.state_dict())
        assert principal_start(model, x, BetaLoss(0.01)) == 0
        for name, weight in model.state_dict().items():
            assert torch.equal(weight, before[name])


def test_a_little_that_differs_is_found() -> None:
    """Pictures that differ by one level of 256 somewhere have a component for it."""
    x = torch.full((64, 1, 16, 16), 128, dtype=torch.uint8)
    x[::2, :, 4:8] += 1
    model = VAE([8, 16], 4, image_size=16, in_channels=1)
    assert principal_start(model, x, BetaLoss(0.01)) >= 1
