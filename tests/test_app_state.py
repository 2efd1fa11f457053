"""The mixer's parts: names, latents kept on disk, maps, sets of any size, and its texts."""

import json
import os
import re
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import LeakyReLU

from app_tools import (
    Client,
    Image,
    client_of,
    encode,
    make_app,
    make_model,
    make_pictures,
    wait_until,
)
from easyvae import VAE
from easyvae.app import create_app
from easyvae.app.errors import RequestError
from easyvae.app.gallery import Gallery
from easyvae.app.latent_map import LatentMap
from easyvae.app.latents_cache import TensorCache, identify, open_latents, open_mixture
from easyvae.app.parameters import parse_reference
from easyvae.app.served_model import Blender, trace
from easyvae.app.uploads import Uploads
from easyvae.data import Pictures
from easyvae.latents import embed

STATIC = files("easyvae.app").joinpath("static")


def texts(language: str) -> dict[str, str]:
    return dict(json.loads(STATIC.joinpath(f"{language}.json").read_text(encoding="utf-8")))


def test_both_languages_have_every_text() -> None:
    """The same keys, the same places to fill in, and nothing empty."""
    english, spanish = texts("en"), texts("es")
    assert english.keys() == spanish.keys()
    for key, text in english.items():
        assert text.strip()
        assert spanish[key].strip()
        places = [sorted(re.findall(r"\{\w+\}", said)) for said in (text, spanish[key])]
        assert places[0] == places[1], key


def test_every_text_that_is_asked_for_is_there() -> None:
    """The keys in the page and its scripts, and none that nobody asks for."""
    english = texts("en")
    page = STATIC.joinpath("index.html").read_text(encoding="utf-8")
    asked = set(re.findall(r'data-i18n(?:-label)?="(\w+)"', page))
    scripts = "\n".join(
        file.read_text(encoding="utf-8") for file in STATIC.iterdir() if file.name.endswith(".js")
    )
    asked |= set(re.findall(r'\bt\("(\w+)"', scripts))
    assert asked - english.keys() == set()
    words = set(re.findall(r'"(\w+)"', scripts)) | asked
    errors = {key for key in english if key.startswith("error_")}
    assert {key.removeprefix("error_") for key in errors} - {"failed"} <= words
    assert english.keys() - words - errors == set()


NO_NAMES = "|p|p-1|p1.5|x1|u12|u0123456789ABCDEF|s1|s1t1000|p1~|p1~9.999|p1 |p1\n|../p1"


@pytest.mark.parametrize("name", [*NO_NAMES.split("|"), "p1234567890", "p1" + "~1" * 9])
def test_other_names_are_refused(name: str) -> None:
    """Only what the grammar has is a picture's name."""
    with pytest.raises(RequestError):
        parse_reference(name)


def test_one_picture_has_one_name() -> None:
    """Leading zeros and amounts of zero make no difference."""
    assert parse_reference("p007~0~0") == parse_reference("p7")


def test_latents_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time they come from the cache; they are those of `embed`."""
    model, pictures = make_model(), make_pictures(300)
    cache, name = TensorCache(tmp_path), identify(make_model(), pictures)
    means, samples = open_latents(model, pictures, cache, name, lambda done: None)
    assert torch.allclose(means, embed(model, pictures.images), atol=1e-5)
    assert samples.shape == (300, 6)
    assert not torch.allclose(samples, means)
    monkeypatch.setattr(model, "encode", None)
    again = open_latents(model, pictures, cache, name, lambda done: None)
    assert torch.equal(again[0], means)


def test_the_mixture_is_fitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time it comes from the cache, and draws the same."""
    cache = TensorCache(tmp_path)
    samples = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    drawn = [
        open_mixture(samples, cache, "x").sample(5, generator=torch.Generator().manual_seed(1))
    ]
    monkeypatch.delattr("easyvae.latents.GaussianMixture.fit")
    drawn.append(
        open_mixture(samples, cache, "x").sample(5, generator=torch.Generator().manual_seed(1))
    )
    assert torch.equal(*drawn)
    assert len({tuple(row.tolist()) for row in drawn[0]}) == 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty"])
def test_damaged_latents_are_computed_again(tmp_path: Path, damage: str) -> None:
    """Whatever has become of the file, the page has the right latents."""
    model, pictures = make_model(), make_pictures()
    cache, name = TensorCache(tmp_path), identify(model, pictures)
    means, _ = open_latents(model, pictures, cache, name, lambda done: None)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes({"cut": data[:200], "flipped": data, "other": b"hello", "empty": b""}[damage])
    again, _ = open_latents(model, pictures, cache, name, lambda done: None)
    assert torch.equal(again, means)
    (file,) = tmp_path.iterdir()  # and is whole again
    assert torch.equal(open_latents(model, pictures, cache, name, lambda done: None)[0], means)


@pytest.mark.parametrize(
    "layout",
    [
        torch.zeros(5, 2, dtype=torch.int64),
        torch.zeros(5, 2, dtype=torch.float64),
        torch.zeros(5, 2).to(torch.float8_e4m3fn),
        torch.zeros(5, 2, dtype=torch.complex64),
        torch.full((5, 2), torch.nan),
        torch.zeros(6, 2),
        torch.zeros(10),
    ],
    ids=["integers", "doubles", "eight bits", "complex", "NaN", "more rows", "one column"],
)
def test_tensors_of_another_kind_are_as_good_as_none(tmp_path: Path, layout: torch.Tensor) -> None:
    """Also where the checksum is right: latents and mixtures are finite float32."""
    cache = TensorCache(tmp_path)
    cache.save("latents-x", {"means": torch.zeros(5, 2)})
    assert cache.load("latents-x", {"means": (5, 2)}) is not None
    cache.save("latents-x", {"means": layout})
    assert cache.load("latents-x", {"means": (5, 2)}) is None


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "nested", "long"])
def test_what_is_no_tensor_file_is_as_good_as_none(tmp_path: Path, kind: str) -> None:
    """Nothing is waited for, and nothing raised, whatever there is in its place."""
    if kind in ("pipe", "device") and not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with a name, and no devices")
    cache, path = TensorCache(tmp_path), tmp_path / "latents-x.safetensors"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        text = b"[" * 80_000 if kind == "nested" else b"[" * 2**21
        path.write_bytes(len(text).to_bytes(8, "little") + text)
    assert cache.load("latents-x", {"means": (5, 2)}) is None
    cache.save("latents-x", {"means": torch.zeros(5, 2)})
    known = cache.load("latents-x", {"means": (5, 2)})
    assert (known is None) == (kind in ("pipe", "folder"))  # which stay as they are


@pytest.mark.parametrize("weights", [[-1.0, 1, 1], [0.0, 0, 0], [0.2, 0.2, 0.2]])
def test_a_mixture_that_nothing_can_be_drawn_from_is_fitted_again(
    tmp_path: Path, weights: list[float]
) -> None:
    """Its weights are shares."""
    cache = TensorCache(tmp_path)
    samples = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    fitted = open_mixture(samples, cache, "x")
    forged = {
        "weights": torch.tensor(weights),
        "means": fitted.means,
        "scale_tril": fitted.scale_tril,
    }
    cache.save("mixture-x", forged)
    assert torch.equal(open_mixture(samples, cache, "x").weights, fitted.weights)


def test_another_model_or_set_has_other_latents() -> None:
    """The cache is kept under a hash of the weights and of the pictures."""
    names = {
        identify(make_model(), make_pictures()),
        identify(make_model(seed=1), make_pictures()),
        identify(make_model(), make_pictures(41)),
    }
    assert len(names) == 3


def test_a_factory_has_a_name_of_its_own() -> None:
    """Models that differ in nothing but what a factory makes have other latents."""
    names = set()
    for slope in (0.1, 0.3, 0.3):
        model = VAE([8], 2, image_size=16, activation=lambda slope=slope: LeakyReLU(slope))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.1)
        names.add(identify(model, make_pictures()))
    assert len(names) == 2


def test_what_was_not_used_for_a_month_is_removed(tmp_path: Path) -> None:
    """When something is added; what was used, and what is not ours, stays."""
    cache, tensors = TensorCache(tmp_path), {"x": torch.zeros(2)}
    (tmp_path / "other.safetensors").write_bytes(b"")
    (tmp_path / "latents-x.json").write_bytes(b"")
    for name in ("latents-old", "mixture-old", "latents-used"):
        cache.save(name, tensors)
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 31 * 86400,) * 2)
    assert cache.load("latents-used", {"x": (2,)}) is not None
    cache.save("latents-new", tensors)
    names = sorted(path.stem for path in tmp_path.iterdir())
    assert names == ["latents-new", "latents-used", "latents-x", "other"]


def test_without_a_place_to_write_all_works(tmp_path: Path) -> None:
    """The latents are then computed at each start."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with client_of(make_app(blocked)) as client:
        assert client.json(f"/api/near?model={client.model()}&refs=p1&count=2")[0] == 1


def test_samples_of_a_large_set_are_evenly_spaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more pictures than are needed for a mixture, every so many-th is taken."""
    from easyvae.app import latents_cache

    monkeypatch.setattr(latents_cache, "_SAMPLES", 90)
    monkeypatch.setattr(latents_cache, "PIECE", 64)
    model, pictures = make_model(), make_pictures(300)
    seen: list[int] = []
    _, samples = open_latents(model, pictures, TensorCache(tmp_path), "x", seen.append)
    assert samples.shape == (75, 6)  # every fourth
    assert bool(samples.isfinite().all())
    assert float((samples - embed(model, pictures.images)[::4]).abs().max()) < 8
    assert seen[:2] == [64, 128]


@pytest.mark.parametrize(("count", "latent"), [(1, 6), (2, 6), (40, 1), (40, 2), (9, 300)])
def test_small_sets_and_latents_work(tmp_path: Path, count: int, latent: int) -> None:
    """A map, neighbours, samples of the mixture and edits, as far as there are any."""
    torch.manual_seed(0)
    model = VAE([8], latent, image_size=16)
    with client_of(create_app({"m": model}, make_pictures(count), cache=tmp_path)) as client:
        id_ = client.model()
        assert len(client.get(f"/api/map.bin?model={id_}").content) == 8 * count
        assert client.json(f"/api/near?model={id_}&refs=p0&count=5")[0] == 0
        client.picture(f"/api/pictures.png?model={id_}&refs=g1t80,p0~2~1~-3,s1t80")
        client.picture(f"/api/mix.png?model={id_}&refs=p0,p0&frames=5")


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 36), (3, 96, 80)])
def test_any_size_of_picture_works(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    """Grey, wide and large ones; thumbnails are at most 64 pixels."""
    model = VAE([8], 3, image_size=shape[1:], in_channels=shape[0])
    images = torch.randint(0, 256, (30, *shape), dtype=torch.uint8)
    with client_of(create_app({"m": model}, Pictures(images), cache=tmp_path)) as client:
        info = client.json("/api/info")
        assert max(info["sheets"]["height"], info["sheets"]["width"]) <= 64
        sheet = client.picture("/api/sheets/0.jpg")
        assert sheet.shape[1:] == (2 * info["sheets"]["height"], 16 * info["sheets"]["width"])
        found = client.picture("/api/originals.png?refs=p4")
        assert torch.equal(found, images[4].expand(3, -1, -1))
        mix = client.picture(f"/api/mix.png?model={client.model()}&refs=p0,p1&frames=9")
        assert mix.shape == (3, 2 * shape[1], 8 * shape[2])


def test_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """By name, with what each takes."""
    pictures = make_pictures()
    with pytest.raises(ValueError, match="one size; a takes"):
        create_app({"a": make_model(), "b": make_model(8)}, pictures, cache=tmp_path)
    with pytest.raises(ValueError, match="shows pictures"):
        create_app({"a": VAE([4], 2, image_size=(64,))}, pictures, cache=tmp_path)
    with pytest.raises(ValueError, match="models' shape"):
        create_app({"a": make_model(8)}, pictures, cache=tmp_path)
    with pytest.raises(ValueError, match="at least one model"):
        create_app({}, pictures, cache=tmp_path)


@pytest.mark.parametrize(
    ("images", "fault"),
    [
        (torch.zeros(0, 3, 16, 16), "at least one picture"),
        (torch.full((2, 3, 16, 16), 1.01), "from 1.01 to 1.01"),
        (torch.full((2, 3, 16, 16), -0.1), "must be from 0 to 1"),
        (torch.full((2, 3, 16, 16), torch.nan), "must be from 0 to 1"),
    ],
    ids=["empty", "too light", "too dark", "NaN"],
)
def test_sets_that_cannot_be_shown_are_refused(
    tmp_path: Path, images: torch.Tensor, fault: str
) -> None:
    """Rather than shown in black and white."""
    digests = torch.zeros(len(images), 16, dtype=torch.uint8).numpy()
    with pytest.raises(ValueError, match=fault):
        create_app({"m": make_model()}, Pictures(images, digests=digests), cache=tmp_path)


def test_the_map_places_what_it_has_not_seen() -> None:
    """Standard deviations from the middle, along the first two directions."""
    cloud = torch.randn(500, 5) * torch.tensor([5.0, 3.0, 1.0, 0.5, 0.1])
    latent_map = LatentMap(cloud)
    moved = latent_map.centre + 2 * latent_map.directions[0] - latent_map.directions[1]
    assert torch.allclose(latent_map.place(moved[None]), torch.tensor([[2.0, -1.0]]), atol=1e-4)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-6, 1e30])
def test_latents_that_hardly_differ_have_a_map(size: float) -> None:
    """Those of pictures that are all alike are one point; tiny and huge ones spread as any."""
    latents = size * torch.randn(37, 4, generator=torch.Generator().manual_seed(0))
    plane = LatentMap(latents if size else latents + 0.3).plane
    assert plane.shape == (37, 2)
    assert torch.allclose(plane.std(0), torch.full((2,), float(bool(size))), atol=1e-3)


def test_the_nearest_picture_is_itself() -> None:
    """Whatever is near it: far from the origin a matrix product would mix them up."""
    cloud = 30 + torch.randn(200, 128) / 1000
    nearest = LatentMap(cloud).nearest(cloud, 3)
    assert nearest.shape == (200, 3)
    assert torch.equal(nearest[:, 0], torch.arange(200))


def test_a_trace_needs_no_server() -> None:
    """The ends and the way, on the map."""
    pictures, model = make_pictures(), make_model()
    gallery = Gallery(pictures, "kittens")
    blender = Blender(model, gallery, Uploads(gallery.shape))
    latent_map = blender.latent_map.value = LatentMap(embed(model, pictures.images))
    pair = [parse_reference("p1"), parse_reference("p9")]
    found = trace(blender, pair, steps=5)
    assert len(found["path"]) == 5
    for end, number, place in zip(found["ends"], (1, 9), (0, -1), strict=True):
        assert torch.allclose(torch.tensor(end), latent_map.plane[number], atol=1e-3)
        assert torch.allclose(torch.tensor(found["path"][place]), torch.tensor(end), atol=1e-3)
    assert trace(blender, pair, weights=[1, 0])["path"] == found["ends"][:1]
    assert trace(blender, [*pair, pair[0]])["path"] == []


@pytest.mark.parametrize(("side", "most"), [(64, 64), (512, 64), (768, 28), (4096, 16)])
def test_large_pictures_come_fewer_at_a_time(side: int, most: int) -> None:
    """By their pixels, down to sixteen."""
    images = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(2, 3, side, side)
    digests = torch.zeros(2, 16, dtype=torch.uint8).numpy()
    gallery = Gallery(Pictures(images, digests=digests), "large")
    assert gallery.at_once == most
    assert gallery.thumb == (64, 64)


def test_a_set_of_floats_shows_uploads_beside_it(tmp_path: Path) -> None:
    """An upload is of bytes: beside a picture of floats it keeps its brightness."""
    images = make_pictures().images.float() / 255
    with client_of(create_app({"m": make_model()}, Pictures(images), cache=tmp_path)) as client:
        grey = encode(Image.new("RGB", (16, 16), (200, 200, 200)))
        name = client.request("POST", "/api/uploads", content=grey).json()["ref"]
        sheet = client.picture(f"/api/originals.png?refs=p1,{name}")
        assert torch.equal(sheet[:, :, :16], make_pictures().images[1])
        assert sheet[:, :, 16:].unique().tolist() == [200]
        assert client.get("/api/sheets/0.jpg").status_code == 200


def broken_model() -> VAE:
    """Returns a model that makes no numbers of anything."""
    model = make_model(seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    return model


def test_a_model_that_fails_leaves_the_others_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be computed is said once and for all; the rest is there, and nothing waits."""
    models = {"bad": broken_model(), "good": make_model()}
    with client_of(create_app(models, make_pictures(), cache=tmp_path)) as client:
        good = client.model(1)
        assert client.json(f"/api/near?model={good}&refs=p1&count=1") == [1]
        client.picture(f"/api/pictures.png?model={good}&refs=g1t80")
        bad, fine = client.json("/api/info")["models"]
        assert (bad["ready"], fine["ready"], fine["failed"]) == (False, True, None)
        assert "bad: the model's latents" in bad["failed"]
        for path in ("near?refs=p1", "map.bin?", "path?refs=p1,p2"):
            answer = client.get(f"/api/{path}&model={bad['id']}")
            assert (answer.status_code, answer.json()["error"]) == (409, "no_latents"), path
        for refs in ("g1t80", "p1~1"):
            answer = client.get(f"/api/pictures.png?model={bad['id']}&refs={refs}")
            assert (answer.status_code, answer.json()["error"]) == (409, "no_latents"), refs
    assert "not all finite" in caplog.text
    assert len(list(tmp_path.glob("latents-*"))) == 1


def test_a_mixture_that_fails_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Maps, neighbours and edits are there; only what is drawn from it is not."""
    monkeypatch.setattr("easyvae.latents.GaussianMixture.fit", lambda *_: 1 / 0)
    with client_of(make_app(tmp_path)) as client:
        model = client.model()
        answer = wait_until(
            lambda: (
                (a := client.get(f"/api/pictures.png?model={model}&refs=g1t80")).status_code != 503
                and a
            )
        )
        assert (answer.status_code, answer.json()["error"]) == (409, "no_mixture")
        client.picture(f"/api/pictures.png?model={model}&refs=s1t80,p1~1")
    assert "ZeroDivisionError" in caplog.text


def test_an_application_can_be_served_twice(tmp_path: Path) -> None:
    """One after the other: each time with workers of its own."""
    from app_tools import Running, httpx

    app = make_app(tmp_path)
    for _ in range(2):
        with Running(app) as running:
            model = app.state.mixer.models[0].id
            for path in (f"pictures.png?model={model}&refs=p1", "sheets/0.jpg"):
                address = f"{running.address}/api/{path}"
                assert httpx.get(address, timeout=20, verify=False).status_code == 200


def drawn(client: Client, address: str) -> bytes:
    """Waits for a map."""
    answer = wait_until(lambda: (found := client.get(address)).status_code == 200 and found)
    return bytes(answer.content)


def test_work_of_clients_that_have_gone_is_dropped(tmp_path: Path) -> None:
    """What waits for its turn is not done when nobody waits for it any more."""
    import threading

    from app_tools import Running, httpx

    app = make_app(tmp_path)
    with Running(app) as running:
        gate, done = threading.Event(), []
        blender = app.state.mixer.models[0].blender
        draw = blender.draw

        def slowly(references: Any) -> Any:
            gate.wait(20)
            done.append(references[0].number)
            return draw(references)

        blender.draw = slowly
        path = f"{running.address}/api/pictures.png?model={app.state.mixer.models[0].id}&refs=p"
        first = threading.Thread(target=httpx.get, args=(path + "0",), kwargs={"timeout": 30})
        first.start()
        wait_until(lambda: not app.state.mixer.mix_jobs.idle)
        time.sleep(0.2)
        for number in range(1, 5):
            with pytest.raises(httpx.TimeoutException):
                httpx.get(path + str(number), timeout=0.3)
        time.sleep(0.3)
        gate.set()
        first.join(20)
        wait_until(lambda: app.state.mixer.mix_jobs.idle)
        assert done == [0]
