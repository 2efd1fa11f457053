"""The house: fourteen rooms on seven floors, and imports that go down.

`python tests/test_house.py` prints what the tests count: rooms, floors, arrows, files and lines.
"""

import ast
import re
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import easyvae

PACKAGE = Path(easyvae.__file__).parent
CONTRIBUTING = Path(__file__).parent.parent / "CONTRIBUTING.md"
FRONT_DOOR = frozenset({"easyvae", "easyvae.__main__"})
"""They stand before the house, and lead to any room."""


def read_imports(*, inside_functions: bool = True) -> dict[str, set[str]]:
    """Returns the modules of the package that each of its modules imports, by their names."""
    trees = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(file.read_text(encoding="utf-8"))
    return {
        name: {
            whole if (whole := f"{node.module}.{alias.name}") in trees else str(node.module)
            for node in (ast.walk(tree) if inside_functions else tree.body)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        & (trees.keys() - {"easyvae"})
        for name, tree in trees.items()
    }


def room_of(module: str) -> str:
    """Returns the room that a module is in, `data` for `easyvae.data.load`."""
    return module.split(".")[1]


def read_arrows(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Returns which rooms each room imports from."""
    arrows: dict[str, set[str]] = defaultdict(set)
    for module, imported in imports.items():
        if module not in FRONT_DOOR:
            room = room_of(module)
            arrows[room] |= {room_of(other) for other in imported} - {room}
    return dict(arrows)


def read_map() -> dict[str, int]:
    """Returns the floor of each room on CONTRIBUTING.md's map."""
    rows = re.findall(r"^\| (\d) \| (.+?) \|", CONTRIBUTING.read_text(encoding="utf-8"), re.M)
    return {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}


def test_the_map_shows_every_room() -> None:
    """The rooms of the package are those of the map, and there are fourteen."""
    rooms = read_arrows(read_imports()).keys()
    assert rooms == read_map().keys()
    assert len(rooms) == 14


def test_arrows_go_down() -> None:
    """A room imports from lower floors alone, inside functions too."""
    floors = read_map()
    upward = [
        f"{room} (floor {floors[room]}) imports {other} (floor {floors[other]})"
        for room, others in read_arrows(read_imports()).items()
        for other in others
        if floors[other] >= floors[room]
    ]
    assert not upward


def test_modules_have_no_circle() -> None:
    """No module needs, to be imported, one that needs it."""
    graph = read_imports(inside_functions=False)
    assert graph["easyvae.model.vae"] >= {"easyvae.model.geometry", "easyvae.latents"}
    TopologicalSorter(graph).prepare()  # raises an error that shows the circle


def test_an_arrow_inside_a_function_is_seen() -> None:
    """`easyvae.training` draws its history with `easyvae.plots`, which a method imports."""
    assert "plots" in read_arrows(read_imports())["training"]
    assert "plots" not in read_arrows(read_imports(inside_functions=False))["training"]


if __name__ == "__main__":
    found = read_arrows(read_imports())
    sources = [file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")]
    print(
        f"{len(found)} rooms on {len(set(read_map().values()))} floors, "
        f"{sum(map(len, found.values()))} arrows, {len(sources)} files, "
        f"{sum(len(source.splitlines()) for source in sources):,} lines"
    )
