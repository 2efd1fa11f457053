"""The page on safety: every row has its tests, and they exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d+) \|.*$", PAGE, re.MULTILINE)}


def test_there_is_a_row_for_each_kind_of_bad_input() -> None:
    """They are numbered from 1 to 48, each number once."""
    assert sorted(ROWS) == list(range(1, 49))
    assert len(re.findall(r"^\| \d+ \|", PAGE, re.MULTILINE)) == len(ROWS)


@pytest.mark.parametrize("number", sorted(ROWS))
def test_each_row_names_tests_that_exist(number: int) -> None:
    """A test that is renamed or removed takes its row with it."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", ROWS[number])
    assert named
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"


def test_each_file_named_exists() -> None:
    """So do the scripts."""
    for file in set(re.findall(r"`(?:python )?(tests/[\w/]+\.\w+)", PAGE)):
        assert (ROOT / file).is_file(), file


def test_the_lowest_versions_are_those_of_the_project() -> None:
    """The table of dependencies says what `pyproject.toml` says."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = PAGE[PAGE.index("## Dependencies") :]
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \|", section, re.MULTILINE)
    assert len(rows) == 6
    for name, version in rows:
        assert set(re.findall(rf'"{name} >= ([\d.]+)"', project)) == {version}
