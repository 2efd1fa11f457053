"""One battery over many models: shapes, gradients, determinism, files, and wrong input."""

import copy
import json
import math
import os
import pickle
import stat
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from easyvae import VAE, BetaLoss, Posterior, VAEOutput, interpolate
from easyvae.core.files import ModelFileError
from easyvae.core.tensor_file import TensorFile, read_tensors, write_tensors
from easyvae.losses import kl_divergence
from easyvae.model.file import FORMAT_VERSION
from easyvae.model.network import ACTIVATIONS

MODELS: dict[str, dict[str, Any]] = {
    "digits": {"channels": [8, 16], "latent": 4, "image_size": 28, "in_channels": 1},
    "default": {"channels": [8, 16, 32, 64], "latent": 16},
    "one layer": {"channels": (8,), "latent": 1, "image_size": 8},
    "odd": {"channels": [8, 16, 32], "latent": 4, "image_size": 65},
    "oblong": {"channels": [8, 16, 16], "latent": 6, "image_size": (45, 80)},
    "sound": {"channels": [4, 8, 8], "latent": 5, "image_size": (4096,), "in_channels": 2},
    "volume": {"channels": [4, 8], "latent": 3, "image_size": (17, 20, 23), "in_channels": 1},
    "per layer": {
        "channels": [8, 8, 16],
        "latent": 4,
        "image_size": (36, 30),
        "kernel_size": [3, 5, 4],
        "stride": [1, 3, 2],
        "residual_blocks": [1, 0, 2],
    },
    "down to a pixel": {"channels": [8, 8, 8], "latent": 4, "image_size": 8},
    "batch": {"channels": [8, 16], "latent": 4, "image_size": 16, "norm": "batch"},
    "batch 1-d": {"channels": [8, 16], "latent": 4, "image_size": [40], "norm": "batch"},
    "group": {"channels": [16, 24], "latent": 4, "image_size": 16, "norm": "group"},
    "residual": {"channels": [8, 16], "latent": 4, "image_size": 16, "residual_blocks": 2},
    "residual batch": {
        "channels": [8, 16],
        "latent": 4,
        "image_size": 16,
        "residual_blocks": 1,
        "norm": "batch",
    },
    "hidden": {"channels": [8, 16], "latent": 4, "image_size": 16, "hidden": 24},
    "hidden 1-d": {"channels": [4, 8], "latent": 4, "image_size": [41], "hidden": [64, 48, 32]},
    "hidden 3-d": {"channels": [4, 8], "latent": 3, "image_size": (9, 8, 10), "hidden": (20, 30)},
    "hidden batch": {
        "channels": [8, 16],
        "latent": 4,
        "image_size": 16,
        "hidden": 24,
        "residual_blocks": 1,
        "norm": "batch",
    },
    "identity": {"channels": [8, 16], "latent": 4, "image_size": 16, "output": "identity"},
    **{
        name: {"channels": [8, 16], "latent": 4, "image_size": 16, "activation": name}
        for name in sorted(ACTIVATIONS)
    },
}
EVERY = pytest.mark.parametrize("arguments", MODELS.values(), ids=MODELS.keys())


def tiny(**changes: Any) -> VAE:
    return VAE(**{"channels": [8, 16], "latent": 4, "image_size": 16, **changes})


def images(model: VAE, n: int = 2) -> Tensor:
    return torch.rand(n, *model.input_shape)


def flags(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def buffers(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# What comes out


@EVERY
@pytest.mark.parametrize("n", [1, 3])
def test_shapes(arguments: dict[str, Any], n: int) -> None:
    """Every call gives the shape that the contract states, whatever the size and dimensions."""
    model = VAE(**arguments).eval()
    size = arguments.get("image_size", 64)
    spatial = (size, size) if isinstance(size, int) else tuple(size)
    assert model.input_shape == (arguments.get("in_channels", 3), *spatial)
    assert model.latent == arguments["latent"]
    x = images(model, n)
    posterior = model.encode(x)
    assert isinstance(posterior, Posterior)
    assert posterior.mean.shape == posterior.log_var.shape == (n, model.latent)
    assert model.decode(posterior.mean).shape == x.shape
    output = model(x)
    assert isinstance(output, VAEOutput)
    assert output._fields == ("reconstruction", "mean", "log_var", "z", "logits")
    assert output.reconstruction.shape == output.logits.shape == x.shape
    assert output.mean.shape == output.log_var.shape == output.z.shape == (n, model.latent)
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(n).shape == x.shape


@EVERY
def test_the_parts_make_the_whole(arguments: dict[str, Any]) -> None:
    """A forward pass is encode, sample and decode; reconstruct is decode of the mean."""
    model = VAE(**arguments).eval()
    x = images(model)
    output = model(x)
    mean, log_var = model.encode(x)
    assert torch.equal(output.mean, mean)
    assert torch.equal(output.log_var, log_var)
    assert torch.equal(output.reconstruction, model.decode(output.z))
    assert torch.equal(model.reconstruct(x), model.decode(mean))


@EVERY
def test_every_parameter_learns(arguments: dict[str, Any]) -> None:
    """Each named parameter has a finite gradient that is not zero everywhere."""
    model = VAE(**arguments)
    output = model(images(model, 4))
    (output.reconstruction.square().sum() + output.log_var.square().sum()).backward()
    # What a bias adds before a batch norm, the norm takes away again.
    idle = arguments.get("norm") == "batch"
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or (idle and name.endswith("bias")), name


@EVERY
def test_eval_mode_is_deterministic(arguments: dict[str, Any]) -> None:
    """Nothing but the sample is random."""
    model = VAE(**arguments).eval()
    x = images(model)
    assert torch.equal(model.encode(x).mean, model.encode(x).mean)
    assert torch.equal(model.reconstruct(x), model.reconstruct(x))
    draw = [model(x, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert all(map(torch.equal, *draw))


@EVERY
def test_images_of_a_batch_do_not_meet(arguments: dict[str, Any]) -> None:
    """In eval mode an image comes out the same alone and among others, up to rounding."""
    model = VAE(**arguments).eval()
    x = images(model, 3)
    together = model.reconstruct(x)
    for i in range(3):
        torch.testing.assert_close(model.reconstruct(x[i]), together[i])


@EVERY
def test_images_of_a_training_batch_do_not_meet(arguments: dict[str, Any]) -> None:
    """Without a batch norm the same holds in training."""
    if arguments.get("norm") == "batch":
        pytest.skip("a batch norm is what makes images meet")
    model = VAE(**arguments).train()
    x = images(model, 3)
    torch.testing.assert_close(model.encode(x[1:2]).mean, model.encode(x).mean[1:2])


@EVERY
def test_single_images(arguments: dict[str, Any]) -> None:
    """A single image is a batch of one without its first dimension."""
    model = VAE(**arguments)
    x = images(model, 1)
    assert torch.equal(model.reconstruct(x[0]), model.reconstruct(x)[0])
    assert torch.equal(
        interpolate(model, x[0], 1 - x[0], 3), interpolate(model, x, 1 - x, 3)[:, 0]
    )


@EVERY
def test_bytes_are_255ths(arguments: dict[str, Any]) -> None:
    """Images of uint8 are the same as these divided by 255."""
    model = VAE(**arguments).eval()
    x = torch.randint(256, (2, *model.input_shape), dtype=torch.uint8)
    assert torch.equal(model.encode(x).mean, model.encode(x / 255).mean)
    assert torch.equal(model.reconstruct(x), model.reconstruct(x / 255))


@EVERY
@pytest.mark.parametrize("training", [True, False])
def test_calls_leave_no_trace(arguments: dict[str, Any], training: bool) -> None:
    """Reconstruct, sample and interpolate leave flags, statistics and the caller's mode alone."""
    model = VAE(**arguments).train(training)
    model.decoder.train(not training)  # a mixture of both, which has to come back as it is
    x = images(model)
    before, was = buffers(model), flags(model)
    results = [model.reconstruct(x), model.sample(2), interpolate(model, x, x.flip(0), 3)]
    assert flags(model) == was
    assert same(buffers(model), before)
    assert not any(result.requires_grad for result in results)


def test_calls_leave_no_trace_when_they_fail() -> None:
    """An error in the middle of a call leaves the training flags as they were."""
    model = tiny(norm="batch").train()
    with pytest.raises(ValueError, match="`x`"):
        model.reconstruct(torch.rand(2, 3, 9, 9))
    assert all(flags(model))


@pytest.mark.parametrize("training", [True, False])
def test_z_is_sampled_in_either_mode(training: bool) -> None:
    """An ELBO needs the sample: z follows the posterior in train and in eval mode."""
    model = tiny().train(training)
    x = images(model, 1).expand(4000, -1, -1, -1)
    output = model(x)
    eps = (output.z - output.mean) / torch.exp(output.log_var / 2)
    assert abs(float(eps.detach().mean())) < 0.05
    assert float(eps.detach().std()) == pytest.approx(1, abs=0.05)


@EVERY
def test_outputs_have_the_range_of_the_data(arguments: dict[str, Any]) -> None:
    """With "sigmoid" the reconstruction is that of the logits, with "identity" the logits."""
    model = VAE(**arguments)
    output = model(images(model))
    if arguments.get("output") == "identity":
        assert output.reconstruction is output.logits
    else:
        assert torch.equal(output.reconstruction, output.logits.sigmoid())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_other_precisions(dtype: torch.dtype, norm: str | None) -> None:
    """A model in another float dtype takes any images and gives its own dtype."""
    model = tiny(norm=norm).to(dtype)
    x = images(model)
    output = model(x)
    assert output.reconstruction.dtype == output.logits.dtype == dtype
    assert output.mean.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    output.reconstruction.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.decoder.parameters())
    assert model.reconstruct(x).dtype == dtype
    assert model.reconstruct((x * 255).byte()).dtype == dtype
    assert model.sample(2).dtype == dtype
    assert interpolate(model, x[0], x[1], 4).dtype == dtype


def test_autocast_keeps_the_posterior_wide() -> None:
    """Under autocast mean, log-variance and sample stay float32: half is too coarse for them."""
    model = tiny(hidden=8)
    dtypes = []
    for layers in (model.encoder.hidden, model.decoder.hidden, [model.decoder.expand]):
        for layer in layers:
            layer.register_forward_hook(lambda m, i, out: dtypes.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(images(model))
    assert output.mean.dtype == output.log_var.dtype == output.z.dtype == torch.float32
    assert dtypes == [torch.float32] * 5


def test_a_model_of_an_eager_double_default() -> None:
    """Under another default dtype a model is of that dtype and works."""
    torch.set_default_dtype(torch.float64)
    try:
        model = tiny()
        assert model(images(model)).reconstruction.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# Samples


def test_samples_are_reproducible() -> None:
    """One seed, one set of images; and the generator is used, not the global state."""
    model = tiny()
    state = torch.get_rng_state()
    a, b = (model.sample(3, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(a, model.sample(3))


def test_temperature_scales_the_latents() -> None:
    """At 0 all samples are the decoded origin; at t they decode t times the same latents."""
    model = tiny().eval()
    cold = model.sample(2, temperature=0)
    assert torch.equal(cold, model.decode(torch.zeros(2, 4)))
    g = torch.Generator().manual_seed(3)
    z = torch.randn(2, 4, generator=torch.Generator().manual_seed(3))
    assert torch.equal(model.sample(2, temperature=0.5, generator=g), model.decode(0.5 * z))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n": 0}, "n"),
        ({"n": -1}, "n"),
        ({"n": 2.5}, "n"),
        ({"n": True}, "n"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
    ],
)
def test_wrong_sample_arguments(arguments: dict[str, Any], name: str) -> None:
    """The message names the argument."""
    with pytest.raises((ValueError, TypeError), match=f"`{name}`"):
        tiny().sample(**arguments)


# At the start


@EVERY
def test_the_first_kl_is_no_wall(arguments: dict[str, Any]) -> None:
    """A fresh model's KL is moderate: below 2 nats per latent dimension."""
    model = VAE(**arguments)
    x = images(model, 16)
    for batch in (x, (x > 0.5).float(), torch.randn_like(x)):
        mean, log_var = model.encode(batch)
        assert float(kl_divergence(mean, log_var).detach().mean()) < 2


def test_the_first_kl_of_a_white_image() -> None:
    """Where all values agree, chance has more of a say; over many models it is moderate too."""
    first = [
        kl_divergence(*model.encode(torch.ones(1, 3, 16, 16)))
        for model in (tiny() for _ in range(30))
    ]
    assert 0.1 < float(torch.stack(first).detach().mean()) < 2


@EVERY
def test_activations_keep_their_scale(arguments: dict[str, Any]) -> None:
    """From standard normal input, each stage's output has an RMS within a factor 3 of one."""
    model = VAE(**arguments)
    scale: dict[str, float] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: object, out: Tensor) -> None:
            scale[name] = float(out.detach().square().mean().sqrt())

        return hook

    for half, stages in (("encoder", model.encoder.stages), ("decoder", model.decoder.stages)):
        for i, stage in enumerate(stages):
            stage.register_forward_hook(note(f"{half} {i}"))
    for half, layers in (("encoder", model.encoder.hidden), ("decoder", model.decoder.hidden)):
        for i, layer in enumerate(layers):
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(note(f"{half} hidden {i}"))
    model.encoder.mean.register_forward_hook(note("mean"))
    model.encode(torch.randn(16, *model.input_shape))
    model.decode(torch.randn(64, model.latent))
    hidden = model.config["hidden"]
    dense = len(hidden) if isinstance(hidden, list) else 1
    assert len(scale) == 2 * (len(arguments["channels"]) + dense) + 1
    # On grids of a few pixels most of what a window sees is padding.
    factor = 12 if model.decoder.grid[1:] == (1, 1) else 3
    for name, value in scale.items():
        assert 1 / factor < value < factor, (name, value)


# Config, files and looks


@EVERY
def test_config_rebuilds_the_architecture(arguments: dict[str, Any]) -> None:
    """`VAE(**model.config)` has the same tensors, and the config survives JSON."""
    model = VAE(**arguments)
    assert json.loads(json.dumps(model.config)) == model.config
    twin = VAE(**model.config)
    assert twin.config == model.config
    assert {k: (v.shape, v.dtype) for k, v in twin.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in model.state_dict().items()
    }
    twin.load_state_dict(model.state_dict())
    x = images(model)
    assert torch.equal(twin.reconstruct(x), model.reconstruct(x))


def test_config_is_a_copy() -> None:
    """What a caller does to a config does not reach the model."""
    model = tiny()
    model.config["channels"].append(5)
    model.config["latent"] = 9
    assert model.config["channels"] == [8, 16]
    assert model.config["latent"] == 4


def test_config_has_every_argument() -> None:
    """The config holds exactly the constructor's arguments, defaults included."""
    assert VAE([np.int64(8)], np.int32(4)).config == {
        "channels": [8],
        "latent": 4,
        "image_size": 64,
        "in_channels": 3,
        "kernel_size": 4,
        "stride": 2,
        "activation": "silu",
        "norm": None,
        "residual_blocks": 0,
        "output": "sigmoid",
        "hidden": [],
    }


def test_the_callers_lists_stay_as_they_are() -> None:
    """No list that the caller gave is changed, or kept."""
    lists = {
        "channels": [8, 16],
        "image_size": [16, 16],
        "kernel_size": [4, 4],
        "stride": [2, 2],
        "residual_blocks": [0, 1],
        "hidden": [8, 4],
    }
    given = copy.deepcopy(lists)
    model = VAE(latent=4, **given)  # type: ignore[arg-type]  # mypy sees one type of value
    assert given == lists
    given["channels"].append(99)
    assert model.config["channels"] == [8, 16]


@EVERY
def test_a_saved_model_is_the_same(arguments: dict[str, Any], tmp_path: Path) -> None:
    """Saved and loaded, a model has the same config, tensors and reconstructions, bit for bit."""
    model = VAE(**arguments)
    if arguments.get("norm") == "batch":
        model(images(model, 8))  # statistics other than the first ones
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = VAE.load(path)
    assert loaded.config == model.config
    assert same(dict(loaded.state_dict()), dict(model.state_dict()))
    assert not any(flags(loaded))
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    x = images(model)
    assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))
    loaded.train()(x).reconstruction.sum().backward()
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_saved_model_keeps_its_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    """The dtype of the weights is part of the file."""
    model = tiny().to(dtype)
    model.save(tmp_path / "m.safetensors")
    loaded = VAE.load(str(tmp_path / "m.safetensors"))
    x = images(model)
    assert loaded.reconstruct(x).dtype == dtype
    assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))


def test_a_run_folder_stands_for_its_model(tmp_path: Path) -> None:
    """Loading a folder loads the `model.safetensors` in it."""
    model = tiny()
    model.save(tmp_path / "model.safetensors")
    assert same(dict(VAE.load(tmp_path).state_dict()), dict(model.state_dict()))


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    """No weight is drawn for a model that is read."""
    tiny().save(tmp_path / "m.safetensors")
    state = torch.get_rng_state()
    VAE.load(tmp_path / "m.safetensors")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_file_from_before_an_argument_has_its_default(tmp_path: Path) -> None:
    """A config without `hidden`, as older versions wrote it, is that of a model without it."""
    model, path = tiny(), tmp_path / "m.safetensors"
    config = model.config
    del config["hidden"]
    write_tensors(
        path, model.state_dict(), {"kind": "model", "version": FORMAT_VERSION, "config": config}
    )
    loaded = VAE.load(path)
    assert loaded.config == model.config
    assert same(dict(loaded.state_dict()), dict(model.state_dict()))


@pytest.mark.skipif(os.name != "posix", reason="permissions are a matter of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_file_mode_follows_the_umask(mask: int, tmp_path: Path) -> None:
    """A model file has the permissions that any new file would have."""
    before = os.umask(mask)
    try:
        tiny().save(tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o666 & ~mask


NESTED: list[Any] = []
for _ in range(500):
    NESTED = [NESTED]


def broken(**changes: Any) -> dict[str, Any]:
    return {"kind": "model", "version": 1, "config": {**tiny().config, **changes}}


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"kind": "checkpoint"}, "not a model"),
        ({}, "not a model"),
        ({**broken(), "version": 2}, "upgrade easyvae"),
        ({**broken(), "version": 10**30}, "upgrade easyvae"),
        ({**broken(), "version": 0}, "format version 0, which there has never been"),
        ({**broken(), "version": True}, "never been"),
        ({**broken(), "version": 1.0}, "never been"),
        ({**broken(), "version": "1"}, "never been"),
        ({**broken(), "version": None}, "never been"),
        ({**broken(), "dtype": "int8"}, "`dtype`"),
        ({**broken(), "dtype": ["float32"]}, "config that no model fits"),
        ({"kind": "model", "version": 1, "config": {}}, "`channels`"),
        ({"kind": "model", "version": 1, "config": {"channels": [8, 16]}}, "'latent'"),
        (broken(channels=[8, 16.0]), r"`channels\[1\]`"),
        (broken(channels=[True, 16]), r"`channels\[0\]`"),
        (broken(channels=[math.nan, 16]), r"`channels\[0\]`"),
        (broken(channels={"a": 1}), "list of `channels`"),
        (broken(channels=NESTED), r"`channels\[0\]`"),
        (broken(latent=NESTED), "`latent`"),
        (broken(image_size=10**400), "config that no model fits"),
        (broken(kernel_size="4"), "`kernel_size`"),
        (broken(stride=[2, -2]), r"`stride\[1\]`"),
        (broken(in_channels=1e300), "`in_channels`"),
        (broken(activation=["silu"]), "`activation`"),
        (broken(activation={"silu": 1}), "`activation`"),
        (broken(activation=None), "`activation`"),
        (broken(activation="__import__('os').system('true')"), "`activation`"),
        (broken(norm=True), "`norm`"),
        (broken(output="os.path"), "`output`"),
        (broken(self=1), "argument 'self'"),
        (broken(__class__="VAE"), "argument '__class__'"),
        ({"kind": "model", "version": 1}, "config"),
        ({"kind": "model", "version": 1, "config": [1]}, "config"),
        (broken(channels=[10**9]), "tensor"),
        (broken(channels=[10**9, 10**9]), "config"),
        (broken(channels=[10**30]), "config"),
        (broken(channels=[1] * 1000, kernel_size=1, stride=1), "1000 layers"),
        (broken(residual_blocks=10**9), "layers"),
        (broken(residual_blocks=1), "6 layers"),
        (broken(residual_blocks=[0, 10**9]), "layers"),
        (broken(hidden=[1] * 1000), "1002 layers"),
        (broken(hidden="8" * 1000), "1002 layers"),
        (broken(hidden=10**9), "tensor"),
        (broken(hidden=[10**9, 10**9]), "config"),
        (broken(hidden=10**30), "config"),
        (broken(hidden=[8, -1]), "hidden"),
        (broken(hidden=None), "hidden"),
        (broken(hidden={"8": 8}), "hidden"),
        (broken(channels=None), "channels"),
        (broken(channels=[]), "channels"),
        (broken(channels=["8", 16]), "channels"),
        (broken(channels=[8, -16]), "channels"),
        (broken(latent=True), "latent"),
        (broken(latent=math.inf), "latent"),
        (broken(latent=math.nan), "latent"),
        (broken(latent=5), "does not fit its config"),
        (broken(image_size=[[[16]]]), "image_size"),
        (broken(activation="os.system"), "activation"),
        (broken(norm="builtins.eval"), "norm"),
        (broken(output=None), "output"),
        (broken(unknown=1), "argument 'unknown'"),
    ],
)
def test_files_that_no_model_fits_are_refused(
    metadata: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """A config of anything else, however large, is refused by path and field at no cost."""
    path = tmp_path / "m.safetensors"
    write_tensors(path, tiny().state_dict(), metadata)
    with pytest.raises(ModelFileError, match=says) as caught:
        VAE.load(path)
    assert caught.value.path == path
    assert str(path) in str(caught.value)


def hollow(path: Path, **config: Any) -> VAE:
    """Writes the file of a model with zeros for weights, whatever its images take."""
    with torch.device("meta"):
        model = VAE(**config)
    tensors = {name: torch.zeros(t.shape) for name, t in model.state_dict().items()}
    metadata = {"kind": "model", "version": 1, "dtype": "float32", "config": model.config}
    write_tensors(path, tensors, metadata)
    return model


LARGE = [
    ({"channels": [1] * 12, "image_size": 4096}, "50,331,648 values"),
    ({"channels": [1] * 18, "image_size": 262_144}, "206,158,430,208 values"),
    ({"channels": [1] * 15, "image_size": [2**24 + 1], "in_channels": 1}, "16,777,217 values"),
    ({"channels": [5000, *[1] * 9], "image_size": 1024, "kernel_size": 2}, "has a layer of"),
    ({"channels": [20_000, 1], "image_size": 64, "kernel_size": 1, "stride": 1}, "has a layer of"),
]


@pytest.mark.parametrize(("config", "says"), LARGE)
def test_a_small_file_cannot_ask_for_large_images(
    config: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """What each image would take, in memory and on disk, stays in proportion to the file."""
    path = tmp_path / "m.safetensors"
    hollow(path, latent=1, **config)
    assert path.stat().st_size < 10**6
    with pytest.raises(ModelFileError, match=f"{says}.* weights there may be .* at most"):
        VAE.load(path)


def test_no_file_is_written_that_would_not_be_read(tmp_path: Path) -> None:
    """A model of images too large for its weights says so when it is saved."""
    with pytest.raises(ValueError, match=r"the model has images of 50,331,648 values \(3 x 4096"):
        VAE([1] * 12, 1, image_size=4096).save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "config",
    [
        {"channels": [1] * 11, "image_size": 2048},
        {"channels": [1] * 8, "image_size": [256] * 3, "in_channels": 1},
        {"channels": [32, 64, 128, 256], "image_size": 512},
        {"channels": [4] * 5, "image_size": 4096, "latent": 20},  # of more weights
    ],
)
def test_images_as_large_as_anybody_trains_on_are_loaded(
    config: dict[str, Any], tmp_path: Path
) -> None:
    """Pictures of 2048 pixels, volumes of 256; and larger ones where the model is no toy."""
    model = hollow(tmp_path / "m.safetensors", **{"latent": 2, **config})
    assert VAE.load(tmp_path / "m.safetensors").input_shape == model.input_shape


def test_a_class_made_from_a_model_loads_as_itself(tmp_path: Path) -> None:
    """Also where its constructor only passes its arguments on."""

    class Mine(VAE):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)

    Mine([8], 4, image_size=8).save(tmp_path / "m.safetensors")
    assert type(Mine.load(tmp_path / "m.safetensors")) is Mine


def test_nothing_is_read_of_a_file_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version, config, names, shapes and dtypes are compared before a tensor is allocated."""
    path = tmp_path / "m.safetensors"

    def read(file: TensorFile) -> NoReturn:
        raise AssertionError(f"{file.path} was read")

    monkeypatch.setattr(TensorFile, "read", read)
    tensors = tiny().state_dict()
    double = {name: t.double() for name, t in tensors.items()}
    for metadata, content in (
        ({**broken(), "version": 2}, tensors),
        (broken(channels=[10**9]), tensors),
        (broken(latent=5), tensors),
        (broken(unknown=1), tensors),
        (broken(), {"a": torch.zeros(1)}),
        ({**broken(), "dtype": "float32"}, double),
    ):
        write_tensors(path, content, metadata)
        with pytest.raises(ModelFileError):
            VAE.load(path)
    tiny().save(path)
    with pytest.raises(AssertionError, match="was read"):
        VAE.load(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_have_to_be_asked_for(value: float, tmp_path: Path) -> None:
    """The error names tensors and counts; with the argument the file loads as it is."""
    path = tmp_path / "m.safetensors"
    model = tiny(norm="batch")
    with torch.no_grad():
        model.encoder.mean.bias[1:3] = value
        model.encoder.stages[0][1].running_var[0] = value  # a buffer decides as much
    model.save(path)
    with pytest.raises(ModelFileError, match="NaN or infinite") as caught:
        VAE.load(path)
    for part in ("encoder.mean.bias (2 of 4 values)", "running_var (1 of", "allow_nonfinite=True"):
        assert part in str(caught.value)
    loaded = VAE.load(path, allow_nonfinite=True)
    torch.testing.assert_close(loaded.encoder.mean.bias, model.encoder.mean.bias, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_weights_are_of_the_type_that_the_file_names(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    """A model of any float type loads as such; one tensor of another, or all of them, is refused.

    So is a model of two types, when it is saved: nobody could tell which was meant.
    """
    path = tmp_path / "m.safetensors"
    tiny().to(dtype).save(path)
    tensors, metadata = read_tensors(path)
    assert metadata["dtype"] == str(dtype).removeprefix("torch.")
    assert {p.dtype for p in VAE.load(path).parameters()} == {dtype}
    mixed = {**tensors, "encoder.mean.bias": tensors["encoder.mean.bias"].float()}
    floats = {name: t.float() for name, t in tensors.items()}
    older = {key: value for key, value in metadata.items() if key != "dtype"}
    write_tensors(path, tensors, older)
    assert {p.dtype for p in VAE.load(path).parameters()} == {dtype}
    for content, says in (
        (mixed, r"encoder\.mean\.bias is torch\.float32"),
        (floats, "instead of"),
    ):
        write_tensors(path, content, metadata)
        with pytest.raises(ModelFileError, match=says):
            VAE.load(path)
    write_tensors(path, mixed, older)
    with pytest.raises(ModelFileError, match="fit its config"):
        VAE.load(path)
    model = tiny()
    model.decoder.to(dtype)
    before = path.read_bytes()
    with pytest.raises(TypeError, match=r"float32.*model\.float\(\)"):
        model.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", ["missing", "extra", "renamed", "shape", "kind", "width"])
def test_tensors_that_do_not_fit_are_refused(change: str, tmp_path: Path) -> None:
    """A missing, extra, renamed or misshapen tensor is refused by name."""
    path = tmp_path / "m.safetensors"
    tiny().save(path)
    tensors, metadata = read_tensors(path)
    weight = tensors["encoder.mean.weight"]
    if change in ("missing", "renamed"):
        del tensors["encoder.mean.weight"]
    if change in ("extra", "renamed"):
        tensors["encoder.mean.weights"] = weight
    if change == "shape":
        tensors["encoder.mean.weight"] = weight[:2]
    if change == "kind":
        tensors["encoder.mean.weight"] = weight.long()
    if change == "width":
        tensors["encoder.mean.weight"] = weight.double()
    write_tensors(path, tensors, metadata)
    with pytest.raises(ModelFileError, match=r"fit its config: encoder\.mean\.weight"):
        VAE.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", nn.Hardswish),
        ("activation", lambda: nn.LeakyReLU(0.2)),
        ("norm", nn.InstanceNorm2d),
        ("norm", lambda channels: nn.GroupNorm(2, channels)),
    ],
)
def test_factories_build_but_do_not_save(name: str, value: Any, tmp_path: Path) -> None:
    """A factory works like a name, but no file can hold it, and the message says what to do."""
    model = tiny(**{name: value})
    x = images(model)
    assert model(x).reconstruction.shape == x.shape
    assert "parameters" in repr(model)
    with pytest.raises(TypeError, match=rf"`{name}`.*factory.*use a name"):
        _ = model.config
    with pytest.raises(TypeError, match=rf"`{name}`.*factory"):
        model.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_factory_is_the_same_as_its_name() -> None:
    """A class and its name build the same model from the same seed."""
    torch.manual_seed(1)
    a = tiny(activation="relu", norm="batch")
    torch.manual_seed(1)
    b = tiny(activation=nn.ReLU, norm=nn.BatchNorm2d)
    assert same(dict(a.state_dict()), dict(b.state_dict()))
    x = images(a)
    assert torch.equal(a.reconstruct(x), b.reconstruct(x))


@EVERY
def test_looks(arguments: dict[str, Any]) -> None:
    """The text and the table show each stage's output shape and the number of parameters."""
    model = VAE(**arguments)
    total = sum(parameter.numel() for parameter in model.parameters())
    x = images(model)
    shapes = []
    for stage in (*model.encoder.stages, *model.decoder.stages):
        stage.register_forward_hook(lambda m, i, out: shapes.append(tuple(out.shape[1:])))
    model(x)
    assert shapes[-1] == model.input_shape
    for text in (repr(model), model._repr_html_()):
        assert f"{total:,} parameters" in text
        for shape in shapes:
            assert "x".join(map(str, shape)) in text
    assert str(model) == repr(model)
    counts = [int(line.split()[-1].replace(",", "")) for line in repr(model).splitlines()[1:-1]]
    # The rows add up; an activation has no parameters of its own.
    assert sum(counts) == total
    assert model._repr_html_().startswith("<table>")


def test_hidden_layers_are_mirrored() -> None:
    """The decoder's dense layers are the encoder's in the opposite order, and both are shown."""
    model = tiny(hidden=[32, 24])
    lines = [line.split() for line in repr(model).splitlines()[1:-1]]
    dense = [line[-2:] for line in lines if "linear" in line]
    assert dense == [
        ["32", f"{256 * 32 + 32:,}"],
        ["24", f"{32 * 24 + 24:,}"],
        ["24", f"{4 * 24 + 24:,}"],
        ["32", f"{24 * 32 + 32:,}"],
        ["16x4x4", f"{32 * 256 + 256:,}"],
    ]


def test_one_hidden_layer_is_a_list_of_one() -> None:
    """`hidden=24` builds what `hidden=[24]` builds, and `hidden=[]` what no argument does."""
    for a, b in (({"hidden": 24}, {"hidden": [24]}), ({}, {"hidden": []})):
        torch.manual_seed(1)
        first = tiny(**a)
        torch.manual_seed(1)
        assert same(dict(first.state_dict()), dict(tiny(**b).state_dict()))
        assert first.config["hidden"] == a.get("hidden", [])


def test_looks_are_escaped() -> None:
    """A factory's name is no markup."""
    assert "<lambda>" not in tiny(activation=lambda: nn.SiLU())._repr_html_()


def test_copies_and_state_dicts() -> None:
    """A model is an ordinary module: copied, it is the same and apart."""
    model = tiny(norm="group", residual_blocks=1)
    twin = copy.deepcopy(model)
    x = images(model)
    assert torch.equal(twin.reconstruct(x), model.reconstruct(x))
    with torch.no_grad():
        twin.encoder.mean.bias.add_(1)
    assert not torch.equal(twin.reconstruct(x), model.reconstruct(x))


# Wrong input


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((2, 16, 20, 3), r"channels come last; move them with `\.permute\(0, 3, 1, 2\)`"),
        ((16, 20, 3), r"channels come last; move them with `\.permute\(2, 0, 1\)`"),
        ((3, 16, 20), r"a single image needs a batch dimension: `x\[None\]`"),
        ((2, 1, 16, 20), r"by `\.expand\(-1, 3, -1, -1\)`, or .*`in_channels=1`"),
        ((2, 4, 16, 20), r"by `\[:, :3\]`, or .*`in_channels=4`"),
        ((2, 2, 16, 20), "in_channels=2"),
        ((2, 3, 17, 20), r"image_size=\(17, 20\)"),
        ((2, 3, 24, 24), "image_size=24"),
        ((2, 3, 20, 16), r"image_size=\(20, 16\)"),
        ((5, 16, 20), "channels are missing; .*has 5 channels, and the model takes 3"),
        ((20,), "4 dimensions are needed, not 1"),
        ((), "4 dimensions are needed, not 0"),
        ((1, 2, 3, 16, 20), "4 dimensions are needed, not 5"),
    ],
)
def test_wrong_shapes_say_the_fix(shape: tuple[int, ...], says: str) -> None:
    """The message has the shape, the one that fits, and how to get from one to the other."""
    model = tiny(image_size=(16, 20))
    for call in (model.encode, model):
        with pytest.raises(ValueError, match=rf"`x` .*\(N, 3, 16, 20\).*{says}"):
            call(torch.rand(shape))


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((16, 20, 3), r"`x` \(16, 20, 3\) .*`\.permute\(2, 0, 1\)`"),
        ((3, 17, 20), r"`x` \(3, 17, 20\) .*image_size=\(17, 20\)"),
        ((1, 16, 20), "it has 1 channel, and the model takes 3"),
    ],
)
def test_wrong_shapes_of_a_single_image_say_its_fix(shape: tuple[int, ...], says: str) -> None:
    """And not that of the batch that would have been made of it."""
    model, x = tiny(image_size=(16, 20)), torch.rand(shape)
    with pytest.raises(ValueError, match=says):
        model.reconstruct(x)
    with pytest.raises(ValueError, match=says):
        interpolate(model, x, x)


@pytest.mark.parametrize("shape", [(2, 16, 16), (16, 16)])
def test_grey_images_without_a_channel(shape: tuple[int, ...]) -> None:
    """For a one-channel model the message says where the channel goes."""
    with pytest.raises(ValueError, match=r"`x`.*\(N, 1, 16, 16\)"):
        tiny(in_channels=1).encode(torch.rand(shape))


@pytest.mark.parametrize(
    "advice",
    [
        ((2, 16, 20, 3), lambda x: x.permute(0, 3, 1, 2)),
        ((3, 16, 20), lambda x: x[None]),
        ((2, 1, 16, 20), lambda x: x.expand(-1, 3, -1, -1)),
        ((2, 4, 16, 20), lambda x: x[:, :3]),
    ],
    ids=["last", "single", "grey", "alpha"],
)
def test_the_fix_works(advice: Any) -> None:
    """What the message advises is accepted."""
    shape, mend = advice
    assert tiny(image_size=(16, 20)).encode(mend(torch.rand(shape))).mean.shape[1] == 4


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_wrong_dtypes_are_refused(dtype: torch.dtype) -> None:
    """Neither integers but bytes nor anything else has a known range."""
    model, x = tiny(), torch.zeros(2, 3, 16, 16, dtype=dtype)
    for call in (model.encode, model, model.reconstruct):
        with pytest.raises(TypeError, match=r"`x` is .*must be float.*or uint8"):
            call(x)


@pytest.mark.parametrize("x", [np.zeros((2, 3, 16, 16), "float32"), [[0.0]], None, 5])
def test_what_is_no_tensor_is_refused(x: Any) -> None:
    """The message names the type and the way to a tensor."""
    model = tiny()
    for call in (model.encode, model, model.reconstruct):
        with pytest.raises(TypeError, match=r"`x` must be a tensor, not .*torch\.as_tensor"):
            call(x)
    with pytest.raises(TypeError, match=r"`z` must be a tensor, not .*torch\.as_tensor"):
        model.decode(x)
    with pytest.raises(TypeError, match=r"`a` must be a tensor, not .*torch\.as_tensor"):
        interpolate(model, x, x)


@pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 4, 1), ()])
def test_wrong_latents_are_refused(shape: tuple[int, ...]) -> None:
    """Latents are (N, D)."""
    with pytest.raises(ValueError, match=r"`z` .*\(N, 4\)"):
        tiny().decode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"channels": []}, "channels"),
        ({"channels": ()}, "channels"),
        ({"channels": [0]}, r"channels\[0\]"),
        ({"channels": [8, 0]}, r"channels\[1\]"),
        ({"channels": [-8]}, r"channels\[0\]"),
        ({"channels": [8.0]}, r"channels\[0\]"),
        ({"channels": [2.5, 4]}, r"channels\[0\]"),
        ({"channels": [True]}, r"channels\[0\]"),
        ({"channels": ["8"]}, r"channels\[0\]"),
        ({"channels": "8"}, "channels"),
        ({"channels": 8}, "channels"),
        ({"channels": None}, "channels"),
        ({"channels": [[8]]}, r"channels\[0\]"),
        ({"latent": 0}, "latent"),
        ({"latent": -3}, "latent"),
        ({"latent": 2.5}, "latent"),
        ({"latent": True}, "latent"),
        ({"latent": "4"}, "latent"),
        ({"latent": None}, "latent"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": 16.0}, "image_size"),
        ({"image_size": "16"}, "image_size"),
        ({"image_size": ()}, "image_size"),
        ({"image_size": (16,) * 4}, "image_size"),
        ({"image_size": (16, 0)}, r"image_size\[1\]"),
        ({"in_channels": 0}, "in_channels"),
        ({"in_channels": True}, "in_channels"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"kernel_size": [4]}, "kernel_size"),
        ({"kernel_size": 1}, "kernel_size"),
        ({"kernel_size": [4, 1.5]}, r"kernel_size\[1\]"),
        ({"stride": 0}, "stride"),
        ({"stride": [2, 2, 2]}, "stride"),
        ({"stride": 5}, "stride"),
        ({"residual_blocks": -1}, "residual_blocks"),
        ({"residual_blocks": [1]}, "residual_blocks"),
        ({"residual_blocks": 0.5}, "residual_blocks"),
        ({"hidden": 0}, "hidden"),
        ({"hidden": -1}, "hidden"),
        ({"hidden": "256"}, "hidden"),
        ({"hidden": ""}, "hidden"),
        ({"hidden": 2.5}, "hidden"),
        ({"hidden": True}, "hidden"),
        ({"hidden": None}, "hidden"),
        ({"hidden": [8, 0]}, r"hidden\[1\]"),
        ({"hidden": [[8]]}, r"hidden\[0\]"),
        ({"activation": "swish"}, "activation"),
        ({"activation": nn.SiLU()}, "activation"),
        ({"activation": None}, "activation"),
        ({"norm": "layer"}, "norm"),
        ({"norm": 3}, "norm"),
        ({"output": "tanh"}, "output"),
        ({"output": None}, "output"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], name: str) -> None:
    """Each wrong argument is an error that names it in backticks."""
    with pytest.raises((ValueError, TypeError), match=f"`{name}`"):
        tiny(**arguments)


@pytest.mark.parametrize("arguments", [{"channels": [8.5]}, {"channels": [0]}, {"channels": []}])
def test_wrong_channels_are_wrong_values(arguments: dict[str, Any]) -> None:
    """Empty, zero and broken channel counts are a ValueError."""
    with pytest.raises(ValueError, match="`channels"):
        tiny(**arguments)


def test_too_many_layers_say_how_many_fit() -> None:
    """The message has the largest number of layers and the smallest size."""
    with pytest.raises(ValueError, match=r"`channels` has 5 layers.*at most 4;.*at least 32"):
        tiny(channels=[8] * 5)
    assert tiny(channels=[8] * 4).decoder.grid == (8, 1, 1)
    assert tiny(channels=[8] * 5, image_size=32).decoder.grid == (8, 1, 1)


def test_untouched_until_a_weight_changes(tmp_path: Path) -> None:
    """New models are untouched, copied or moved too; loaded and changed ones are not."""
    model = VAE([8, 16], 4, image_size=16)
    assert model._untouched
    assert copy.deepcopy(model)._untouched
    assert copy.deepcopy(model).to(torch.float64)._untouched
    model.save(tmp_path / "model.safetensors")
    assert not VAE.load(tmp_path / "model.safetensors")._untouched
    twin = VAE(**model.config)
    twin.load_state_dict(model.state_dict())
    assert not twin._untouched
    with torch.no_grad():
        model.decoder.expand.bias[3] += 1e-3
    assert not model._untouched


def test_other_halves_may_take_their_places() -> None:
    """A model with an encoder or a decoder of the user's encodes, decodes and shows itself."""

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(48, 8)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return self.layer(x.flatten(1)).chunk(2, dim=1)

    model = VAE([8], 4, image_size=4)
    model.encoder = Half()  # type: ignore[assignment]  # what users do
    x = torch.rand(2, 3, 4, 4)
    assert model.reconstruct(x).shape == x.shape
    assert model.encode(x).mean.shape == (2, 4)
    model.decoder = nn.Sequential(nn.Linear(4, 48), nn.Unflatten(1, (3, 4, 4)))  # type: ignore[assignment]  # likewise
    assert model.reconstruct(x).shape == model.sample(2).shape == x.shape
    assert "Half" in repr(model)
    assert "Half" in model._repr_html_()
    assert not model._untouched


def test_a_large_set_goes_through_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gradients, encode and decode of many images equal those of their pieces."""
    monkeypatch.setattr("easyvae.model.vae.PIECE", 8)
    model = VAE([4, 8], 3, image_size=(9, 12)).eval()
    x = torch.randint(0, 256, (21, 3, 9, 12), dtype=torch.uint8)
    with torch.no_grad():
        posterior = model.encode(x)
        for rows in (slice(0, 8), slice(8, 16), slice(16, 21)):
            for whole, part in zip(posterior, model.encode(x[rows]), strict=True):
                assert torch.equal(whole[rows], part)
            assert torch.equal(
                model.decode(posterior.mean)[rows], model.decode(posterior.mean[rows])
            )
        assert model.reconstruct(x).shape == (21, 3, 9, 12)
    assert model.encode(x).mean.requires_grad
    with torch.no_grad(), pytest.raises(ValueError, match="must have the shape"):
        model.encode(x[:, :2])


@pytest.mark.parametrize("size", [(16,), 16, (8, 8, 8)])
def test_models_are_objects_like_others(size: Any, tmp_path: Path) -> None:
    """`copy`, `pickle` and `torch.save` take them whole, in the same layout."""
    model = VAE([4, 8], 3, image_size=size, norm="batch", residual_blocks=1).eval()
    x = torch.rand(2, *model.input_shape)
    torch.save(model, tmp_path / "model.pt")
    twins = [
        copy.copy(model),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(tmp_path / "model.pt", weights_only=False),
    ]
    for twin in twins:
        assert type(twin) is VAE
        assert twin.config == model.config
        assert torch.equal(twin.reconstruct(x), model.reconstruct(x))
        for a, b in zip(twin.parameters(), model.parameters(), strict=True):
            assert a.stride() == b.stride()


class Call(nn.Module):
    """A method of a model as a module of its own, since that is what is exported."""

    def __init__(self, model: VAE, name: str) -> None:
        super().__init__()
        self.model = model
        self.name = name

    def forward(self, x: Tensor) -> Any:
        if self.name == "loss":
            return BetaLoss(0.5, reconstruction="mse")(self.model(x), x)
        result = getattr(self.model, self.name)(x)
        return tuple(result) if isinstance(result, tuple) else result


@pytest.mark.parametrize(
    ("name", "gradients"),
    [
        ("encode", False),
        ("decode", False),
        ("reconstruct", False),
        ("forward", False),
        ("forward", True),
        ("loss", True),
    ],
)
@pytest.mark.parametrize("size", [(16,), 16])
def test_exported_programs_take_any_batch(name: str, gradients: bool, size: Any) -> None:
    """One that `torch.export` makes of a batch of 2 is right for 1, 3 and 300 too."""
    model = VAE([4, 8], 4, image_size=size).train(gradients)
    call, shape = Call(model, name), (4,) if name == "decode" else model.input_shape
    with torch.set_grad_enabled(gradients):
        program = torch.export.export(
            call,
            (torch.rand(2, *shape),),
            dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1)}},
        ).module()
        for count in (1, 3, 300):  # 3 is the number of channels too, and 300 more than a piece
            x = torch.rand(count, *shape)
            torch.manual_seed(0)
            found = program(x)
            torch.manual_seed(0)
            torch.testing.assert_close(found, call(x))


def test_compiled_models_take_any_batch() -> None:
    """`torch.compile` makes one graph of a model, for batches of any size."""
    model = VAE([4, 8], 4, image_size=(16,)).eval()
    compiled = torch.compile(
        lambda x: model.decode(model.encode(x).mean), dynamic=True, fullgraph=True, backend="eager"
    )
    with torch.no_grad():
        for count in (2, 3, 300):
            x = torch.rand(count, *model.input_shape)
            torch.testing.assert_close(compiled(x), model.reconstruct(x))
