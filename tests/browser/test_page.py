"""The mixer's page in a real browser: every bullet of it, by mouse, finger and keyboard.

A console error or a request to anywhere else fails any of these tests.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from easyvae import VAE, BetaLoss, fit

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from app_tools import Image, Running, encode, make_pictures  # noqa: E402
from easyvae.app import create_app  # noqa: E402

BROWSER = (
    os.environ.get("EASYVAE_BROWSER")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")

expect = playwright_api.expect
# A fact that another case of the same test shows as well: the gate looks at them all.
AGAIN = pytest.mark.slow
# What takes its seconds, and is seldom touched.
GATE = pytest.mark.slow
SIZE = 32
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PAIR = "#a=p3&b=p17"
FOUR = "#a=p3&b=p17&c=p8&d=p12&mode=several&weights=40-30-20-10"
FIRST_SAMPLE = "#samples button:first-child canvas"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two small models, trained for moments, on 600 kittens."""
    pictures = make_pictures(600, SIZE, origin="kittens:600")
    models = {}
    for name, beta in (("beta 1", 1.0), ("beta 0.01", 0.01)):
        torch.manual_seed(0)
        model = VAE([8, 16], 8, image_size=SIZE)
        fit(
            model,
            pictures,
            loss=BetaLoss(beta),
            epochs=1,
            progress=False,
            device="cpu",
            precision="float32",
        )
        models[name] = model
    app = create_app(models, pictures, title="kittens", cache=tmp_path_factory.mktemp("cache"))
    with Running(app) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"] if os.name == "posix" else []
        )
        yield browser
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def open_page(site: Running, browser: Any) -> Iterator[Open]:
    """Opens the page, and at the end looks at what went wrong on it."""
    contexts: list[Any] = []
    faults: list[str] = []

    def start(address: str = "", *, expected: str = "", **options: Any) -> Any:
        options = {"viewport": DESK, "locale": "en-GB", **options}
        context = browser.new_context(accept_downloads=True, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()

        def note(kind: str, text: str) -> None:
            if not (expected and expected in text):
                faults.append(f"{kind}: {text}")

        def watch(request: Any) -> None:
            if not request.url.startswith((site.address, "blob:", "data:")):
                faults.append(f"outside request: {request.url}")

        page.on("console", lambda m: m.type in ("error", "warning") and note(m.type, m.text))
        page.on("pageerror", lambda error: note("error", str(error)))
        page.on("request", watch)
        page.goto(site.address + "/" + address)
        expect(page.locator("html")).not_to_have_class(re.compile("loading"))
        page.wait_for_selector(".cell", state="attached")
        return page

    yield start
    for context in contexts:
        context.close()
    assert faults == []


def look(page: Any, selector: str = "#picture") -> str:
    """Returns what a canvas shows, as a string to compare."""
    return str(page.locator(selector).evaluate("canvas => canvas.toDataURL()"))


def mixed(page: Any) -> str:
    """Waits for a mix, and returns what it shows."""
    expect(page.locator("#strip")).not_to_have_class(re.compile("vacant"))
    return look(page)


def changed(page: Any, before: str, selector: str = "#picture") -> str:
    """Waits until a canvas shows something else than before, and returns it."""
    page.wait_for_function(
        "([s, before]) => document.querySelector(s).toDataURL() !== before", arg=[selector, before]
    )
    return look(page, selector)


# Whether there is anything on a canvas.
PAINTED = """(selector) => {
  const canvas = document.querySelector(selector);
  const small = new OffscreenCanvas(16, 16).getContext('2d', { willReadFrequently: true });
  if (canvas.width) small.drawImage(canvas, 0, 0, 16, 16);
  return small.getImageData(0, 0, 16, 16).data.some((x) => x);
}"""


def slot(page: Any, letter: str) -> Any:
    return page.locator(f".slot[data-letter='{letter}']")


@GATE
def test_it_teaches_before_anything_is_picked(open_page: Open) -> None:
    """Empty slots say what to do, and nothing can be pressed that would do nothing."""
    page = open_page()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kitten mixer")
    expect(page.get_by_text("Pick two")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_disabled()
    expect(page.get_by_role("slider", name="From A to B")).to_be_disabled()


def test_two_clicks_make_a_mix(open_page: Open) -> None:
    """The pictures light up in the gallery, stand in the slots, and the mix is there."""
    page = open_page()
    page.get_by_role("option", name="Kitten 2", exact=True).click()
    page.get_by_role("option", name="Kitten 6", exact=True).click()
    mixed(page)
    assert page.url.endswith("#a=p1&b=p5")
    for letter, name in (("A", "Kitten 2"), ("B", "Kitten 6")):
        expect(slot(page, letter)).to_contain_text(name)
        expect(slot(page, letter)).to_contain_text("original")
        expect(slot(page, letter)).to_contain_text("as the model draws it")
        option = page.get_by_role("option", name=f"{name} ({letter})")
        expect(option).to_have_attribute("aria-selected", "true")
    assert page.locator("#strip .step").count() == 11
    expect(page.locator("#ends")).to_contain_text("begins and ends with the pictures as the model")


def test_the_slider_moves_smoothly(open_page: Open) -> None:
    """Every place of it is another picture, and its ends are the reconstructions."""
    page = open_page(PAIR)
    mixed(page)
    slider = page.get_by_role("slider", name="From A to B")
    seen = set()
    for place in (0, 5, 490, 500, 1000):
        slider.fill(str(place))
        page.wait_for_timeout(60)
        seen.add(look(page))
    assert len(seen) == 5
    shown = page.evaluate(ENDS)
    assert max(shown) < 3  # of 255: the same picture, enlarged by two canvases


# The mean difference between each end of the mix and the reconstruction in its slot.
ENDS = """async () => {
  const read = (canvas) => {
    const small = document.createElement('canvas');
    small.width = small.height = 16;
    const context = small.getContext('2d');
    context.drawImage(canvas, 0, 0, 16, 16);
    return context.getImageData(0, 0, 16, 16).data;
  };
  const slider = document.getElementById('slider');
  const found = [];
  for (const [value, letter] of [[0, 'A'], [1000, 'B']]) {
    slider.value = value;
    slider.dispatchEvent(new Event('input'));
    await new Promise((done) => setTimeout(done, 100));
    const a = read(document.getElementById('picture'));
    const b = read(document.querySelectorAll(`.slot[data-letter=${letter}] canvas`)[1]);
    found.push(a.reduce((sum, x, i) => sum + Math.abs(x - b[i]), 0) / a.length);
  }
  return found;
}"""


@GATE
def test_play_runs_and_pauses(open_page: Open) -> None:
    """From A to B and back, until it is stopped."""
    page = open_page(PAIR)
    before = mixed(page)
    page.get_by_role("button", name="Play").click()
    changed(page, before)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(100)
    at = look(page)
    page.wait_for_timeout(200)
    assert look(page) == at


@GATE
def test_all_can_be_pressed_while_playing(open_page: Open) -> None:
    """What is under the finger stays there, however long it is held down."""
    page = open_page(PAIR)
    before = mixed(page)
    page.get_by_role("button", name="Play").click()
    changed(page, before)
    page.get_by_role("radio", name="Arc").click(delay=150)
    expect(page.get_by_role("radio", name="Arc")).to_be_checked()
    page.get_by_role("button", name="Pause").click(delay=150)
    expect(page).to_have_url(re.compile("method=slerp"))


@GATE
def test_play_without_motion_goes_step_by_step(open_page: Open) -> None:
    """Where less motion is preferred, only steps of the strip are shown."""
    page = open_page(PAIR, reduced_motion="reduce")
    before = mixed(page)
    page.get_by_role("button", name="Play").click()
    changed(page, before)
    assert int(page.locator("#slider").input_value()) % 100 == 0


def test_steps_and_path_can_be_chosen(open_page: Open) -> None:
    """Another number of steps is another strip; slerp is another mix."""
    page = open_page(PAIR)
    before = mixed(page)
    page.get_by_role("combobox", name="Steps").select_option("5")
    expect(page.locator("#strip .step")).to_have_count(5)
    page.get_by_role("radio", name="Arc").click()
    changed(page, before)
    assert "steps=5" in page.url
    assert "method=slerp" in page.url
    page.get_by_role("button", name="Step 1 of 5").click()
    expect(page.locator("#slider")).to_have_value("0")


def test_swap_and_surprise(open_page: Open) -> None:
    """A and B change places; a random pair is two different pictures."""
    page = open_page(PAIR)
    mixed(page)
    page.get_by_role("button", name="Swap").click()
    expect(page).to_have_url(re.compile(r"#a=p17&b=p3"))
    page.get_by_role("button", name="Surprise me").click()
    expect(page).not_to_have_url(re.compile(r"#a=p17&b=p3"))
    a, b = re.findall(r"[ab]=(p\d+)", page.url)
    assert a != b


def test_surprise_fills_the_slots_in_use(open_page: Open) -> None:
    """Of four slots with one empty, the three that have a picture."""
    page = open_page("#a=p3&b=p17&d=p8&mode=several")
    page.evaluate("() => { let last = 0; Math.random = () => (last += 0.1); }")
    page.get_by_role("button", name="Surprise me").click()
    expect(page).to_have_url(re.compile("#a=p60&b=p120&d=p180&mode=several"))


def test_the_frame_is_where_the_next_picture_goes(open_page: Open) -> None:
    """On the first empty slot, or on the one that was pointed at."""
    page = open_page("#a=p3&b=p17&d=p8&mode=several")
    expect(slot(page, "C")).to_have_class(re.compile("active"))
    slot(page, "A").locator(".head").click()
    expect(slot(page, "A")).to_have_class(re.compile("active"))
    expect(slot(page, "C")).not_to_have_class(re.compile("active"))
    expect(page.get_by_role("button", name="the next picture goes here")).to_have_count(1)
    page.get_by_role("option", name="Kitten 1", exact=True).click()
    expect(slot(page, "A")).to_contain_text("Kitten 1")
    expect(slot(page, "C")).to_have_class(re.compile("active"))


def test_the_same_picture_twice_is_said(open_page: Open) -> None:
    """There is nothing to mix; both letters stand by the picture."""
    page = open_page("#a=p3")
    page.get_by_role("option", name="Kitten 4 (A)").click()
    expect(page.get_by_role("alert")).to_contain_text("the same picture")
    expect(page.get_by_role("option", name="Kitten 4 (A B)")).to_be_visible()


def test_the_language_is_the_browsers_and_can_be_switched(open_page: Open) -> None:
    """The state is kept, and the choice remembered."""
    page = open_page(PAIR + "&t=250", locale="es-ES")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mezclador de gatitos")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    mixed(page)
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kitten mixer")
    expect(slot(page, "A")).to_contain_text("Kitten 4")
    assert page.url.endswith(PAIR + "&t=250")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kitten mixer")
    expect(page.locator("#slider")).to_have_value("250")


def test_ones_own_picture(open_page: Open, tmp_path: Path) -> None:
    """It goes into a slot, beside its reconstruction; its file's name is nobody's business."""
    page = open_page(PAIR)
    file = tmp_path / "<img src=x onerror=alert(1)>.png"
    pixels = make_pictures(701, 64).images[700]
    file.write_bytes(encode(Image.fromarray(pixels.permute(1, 2, 0).numpy())))
    page.get_by_role("tab", name="Yours").click()
    page.locator("#file").set_input_files(file)
    expect(slot(page, "A")).to_contain_text("Your picture")
    expect(page.locator("#own li canvas.ready")).to_have_count(2)
    assert re.search(r"a=u[0-9a-f]{16}&b=p17", page.url)
    assert page.locator("img").count() == 0
    mixed(page)


def test_a_file_can_be_dropped(open_page: Open) -> None:
    """Onto a slot; and what is no picture is refused kindly."""
    page = open_page(PAIR, expected="415")
    drop = """([selector, bytes, name]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], name));
      const target = document.querySelector(selector);
      const options = { dataTransfer: data, bubbles: true, cancelable: true };
      for (const kind of ['dragover', 'drop']) target.dispatchEvent(new DragEvent(kind, options));
    }"""
    picture = list(encode(Image.new("RGB", (20, 20), "orange")))
    page.evaluate(drop, [".slot[data-letter=B]", picture, "x.png"])
    expect(slot(page, "B")).to_contain_text("Your picture")
    expect(page.locator("body")).not_to_have_class(re.compile("dropping"))
    page.evaluate(drop, ["#stage", list(b"<html>"), "x.png"])
    expect(page.get_by_role("alert")).to_contain_text("not a JPEG, PNG or WEBP")


def test_downloads(open_page: Open) -> None:
    """A step, the strip, and the animation."""
    page = open_page(PAIR)
    mixed(page)
    for name, kind in (("Save step 4", "PNG"), ("Strip", "PNG"), ("GIF", "GIF")):
        with page.expect_download() as found:
            page.get_by_role("link", name=name, exact=True).click()
        with Image.open(found.value.path()) as image:
            assert image.format == kind


def test_with_the_keyboard_alone(open_page: Open) -> None:
    """Picked with arrows and Enter, slid with arrows; the focus is always to be seen."""
    page = open_page()
    page.keyboard.press("Tab")
    for _ in range(16):
        if page.evaluate("document.activeElement.getAttribute('role')") == "option":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    focused = page.locator("[role=option]:focus")
    expect(focused).to_have_attribute("aria-posinset", "600")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press(" ")
    mixed(page)
    assert re.search(r"#a=p\d+&b=p599$", page.url)
    page.locator("#slider").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#slider")).to_have_value("501")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Step 6 of 11")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Step 7 of 11")).to_be_focused()
    expect(page.locator("#slider")).to_have_value("600")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Save step 7")).to_be_focused()
    expect(page.locator("#live")).not_to_be_empty()


def test_a_thousand_rows_are_not_in_the_page(open_page: Open) -> None:
    """Only the cells in view exist, and scrolling brings others."""
    page = open_page()
    assert page.locator("[role=option]").count() < 90
    page.locator("#gallery").evaluate("box => box.scrollTop = box.scrollHeight")
    expect(page.get_by_role("option", name="Kitten 600", exact=True)).to_be_visible()
    assert page.locator("[role=option]").count() < 90


def test_a_picture_can_be_dragged_to_a_slot(open_page: Open) -> None:
    """From the gallery, to either."""
    page = open_page()
    page.get_by_role("option", name="Kitten 5", exact=True).drag_to(slot(page, "B"))
    expect(slot(page, "B")).to_contain_text("Kitten 5")
    expect(slot(page, "A")).to_contain_text("Pick a picture")


@GATE
def test_the_nearest_pictures(open_page: Open) -> None:
    """The gallery shows them, the picture itself first, until all are wanted again."""
    page = open_page(PAIR)
    slot(page, "A").get_by_role("button", name="Find the nearest").click()
    expect(page.locator("#gallery-note")).to_have_text("Nearest to Kitten 4")
    first = page.locator("[role=option][aria-posinset='1']")
    expect(first).to_have_attribute("aria-label", "Kitten 4 (A)")
    expect(first).to_have_attribute("aria-setsize", "90")
    page.get_by_role("button", name="Show all", exact=True).click()
    expect(page.locator("[role=option][aria-posinset='1']")).to_have_attribute(
        "aria-setsize", "600"
    )


def test_the_map(open_page: Open) -> None:
    """Hovering shows a picture, clicking picks it, the wheel zooms, keys do it all."""
    page = open_page()
    expect(page.locator("#map-wait")).to_be_hidden()
    page.wait_for_function(PAINTED, arg="#map-canvas")
    page.wait_for_timeout(300)
    canvas = page.locator("#map-canvas")
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = look(page, "#map-canvas")
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    before = changed(page, before, "#map-canvas")
    page.get_by_role("button", name="Show all of it").click()
    changed(page, before, "#map-canvas")
    for dx in range(0, 60, 4):  # where there is a picture
        page.mouse.move(middle[0] + dx, middle[1])
        if page.locator("#peek").is_visible():
            break
    expect(page.locator("#peek")).to_contain_text("Kitten")
    page.mouse.down(button="right")
    page.mouse.up(button="right")
    expect(slot(page, "A")).to_contain_text("Pick a picture")
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"#a=p\d+"))
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"&b=p\d+"))
    mixed(page)


@GATE
def test_the_map_shows_a_picture_that_comes_late(open_page: Open) -> None:
    """Beside the pointer, as soon as it is here."""
    page = open_page()
    held: list[Any] = []
    page.route(re.compile("/api/(sheets|thumbnails)"), lambda route: held.append(route))
    page.reload()
    expect(page.locator("#map-wait")).to_be_hidden()
    box = page.locator("#map-canvas").bounding_box()
    for step in range(20):
        page.mouse.move(box["x"] + box["width"] / 2 + 4 * step, box["y"] + box["height"] / 2)
        if page.locator("#peek").is_visible():
            break
    expect(page.locator("#peek")).to_contain_text("Kitten")
    assert not page.evaluate(PAINTED, "#peek canvas")
    for route in held:
        route.continue_()
    page.unroute_all()
    page.wait_for_function(PAINTED, arg="#peek canvas")


def test_three_and_four_with_weights(open_page: Open) -> None:
    """A pad to drag on, and sliders that do the same."""
    page = open_page(PAIR)
    page.get_by_role("radio", name="Three or four").click()
    page.get_by_role("option", name="Kitten 9", exact=True).click()
    expect(page.get_by_role("slider", name=re.compile("^Share of"))).to_have_count(3)
    page.wait_for_timeout(300)
    before = look(page)
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.12 * box["width"], box["y"] + 0.85 * box["height"], steps=4)
    page.mouse.up()
    before = changed(page, before)
    share = page.get_by_role("slider", name="Share of B")
    assert int(share.input_value()) > 85
    page.get_by_role("option", name="Kitten 12", exact=True).click()
    expect(page.get_by_role("slider", name=re.compile("^Share of"))).to_have_count(4)
    before = changed(page, before)
    page.get_by_role("slider", name="Share of D").focus()
    page.keyboard.press("End")
    changed(page, before)
    expect(page).to_have_url(re.compile(r"weights=\d+-\d+-\d+-100"))
    with page.expect_download() as found:
        page.get_by_role("link", name="Picture", exact=True).click()
    with Image.open(found.value.path()) as image:
        assert image.size == (4 * SIZE, 4 * SIZE)


def test_a_share_moves_by_what_is_pressed(open_page: Open) -> None:
    """One arrow key is one percent; the others keep their proportions, and come back from none."""
    page = open_page("#a=p3&b=p17&c=p8&d=p12&mode=several")
    share = page.get_by_role("slider", name=re.compile("^Share of"))
    values = "all => all.map(e => Number(e.value))"
    assert share.evaluate_all(values) == [25, 25, 25, 25]
    share.first.focus()
    page.keyboard.press("ArrowRight")
    assert share.evaluate_all(values) == [26, 25, 25, 25]
    page.keyboard.press("End")
    assert share.evaluate_all(values) == [100, 0, 0, 0]
    page.keyboard.press("PageDown")
    assert share.evaluate_all(values) == [90, 3, 3, 3]
    for row in page.locator(".weight").all():
        said = row.locator("[data-output]").inner_text()
        assert said == row.locator("input").input_value() + "%"


def test_editing(open_page: Open) -> None:
    """A slider changes the picture in the slot and the mix, and it can be undone."""
    page = open_page(PAIR + "&t=0")
    before = mixed(page)
    expect(page.locator("#edits canvas.ready")).to_have_count(8)
    slot(page, "A").get_by_role("button", name="Edit").click()
    slider = page.get_by_role("slider", name="Direction 1")
    expect(slider).to_be_focused()
    page.keyboard.press("End")
    changed(page, before)
    expect(slot(page, "A")).to_contain_text("Kitten 4, edited")
    expect(page).to_have_url(re.compile("a=p3~3&"))
    page.get_by_role("button", name="Undo the edits").click()
    expect(page).to_have_url(re.compile("a=p3&"))
    expect(slider).to_be_focused()


def test_new_kittens(open_page: Open) -> None:
    """From the mixture or the prior, bolder or not; each can be put in a slot."""
    page = open_page()
    page.get_by_role("tab", name="New").click()
    expect(page.locator("#samples canvas.ready")).to_have_count(12)
    first = look(page, FIRST_SAMPLE)
    page.get_by_role("button", name="New kitten 1", exact=True).click()
    expect(slot(page, "A")).to_contain_text("made up by the model")
    page.get_by_role("radio", name="Anywhere").click()
    second = changed(page, first, FIRST_SAMPLE)
    page.get_by_role("slider", name="Boldness").fill("120")
    third = changed(page, second, FIRST_SAMPLE)
    boldness = page.get_by_role("slider", name="Boldness")
    expect(boldness).to_have_attribute("aria-valuetext", "1.20")
    page.get_by_role("button", name="Draw twelve more").click()
    changed(page, third, FIRST_SAMPLE)
    page.get_by_role("button", name="New kitten 13", exact=True).click()
    mixed(page)
    assert "a=g1t80&b=s13t120" in page.url


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(PAIR + "&t=320&method=lerp&steps=7", marks=AGAIN),
        "#a=p3&b=s4t90&c=p9~1.5&mode=several&weights=20-50-30-1",
    ],
)
def test_a_link_reproduces_a_mix(open_page: Open, state: str) -> None:
    """In another browser, to the pixel; and so does a reload."""

    def settled(page: Any) -> str:
        expect(page.locator("#empty")).to_be_hidden()
        page.wait_for_function(PAINTED, arg="#picture")
        before, now = "", look(page)
        while now != before:  # until it has been the same for a while
            page.wait_for_timeout(400)
            before, now = now, look(page)
        return now

    views = []
    for _ in range(2):
        page = open_page(state)
        views.append(settled(page))
        page.reload()
        views.append(settled(page))
    assert len(set(views)) == 1


@GATE
def test_back_and_forward(open_page: Open) -> None:
    """Each pick is a step that can be taken back."""
    page = open_page()
    page.get_by_role("option", name="Kitten 2", exact=True).click()
    page.get_by_role("option", name="Kitten 6", exact=True).click()
    mixed(page)
    page.go_back()
    expect(slot(page, "B")).to_contain_text("Pick a picture")
    page.go_forward()
    expect(slot(page, "B")).to_contain_text("Kitten 6")


@GATE
def test_looking_around_leaves_no_steps(open_page: Open) -> None:
    """Tabs are no steps to take back; going back while playing is not played away."""
    page = open_page()
    before = page.evaluate("history.length")
    for name in ("Gallery", "New", "Yours", "Gallery"):
        page.get_by_role("tab", name=name).click()
    assert page.evaluate("history.length") == before
    page.get_by_role("option", name="Kitten 2", exact=True).click()
    page.get_by_role("option", name="Kitten 6", exact=True).click()
    mixed(page)
    page.get_by_role("option", name="Kitten 8", exact=True).click()
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(300)
    page.go_back()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.wait_for_timeout(400)
    expect(page).to_have_url(re.compile("a=p1&b=p5"))


@GATE
def test_a_link_with_too_much_is_taken_as_far_as_it_goes(open_page: Open) -> None:
    """Weights of empty slots do not count, and edits go as far as the sliders do."""
    page = open_page("#a=p3&c=p8~9.99&mode=several&weights=0-5-0-5")
    share = page.get_by_role("slider", name=re.compile("^Share of"))
    assert share.evaluate_all("all => all.map(e => e.value)") == ["50", "50"]
    page.get_by_role("radiogroup", name="Which picture").get_by_text("C").click()
    expect(page.get_by_role("slider", name="Direction 1")).to_have_value("3")
    page.wait_for_timeout(500)  # for requests that might be refused


@GATE
def test_a_gone_upload_is_said_kindly(open_page: Open) -> None:
    """The rest of the link still works."""
    page = open_page("#a=u0123456789abcdef&b=p4", expected="404")
    expect(page.get_by_role("alert")).to_contain_text("kept in memory only")
    expect(slot(page, "A")).to_contain_text("Pick a picture")
    expect(slot(page, "B")).to_contain_text("Kitten 5")


@pytest.mark.parametrize(
    "lost",
    ["api/info", *(pytest.param(f"static/{n}", marks=AGAIN) for n in ("map.js", "es.json"))],
)
def test_a_page_that_cannot_be_loaded_says_so(open_page: Open, lost: str) -> None:
    """In the reader's language, for as long as it is so, with a way out."""
    page = open_page(PAIR, locale="es-ES", expected="ERR_FAILED")
    page.route(f"**/{lost}", lambda route: route.abort())
    page.reload()
    expect(page.get_by_text("No se pudo cargar la página")).to_be_visible()
    expect(page.get_by_text("could not be loaded")).to_be_hidden()
    expect(page.locator("main")).to_be_hidden()
    page.unroute_all()
    page.get_by_role("button", name="Reintentar").click()
    mixed(page)


@GATE
def test_a_server_that_stops_and_comes_back(open_page: Open) -> None:
    """Nothing old is shown under a new name; what is missing comes once it can."""
    page = open_page(PAIR, expected="ERR_FAILED")
    mixed(page)
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("option", name="Kitten 9", exact=True).click()
    expect(page.get_by_text("The server does not answer")).to_be_visible()
    expect(slot(page, "A").locator("canvas.ready")).to_have_count(0)
    expect(page.locator("#strip")).to_have_class(re.compile("vacant"))
    assert not page.evaluate(PAINTED, "#picture")
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("The server does not answer")).to_be_hidden()
    mixed(page)
    expect(slot(page, "A").locator("canvas.ready")).to_have_count(2)


@GATE
def test_a_switch_between_models(open_page: Open) -> None:
    """The same mix by another model; the slots stay."""
    page = open_page(PAIR)
    before = mixed(page)
    page.get_by_role("combobox", name="Model").select_option("beta 0.01")
    changed(page, before)
    expect(page).to_have_url(re.compile("model=beta%200.01"))
    expect(slot(page, "A")).to_contain_text("Kitten 4")


@GATE
def test_dark_and_light(open_page: Open) -> None:
    """The system's choice first; the button changes it, and that is remembered."""
    background = "getComputedStyle(document.body).backgroundColor"
    page = open_page(color_scheme="dark")
    dark = page.evaluate(background)
    button = page.get_by_role("button", name="Dark page")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    assert page.evaluate(background) == light
    expect(button).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("locale", [pytest.param("en-GB", marks=AGAIN), "es-ES"])
@pytest.mark.parametrize("state", [PAIR, FOUR], ids=["pair", "four"])
def test_all_is_on_one_screen(open_page: Open, state: str, locale: str) -> None:
    """On a desk: gallery, slots, mix, sliders, map and edit, without scrolling."""
    page = open_page(state, locale=locale)
    page.wait_for_timeout(500)
    for width, height in ((1440, 900), (1366, 768), (1280, 720), (1100, 700)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollHeight") <= height
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for part in (
            "#gallery",
            ".slot",
            "#picture",
            "#foot",
            "#map-canvas",
            "#edits",
            *MIXED[state],
        ):
            box = page.locator(f"{part}:visible").last.bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= height, (part, width)
        for part in ("#stage", "#look"):
            over = page.locator(part).evaluate("e => e.scrollHeight - e.clientHeight")
            assert over <= 1, (part, width)


MIXED = {PAIR: ["#slider", "#strip"], FOUR: ["#pad", "#weights"]}


@pytest.mark.parametrize("size", [(1024, 768), (768, 1024), (844, 390), (390, 844)])
def test_the_slider_is_in_view_with_its_picture(open_page: Open, size: tuple[int, int]) -> None:
    """On tablets, and on phones either way round."""
    page = open_page(PAIR, viewport={"width": size[0], "height": size[1]})
    mixed(page)
    box = page.locator("#slider").bounding_box()
    assert box["y"] + box["height"] <= size[1]
    assert page.locator("#picture").bounding_box()["y"] >= 0


# What is too small to be pressed by a thumb.
SMALL = """() => [...document.querySelectorAll('button, a[href], select, input')]
  .filter((e) => e.offsetParent && !e.classList.contains('hidden'))
  .filter((e) => e.getBoundingClientRect().height < 44 || e.getBoundingClientRect().width < 43)
  .map((e) => e.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("locale", [pytest.param("en-GB", marks=AGAIN), "es-ES"])
def test_on_a_phone(open_page: Open, locale: str) -> None:
    """One column, nothing wider than the screen, everything large enough for a thumb."""
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True, locale=locale)
    page.locator("[role=option]").nth(2).tap()
    page.locator("[role=option]").nth(4).tap()
    mixed(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(SMALL) == []
    page.locator(".dock button").nth(2).tap()
    expect(page.locator("#map-canvas")).to_be_in_viewport()
    assert page.evaluate("document.activeElement.id") == "map-card"


def test_the_mix_is_in_sight_while_editing_on_a_phone(open_page: Open) -> None:
    """Where the large picture is far away, a small one follows the sliders and leads back."""
    page = open_page(PAIR, viewport=PHONE, has_touch=True, is_mobile=True)
    mixed(page)
    expect(page.locator("#small")).to_be_hidden()
    page.locator(".dock button").last.tap()
    expect(page.locator("#small")).to_be_visible()
    page.wait_for_function(PAINTED, arg="#small")
    before = look(page, "#small")
    page.get_by_role("slider", name="Direction 1").fill("3")
    changed(page, before, "#small")
    page.get_by_role("button", name="Mix").tap()
    expect(page.locator("#picture")).to_be_in_viewport()
    expect(page.locator("#small")).to_be_hidden()


@pytest.mark.parametrize("state", [PAIR, FOUR], ids=["pair", "four"])
def test_on_a_tablet_all_is_large_enough(open_page: Open, state: str) -> None:
    """For a thumb."""
    page = open_page(state, viewport={"width": 1024, "height": 768}, has_touch=True)
    page.wait_for_timeout(300)
    assert page.evaluate(SMALL) == []


@GATE
def test_nothing_jumps_while_loading(open_page: Open) -> None:
    """Room is kept for what is still to come."""
    page = open_page(PAIR)
    mixed(page)
    page.wait_for_timeout(300)
    shift = page.evaluate("""() => new Promise((done) => {
      let sum = 0;
      new PerformanceObserver((list) => { for (const e of list.getEntries()) sum += e.value; })
        .observe({ type: 'layout-shift', buffered: true });
      setTimeout(() => done(sum), 200);
    })""")
    assert shift < 0.05


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core: where it is installed, or else from the registry for this run."""
    here = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
    given = Path(os.environ.get("EASYVAE_AXE") or here)
    if not given.is_file():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("axe-core is not installed, and there is no npm to get it with")
        folder = tmp_path_factory.mktemp("axe")
        command = [
            npm,
            "install",
            "--prefix",
            str(folder),
            "--no-audit",
            "--no-fund",
            "axe-core@4",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        given = folder / "node_modules" / "axe-core" / "axe.min.js"
        if not given.is_file():
            pytest.skip(f"axe-core could not be installed: {done.stderr.strip()[-200:]}")
    return given.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("state", "size"),
    [
        pytest.param("", DESK, marks=AGAIN),
        (PAIR, DESK),
        pytest.param(PAIR, PHONE, marks=AGAIN),
        pytest.param(PAIR + "&tab=new", DESK, marks=AGAIN),
        ("#a=p3&b=p17&c=p8&mode=several&tab=own", DESK),
    ],
    ids=["empty", "pair", "phone", "new", "several"],
)
def test_no_serious_accessibility_fault(
    open_page: Open, axe: str, state: str, size: dict[str, int]
) -> None:
    """By axe-core, in either colour scheme."""
    page = open_page(state, viewport=size)
    page.wait_for_timeout(500)
    page.evaluate(axe)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)  # longer than any transition
        found = page.evaluate("axe.run()")
        faults = [
            f"{fault['id']}: {fault['help']} {[node['html'][:120] for node in fault['nodes'][:4]]}"
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical", "moderate")
        ]
        assert faults == [], scheme


@GATE
def test_a_model_that_fails_is_not_waited_for(browser: Any, tmp_path: Path) -> None:
    """The page says so where the map and the edits would be, and asks no more."""
    model = VAE([8], 4, image_size=SIZE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    app = create_app({"broken": model}, make_pictures(30, SIZE), cache=tmp_path)
    with Running(app) as running, browser.new_context(viewport=DESK, locale="en-GB") as context:
        asked: list[str] = []
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(running.address)
        for place in ("#map-wait", "#edit-note"):
            expect(page.locator(place)).to_contain_text("cannot place the set's pictures")
        before = len(asked)
        page.wait_for_timeout(1500)
        assert len(asked) == before


def test_the_page_keeps_to_the_frames_it_may_have(browser: Any, tmp_path: Path) -> None:
    """Of large pictures the server draws fewer at a time, whatever a link asks for."""
    app = create_app({"m": VAE([8], 4, image_size=SIZE)}, make_pictures(30, SIZE), cache=tmp_path)
    app.state.mixer.gallery.at_once = 16
    with Running(app) as running, browser.new_context(viewport=DESK, locale="en-GB") as context:
        page = context.new_page()
        page.goto(f"{running.address}/{PAIR}&steps=21")
        mixed(page)
        expect(page.locator("#strip .step")).to_have_count(16)
        page.locator("#steps").select_option("7")
        expect(page.locator("#strip .step")).to_have_count(7)
        assert "16" in page.locator("#steps").inner_text().split()
        assert "21" not in page.locator("#steps").inner_text().split()


def test_names_that_are_no_text(browser: Any, tmp_path: Path) -> None:
    """Of the set, its pictures and the models: the page starts, mixes, and shows them escaped."""
    name = "caf\udce9\x1b[2J\x07\n"
    shown = "caf\\udce9\\x1b[2J\\x07\\n"
    models = {name: VAE([8], 4, image_size=SIZE), f"{name}2": VAE([8, 8], 4, image_size=SIZE)}
    pictures = make_pictures(30, SIZE, names=[f"{name}.png"] * 30)
    app = create_app(models, pictures, title=name, cache=tmp_path)
    with Running(app) as running, browser.new_context(viewport=DESK, locale="en-GB") as context:
        faults: list[str] = []
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{running.address}/{PAIR}")
        mixed(page)
        expect(page.locator("body")).to_contain_text(shown)
        expect(page.locator(".cell").first).to_have_accessible_name(re.compile(re.escape(shown)))
        assert faults == []
