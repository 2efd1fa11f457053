"""Training: one loop, for one process or many, that goes on exactly where it was stopped."""

import contextlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from easyvae.core.checks import as_int
from easyvae.core.signals import StopSignals
from easyvae.core.version import __version__
from easyvae.data import Warp
from easyvae.latents import eval_mode
from easyvae.losses import BetaLoss, LaplacianPyramid
from easyvae.model import VAE
from easyvae.training.checkpoint_checks import Progress
from easyvae.training.console import Reporter
from easyvae.training.description import (
    Description,
    LossWatch,
    describe_layers,
    describe_optimizer,
    shape_of,
    some,
)
from easyvae.training.distributed import SingleProcess, choose_processes
from easyvae.training.history import History, Row
from easyvae.training.open_data import Source, SourceOpener
from easyvae.training.optim import DEFAULT_BATCH_SIZE, DEFAULT_LR, as_optimizer, default_optimizer
from easyvae.training.principal_layers import SAMPLE
from easyvae.training.principal_start import principal_start
from easyvae.training.run_folder import RunFolder
from easyvae.training.trainer import (
    NonFiniteError as NonFiniteError,  # part of this module's interface
)
from easyvae.training.trainer import Objective, Trainer

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT_SECONDS = 120.0
"""In a longer epoch, a checkpoint is written this often."""
MIXING_BETA = 0.5
"""Below this beta a model is for mixing and drawing, from it on for its data's likelihood."""


@dataclass(frozen=True)
class RunState:
    """A run after an epoch, as a callback sees it.

    Attributes:
        model: The model, with the weights of this moment.
        epoch: Epochs completed.
        step: Optimizer steps taken.
        row: The newest row of the history.
        history: All rows.
        out: The run folder, if there is one.
    """

    model: nn.Module
    epoch: int
    step: int
    row: Row
    history: History
    out: Path | None


Callback: TypeAlias = Callable[[RunState], object]


def fit(
    model: VAE,
    data: Any,
    *,
    loss: BetaLoss | None = None,
    epochs: int = 20,
    batch_size: int | None = None,
    validation: Any = 0.1,
    optimizer: Optimizer | Callable[[Any], Optimizer] | None = None,
    lr: float | None = None,
    device: str | torch.device = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: int = 0,
    out: str | PathLike[str] | None = None,
    resume: bool = True,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    accelerator: "Accelerator | None" = None,
    start: Literal["auto", "random"] = "auto",
    warp: Warp | Literal["auto"] | None = "auto",
) -> History:
    """Trains a model.

    The global random state is left alone, and two runs with one seed on one machine end with
    the same bits. The model is moved to the device, and ends with the last epoch's weights.

    Args:
        model: The model; `start` says from which weights it sets out.
        data: A folder or zip of pictures; a tensor or array of images, float in the model's
            range or uint8; a `Dataset`, which is read once; a `DataLoader`, which is read every
            epoch; or `easyvae.data.Pictures`. Rows may be `x`, `(x, ...)` or `{"image": x}`.
        loss: `BetaLoss()` by default. A schedule of beta goes by the share of all steps done.
            Parameters and buffers that it has, as those of a module given as `reconstruction`,
            are trained, saved and restored with the model's.
        epochs: Passes through the data in all, those of a resumed run included.
        batch_size: Images per step, over all processes; 32 by default, 16 with warps. A
            `DataLoader` has its own: a number given beside one counts for validation data alone,
            and a warning says so.
        validation: The share of the data to hold out (exact duplicates never straddle the
            split), data of any kind that `data` may be, or `None`.
        optimizer: `Muon` with a warm-up and a cosine by default. Or an optimizer over the
            parameters of the model and the loss, or a callable that makes one from them; its
            learning rate is its own affair.
        lr: Learning rate of the default optimizer, 0.002 if `None`.
        device: "auto" (a GPU if there is one) or a device.
        precision: Of training: "float32", "bfloat16" (autocast), or "auto": bfloat16 where it is
            fast. Validation is in float32, as all that measures a model.
        seed: Seed of the split, the order of the images, and the noise.
        out: A run folder, see `easyvae.training.RunFolder`. With one, Ctrl-C and SIGTERM
            leave a checkpoint.
        resume: Go on where a run in `out` was stopped; `False` starts anew and removes what
            the run had left.
        callbacks: Called with a `RunState` after each epoch, when its checkpoint is complete, in
            the first process. What one raises ends the run.
        progress: Show a bar in a terminal, a line per epoch elsewhere.
        accelerator: An `accelerate.Accelerator` to train in many processes. Under `torchrun`
            one is made.
        start: "auto" begins a plain `VAE` with the weights that its constructor drew at the
            principal components of the data, see `principal_start`; any other model (one
            that was trained or loaded, one with frozen weights or layers of your own) goes on
            from what it has. "random" begins with the weights that the model has, in any case.
        warp: An `easyvae.data.Warp` trains with known half-ways: each picture is bent to and fro,
            and what lies between the latents of the two has to become what lies between them. So
            a mix of two pictures moves their parts instead of laying one over the other. Each
            picture counts twice in a step, whose default batch size is halved. `None` is without;
            "auto" is `Warp()` for pictures and volumes where beta ends below 0.5. It is `None` for
            signals; for larger betas, at which the likelihood of the data as they are is what
            counts; and for terms and models of your own, since with warps a term gets the
            reconstruction at some place of the way beside the means of its two ends.

    Returns:
        The `History` of all epochs.

    Raises:
        ValueError: If an argument is out of its range, the data do not fit the model, or `out`
            holds a run with other settings; the message names what differs.
        NonFiniteError: If a loss, a gradient or a weight is not finite.
        KeyboardInterrupt: After Ctrl-C, once the checkpoint is written.
        SystemExit: After SIGTERM, likewise.

    Example:
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> history = fit(model, torch.rand(64, 3, 16, 16), epochs=2, progress=False)
        >>> len(history)
        2
    """
    epochs, seed = as_int("epochs", epochs), as_int("seed", seed, least=0)
    if batch_size is not None and isinstance(data, DataLoader):
        warnings.warn(
            f"`batch_size` (={batch_size!r}) stands beside a DataLoader, which makes batches of "
            f"{data.batch_size or 'its own'}: those are used for training",
            stacklevel=2,
        )
    loss = BetaLoss() if loss is None else loss
    _check_arguments(model, loss, optimizer, lr, callbacks, start, warp)
    warp = choose_warp(warp, [(model, loss)])
    usual = DEFAULT_BATCH_SIZE if warp is None else DEFAULT_BATCH_SIZE // 2
    batch_size = as_int("batch_size", usual if batch_size is None else batch_size)
    processes = choose_processes(accelerator, device)
    first = processes.rank == 0
    say = Reporter(enabled=progress and first)
    opener = SourceOpener(
        shape=model.input_shape,
        batch_size=batch_size,
        seed=seed,
        unit_range=getattr(loss.reconstruction, "base", loss.reconstruction) == "bce",
        rank=processes.rank,
        world=processes.world,
        say=say,
    )

    def open_in_turn() -> tuple[Source, Source | None]:
        with processes.first_alone():  # it fills the cache that the others then find
            return opener.open(data, validation)

    training, held_out = processes.together(open_in_turn, "opening the data")
    _check_out(out, training.origin)
    model.to(processes.device)
    loss.to(processes.device)
    parameters = [*Objective(model, loss).parameters()]  # once each: a loss may hold the model
    peak_lr = None
    if optimizer is None:
        peak_lr = DEFAULT_LR if lr is None else lr
        optimizer = default_optimizer(parameters, peak_lr)
    else:
        optimizer = as_optimizer(optimizer, parameters)
    steps = epochs * len(training.feed)
    dtype = processes.precision(precision)
    trainer = Trainer(model, loss, optimizer, peak_lr, processes, dtype, seed, steps, warp)
    say.line(_describe(trainer, training, held_out, epochs))

    with contextlib.ExitStack() as stack:
        folder, at = None, None
        if out is not None:
            folder = RunFolder(out, owner=first)
            processes.together(partial(stack.enter_context, folder), "locking the run folder")
            at = _open(folder, trainer, training, held_out, resume, start, say)
        if at is None:
            at = Progress()
            if start == "auto":
                _start(model, training, loss, warp.components if warp else None, say)
            if folder:  # from here on, whatever is in the folder has a checkpoint beside it
                _save(folder, trainer, at)
        if at.epoch >= epochs:
            say.line(f"the run has {at.epoch} epochs already: nothing is trained")
        stack.callback(say.close)
        stop = stack.enter_context(StopSignals())
        stack.enter_context(trainer.training_mode())
        watch = LossWatch(trainer.objective, loss) if folder else None
        while at.epoch < epochs:
            row = _run_epoch(trainer, training, held_out, at, epochs, folder, say, stop)
            if watch and (moved := watch.moved()):
                say.line(
                    f"training changes {some(moved)}, which no checkpoint holds: a run that goes "
                    "on begins with it anew, and ends with other bits (a buffer would be kept)"
                )
            watch = None
            path = folder.path if folder else None
            state = RunState(model, at.epoch, at.step, row, History(at.rows), path)
            _call(callbacks, state, processes)
    if folder:
        processes.together(partial(_replace_model, folder, model, say), "writing the model")
        say.line(f"the model is in {folder.model_path}")
    if stop.requested:
        stop.leave("the run is complete")
    return History(at.rows)


def _check_arguments(
    model: VAE,
    loss: BetaLoss,
    optimizer: object,
    lr: object,
    callbacks: object,
    start: object,
    warp: object,
) -> None:
    """Checks what would otherwise be noticed late, or with an error about something else."""
    if not isinstance(model, VAE):
        raise TypeError(f"`model` must be a VAE, not {type(model).__name__}")
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("`model` has no weight to train: all have requires_grad=False")
    if not isinstance(loss, BetaLoss):
        raise TypeError(f"`loss` must be a BetaLoss, not {type(loss).__name__}")
    if optimizer is not None and lr is not None:
        raise ValueError(
            f"`lr` (={lr}) sets the default optimizer's learning rate; set your own optimizer's "
            "where you make it"
        )
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise TypeError(f"`callbacks` (={callbacks!r}) must be a list of callables")
    if start not in ("auto", "random"):
        raise ValueError(f"`start` (={start!r}) must be 'auto' or 'random'")
    if not (warp is None or warp == "auto" or isinstance(warp, Warp)):
        raise TypeError(f"`warp` (={warp!r}) must be an easyvae.data.Warp, 'auto' or None")


def choose_warp(
    warp: Warp | Literal["auto"] | None, models: Sequence[tuple[VAE, BetaLoss]]
) -> Warp | None:
    """Returns what "auto" stands for, see `fit`: one for all models that are compared.

    Args:
        warp: What was asked for.
        models: Those that are trained, and their losses.
    """
    if warp != "auto":
        return warp
    mixing = any(loss.beta_at(1.0) < MIXING_BETA for _, loss in models)
    return Warp() if mixing and all(_is_usual(*pair) for pair in models) else None


def _is_usual(model: VAE, loss: BetaLoss) -> bool:
    """Tells whether what lies between two latents can take the place of a model's output."""
    term = loss.reconstruction
    usual = isinstance(term, str | LaplacianPyramid) and type(loss) is BetaLoss
    return usual and type(model).forward is VAE.forward and len(model.input_shape) > 2


def _check_out(out: str | PathLike[str] | None, origin: str | None) -> None:
    """Refuses the folder of the pictures themselves: a run's own would come to lie among them."""
    if out is not None and origin is not None and Path(out).resolve() == Path(origin).resolve():
        raise ValueError(
            f"`out` (={str(out)!r}) is the folder of the pictures; choose another one, beside "
            "them or in it"
        )


def _run_epoch(
    trainer: Trainer,
    training: Source,
    held_out: Source | None,
    at: Progress,
    epochs: int,
    folder: RunFolder | None,
    say: Reporter,
    stop: StopSignals,
) -> Row:
    """Trains to the end of the epoch under way, and leaves a complete checkpoint."""
    started = saved = time.perf_counter()
    started -= at.seconds
    say.start_epoch(at, epochs, training.images)
    trainer.model.train()  # whatever a callback has made of it
    for batch in training.feed.epoch(at.epoch, start=at.batch):
        due = time.perf_counter() - saved > CHECKPOINT_SECONDS
        stopping, saving = trainer.step(batch, at, stop=stop.requested is not None, save=due)
        at.seconds = time.perf_counter() - started
        say.step(batch.total, at)
        if folder and (stopping or saving):
            _save(folder, trainer, at)
        if saving:
            saved = time.perf_counter()
        if stopping:
            stop.leave(f"the same call goes on from step {at.step}" if folder else "")
    row = trainer.finish_epoch(at, held_out)
    if folder:
        _save(folder, trainer, at, best=at.best is None or at.best == row["val_loss"])
    say.end_epoch(row, epochs)
    return row


def _save(folder: RunFolder, trainer: Trainer, at: Progress, *, best: bool = False) -> None:
    """Writes a checkpoint in the first process; a full disk there ends the run in all."""

    def write() -> None:
        trainer.check_finite(at.step)
        # The model first: killed between the two, the run would do this epoch again.
        if best:
            folder.save_model(trainer.model)
        folder.save(at, trainer.model, trainer.loss, trainer.optimizer)

    trainer.processes.together(write, "writing a checkpoint")


def _replace_model(folder: RunFolder, model: VAE, say: Reporter) -> None:
    """Writes the model of a complete run again, if somebody has removed it."""
    if not folder.model_path.is_file():
        say.line("model.safetensors was missing; this is the last epoch's, best or not")
        folder.save_model(model)


def _open(
    folder: RunFolder,
    trainer: Trainer,
    training: Source,
    held_out: Source | None,
    resume: bool,
    start: str,
    say: Reporter,
) -> Progress | None:
    """Begins the run in a folder, or puts model, loss and optimizer where the run there stood."""
    processes = trainer.processes

    def begin() -> dict[str, Any] | None:
        if processes.rank > 0:
            return None
        settings = _settings(trainer, training, held_out, start, say)
        return folder.open(settings, resume=resume)

    before = processes.together(begin, "opening the run folder")
    restore = partial(
        folder.restore,
        trainer.model,
        trainer.loss,
        trainer.optimizer,
        batches=len(training.feed),
        own_rate=trainer.peak_lr is None,
    )
    at = processes.together(restore, "reading the checkpoint")
    step = -1 if at is None else at.step
    steps = processes.sum(torch.tensor([float(step)]))
    if float(steps) != step * processes.world:
        raise ValueError(
            f"`out` (={str(folder.path)!r}) has other checkpoints in other processes; it must be "
            "on a disk that all of them share"
        )
    if at is not None and at.step:
        say.line(f"going on after epoch {at.epoch}, step {at.step}")
    if before is not None and before.get("steps") != trainer.steps:
        say.line(f"the schedules now span {trainer.steps} steps, not {before.get('steps')}")
    return at


def _start(model: VAE, training: Source, loss: BetaLoss, most: int | None, say: Reporter) -> None:
    """Starts an untouched model at the principal components of its data, if that is possible."""
    plain = type(model) is VAE and model._untouched
    if not plain or not all(p.requires_grad for p in model.parameters()):
        say.line("starting from the weights that the model has")
        return
    images = training.feed.sample(SAMPLE)
    with eval_mode(loss):
        found = principal_start(model, images, loss, components=most)
    if found:
        say.line(f"starting from {found} principal components of {len(images):,} images")


def _call(callbacks: Sequence[Callback], state: RunState, processes: SingleProcess) -> None:
    """Calls the callbacks in the first process; what one raises ends the run in all."""

    def call() -> None:
        for callback in callbacks if processes.rank == 0 else ():
            callback(state)

    processes.together(call, "a callback")


def _settings(
    trainer: Trainer,
    training: Source,
    held_out: Source | None,
    start: str,
    say: Reporter,
) -> dict[str, Any]:
    """Lists what a run is made of, and what must not differ when it goes on."""
    model, description = trainer.model, Description(trainer.objective, trainer.loss)
    config = model.config
    loss = description.of("loss", trainer.loss)
    loss.pop("reduction", None)  # of what a call of the loss returns, which training does not ask
    names = {id(p): name for name, p in trainer.objective.named_parameters()}
    optimizer = describe_optimizer(trainer.optimizer, names, description)
    with torch.device("meta"):
        plain = type(model) is VAE and shape_of(model) == shape_of(VAE(**config))
    layers = None if plain else describe_layers(model, description)
    if layers is not None:
        say.line(
            "the model has layers that its config does not tell of: `VAE.load` will not read its "
            "file; build the model in your code, and pass it to the same `fit`, or give it "
            "`safetensors.torch.load_file(path)` by `load_state_dict`"
        )
    if description.unknown:
        say.line(
            f"only the kind of {some(description.unknown)} is known: when this run is "
            "resumed, another of that kind will not be noticed"
        )
    return {
        "easyvae": __version__,
        "torch": torch.__version__,
        "device": trainer.processes.device.type,
        "steps": trainer.steps,
        "pictures": training.origin,
        "images": training.images,
        "validation_images": held_out and held_out.images,
        "validation_share": held_out and held_out.share,
        "must_match": {
            "model": config,
            "layers": layers,
            "frozen": [
                name for name, p in trainer.objective.named_parameters() if not p.requires_grad
            ],
            "start": start,
            "warp": trainer.warp and asdict(trainer.warp),
            "loss": loss,
            **optimizer,
            "batch_size": training.batch_size,
            "precision": str(trainer.dtype).removeprefix("torch."),
            "seed": trainer.seed,
            "processes": trainer.processes.world,
            "data": training.fingerprint(),
            "validation": held_out and held_out.fingerprint(),
        },
    }


def _describe(trainer: Trainer, training: Source, held_out: Source | None, epochs: int) -> str:
    """Writes the run's first line, which shows what the default recipe chose."""
    parameters = sum(p.numel() for p in trainer.model.parameters())
    images = "a DataLoader" if training.images is None else f"{training.images:,} images"
    lr = "" if trainer.peak_lr is None else f" lr {trainer.peak_lr:g}"
    return (
        f"training {parameters:,} parameters on {images}"
        + (f" ({held_out.images:,} held out)" if held_out and held_out.images else "")
        + f": {epochs} epoch{'s' * (epochs > 1)}, batch size {training.batch_size}, "
        f"{type(trainer.optimizer).__name__}{lr}, beta {trainer.loss.beta_at(1.0):g}, "
        + ("warps, " if trainer.warp else "")
        + f"{str(trainer.dtype).removeprefix('torch.')} on {trainer.processes.device.type}, "
        f"seed {trainer.seed}"
    )
