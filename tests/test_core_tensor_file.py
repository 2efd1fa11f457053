"""The header of a tensor file: what it says is checked, and costs next to nothing to refuse."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from easyvae.core.files import parse_json
from easyvae.core.tensor_file import DTYPES, parse_entries

GOOD = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [4, 28]},
    "b": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
    "none": {"dtype": "I64", "shape": [0, 5], "data_offsets": [4, 4]},
    "__metadata__": {"easyvae": "anything"},
}


def test_entries_tell_kind_shape_and_place() -> None:
    """In any order in the header, empty tensors among them."""
    entries = parse_entries(GOOD, 28)
    assert entries["a"] == (torch.float32, (2, 3), 4)
    assert entries["b"] == (torch.float16, (2,), 0)
    assert entries["none"] == (torch.int64, (0, 5), 4)
    assert len(entries) == 3


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("a", {"dtype": "F99"}, "no sense"),
        ("a", {"dtype": ["F32"]}, "no sense"),
        ("a", {"dtype": "torch.float32"}, "no sense"),
        ("a", {"data_offsets": [4]}, "no sense"),
        ("a", {"data_offsets": None}, "no sense"),
        ("a", {"shape": 6}, "shape of a that no tensor has"),
        ("a", {"shape": [6, *[1] * 64]}, "shape of a that no tensor has"),
        ("a", {"shape": [2.0, 3]}, "whole number"),
        ("a", {"shape": [True, 6]}, "whole number"),
        ("a", {"shape": [-2, -3]}, "whole number"),
        ("a", {"shape": ["2", 3]}, "whole number"),
        ("a", {"data_offsets": [4, "28"]}, "whole number"),
        ("a", {"data_offsets": [-4, 20]}, "whole number"),
        ("none", {"shape": [0, 2**63]}, "whole number"),
        ("a", {"shape": [2, 4]}, r"24 bytes for F32 \[2, 4\]"),
        ("a", {"shape": [10**400]}, "whole number"),
        ("a", {"shape": [2**62] * 64}, "24 bytes"),
        ("a", {"data_offsets": [28, 4]}, "-24 bytes"),
        ("a", {"data_offsets": [5, 29]}, "hole"),
        ("a", {"data_offsets": [3, 27]}, "overlap"),
        ("none", {"data_offsets": [5, 5]}, "overlap"),
        ("b", {"shape": [3], "data_offsets": [0, 6]}, "overlap"),
    ],
)
def test_entries_that_contradict_are_refused(name: str, change: dict[str, Any], says: str) -> None:
    """Unknown kinds, sizes that are none, and tensors that do not lie side by side."""
    with pytest.raises(ValueError, match=says):
        parse_entries({**GOOD, name: {**GOOD[name], **change}}, 28)


@pytest.mark.parametrize("size", [27, 29, 0])
def test_tensors_fill_the_file(size: int) -> None:
    """A byte that is too few or too many is refused."""
    with pytest.raises(ValueError, match=f"take 28 bytes, and there are {size}"):
        parse_entries(GOOD, size)


@pytest.mark.parametrize("value", [None, 5, "text", [], {}, {"dtype": "F32"}])
def test_entries_that_are_none_are_refused(value: Any) -> None:
    """Whatever stands in an entry's place, the answer is a ValueError that names it."""
    with pytest.raises(ValueError, match="where it tells of odd"):
        parse_entries({"odd": value}, 0)


@pytest.mark.parametrize("text", ['{"a": 1, "b": 2, "a": 1}', '[{"x": {"a": {}, "a": {}}}]'])
def test_a_key_given_twice_is_refused(text: str) -> None:
    """At any depth: of two tensors of one name, readers would disagree on which counts."""
    with pytest.raises(ValueError, match="names a twice"):
        parse_json(text, most=1000)


@pytest.mark.parametrize("text", ["[" * 1000, '{"a":' * 1000, b"[" * 1000, b"\xff", "", "nan"])
def test_what_is_no_json_is_a_value_error(text: Any) -> None:
    """Nesting deeper than the stack too."""
    with pytest.raises(ValueError):  # noqa: PT011  # json's own messages differ
        parse_json(text, most=10**6)


def test_every_kind_of_tensor_is_known() -> None:
    """The names are those of the format's own library, wherever it has the kind."""
    library = pytest.importorskip("safetensors.torch")._TYPES
    assert {name: library[name] for name in DTYPES} == DTYPES


# The files of which each must be refused in under 50 ms and under 10 MB: (length, header).
HOSTILE: dict[str, tuple[int | None, str]] = {
    "length of 2^63": (2**63, "{}"),
    "length of 2^64 - 1": (2**64 - 1, "{}"),
    "length of 100 MB": (100_000_000, "{}"),
    "a real header of 100 MB": (None, "100_000_000 * ' '"),
    "400,000 empty tensors": (
        None,
        '\'{\' + \',\'.join(\'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}\' % i '
        "for i in range(400_000)) + '}'",
    ),
    "as many empty tensors as fit": (
        None,
        '\'{\' + \',\'.join(\'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}\' % i '
        "for i in range(7_500)) + '}'",
    ),
    "lists": (None, "'[' + '[],' * 333_000 + '[]]'"),
    "numbers": (None, "'[' + '300,' * 83_000 + '1]'"),
    "long numbers": (None, "'[' + '1234567890,' * 83_000 + '1]'"),
    "short names": (None, "'{' + ','.join('\"%x\":0' % i for i in range(41_600)) + '}'"),
    "a name given twice, last of all": (
        None,
        "'{' + ','.join('\"%x\":0' % i for i in range(41_000)) + ',\"zz\":0,\"zz\":0}'",
    ),
    "a shape of many sizes": (
        None,
        "json.dumps({'a': {'dtype': 'F32', 'data_offsets': [0, 4], 'shape': [10**10] * 76_000}, "
        "'__metadata__': {'easyvae': ''}})",
    ),
    "a shape of long sizes": (
        None,
        "json.dumps({'a': {'dtype': 'F32', 'data_offsets': [0, 4], 'shape': [10**4290] * 60}, "
        "'__metadata__': {'easyvae': ''}})",
    ),
    "nested": (None, "'[' * 999_999"),
    "one long number": (None, "'9' * 999_999"),
    "one long string": (None, "'\"' + 'x' * 999_990 + '\"'"),
    "lists in the metadata": (
        None,
        "json.dumps({'__metadata__': {'easyvae': '[' + '[],' * 300_000 + '[]]'}})",
    ),
    "lists in the metadata, escaped": (
        None,
        "'{\"__metadata__\":{\"easyvae\":\"[' + '\\\\u005b\\\\u005d\\\\u002c' * 55_000 + '1]\"}}'",
    ),
}

MEASURE = """
import gc, json, os, sys, time, tracemalloc
from easyvae import VAE
from easyvae.core.files import ModelFileError

def field(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

def refuse(path):
    try:
        VAE.load(path)
    except ModelFileError:
        return
    raise SystemExit(f"{path} was loaded")

good = sys.argv[1]
VAE([4], 2, image_size=8).save(good)
VAE.load(good)
refuse(sys.argv[2])  # the first error imports what formats it
figures = {}
gc.collect()
gc.freeze()  # what torch has made need not be looked through each time
for path in sys.argv[2:]:
    gc.collect()
    reader, writer = os.pipe()
    if os.fork() == 0:  # in a process that has no memory left over from the files before
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        before = field("VmRSS")
        refuse(path)
        os.write(writer, str(field("VmHWM") - before).encode())
        os._exit(0)
    os.wait()
    seconds = []
    while len(seconds) < 3 and min(seconds, default=1) > 0.04:  # a slow one may be bad luck
        began = time.process_time()
        refuse(path)
        seconds.append(time.process_time() - began)
    tracemalloc.start()
    refuse(path)
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    figures[path] = min(seconds), traced, int(os.read(reader, 100))
print(json.dumps(figures))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_hostile_headers_cost_next_to_nothing(tmp_path: Path) -> None:
    """Each is refused in under 50 ms of CPU, 10 MB of Python's memory, and 10 MB of the process's.

    The headers that are too long are never read; the others fill the cap of 1 MB with whatever
    JSON takes the most room once it is parsed.
    """
    paths = {}
    for number, (name, (length, header)) in enumerate(HOSTILE.items()):
        raw = str(eval(header, {"json": json})).encode() if length is None else header.encode()
        path = tmp_path / f"{number}"
        path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw)
        paths[name] = path
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "good"), *map(str, paths.values())],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    for name, path in paths.items():
        seconds, traced, resident = figures[str(path)]
        print(f"{name}: {1e3 * seconds:.1f} ms, {traced / 1e6:.1f} MB, {resident / 1e6:.1f} MB")
        assert seconds < 0.05, name
        assert traced < 10e6, name
        assert resident < 10e6, name
