"""Scale: from ten thousand pictures to a million, the first scan, the second start, and training.

    python tests/benchmarks/bench_scale.py --counts 10000 100000 1000000

Kittens are written as JPEG files into one folder that grows from count to count; an archive
(`--zip`) may have about 400,000. For each count, fresh processes measure

- the scan: `load_pictures`, which decodes every file once and keeps the pixels in a cache file
  (sets under 64 MB, some 5,000 pictures of 64x64, are not kept, and scanned again each time);
- the second start: the same call again;
- the opening of the data as `fit` does it, with a tenth held out, and then training steps of a
  small model: pictures are gathered at random from all of the cache file.

The files have just been written: where they fit in the system's own cache, no disk is timed.

Memory is what Linux counts. The anonymous part is what the process itself holds, and its peak is
sampled every 10 ms. All that was resident at the peak includes the pages of the libraries and of
the mapped cache file that have been touched, which the system takes back when it needs them.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from itertools import chain, count, islice
from pathlib import Path

import torch
from bench_memory import megabytes
from harness import Figures, main, measure, spread, take_turns, write
from PIL import Image

from easyvae import VAE, BetaLoss
from easyvae.data import load_pictures
from easyvae.kittens import draw_kittens
from easyvae.training import default_optimizer
from easyvae.training.checkpoint_checks import Progress
from easyvae.training.console import Console
from easyvae.training.distributed import SingleProcess
from easyvae.training.open_data import DataOpener
from easyvae.training.optim import DEFAULT_BATCH_SIZE, DEFAULT_LR
from easyvae.training.recipe import Recipe
from easyvae.training.trainer import Trainer

CHUNK = 1000
WARM_UP, STEPS = 20, 300


class Watch:
    """Finds the peak of the anonymous memory in a block."""

    def __enter__(self) -> "Watch":
        """Starts to sample."""
        self.start = self.peak = megabytes("RssAnon")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stops."""
        self._done.set()
        self._thread.join()
        self.end = megabytes("RssAnon")
        self.peak = max(self.peak, self.end)

    def _sample(self) -> None:
        while not self._done.wait(0.01):
            self.peak = max(self.peak, megabytes("RssAnon"))

    def figures(self) -> Figures:
        """Returns the figures, in MB."""
        peak = megabytes("VmHWM")
        return {"start": self.start, "anonymous": self.peak, "end": self.end, "resident": peak}


def draw_files(numbers: range, size: int) -> Iterator[tuple[str, bytes]]:
    """Draws kittens and yields the name and content of each one's file."""
    for start in numbers[::CHUNK]:
        stop = min(start + CHUNK, numbers.stop)
        pictures = draw_kittens(stop - start, size=size, start=start)[0]
        for number, pixels in enumerate(pictures, start=start):
            file = BytesIO()
            Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=90)
            yield f"{number // CHUNK:04}/{number:07}.jpg", file.getvalue()


def add_files(source: Path, numbers: range, size: int) -> None:
    """Adds kittens to a folder, or an archive whose name ends so."""
    if source.suffix == ".zip":
        with zipfile.ZipFile(source, "a") as archive:
            for name, content in draw_files(numbers, size):
                archive.writestr(name, content)
        return
    for name, content in draw_files(numbers, size):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def load(arguments: argparse.Namespace) -> Figures:
    """Loads the pictures: scans them the first time, and finds them in the cache the second."""
    with Watch() as watch:
        began = time.perf_counter()
        pictures = load_pictures(arguments.source, (3, *[arguments.image_size] * 2))
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "pictures": len(pictures), **watch.figures()}


def train(arguments: argparse.Namespace) -> Figures:
    """Opens the data as `fit` does, and trains for some steps."""
    torch.manual_seed(0)
    model = VAE([8, 16], 32, image_size=arguments.image_size)
    opener = DataOpener(
        shape=model.input_shape,
        batch_size=DEFAULT_BATCH_SIZE,
        seed=0,
        unit_range=True,
        processes=SingleProcess("cpu"),
        console=Console(enabled=False),
    )
    with Watch() as watch:
        began = time.perf_counter()
        training, _ = opener.open(arguments.source, 0.1)
        opening = time.perf_counter() - began
        optimizer = default_optimizer(model.parameters(), DEFAULT_LR)
        recipe = Recipe(DEFAULT_LR, torch.float32, seed=0, steps=WARM_UP + STEPS)
        trainer = Trainer(model, BetaLoss(), optimizer, recipe, opener.processes)
        at, images = Progress(), 0
        batches = chain.from_iterable(map(training.feed.epoch, count()))
        with trainer.training_mode():
            for batch in islice(batches, WARM_UP):
                trainer.step(batch, at)
            began = time.perf_counter()
            for batch in islice(batches, STEPS):
                trainer.step(batch, at)
                images += batch.total
            seconds = time.perf_counter() - began
    return {"opening": opening, "images per second": images / seconds, **watch.figures()}


def report(arguments: argparse.Namespace) -> None:
    """Grows the set, measures each count, and writes the table."""
    rows, record = [], {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        source = Path(folder, "pictures.zip" if arguments.zip else "pictures")
        cache = Path(folder, "cache")
        os.environ["EASYVAE_CACHE"] = str(cache)
        options = ["--source", source, "--image-size", arguments.image_size]
        made = 0
        for size in sorted(arguments.counts):
            add_files(source, range(made, size), arguments.image_size)
            made = size
            shutil.rmtree(cache, ignore_errors=True)
            scan = measure("load", *options)
            later = take_turns(["load", "train"], arguments.rounds, *options)
            record[size] = {"scan": scan, **later}
            rows.append(
                [
                    f"{scan['pictures']:,}",
                    f"{scan['seconds']:.1f}",
                    f"{scan['pictures'] / scan['seconds']:.0f}",
                    f"{scan['anonymous']:.0f}",
                    f"{scan['resident']:.0f}",
                    spread([run["seconds"] for run in later["load"]], 2),
                    spread([run["opening"] for run in later["train"]], 2),
                    spread([run["images per second"] for run in later["train"]]),
                    spread([run["anonymous"] for run in later["train"]]),
                    spread([run["resident"] for run in later["train"]]),
                ]
            )
    headings = ["pictures", "scan, s", "pictures/s", "peak anonymous, MB", "peak resident, MB"]
    headings += ["second start, s", "opening in `fit`, s", "training images/s"]
    headings += ["peak anonymous, MB", "peak resident, MB"]
    write("scale-zip" if arguments.zip else "scale", headings, rows, record)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--zip", action="store_true", help="an archive in place of the folder")
    parser.add_argument("--folder", type=Path, help="where all files are kept while it runs")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    main({"load": load, "train": train}, report, parser)
