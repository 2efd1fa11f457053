"""Models as ONNX files: what ONNX Runtime makes of them is what the model makes."""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from easyvae import VAE, export
from easyvae.cli import main
from easyvae.export import export_onnx

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

MODELS: dict[str, dict[str, Any]] = {
    "plain": {"channels": [4, 8], "latent": 3, "image_size": 16},
    "1-D, odd, identity": {
        "channels": [4, 8],
        "latent": 2,
        "image_size": [37],
        "in_channels": 1,
        "output": "identity",
        "hidden": [7],
    },
    "2-D, not square, batch norm": {
        "channels": [4, 8],
        "latent": 3,
        "image_size": [15, 22],
        "norm": "batch",
        "residual_blocks": 1,
        "activation": "leaky_relu",
    },
    "3-D, group norm": {
        "channels": [4, 8],
        "latent": 2,
        "image_size": [9, 10, 11],
        "norm": "group",
        "kernel_size": [3, 4],
        "activation": "mish",
    },
}


def run(path: Path, **given: Tensor) -> list[Tensor]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = session.run(None, {name: x.numpy() for name, x in given.items()})
    return [torch.from_numpy(value) for value in values]


def trained(**arguments: Any) -> VAE:
    """A model whose batch norms' statistics are not those of a new one."""
    torch.manual_seed(0)
    model = VAE(**arguments)
    with torch.no_grad():
        model(torch.rand(8, *model.input_shape))
    return model.eval()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(arguments, id=name, marks=[pytest.mark.slow] * (name != "plain"))
        for name, arguments in MODELS.items()
    ],
)
def test_the_files_do_what_the_model_does(arguments: dict[str, Any], tmp_path: Path) -> None:
    """For batches of any size, which the exporter has not seen; the config is in both files."""
    model = trained(**arguments)
    files = export_onnx(model, tmp_path / "new" / "folder")
    assert files.difference < 1e-5
    for n in (1, 2, 7):
        x = torch.rand(n, *model.input_shape)
        mean, log_var = run(files.encoder, images=x)
        (images,) = run(files.decoder, z=mean)
        with torch.no_grad():
            posterior = model.encode(x)
            torch.testing.assert_close(mean, posterior.mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(log_var, posterior.log_var, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(images, model.decode(posterior.mean), rtol=1e-4, atol=1e-5)
    for path in (files.encoder, files.decoder):
        stored = {item.key: item.value for item in onnx.load(path).metadata_props}
        assert json.loads(stored["easyvae.config"]) == model.config


def test_nothing_of_this_computer_is_in_the_files(tmp_path: Path) -> None:
    """The exporter of torch writes stack traces beside each node, with the names of folders."""
    files = export_onnx(VAE([4], 2, image_size=8), tmp_path)
    for path in (files.encoder, files.decoder):
        data = path.read_bytes()
        assert b".py" not in data
        assert str(Path(__file__).parent.parent).encode() not in data


def test_the_model_and_the_process_are_left_as_they_were(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Train mode, a dtype of its own, batch norm statistics, loggers, warnings; it is silent."""
    model = VAE([4], 2, image_size=8, norm="batch").double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    level, filters = logging.getLogger("torch.onnx").level, list(warnings.filters)
    export_onnx(model, tmp_path)
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype
    assert logging.getLogger("torch.onnx").level == level
    assert warnings.filters == filters
    assert capfd.readouterr() == ("", "")


def test_a_factory_is_exported_too(tmp_path: Path) -> None:
    """It has no name for the config, which is left out then."""
    files = export_onnx(VAE([4], 2, image_size=8, activation=nn.Hardswish), tmp_path)
    assert files.difference < 1e-5
    assert {item.key for item in onnx.load(files.encoder).metadata_props} == {"easyvae.version"}


def test_a_wrong_graph_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one of ONNX Runtime's results is another than the model's, the old files stay."""
    old = [tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"]
    for path in old:
        path.write_bytes(b"old")
    original = export._run

    def run_badly(data: bytes, name: str, x: Tensor) -> list[Tensor]:
        *good, last = original(data, name, x)
        return [*good, last * torch.nan]

    monkeypatch.setattr(export, "_run", run_badly)
    with pytest.raises(RuntimeError, match="differ from the model's by nan"):
        export_onnx(VAE([4], 2, image_size=8), tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(old)
    assert {path.read_bytes() for path in old} == {b"old"}


def test_a_model_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how large it is and how large it may be, and nothing is written."""
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match=r"`model` has a half with .* GB of weights"):
        export_onnx(VAE([4, 8], 4, image_size=8), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["onnxruntime", "onnxscript"])
def test_a_missing_extra_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the command that installs it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "onnx>=.*onnxruntime>='):
        export_onnx(VAE([4], 2, image_size=8), tmp_path)


def test_the_command_exports_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the names of the files, or with --json the difference too."""
    model = tmp_path / "m.safetensors"
    VAE([4], 2, image_size=8).save(model)
    out = tmp_path / "out"
    names = [str(out / "encoder.onnx"), str(out / "decoder.onnx")]
    assert main(["export", str(model), "--out", str(out), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"encoder", "decoder", "difference"}
    assert [figures["encoder"], figures["decoder"]] == names
    assert all(Path(name).stat().st_size for name in names)
    # Not twice: an export takes a second.
    files = export.Exported(*map(Path, names), difference=0.0)
    monkeypatch.setattr(export, "export_onnx", lambda model, out: files)
    assert main(["export", str(model), "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == names
    assert main(["export", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "none" in capsys.readouterr().err
