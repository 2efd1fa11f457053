import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from easyvae import VAE, BetaLoss
from easyvae.comparison import compare
from easyvae.kittens import draw_kittens

SMALL = {"channels": [8, 16], "latent": 8, "epochs": 2, "progress": False}


@pytest.fixture(scope="module")
def kittens() -> Tensor:
    return torch.from_numpy(draw_kittens(150, size=16)[0])


def test_a_smaller_beta_reconstructs_better_and_holds_more(kittens: Tensor) -> None:
    """The study's first conclusion, in small: less error and more KL divergence."""
    table = compare(kittens, betas=[20, 0.01], **SMALL).table
    large, small = table["beta 20"], table["beta 0.01"]
    assert small["mse"] < large["mse"]
    assert small["kl"] > large["kl"]


def test_all_models_are_measured_on_what_fit_held_out(kittens: Tensor) -> None:
    """The held-out pictures are those whose validation loss `fit` reports."""
    found = compare(kittens, betas=[1], validation=0.2, **SMALL)
    assert (found.facts["training"], found.facts["held_out"]) == (120, 30)
    figures, history = found["beta 1"].evaluation.figures, found["beta 1"].history
    assert history is not None
    assert figures["kl"] == pytest.approx(history["val_kl"][-1], rel=1e-5)


def test_copies_stay_on_one_side(kittens: Tensor) -> None:
    """Of a set in which every picture is there twice, no held-out picture has a twin."""
    twice = torch.cat([kittens, kittens])
    found = compare(twice, betas=[1], **{**SMALL, "epochs": 1})
    assert found.facts["held_out"] % 2 == 0


def test_models_and_betas_together(kittens: Tensor) -> None:
    """Further models stand beside those of the betas; a trained one is taken as it is."""
    trained = VAE([8], 4, image_size=16)
    trained.fresh = False
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    found = compare(kittens, {"mine": (trained, BetaLoss())}, betas=[0.5], **SMALL)
    assert list(found.results) == ["mine", "beta 0.5"]
    assert found["mine"].history is None
    assert all(torch.equal(before[n], t) for n, t in trained.state_dict().items())


def test_other_data_may_be_held_out(kittens: Tensor) -> None:
    """`validation` may be data."""
    found = compare(kittens[:100], betas=[1], validation=kittens[100:], **SMALL)
    assert (found.facts["training"], found.facts["held_out"]) == (100, 50)


def test_the_global_random_state_is_left_alone(kittens: Tensor) -> None:
    """Neither the weights nor the noise are drawn from it."""
    before = torch.get_rng_state()
    compare(kittens, betas=[1], **SMALL)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("stop", [1, 7, 13])
def test_a_stopped_comparison_goes_on_and_ends_with_the_same_numbers(
    kittens: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Killed at a step of the first or the second model, and called again."""
    from easyvae.trainer import Trainer

    whole = compare(kittens, betas=[1, 0.1], out=tmp_path / "whole", **SMALL)
    step, count = Trainer.step, 0

    def breaking(self: Trainer, *args: object, **kwargs: object) -> bool:
        nonlocal count
        count += 1
        if count == stop:
            raise RuntimeError("the power is gone")
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", breaking)
        with pytest.raises(RuntimeError, match="power"):
            compare(kittens, betas=[1, 0.1], out=tmp_path / "cut", **SMALL)
    again = compare(kittens, betas=[1, 0.1], out=tmp_path / "cut", **SMALL)
    assert again.table == whole.table
    for name in whole.results:
        for a, b in zip(
            whole[name].model.parameters(), again[name].model.parameters(), strict=True
        ):
            assert torch.equal(a, b)


def test_save_leaves_a_report_that_stands_alone(kittens: Tensor, tmp_path: Path) -> None:
    """The report refers to no other file, and all that is promised is there."""
    pytest.importorskip("matplotlib")
    model = VAE([8], 4, image_size=16)
    found = compare(kittens, {"<b>&co": (model, BetaLoss(2))}, betas=[0.05], **SMALL)
    page = found.save(tmp_path / "report").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "http" not in page
    assert "url(" not in page
    assert "<b>&co" not in page
    assert "&lt;b&gt;&amp;co" in page
    names = {path.name for path in (tmp_path / "report").iterdir()}
    figures = {"reconstructions", "interpolations", "samples", "rate_distortion", "latents"}
    assert names == {"report.html", "results.json", "models", *(f"{f}.png" for f in figures)}
    record = json.loads((tmp_path / "report" / "results.json").read_text())
    assert record["models"]["beta 0.05"]["figures"]["mse"] == found.table["beta 0.05"]["mse"]
    twin = VAE.load(tmp_path / "report" / "models" / "beta-0.05.safetensors")
    x = kittens[:2]
    assert torch.equal(twin.reconstruct(x), found["beta 0.05"].model.reconstruct(x))


def test_signals_have_a_report_without_pictures(tmp_path: Path) -> None:
    """What is not pictures is compared by the figures that apply."""
    pytest.importorskip("matplotlib")
    found = compare(torch.rand(40, 2, 64), betas=[1], **SMALL)
    found.save(tmp_path)
    assert not (tmp_path / "reconstructions.png").exists()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<th>PSNR, dB</th>" in page
    assert "<th>SSIM</th>" not in page


def test_the_figures_have_a_row_or_column_per_model(kittens: Tensor) -> None:
    """Labels name the models."""
    pytest.importorskip("matplotlib")
    found = compare(kittens, betas=[1, 0.1], **SMALL)
    columns = [t.get_text() for t in found.figure_reconstructions().axes[0].get_xticklabels()]
    assert columns == ["original", "beta 1", "beta 0.1"]
    figure = found.figure_interpolations(2, 3, steps=5, method="lerp")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["beta 1", "beta 0.1"]
    assert len(figure.axes[0].get_xticklabels()) == 7


def test_its_text_is_a_table(kittens: Tensor) -> None:
    """The best figure of each column has a star."""
    text = repr(compare(kittens, betas=[20, 0.01], **SMALL))
    lines = text.splitlines()
    assert len(lines) == 3
    assert lines[0].split()[0] == "MSE"
    assert re.match(r"beta 0\.01 +0\.\d+\*", lines[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "nothing to compare"),
        ({"betas": [1, 1.0]}, "twice"),
        ({"betas": [1], "validation": None}, "`validation`"),
        ({"betas": [-1]}, "`beta`"),
        (
            {
                "models": {"a b": (VAE([4], 2, image_size=16), BetaLoss())}
                | {"a-b": (VAE([4], 2, image_size=16), BetaLoss())}
            },
            "share the file",
        ),
        ({"models": {"v": (VAE([4], 2), BetaLoss())}, "betas": [1]}, "one shape"),
    ],
)
def test_bad_arguments_are_named(
    kittens: Tensor, arguments: dict[str, object], message: str
) -> None:
    """Nothing is trained before the arguments are known to be good."""
    with pytest.raises(ValueError, match=message):
        compare(kittens, **arguments, **SMALL)


def test_a_model_without_its_loss_is_an_error(kittens: Tensor) -> None:
    """`models` holds pairs."""
    with pytest.raises(TypeError, match="pair"):
        compare(kittens, {"v": VAE([4], 2, image_size=16)}, **SMALL)


def test_an_unknown_model_is_named(kittens: Tensor) -> None:
    """The error lists those that there are."""
    found = compare(kittens, betas=[1], **SMALL)
    with pytest.raises(KeyError, match="beta 1"):
        found["beta 2"]
