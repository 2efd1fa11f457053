"""The public names are the documented ones, and importing them loads nothing else."""

import inspect
import subprocess
import sys
from typing import Any

import pytest

import easyvae

DOCUMENTED = [
    "BetaLoss",
    "History",
    "LossTerms",
    "Posterior",
    "VAE",
    "VAEOutput",
    "__version__",
    "fit",
    "interpolate",
    "lerp",
    "reparameterize",
    "slerp",
]
OPTIONAL = ["PIL", "tqdm", "accelerate", "matplotlib", "sklearn", "starlette", "onnx"]


def run(code: str) -> str:
    """Runs code in a fresh interpreter and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names_are_the_documented_ones() -> None:
    """`__all__` has each of them and no other, each is there, and nothing else shows."""
    assert sorted(easyvae.__all__) == dir(easyvae) == sorted(DOCUMENTED)
    assert len(set(easyvae.__all__)) == len(easyvae.__all__)
    for name in DOCUMENTED:  # they are loaded when they are first asked for
        assert getattr(easyvae, name) is vars(easyvae)[name]
    modules = {name for name, value in vars(easyvae).items() if inspect.ismodule(value)}
    shown = {name for name in vars(easyvae) if not name.startswith("_")} - modules
    assert shown == set(DOCUMENTED) - {"__version__"}


def test_the_names_are_sorted() -> None:
    """As `sorted` sorts them."""
    assert easyvae.__all__ == sorted(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_names_are_documented(name: str) -> None:
    """Each has a docstring of its own."""
    if name != "__version__":
        assert (inspect.getdoc(getattr(easyvae, name)) or "").strip()


SIGNATURES: dict[str, str] = {
    "VAE": "(channels, latent, *, image_size=64, in_channels=3, kernel_size=4, stride=2, "
    "activation='silu', norm=None, residual_blocks=0, output='sigmoid', hidden=())",
    "VAE.reconstruct": "(self, x)",
    "VAE.sample": "(self, n=1, *, temperature=1.0, generator=None)",
    "VAE.encode": "(self, x)",
    "VAE.decode": "(self, z)",
    "VAE.forward": "(self, x, *, generator=None)",
    "VAE.save": "(self, path)",
    "VAE.load": "(path, *, device='cpu', allow_nonfinite=False)",
    "BetaLoss": "(beta=1.0, *, reconstruction='bce', free_bits=0.0, reduction='mean')",
    "BetaLoss.terms": "(self, output, x)",
    "reparameterize": "(mean, log_var, *, generator=None)",
    "lerp": "(a, b, t)",
    "slerp": "(a, b, t)",
    "interpolate": "(model, a, b, steps=10, *, method='lerp')",
    "fit": "(model, data, *, loss=None, epochs=20, batch_size=None, validation=0.1, "
    "optimizer=None, lr=None, device='auto', precision='auto', seed=0, out=None, resume=True, "
    "callbacks=(), progress=True, accelerator=None, start='auto', warp='auto')",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_the_documented_ones(name: str) -> None:
    """Names, kinds, order and defaults of the arguments are those of the contract."""
    thing: Any = easyvae
    for part in name.split("."):
        thing = getattr(thing, part)
    signature = inspect.signature(thing)
    bare = signature.replace(
        parameters=[p.replace(annotation=p.empty) for p in signature.parameters.values()],
        return_annotation=signature.empty,
    )
    assert str(bare) == SIGNATURES[name]


def test_named_tuples_have_the_documented_fields() -> None:
    """Their order is part of the contract, since they unpack."""
    assert easyvae.Posterior._fields == ("mean", "log_var")
    assert easyvae.LossTerms._fields == ("total", "reconstruction", "kl")
    assert easyvae.VAEOutput._fields == ("reconstruction", "mean", "log_var", "z", "logits")


def test_the_import_loads_no_optional_package() -> None:
    """`import easyvae` loads, beyond what `import torch` itself loads, none of the extras."""
    show = f"import sys; print(*(name for name in {OPTIONAL} if name in sys.modules))"
    without = set(run(f"import torch; {show}").split())
    assert set(run(f"import easyvae; {show}").split()) <= without


def test_the_import_works_without_any_optional_package() -> None:
    """Where none of the extras is installed, the package imports and its models work."""
    # A None in `sys.modules` makes an import fail, as if the package were not there.
    hide = f"import sys; import torch; sys.modules.update(dict.fromkeys({OPTIONAL}))"
    use = "m = easyvae.VAE([4], 2, image_size=8); print(m.sample(2).shape[0])"
    assert run(f"{hide}; import easyvae; {use}").strip() == "2"


def test_torch_waits_until_a_name_is_asked_for() -> None:
    """The package itself is there at once; a name comes with its module, and that with torch."""
    show = "print('torch' in sys.modules)"
    said = run(f"import sys, easyvae; {show}; easyvae.BetaLoss; {show}")
    assert said.split() == ["False", "True"]


def test_modules_are_there_without_an_import_of_their_own() -> None:
    """`easyvae.latents.embed`, as the README has it, works after `import easyvae` alone."""
    assert run("import easyvae; print(easyvae.latents.embed.__name__)").strip() == "embed"


@pytest.mark.parametrize("name", ["bogus", "_bogus", "__bogus__"])
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    """It says which name, and `hasattr` is false."""
    assert not hasattr(easyvae, name)
    with pytest.raises(AttributeError, match=f"'easyvae' has no attribute '{name}'"):
        getattr(easyvae, name)


def test_errors_while_loading_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named; the name that needs it is not called unknown."""
    for name in [name for name in sys.modules if name.startswith("easyvae.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(vars(easyvae), "app", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(ImportError, match="the mixer needs starlette"):
        getattr(easyvae, "app")  # noqa: B009  # a type checker knows no such attribute


def test_the_import_is_silent() -> None:
    """It prints nothing and warns of nothing."""
    assert run("import easyvae") == ""


def test_the_version_is_a_version() -> None:
    """Three numbers, at least."""
    assert all(part.isdigit() for part in easyvae.__version__.split(".")[:3])
