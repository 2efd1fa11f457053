"""What must match for a run to go on, and the words for what differs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from easyvae.core.version import __version__
from easyvae.model import VAE
from easyvae.training.console import Reporter
from easyvae.training.description import OF_EVERY_MODULE, Description, digest
from easyvae.training.open_data import Part
from easyvae.training.trainer import Trainer

_LISTED = 3
_OF_A_PLAIN_MODEL = frozenset({"latent", "input_shape", "output", "plan", "_arguments"})
"""What a model's config tells already."""


def run_settings(
    trainer: Trainer, training: Part, held_out: Part | None, start: str, say: Reporter
) -> dict[str, Any]:
    """Lists what a run is made of, and what must not differ when it goes on.

    Args:
        trainer: The model, its loss, and how they are trained.
        training: What they are trained on.
        held_out: What they are validated on.
        start: Where the training begins.
        say: Told what cannot be looked into.
    """
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


def shape_of(model: nn.Module) -> str:
    """Returns the layers of a model, one in a line, as torch shows any module."""
    return nn.Module.__repr__(model)


def describe_layers(model: nn.Module, description: Description) -> dict[str, Any]:
    """Describes a model of which its config does not tell all: a subclass, or with other layers.

    Args:
        model: The model.
        description: Notes what cannot be looked into.
    """
    parts = {
        name: description.of(f"layers.{name}", part)
        for name, part in {**vars(model), **dict(model.named_children())}.items()
        if name not in OF_EVERY_MODULE | _OF_A_PLAIN_MODEL
    }
    kind = description.of("layers", type(model))
    return {"class": kind, "layers": digest(shape_of(model)), **parts}


def describe_optimizer(
    optimizer: Optimizer, names: Mapping[int, str], description: Description
) -> dict[str, Any]:
    """Describes an optimizer, and each group by its parameters and what it has of its own.

    Args:
        optimizer: The optimizer.
        names: The parameters' names, by `id`.
        description: Notes what cannot be looked into.
    """
    defaults = description.of("optimizer", optimizer.defaults)
    groups = []
    for number, group in enumerate(optimizer.param_groups):
        options = {key: value for key, value in group.items() if key != "params"}
        # Where a schedule of the user's own changes the rate, torch notes where it began.
        options["lr"] = options.pop("initial_lr", options.get("lr"))
        own = description.of(f"optimizer_groups[{number}]", options)
        differing = {k: v for k, v in own.items() if k not in defaults or v != defaults[k]}
        groups.append({"parameters": [names[id(p)] for p in group["params"]], **differing})
    return {
        "optimizer": type(optimizer).__name__,
        "optimizer_options": defaults,
        "optimizer_groups": groups,
    }


class LossWatch:
    """Notices what a loss changes of itself in training that no checkpoint holds.

    Args:
        objective: The model and the loss, of which a checkpoint holds parameters and buffers.
        loss: The loss.
    """

    def __init__(self, objective: nn.Module, loss: nn.Module) -> None:
        self._objective, self._loss = objective, loss
        self._before = self._described()

    def moved(self) -> list[str]:
        """Returns what has changed since then, each as a few words."""
        return list(_differences("loss", self._before, self._described()))

    def _described(self) -> Any:
        found = Description(self._objective, self._loss).of("loss", self._loss)
        found.pop("beta", None)  # of a schedule, which `fit` sets at every step
        return json.loads(json.dumps(found))


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns what differs between two runs' settings, each as a few words.

    Args:
        before: The settings of the run that is there, as they have been read.
        now: Those of the run that would go on.

    Example:
        >>> compare({"must_match": {"seed": 0}}, {"must_match": {"seed": 5}})
        ['seed (0, now 5)']
    """
    now = json.loads(json.dumps(now))  # as they would have been read: tuples are lists there
    old, new = before["must_match"], now["must_match"]
    differing = [name for name in new if old.get(name) != new[name]]
    share = before.get("validation_share"), now.get("validation_share")
    # With another split the two parts differ in any case, which says nothing of the pictures.
    if share[0] != share[1] or "seed" in differing:
        differing = [name for name in differing if name not in ("data", "validation")]
    found = [text for name in differing for text in _differences(name, old.get(name), new[name])]
    if share[0] != share[1]:
        found += _differences("validation", *share)
    return found


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    if name == "layers" and before and now and before["layers"] != now["layers"]:
        yield "layers (others than before)"
    elif isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            if before.get(key) != now.get(key):
                yield from _differences(f"{name}.{key}", before.get(key), now.get(key))
    elif isinstance(before, list) and isinstance(now, list) and _are_names([*before, *now]):
        gone, new = ([x for x in a if x not in b] for a, b in ((before, now), (now, before)))
        parts = [f"{word} {some(part)}" for word, part in (("without", gone), ("with", new))]
        words = " and ".join(part for part in parts if not part.endswith(" "))
        yield f"{name} (now {words or 'in another order'})"
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (a, b) in enumerate(zip(before, now, strict=True)):
            if a != b:
                yield from _differences(f"{name}[{number}]", a, b)
    elif name in ("data", "validation") and (isinstance(before, str) or isinstance(now, str)):
        yield f"{name} (other pictures than before)"
    elif name.endswith(".code"):
        yield f"{name.removesuffix('.code')} (another function)"
    else:
        yield f"{name} ({_short(before)}, now {_short(now)})"


def _are_names(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, str) for value in values)


def some(names: list[str]) -> str:
    """Lists the first of some names, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
