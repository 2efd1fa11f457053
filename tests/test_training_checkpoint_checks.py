"""Forged checkpoints: whole and with a right checksum, and none that this run has written."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from easyvae import BetaLoss
from easyvae.core.files import ModelFileError
from easyvae.core.tensor_file import read_tensors, write_tensors
from easyvae.training.run_folder import MAX_HEADER
from test_training_loop import interrupt, run, same_weights, small_model, stop_at


class Scale(nn.Module):
    """A term with a parameter and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("images", torch.zeros(()))

    def forward(self, output: Any, x: Tensor) -> Tensor:
        if self.training:
            self.images += len(x)
        error = (output.reconstruction - x).square().flatten(1)
        return (error * torch.exp(-self.log_scale) + self.log_scale).sum(1) / 2


OPTIMIZERS: dict[str, Any] = {
    "default": None,
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, 1e-5, momentum=0.9),
}


def options(optimizer: str) -> dict[str, Any]:
    return {"optimizer": OPTIMIZERS[optimizer], "loss": BetaLoss(0.1, reconstruction=Scale())}


@pytest.fixture(scope="module", params=list(OPTIMIZERS))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run of each optimizer."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("run")
    run(small_model(), out=out, epochs=1, **options(request.param))
    return request.param, out


def names_of(tensors: dict[str, Tensor], *endings: str) -> list[str]:
    return [n for n in tensors if n.startswith("optimizer.") and n.endswith(endings)]


def states(metadata: dict[str, Any]) -> list[Any]:
    """The packed optimizer's state, parameter by parameter: [index, {"dict": [...]}]."""
    return dict(metadata["optimizer"]["dict"])["state"]["dict"]


def groups(metadata: dict[str, Any]) -> list[Any]:
    return dict(metadata["optimizer"]["dict"])["param_groups"]["list"]


def set_option(group: Any, name: str, value: Any) -> None:
    for pair in group["dict"]:
        if pair[0] == name:
            pair[1] = value


AVERAGES = (".exp_avg", ".exp_avg_sq", ".momentum", ".momentum_buffer")


def reshape(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    for name in names_of(tensors, *AVERAGES):
        tensors[name] = torch.zeros(1)


def enlarge(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    for name in names_of(tensors, *AVERAGES):
        tensors[name] = torch.zeros(10_000)


def retype(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    for name in names_of(tensors, *AVERAGES):
        tensors[name] = tensors[name].double()


def ruin(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    for name in names_of(tensors, *AVERAGES):
        tensors[name] = torch.full_like(tensors[name], math.nan)


def untensor(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    states(metadata)[0][1]["dict"][0][1] = 1.0


def rename(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    states(metadata)[0][1]["dict"][0][0] = "other"


def add(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    states(metadata)[0][1]["dict"].append(["max_exp_avg_sq", 1.0])


def move(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    states(metadata)[0][0] = 10_000


def name_it(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    states(metadata)[0][0] = "0"


def swap(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    groups(metadata)[0]["dict"][-1][1]["list"].reverse()


def fewer(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    groups(metadata).pop()


def flags(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    for group in groups(metadata):
        for name, value in (("orthogonal", 5), ("fused", "yes"), ("nesterov", 1)):
            set_option(group, name, value)


def rate(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    for group in groups(metadata):
        set_option(group, "lr", math.nan)


def more_options(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    groups(metadata)[0]["dict"].append(["hook", "os.system"])


def loss_shape(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    tensors["loss.reconstruction.log_scale"] = torch.zeros(7)


def loss_name(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    metadata["loss"]["dict"].pop()


FORGERIES = [
    *(reshape, enlarge, retype, ruin, untensor, rename, add, move, name_it, swap, fewer, flags),
    *(rate, more_options, loss_shape, loss_name),
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forged_state_is_refused(trained: Any, forge: Any) -> None:
    """Whatever it does to the optimizer's or the loss's state; model and loss are untouched."""
    optimizer, out = trained
    refuse(out, optimizer, forge)


def test_a_negative_average_of_squares_is_refused(trained: Any) -> None:
    """Its root is no number; and counters are whole, and no more than the steps taken."""
    optimizer, out = trained

    def negative(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        for name in names_of(tensors, ".exp_avg_sq"):
            tensors[name] = tensors[name] - 1

    def later(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        for name in names_of(tensors, ".step"):
            tensors[name] = tensors[name] + 1

    def halves(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        for name in names_of(tensors, ".step"):
            tensors[name] = tensors[name] / 2

    if optimizer != "sgd":
        for forge in (negative, later, halves):
            refuse(out, optimizer, forge)


def refuse(out: Path, optimizer: str, forge: Any) -> None:
    (path,) = (out / "checkpoints").glob("*.safetensors")
    before = path.read_bytes()
    tensors, metadata = read_tensors(path, max_header=MAX_HEADER)
    forge(tensors, metadata)
    write_tensors(path, tensors, metadata, max_header=MAX_HEADER)
    torch.manual_seed(0)
    model, given = small_model(), options(optimizer)
    loss = copy.deepcopy(given["loss"])
    try:
        with pytest.raises(ModelFileError, match="does not fit") as caught:
            run(model, out=out, epochs=2, **given)
        assert caught.value.path == path
        assert same_weights(model, small_model())
        assert same_weights(given["loss"], loss)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "1"},
        {"epoch": True},
        {"epoch": 2},
        {"epoch": -1},
        {"epoch": 10**400},
        {"batch": 999},
        {"batch": 1},
        {"batch": 0.0},
        {"step": 2},
        {"step": "3"},
        {"sums": []},
        {"sums": [0.0, 0.0, 0.0, 5.0]},
        {"sums": [0.0, 0.0, 0.0, "x"]},
        {"sums": 5},
        {"seconds": -1.0},
        {"seconds": None},
        {"seconds": math.nan},
        {"typical_norm": None},
        {"typical_norm": "x"},
        {"typical_norm": -1.0},
        {"best": "x"},
        {"best": None},
        {"best": -5.0},
        {"best": True},
        {"rows": []},
        {"rows": [5]},
        {"rows": [{"epoch": 1}]},
        {"rows": "x"},
        {"more": 1},
    ],
    ids=str,
)
def test_each_field_of_the_progress_is_checked(trained: Any, change: dict[str, Any]) -> None:
    """Another type, range or name, or one that contradicts the others."""
    optimizer, out = trained

    def forge(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        metadata["progress"].update(change)

    refuse(out, optimizer, forge)


@pytest.mark.parametrize(
    "change",
    [{"epoch": 2}, {"train_loss": "x"}, {"val_loss": None}, {"lr": math.inf}, {"more": 1.0}],
    ids=str,
)
def test_each_field_of_a_row_is_checked(trained: Any, change: dict[str, Any]) -> None:
    """A history that could not be drawn, or that another run has written."""
    optimizer, out = trained

    def forge(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        metadata["progress"]["rows"][0].update(change)

    refuse(out, optimizer, forge)


def test_a_checkpoint_has_its_step_in_its_name(tmp_path: Path) -> None:
    """Renamed, an old one would be taken for the newest."""
    run(small_model(), out=tmp_path, epochs=1)
    (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
    path.rename(path.with_name("step-000000009.safetensors"))
    with pytest.raises(ModelFileError, match="`step`"):
        run(small_model(), out=tmp_path)


class Lookahead(torch.optim.SGD):
    """An optimizer of another package: it takes up more state after some steps."""

    __module__ = "somewhere.else"

    def step(self, closure: Any = None) -> Any:
        result = super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["count"] = state.get("count", 0) + 1
                if state["count"] == 2:
                    state["slow"] = p.detach().clone()
        return result


class Unwilling(torch.optim.SGD):
    """An optimizer of which a copy takes no step."""

    __module__ = "somewhere.else"

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError


@pytest.mark.parametrize("kind", [Lookahead, Unwilling])
def test_optimizers_of_any_package_resume(tmp_path: Path, kind: Any) -> None:
    """What their state will be cannot be known in full; what is there has the right shapes."""
    factory = lambda p: kind(p, 1e-5, momentum=0.9)  # noqa: E731  # short
    whole, parts = small_model(), small_model()
    run(whole, epochs=2, optimizer=factory)
    run(small_model(), epochs=1, optimizer=factory, out=tmp_path)
    run(parts, epochs=2, optimizer=factory, out=tmp_path)
    assert same_weights(whole, parts)
    (path,) = (tmp_path / "checkpoints").glob("*.safetensors")
    tensors, metadata = read_tensors(path)
    reshape(tensors, metadata)
    write_tensors(path, tensors, metadata)
    with pytest.raises(ModelFileError, match="does not fit"):
        run(small_model(), epochs=3, optimizer=factory, out=tmp_path)


def test_a_schedule_of_the_users_own_resumes(tmp_path: Path) -> None:
    """Rates that a scheduler has changed, and what it notes in the groups, are a run's own."""
    for epochs in (1, 2):
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        history = run(
            model,
            epochs=epochs,
            out=tmp_path,
            optimizer=optimizer,
            callbacks=[lambda state, scheduler=scheduler: scheduler.step()],
        )
    # The checkpoint comes before the callbacks: it has the first epoch's rate.
    assert history["lr"] == [1e-5, 1e-5]


@pytest.mark.parametrize("step", [0, 3, 4])
def test_a_loss_with_parameters_resumes_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Its parameters are trained by the default optimizer, saved and restored; its buffers too."""

    def train(out: Path) -> tuple[nn.Module, nn.Module]:
        model, loss = small_model(), BetaLoss(0.1, reconstruction=Scale())
        run(model, loss=loss, out=out)
        return model, loss

    model, loss = train(tmp_path / "whole")
    assert loss.state_dict()["reconstruction.log_scale"] != 0
    assert loss.state_dict()["reconstruction.images"] == 2 * 81
    with monkeypatch.context() as patch:
        stop_at(patch, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts")
    for whole, parts in zip((model, loss), train(tmp_path / "parts"), strict=True):
        assert same_weights(whole, parts)


def test_a_loss_may_hold_the_model_or_frozen_weights(tmp_path: Path) -> None:
    """Each parameter is trained once, and an optimizer may hold those that are not trained."""

    class Cycle(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model
            self.frozen = nn.Conv2d(1, 2, 3).requires_grad_(False)

        def forward(self, output: Any, x: Tensor) -> Tensor:
            again = self.model.encode(output.reconstruction).mean
            return (again - output.mean).square().sum(1) + self.frozen(x).flatten(1).sum(1)

    def train(out: Path | None, epochs: int, *, own: bool) -> nn.Module:
        model = small_model()
        loss = BetaLoss(0.1, reconstruction=Cycle(model))
        held = {id(p): p for p in (*model.parameters(), *loss.parameters())}
        optimizer = torch.optim.Adam(held.values(), 1e-3) if own else None
        run(model, loss=loss, optimizer=optimizer, out=out, epochs=epochs)
        return model

    for own in (False, True):
        whole = train(tmp_path / f"whole-{own}", 2, own=own)
        if own:
            train(tmp_path / "parts", 1, own=own)
            assert same_weights(whole, train(tmp_path / "parts", 2, own=own))
        else:
            assert same_weights(whole, train(tmp_path / f"whole-{own}", 2, own=own))


def test_extra_state_resumes_to_the_bit(tmp_path: Path) -> None:
    """What a module of the loss keeps beside tensors is restored; under another name, refused."""

    class Growing(nn.Module):
        steps = 0

        def get_extra_state(self) -> dict[str, int]:
            return {"steps": self.steps}

        def set_extra_state(self, state: dict[str, int]) -> None:
            self.steps = state["steps"]

        def forward(self, output: Any, x: Tensor) -> Tensor:
            self.steps += self.training
            error = (output.reconstruction - x).square().flatten(1).sum(1)
            return error * (1 + self.steps / 10)

    def train(out: Path, epochs: int) -> nn.Module:
        model = small_model()
        run(model, loss=BetaLoss(0.1, reconstruction=Growing()), out=out, epochs=epochs, **rule)
        return model

    rule = {"optimizer": lambda p: torch.optim.SGD(p, 1e-5)}
    whole = train(tmp_path / "whole", 2)
    train(tmp_path / "parts", 1)
    assert same_weights(whole, train(tmp_path / "parts", 2))
    (path,) = (tmp_path / "parts" / "checkpoints").glob("*.safetensors")
    tensors, metadata = read_tensors(path)
    for pair in metadata["loss"]["dict"]:
        pair[0] = "another"
    write_tensors(path, tensors, metadata)
    with pytest.raises(ModelFileError, match="extra state"):
        train(tmp_path / "parts", 3)
