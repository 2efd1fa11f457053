"""The documentation does what it says: its code runs, its commands parse, its pages build."""

import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import easyvae
from easyvae.cli import make_parser
from easyvae.cli.common import BETA, WHY_BETA

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SPANISH = ROOT / "README.es.md"
PAGES = [README, SPANISH, *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md"]
SETUP = re.compile(r"<!-- setup\n(.*?)-->", re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
MODULES = [
    "easyvae",
    *(
        module.name
        for module in pkgutil.walk_packages(easyvae.__path__, "easyvae.")
        if module.name != "easyvae.__main__"  # it is a program, not a module to import
    ),
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path, language: str) -> list[tuple[int, str]]:
    """Returns a page's code in a language, with the line on which each block begins."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start(2)), found.group(2))
        for found in BLOCK.finditer(text)
        if found.group(1) == language
    ]


def commands() -> list[str]:
    """Returns every `easyvae ...` of all pages' shell blocks."""
    lines = [
        line for page in PAGES for _, code in blocks_of(page, "bash") for line in code.split("\n")
    ]
    found = [re.search(r"\beasyvae ([a-z].*)", line) for line in lines]
    return sorted({match.group(1) for match in found if match})


RUN = [page for page in PAGES if page != SPANISH and blocks_of(page, "python")]


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run as written, one after the other."""
    monkeypatch.chdir(tmp_path)
    setup = SETUP.search(page.read_text(encoding="utf-8"))
    namespace: dict[str, object] = {"__name__": "page"}
    if setup:
        exec(compile(setup.group(1), f"{page} (setup)", "exec"), namespace)
    for line, code in blocks_of(page, "python"):
        # Empty lines before it give the page's own line numbers to a traceback.
        exec(compile("\n" * line + code, str(page), "exec"), namespace)


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    """Every command that the pages show is one that the command line accepts."""
    make_parser().parse_args(shlex.split(command))


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples in a module's docstrings give what they show."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_one_beta_is_recommended_everywhere() -> None:
    """What the pages for newcomers and the examples train with is the command's default."""
    names = ("index", "quickstart", "training", "commands")
    files = [README, SPANISH, *(ROOT / "docs" / f"{name}.md" for name in names)]
    files += [ROOT / "docs" / "make_images.py", *(ROOT / "examples").glob("*.py")]
    files = [f for f in files if f.name not in ("compare_betas.py", "mnist_likelihood.py")]
    # A loss with more arguments than beta has reasons of its own.
    number = re.compile(
        r"(?:BetaLoss\((?:beta=)?|--beta |^BETA = )([0-9][0-9.]*)(?![0-9.,])", re.M
    )
    found = {(name_of(f), float(n)) for f in files for n in number.findall(f.read_text("utf-8"))}
    assert len(found) >= 10
    assert {beta for _, beta in found} == {BETA}, found


@pytest.mark.parametrize(
    "page", ["README.md", "docs/quickstart.md", "docs/concepts.md", "docs/commands.md"]
)
def test_the_beta_has_one_reason(page: str) -> None:
    """Each page that recommends it gives the command's reason."""
    assert WHY_BETA in " ".join((ROOT / page).read_text(encoding="utf-8").split())


def test_nothing_installs_a_stranger() -> None:
    """No text or message asks the index for our name, which is another project's there."""
    files = [*PAGES, *ROOT.glob("*.md"), ROOT / ".ci" / "run"]
    for folder in ("src", "examples", "docs"):
        files += (ROOT / folder).rglob("*.py")
    asks = re.compile(r"""easyvae\[(?![a-z,]+\] @ file:)|pip install ["']?easyvae\b(?!\[)""")
    assert [name_of(file) for file in files if asks.search(file.read_text(encoding="utf-8"))] == []


def test_readme_is_short() -> None:
    """The README has at most 110 lines."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 110


def test_readme_shows_code_early() -> None:
    """The README's first Python block begins before line 40."""
    assert blocks_of(README, "python")[0][0] < 40


@pytest.mark.parametrize(
    "command", ['pip install ".[all]" && easyvae demo', 'pip install -e ".[all,dev]" && pytest']
)
def test_readme_has_the_two_commands(command: str) -> None:
    """The README has the main job and the tests as a line to copy."""
    assert command in [line for _, code in blocks_of(README, "bash") for line in code.split("\n")]


@pytest.mark.parametrize("language", ["python", "bash"])
def test_the_spanish_readme_has_the_same_code(language: str) -> None:
    """The code is that of the English one, which the tests run."""
    code = [[code for _, code in blocks_of(page, language)] for page in (README, SPANISH)]
    assert code[0] == code[1]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """A link or picture that is not an address is a file of the project."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.slow
def test_pages_build(tmp_path: Path) -> None:
    """The pages build without a warning."""
    pytest.importorskip("sphinx", reason="sphinx is not installed")
    pytest.importorskip("myst_parser", reason="myst-parser is not installed")
    pytest.importorskip("furo", reason="furo is not installed")
    folders = [str(ROOT / "docs"), str(tmp_path / "html"), "-d", str(tmp_path / "trees")]
    build = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    page = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    assert all(f'id="easyvae.{name}"' in page for name in easyvae.__all__ if name[0] != "_")
