"""Asks the advisory database about the packages installed here, and about the lowest allowed.

    pip install pip-audit
    python tests/trust/audit.py

Run it in an environment with the extras installed. A package that the database could not be asked
about counts as a finding: an audit that has looked at nothing must not pass.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def floors() -> list[str]:
    """Returns the lowest version of each package that the project or an extra allows."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(item for name in extras for item in extras[name])]
    found = [re.fullmatch(r"([A-Za-z0-9_.-]+) >= ([0-9.]+)", item) for item in wanted]
    return sorted({f"{match[1]}=={match[2]}" for match in found if match})


def audit(*arguments: str) -> int:
    """Runs pip-audit, which prints what it finds."""
    command = [sys.executable, "-m", "pip_audit", "--strict", "--progress-spinner", "off"]
    return subprocess.run([*command, *arguments], check=False).returncode


def main() -> int:
    """Audits both, and returns 1 if either has a known hole, or could not be audited."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "floors.txt"
        path.write_text("\n".join(floors()) + "\n")
        print("the lowest versions allowed:", ", ".join(floors()), flush=True)
        lowest = audit("--no-deps", "--disable-pip", "--requirement", str(path))
    print("the versions installed:", flush=True)
    installed = audit("--skip-editable")
    return int(bool(lowest or installed))


if __name__ == "__main__":
    raise SystemExit(main())
