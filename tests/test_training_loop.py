"""`fit`: what a run computes, leaves, resumes and refuses."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from easyvae import VAE, BetaLoss, History, fit, interpolate
from easyvae.core.files import ModelFileError
from easyvae.core.tensor_file import read_tensors, write_tensors
from easyvae.data import Batches, Pictures, Warp, split
from easyvae.losses import Cyclical, LaplacianPyramid, LinearWarmup
from easyvae.training import Muon, NonFiniteError, RunState
from easyvae.training.history import COLUMNS
from easyvae.training.recipe import choose_warp
from easyvae.training.trainer import CLIP, Trainer

SHAPE = (1, 8, 8)


def small_model(**options: Any) -> VAE:
    torch.manual_seed(0)
    return VAE([4, 8], 3, image_size=8, in_channels=1, **options)


def digits(n: int = 90, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=generator)


def run(model: VAE, data: Any = None, **options: Any) -> History:
    options = {"epochs": 2, "progress": False, "device": "cpu"} | options
    return fit(model, digits() if data is None else data, **options)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def groups(parameters: Any, rate: float) -> list[dict[str, Any]]:
    """Two groups, the second with a rate of its own."""
    first, *rest = parameters
    return [{"params": [first], "lr": 1e-5}, {"params": rest, "lr": rate}]


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, what: Any) -> None:
    """Makes something happen after step number `step` (from 0) of any run."""
    original = Trainer.step

    def stepping(self: Trainer, batch: Any, at: Any, **options: bool) -> tuple[bool, bool]:
        asked = original(self, batch, at, **options)
        if at.step == step + 1:
            what()
        return asked

    monkeypatch.setattr(Trainer, "step", stepping)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class TestResults:
    def test_training_lowers_the_loss_on_pictures_it_has_not_seen(self) -> None:
        """On pictures with something to learn, the validation loss falls by a fifth."""
        ramp = torch.linspace(0, 1, 8).expand(8, 8)
        tones = torch.rand(200, 1, 1, 1, generator=torch.Generator().manual_seed(0))
        # At the principal components there would be little left to learn.
        history = run(small_model(), tones * ramp, epochs=12, lr=0.04, start="random")
        losses = history["val_loss"]
        assert losses[-1] < 0.8 * losses[0]

    def test_history_has_the_documented_columns_and_numbers(self) -> None:
        """Each row has every column, epochs count from 1, and losses are finite."""
        history = run(small_model(), epochs=3)
        assert history["epoch"] == [1, 2, 3]
        for row in history:
            assert tuple(row) == COLUMNS
            assert all(math.isfinite(value) for value in row.values() if value is not None)

    def test_epoch_figures_are_averages_over_images(self) -> None:
        """With a learning rate of nearly 0, the epoch's loss is the mean over single images."""
        images = digits(50)
        model = small_model()
        options = {"validation": None, "batch_size": 16, "lr": 1e-30, "precision": "float32"}
        history = run(model, images, epochs=1, **options)
        with torch.no_grad():
            loss = BetaLoss(reduction="none").terms(model(images), images)
        # The KL has no noise in it, so it can be compared closely; the last batch has two images.
        assert history["train_kl"][0] == pytest.approx(float(loss.kl.mean()), rel=1e-5)
        assert history["train_reconstruction"][0] == pytest.approx(
            float(loss.reconstruction.mean()), rel=0.02
        )

    def test_total_is_reconstruction_plus_beta_times_kl(self) -> None:
        """The three columns of a row agree with each other and with the column beta."""
        history = run(small_model(), loss=BetaLoss(0.3))
        for row in history:
            for use in ("train", "val"):
                total = row[f"{use}_reconstruction"] + row["beta"] * row[f"{use}_kl"]
                assert row[f"{use}_loss"] == pytest.approx(total, rel=1e-6)

    def test_two_runs_with_one_seed_are_bit_identical(self) -> None:
        """The same seed gives the same bits, another seed does not."""
        models = [small_model() for _ in range(3)]
        for model, seed in zip(models, (3, 3, 4), strict=True):
            run(model, seed=seed)
        assert same_weights(models[0], models[1])
        assert not same_weights(models[0], models[2])

    def test_global_random_state_is_left_alone(self) -> None:
        """A run neither reads nor changes the global generators, dropout or not."""
        torch.manual_seed(7)
        state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
        model = VAE([4, 8], 3, image_size=8, in_channels=1, activation=Dropped)
        torch.set_rng_state(state)
        run(model)
        assert torch.equal(torch.get_rng_state(), state)
        assert (np.random.get_state()[1] == numpy_state).all()

    def test_training_flags_are_restored(self) -> None:
        """A model given in eval mode, or with a frozen norm in eval mode, is returned so."""
        model = small_model(norm="batch").eval()
        run(model)
        assert not any(module.training for module in model.modules())

    def test_bfloat16_stays_close_to_float32(self) -> None:
        """Under bfloat16 autocast the run is finite and its loss within 1 % of float32's."""
        losses = {}
        for precision in ("float32", "bfloat16"):
            losses[precision] = run(small_model(), precision=precision)["val_loss"][-1]
        assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.01)

    def test_gradients_are_clipped_to_a_multiple_of_the_usual_norm(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A batch with a gradient far longer than usual is shortened to CLIP times the usual."""
        norms, before = [], []
        step = Muon.step

        def watch(optimizer: Muon) -> None:
            grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
            norms.append(float(nn.utils.get_total_norm(grads)))
            step(optimizer)

        def term(output: Any, x: Tensor) -> Tensor:
            before.append(None)
            huge = 1e6 if len(before) == 4 else 1.0
            return huge * (output.reconstruction - x).square().flatten(1).sum(1)

        monkeypatch.setattr(Muon, "step", watch)
        loss = BetaLoss(reconstruction=term)
        run(small_model(), epochs=1, loss=loss, batch_size=8, start="random")
        assert norms[3] == pytest.approx(CLIP * norms[0], rel=0.5)
        assert max(norms[:3] + norms[4:]) < 3 * norms[0]


class TestStart:
    def test_a_new_model_starts_at_the_principal_components(self) -> None:
        """Nearly without a step, its loss is what a random start is far from."""
        losses = {}
        for start in ("auto", "random"):
            options = {"epochs": 1, "lr": 1e-30, "loss": BetaLoss(0.005), "start": start}
            losses[start] = run(small_model(), digits(200), **options)["val_loss"][0]
        assert losses["auto"] < 0.95 * losses["random"]

    @pytest.mark.parametrize("touched", ["trained", "loaded", "set"])
    def test_any_other_model_goes_on_from_its_weights(self, touched: str) -> None:
        """Weights that a run, a file or the user has set are never replaced."""
        model = small_model()
        if touched == "trained":
            run(model, epochs=1)
        elif touched == "loaded":
            model.load_state_dict({k: v + 0.01 for k, v in model.state_dict().items()})
        else:
            with torch.no_grad():
                model.encoder.mean.bias[0] = 0.25
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        run(model, epochs=1, lr=1e-30)
        for name, tensor in model.state_dict().items():
            assert torch.allclose(tensor, before[name]), name

    def test_random_keeps_the_weights_that_the_model_has(self) -> None:
        """Untouched ones, as well as all others."""
        model, twin = small_model(), small_model()
        run(model, epochs=1, lr=1e-30, start="random")
        for a, b in zip(model.parameters(), twin.parameters(), strict=True):
            assert torch.allclose(a, b)

    @pytest.mark.parametrize("kind", ["subclass", "other encoder", "layer beside"])
    def test_models_with_layers_of_the_users_own_train(self, tmp_path: Path, kind: str) -> None:
        """They start from their weights, and resume to the bit."""

        class Mine(VAE):
            def __init__(self, **config: Any) -> None:
                super().__init__(**config)
                self.extra = nn.Linear(3, 3)

            def decode(self, z: Tensor) -> Tensor:
                return super().decode(self.extra(z))

        def make() -> VAE:
            torch.manual_seed(0)
            config = small_model().config
            if kind == "subclass":
                return Mine(**config)
            model = VAE(**config)
            if kind == "other encoder":
                model.encoder = Flat()  # type: ignore[assignment]  # what users do
            else:
                model.extra = nn.Linear(2, 2)
            return model

        whole, parts = make(), make()
        optimizer = lambda p: torch.optim.SGD(p, 1e-5, momentum=0.9)  # noqa: E731  # short
        before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
        run(whole, epochs=2, optimizer=optimizer)
        assert any(not torch.equal(before[n], t) for n, t in whole.state_dict().items())
        run(make(), epochs=1, out=tmp_path, optimizer=optimizer)
        run(parts, epochs=2, out=tmp_path, optimizer=optimizer)
        assert same_weights(whole, parts)
        with pytest.raises(ValueError, match="differs in layers"):
            run(small_model(), out=tmp_path, optimizer=optimizer)

    def test_a_file_that_load_cannot_read_is_told_of(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The line says how such a model is read, and that works."""
        model = small_model()
        model.encoder = Flat()  # type: ignore[assignment]  # what users do
        run(model, out=tmp_path, validation=None, progress=True)
        assert "`VAE.load` will not read its file" in capsys.readouterr().err
        other = small_model()
        other.encoder = Flat()  # type: ignore[assignment]  # likewise
        other.load_state_dict(load_file(tmp_path / "model.safetensors"))
        assert same_weights(model, other)

    def test_what_only_a_models_attributes_tell_must_match(self, tmp_path: Path) -> None:
        """Numbers of a subclass, and options of layers that neither shapes nor `repr` show."""

        class Mine(VAE):
            share = 1.0

        def make(heads: int, share: float) -> VAE:
            torch.manual_seed(0)
            model = Mine(**small_model().config)
            model.share = share
            layer = nn.TransformerEncoderLayer(64, heads, 8)
            model.encoder = nn.Sequential(nn.Flatten(), layer, Flat())  # type: ignore[assignment]
            return model

        run(make(2, 0.5), epochs=1, out=tmp_path)
        with pytest.raises(ValueError, match=r"layers.share \(0.5, now 0.25\)"):
            run(make(2, 0.25), out=tmp_path)
        with pytest.raises(ValueError, match=r"num_heads \(2, now 4\)"):
            run(make(4, 0.5), out=tmp_path)
        run(make(2, 0.5), out=tmp_path)

    def test_a_loader_and_a_tensor_both_start_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The images of a DataLoader are read ahead, and its epochs are none the worse."""
        images = digits(64).float() / 255
        loader = DataLoader(images, batch_size=8, shuffle=True)
        fit(small_model(), loader, epochs=1, validation=None)
        assert "starting from 3 principal components of 64 images" in capsys.readouterr().err


class TestWarp:
    @pytest.mark.parametrize("step", [0, 2, 5, 7])
    def test_resuming_is_bit_identical(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        """What is drawn to bend the pictures is a function of the seed and the step."""
        whole, parts = small_model(), small_model()
        run(whole, out=tmp_path / "whole", warp=Warp())
        with monkeypatch.context() as patch:
            stop_at(patch, step, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(small_model(), out=tmp_path / "parts", warp=Warp())
        run(parts, out=tmp_path / "parts", warp=Warp())
        assert same_weights(whole, parts)

    def test_without_any_change_it_is_the_usual_objective(self) -> None:
        """Both ends are the picture itself; only the noise is drawn otherwise."""
        none = Warp(most=0.0)
        options: dict[str, Any] = {"epochs": 1, "lr": 1e-30, "validation": None, "batch_size": 16}
        bent, plain = (run(small_model(), digits(400), warp=w, **options) for w in (none, None))
        assert bent["train_kl"][0] == pytest.approx(plain["train_kl"][0], rel=0.02)
        assert bent["train_reconstruction"] == pytest.approx(
            plain["train_reconstruction"], rel=0.02
        )

    def test_the_run_knows_its_warp(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its first line tells of it, another one is refused, and batches are half as large."""
        run(small_model(), out=tmp_path, warp=Warp(), progress=True)
        assert "batch size 16, Muon lr 0.002, beta 1, warps, " in capsys.readouterr().err
        with pytest.raises(ValueError, match=r"differs in warp\.rotate \(10\.0, now 5\.0\)"):
            run(small_model(), out=tmp_path, warp=Warp(rotate=5.0))
        with pytest.raises(ValueError, match=r"differs in warp"):
            run(small_model(), out=tmp_path, batch_size=16)
        with pytest.raises(TypeError, match="`warp`"):
            run(small_model(), warp="on")

    @pytest.mark.parametrize(
        ("betas", "sizes", "on"),
        [
            ([0.1], 8, True),
            ([0.1], (8, 8, 8), True),
            ([1.0], 8, False),
            ([0.5], 8, False),
            ([2.0, 0.05], 8, True),
            ([0.1], (64,), False),
        ],
    )
    def test_auto_goes_by_what_the_model_is_for(
        self, betas: list[float], sizes: Any, *, on: bool
    ) -> None:
        """Small betas are for mixing: of pictures and volumes, not of signals."""
        model = VAE([4], 2, image_size=sizes, in_channels=1)
        chosen = choose_warp("auto", [(model, BetaLoss(beta)) for beta in betas])
        assert chosen == (Warp() if on else None)
        assert choose_warp(None, [(model, BetaLoss(0.1))]) is None
        assert choose_warp(Warp(rotate=3), [(model, BetaLoss(1))]) == Warp(rotate=3)

    def test_auto_leaves_what_it_does_not_know(self) -> None:
        """A term or a model of one's own may need an output that is one picture's."""

        class Own(VAE):
            def forward(self, x: Tensor, **options: Any) -> Any:
                return super().forward(x, **options)

        class Doubled(BetaLoss):
            pass

        model, error = small_model(), lambda output, x: (output.logits - x).flatten(1).sum(1)
        assert choose_warp("auto", [(model, BetaLoss(0.1, reconstruction=error))]) is None
        assert choose_warp("auto", [(model, Doubled(0.1))]) is None
        assert choose_warp("auto", [(Own([4], 2, image_size=8), BetaLoss(0.1))]) is None
        pyramid = BetaLoss(0.1, reconstruction=LaplacianPyramid())
        assert choose_warp("auto", [(model, pyramid)]) == Warp()

    def test_auto_goes_by_where_beta_ends(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Also of a schedule; `fit` says in its first line what it has chosen."""
        for beta, on in ((LinearWarmup(0.2), True), (LinearWarmup(1.0), False)):
            run(small_model(), loss=BetaLoss(beta), progress=True, epochs=1)
            assert (", warps, " in capsys.readouterr().err) is on

    @pytest.mark.parametrize("until", [0.0, 0.5, 1.0])
    def test_the_last_part_is_plain(self, monkeypatch: pytest.MonkeyPatch, until: float) -> None:
        """From a share of the steps on, pictures are left as they are."""
        drawn: list[int] = []
        draw = Warp.draw
        monkeypatch.setattr(Warp, "draw", lambda *a: drawn.append(1) or draw(*a))
        run(small_model(), digits(64), warp=Warp(until=until), epochs=2, validation=None)
        assert len(drawn) == until * 8

    def test_it_starts_at_few_components_if_asked_to(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A start that is linear in all its latents would lay pictures over each other."""
        model = VAE([8, 16], 24, image_size=16, in_channels=1)
        images = torch.rand(64, 1, 16, 16)
        for warp, count in ((Warp(components=16), 16), (Warp(), 24), (None, 24)):
            torch.manual_seed(0)
            model = VAE([8, 32], 24, image_size=16, in_channels=1)
            run(model, images, loss=BetaLoss(0.01), warp=warp, epochs=1, progress=True)
            assert f"starting from {count} principal" in capsys.readouterr().err

    @pytest.mark.parametrize("spatial", [(64,), (9, 16), (6, 8, 10)])
    def test_any_number_of_sizes_trains(self, spatial: tuple[int, ...]) -> None:
        """Signals, wide pictures and volumes."""
        model = VAE([4, 8], 3, image_size=spatial, in_channels=1)
        history = run(model, torch.rand(20, 1, *spatial), warp=Warp(), validation=None)
        assert all(map(math.isfinite, history["train_loss"]))

    def test_a_dot_moves_instead_of_fading(self) -> None:
        """Half-way between two places of a dot it is between them, and plain training fades."""
        generator = torch.Generator().manual_seed(0)
        at = torch.rand(600, 2, 1, 1, generator=generator) * 8 + 4
        rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
        images = torch.exp(-((rows - at[:, :1]) ** 2 + (columns - at[:, 1:]) ** 2) / 3)
        ends = torch.tensor([[5.0, 5.0], [11.0, 11.0]]).view(2, 2, 1, 1)
        a, b = torch.exp(-((rows - ends[:, :1]) ** 2 + (columns - ends[:, 1:]) ** 2) / 3)
        truth = torch.exp(-((rows - 8) ** 2 + (columns - 8) ** 2) / 3)
        errors = {}
        for warp in (Warp(shift=0.3), None):
            torch.manual_seed(0)
            model = VAE([16, 32], 4, image_size=16, in_channels=1)
            loss = BetaLoss(0.01)
            options: dict[str, Any] = {"epochs": 8, "batch_size": 16, "lr": 0.005, "warp": warp}
            run(model, images, loss=loss, validation=None, **options)
            middle = interpolate(model, a[None], b[None], steps=3, method="lerp")[1, 0]
            errors[warp is None] = float((middle - truth).square().mean())
        assert errors[False] < 0.3 * errors[True]


class Flat(nn.Module):
    """An encoder of a user's own: a tuple of means and log-variances."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.layer(x.flatten(1)).chunk(2, dim=1)


class Dropped(nn.Sequential):
    """An activation that draws from the global random state."""

    def __init__(self) -> None:
        super().__init__(nn.SiLU(), nn.Dropout(0.1))


class TestData:
    @pytest.mark.parametrize(
        "kind",
        ["tensor", "array", "float", "dataset", "tuples", "dicts", "pictures", "no channel"],
    )
    def test_every_kind_of_data_trains_alike(self, kind: str) -> None:
        """The same images in any wrapping give the same weights."""
        images = digits()
        kinds: dict[str, Any] = {
            "tensor": images,
            "array": images.numpy(),
            "float": images.float() / 255,
            "dataset": Rows(images, lambda x: x),
            "tuples": TensorDataset(images, torch.arange(len(images))),
            "dicts": Rows(images, lambda x: {"image": x, "label": 0}),
            "pictures": Pictures(images),
            "no channel": images[:, 0],
        }
        models = small_model(), small_model()
        run(models[0], images, validation=None)
        run(models[1], kinds[kind], validation=None)
        assert same_weights(*models)

    def test_a_dataloader_is_streamed_and_split(self) -> None:
        """A shuffling DataLoader trains with its own batch size, and resumes bit for bit."""
        loader = DataLoader(TensorDataset(digits()), batch_size=10, shuffle=True)
        models = small_model(), small_model()
        histories = [run(model, loader) for model in models]
        assert same_weights(*models)
        assert histories[0]["val_loss"][0] is not None

    def test_validation_may_be_none_a_share_or_data(self) -> None:
        """With None there are no validation figures, with data there are those of the data."""
        assert run(small_model(), validation=None)["val_loss"] == [None, None]
        for validation in (0.2, digits(20, seed=9), DataLoader(digits(20, seed=9), batch_size=8)):
            assert all(run(small_model(), validation=validation)["val_loss"])

    def test_copies_never_straddle_the_split(self) -> None:
        """With every image four times, no image of the validation part is in the training part."""
        pictures = Pictures(digits(30).repeat(4, 1, 1, 1))
        training, held_out = split(pictures, 0.25, seed=0)
        seen = {row.numpy().tobytes() for row in pictures.gather(training)}
        unseen = {row.numpy().tobytes() for row in pictures.gather(held_out)}
        assert not seen & unseen
        assert len(held_out) == 30 or abs(len(held_out) - 30) <= 4

    def test_a_picture_is_mirrored_only_in_training(self) -> None:
        """With flip, some training pictures are mirrored and no validation picture is."""
        pictures = Pictures(digits(64), flip=True)
        everything = torch.arange(64)
        for shuffle in (True, False):
            batches = Batches(pictures, everything, 64, seed=0, shuffle=shuffle)
            images = next(iter(batches.epoch(0))).images
            known = {row.numpy().tobytes() for row in pictures.images}
            mirrored = [row.numpy().tobytes() not in known for row in images]
            assert any(mirrored) == shuffle

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (torch.rand(20, 8, 8, 1), "permute"),
            (torch.rand(20, 3, 8, 8), "channel"),
            (torch.rand(20, 1, 9, 8), "8"),
            (torch.full((20, 1, 8, 8), math.nan), "row 0|image 0|NaN"),
            (torch.rand(20, 1, 8, 8) * 255, "255"),
            (torch.zeros(0, 1, 8, 8), "no images"),
            (torch.zeros(20, 1, 8, 8, dtype=torch.int64), "uint8"),
            (torch.zeros(1, 1, 8, 8), "validation"),
        ],
    )
    def test_data_that_do_not_fit_are_refused(self, data: Tensor, message: str) -> None:
        """Each is a ValueError that says what would be right."""
        with pytest.raises(ValueError, match=message):
            run(small_model(), data)

    def test_random_transforms_of_a_data_set_are_said_to_freeze(self) -> None:
        """It is read once: its chance is drawn once. A DataLoader's is drawn every epoch."""
        images = digits(40).float() / 255
        chance = Rows(images, lambda x: x * torch.rand(()))
        with pytest.warns(UserWarning, match=r"a Rows\) gives other images at every reading"):
            run(small_model(), chance)
        run(small_model(), DataLoader(chance, batch_size=10), validation=None)
        run(small_model(), Rows(images, lambda x: x.flip(-1)))

    def test_a_batch_size_beside_a_loader_is_said_to_be_idle(self) -> None:
        """The loader's own is used."""
        loader = DataLoader(TensorDataset(digits(40)), batch_size=10)
        with pytest.warns(UserWarning, match=r"`batch_size` \(=7\) .* batches of 10"):
            run(small_model(), loader, batch_size=7, validation=None)

    def test_one_picture_trains_without_validation(self) -> None:
        """A set of one is a set, and a batch size above the set's size is no error."""
        history = run(small_model(), digits(1), validation=None, batch_size=64)
        assert len(history) == 2


class Rows(Dataset):  # type: ignore[type-arg]
    def __init__(self, images: Tensor, wrap: Any) -> None:
        self.images, self.wrap = images, wrap

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.wrap(self.images[index])


class TestRunFolder:
    def test_it_holds_what_is_documented(self, tmp_path: Path) -> None:
        """Model, history, settings and one checkpoint, and no stray file."""
        history = run(small_model(), out=tmp_path / "run")
        names = {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*")}
        assert names == {
            "model.safetensors",
            "history.csv",
            "run.json",
            ".lock",
            "checkpoints",
            "checkpoints/step-000000006.safetensors",
        }
        assert History.from_csv(tmp_path / "run" / "history.csv").rows == history.rows
        settings = json.loads((tmp_path / "run" / "run.json").read_text())
        assert settings["must_match"]["batch_size"] == 32
        assert settings["must_match"]["optimizer_options"]["lr"] == 0.002
        assert settings["must_match"]["optimizer"] == "Muon"

    def test_the_model_is_the_best_on_validation(self, tmp_path: Path) -> None:
        """With a learning rate that ruins the model, the file has an epoch before the ruin."""
        model = small_model()
        data = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1
        factory = lambda p: torch.optim.SGD(p, lr=3e-3, momentum=0.99)  # noqa: E731  # short
        states: dict[int, Tensor] = {}

        def remember(state: RunState) -> None:
            states[state.epoch] = model.state_dict()["encoder.mean.bias"].clone()

        history = run(
            model,
            data,
            epochs=6,
            optimizer=factory,
            out=tmp_path,
            callbacks=[
                lambda s: states.update({s.epoch: model.state_dict()["encoder.mean.bias"].clone()})
            ],
        )
        losses = history["val_loss"]
        best = losses.index(min(losses)) + 1
        saved = VAE.load(tmp_path).state_dict()["encoder.mean.bias"]
        assert torch.equal(saved, states[best])

    def test_without_validation_the_model_is_the_last(self, tmp_path: Path) -> None:
        """`validation=None` leaves the last epoch's weights."""
        model = small_model()
        run(model, validation=None, out=tmp_path)
        assert same_weights(VAE.load(tmp_path), model)

    @pytest.mark.parametrize("step", [0, 1, 2, 3, 5])
    @pytest.mark.parametrize(
        "optimizer",
        [
            None,
            lambda p: torch.optim.Adam(p, 1e-3, fused=True),
            lambda p: torch.optim.SGD(p, 1e-5, momentum=0.9),
        ],
        ids=["default", "fused adam", "sgd"],
    )
    def test_resuming_is_bit_identical_from_any_step(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, optimizer: Any
    ) -> None:
        """Stopped by Ctrl-C and started again, a run ends as if it had never been stopped."""

        def options() -> dict[str, Any]:  # a new loss each time, as in a new process
            return {"optimizer": optimizer, "loss": BetaLoss(Cyclical(0.5))}

        whole = small_model()
        history = run(whole, out=tmp_path / "whole", **options())
        with monkeypatch.context() as patch:
            stop_at(patch, step, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(small_model(), out=tmp_path / "parts", **options())
        resumed = small_model()
        again = run(resumed, out=tmp_path / "parts", **options())
        assert same_weights(resumed, whole)
        timed = {"seconds", "images_per_second"}
        for before, after in zip(history, again, strict=True):
            assert {k: v for k, v in before.items() if k not in timed} == {
                k: v for k, v in after.items() if k not in timed
            }
        files = [
            (tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")
        ]
        assert files[0] == files[1]

    def test_a_finished_run_returns_its_history_and_weights(self, tmp_path: Path) -> None:
        """Calling `fit` again with the same arguments trains nothing and loads everything."""
        model = small_model()
        history = run(model, out=tmp_path)
        fresh = VAE([4, 8], 3, image_size=8, in_channels=1)
        assert run(fresh, out=tmp_path).rows == history.rows
        assert same_weights(fresh, model)

    def test_epochs_are_the_total(self, tmp_path: Path) -> None:
        """A run of 2 epochs called again with 3 trains one more."""
        run(small_model(), out=tmp_path)
        history = run(small_model(), out=tmp_path, epochs=3)
        assert history["epoch"] == [1, 2, 3]

    def test_sigkill_loses_at_most_the_epoch(self, tmp_path: Path, chosen_precision: str) -> None:
        """Killed without warning in a process of its own, the run goes on and ends the same."""
        script = (
            "import os, signal, sys, torch\n"
            "sys.path.insert(0, sys.argv[2])\n"
            "torch.set_num_threads(1)\n"
            "from test_training_loop import run, small_model\n"
            "kill = lambda s: os.kill(os.getpid(), signal.SIGKILL) if s.epoch == 1 else None\n"
            "run(small_model(), out=sys.argv[1], callbacks=[kill], precision=sys.argv[3])\n"
        )
        args = [str(tmp_path / "parts"), str(Path(__file__).parent), chosen_precision]
        args = [sys.executable, "-c", script, *args]
        assert subprocess.run(args, check=False).returncode == -signal.SIGKILL
        resumed, whole = small_model(), small_model()
        run(resumed, out=tmp_path / "parts")
        run(whole)
        assert same_weights(resumed, whole)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"batch_size": 7}, "batch_size"),
            ({"seed": 5}, "seed"),
            ({"lr": 0.1}, "lr"),
            ({"loss": BetaLoss(0.5)}, "loss"),
            ({"data": digits(91)}, "data"),
            ({"validation": 0.2}, r"validation \(0.1, now 0.2\);"),
            ({"validation": None}, r"validation \(0.1, now None\);"),
            ({"seed": 6}, r"seed \(0, now 6\);"),
            ({"lr": 0.2}, r"optimizer_options.lr \(0.002, now 0.2\);"),
            ({"optimizer": lambda p: torch.optim.SGD(p, 1e-5)}, "optimizer"),
            ({"data": DataLoader(TensorDataset(digits(70)), batch_size=32)}, "data"),
        ],
    )
    def test_a_run_with_other_settings_is_refused(
        self, tmp_path: Path, options: dict[str, Any], named: str
    ) -> None:
        """The error names what differs, and the run there is untouched."""
        run(small_model(), out=tmp_path)
        before = (tmp_path / "run.json").read_bytes()
        with pytest.raises(ValueError, match=rf"differs in .*{named}"):
            run(small_model(), out=tmp_path, **options)
        assert (tmp_path / "run.json").read_bytes() == before

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"loss": BetaLoss(0.1234568)}, r"loss.beta \(0.1234567, now 0.1234568\);"),
            ({"loss": BetaLoss(0.1234567, free_bits=0.1)}, r"loss.free_bits"),
            ({"loss": BetaLoss(LinearWarmup(0.1234567))}, r"loss.schedule"),
            ({"loss": BetaLoss(0.1234567, reconstruction=lambda o, x: x.sum())}, "reconstruction"),
            ({"optimizer": lambda p: torch.optim.SGD([*groups(p, 2e-5)])}, r"groups\[1\].lr"),
            ({"optimizer": lambda p: torch.optim.SGD([*p][::-1], 1e-5)}, "optimizer_groups"),
            ({"start": "random"}, r"start \('auto', now 'random'\)"),
            ({"frozen": True}, r"frozen \(now with model\.encoder\.mean\.bias\)"),
        ],
    )
    def test_small_differences_are_differences(
        self, tmp_path: Path, options: dict[str, Any], named: str
    ) -> None:
        """The last digit of beta, one group's rate, another order, newly frozen weights."""
        before: dict[str, Any] = {"loss": BetaLoss(0.1234567)}
        if "optimizer" in options:
            before["optimizer"] = lambda p: torch.optim.SGD([*groups(p, 1e-5)])
        run(small_model(), out=tmp_path, epochs=1, **before)
        run(small_model(), out=tmp_path, epochs=1, **before)
        model, options = small_model(), before | options
        model.encoder.mean.bias.requires_grad_(not options.pop("frozen", False))
        with pytest.raises(ValueError, match=rf"differs in .*{named}"):
            run(model, out=tmp_path, **options)

    def test_what_cannot_be_compared_is_said(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A term that holds what nobody can look into is named in a line."""
        chance = torch.Generator().manual_seed(0)

        def term(output: Any, x: Tensor) -> Tensor:
            noise = torch.rand((), generator=chance)
            return (output.reconstruction - x).abs().flatten(1).sum(1) * noise

        run(small_model(), loss=BetaLoss(reconstruction=term), out=tmp_path, progress=True)
        assert "only the kind of loss.reconstruction.chance is known" in capsys.readouterr().err

    def test_what_a_loss_changes_of_itself_is_said(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A count that is an attribute is in no checkpoint; one that is a buffer is."""

        class Counting(nn.Module):
            def __init__(self, *, saved: bool) -> None:
                super().__init__()
                self.register_buffer("calls", torch.zeros(()))
                self.count, self.saved = 0, saved

            def forward(self, output: Any, x: Tensor) -> Tensor:
                if self.saved:
                    self.calls += 1
                else:
                    self.count += 1
                return (output.reconstruction - x).abs().flatten(1).sum(1)

        for saved in (True, False):
            loss = BetaLoss(Cyclical(0.5), reconstruction=Counting(saved=saved))
            options: dict[str, Any] = {"start": "random", "validation": None, "progress": True}
            run(small_model(), loss=loss, out=tmp_path / str(saved), **options)
            said = capsys.readouterr().err
            assert ("training changes loss.reconstruction.count (0, now 3)" in said) != saved

    @pytest.mark.parametrize("kept", [["history.csv"], ["model.safetensors"], []])
    def test_a_run_without_its_checkpoints_is_refused(
        self, tmp_path: Path, kept: list[str]
    ) -> None:
        """To start over would overwrite the model and the history that are there."""
        run(small_model(), out=tmp_path, epochs=1)
        before = {}
        for path in list(tmp_path.rglob("*.*")):
            if path.name in ("history.csv", "model.safetensors") and kept in ([], [path.name]):
                before[path] = path.read_bytes()
            elif path.name != "run.json":
                path.unlink()
        with pytest.raises(ValueError, match=r"holds .* but no checkpoint to go on from"):
            run(small_model(), out=tmp_path)
        assert {path: path.read_bytes() for path in before} == before
        assert len(run(small_model(), out=tmp_path, resume=False)) == 2

    def test_the_folder_of_the_pictures_is_no_run_folder(self, tmp_path: Path) -> None:
        """What a run writes there would be among the data of the next."""
        for number, image in enumerate(digits(12)):
            Image.fromarray(image[0].numpy()).save(tmp_path / f"{number}.png")
        with pytest.raises(ValueError, match="is the folder of the pictures"):
            run(small_model(), tmp_path, out=tmp_path / "." / "")
        assert len(list(tmp_path.iterdir())) == 12
        run(small_model(), tmp_path, out=tmp_path / "run", epochs=1)
        assert len(run(small_model(), tmp_path, out=tmp_path / "run")) == 2

    def test_a_model_of_no_run_is_not_overwritten(self, tmp_path: Path) -> None:
        """One that somebody has saved there."""
        small_model().save(tmp_path / "model.safetensors")
        before = (tmp_path / "model.safetensors").read_bytes()
        with pytest.raises(ValueError, match=r"holds model.safetensors but no run\.json"):
            run(small_model(), out=tmp_path)
        assert (tmp_path / "model.safetensors").read_bytes() == before

    def test_a_run_that_was_stopped_before_its_first_step_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From the start that it has found, which is not searched for again."""
        whole = small_model()
        run(whole)

        def stop(*arguments: Any, **options: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "step", stop)
            with pytest.raises(KeyboardInterrupt):
                run(small_model(), out=tmp_path)
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [
            "step-000000000.safetensors"
        ]
        resumed = small_model()
        with monkeypatch.context() as patch:
            patch.setattr("easyvae.training.loop.principal_start", stop)
            run(resumed, out=tmp_path)
        assert same_weights(resumed, whole)

    @pytest.mark.parametrize(
        "validation", [None, 0.2, digits(20, seed=9)], ids=["none", "share", "data"]
    )
    def test_a_loader_of_other_images_is_refused(self, tmp_path: Path, validation: Any) -> None:
        """As many images of another kind, in a loader of the same kind, are other data."""

        def loader(seed: int, **options: Any) -> "DataLoader[Any]":
            return DataLoader(TensorDataset(digits(90, seed=seed)), batch_size=10, **options)

        run(small_model(), loader(1), validation=validation, out=tmp_path)
        run(small_model(), loader(1), validation=validation, out=tmp_path)
        for other in (loader(2), loader(1, shuffle=True)):
            with pytest.raises(ValueError, match=r"differs in data \(other pictures"):
                run(small_model(), other, validation=validation, out=tmp_path)

    def test_a_loader_that_is_never_the_same_says_so(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It resumes all the same: its number is all there is to compare."""
        chance = np.random.default_rng()
        data = Rows(digits(), lambda x: x.float() / 255 * chance.random())
        for epochs in (1, 2):
            loader = DataLoader(data, batch_size=30)
            history = run(
                small_model(), loader, validation=None, out=tmp_path, epochs=epochs, progress=True
            )
        assert history["epoch"] == [1, 2]
        assert "other data will be noticed by their number only" in capsys.readouterr().err

    def test_another_number_of_processes_is_refused(self, tmp_path: Path) -> None:
        """Each looks at its own part of a batch, so the numbers would not be the same."""
        run(small_model(), out=tmp_path)
        settings = json.loads((tmp_path / "run.json").read_text())
        settings["must_match"]["processes"] = 2
        (tmp_path / "run.json").write_text(json.dumps(settings))
        with pytest.raises(ValueError, match=r"differs in processes \(2, now 1\)"):
            run(small_model(), out=tmp_path)

    def test_another_model_is_refused(self, tmp_path: Path) -> None:
        """So is a model of other channels."""
        run(small_model(), out=tmp_path)
        with pytest.raises(ValueError, match="differs in model"):
            run(VAE([4, 9], 3, image_size=8, in_channels=1), out=tmp_path)

    def test_resume_false_starts_anew(self, tmp_path: Path) -> None:
        """It removes what the run left, but no file of the user's."""
        run(small_model(), out=tmp_path)
        (tmp_path / "notes.txt").write_text("mine")
        history = run(small_model(), out=tmp_path, resume=False, seed=8, epochs=1)
        assert history["epoch"] == [1]
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_a_start_anew_that_was_cut_off_mixes_no_runs(self, tmp_path: Path) -> None:
        """Checkpoints without settings are refused: nobody can tell what they are of."""
        run(small_model(), out=tmp_path)
        (tmp_path / "run.json").unlink()
        with pytest.raises(ValueError, match=r"no run\.json"):
            run(small_model(), out=tmp_path, seed=5)
        assert len(run(small_model(), out=tmp_path, seed=5, resume=False)) == 2

    def test_a_history_that_missed_an_epoch_is_mended(self, tmp_path: Path) -> None:
        """Killed between checkpoint and table, the next call writes the table again."""
        history = run(small_model(), out=tmp_path)
        History(history.rows[:1]).to_csv(tmp_path / "history.csv")
        run(small_model(), out=tmp_path)
        assert History.from_csv(tmp_path / "history.csv").rows == history.rows

    def test_a_checkpoint_that_was_not_removed_is(self, tmp_path: Path) -> None:
        """Killed between a checkpoint and the removal of the one before, the next call does it."""
        run(small_model(), out=tmp_path, epochs=1)
        (path,) = (tmp_path / "checkpoints").iterdir()
        before = path.read_bytes()
        run(small_model(), out=tmp_path)
        path.write_bytes(before)
        run(small_model(), out=tmp_path)
        names = [path.name for path in (tmp_path / "checkpoints").iterdir()]
        assert names == ["step-000000006.safetensors"]

    def test_a_newer_checkpoint_is_refused(self, tmp_path: Path) -> None:
        """It asks for an upgrade, before anything is loaded."""
        run(small_model(), out=tmp_path)
        (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
        tensors, metadata = read_tensors(path)
        write_tensors(path, tensors, metadata | {"version": 3})
        with pytest.raises(ModelFileError, match="upgrade easyvae"):
            run(small_model(), out=tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda m: m.pop("progress"),
            lambda m: m["progress"].update(more=1),
            lambda m: m.pop("model"),
            lambda m: m.update(model=5),
            lambda m: m.update(model={"dict": [["a", {"tensor": "a"}]]}),
            lambda m: m["model"]["dict"].pop(),
            lambda m: m["model"]["dict"][0].__setitem__(1, {"tensor": "model.encoder.mean.bias"}),
            lambda m: m.update(optimizer={"dict": []}),
            lambda m: m.update(optimizer={"import": "os"}),
        ],
    )
    def test_a_forged_checkpoint_is_refused(self, tmp_path: Path, change: Any) -> None:
        """Whole and with a right checksum, but none that a run has written: one kind of error.

        The model is as it was: all that can fail comes before.
        """
        run(small_model(), out=tmp_path)
        (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
        tensors, metadata = read_tensors(path)
        change(metadata)
        write_tensors(path, tensors, metadata)
        model = small_model()
        with pytest.raises(ModelFileError, match=r"does not fit") as caught:
            run(model, out=tmp_path)
        assert caught.value.path == path
        assert same_weights(model, small_model())

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"must_match": 5}', "[" * 10_000])
    def test_damaged_settings_are_refused_by_name(self, tmp_path: Path, text: str) -> None:
        """What a run was made of cannot be compared with a `run.json` that does not tell."""
        run(small_model(), out=tmp_path)
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ModelFileError) as caught:
            run(small_model(), out=tmp_path)
        assert caught.value.path == tmp_path / "run.json"

    def test_a_failed_checkpoint_keeps_the_one_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the disk full at the second epoch, the first one's state resumes exactly."""
        calls: list[Path] = []
        whole = small_model()
        run(whole, epochs=3)

        def full(self: Path, target: Path) -> Path:
            if Path(target).name == "step-000000006.safetensors":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            calls.append(Path(target))
            return rename(self, target)

        rename = Path.replace
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", full)
            with pytest.raises(OSError, match=r"No space left .*step-000000006\.safetensors"):
                run(small_model(), out=tmp_path, epochs=3)
        names = [path.name for path in (tmp_path / "checkpoints").iterdir()]
        assert names == ["step-000000003.safetensors"]
        assert not list(tmp_path.rglob("*.tmp"))
        resumed = small_model()
        run(resumed, out=tmp_path, epochs=3)
        assert same_weights(resumed, whole)

    def test_persistent_workers_do_not_keep_the_folder(self, tmp_path: Path) -> None:
        """Workers that live on after the run have not inherited its lock."""
        loader = DataLoader(
            TensorDataset(digits()), batch_size=30, num_workers=1, persistent_workers=True
        )
        for epochs in (1, 2):
            run(small_model(), loader, out=tmp_path, epochs=epochs, validation=None)

    def test_two_runs_cannot_share_a_folder(self, tmp_path: Path) -> None:
        """The second is refused while the first is under way."""

        def second(state: RunState) -> None:
            with pytest.raises(ValueError, match="in use"):
                run(small_model(), out=tmp_path)

        run(small_model(), out=tmp_path, epochs=1, callbacks=[second])

    def test_a_folder_that_cannot_be_tidied_is_not_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a killed run has left may be another user's; the error does not keep the lock."""
        (tmp_path / ".run.json.0.tmp").write_text("")

        def refuse(path: Path, **options: Any) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            with pytest.raises(PermissionError, match=r"run\.json\.0\.tmp"):
                run(small_model(), out=tmp_path)
        run(small_model(), out=tmp_path, epochs=1)
        assert not (tmp_path / ".run.json.0.tmp").exists()

    def test_a_damaged_checkpoint_is_refused_by_name(self, tmp_path: Path) -> None:
        """The error carries the path; nothing is loaded in part."""
        run(small_model(), out=tmp_path)
        (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
        data = bytearray(path.read_bytes())
        data[-5] ^= 4
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match="checksum") as caught:
            run(small_model(), out=tmp_path)
        assert caught.value.path == path

    def test_a_file_for_a_folder_is_refused(self, tmp_path: Path) -> None:
        """`out` must not be a file."""
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match="is a file"):
            run(small_model(), out=tmp_path / "file")


class TestStops:
    def test_callbacks_see_the_run_after_its_checkpoint(self, tmp_path: Path) -> None:
        """Each gets model, epoch, step and the newest row, when the checkpoint is complete."""
        seen: list[RunState] = []

        def look(state: RunState) -> None:
            assert (tmp_path / "checkpoints" / f"step-{state.step:09}.safetensors").is_file()
            assert state.row is state.history.rows[-1]
            seen.append(state)

        model = small_model()
        run(model, out=tmp_path, callbacks=[look])
        assert [(s.epoch, s.step) for s in seen] == [(1, 3), (2, 6)]
        assert all(s.model is model and s.out == tmp_path for s in seen)

    def test_what_a_callback_raises_reaches_the_caller(self, tmp_path: Path) -> None:
        """It ends the run, and resuming then gives what an undisturbed run gives."""

        class EnoughError(Exception):
            pass

        def raise_once(state: RunState) -> None:
            if state.epoch == 1:
                raise EnoughError

        with pytest.raises(EnoughError):
            run(small_model(), out=tmp_path, callbacks=[raise_once])
        resumed, whole = small_model(), small_model()
        run(resumed, out=tmp_path)
        run(whole)
        assert same_weights(resumed, whole)

    def test_a_non_finite_loss_stops_before_the_weights_are_touched(self, tmp_path: Path) -> None:
        """The error names the step, and the checkpoint before it is still there."""
        calls = []

        def term(output: Any, x: Tensor) -> Tensor:
            calls.append(None)
            return (output.reconstruction - x).square().flatten(1).sum(1) * (
                math.inf if len(calls) == 5 else 1.0
            )

        model = small_model()
        weights: dict[str, Tensor] = {}

        def remember(state: RunState) -> None:
            weights.update({k: v.clone() for k, v in model.state_dict().items()})

        loss = BetaLoss(reconstruction=term)
        with pytest.raises(NonFiniteError, match="step 5 ") as caught:
            run(
                model,
                validation=None,
                out=tmp_path,
                loss=loss,
                callbacks=[remember],
                start="random",  # or the search for a start would call the term too
            )
        assert caught.value.step == 5
        assert all(bool(p.isfinite().all()) for p in model.parameters())
        assert same_weights(VAE.load(tmp_path), _with(weights))

    def test_a_non_finite_gradient_stops_too(self) -> None:
        """A finite loss with a gradient of NaN is noticed before the step."""

        def term(output: Any, x: Tensor) -> Tensor:
            error = (output.reconstruction - x).flatten(1).sum(1)
            return error + (error - error.detach()).abs().sqrt()

        model = small_model()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(NonFiniteError, match="gradient of step 1 "):
            run(model, loss=BetaLoss(reconstruction=term), start="random")
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())

    def test_ctrl_c_without_a_folder_just_stops(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """KeyboardInterrupt reaches the caller after the step under way."""
        stop_at(monkeypatch, 2, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(small_model())

    def test_sigterm_leaves_a_checkpoint(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A cluster's way of stopping a job ends in exit code 143 and a resumable run."""
        stop_at(monkeypatch, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as caught:
            run(small_model(), out=tmp_path)
        assert caught.value.code == 143
        assert (tmp_path / "checkpoints" / "step-000000003.safetensors").is_file()

    def test_ctrl_c_in_the_last_step_is_not_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The run is complete, and the caller still learns of the signal."""
        stop_at(monkeypatch, 5, interrupt)
        with pytest.raises(KeyboardInterrupt, match="complete"):
            run(small_model(), out=tmp_path)
        assert len(History.from_csv(tmp_path / "history.csv")) == 2

    def test_signal_handlers_are_given_back(self) -> None:
        """After a run Ctrl-C does what it did before."""
        before = signal.getsignal(signal.SIGINT)
        run(small_model(), epochs=1)
        assert signal.getsignal(signal.SIGINT) is before


def _with(weights: dict[str, Tensor]) -> VAE:
    model = small_model()
    model.load_state_dict(weights)
    return model


class TestArguments:
    def test_a_schedule_sets_beta_by_the_share_of_steps(self) -> None:
        """The column beta follows the warm-up; validation uses the last beta throughout."""
        history = run(small_model(), epochs=4, loss=BetaLoss(LinearWarmup(0.8, share=1.0)))
        betas = history["beta"]
        assert betas == sorted(betas)
        assert betas[0] < 0.3
        assert betas[-1] < 0.8
        for row in history:
            total = row["val_reconstruction"] + 0.8 * row["val_kl"]
            assert row["val_loss"] == pytest.approx(total, rel=1e-6)

    def test_an_own_optimizer_wins_and_keeps_its_rate(self) -> None:
        """A given optimizer is used as it is: its learning rate does not change."""
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
        assert run(model, optimizer=optimizer)["lr"] == [1e-5, 1e-5]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"epochs": 0}, "`epochs`"),
            ({"epochs": 1.5}, "`epochs`"),
            ({"batch_size": 0}, "`batch_size`"),
            ({"seed": -1}, "`seed`"),
            ({"validation": 1.0}, "`validation`"),
            ({"validation": 0}, "`validation`"),
            ({"precision": "float16"}, "`precision`"),
            ({"device": "toaster"}, "`device`"),
            ({"start": "principal"}, "`start`"),
            ({"lr": -1.0}, "`lr`"),
            ({"lr": 0.1, "optimizer": torch.optim.SGD}, "`lr`"),
        ],
    )
    def test_bad_arguments_are_refused(self, options: dict[str, Any], message: str) -> None:
        """Each is a ValueError that names the argument."""
        with pytest.raises(ValueError, match=message):
            run(small_model(), **options)

    def test_an_optimizer_of_another_model_is_refused(self) -> None:
        """It would train nothing; and a name is no optimizer."""
        other = torch.optim.SGD(small_model().parameters(), lr=1e-3)
        with pytest.raises(ValueError, match="none of the model's parameters"):
            run(small_model(), optimizer=other)
        with pytest.raises(TypeError, match="`optimizer`"):
            run(small_model(), optimizer="adam")

    def test_parameters_of_nobody_are_refused(self) -> None:
        """Those that an optimizer holds and neither model nor loss has would not be saved."""
        model, stray = small_model(), nn.Parameter(torch.zeros(2, 3))
        optimizer = torch.optim.SGD([*model.parameters(), stray], lr=1e-3)
        with pytest.raises(ValueError, match=r"`optimizer` holds 1 parameters .* \(2, 3\)"):
            run(model, optimizer=optimizer)

    def test_validation_on_training_pictures_is_noticed(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The line says how many of the pictures for validation are also in training."""
        run(small_model(), digits(40), validation=digits(40)[:7], progress=True)
        assert "7 of the 7 pictures for validation" in capsys.readouterr().err

    def test_the_loss_is_given_back_with_its_beta(self) -> None:
        """A schedule leaves the loss as it was, with its last beta."""
        loss = BetaLoss(LinearWarmup(0.8, share=1.0))
        run(small_model(), loss=loss)
        assert loss.beta == 0.8

    def test_a_callback_cannot_leave_the_model_in_eval_mode(self) -> None:
        """What a callback does to the training flags ends with the epoch."""
        models = small_model(norm="batch"), small_model(norm="batch")
        run(models[0], callbacks=[lambda state: state.model.eval()])
        run(models[1])
        assert same_weights(*models)

    def test_a_loss_that_is_none_of_ours_is_refused(self) -> None:
        """A TypeError says what is needed."""
        with pytest.raises(TypeError, match="`loss` must be a BetaLoss"):
            run(small_model(), loss=nn.MSELoss())

    def test_a_line_per_epoch_where_there_is_no_terminal(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """The first line shows what the recipe chose, the last where the model is."""
        fit(small_model(), digits(), epochs=2, out=tmp_path)
        lines = capsys.readouterr().err.splitlines()
        assert "batch size 32, Muon lr 0.002" in lines[0]
        assert lines.pop(1).startswith("starting from 3 principal components of ")
        assert [line[:9] for line in lines[1:3]] == ["epoch 1/2", "epoch 2/2"]
        assert lines[-1] == f"the model is in {tmp_path / 'model.safetensors'}"


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"image_size": 28, "in_channels": 1}, torch.rand(12, 1, 28, 28)),
        ({"image_size": (45, 80)}, torch.rand(12, 3, 45, 80)),
        (
            {"image_size": (4096,), "in_channels": 1, "output": "identity"},
            torch.randn(12, 1, 4096),
        ),
        ({"image_size": (16, 20, 24), "in_channels": 1}, torch.rand(12, 1, 16, 20, 24)),
    ],
    ids=["28x28x1", "45x80x3", "4096", "16x20x24"],
)
def test_any_kind_of_data_trains_and_mixes(options: dict[str, Any], data: Tensor) -> None:
    """Digits, wide pictures, signals and volumes train a few steps, and two of them mix."""
    from easyvae import interpolate

    model = VAE([8, 16], 4, **options)
    term = "mse" if options.get("output") else "bce"
    history = fit(
        model,
        data,
        loss=BetaLoss(0.1, reconstruction=term),
        epochs=2,
        batch_size=4,
        progress=False,
    )
    assert all(math.isfinite(loss) for loss in history["val_loss"])
    frames = interpolate(model, data[0], data[1], steps=5)
    assert frames.shape == (5, *data.shape[1:])
    assert torch.equal(frames[0], model.reconstruct(data[0]))
    assert torch.equal(frames[-1], model.reconstruct(data[1]))


class TestBadArguments:
    @pytest.mark.parametrize(
        ("options", "error", "named"),
        [
            ({"callbacks": 3}, TypeError, "`callbacks`"),
            ({"callbacks": [3]}, TypeError, "`callbacks`"),
            ({"callbacks": print}, TypeError, "`callbacks`"),
            ({"lr": True}, TypeError, "`lr`"),
            ({"device": None}, ValueError, "`device`"),
            ({"optimizer": lambda p: 3}, TypeError, "`optimizer` must make an optimizer"),
            ({"out": 3}, TypeError, "`out`"),
            ({"out": ""}, ValueError, r"`out` \(=''\) is empty"),
            ({"data": ""}, ValueError, "is empty"),
            ({"validation": ""}, ValueError, "is empty"),
            ({"validation": digits()[:0]}, ValueError, "`validation` .* holds no images"),
            ({"validation": torch.rand(5, 2, 8, 8)}, ValueError, "`validation` .* must have"),
            ({"validation": 2 * torch.rand(5, 1, 8, 8)}, ValueError, "`validation` must be in"),
        ],
    )
    def test_an_argument_is_called_by_its_name(
        self,
        options: dict[str, Any],
        error: type[Exception],
        named: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Before anything is trained or written."""
        monkeypatch.chdir(tmp_path)
        model = small_model()
        with pytest.raises(error, match=named):
            run(model, **options)
        assert same_weights(model, small_model())
        assert not list(tmp_path.iterdir())

    def test_an_error_of_the_users_own_arrives_as_it_is(self) -> None:
        """One of a data set for validation, whose kind takes more than a text."""

        def read(x: Tensor) -> Tensor:
            b"\xff".decode()
            return x

        with pytest.raises(UnicodeDecodeError):
            run(small_model(), validation=Rows(digits(), read))

    def test_only_a_vae_with_weights_to_train_is_trained(self) -> None:
        """Another module, and one whose weights are all frozen, are refused."""
        with pytest.raises(TypeError, match="`model` must be a VAE, not Linear"):
            fit(nn.Linear(2, 2), digits())  # type: ignore[arg-type]  # that is the point
        with pytest.raises(ValueError, match="`model` has no weight to train"):
            run(small_model().requires_grad_(False))

    def test_frozen_weights_stay(self) -> None:
        """Those with `requires_grad=False` are as they were, in a new model too."""
        model, fresh = small_model(), small_model()
        model.encoder.requires_grad_(False)
        run(model)
        assert same_weights(model.encoder, fresh.encoder)
        assert not same_weights(model.decoder, fresh.decoder)

    def test_it_trains_inside_no_grad(self) -> None:
        """To the same bits, and the caller's mode is as it was."""
        model, other = small_model(), small_model()
        with torch.no_grad():
            run(model)
            assert not torch.is_grad_enabled()
        run(other)
        assert same_weights(model, other)

    def test_it_trains_where_float64_is_the_default(self) -> None:
        """A model whose weights are float64 starts at the principal components as well."""
        torch.set_default_dtype(torch.float64)
        try:
            for options in ({}, {"hidden": [9]}, {"norm": "batch", "residual_blocks": 1}):
                model = small_model(**options)
                assert math.isfinite(run(model)["val_loss"][-1])
                assert next(model.parameters()).dtype == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)


class TestRuined:
    def test_a_validation_loss_that_is_not_finite_ends_the_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The weights that an epoch's last step has ruined are not saved: the checkpoint stays."""
        model = small_model()
        run(model, out=tmp_path, epochs=1)
        before = {path.name: path.read_bytes() for path in tmp_path.rglob("*.safetensors")}

        def ruin() -> None:
            with torch.no_grad():
                model.decoder.expand.weight.fill_(3e38)

        stop_at(monkeypatch, 5, ruin)  # the second epoch's last step
        with pytest.raises(NonFiniteError, match="validation loss after step 6") as caught:
            run(model, out=tmp_path)
        assert caught.value.step == 6
        assert {p.name: p.read_bytes() for p in tmp_path.rglob("*.safetensors")} == before

    def test_weights_that_are_not_finite_end_the_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without validation too."""
        model = small_model()

        def ruin() -> None:
            with torch.no_grad():
                model.decoder.expand.weight[0, 0] = torch.nan

        stop_at(monkeypatch, 2, ruin)  # the epoch's last step
        with pytest.raises(NonFiniteError, match=r"model's decoder\.expand\.weight after step 3"):
            run(model, validation=None, out=tmp_path)
        assert [path.name for path in tmp_path.rglob("*.safetensors")] == [
            "step-000000000.safetensors"
        ]

    def test_infinite_statistics_end_the_run(self, tmp_path: Path) -> None:
        """A file with a batch norm's infinite variance could not be loaded again."""
        model = small_model(norm="batch", output="identity")
        data = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 1e22
        term = lambda output, x: (output.logits * 1e-9).tanh().flatten(1).sum(1)  # noqa: E731  # finite
        loss = BetaLoss(0, reconstruction=term)
        with pytest.raises(NonFiniteError, match=r"model's encoder\..*running_var after step"):
            run(model, data, loss=loss, validation=None, out=tmp_path)
        assert not (tmp_path / "model.safetensors").exists()


def test_a_resumed_history_is_in_the_order_of_its_columns(tmp_path: Path) -> None:
    """A checkpoint's names are sorted; the rows are as those of the run that went through."""
    run(small_model(), out=tmp_path, epochs=1)
    history = run(small_model(), out=tmp_path)
    assert [tuple(row) for row in history.rows] == [COLUMNS, COLUMNS]


def test_a_model_that_somebody_removed_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same call on a complete run writes the last epoch's, and says that it is."""
    trained = small_model()
    run(trained, out=tmp_path)
    (tmp_path / "model.safetensors").unlink()
    run(small_model(), out=tmp_path, progress=True)
    assert "was missing" in capsys.readouterr().err
    assert same_weights(VAE.load(tmp_path), trained)
