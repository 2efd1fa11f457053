"""The mixer's routes: what each returns, and that it is what the library computes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from app_tools import (
    Client,
    Image,
    cell,
    client_of,
    encode,
    make_app,
    make_model,
    make_pictures,
    read_pixels,
)
from easyvae import VAE, interpolate, lerp, slerp
from easyvae.app import create_app
from easyvae.app.gallery import Gallery
from easyvae.data import Pictures
from easyvae.latents import blend, embed, principal_directions

SIZE = 16


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with client_of(make_app(tmp_path_factory.mktemp("cache"))) as client:
        yield client


def as_bytes(images: torch.Tensor) -> torch.Tensor:
    return (images * 255).round().to(torch.uint8)


def test_info_tells_what_there_is(client: Client) -> None:
    """The set, its sheets, the models and the limits."""
    client.model()
    info = client.json("/api/info")
    assert info["pictures"]["count"] == 40
    assert (info["pictures"]["height"], info["pictures"]["channels"]) == (16, 3)
    assert info["sheets"] == {
        "count": 1,
        "pictures": 256,
        "columns": 16,
        "height": 16,
        "width": 16,
    }
    (model,) = info["models"]
    assert (model["name"], model["latent"], model["done"]) == ("small", 6, 40)
    assert model["directions"] == 6
    assert info["limits"]["bytes"] == 10 * 2**20


def test_the_page_and_its_files_are_served(client: Client) -> None:
    """With their types, an ETag, and nothing twice to a browser that has them."""
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    script = client.get("/static/main.js")
    assert script.headers["content-type"].startswith("text/javascript")
    again = client.get("/static/main.js", headers={"if-none-match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_every_file_that_the_page_names_is_there(client: Client) -> None:
    """Scripts, styles and icons of the page, and the modules that those import."""
    import re

    page = client.get("/").text
    named = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    seen = set()
    while named - seen:
        path = (named - seen).pop()
        seen.add(path)
        answer = client.get(path)
        assert answer.status_code == 200, path
        if path.endswith(".js"):
            named |= {f"/static/{name}" for name in re.findall(r'from "\./([^"]+)"', answer.text)}
    assert len(seen) > 15


def test_sheets_hold_the_thumbnails(client: Client) -> None:
    """In order, sixteen in a row, close to the originals."""
    answer = client.get("/api/sheets/0.jpg")
    sheet = read_pixels(answer.content)
    assert sheet.shape == (3, 48, 256)
    images = make_pictures().images
    for number in (0, 17, 39):
        found = cell(sheet, number, SIZE, 16).float()
        assert (found - images[number].float()).abs().mean() < 8
    assert client.get("/api/sheets/1.jpg").status_code == 404
    known = {"if-none-match": answer.headers["etag"]}
    assert client.get("/api/sheets/0.jpg", headers=known).status_code == 304


def test_thumbnails_are_those_asked_for(client: Client) -> None:
    """Chosen pictures on one sheet, in the order of the names."""
    sheet = client.picture("/api/thumbnails.jpg?refs=p39,p3")
    images = make_pictures().images
    for place, number in enumerate((39, 3)):
        found = cell(sheet, place, SIZE, 16).float()
        assert (found - images[number].float()).abs().mean() < 8


def test_colours_are_the_averages(client: Client) -> None:
    """Three bytes a picture, of its middle."""
    data = client.get("/api/colours.bin").content
    assert len(data) == 3 * 40
    middle = make_pictures().images[7, :, 4:12, 4:12].float().mean((1, 2))
    assert torch.allclose(torch.tensor(list(data[21:24])).float(), middle, atol=0.51)


def test_originals_are_the_pictures_themselves(client: Client) -> None:
    """To the bit."""
    sheet = client.picture("/api/originals.png?refs=p5,p12")
    images = make_pictures().images
    assert torch.equal(cell(sheet, 0, SIZE), images[5])
    assert torch.equal(cell(sheet, 1, SIZE), images[12])


@pytest.mark.parametrize("method", ["slerp", "lerp"])
def test_a_mix_is_what_interpolate_gives(client: Client, method: str) -> None:
    """All its frames; the first and last are the reconstructions."""
    sheet = client.picture(
        f"/api/mix.png?model={client.model()}&refs=p1,p9&frames=11&method={method}"
    )
    model, images = make_model(), make_pictures().images
    frames = as_bytes(interpolate(model, images[1], images[9], 11, method=method))
    for number in range(11):
        found = cell(sheet, number, SIZE).int()
        assert (found - frames[number].int()).abs().max() <= (0 if number in (0, 10) else 1)
    assert torch.equal(cell(sheet, 0, SIZE), as_bytes(model.reconstruct(images[1])))
    assert torch.equal(cell(sheet, 10, SIZE), as_bytes(model.reconstruct(images[9])))


def test_a_blend_is_what_the_library_blends(client: Client) -> None:
    """And with all the weight on one picture it is that one's reconstruction."""
    model, images = make_model(), make_pictures().images
    found = client.picture(
        f"/api/blend.png?model={client.model()}&refs=p1,p2,p3&weights=1,2,1&method=lerp"
    )
    z = blend(embed(model, images[1:4]), [1, 2, 1], method="lerp")
    with torch.no_grad():
        assert (found.int() - as_bytes(model.decode(z[None]))[0].int()).abs().max() <= 1
    alone = client.picture(f"/api/blend.png?model={client.model()}&refs=p1,p2,p3&weights=0,1,0")
    assert torch.equal(alone, as_bytes(model.reconstruct(images[2])))


def test_an_edit_moves_along_the_principal_directions(client: Client) -> None:
    """By the amounts after the tildes; without any it is the reconstruction."""
    model, images = make_model(), make_pictures().images
    sheet = client.picture(f"/api/pictures.png?model={client.model()}&refs=p4~2~-1.5,p4~0")
    latents = embed(model, images)
    moved = latents[4] + torch.tensor([2.0, -1.5]) @ principal_directions(latents, 6)[:2]
    with torch.no_grad():
        wanted = as_bytes(model.decode(moved[None]))[0]
    assert (cell(sheet, 0, SIZE).int() - wanted.int()).abs().max() <= 1
    plain = cell(sheet, 1, SIZE).int() - as_bytes(model.reconstruct(images[4])).int()
    assert plain.abs().max() <= 1


def test_samples_depend_on_their_names_alone(client: Client) -> None:
    """The same seed is the same picture, in any company; another one is another."""
    model = client.model()
    first = client.picture(f"/api/pictures.png?model={model}&refs=s1t100,g2t100")
    again = client.picture(f"/api/pictures.png?model={model}&refs=g2t100,s3t100,s1t100")
    assert (cell(first, 0, SIZE).int() - cell(again, 2, SIZE).int()).abs().max() <= 1
    assert (cell(first, 1, SIZE).int() - cell(again, 0, SIZE).int()).abs().max() <= 1
    other = cell(again, 1, SIZE).int() - cell(again, 2, SIZE).int()
    assert other.abs().max() > 1


def test_a_cold_sample_is_the_middle_of_the_prior(client: Client) -> None:
    """At temperature 0 all seeds give the picture of the zero latent."""
    sheet = client.picture(f"/api/pictures.png?model={client.model()}&refs=s1t0,s2t0")
    assert torch.equal(cell(sheet, 0, SIZE), cell(sheet, 1, SIZE))


def test_samples_and_edits_mix_like_any_picture(client: Client) -> None:
    """A mix begins and ends with what they look like alone."""
    model = client.model()
    sheet = client.picture(f"/api/mix.png?model={model}&refs=s5t80,p2~1&frames=5")
    for number, name in ((0, "s5t80"), (4, "p2~1")):
        alone = client.picture(f"/api/pictures.png?model={model}&refs={name}")
        assert (cell(sheet, number, SIZE).int() - alone.int()).abs().max() <= 1


def test_the_map_has_a_place_for_each_picture(client: Client) -> None:
    """Standard deviations along the first two principal directions, of latents."""
    data = client.get(f"/api/map.bin?model={client.model()}").content
    places = torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(-1, 2)
    latents = embed(make_model(), make_pictures().images)
    assert places.shape == (40, 2)
    assert torch.allclose(places.std(0), torch.ones(2), atol=1e-3)
    axes = principal_directions(latents, 2)
    wanted = (latents - latents.mean(0)) @ axes.T / axes.square().sum(1)
    assert torch.allclose(places, wanted, atol=1e-3)


@pytest.mark.parametrize(("method", "function"), [("slerp", slerp), ("lerp", lerp)])
def test_a_path_is_the_latents_projected(client: Client, method: str, function: object) -> None:
    """It begins and ends at the pictures' places."""
    model = client.model()
    found = client.json(f"/api/path?model={model}&refs=p1,p9&steps=5&method={method}")
    data = client.get(f"/api/map.bin?model={model}").content
    places = torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(-1, 2)
    path = torch.tensor(found["path"])
    assert torch.allclose(path[[0, -1]], places[[1, 9]], atol=1e-3)
    assert torch.allclose(torch.tensor(found["ends"]), places[[1, 9]], atol=1e-3)
    latents = embed(make_model(), make_pictures().images)
    axes = principal_directions(latents, 2)
    middle = function(latents[1], latents[9], 0.5) - latents.mean(0)  # type: ignore[operator]
    assert torch.allclose(path[2], middle @ axes.T / axes.square().sum(1), atol=1e-3)


def test_near_gives_the_nearest_latents(client: Client) -> None:
    """The picture itself first."""
    found = client.json(f"/api/near?model={client.model()}&refs=p6&count=4")
    latents = embed(make_model(), make_pictures().images)
    wanted = torch.cdist(latents[6:7], latents)[0].argsort()[:4].tolist()
    assert found == wanted
    assert found[0] == 6


def test_downloads_are_pictures_to_keep(client: Client) -> None:
    """A step, the strip, a blend, and an animation that runs there and back."""
    import io

    base = f"model={client.model()}&refs=p1,p9&steps=5"
    step = client.get(f"/api/step.png?{base}&step=3&scale=2")
    assert read_pixels(step.content).shape == (3, 32, 32)
    assert 'filename="kittens-step-3-of-5.png"' in step.headers["content-disposition"]
    strip = client.picture(f"/api/strip.png?{base}&scale=1")
    assert strip.shape == (3, 16, 5 * 18 - 2)
    for number in range(5):
        alone = client.picture(f"/api/step.png?{base}&step={number + 1}&scale=1").int()
        assert (strip[:, :, 18 * number :][:, :, :16].int() - alone).abs().max() <= 1
    assert client.picture(f"/api/blend.png?{base}&scale=4").shape == (3, 64, 64)
    film = client.get(f"/api/animation.gif?{base}&scale=2")
    with Image.open(io.BytesIO(film.content)) as image:
        assert (image.format, image.n_frames, image.size) == ("GIF", 8, (32, 32))


def test_an_upload_is_mixed_like_any_picture(client: Client) -> None:
    """Its name is a hash of its pixels: the same picture twice is one."""
    pixels = make_pictures(41).images[40]
    file = encode(Image.fromarray(pixels.permute(1, 2, 0).numpy()))
    first = client.request("POST", "/api/uploads", content=file)
    assert first.status_code == 201
    name = first.json()["ref"]
    assert client.request("POST", "/api/uploads", content=file).json()["ref"] == name
    assert torch.equal(client.picture(f"/api/originals.png?refs={name}"), pixels)
    drawn = client.picture(f"/api/pictures.png?model={client.model()}&refs={name}")
    assert torch.equal(drawn, as_bytes(make_model().reconstruct(pixels)))


def test_an_upload_is_upright_and_bare(client: Client) -> None:
    """Its orientation is applied, and only pixels are kept."""
    image = Image.new("RGB", (32, 16), "red")
    image.paste("blue", (16, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010E] = "a secret"
    file = encode(image, "JPEG", exif=exif, quality=95)
    name = client.request("POST", "/api/uploads", content=file).json()["ref"]
    answer = client.get(f"/api/originals.png?refs={name}")
    assert b"secret" not in answer.content
    pixels = read_pixels(answer.content).float()
    assert pixels[0, :4].mean() > 200 > 60 > pixels[0, -4:].mean()  # red above, blue below


def test_a_gone_upload_says_so(client: Client) -> None:
    """A link may outlive what it names."""
    answer = client.get(f"/api/pictures.png?model={client.model()}&refs=u0123456789abcdef")
    assert answer.status_code == 404
    assert answer.json()["error"] == "upload_gone"


def test_only_the_newest_uploads_are_kept() -> None:
    """The one that was not looked at for longest goes first."""
    from easyvae.app import uploads

    kept = uploads.Uploads((3, 16, 16))
    names = [
        kept.add(encode(Image.new("RGB", (16, 16), (i % 256, i // 256, 9))))
        for i in range(uploads.KEPT + 1)
    ]
    assert kept.get(names[1]) is not None
    with pytest.raises(Exception, match="gone"):
        kept.get(names[0])


SET_ROUTES = (
    "/api/sheets/0.jpg",
    "/api/sheets/0.json",
    "/api/colours.bin",
    "/api/thumbnails.jpg?refs=p1",
    "/api/originals.png?refs=p1",
)


@pytest.mark.parametrize("path", SET_ROUTES)
def test_what_the_set_decides_lasts_under_its_name(client: Client, path: str) -> None:
    """For ever if the set is named, else until asked again; of another set there is nothing."""
    path += "&" if "?" in path else "?"
    name = client.json("/api/info")["pictures"]["id"]
    for query, cached in ((f"set={name}", "immutable"), ("", "no-cache")):
        answer = client.get(path + query)
        assert answer.status_code == 200
        assert cached in answer.headers["cache-control"]
        again = client.get(path + query, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    other = client.get(path + "set=0123456789ab", headers={"if-none-match": "anything"})
    assert (other.status_code, other.json()["error"]) == (404, "no_such_set")
    assert other.headers["cache-control"] == "no-store"


def test_other_names_make_another_set(tmp_path: Path) -> None:
    """The captions are kept under the set's name as well."""
    names = [[f"{letter}{i}.png" for i in range(40)] for letter in "ab"]
    galleries = [Gallery(make_pictures(names=some), "cats") for some in names]
    assert galleries[0].id != galleries[1].id
    assert galleries[0].id == Gallery(make_pictures(names=names[0]), "dogs").id


def test_of_large_uploads_fewer_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their bytes; but four at least, which may be mixed."""
    from easyvae.app import uploads

    monkeypatch.setattr(uploads, "KEPT_BYTES", 10 * 3 * 16 * 16)
    for side, most in ((16, 10), (32, 4)):
        kept = uploads.Uploads((3, side, side))
        names = [kept.add(encode(Image.new("RGB", (side, side), (i, 0, 0)))) for i in range(12)]
        assert len(kept._pictures._results) == most
        assert kept.get(names[-1]) is not None


def test_an_upload_that_is_gone_is_gone_for_the_models_too(tmp_path: Path) -> None:
    """Its latent, which they remember, is no longer had by its name."""
    app = make_app(tmp_path)
    with client_of(app) as client:
        file = encode(Image.new("RGB", (16, 16), "teal"))
        name = client.request("POST", "/api/uploads", content=file).json()["ref"]
        address = f"/api/pictures.png?model={client.model()}&refs={name}"
        assert client.get(address).status_code == 200
        app.state.mixer.uploads._pictures._results.clear()
        assert client.get(address).status_code == 404


def test_a_grey_model_takes_uploads(tmp_path: Path) -> None:
    """Without a warning that its pixels cannot be written to."""
    model = VAE([8], 3, image_size=16, in_channels=1)
    images = make_pictures().images[:, :1].contiguous()
    with client_of(create_app({"m": model}, Pictures(images), cache=tmp_path)) as client:
        file = encode(Image.new("L", (16, 16), 77))
        name = client.request("POST", "/api/uploads", content=file).json()["ref"]
        assert client.picture(f"/api/originals.png?refs={name}").unique().tolist() == [77]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/mix.png?refs=p1,p2", 404),  # no model
        ("/api/mix.png?model=zzz&refs=p1,p2", 404),
        ("/api/mix.png?model=MODEL&refs=p1", 400),
        ("/api/mix.png?model=MODEL&refs=p1,p2,p3", 400),
        ("/api/mix.png?model=MODEL&refs=p1,p40", 404),
        ("/api/mix.png?model=MODEL&refs=p1,q2", 400),
        ("/api/mix.png?model=MODEL&refs=p1,p2&frames=1", 400),
        ("/api/mix.png?model=MODEL&refs=p1,p2&frames=65", 400),
        ("/api/mix.png?model=MODEL&refs=p1,p2&frames=1e9", 400),
        ("/api/mix.png?model=MODEL&refs=p1,p2&method=exec", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=1", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=nan,1", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=0,0", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=-1,2", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2,p3,p4,p5", 400),
        ("/api/pictures.png?model=MODEL&refs=" + ",".join(["p1"] * 65), 400),
        ("/api/pictures.png?model=MODEL&refs=p1~99", 400),
        ("/api/pictures.png?model=MODEL&refs=p٣", 400),
        ("/api/thumbnails.jpg?refs=s1t80", 400),
        ("/api/originals.png?refs=s1t80", 404),
        ("/api/near?model=MODEL&refs=p1&count=999", 400),
        ("/api/step.png?model=MODEL&refs=p1,p2&steps=5&step=6", 400),
        ("/api/sheets/99999999999999999999.jpg", 404),
        (f"/api/sheets/{'9' * 5000}.jpg", 404),
        (f"/api/sheets/{'9' * 5000}.json", 404),
        ("/api/sheets/-1.jpg", 404),
        ("/api/sheets/x.jpg", 404),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=1_0,1", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=%201,1", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=٣,1", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=1,2,3", 400),
        ("/api/blend.png?model=MODEL&refs=p1,p2&weights=,1", 400),
        ("/api/nothing", 404),
        ("/static/nothing.js", 404),
    ],
)
def test_what_makes_no_sense_is_refused(client: Client, path: str, status: int) -> None:
    """With a status, a word for programs and a sentence for people."""
    answer = client.get(path.replace("MODEL", client.model()))
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message"}


def test_several_models_answer_each_for_itself(tmp_path: object) -> None:
    """The same mix comes out differently, and each has an id of its own."""
    models = {"one": make_model(), "two": make_model(seed=1)}
    with client_of(create_app(models, make_pictures(), cache=tmp_path)) as client:  # type: ignore[arg-type]
        names = [model["name"] for model in client.json("/api/info")["models"]]
        assert names == ["one", "two"]
        ids = client.model(0), client.model(1)
        mixes = [client.picture(f"/api/mix.png?model={id_}&refs=p1,p2&frames=3") for id_ in ids]
        assert ids[0] != ids[1]
        assert not torch.equal(*mixes)
