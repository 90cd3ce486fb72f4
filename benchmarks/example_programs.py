"""The programs of `examples/position_maps/` as benchmarks start them, and the scores of what they predict."""

import subprocess
import sys
from pathlib import Path

import uvgen

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/position_maps"


def run(program: str, *arguments: object, log: Path) -> str:
    """What a program of the example prints, which is also kept; CalledProcessError if it fails."""
    command = [sys.executable, *map(str, (EXAMPLE / program, *arguments))]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log.write_text(done.stdout)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    done.check_returncode()
    return done.stdout


def percent(*values: float | None) -> str:
    return ", ".join("–" if value is None else f"{value:.1%}" for value in values)


def photographs_error(network: Path, photos: Path, out: Path) -> float:
    """Mean NME of the 68 points in 2D, over the photographs that have all of them."""
    images = sorted(path for path in photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    run("predict.py", network, *images, "--out", out, log=out.with_suffix(".txt"))
    report = uvgen.evaluate_predictions(out / "points", photos, scores=("nme_68_2d",))
    return report.results["annotation"].summaries["nme_68_2d"].mean
