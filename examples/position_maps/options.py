"""The options of train.py."""

import argparse
from pathlib import Path

import torch
from joblib import cpu_count
from networks import NETWORKS, TAILS


def device(text: str) -> str:
    """A device's name as PyTorch knows it."""
    try:
        return str(torch.device(text))
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r}, expected cpu, cuda or cuda:1") from None


def options_of(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("shards", type=Path, help="folder that `uvgen build` made")
    add("--network", choices=NETWORKS, default="prnet", help="which network (prnet)")
    add(
        "--recipe",
        choices=("default", "paper"),
        default="default",
        help="rates and epochs: found by trial, or those of the authors (default)",
    )
    add(
        "--tail",
        choices=TAILS,
        default="linear",
        help="last layers of the network; sigmoid is the published one (linear)",
    )
    add("--steps", type=int, help="steps in all; by default, the epochs of the recipe")
    add("--epochs", type=int, help="epochs in all, in place of --steps")
    add("--batch", type=int, help="samples per batch of each process; by default, those of the recipe")
    add("--rate", type=float, help="peak learning rate; by default, that of the recipe")
    add("--clip", type=float, default=0.0, help="largest norm of the gradient; 0 is none (0)")
    add(
        "--loss",
        choices=("weighted", "plain"),
        default="weighted",
        help="squared error weighted by the mask, or equal for all texels (weighted)",
    )
    add("--ssim", type=float, default=0.0, help="weight of 1 - SSIM, added to the loss (0)")
    add("--out", type=Path, default=Path("run"), help="folder of the run (run)")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--checkpoint-every", type=int, default=500, help="steps between checkpoints; one follows each epoch (500)")
    add("--stop-after", type=int, help="write a checkpoint and stop after so many steps of this call")
    add("--model", help="model file or the word builtin: to make or mirror maps, and to draw the face in GIFs")
    add(
        "--maps",
        choices=("stored", "layer"),
        default="stored",
        help="maps of the shards, or made on the device (stored)",
    )
    add("--augment", default="none", help="preset (prnet) or JSON file of an augmentation, done in the workers (none)")
    add("--source", type=Path, help="folder of the original images, from which augmented crops are then cut")
    add("--feed", choices=("compact", "float"), default="compact", help="what workers send: stored numbers, or floats")
    add("--workers", type=int, help="processes that read; 8 or the cores but one with a GPU, none without")
    add("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda, cuda:1")
    add("--threads", type=int, default=max(1, min(4, cpu_count() - 1)), help="PyTorch's, on the CPU")
    add("--precision", choices=("float32", "bfloat16"), default="float32", help="the network's; losses are float32")
    add("--compile", action="store_true", help="torch.compile the network")
    add("--channels-last", action="store_true", help="images and weights in channels-last layout")
    add("--pretrained", type=Path, help="torchvision state dict of mobilenet_v2 or resnet18")
    add("--seed", type=int, default=0, help="random seed of weights, order and augmentation (0)")
    add("--gif", action="store_true", help="write GIFs of two validation faces over the epochs")
    add(
        "--profile",
        action="store_true",
        help="print the share of time spent waiting for data, and the rate on a cached batch",
    )
    options = parser.parse_args()
    if options.pretrained is not None and options.network not in ("mobilenetv2", "resnet18"):
        parser.error(
            f"--pretrained: there are no ImageNet files of {options.network}, expected mobilenetv2 or resnet18"
        )
    for name in ("steps", "epochs", "batch", "stop_after", "checkpoint_every", "threads"):
        if (value := getattr(options, name)) is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: {value}, expected 1 or more")
    return options
