"""How good the networks of `examples/position_maps/` become in a given time: the table of docs/networks.md.

    python benchmarks/networks.py --faces 20000 --minutes 8 --photos AFLW2000/
    python benchmarks/networks.py --faces 32 --minutes 0.1 --networks lprnet

Draws synthetic faces with their mirror images, builds shards, and trains each network for an equal share of the
minutes: a short run measures its rate, from which the steps of the other follow. On a GPU in bfloat16, channels-last,
batches of 64; on a CPU in float32 with the recipe's batches. A tenth of the photographs is held out. --photos names a
folder of images with `.mat` files, such as AFLW2000-3D's: the networks' 68 points are compared with `pt3d_68`.
The table goes to standard output, everything else to --out; a folder that has shards/ already is used again.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
from example_programs import percent, photographs_error, run
from joblib import cpu_count

import uvgen

NETWORKS = ("prnet", "resnet18", "mobilenetv2", "lprnet")
HEADINGS = (
    "network", "parameters", "steps (epochs)", "samples/s", "waiting", "weighted loss, trained on", "held out", "SSIM",
    "NME 68 2D, held out (by yaw)", "3D", "dense 2D, 3D", "NME 68 2D, photographs",
)  # fmt: skip
WARM_UP, FEWEST = 8, 8
"""Steps of the run that measures a network's rate, and of the shortest training."""


def found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"the trainer did not print {pattern}")
    return match.groups()


def epochs_of(run: Path) -> list[dict[str, Any]]:
    """What the trainer wrote after each epoch of a run."""
    return [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]


def row(network: str, shards: Path, seconds: float, options: argparse.Namespace) -> list[str]:
    """Train a network for so many seconds; the cells of its row."""
    out = options.out
    fast = ["--precision", "bfloat16", "--channels-last", "--batch", 64] if options.device == "cuda" else []
    common = [shards, "--network", network, "--device", options.device, *fast]
    if options.threads:
        common += ["--threads", options.threads]
    began = time.perf_counter()
    steps = ["--steps", WARM_UP, "--profile", "--out", out / f"{network}_rate"]
    said = run("train.py", *common, *steps, log=out / f"{network}_rate.txt")
    (rate,), (n,) = found(r"([\d.]+) on a cached batch", said), found(r"(\d+) samples to train", said)
    measured = epochs_of(out / f"{network}_rate")[-1]  # how long scores and pictures take after each epoch
    elapsed = time.perf_counter() - began
    fixed = elapsed - measured["seconds"]  # starting, and the losses before and after: the training has them too
    left = seconds - elapsed - fixed
    a_sample = 1 / float(rate) + measured["seconds"] / int(n)
    batch = 64 if fast else 16
    steps[:] = ["--steps", max(FEWEST, int(0.9 * left / a_sample / batch)), "--profile", "--out", out / network]
    said = run("train.py", *common, *steps, log=out / f"{network}.txt")
    n_parameters, n_steps = found(r"([\d.]+ M) parameters;.* px, (\d+) steps", said)
    waiting, rate = found(r"profile: (\S+) of the time spent waiting.*; (\S+) samples/s", said)
    losses = found(r"weighted loss ([\d.]+) -> ([\d.]+)", said)
    last = epochs_of(out / network)[-1]
    error = None
    if options.photos:
        error = photographs_error(out / network / "network.pt", options.photos, out / f"{network}_photos")
    return [
        network, n_parameters, f"{n_steps} ({last['epoch']})", rate, waiting, " → ".join(losses),
        f"{last['weighted_loss']:.4f}", f"{last['ssim']:.3f}",
        f"{percent(last['nme_68_2d'])} ({percent(*last['nme_68_2d_by_yaw'])})", percent(last["nme_68_3d"]),
        percent(last["nme_dense_2d"], last["nme_dense_3d"]), percent(error),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=20000, help="synthetic faces, half of them mirror images (20000)")
    parser.add_argument("--minutes", type=float, default=8, help="of training, all networks together (8)")
    parser.add_argument("--size", type=int, default=64, help="px of the crops, a multiple of 32 (64)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="which (all)")
    parser.add_argument("--photos", type=Path, help="folder of real photographs with .mat files, AFLW2000-3D's")
    parser.add_argument("--out", type=Path, default=Path("networks_benchmark"), help="folder for all files")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="of PyTorch on the CPU; the trainer's default without it")
    options = parser.parse_args()
    shards = options.out / "shards"
    if not shards.is_dir():
        began = time.perf_counter()
        workers = cpu_count()
        uvgen.render_faces(options.out / "faces", max(1, options.faces // 2), run=uvgen.RunOptions(workers))
        config = uvgen.BuildConfig(size=options.size)
        uvgen.build_shards(options.out / "faces", shards, model="builtin", config=config, run=uvgen.RunOptions(workers))
        print(f"{options.faces} faces drawn and built in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {cpu_count()} cores"
    print(f"{options.faces} synthetic faces at {options.size} px, {options.minutes:g} minutes in all, {device}\n")
    for cells in (HEADINGS, ["---"] * len(HEADINGS)):
        print("|", " | ".join(cells), "|")
    for network in options.networks:
        cells = row(network, shards, 60 * options.minutes / len(options.networks), options)
        print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
