import math
import re

import pytest
import torch
from torch import Tensor

from easyvae import VAE, BetaLoss, fit
from easyvae.data import Pictures, Sample
from easyvae.evaluation import FIGURES, Evaluator, evaluate
from easyvae.evaluation.figures import describe_figures
from easyvae.evaluation.measures import known_pairs, measure_halfway
from easyvae.kittens import draw_kittens
from easyvae.latents import Posterior


@pytest.fixture(scope="module")
def kittens() -> Tensor:
    return torch.from_numpy(draw_kittens(120, size=32)[0])


@pytest.fixture(scope="module")
def model(kittens: Tensor) -> VAE:
    torch.manual_seed(0)
    model = VAE(channels=[8, 16, 32], latent=8, image_size=32)
    fit(model, kittens[:90], loss=BetaLoss(0.1), epochs=2, validation=None, progress=False)
    return model.eval()


def test_figures_are_those_of_their_definitions(model: VAE, kittens: Tensor) -> None:
    """The error, the KL divergence and the bound are what one computes by hand."""
    held_out = kittens[90:]
    figures = evaluate(model, held_out).figures
    x = held_out.float() / 255
    with torch.no_grad():
        posterior = model.encode(x)
        error = (model.decode(posterior.mean) - x).square().mean()
        normal = torch.distributions.Normal(posterior.mean, torch.exp(posterior.log_var / 2))
        prior = torch.distributions.Normal(0, 1)
        kl = torch.distributions.kl_divergence(normal, prior).sum(1).mean()
    assert figures["mse"] == pytest.approx(float(error), rel=1e-5)
    assert figures["kl"] == pytest.approx(float(kl), rel=1e-4)
    assert figures["elbo"] == pytest.approx(-(figures["reconstruction"] + figures["kl"]))
    bits = -figures["elbo"] / math.log(2) / 3072
    assert figures["bits_per_dimension"] == pytest.approx(bits)
    assert set(figures) == set(FIGURES)


def test_fit_and_evaluate_agree(kittens: Tensor, either_precision: str) -> None:
    """Whatever the precision of training, its validation is in float32, as `evaluate` is.

    The KL divergence has no noise in it. The reconstruction term is that of other draws, so it is
    compared to within a share of what those make.
    """
    del either_precision  # "auto" is one, then the other
    torch.manual_seed(0)
    model = VAE(channels=[8, 16, 32], latent=8, image_size=32)
    options = {"epochs": 2, "validation": kittens[90:], "progress": False, "device": "cpu"}
    history = fit(model, kittens[:90], loss=BetaLoss(0.1), **options)
    figures = evaluate(model, kittens[90:]).figures
    assert history["val_kl"][-1] == pytest.approx(figures["kl"], rel=1e-6)
    assert history["val_reconstruction"][-1] == pytest.approx(figures["reconstruction"], rel=1e-3)


def test_the_kl_per_dimension_adds_up(model: VAE, kittens: Tensor) -> None:
    """The latents' KL divergences add up to the whole."""
    found = evaluate(model, kittens[90:])
    assert found.kl_per_dimension.shape == (8,)
    assert float(found.kl_per_dimension.sum()) == pytest.approx(found.figures["kl"], rel=1e-6)


def test_it_is_deterministic_and_leaves_the_random_state_alone(
    model: VAE, kittens: Tensor
) -> None:
    """Two evaluations agree to the bit, and the global generator is as before."""
    before = torch.get_rng_state()
    first = evaluate(model, kittens[90:], kittens[:90], components=2)
    torch.rand(3)
    torch.set_rng_state(before)
    second = evaluate(model, kittens[90:], kittens[:90], components=2)
    assert first.figures == second.figures
    assert torch.equal(torch.get_rng_state(), before)


def test_without_training_pictures_what_needs_them_is_left_out(
    model: VAE, kittens: Tensor
) -> None:
    """A mixture and the distance to the nearest training picture need training pictures."""
    alone = evaluate(model, kittens[90:])
    whole = evaluate(model, kittens[90:], kittens[:90], components=2)
    assert alone.mixture is None
    assert whole.mixture is not None
    new = {name for name in FIGURES if alone.figures[name] is None} - {"log_likelihood"}
    kittens_alone = {name for name in new if "_halfway" in name}
    new -= kittens_alone
    assert len(kittens_alone) == 4
    assert new == {"mixture_frechet", "slerp_distance", "lerp_distance"}
    assert all(whole.figures[name] is not None for name in new)


def test_mixes_are_held_against_what_is_known_to_be_half_way(model: VAE, kittens: Tensor) -> None:
    """Pictures bent to and fro for all data, and pairs of kittens for kittens."""
    pictures = Pictures(kittens[90:], origin="kittens:120")
    found, plain = evaluate(model, pictures).figures, evaluate(model, kittens[90:]).figures
    for name in ("slerp_warped", "slerp_warped_error", "lerp_warped", "lerp_warped_error"):
        assert found[name] == pytest.approx(plain[name], abs=0.05)
    for method in ("slerp", "lerp"):
        assert plain[f"{method}_halfway"] is None
        assert found[f"{method}_halfway"] is not None
        assert 0 < found[f"{method}_halfway_error"] < 0.1


def test_a_model_that_knows_the_answer_scores_one(kittens: Tensor) -> None:
    """One that puts every picture half-way between its bent copies, and one that fades them."""

    class Known(VAE):
        fades = False

        def encode(self, x: Tensor) -> Posterior:
            rows = x.flatten(1)
            return Posterior(rows, torch.zeros_like(rows))

        def decode(self, z: Tensor) -> Tensor:
            images = z.view(-1, *self.input_shape)
            if self.fades or len(images) != len(self.pairs.middle):
                return images
            middle = (self.pairs.first + self.pairs.second) / 2
            near = (images - middle).abs().amax((1, 2, 3)) < 1e-5
            return torch.where(near[:, None, None, None], self.pairs.middle, images)

    model = Known([4], 3072, image_size=32)
    known = known_pairs(kittens[:20], torch.Generator().manual_seed(0))
    model.pairs = known["warped"]  # type: ignore[assignment]  # not a tensor or module
    assert measure_halfway(model, known)["lerp_warped"] == pytest.approx(1, abs=1e-4)
    model.fades = True
    assert measure_halfway(model, known)["lerp_warped"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("spatial", [(40,), (9, 12), (5, 6, 7)])
def test_any_number_of_sizes_can_be_bent(spatial: tuple[int, ...]) -> None:
    """Lines, pictures and volumes: to and fro, the image itself between."""
    x = torch.rand(6, 2, *spatial)
    pairs = known_pairs(x, torch.Generator().manual_seed(0))["warped"]
    assert torch.equal(pairs.middle, x)
    assert pairs.first.shape == pairs.second.shape == x.shape
    assert not torch.allclose(pairs.first, pairs.second, atol=0.05)
    assert 0 <= float(pairs.first.min()) <= float(pairs.first.max()) <= 1 + 1e-6


def test_more_importance_samples_raise_the_bound(model: VAE, kittens: Tensor) -> None:
    """The importance-weighted bound is above the ELBO, and rises with the samples."""
    one, many = (evaluate(model, kittens[90:], importance_samples=k).figures for k in (1, 64))
    assert one["log_likelihood"] == pytest.approx(one["elbo"], abs=3)
    assert many["log_likelihood"] > one["log_likelihood"]


def test_a_model_with_unbounded_output_is_measured_by_a_normal() -> None:
    """Its reconstruction term is that of the one best variance, and it has no PSNR."""
    torch.manual_seed(0)
    model = VAE([4], 2, image_size=16, output="identity")
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    x = torch.randn(20, 3, 16, 16)
    figures = evaluate(model, x).figures
    assert figures["psnr"] is None  # such data have no peak
    # Of standard normal data a model that says 0 leaves the whole entropy, in nats a value.
    assert figures["reconstruction"] / 768 == pytest.approx(1.419, abs=0.01)


@pytest.mark.parametrize("shape", [(2, 40), (1, 8, 8, 8), (3, 8, 8)])
def test_signals_volumes_and_tiny_pictures_have_no_picture_figures(
    shape: tuple[int, ...],
) -> None:
    """What is not a picture of 11 pixels has no SSIM and no features, and all the rest."""
    model = VAE([4], 2, image_size=shape[1:], in_channels=shape[0])
    figures = evaluate(model, torch.rand(10, *shape), torch.rand(12, *shape)).figures
    assert figures["ssim"] is figures["prior_frechet"] is figures["slerp_distance"] is None
    assert all(figures[name] is not None for name in ("mse", "psnr", "elbo", "slerp_evenness"))


def test_one_picture_is_enough() -> None:
    """What needs two pictures is left out."""
    figures = evaluate(VAE([4], 2, image_size=16), torch.rand(1, 3, 16, 16)).figures
    assert figures["mse"] is not None
    assert figures["slerp_evenness"] is figures["active_units"] is figures["prior_frechet"] is None


def test_a_sample_of_pictures_will_do(model: VAE, kittens: Tensor) -> None:
    """A part of a store need not be copied out of it."""
    pictures, rows = Pictures(kittens), torch.arange(90, 120)
    found = evaluate(model, Sample(pictures, rows), Sample(pictures, rows - 90)).figures
    expected = evaluate(model, kittens[90:], kittens[:30]).figures
    assert found["mse"] == pytest.approx(expected["mse"])
    assert found["mixture_frechet"] is not None


def test_every_figure_has_its_unit() -> None:
    """In what `FIGURES` says of it, and in the heading of its column, one for each figure."""
    text = describe_figures(dict.fromkeys(FIGURES, 1.0))
    assert len(re.findall(r" 1[.0]*$", text, re.MULTILINE)) == len(FIGURES)
    for name, heading, unit in (("kl", "KL", "nats"), ("psnr", "PSNR", "dB")):
        assert FIGURES[name].endswith(f", in {unit}")
        assert f"  {heading}, {unit} " in text


def test_no_pictures_are_an_error() -> None:
    """There is nothing to average over."""
    with pytest.raises(ValueError, match="at least one image"):
        Evaluator(torch.rand(0, 3, 16, 16))


def test_own_features_are_used(model: VAE, kittens: Tensor) -> None:
    """The user's features decide on the distances between sets."""

    def constant(x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 4)

    figures = evaluate(model, kittens[90:], features=constant).figures
    assert figures["prior_frechet"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 16), (1, 1, 1)])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant_images_are_measured(shape: tuple[int, ...], value: float) -> None:
    """What compares with detail that is not there is left out, and all else is finite."""
    model = VAE([4], 2, image_size=shape[1:], in_channels=shape[0], kernel_size=1, stride=1)
    images = torch.full((20, *shape), value)
    figures = evaluate(model, images, images, components=3).figures
    assert all(figure is None or math.isfinite(figure) for figure in figures.values())
    assert figures["sharpness"] is None
    assert figures["slerp_contrast"] is None
