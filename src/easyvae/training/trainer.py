"""What a training run does with a batch, and at the end of an epoch."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from easyvae.core.checks import as_floats
from easyvae.core.seeds import mixed_seed
from easyvae.data import Batch, Warp
from easyvae.latents import eval_mode, reparameterize
from easyvae.losses import BetaLoss, LossTerms
from easyvae.model import VAE, VAEOutput
from easyvae.training.checkpoint_checks import Progress
from easyvae.training.distributed import SingleProcess
from easyvae.training.history import Row
from easyvae.training.open_data import Part
from easyvae.training.optim import lr_factor
from easyvae.training.recipe import Recipe

CLIP = 10.0
"""A gradient this many times longer than usual is shortened to that length."""


class NonFiniteError(FloatingPointError):
    """A loss, gradient or weight that is not finite.

    That of a step is found before the step has touched the weights. What only validation, or a
    look at the weights, shows at an epoch's end is found before they are saved.

    Attributes:
        step: The number of the step, from 1.
    """

    def __init__(self, step: int, what: str, *, after: bool = False) -> None:
        when, still = ("after", "saved") if after else ("of", "touched")
        super().__init__(
            f"the {what} {when} step {step} is not finite; training stopped before the weights "
            f"were {still}. Lower `lr`, and check the data and the loss"
        )
        self.step = step


class Bent(NamedTuple):
    """What lies between the ends to which pictures are bent: each at two places on the way."""

    targets: Tensor  # (2N, C, *spatial): all pictures at one place, all at the other
    places: Tensor  # (2, N), from 0 to 1


class Objective(nn.Module):
    """A model and its loss as one module: what is trained, shared among processes and checked."""

    def __init__(self, model: VAE, loss: BetaLoss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, x: Tensor, dtype: torch.dtype, bent: Bent | None = None) -> LossTerms:
        """Computes the loss terms of each image, (N,), with the model in autocast to a dtype.

        Beside what lies between, `x` has both ends of each picture's way, (2N, C, *spatial): the
        latents on the straight line between theirs are decoded, and compared with it.
        """
        with torch.autocast(x.device.type, torch.bfloat16, dtype is torch.bfloat16):
            output = self.model(x) if bent is None else self._between(x, bent.places)
        if bent is None:
            return self.loss.per_image(output, x)
        terms = self.loss.per_image(output, bent.targets)
        return LossTerms(*(term.unflatten(0, (2, -1)).mean(0) for term in terms))

    def _between(self, ends: Tensor, t: Tensor) -> VAEOutput:
        mean, log_var = self.model.encode(ends)
        # The noise of a picture's two ends is drawn together: parts of a batch draw it alike.
        pairs = (torch.stack(p.chunk(2), 1) for p in (mean, log_var))  # (N, 2, D)
        z = reparameterize(*pairs)
        t = t.unsqueeze(-1)
        z = (1 - t) * z[:, 0] + t * z[:, 1]  # (2, N, D)
        return self.model._decoded(mean, log_var, z.flatten(0, 1))


@dataclass(eq=False)
class Trainer:
    """What a run does with a batch, and at the end of an epoch.

    Every random number is a function of the seed and the step, none of what was drawn before. So
    there is no generator's state to lose, and the caller's random state is left alone.
    """

    model: VAE
    loss: BetaLoss
    optimizer: Optimizer
    recipe: Recipe
    processes: SingleProcess

    def __post_init__(self) -> None:
        self.objective = Objective(self.model, self.loss)
        self.wrapped: nn.Module = self.objective

    def step(
        self, batch: Batch, progress: Progress, *, stop: bool = False, save: bool = False
    ) -> tuple[bool, bool]:
        """Takes an optimizer step, and counts it in `progress`.

        Returns whether any process has been asked to stop, and whether in any it is time to save a
        checkpoint: all do the same after the same step, or they would wait for ever.
        """
        recipe = self.recipe
        self.loss.beta = self.loss.beta_at(progress.step / recipe.steps)
        if recipe.peak_lr is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.peak_lr * lr_factor(progress.step, recipe.steps)
        self.optimizer.zero_grad()
        terms = self._terms(self.wrapped, batch, "train", progress.step)
        # The gradients are averaged over processes: so scaled, they are those of the whole batch.
        (terms.total.sum() * (self.processes.world / batch.total)).backward()
        *sums, stopping, saving = self._sums(terms, stop, save)
        if not all(map(math.isfinite, sums)):
            raise NonFiniteError(progress.step + 1, "loss")
        limit = CLIP * progress.typical_norm if progress.typical_norm else math.inf
        gradients = [p.grad for p in self.objective.parameters() if p.grad is not None]
        total = nn.utils.get_total_norm(gradients)
        norm = float(total)
        if not math.isfinite(norm):
            raise NonFiniteError(progress.step + 1, "gradient")
        if norm > limit:
            nn.utils.clip_grads_with_norm_(self.objective.parameters(), limit, total)
        self.optimizer.step()
        progress.typical_norm = 0.98 * (progress.typical_norm or norm) + 0.02 * min(norm, limit)
        progress.sums = [
            a + b for a, b in zip(progress.sums, [*sums, float(batch.total)], strict=True)
        ]
        progress.batch += 1
        progress.step += 1
        return stopping > 0, saving > 0

    def finish_epoch(self, progress: Progress, held_out: Part | None) -> Row:
        """Validates, and turns what `progress` has added up into a row of the history."""
        started = time.perf_counter()
        *totals, images = progress.sums
        train_loss, train_reconstruction, train_kl = (total / images for total in totals)
        # That of the last step of the epoch.
        beta = self.loss.beta_at((progress.step - 1) / self.recipe.steps)
        self.processes.share_buffers(self.objective)
        val_loss = val_reconstruction = val_kl = None
        if held_out is not None:
            self.loss.beta = self.loss.beta_at(1.0)  # rising betas could not be compared
            averages = self._validate(held_out)
            if not all(map(math.isfinite, averages)):
                raise NonFiniteError(progress.step, "validation loss", after=True)
            val_loss, val_reconstruction, val_kl = averages
        self.check_finite(progress.step)
        row = Row(
            epoch=progress.epoch + 1,
            train_loss=train_loss,
            train_reconstruction=train_reconstruction,
            train_kl=train_kl,
            val_loss=val_loss,
            val_reconstruction=val_reconstruction,
            val_kl=val_kl,
            beta=beta,
            lr=float(self.optimizer.param_groups[0]["lr"]),
            seconds=progress.seconds + time.perf_counter() - started,
            images_per_second=images / progress.seconds if progress.seconds else 0.0,
        )
        if val_loss is not None and (progress.best is None or val_loss < progress.best):
            progress.best = val_loss
        progress.rows.append(row)
        progress.epoch += 1
        progress.batch, progress.sums, progress.seconds = 0, [0.0] * 4, 0.0
        return row

    def check_finite(self, step: int) -> None:
        """Looks at all that a file of the model would hold, and at the loss's parameters."""
        tensors = [(f"model's {name}", t) for name, t in self.model.state_dict().items()]
        tensors += [(f"loss's {name}", p) for name, p in self.loss.named_parameters()]
        for name, t in tensors:
            if t.is_floating_point() and not t.isfinite().all():
                raise NonFiniteError(step, name, after=True)

    @contextlib.contextmanager
    def training_mode(self) -> Iterator[None]:
        """Shares the gradients among the processes, and gives all flags back at the end."""
        flags = [(module, module.training) for module in self.model.modules()]
        beta = self.loss.beta
        self.wrapped = self.processes.wrap(self.objective)
        try:
            with _deterministic(self.processes.device), torch.enable_grad():
                yield
        finally:
            self.wrapped = self.objective
            self.loss.beta = beta
            for module, flag in flags:
                module.training = flag

    def _validate(self, held_out: Part) -> list[float]:
        """Averages the loss terms over the images held out, with the same noise every epoch.

        Whatever the precision of training, in that of the weights: by these figures the best
        model is chosen, and they are those that `evaluate` will measure.
        """
        totals, images = [0.0] * 3, 0
        with eval_mode(self.objective), torch.no_grad():
            for number, batch in enumerate(held_out.feed.epoch(0)):
                sums = self._sums(self._terms(self.objective, batch, "validation", number))
                totals = [a + b for a, b in zip(totals, sums, strict=True)]
                images += batch.total
        return [total / images for total in totals]

    def _terms(self, objective: nn.Module, batch: Batch, use: str, number: int) -> LossTerms:
        """Computes the loss terms of a batch, with noise that depends on its number alone."""
        device = self.processes.device
        dtype = self.recipe.dtype if use == "train" else torch.float32
        pinned = device.type == "cuda" and batch.images.device.type == "cpu"
        x = batch.images.pin_memory() if pinned else batch.images
        x = as_floats(x.to(device, non_blocking=pinned))
        bent, ends, warp = None, 1, self.recipe.warp
        if use == "train" and warp and number < warp.until * self.recipe.steps:
            x, bent = self._bend(warp, x, batch, number)
            ends = 2
        with _seeded(device, mixed_seed(self.recipe.seed, use, number)):
            # The draws that belong to the images of lower ranks are passed over.
            torch.empty(batch.offset, ends * self.model.latent, device=device).normal_()
            terms: LossTerms = objective(x, dtype, bent)
        return terms

    def _bend(self, warp: Warp, x: Tensor, batch: Batch, number: int) -> tuple[Tensor, Bent]:
        """Bends each picture to and fro; returns both ends, and two places between them."""
        generator = torch.Generator().manual_seed(mixed_seed(self.recipe.seed, "warp", number))
        mine = slice(batch.offset, batch.offset + len(x))
        change = warp.draw(batch.total, tuple(x.shape[2:]), generator).part(mine)
        t = torch.rand(batch.total, generator=generator)[mine]
        places = torch.stack([t, 1 - t])  # (2, N)
        whole = torch.tensor([[1.0], [-1.0]]).expand(2, len(x))
        ends, targets = change.apply(x, torch.cat([whole, 1 - 2 * places])).chunk(2)
        return ends, Bent(targets, places.to(x.device))

    def _sums(self, terms: LossTerms, *flags: bool) -> list[float]:
        """Adds the terms up over all images of the batch, and flags, in all processes."""
        sums = torch.stack([term.detach().sum() for term in terms]).cpu().double()
        values = torch.cat([sums, torch.tensor(flags, dtype=torch.float64)])
        totals: list[float] = self.processes.sum(values).tolist()
        return totals


@contextlib.contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seeds the global generators in use for the block, and then puts them back."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    elif device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    states = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _deterministic(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """On CUDA, keeps cuDNN to algorithms that give the same bits every time."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    cudnn = torch.backends.cudnn
    flags: contextlib.AbstractContextManager[None] = cudnn.flags(
        cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=cudnn.allow_tf32
    )
    return flags
