"""Runs all benchmarks, one after the other, and leaves their tables in `docs/benchmarks/`.

    python tests/benchmarks/run_all.py --pictures pictures.zip --mnist mnist.npz

Without `--pictures`, drawn kittens stand in for photographs; without `--mnist`, what needs the
digits is left out. All of it takes half a day on two cores, most of that for the long runs and
the remedies against blur; `--only` names some.
"""

import argparse
import subprocess
import sys
from pathlib import Path

SMALL = ["--channels", "32", "64", "--latent", "32", "--image-size", "28", "--beta", "1"]


def benchmarks(pictures: str, mnist: str | None) -> dict[str, list[str]]:
    """Returns each benchmark's name and its command."""
    large = ["kittens:2200", "--image-size", "128", "--latent", "128"]
    peers = ["--against", "original", "monai"]
    digits = ["--mnist", mnist] if mnist else []
    found = {
        "import": ["bench_import.py"],
        "kittens": ["bench_kittens.py"],
        "inference": ["bench_inference.py"],
        "memory": ["bench_memory.py"],
        "steps": ["bench_steps.py", "--peers"],
        "quality": ["bench_quality.py", pictures, "--epochs", "10", "40"],
        "quality-peers": ["bench_quality.py", pictures, "--epochs", "10", *peers],
        "quality-128": ["bench_quality.py", *large, "--epochs", "10"],
        "ablation": ["bench_ablation.py", pictures, *digits],
        "scale": ["bench_scale.py", "--image-size", "32"],
        "blur": ["bench_blur.py", pictures, "--minutes", "10"],
        "long": ["bench_long.py", pictures],
        "mixer": ["bench_mixer.py", pictures],
        "warp": ["bench_warp.py"],
        "halfway": ["bench_halfway.py", "--photographs", pictures],
    }
    if mnist:
        found["halfway"] += ["--digits", mnist]
        found["quality-mnist"] = ["bench_quality.py", mnist, *SMALL, "--epochs", "10"]
        found["quality-mnist"] += ["--metric", "loss", "--rounds", "1"]
    for name, command in found.items():
        if name.startswith("quality"):
            command += ["--name", name]
    return found


def main() -> None:
    """Runs those asked for, and tells which ones failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", default="kittens:8000", help="a folder or zip")
    parser.add_argument("--mnist", help="an .npz file with x_train")
    parser.add_argument("--only", nargs="+", help="the names of some: steps, quality, ...")
    arguments = parser.parse_args()
    chosen = benchmarks(arguments.pictures, arguments.mnist)
    unknown = set(arguments.only or ()) - set(chosen)
    if unknown:
        parser.error(
            f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(chosen)}"
        )
    failed = []
    for name, (script, *options) in chosen.items():
        if arguments.only is None or name in arguments.only:
            print(f"{name}: {script} {' '.join(options)}", flush=True)
            command = [sys.executable, str(Path(__file__).parent / script), *options]
            if subprocess.run(command).returncode:
                failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
