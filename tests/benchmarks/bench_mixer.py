"""The mixer on a large set: how soon its page is there, how soon a mix, and what memory it takes.

    python tests/benchmarks/bench_mixer.py pictures.zip

Without `--model` one of channels 32 64 128 256 and 500 latents is trained for an epoch first. The
command runs as anybody would start it, in a process of its own, with an empty cache and then
again with what the first start left. A real browser (Chromium, by Playwright) opens the page at
1440 x 900; the times are its own, from the beginning of the navigation, or of the click:

- first paint: the browser's "first contentful paint", and the gallery's first pictures;
- map: the first time that the canvas of the map shows something;
- mix: from a click on "Surprise me" to the new picture on the canvas, 30 times.

`mix.png` is the same request without a browser: 21 frames between two pictures that were never
asked for before, on a connection that is kept.

Memory is that of the server's process, as Linux counts it: what is its own, what it has mapped
from files (libraries and the decoded pictures, which the system can drop), and the peak.
"""

import argparse
import http.client
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from harness import Figures, spread, write

MARK = "the mixer is at "
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
# Times from the navigation's beginning until a canvas shows anything.
SHOWN = """selector => new Promise((done) => {
  const look = () => {
    const canvas = document.querySelector(selector);
    const found = canvas?.width && canvas.getContext('2d')
      .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value);
    if (found) done(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""
MIXED = """() => new Promise((done) => {
  const small = new OffscreenCanvas(8, 8).getContext('2d', { willReadFrequently: true });
  const read = () => {
    small.drawImage(document.getElementById('picture'), 0, 0, 8, 8);
    return small.getImageData(0, 0, 8, 8).data.join();
  };
  const before = read();
  const began = performance.now();
  document.getElementById('random').click();
  const look = () => {
    if (read() !== before) done(performance.now() - began);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""


@contextmanager
def started(arguments: argparse.Namespace, cache: str) -> Iterator[tuple[str, int, float]]:
    """Starts the command; yields its address, its process and the seconds it took."""
    models = [part for model in arguments.model for part in ("--model", model)]
    command = [sys.executable, "-m", "easyvae", "app", *models, "--images", arguments.pictures]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--no-browser", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "EASYVAE_CACHE": cache},
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith(MARK))
        seconds = time.perf_counter() - began
        yield line.removeprefix(MARK).split()[0].rstrip("/"), process.pid, seconds
    finally:
        process.terminate()
        process.wait()


def settle(address: str, process: int) -> float:
    """Waits until the server has nothing to compute any more; returns how long that took."""
    began = last = time.perf_counter()
    before = -1.0
    while time.perf_counter() - last < 1.5:
        time.sleep(0.25)
        now = _processor_seconds(process)
        if now - before > 0.02:
            before, last = now, time.perf_counter()
    return last - began


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> Figures:
    """Reads what Linux knows of a process, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    known = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    return {name: int(known[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile", "VmHWM")}


def request_mixes(address: str, count: int) -> list[float]:
    """Asks for mixes of pairs at random; returns the milliseconds of each."""
    import json

    with urlopen(f"{address}/api/info") as answer:
        info: dict[str, Any] = json.load(answer)
    chosen = random.Random(0)
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    times = []
    for _ in range(count):
        a, b = chosen.sample(range(info["pictures"]["count"]), 2)
        path = f"/api/mix.png?model={info['models'][0]['id']}&refs=p{a},p{b}&frames=21"
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        times.append(1000 * (time.perf_counter() - began))
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
    connection.close()
    return times


def open_page(browser: Any, address: str, mixes: int) -> Figures:
    """Opens the page as somebody who was never there, and mixes."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(".cell canvas", state="attached")
    figures: Figures = {"gallery": page.evaluate(SHOWN, ".cell canvas")}
    figures["map"] = page.evaluate(SHOWN, "#map-canvas")
    page.click("#random")
    page.evaluate(SHOWN, "#picture")
    times = []
    for _ in range(mixes):
        page.wait_for_timeout(300)
        times.append(page.evaluate(MIXED))
    figures["paint"] = page.evaluate(PAINTED)  # some time after it, or it is not known yet
    context.close()
    return {**figures, "mixes": times}


def main() -> None:
    """Measures a first and a second start, and writes the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", help="a folder or zip of pictures, or kittens:N")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--visits", type=int, default=5)
    arguments = parser.parse_args()
    found: Figures = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        if not arguments.model:
            arguments.model = [_train(arguments.pictures, f"{folder}/run")]
        cache = f"{folder}/cache"
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for start in ("first", "second"):
            with started(arguments, cache) as (address, process, seconds):
                figures: Figures = {"start": seconds, "at once": open_page(browser, address, 0)}
                figures["settled"] = settle(address, process)
                figures["idle"] = memory(process)
                visits = [open_page(browser, address, 30) for _ in range(arguments.visits)]
                figures["visits"] = visits
                figures["requests"] = request_mixes(address, 60)
                figures["used"] = memory(process)
                found[start] = figures
        browser.close()
    write("mixer", ["", "first start", "second start"], _rows(found), found)


def _train(pictures: str, run: str) -> str:
    shape = ["--channels", "32", "64", "128", "256", "--latent", "500", "--beta", "0.005"]
    command = [sys.executable, "-m", "easyvae", "train", pictures, *shape, "--epochs", "1"]
    subprocess.run([*command, "--out", run], check=True)
    return run


def _rows(found: Figures) -> list[list[str]]:
    runs = [found["first"], found["second"]]

    def visits(key: str) -> list[str]:
        return [spread([visit[key] for visit in run["visits"]]) for run in runs]

    return [
        ["until it answers, s", *(f"{run['start']:.1f}" for run in runs)],
        [
            "map on a page opened at once, s",
            *(f"{run['at once']['map'] / 1e3:.1f}" for run in runs),
        ],
        ["until all is computed, s", *(f"{run['settled']:.1f}" for run in runs)],
        ["first paint, ms", *visits("paint")],
        ["pictures in the gallery, ms", *visits("gallery")],
        ["map, ms", *visits("map")],
        [
            "from the click to the mix, ms",
            *(spread([t for visit in run["visits"] for t in visit["mixes"]]) for run in runs),
        ],
        ["`mix.png`, 21 frames, ms", *(spread(run["requests"]) for run in runs)],
        ["memory of its own, MB", *(f"{run['used']['RssAnon']:.0f}" for run in runs)],
        ["mapped from files, MB", *(f"{run['used']['RssFile']:.0f}" for run in runs)],
        ["peak of both, MB", *(f"{run['used']['VmHWM']:.0f}" for run in runs)],
    ]


if __name__ == "__main__":
    main()
