"""Feeds damaged and forged files to what reads files, until the time is up.

    python tests/trust/fuzz.py model --seconds 600
    python tests/trust/fuzz.py checkpoint --seconds 600
    python tests/trust/fuzz.py pictures --seconds 600
    python tests/trust/fuzz.py zip --seconds 600
    python tests/trust/fuzz.py caches --seconds 600
    python tests/trust/fuzz.py runs --seconds 600

Each reader may give a result or its one error (`ModelFileError`, `ImageError`), and nothing else:
no other exception, no more than ten seconds of CPU, no more memory than `--megabytes` beyond what
the process has at the start, and no file anywhere. What breaks this is written to `--keep`, and
the script ends with exit code 1. Such a file belongs into `tests/trust/findings/`, where the tests
read it from then on.

Files are made from good ones: bytes changed, cut, doubled and swapped; for models also their
header rewritten as JSON, with a right checksum or without; for pictures also their parts (segments
and scans of a JPEG, chunks of a PNG or WEBP) repeated, moved, exchanged and emptied, with right
lengths and sums; for zips also the fields of their tables; for checkpoints also the shapes, kinds
and values of their tensors; for caches and run folders also folders, pipes and devices in a file's
place. What is read of a cache is what was written, unless it was forged with a right checksum; a
cache that is taken for absent counts as refused. The sequence is a function of `--seed`.
"""

import argparse
import contextlib
import copy
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from PIL import Image

from easyvae import VAE, History, fit
from easyvae.app.latents_cache import TensorCache, open_mixture
from easyvae.core.files import ModelFileError
from easyvae.core.tensor_file import read_tensors, write_tensors
from easyvae.data import ImageError, inspect_pictures, load_pictures, read_image
from easyvae.data.cache import Cache
from easyvae.data.pictures import Report
from easyvae.training import NonFiniteError, RunFolder
from easyvae.training.run_folder import read_run

LONGEST = 10
"""Seconds of CPU for one file; a minute by the clock, in which a busy machine does as much."""
SHAPE = (3, 8, 8)
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e300),
    *(float("nan"), float("inf"), "", "silu", "os.system", "a" * 5000, "\ud800", "\n\x1b[2J"),
    *([], {}, [[]], [{}], [0], [10**9], [1] * 3000, {"dict": []}, {"tensor": "a"}),
]


class HangError(BaseException):
    """A file took too long: a `BaseException`, which no reader catches."""


# Ways to make a bad file of good ones


def damage(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Changes, cuts, doubles or swaps some bytes."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(result) + 1)
        end = min(len(result), at + chance.choice((1, 2, 4, 8, 64, 1024)))
        kind = chance.randrange(7)
        if kind == 0 and at < len(result):
            result[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and at < len(result):
            result[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 2:
            del result[at:end]
        elif kind == 3:
            result[at:at] = result[at:end]
        elif kind == 4:
            number = chance.choice((0, 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1))
            result[at : at + 4] = struct.pack(chance.choice(("<I", ">I")), number)
        elif kind == 5:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            result[at:end] = other[start : start + end - at]
        else:
            del result[at:]
    return bytes(result)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the way to each value in nested JSON."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def odd(chance: random.Random) -> Any:
    """Returns something odd that is nobody else's: it may be changed later on."""
    return copy.deepcopy(chance.choice(ODD))


def rewrite(value: Any, chance: random.Random) -> Any:
    """Replaces, removes, adds or renames something in nested JSON."""
    found = [path for path in places(value) if path]
    if not found:
        return odd(chance)
    *way, last = chance.choice(found)
    inner = value
    for key in way:
        inner = inner[key]
    kind = chance.randrange(5)
    if kind == 0:
        del inner[last]
    elif kind == 1 and isinstance(inner, dict):
        inner[chance.choice(("", "x", "__class__", "latent", "\ud800", "0" * 3000))] = inner.pop(
            last
        )
    elif kind == 2 and isinstance(inner, list):
        inner.insert(last, odd(chance))
    elif kind == 3 and isinstance(inner[last], int):
        inner[last] += chance.choice((-1, 1, 4, -4, 2**32, 2**64))
    else:
        inner[last] = odd(chance)
    return value


# What is fuzzed: each yields (files, whether all went well)


def models(folder: Path, chance: random.Random) -> Iterator[Callable[[], object]]:
    """Reads model files."""
    good = []
    for number, options in enumerate(({}, {"norm": "batch", "residual_blocks": 1, "hidden": 3})):
        VAE([2, 3], 2, image_size=(5, 4), **options).save(folder / f"{number}")
        good.append((folder / f"{number}").read_bytes())
    contents = [read_tensors(folder / f"{number}") for number in range(len(good))]
    path = folder / "fuzzed.safetensors"
    while True:
        kind = chance.randrange(3)
        if kind == 0:
            path.write_bytes(damage(chance.choice(good), good, chance))
        elif kind == 1:  # a header of sense with a change
            data = chance.choice(good)
            length = int.from_bytes(data[:8], "little")
            header = rewrite(json.loads(data[8 : 8 + length]), chance)
            raw = json.dumps(header).encode()
            path.write_bytes(len(raw).to_bytes(8, "little") + raw + data[8 + length :])
        else:  # a whole file, with a right checksum, of a config that may have none
            tensors, metadata = chance.choice(contents)
            metadata = json.loads(json.dumps(metadata))
            for _ in range(chance.choice((1, 1, 3))):
                metadata = rewrite(metadata, chance)
            try:
                write_tensors(path, tensors, metadata)
            except (ValueError, TypeError):
                continue
        yield lambda: VAE.load(path)


def drawn(kind: str, size: tuple[int, int], mode: str, chance: random.Random) -> bytes:
    """Draws a picture of noise, as a file."""
    noise = np.frombuffer(chance.randbytes(size[0] * size[1] * 4), np.uint8)
    image = Image.fromarray(noise.reshape(size[1], size[0], 4)).convert(mode)
    file = io.BytesIO()
    options: dict[str, Any] = {
        "exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\3\0\1\0\0\0\6\0\0\0"
    }
    if kind == "JPEG":
        options["progressive"] = chance.random() < 0.5
        options["restart_marker_blocks"] = chance.choice((0, 1, 3))
    elif chance.random() < 0.5:
        options |= {"save_all": True, "append_images": [image.rotate(180)] * 2}
    image.save(file, kind, **options)
    return file.getvalue()


def gallery(chance: random.Random) -> list[tuple[str, bytes]]:
    """Draws pictures of each kind."""
    kinds = [
        ("JPEG", ("RGB", "L", "CMYK")),
        ("PNG", ("RGBA", "L", "P", "1", "LA")),
        ("WEBP", ("RGB",)),
    ]
    return [
        (f"{kind.lower()}", drawn(kind, size, mode, chance))
        for kind, modes in kinds
        for mode in modes
        for size in ((9, 7), (40, 30))
    ]


def parts_of(data: bytes) -> list[bytes]:
    """Takes a picture file apart: joined, the parts are the file."""
    if data.startswith(b"\xff\xd8"):
        # A segment each, together with the coded data behind it.
        marks = [m.start() for m in re.finditer(rb"\xff[\xc0-\xcf\xd8-\xfe]", data)]
        return [data[a:b] for a, b in zip(marks, [*marks[1:], len(data)], strict=True)]
    if data.startswith(b"\x89PNG"):
        parts, at, extra, order = [data[:8]], 8, 12, ">I"
    else:
        parts, at, extra, order = [data[:12]], 12, 8, "<I"
    while at < len(data):
        place = at if order == ">I" else at + 4
        (length,) = struct.unpack(order, data[place : place + 4])
        end = at + extra + length + (length % 2 if order == "<I" else 0)
        parts.append(data[at:end])
        at = end
    return parts


def rebuild(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Repeats, moves, exchanges or empties parts of a picture file: each part stays sound."""
    parts = parts_of(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(1, len(parts)) if len(parts) > 1 else 0
        kind = chance.randrange(6)
        if kind == 0:
            copies = chance.choice((1, 2, 30, 200, 5000))
            parts[at:at] = [parts[at]] * min(copies, 10**6 // max(1, len(parts[at])))
        elif kind == 1:
            parts.insert(chance.randrange(1, len(parts) + 1), parts.pop(at))
        elif kind == 2:
            other = parts_of(chance.choice(others))
            parts.insert(at, chance.choice(other))
        elif kind == 3 and len(parts) > 2:
            del parts[at]
        elif kind == 4:  # an empty scan, or a part without its content
            parts[at] = parts[at][: chance.choice((0, 2, 4, 10, 12))]
        else:
            extra = (
                *(b"\xff\xd0", b"\xff\x01", b"\xff" * 999, b"\xff\xdd\0\4\0\1"),
                *(b"\xff\xda\0\x08\1\1\0\1\x3f\x10", b"\xff\xc9\0\x0b\x08\0\1\0\1\1\1\x11\0"),
                *(b"\0\0\0\0IDAT\x35\xaf\x06\x1e", b"\0\0\0\0abCd\0\0\0\0", b"EXIF\0\0\0\0"),
            )
            parts.insert(at, chance.choice(extra) * chance.choice((1, 1, 40, 3000)))
    return b"".join(parts)


def scan(folder: Path, shape: tuple[int, ...]) -> None:
    """Looks at a folder in every way that there is."""
    load_pictures(folder, shape)
    inspect_pictures(folder)
    read_image(folder / "fuzzed.png", shape)


def pictures(folder: Path, chance: random.Random) -> Iterator[Callable[[], object]]:
    """Scans a folder with one damaged picture and a good one."""
    good = gallery(chance)
    everything = [data for _, data in good]
    folder = folder / "set"
    folder.mkdir()
    (folder / "good.png").write_bytes(good[-1][1])
    path = folder / "fuzzed.png"
    while True:
        data = chance.choice(everything)
        how = chance.randrange(3)  # bytes, parts, or both
        data = data if how == 0 else rebuild(data, everything, chance)
        path.write_bytes(data if how == 1 else damage(data, everything, chance))
        shape = chance.choice((SHAPE, (1, 5, 9)))
        yield partial(scan, folder, shape)


def zips(folder: Path, chance: random.Random) -> Iterator[Callable[[], object]]:
    """Scans zip archives."""
    good = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for number, (kind, data) in enumerate(gallery(chance)[:5]):
                archive.writestr(f"a/{number}.{kind}", data)
            archive.writestr("b.png", bytes(300_000))
        good.append(file.getvalue())
    path = folder / "fuzzed.zip"
    while True:
        data = bytearray(chance.choice(good))
        if chance.random() < 0.7:  # a field of a table, or of the end
            for _ in range(chance.choice((1, 1, 2, 4))):
                marks = [b"PK\1\2", b"PK\3\4", b"PK\5\6"]
                mark = chance.choice(marks)
                starts = [i for i in range(len(data)) if data.startswith(mark, i)]
                at = chance.choice(starts or [0]) + chance.randrange(4, 46)
                number = chance.choice((0, 1, 8, 9, 12, 14, 255, 2**16 - 1, 2**31, 2**32 - 1))
                raw = struct.pack("<I", number)[: chance.choice((1, 2, 4))]
                data[at : at + len(raw)] = raw
        else:
            data = bytearray(damage(bytes(data), good, chance))
        path.write_bytes(data)
        yield lambda: load_pictures(path, SHAPE)


def forge_state(tensors: dict[str, torch.Tensor], chance: random.Random) -> None:
    """Gives one of the tensors another shape, type, name or other values."""
    name = chance.choice(list(tensors))
    t = tensors[name]
    kind = chance.randrange(6)
    if kind == 0:
        tensors[name] = torch.zeros(chance.choice(((), (0,), (1,), (1, 1), (100_000,))))
    elif kind == 1:
        tensors[name] = t.reshape(*t.shape, 1) if chance.random() < 0.5 else t.reshape(-1)
    elif kind == 2:
        tensors[name] = t.to(
            chance.choice((torch.float64, torch.float16, torch.int64, torch.bool))
        )
    elif kind == 3:
        tensors[chance.choice(("x", name + "x"))] = tensors.pop(name)
    elif kind == 4:
        fill = chance.choice((float("nan"), float("inf"), -1.0, 1e38, 0.5))
        if t.is_floating_point():
            tensors[name] = torch.full_like(t, fill)
    else:
        tensors[name] = tensors[chance.choice(list(tensors))]


def resume(run: Path, images: torch.Tensor, optimizer: Any) -> None:
    """Goes on with a copy of a run for one step, if it is taken for one."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name, "run")
        shutil.copytree(run, out)
        model = VAE([2, 3], 2, image_size=(5, 4), norm="batch")
        with contextlib.suppress(NonFiniteError):  # what training itself finds in a forged state
            fit(
                model,
                images,
                batch_size=8,
                epochs=2,
                validation=None,
                optimizer=optimizer,
                device="cpu",
                out=out,
                progress=False,
            )


def checkpoints(folder: Path, chance: random.Random) -> Iterator[Callable[[], object]]:
    """Resumes runs whose checkpoints are damaged, or forged with a right checksum."""
    images = torch.rand(8, 3, 5, 4)
    optimizers = (None, partial(torch.optim.AdamW, lr=1e-3, fused=True))
    runs, contents = [], []
    for number, optimizer in enumerate(optimizers):
        run = folder / f"{number}"
        model = VAE([2, 3], 2, image_size=(5, 4), norm="batch")
        fit(
            model,
            images,
            batch_size=8,
            epochs=1,
            validation=None,
            optimizer=optimizer,
            device="cpu",
            out=run,
            progress=False,
        )
        (path,) = (run / "checkpoints").glob("*.safetensors")
        runs.append((run, path, path.read_bytes(), optimizer))
        contents.append(read_tensors(path))
    while True:
        number = chance.randrange(len(runs))
        run, path, good, optimizer = runs[number]
        if chance.random() < 0.2:
            path.write_bytes(damage(good, [good for *_, good, _ in runs], chance))
        else:
            tensors, metadata = copy.deepcopy(contents[number])
            for _ in range(chance.choice((1, 1, 3))):
                if chance.random() < 0.5:
                    forge_state(tensors, chance)
                else:
                    metadata = rewrite(metadata, chance)
            try:
                write_tensors(path, tensors, metadata)
            except (ValueError, TypeError):
                continue
        fuzzed = folder / "fuzzed.safetensors"
        fuzzed.write_bytes(path.read_bytes())
        yield partial(resume, run, images, optimizer)
        path.write_bytes(good)


def put(path: Path, content: bytes) -> None:
    """Puts a file in the place of whatever is there; some contents stand for what is no file."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    if content == b"folder":
        path.mkdir()
    elif content == b"pipe":
        os.mkfifo(path)
    elif content in (b"/dev/zero", b"/dev/null", path.name.encode()):  # the last is a loop
        path.symlink_to(content.decode())
    else:
        path.write_bytes(content)


def changed(path: Path, others: list[bytes], chance: random.Random) -> bytes:
    """Returns the content of a file of ours with a change, or something that is no file."""
    kind = chance.randrange(10)
    if kind == 0:
        return chance.choice((b"folder", b"pipe", b"/dev/zero", b"/dev/null", path.name.encode()))
    data = path.read_bytes()
    if kind == 1:
        return data[: len(data) // 2].ljust(len(data), b"\0")
    if kind < 5 and path.suffix == ".json":
        return json.dumps(rewrite(json.loads(data), chance)).encode()
    return damage(data, others, chance)


def forged(path: Path, chance: random.Random) -> bytes:
    """Returns a file of tensors with other metadata or tensors, and a right checksum."""
    tensors, metadata = read_tensors(path)
    if chance.random() < 0.6:
        metadata = rewrite(metadata, chance)
    else:
        name = chance.choice(list(tensors))
        dtype = chance.choice((torch.uint8, torch.int64, torch.float32, torch.bfloat16))
        size = chance.choice(((), (0,), (3,), tuple(tensors[name].shape), (3, 16)))
        tensors[name] = torch.full(size, chance.choice((0, 1, 200))).to(dtype)
    other = path.with_name("other")
    write_tensors(other, tensors, metadata)
    content = other.read_bytes()
    other.unlink()
    return content


class Kept:
    """A cache folder with pictures, kittens, latents, a mixture and a map, and how each is read.

    Attributes:
        readers: for each file, what reads it: it returns what was kept, or `None`.
    """

    def __init__(self, folder: Path) -> None:
        """Keeps one of each."""
        self.readers: dict[Path, Callable[[], Any]] = {}
        pixels = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), np.uint8)
        report = Report(6, 1, unreadable=(("x\udcff.png", "empty"),))
        names = ["a", "b\n", "c\udcff", "d,", "e"]
        for source, described in (("/pictures", (names, report)), ("kittens:5", (None, None))):
            store = Cache(folder, source, SHAPE, [])
            with store.new_rows(pixels.nbytes) as rows:
                for row in pixels:
                    rows.append(row)
                store.commit(rows, "fingerprint", *described)
            for path in set(folder.iterdir()) - self.readers.keys():
                self.readers[path] = partial(self._pictures, store)
        tensors = TensorCache(folder)
        samples = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
        tensors.save("latents-x", {"means": samples})
        path = folder / "latents-x.safetensors"
        self.readers[path] = partial(self._tensors, tensors, "latents-x", (40, 2))
        open_mixture(samples, tensors, "x")
        path = folder / "mixture-x.safetensors"
        self.readers[path] = partial(self._mixture, samples, tensors)

    @staticmethod
    def _pictures(store: Cache) -> Any:
        found = store.load("fingerprint")
        return None if found is None else (found.images.tolist(), found.names, str(found.report))

    @staticmethod
    def _tensors(cache: TensorCache, name: str, shape: tuple[int, ...]) -> Any:
        found = cache.load(name, {"means": shape})
        return None if found is None else (found["means"] + 1).tolist()

    @staticmethod
    def _mixture(samples: torch.Tensor, cache: TensorCache) -> Any:
        return open_mixture(samples, cache, "x").sample(3, generator=torch.Generator()).tolist()


def caches(folder: Path, chance: random.Random) -> Iterator[Callable[[], object]]:
    """Reads caches with one file that is not what was written."""
    (folder / "cache").mkdir()
    kept = Kept(folder / "cache")
    good = {path: path.read_bytes() for path in kept.readers}
    wanted = {path: read() for path, read in kept.readers.items()}

    def read(path: Path, *, honest: bool) -> None:
        put(path, (folder / "fuzzed.bin").read_bytes())
        try:
            found = kept.readers[path]()
        finally:
            for each, content in good.items():
                put(each, content)
        if found is None:
            raise ModelFileError(path, "is as good as absent")
        if honest and found != wanted[path]:
            raise RuntimeError(f"{path.name} was believed")

    while True:
        path = chance.choice(list(good))
        honest = path.suffix == ".bin" or chance.random() < 0.5
        try:
            content = (
                changed(path, list(good.values()), chance) if honest else forged(path, chance)
            )
        except (ValueError, TypeError, RuntimeError):  # no such file can be written
            continue
        (folder / "fuzzed.bin").write_bytes(content)
        yield partial(read, path, honest=honest)


def runs(folder: Path, chance: random.Random) -> Iterator[Callable[[], object]]:
    """Opens run folders with settings, a history or a lock that are not what was written."""
    run = folder / "run"
    fit(VAE([2], 2, image_size=8), torch.rand(12, 3, 8, 8), epochs=1, out=run, progress=False)
    good = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    settings = json.loads(good[run / "run.json"])

    def read(path: Path) -> None:
        put(path, (folder / "fuzzed.json").read_bytes())
        try:
            read_run(run)
            History.from_csv(run / "history.csv")
            with RunFolder(run) as opened:
                opened.open(json.loads(json.dumps(settings)), resume=True)
        except (ModelFileError, OSError):
            raise ModelFileError(path, "is refused") from None
        except ValueError as error:  # it names what differs from the run there
            if not str(error).startswith("`out`"):
                raise
            raise ModelFileError(path, str(error)) from None
        finally:
            for each, content in good.items():
                put(each, content)

    names = ["run.json"] * 6 + ["history.csv"] * 2 + [".lock"]
    while True:
        path = run / chance.choice(names)
        (folder / "fuzzed.json").write_bytes(changed(path, list(good.values()), chance))
        yield partial(read, path)


TARGETS = {
    "model": models,
    "checkpoint": checkpoints,
    "pictures": pictures,
    "zip": zips,
    "caches": caches,
    "runs": runs,
}


# The loop


@contextmanager
def limits(megabytes: int) -> Iterator[None]:
    """Bounds the memory of this process, and the time of each file."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20, before[1]))

    def hang(*_: object) -> NoReturn:
        raise HangError(f"more than {LONGEST} s")

    handlers = {number: signal.signal(number, hang) for number in (signal.SIGALRM, signal.SIGPROF)}
    try:
        yield
    finally:
        set_alarm(0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def set_alarm(seconds: float) -> None:
    """Interrupts this process after so much CPU, or six times as long by the clock; 0 does not."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 6 * seconds)


def listed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def fuzz(
    target: str,
    *,
    seconds: float,
    seed: int,
    megabytes: int,
    keep: Path,
    files: int | None = None,
) -> dict[str, Any]:
    """Feeds files to a reader until the time is up, or so many have been; returns what came."""
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name, limits(megabytes):
        folder = Path(name)
        deadline = time.monotonic() + seconds
        for call in TARGETS[target](folder, chance):
            before = listed(folder)
            began = time.process_time()
            set_alarm(LONGEST)
            fault: BaseException | None = None
            try:
                call()
                outcomes["read"] += 1
            except (ModelFileError, ImageError) as error:
                outcomes["refused"] += 1
                if not str(error).isprintable() or len(str(error)) > 2000:
                    fault = error
            except Exception as error:
                fault = error
            except HangError as error:
                fault = error
            finally:
                set_alarm(0)
            slowest = max(slowest, time.process_time() - began)
            if listed(folder) != before:
                fault = RuntimeError(f"it left {listed(folder) ^ before}")
            if fault is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (fuzzed,) = folder.rglob("fuzzed.*")
                place = keep / f"{target}-{seed}-{sum(outcomes.values())}{fuzzed.suffix}"
                place.write_bytes(fuzzed.read_bytes())
                text = "".join(traceback.format_exception(fault))
                print(f"{place}:\n{text[-3000:]}", file=sys.stderr)
                findings.append(f"{place.name}: {fault!r}"[:300])
            done = sum(outcomes.values()) + len(findings)
            if time.monotonic() > deadline or done == files or len(findings) > 20:
                break
    return {
        "target": target,
        "seed": seed,
        **outcomes,
        "slowest, s of CPU": round(slowest, 3),
        "findings": findings,
    }


def main() -> int:
    """Prints counts and findings as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    figures = fuzz(
        arguments.target,
        seconds=arguments.seconds,
        seed=arguments.seed,
        megabytes=arguments.megabytes,
        keep=arguments.keep,
    )
    print(json.dumps(figures, indent=2))
    return int(bool(figures["findings"]))


if __name__ == "__main__":
    raise SystemExit(main())
