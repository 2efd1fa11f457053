import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from easyvae import VAE, BetaLoss, VAEOutput
from easyvae.comparison import compare
from easyvae.core.files import ModelFileError
from easyvae.kittens import draw_kittens
from easyvae.training import NonFiniteError

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
    """Further models stand beside those of the betas; one without a loss is taken as it is."""
    trained, new = VAE([8], 4, image_size=16), VAE([4], 4, image_size=16)
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    models = {"mine": trained, "new": (new, BetaLoss())}
    found = compare(kittens, models, betas=[0.5], **SMALL)
    assert list(found) == ["mine", "new", "beta 0.5"]
    assert len(found) == 3
    assert found["mine"].history is None
    assert found.record()["models"]["mine"]["loss"] is None
    assert all(torch.equal(before[n], t) for n, t in found["mine"].model.state_dict().items())
    assert found["new"].history is not None
    assert new._untouched  # the caller's is as it was


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
    from easyvae.training.trainer import Trainer

    whole = compare(kittens, betas=[1, 0.1], out=tmp_path / "whole", **SMALL)
    step, count = Trainer.step, 0

    def breaking(self: Trainer, *args: Any, **kwargs: Any) -> tuple[bool, bool]:
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
    assert ">PSNR, dB</th>" in page
    assert ">SSIM</th>" not in page


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


def test_in_a_notebook_it_is_a_table_too(kittens: Tensor) -> None:
    """The same figures, the best in bold, and names as they are written, not as HTML."""
    models = {"<b>&co": (VAE([8], 4, image_size=16), BetaLoss(20))}
    found = compare(kittens, models, betas=[0.01], **SMALL)
    page = found._repr_html_()
    text = re.sub("<[^>]+>", " ", page.replace("</strong>", "*")).replace("* ", "*")
    assert unescape(text).split() == repr(found).split()
    assert "<strong>" in page
    assert "<b>" not in page
    assert page.startswith("<table>")
    assert page.endswith("</table>")


def test_a_training_that_breaks_down_is_named(kittens: Tensor, tmp_path: Path) -> None:
    """The error has the model's name and the step; what the others have learnt is on the disk."""

    def nothing(output: VAEOutput, x: Tensor) -> Tensor:
        return (output.logits * torch.nan).flatten(1).sum(1)

    good, bad = (VAE([4], 2, image_size=16) for _ in range(2))
    models = {"good": (good, BetaLoss()), "bad": (bad, BetaLoss(reconstruction=nothing))}
    with pytest.raises(NonFiniteError, match="model 'bad': the loss of step 1 is not") as error:
        compare(kittens, models, out=tmp_path, **SMALL)
    assert error.value.step == 1
    trained = VAE.load(tmp_path / "runs" / "good")
    found = compare(kittens, {"good": models["good"]}, out=tmp_path, **SMALL)
    history = found["good"].history
    assert history is not None
    assert len(history) == 2
    assert torch.equal(trained.reconstruct(kittens), found["good"].model.reconstruct(kittens))


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
        ({"models": {"v": VAE([4], 2)}, "betas": [1], "image_size": 16}, "one shape"),
    ],
)
def test_bad_arguments_are_named(
    kittens: Tensor, arguments: dict[str, object], message: str
) -> None:
    """Nothing is trained before the arguments are known to be good."""
    with pytest.raises(ValueError, match=message):
        compare(kittens, **arguments, **SMALL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": {"v": 3}}, "'v'; it must have a pair"),
        ({"models": {"v": (VAE([4], 2, image_size=16), 0.5)}}, "'v'; it must have a pair"),
        ({"betas": 0.5}, "`betas`"),
        ({"betas": ["1"]}, "`beta`"),
        ({"models": {"v": VAE([4], 2, image_size=16)}, "epoch": 3}, "`epoch`"),
    ],
)
def test_arguments_of_a_wrong_type_are_named(
    kittens: Tensor, arguments: dict[str, object], message: str
) -> None:
    """A misspelt argument is not swallowed either."""
    with pytest.raises(TypeError, match=message):
        compare(kittens, **arguments, **SMALL)


def test_an_unknown_model_is_named(kittens: Tensor) -> None:
    """The error lists those that there are."""
    found = compare(kittens, betas=[1], **SMALL)
    with pytest.raises(KeyError, match="beta 1"):
        found["beta 2"]


def test_models_that_were_stopped_go_on_in_the_next_call(
    kittens: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a notebook the same dictionary is passed again: its models are as they were."""
    from easyvae.training.trainer import Trainer

    torch.manual_seed(0)
    models = {"small": (VAE([8], 4, image_size=16), BetaLoss(0.1))}
    options = {**SMALL, "out": tmp_path}
    step, count = Trainer.step, 0

    def breaking(self: Trainer, *args: Any, **kwargs: Any) -> tuple[bool, bool]:
        nonlocal count
        count += 1
        if count == 7:
            raise RuntimeError("stop")
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", breaking)
        with pytest.raises(RuntimeError, match="stop"):
            compare(kittens, models, **options)
    found = compare(kittens, models, **options)
    history = found["small"].history
    assert history is not None
    assert len(history) == 2
    assert found.table == compare(kittens, models, **SMALL).table


def test_a_folder_does_not_mix_comparisons(kittens: Tensor, tmp_path: Path) -> None:
    """Other epochs or data are refused, by name; further betas are not; and one may begin anew."""
    options = {**SMALL, "out": tmp_path}
    compare(kittens, betas=[1], **options)
    with pytest.raises(ValueError, match=r"epochs \(2, now 3\)"):
        compare(kittens, betas=[1], **{**options, "epochs": 3})
    with pytest.raises(ValueError, match="data"):
        compare(kittens[1:], betas=[1], **options)
    assert len(compare(kittens, betas=[1, 2], **options)) == 2
    found = compare(kittens, betas=[1], resume=False, **{**options, "epochs": 1})
    history = found["beta 1"].history
    assert history is not None
    assert len(history) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"epochs": 2}', "[" * 100_000])
def test_damaged_settings_are_refused_by_name(kittens: Tensor, tmp_path: Path, text: str) -> None:
    """Nobody could tell what a comparison goes on with; it may begin anew."""
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(ModelFileError) as caught:
        compare(kittens, betas=[1], out=tmp_path, **SMALL)
    assert caught.value.path == tmp_path / "comparison.json"
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.json"]


def test_a_file_is_no_folder(kittens: Tensor, tmp_path: Path) -> None:
    """It is left alone."""
    path = tmp_path / "report"
    path.write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        compare(kittens, betas=[1], out=path, **SMALL)
    assert path.read_text() == "mine"


def test_the_shape_is_that_of_the_data() -> None:
    """Squares without a channel are greys, arrays with channels last are refused with advice."""
    greys = torch.randint(256, (60, 12, 12), dtype=torch.uint8)
    assert compare(greys, betas=[1], **SMALL)["beta 1"].model.input_shape == (1, 12, 12)
    with pytest.raises(ValueError, match="channels come last"):
        compare(torch.rand(60, 12, 12, 3), betas=[1], **SMALL)
    model = VAE([4], 2, image_size=(12, 16), in_channels=2)
    found = compare(torch.rand(60, 2, 12, 16), {"wide": model}, betas=[1], **SMALL)
    assert found["beta 1"].model.input_shape == (2, 12, 16)


@pytest.mark.parametrize("held_out", [1, 2])
def test_few_pictures_have_a_report(kittens: Tensor, tmp_path: Path, held_out: int) -> None:
    """One held-out picture is interpolated with itself."""
    pytest.importorskip("matplotlib")
    options = {**SMALL, "validation": kittens[-held_out:]}
    found = compare(kittens[:8], {"a $x$ and $": VAE([4], 2, image_size=16)}, **options)
    found.save(tmp_path)
    assert (tmp_path / "report.html").is_file()


def test_all_models_have_one_likelihood(kittens: Tensor) -> None:
    """Beside a model of unbounded output, one with a sigmoid is measured by a normal too."""
    torch.manual_seed(0)
    free = VAE([8], 4, image_size=16, output="identity")
    model = VAE([8], 4, image_size=16)
    alone = compare(kittens, {"v": model}, **SMALL).table["v"]
    beside = compare(kittens, {"v": model, "w": free}, **SMALL).table
    assert beside["v"]["mse"] == alone["mse"]
    assert beside["v"]["elbo"] != alone["elbo"]
    assert beside["v"]["psnr"] is not None
    assert beside["w"]["psnr"] is not None


def test_features_that_are_none_fail_before_any_training(
    kittens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the user's function does not cost hours."""
    monkeypatch.setattr("easyvae.comparison.run.fit", None)
    with pytest.raises(ValueError, match="`features` returned"):
        compare(kittens, betas=[1], features=lambda x: x.mean(), **SMALL)


def test_norms_keep_their_statistics(kittens: Tensor) -> None:
    """A trained model with batch norms is not changed by being measured."""
    model = VAE([8], 4, image_size=16, norm="batch")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measured = compare(kittens, {"v": model}, **SMALL)["v"].model
    assert all(torch.equal(before[n], t) for n, t in measured.state_dict().items())
