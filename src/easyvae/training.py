"""Training: one loop, for one process or many, that can be stopped anywhere and goes on exactly.

Every random number is a function of the seed and the step, none of what was drawn before. So
there is no generator's state to lose, and the caller's random state is left alone.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer

from easyvae.checkpoint import Progress, RunFolder
from easyvae.data import Batch
from easyvae.data.random_state import mixed_seed
from easyvae.feeds import Source, prepare_sources
from easyvae.geometry import as_int
from easyvae.history import History, Row
from easyvae.latents import eval_mode
from easyvae.losses import BetaLoss, LossTerms
from easyvae.model import VAE
from easyvae.optim import DEFAULT_BATCH_SIZE, DEFAULT_LR, default_optimizer, lr_factor
from easyvae.processes import SingleProcess, choose_precision, choose_processes
from easyvae.progress import Reporter
from easyvae.signals import StopSignals
from easyvae.version import __version__

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT_SECONDS = 120.0
"""In a longer epoch, a checkpoint is written this often."""

CLIP = 10.0
"""A gradient this many times longer than usual is shortened to that length."""


class NonFiniteError(FloatingPointError):
    """A loss or gradient that is not finite; the weights were not touched by that step.

    Attributes:
        step: The number of the step, from 1.
    """

    def __init__(self, step: int, what: str) -> None:
        """Names the step and what was not finite."""
        super().__init__(
            f"the {what} of step {step} is not finite; training stopped before the weights were "
            "touched. Lower `lr`, and check the data and the loss"
        )
        self.step = step


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
) -> History:
    """Trains a model.

    The global random state is left alone, and two runs with one seed on one machine end with
    the same bits. The model is moved to the device, and ends with the last epoch's weights.

    Args:
        model: The model, whatever its weights: training goes on from them.
        data: A folder or zip of pictures; a tensor or array of images, float in the model's
            range or uint8; a `Dataset`, which is read once; a `DataLoader`, which is read every
            epoch; or `easyvae.data.Pictures`. Rows may be `x`, `(x, ...)` or `{"image": x}`.
        loss: `BetaLoss()` by default. A schedule of beta goes by the share of all steps done.
        epochs: Passes through the data in all, those of a resumed run included.
        batch_size: Images per step, over all processes; 32 by default (a `DataLoader` has its
            own).
        validation: The share of the data to hold out (exact duplicates never straddle the
            split), data of any kind that `data` may be, or `None`.
        optimizer: `Muon` with a warm-up and a cosine by default. Or an optimizer over the
            model's parameters, or a callable that makes one from them; its learning rate is its
            own affair.
        lr: Learning rate of the default optimizer, 0.004 if `None`.
        device: "auto" (a GPU if there is one) or a device.
        precision: "float32", "bfloat16" (autocast), or "auto": bfloat16 where it is fast.
        seed: Seed of the split, the order of the images, and the noise.
        out: A run folder, see `easyvae.checkpoint.RunFolder`. With one, Ctrl-C and SIGTERM
            leave a checkpoint.
        resume: Go on where a run in `out` was stopped; `False` starts anew and removes what
            the run had left.
        callbacks: Called with a `RunState` after each epoch, when its checkpoint is complete, in
            the first process. What one raises ends the run.
        progress: Show a bar in a terminal, a line per epoch elsewhere.
        accelerator: An `accelerate.Accelerator` to train in many processes. Under `torchrun`
            one is made.

    Returns:
        The `History` of all epochs.

    Raises:
        ValueError: If an argument is out of its range, the data do not fit the model, or `out`
            holds a run with other settings; the message names what differs.
        NonFiniteError: If a loss or gradient is not finite.
        KeyboardInterrupt: After Ctrl-C, once the checkpoint is written.

    Example:
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> history = fit(model, torch.rand(64, 3, 16, 16), epochs=2, progress=False)
        >>> len(history)
        2
    """
    if optimizer is not None and lr is not None:
        raise ValueError(
            f"`lr` (={lr}) sets the default optimizer's learning rate; set your own optimizer's "
            "where you make it"
        )
    epochs, seed = as_int("epochs", epochs), as_int("seed", seed, least=0)
    batch_size = as_int("batch_size", DEFAULT_BATCH_SIZE if batch_size is None else batch_size)
    loss = BetaLoss() if loss is None else loss
    processes = choose_processes(accelerator, device)
    first = processes.rank == 0
    say = Reporter(enabled=progress and first)
    with processes.first_alone():  # it fills the cache that the others then find
        training, held_out = prepare_sources(
            data,
            validation,
            model.input_shape,
            batch_size=batch_size,
            seed=seed,
            unit_range=loss.reconstruction == "bce",
            rank=processes.rank,
            world=processes.world,
            say=say.line,
        )
    model.to(processes.device)
    schedule = None
    if optimizer is None:
        optimizer = default_optimizer(model, lr)
        schedule = DEFAULT_LR if lr is None else lr
    elif not isinstance(optimizer, Optimizer):
        optimizer = optimizer(model.parameters())
    steps = epochs * len(training.feed)
    dtype = choose_precision(precision, processes.device)
    trainer = _Trainer(model, loss, optimizer, schedule, processes, dtype, seed, steps)
    settings = _settings(trainer, training, held_out, batch_size)
    say.line(_describe(trainer, training, held_out, batch_size, epochs))

    with contextlib.ExitStack() as stack:
        at, folder = Progress(), None
        if out is not None:
            folder = stack.enter_context(RunFolder(out, owner=first))
            if first:
                folder.open(settings, resume=resume)
            processes.wait()
            at = folder.restore(model, optimizer) or at
            if at.step:
                say.line(f"going on after epoch {at.epoch}, step {at.step}")
        stack.callback(say.close)
        stop = stack.enter_context(StopSignals())
        stack.enter_context(trainer.training_mode())

        while at.epoch < epochs:
            started = saved = time.perf_counter()
            started -= at.seconds
            say.start_epoch(at.epoch + 1, epochs, training.images)
            for batch in training.feed.epoch(at.epoch, start=at.batch):
                trainer.step(batch, at)
                now = time.perf_counter()
                at.seconds = now - started
                say.step(batch.total, at)
                if folder and (stop.requested or now - saved > CHECKPOINT_SECONDS):
                    folder.save(at, model, optimizer)
                    saved = now
                if stop.requested:
                    stop.leave(f"run the same command again to go on from step {at.step}")
            row = trainer.finish_epoch(at, held_out)
            if folder:
                if held_out is None or at.best == row["val_loss"]:
                    folder.save_model(model)
                folder.save(at, model, optimizer)
            say.end_epoch(row, epochs)
            path = folder.path if folder else None
            state = RunState(model, at.epoch, at.step, row, History(at.rows), path)
            for callback in callbacks if first else ():
                callback(state)
        if folder:
            say.line(f"the model is in {folder.model_path}")
    if accelerator is None:
        processes.end()
    return History(at.rows)


class _Trainer:
    """What a run does with a batch, and with the end of an epoch."""

    def __init__(
        self,
        model: VAE,
        loss: BetaLoss,
        optimizer: Optimizer,
        schedule: float | None,
        processes: SingleProcess,
        dtype: torch.dtype,
        seed: int,
        steps: int,
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule  # the default optimizer's peak learning rate
        self.processes = processes
        self.dtype = dtype
        self.seed = seed
        self.steps = steps
        self.wrapped: nn.Module = model

    def step(self, batch: Batch, at: Progress) -> None:
        """Takes an optimizer step, and counts it in `at`."""
        self.loss.beta = self.loss.beta_at(at.step / self.steps)
        if self.schedule is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule * lr_factor(at.step, self.steps)
        self.optimizer.zero_grad()
        terms = self._terms(self.wrapped, batch, "train", at.step)
        # The gradients are averaged over processes: so scaled, they are those of the whole batch.
        self.processes.backward(terms.total.sum() * (self.processes.world / batch.total))
        sums = self._sums(terms)
        if not all(map(math.isfinite, sums)):
            raise NonFiniteError(at.step + 1, "loss")
        limit = math.inf if at.typical_norm is None else CLIP * at.typical_norm
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        if not math.isfinite(norm):
            raise NonFiniteError(at.step + 1, "gradient")
        self.optimizer.step()
        before = norm if at.typical_norm is None else at.typical_norm
        at.typical_norm = 0.98 * before + 0.02 * min(norm, limit)
        at.sums = [a + b for a, b in zip(at.sums, [*sums, float(batch.total)], strict=True)]
        at.batch += 1
        at.step += 1

    def finish_epoch(self, at: Progress, held_out: Source | None) -> Row:
        """Validates, and turns what `at` has added up into a row of the history."""
        started = time.perf_counter()
        *totals, images = at.sums
        beta = self.loss.beta
        validation: list[float | None] = [None] * 3
        if held_out is not None:
            self.loss.beta = self.loss.beta_at(1.0)  # rising betas could not be compared
            validation = list(self._validate(held_out))
            self.loss.beta = beta
        row = Row(
            epoch=at.epoch + 1,
            train_loss=totals[0] / images,
            train_reconstruction=totals[1] / images,
            train_kl=totals[2] / images,
            val_loss=validation[0],
            val_reconstruction=validation[1],
            val_kl=validation[2],
            beta=beta,
            lr=float(self.optimizer.param_groups[0]["lr"]),
            seconds=at.seconds + time.perf_counter() - started,
            images_per_second=images / at.seconds if at.seconds else 0.0,
        )
        if row["val_loss"] is not None and (at.best is None or row["val_loss"] < at.best):
            at.best = row["val_loss"]
        at.rows.append(row)
        at.epoch += 1
        at.batch, at.sums, at.seconds = 0, [0.0] * 4, 0.0
        return row

    @contextlib.contextmanager
    def training_mode(self) -> Iterator[None]:
        """Shares the gradients among the processes, and puts the model in train mode."""
        flags = [(module, module.training) for module in self.model.modules()]
        self.model.train()
        self.wrapped = self.processes.wrap(self.model)
        try:
            yield
        finally:
            for module, flag in flags:
                module.training = flag

    def _validate(self, held_out: Source) -> list[float]:
        """Averages the loss terms over the images held out, with the same noise every epoch."""
        totals, images = [0.0] * 3, 0
        with eval_mode(self.model), torch.no_grad():
            for number, batch in enumerate(held_out.feed.epoch(0)):
                sums = self._sums(self._terms(self.model, batch, "validation", number))
                totals = [a + b for a, b in zip(totals, sums, strict=True)]
                images += batch.total
        return [total / images for total in totals]

    def _terms(self, model: nn.Module, batch: Batch, use: str, number: int) -> LossTerms:
        """Computes the loss terms of a batch, with noise that depends on its number alone."""
        device = self.processes.device
        x = batch.images.to(device, non_blocking=True)
        x = x.float() / 255 if x.dtype == torch.uint8 else x
        with self._seeded(mixed_seed(self.seed, use, number)):
            # The draws that belong to the images of lower ranks are passed over.
            torch.empty(batch.offset, self.model.latent, device=device).normal_()
            with torch.autocast(device.type, torch.bfloat16, self.dtype is torch.bfloat16):
                output = model(x)
        return self.loss.per_image(output, x)

    @contextlib.contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """Seeds the global random state for the block, and then puts it back."""
        device = self.processes.device
        kind = "cuda" if device.type == "cpu" else device.type
        devices = [] if device.type == "cpu" else [device]
        with torch.random.fork_rng(devices, device_type=kind):
            torch.manual_seed(seed)
            yield

    def _sums(self, terms: LossTerms) -> list[float]:
        """Adds the terms up over all images of the batch, in all processes."""
        sums = torch.stack([term.detach().sum() for term in terms]).cpu().double()
        totals: list[float] = self.processes.sum(sums).tolist()
        return totals


def _settings(
    trainer: _Trainer, training: Source, held_out: Source | None, batch_size: int
) -> dict[str, Any]:
    """Lists what a run is made of, and what must not differ when it goes on."""
    model = trainer.model
    return {
        "easyvae": __version__,
        "torch": torch.__version__,
        "device": trainer.processes.device.type,
        "steps": trainer.steps,
        "images": training.images,
        "validation_images": held_out and held_out.images,
        "must_match": {
            "model": model.config,
            "loss": repr(trainer.loss),
            "optimizer": type(trainer.optimizer).__name__,
            "lr": trainer.schedule,
            "batch_size": batch_size,
            "precision": str(trainer.dtype).removeprefix("torch."),
            "seed": trainer.seed,
            "processes": trainer.processes.world,
            "data": training.fingerprint,
            "validation": held_out and held_out.fingerprint,
        },
    }


def _describe(
    trainer: _Trainer, training: Source, held_out: Source | None, batch_size: int, epochs: int
) -> str:
    """Writes the run's first line, which shows what the default recipe chose."""
    parameters = sum(p.numel() for p in trainer.model.parameters())
    images = "a DataLoader" if training.images is None else f"{training.images:,} images"
    schedule = "" if trainer.schedule is None else f" lr {trainer.schedule:g}"
    return (
        f"training {parameters:,} parameters on {images}"
        + (f" ({held_out.images:,} held out)" if held_out and held_out.images else "")
        + f": {epochs} epochs, batch size {batch_size}, "
        f"{type(trainer.optimizer).__name__}{schedule}, beta {trainer.loss.beta_at(1.0):g}, "
        f"{str(trainer.dtype).removeprefix('torch.')} on {trainer.processes.device}, "
        f"seed {trainer.seed}"
    )
