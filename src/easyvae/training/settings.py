"""The settings of a run, with every key of `run.json`; and the words for what differs."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import nn
from torch.optim import Optimizer

from easyvae.core.files import ModelFileError
from easyvae.core.version import __version__
from easyvae.model import VAE
from easyvae.training.console import Console
from easyvae.training.description import OF_EVERY_MODULE, Description, digest
from easyvae.training.open_data import Part
from easyvae.training.trainer import Trainer

_LISTED = 3
_OF_A_PLAIN_MODEL = frozenset({"latent", "input_shape", "output", "plan", "_arguments"})
"""What a model's config tells already."""


def run_settings(
    trainer: Trainer, training: Part, held_out: Part | None, start: str, console: Console
) -> dict[str, Any]:
    """Lists what a run is made of, and what must not differ when it goes on.

    The user is told what cannot be looked into.
    """
    model, recipe = trainer.model, trainer.recipe
    description = Description(trainer.objective, trainer.loss)
    loss = description.of("loss", trainer.loss)
    loss.pop("reduction", None)  # of what a call of the loss returns, which training does not ask
    names = {id(p): name for name, p in trainer.objective.named_parameters()}
    optimizer = _describe_optimizer(trainer.optimizer, names, description)
    with torch.device("meta"):
        plain = type(model) is VAE and _layers_of(model) == _layers_of(VAE(**model.config))
    layers = None if plain else _describe_layers(model, description)
    if not plain:
        console.line(
            "the model has layers that its config does not tell of: `VAE.load` will not read its "
            "file; build the model in your code, and pass it to the same `fit`, or give it "
            "`safetensors.torch.load_file(path)` by `load_state_dict`"
        )
    if description.unknown:
        console.line(
            f"only the kind of {some(description.unknown)} is known: when this run is "
            "resumed, another of that kind will not be noticed"
        )
    return {
        "easyvae": __version__,
        "torch": torch.__version__,
        "device": trainer.processes.device.type,
        "steps": recipe.steps,
        "pictures": training.origin,
        "images": training.images,
        "validation_images": held_out and held_out.images,
        "validation_share": held_out and held_out.share,
        "must_match": {
            "model": model.config,
            "layers": layers,
            "frozen": [
                name for name, p in trainer.objective.named_parameters() if not p.requires_grad
            ],
            "start": start,
            "warp": recipe.warp and asdict(recipe.warp),
            "loss": loss,
            **optimizer,
            "batch_size": training.batch_size,
            "precision": str(recipe.dtype).removeprefix("torch."),
            "seed": recipe.seed,
            "processes": trainer.processes.world,
            "data": training.fingerprint(),
            "validation": held_out and held_out.fingerprint(),
        },
    }


class RunRecord(NamedTuple):
    """What the settings of a run tell of it; each field is of the type and range it says.

    A run folder may come from anyone: what it names is a claim, and no leave to open it.
    """

    model: dict[str, Any] | None  # its config
    pictures: str | None  # the path or set that it names as what it was trained on
    data: str  # a fingerprint of the images that it was trained on
    validation: str | None  # one of those that it was validated on
    validation_share: float | None  # the fraction of the data that they were, if set aside
    seed: int  # of the split

    @classmethod
    def of(cls, path: Path, settings: Mapping[str, Any]) -> Self:
        """Checks each field of what was read from a `run.json`."""
        inside = must_match(path, settings)
        values: dict[str, Any] = {
            **{name: settings.get(name) for name in ("pictures", "validation_share")},
            **{name: inside.get(name) for name in ("model", "data", "validation", "seed")},
        }
        for name, (is_sound, rule) in _RULES.items():
            if not is_sound(values[name]):
                raise _fault(path, name, values[name], rule)
        return cls(**values)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "pictures": (lambda v: v is None or _is_path(v), "a path, or null"),
    "validation_share": (
        lambda v: v is None or (isinstance(v, float) and 0 < v < 1),
        "between 0 and 1, or null",
    ),
    "model": (lambda v: isinstance(v, dict | None), "an object, or null"),
    "data": (lambda v: isinstance(v, str), "a fingerprint"),
    "validation": (lambda v: isinstance(v, str | None), "a fingerprint, or null"),
    "seed": (lambda v: type(v) is int and 0 <= v < 2**64, "an integer from 0 to 2**64 - 1"),
}


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 4096 and "\0" not in value


def must_match(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a `run.json` that must be the same for the run to go on."""
    part = settings.get("must_match")
    if not isinstance(part, dict):
        raise _fault(path, "must_match", part, "an object")
    return part


def _fault(path: Path, name: str, value: Any, rule: str) -> ModelFileError:
    plain = isinstance(value, bool | int | float | str | None)
    text = repr(value)[:80] if plain else f"a {type(value).__name__}"
    return ModelFileError(path, f"is not a run's settings: `{name}` (={text}) must be {rule}")


_layers_of = nn.Module.__repr__  # one in a line, as torch shows any module


def _describe_layers(model: nn.Module, description: Description) -> dict[str, Any]:
    """Describes a subclass, or a model with other layers: its config does not tell all."""
    parts = {
        name: description.of(f"layers.{name}", part)
        for name, part in {**vars(model), **dict(model.named_children())}.items()
        if name not in OF_EVERY_MODULE | _OF_A_PLAIN_MODEL
    }
    kind = description.of("layers", type(model))
    return {"class": kind, "layers": digest(_layers_of(model)), **parts}


def _describe_optimizer(
    optimizer: Optimizer, names: Mapping[int, str], description: Description
) -> dict[str, Any]:
    """Describes an optimizer, and of each group its parameters' names and its own options."""
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


def loss_changes(trainer: Trainer) -> Callable[[], list[str]]:
    """Returns what tells later how the loss has changed, in what no checkpoint holds of it."""

    def describe() -> Any:
        loss = Description(trainer.objective, trainer.loss).of("loss", trainer.loss)
        loss.pop("beta", None)  # of a schedule, which `fit` sets at every step
        return json.loads(json.dumps(loss))

    before = describe()
    return lambda: list(_differences("loss", before, describe()))


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns what differs between a run's settings, as they were read, and those to go on with.

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
    words = [text for name in differing for text in _differences(name, old.get(name), new[name])]
    if share[0] != share[1]:
        words += _differences("validation", *share)
    return words


def compare_steps(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Returns words for another number of steps, with which a run goes on all the same."""
    was, steps = before.get("steps"), now["steps"]
    return None if was == steps else f"the schedules now span {steps} steps, not {was}"


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    if name == "layers" and before and now and before["layers"] != now["layers"]:
        yield "layers (others than before)"
    elif isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            if before.get(key) != now.get(key):
                yield from _differences(f"{name}.{key}", before.get(key), now.get(key))
    elif _are_names(before) and _are_names(now) and before + now:
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
        texts = (repr(before), repr(now))
        was, becomes = (f"{text[:100]}..." if len(text) > 100 else text for text in texts)
        yield f"{name} ({was}, now {becomes})"


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def some(names: list[str]) -> str:
    """Lists the first of some names, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
