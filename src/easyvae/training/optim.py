"""The default optimizer and its learning-rate schedule."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from easyvae.core.checks import as_number

DEFAULT_LR = 2e-3
DEFAULT_BATCH_SIZE = 32


class Muon(Optimizer):
    """Orthogonalised momentum for convolutions, AdamW for all other parameters.

    A convolution's weight is read as a matrix, one row per first channel. Its update is the
    nearest orthogonal matrix to the momentum, so that every direction of the matrix learns at
    the same rate, however rare its gradient. A dense layer's AdamW update, whose entries are all
    about as large, has the wider a matrix the larger a norm: it is scaled by what keeps that norm
    with the width, so that one learning rate serves layers of every size.

    Args:
        parameters: The parameters; those of three or more dimensions are the convolutions.
        lr: Learning rate, above 0.
        momentum: Share of the momentum that each step keeps, in [0, 1).
        betas: AdamW's shares of the first and second moments, each in [0, 1).
        eps: AdamW's term against division by zero.
        weight_decay: Share of each weight that a step at `lr=1` would take away.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> layer = torch.nn.Conv2d(3, 8, 4)
        >>> optimizer = Muon(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(1, 3, 4, 4)).sum().backward()
        >>> optimizer.step()

    Reference:
        K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the
        scale: J. Liu et al., "Muon is Scalable for LLM Training", 2025,
        https://arxiv.org/abs/2502.16982
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = DEFAULT_LR,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        lr = as_number("lr", lr)
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"`lr` (={lr}) must be finite and above 0")
        shares = {"momentum": momentum, "betas[0]": betas[0], "betas[1]": betas[1]}
        for name, share in shares.items():
            if not 0 <= as_number(name, share) < 1:
                raise ValueError(f"`{name}` (={share}) must be in [0, 1)")
        everything = list(parameters)
        convolutions = [p for p in everything if p.ndim >= 3]
        rest = [p for p in everything if p.ndim < 3]
        groups: list[dict[str, Any]] = [{"params": convolutions, "orthogonal": True}]
        for share in sorted(set(map(_share, rest))):
            chosen = [p for p in rest if _share(p) == share]
            # "fused" has a second reader: torch's `load_state_dict` puts the states of such groups
            # on the parameters' device.
            groups.append({"params": chosen, "orthogonal": False, "share": share, "fused": True})
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # as in torch's own optimizers
        """Takes one step from the parameters' gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            pairs = [(p, p.grad) for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                self._step_orthogonal(pairs, group)
            else:
                self._step_adamw(pairs, group)
        return loss

    def _step_orthogonal(self, pairs: list[tuple[Tensor, Tensor]], group: dict[str, Any]) -> None:
        # Matrices of one shape, such as those of a layer and its mirror, go through as one batch.
        batches: dict[object, list[tuple[Tensor, Tensor]]] = {}
        for p, grad in pairs:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(grad, 1 - group["momentum"])
            ahead = torch.lerp(grad, state["momentum"], group["momentum"]).flatten(1)  # Nesterov
            batches.setdefault((ahead.shape, ahead.dtype, ahead.device), []).append((p, ahead))
        for batch in batches.values():
            updates = orthogonalize(torch.stack([ahead for _, ahead in batch]))
            # An orthogonal m x n matrix has entries of RMS 1 / sqrt(max(m, n)), an AdamW update
            # has entries of about 0.2. Twice that trains convolutions faster.
            scale = 0.4 * math.sqrt(max(updates.shape[1:]))
            for (p, _), update in zip(batch, updates, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view(p.shape), alpha=-group["lr"] * scale)

    def _step_adamw(self, pairs: list[tuple[Tensor, Tensor]], group: dict[str, Any]) -> None:
        parameters = [p for p, _ in pairs]
        for p in parameters:
            if not self.state[p]:
                self.state[p] = {
                    "step": torch.zeros((), dtype=torch.float32, device=p.device),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        states = [self.state[p] for p in parameters]
        adamw(
            parameters,
            [grad for _, grad in pairs],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=all(p.device.type in ("cpu", "cuda", "mps") for p in parameters),
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"] * group["share"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def _share(parameter: Tensor) -> float:
    """Returns what the learning rate of a parameter outside the convolutions is multiplied by."""
    if parameter.ndim < 2:
        return 0.25
    # Entries of +-1 can add up to a spectral norm of sqrt(m n), an orthogonal matrix times
    # sqrt(max(m, n)) has that one.
    return min(1.0, 2.2 / math.sqrt(min(parameter.shape)))


def orthogonalize(matrix: Tensor, *, steps: int = 5) -> Tensor:
    """Approximates the orthogonal matrix nearest to a given one, by a Newton-Schulz iteration.

    With the singular values `s` of the matrix divided by its Frobenius norm, each step maps
    `s` to `3.4445 s - 4.775 s^3 + 2.0315 s^5`, which drives all but the smallest into about
    [0.7, 1.2]. Only the small Gram matrix is iterated on; the large one is read twice.

    Args:
        matrix: One (m, n), or several, (*, m, n), in float32 or wider.
        steps: Number of iterations.

    Returns:
        The same shape; zero for a zero matrix.

    Example:
        >>> x = orthogonalize(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 2.0]]))
        >>> torch.linalg.svdvals(x).round(decimals=1)
        tensor([1.1000, 0.7000])

    Reference:
        K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-20)
    gram = x @ x.mT  # (*, m, m)
    eye = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    product = eye
    for number in range(steps):
        step = 3.4445 * eye - 4.7750 * gram + 2.0315 * (gram @ gram)
        product = step @ product if number else step
        if number < steps - 1:
            gram = step @ gram @ step
    x = product @ x
    result: Tensor = x.mT if tall else x
    return result


def default_optimizer(parameters: Iterable[Tensor], lr: float = DEFAULT_LR) -> Optimizer:
    """Builds the optimizer that `fit` uses when it is given none."""
    return Muon(parameters, lr=lr)


def as_optimizer(
    optimizer: Optimizer | Callable[[Any], Optimizer], parameters: Sequence[Tensor]
) -> Optimizer:
    """Returns a user's optimizer, made if need be, once it is known to train what is trained.

    One that holds none of the parameters of the model and its loss is refused, and one that holds
    others too: those would be trained, and neither saved nor restored.
    """
    if not isinstance(optimizer, Optimizer):
        if not callable(optimizer):
            raise TypeError(
                f"`optimizer` (={optimizer!r}) must be an optimizer, or a callable that makes one "
                "from the parameters, such as torch.optim.AdamW"
            )
        made = optimizer(iter(parameters))
        if not isinstance(made, Optimizer):
            raise TypeError(f"`optimizer` must make an optimizer, not {type(made).__name__}")
        optimizer = made
    ours = set(map(id, parameters))
    held = [p for group in optimizer.param_groups for p in group["params"]]
    strange = [p for p in held if id(p) not in ours]
    if len(strange) == len(held):
        raise ValueError("`optimizer` holds none of the model's parameters; make it from them")
    if strange:
        raise ValueError(
            f"`optimizer` holds {len(strange)} parameters that are neither the model's nor the "
            f"loss's, the first of shape {tuple(strange[0].shape)}: no checkpoint would have "
            "them. Make them parameters of a module that is the loss's `reconstruction`, or of "
            "a class of your own derived from BetaLoss"
        )
    return optimizer


def lr_factor(step: int, steps: int) -> float:
    """Returns what the learning rate is multiplied by: a short warm-up, then half a cosine to 0.

    Args:
        step: Steps taken, from 0.
        steps: Steps of the whole run, at least 1.

    Example:
        >>> [round(lr_factor(step, 1000), 2) for step in (0, 29, 500, 999)]
        [0.03, 1.0, 0.52, 0.0]
    """
    warmup = max(1, min(100, round(0.03 * steps)))
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup + 1) / (steps - warmup + 1))) / 2
