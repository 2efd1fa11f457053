"""Training: one loop, for one process or many, that goes on exactly where it was stopped."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer

from easyvae.core.checks import as_int
from easyvae.core.signals import StopSignals
from easyvae.data import Warp
from easyvae.latents import eval_mode
from easyvae.losses import BetaLoss
from easyvae.model import VAE
from easyvae.training.checkpoint_checks import Progress
from easyvae.training.console import Console
from easyvae.training.distributed import choose_processes
from easyvae.training.history import History, Row
from easyvae.training.open_data import DataOpener, Part
from easyvae.training.optim import DEFAULT_LR, as_optimizer, default_optimizer
from easyvae.training.principal_layers import SAMPLE
from easyvae.training.principal_start import principal_start
from easyvae.training.recipe import Recipe, choose_batch_size, choose_warp
from easyvae.training.run_folder import RunFolder, check_apart
from easyvae.training.settings import compare_steps, loss_changes, run_settings, some
from easyvae.training.trainer import (
    NonFiniteError as NonFiniteError,  # part of this module's interface
)
from easyvae.training.trainer import Objective, Trainer

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT_SECONDS = 120.0
"""In a longer epoch, a checkpoint is written this often."""


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
            principal components of the data, see `easyvae.training.principal_start`; any other
            model (one that was trained or loaded, one with frozen weights or layers of your own)
            goes on from what it has. "random" begins with the weights that the model has, in any
            case.
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
    loss = BetaLoss() if loss is None else loss
    _check_arguments(model, loss, optimizer, lr, callbacks, start, warp)
    warp = choose_warp(warp, [(model, loss)])
    batch_size = choose_batch_size(batch_size, data, warp)
    processes = choose_processes(accelerator, device)
    console = Console(enabled=progress and processes.rank == 0)
    unit_range = getattr(loss.reconstruction, "base", loss.reconstruction) == "bce"
    opener = DataOpener(model.input_shape, batch_size, seed, unit_range, processes, console)
    training, held_out = opener.open(data, validation)
    check_apart(out, training.origin)
    model.to(processes.device)
    loss.to(processes.device)
    parameters = [*Objective(model, loss).parameters()]  # once each: a loss may hold the model
    peak_lr = None
    if optimizer is None:
        peak_lr = DEFAULT_LR if lr is None else lr
        optimizer = default_optimizer(parameters, peak_lr)
    else:
        optimizer = as_optimizer(optimizer, parameters)
    dtype, steps = processes.precision(precision), epochs * len(training.feed)
    recipe = Recipe(peak_lr, dtype, seed, steps, warp)
    trainer = Trainer(model, loss, optimizer, recipe, processes)
    folder = None if out is None else RunFolder(out, owner=processes.rank == 0)
    run = Run(trainer, training, held_out, epochs, folder, console)
    console.line(run.describe())
    with run.under_way(start, resume=resume) as stop:
        while run.progress.epoch < epochs:
            row = run.train_epoch(stop)
            run.call(callbacks, row)
    run.finish()
    if stop.requested:
        stop.leave("the run is complete")
    return History(run.progress.rows)


@dataclass
class Run:
    """A training under way: what trains on what, how far it has come, and where that is kept."""

    trainer: Trainer
    training: Part
    held_out: Part | None
    epochs: int  # in all
    folder: RunFolder | None
    console: Console
    progress: Progress = field(default_factory=Progress)
    _loss_changes: Callable[[], list[str]] | None = None  # until the first epoch has ended

    def describe(self) -> str:
        """Returns the run's first line, which shows what the default recipe chose."""
        trainer, recipe, held_out = self.trainer, self.trainer.recipe, self.held_out
        parameters = sum(p.numel() for p in trainer.model.parameters())
        images = self.training.images
        lr = "" if recipe.peak_lr is None else f" lr {recipe.peak_lr:g}"
        return (
            f"training {parameters:,} parameters on "
            + ("a DataLoader" if images is None else f"{images:,} images")
            + (f" ({held_out.images:,} held out)" if held_out and held_out.images else "")
            + f": {self.epochs} epoch{'s' * (self.epochs > 1)}, "
            f"batch size {self.training.batch_size}, "
            f"{type(trainer.optimizer).__name__}{lr}, beta {trainer.loss.beta_at(1.0):g}, "
            + ("warps, " if recipe.warp else "")
            + f"{str(recipe.dtype).removeprefix('torch.')} on {trainer.processes.device.type}, "
            f"seed {recipe.seed}"
        )

    @contextlib.contextmanager
    def under_way(self, start: str, *, resume: bool) -> Iterator[StopSignals]:
        """Holds the folder, the model in training mode and the signals, from the start on."""
        with contextlib.ExitStack() as stack:
            if self.folder:
                enter = partial(stack.enter_context, self.folder)
                self.trainer.processes.together(enter, "locking the run folder")
            if not (self.folder and self._go_on(self.folder, start, resume=resume)):
                self._begin(start)
            if self.progress.epoch >= self.epochs:
                self.console.line(
                    f"the run has {self.progress.epoch} epochs already: nothing is trained"
                )
            stack.callback(self.console.close)
            stop = stack.enter_context(StopSignals())
            stack.enter_context(self.trainer.training_mode())
            if self.folder:
                self._loss_changes = loss_changes(self.trainer)
            yield stop

    def train_epoch(self, stop: StopSignals) -> Row:
        """Trains to the end of the epoch under way, and leaves a complete checkpoint."""
        progress, trainer = self.progress, self.trainer
        started = saved = time.perf_counter()
        started -= progress.seconds
        self.console.start_epoch(progress, self.epochs, self.training.images)
        trainer.model.train()  # whatever a callback has made of it
        for batch in self.training.feed.epoch(progress.epoch, start=progress.batch):
            due = time.perf_counter() - saved > CHECKPOINT_SECONDS
            stopping, saving = trainer.step(
                batch, progress, stop=stop.requested is not None, save=due
            )
            progress.seconds = time.perf_counter() - started
            self.console.step(batch.total, progress)
            if stopping or saving:
                self._save()
            if saving:
                saved = time.perf_counter()
            if stopping:
                stop.leave(
                    f"the same call goes on from step {progress.step}" if self.folder else ""
                )
        row = trainer.finish_epoch(progress, self.held_out)
        self._save(best=progress.best is None or progress.best == row["val_loss"])
        self.console.end_epoch(row, self.epochs)
        self._tell_what_is_lost()
        return row

    def call(self, callbacks: Sequence[Callback], row: Row) -> None:
        """Calls the callbacks in the first process; what one raises ends the run in all."""
        progress, processes = self.progress, self.trainer.processes
        path = self.folder.path if self.folder else None
        state = RunState(
            self.trainer.model, progress.epoch, progress.step, row, History(progress.rows), path
        )

        def call() -> None:
            for callback in callbacks if processes.rank == 0 else ():
                callback(state)

        processes.together(call, "a callback")

    def finish(self) -> None:
        """Makes sure that the model of a complete run is there: somebody may have removed it."""
        folder = self.folder
        if folder is None:
            return

        def replace() -> None:
            if not folder.model_path.is_file():
                name = folder.model_path.name
                self.console.line(f"{name} was missing; this is the last epoch's, best or not")
                folder.save_model(self.trainer.model)

        self.trainer.processes.together(replace, "writing the model")
        self.console.line(f"the model is in {folder.model_path}")

    def _begin(self, start: str) -> None:
        """Begins the training, at the principal components of the data if that is possible."""
        model, loss, warp = self.trainer.model, self.trainer.loss, self.trainer.recipe.warp
        plain = type(model) is VAE and model._untouched
        if start == "auto" and plain and all(p.requires_grad for p in model.parameters()):
            images = self.training.feed.sample(SAMPLE)
            most = warp.components if warp else None
            with eval_mode(loss):
                count = principal_start(model, images, loss, components=most)
            if count:
                components = f"{count} principal components of {len(images):,} images"
                self.console.line(f"starting from {components}")
        elif start == "auto":
            self.console.line("starting from the weights that the model has")
        self._save()  # from here on, whatever is in the folder has a checkpoint beside it

    def _go_on(self, folder: RunFolder, start: str, *, resume: bool) -> bool:
        """Puts model, loss and optimizer where the run in the folder stood, if there is one."""
        trainer, processes = self.trainer, self.trainer.processes

        def begin() -> str | None:
            if processes.rank > 0:
                return None
            settings = run_settings(trainer, self.training, self.held_out, start, self.console)
            before = folder.open(settings, resume=resume)
            return None if before is None else compare_steps(before, settings)

        other_steps = processes.together(begin, "opening the run folder")
        restore = partial(
            folder.restore,
            trainer.model,
            trainer.loss,
            trainer.optimizer,
            batches=len(self.training.feed),
            own_rate=trainer.recipe.peak_lr is None,
        )
        progress = processes.together(restore, "reading the checkpoint")
        step = -1 if progress is None else progress.step
        steps = processes.sum(torch.tensor([float(step)]))
        if float(steps) != step * processes.world:
            raise ValueError(
                f"`out` (={str(folder.path)!r}) has other checkpoints in other processes; it must "
                "be on a disk that all of them share"
            )
        if progress is not None and progress.step:
            self.console.line(f"going on after epoch {progress.epoch}, step {progress.step}")
        if other_steps:
            self.console.line(other_steps)
        self.progress = progress or self.progress
        return progress is not None

    def _save(self, *, best: bool = False) -> None:
        """Writes a checkpoint in the first process; a full disk there ends the run in all."""
        folder, trainer = self.folder, self.trainer
        if folder is None:
            return

        def write() -> None:
            trainer.check_finite(self.progress.step)
            # The model first: killed between the two, the run would do this epoch again.
            if best:
                folder.save_model(trainer.model)
            folder.save(self.progress, trainer.model, trainer.loss, trainer.optimizer)

        trainer.processes.together(write, "writing a checkpoint")

    def _tell_what_is_lost(self) -> None:
        """Says after the first epoch what the loss changes of itself that no checkpoint holds."""
        changes, self._loss_changes = self._loss_changes, None
        if changes and (moved := changes()):
            self.console.line(
                f"training changes {some(moved)}, which no checkpoint holds: a run that goes on "
                "begins with it anew, and ends with other bits (a buffer would be kept)"
            )


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
