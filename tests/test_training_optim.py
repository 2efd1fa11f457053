"""The default optimizer: its updates, its two kinds of parameters, its schedule."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from easyvae import VAE
from easyvae.training import Muon, default_optimizer, lr_factor, orthogonalize


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
    seed=st.integers(0, 1000),
)
def test_orthogonalize_flattens_the_singular_values(
    rows: int, columns: int, scale: float, seed: int
) -> None:
    """Singular values above a hundredth of the norm end near 1, whatever the matrix's scale."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s.clamp(min=0.05 * s[0])
    result = orthogonalize(u @ torch.diag(s) @ v * scale)
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.25
    assert values.min() > 0.6


def test_orthogonalize_keeps_the_singular_vectors() -> None:
    """The result has the matrix's own row and column spaces: it only evens out its values."""
    matrix = torch.randn(6, 9, dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonalize(matrix) @ v.T
    assert torch.allclose(inner, torch.diag(inner.diagonal()), atol=1e-9)


def test_orthogonalize_of_zero_is_zero() -> None:
    """A zero gradient makes no step and no NaN."""
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_gram_iteration_equals_the_plain_one() -> None:
    """Iterating on the Gram matrix gives what iterating on the matrix itself gives."""
    matrix = torch.randn(8, 50, dtype=torch.float64)
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    assert torch.allclose(orthogonalize(matrix), x, atol=1e-9)


def test_dense_layers_get_adamw() -> None:
    """Biases and dense weights move exactly as under torch's AdamW, at a share of the rate."""
    torch.manual_seed(0)
    ours, theirs = nn.Linear(40, 25), nn.Linear(40, 25)
    theirs.load_state_dict(ours.state_dict())
    muon = Muon(ours.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    adamw = torch.optim.AdamW(
        [
            {"params": [theirs.weight], "lr": 0.01 * 2.2 / 25**0.5},
            {"params": [theirs.bias], "lr": 0.01 / 4},
        ],
        betas=(0.9, 0.99),
        weight_decay=0.1,
    )
    for seed in range(5):
        x = torch.randn(3, 40, generator=torch.Generator().manual_seed(seed))
        for layer, optimizer in ((ours, muon), (theirs, adamw)):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)


def test_convolutions_get_updates_of_one_size() -> None:
    """The step of a convolution has the same size whether its gradient is tiny or huge."""
    sizes = []
    for scale in (1e-6, 1e6):
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 8, 4)
        before = layer.weight.detach().clone()
        (scale * layer(torch.randn(2, 3, 8, 8)).sum()).backward()
        Muon(layer.parameters(), lr=0.01).step()
        sizes.append(float((layer.weight.detach() - before).norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)


def test_state_dict_round_trip_continues_the_same() -> None:
    """An optimizer loaded from another's state takes the same next step."""
    models = []
    for reload in (False, True):
        torch.manual_seed(0)
        model = VAE([4], 2, image_size=4)
        optimizer = default_optimizer(model.parameters())
        for step in range(4):
            if reload and step == 2:
                state = optimizer.state_dict()
                optimizer = default_optimizer(model.parameters())
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            z = torch.ones(1, 2) * step
            model.decode(z).sum().backward()
            optimizer.step()
        models.append(model)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(a, b)


def test_a_closure_is_called() -> None:
    """`step(closure)` returns the closure's loss, as torch's optimizers do."""
    layer = nn.Linear(2, 1)

    def closure() -> float:
        loss = layer(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss.item()

    assert Muon(layer.parameters()).step(closure) is not None


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"lr": 0.0}, "`lr` .* must be finite and above 0"),
        ({"lr": -1.0}, "`lr` .* must be finite and above 0"),
        ({"lr": float("nan")}, "`lr` .* must be finite and above 0"),
        ({"momentum": 1.0}, r"`momentum` .* must be in \[0, 1\)"),
        ({"momentum": -0.1}, r"`momentum` .* must be in \[0, 1\)"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, float], rule: str) -> None:
    """A learning rate is above 0, a share of momentum from 0 to below 1: the error says so."""
    with pytest.raises(ValueError, match=rule):
        Muon(nn.Linear(2, 2).parameters(), **options)


@given(steps=st.integers(1, 3000))
def test_lr_factor_rises_then_falls(steps: int) -> None:
    """The factor is in (0, 1], reaches its top once, and ends near 0 in a run of some length."""
    factors = [lr_factor(step, steps) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    if steps > 50:
        assert factors[-1] < 0.01


def test_a_loaded_state_is_on_the_parameters_device() -> None:
    """All of AdamW's state follows the parameters, its count of steps too."""
    trained = VAE([4], 2, image_size=4)
    optimizer = default_optimizer(trained.parameters())
    trained.decode(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    elsewhere = VAE([4], 2, image_size=4).to("meta")
    loaded = default_optimizer(elsewhere.parameters())
    loaded.load_state_dict(state)
    assert {t.device.type for s in loaded.state.values() for t in s.values()} == {"meta"}
