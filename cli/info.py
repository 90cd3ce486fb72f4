"""`uvgen info`: what a data set holds."""

from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import PATH_OR_URL, untrusted_option
from uvgen.cli.results import json_option, print_json
from uvgen.storage.names import printable
from uvgen.wording import are, count, shown_size


@click.command("info")
@click.argument("shards", type=PATH_OR_URL)
@untrusted_option
@json_option
def command(shards: Path, untrusted: bool, as_json: bool) -> None:
    """Print what a data set holds: samples, subsets, fields, settings, yaw, label quality, skipped samples, splits.

    \b
    Example:
      uvgen info shards/

    \b
    Exit status: 0 printed, 1 not a data set, 2 wrong usage.
    """
    from uvgen import describe_shards

    info = describe_shards(shards, untrusted=untrusted)
    if as_json:
        print_json(info.to_plain())
    else:
        click.echo("\n".join(printable(f"{name:<12} {text}".rstrip()) for name, text in _lines(info)))


def _lines(info: Any) -> list[tuple[str, str]]:
    from uvgen.storage.urls import shown_path

    build = info.config.build
    each = f", {info.size_bytes / info.samples / 1e3:.0f} kB per sample" if info.samples else ""
    unfinished = f"; unfinished, {info.missing} {are(info.missing)} missing" if info.missing else ""
    maps = f"{build.uv_size} x {build.uv_size} texels, {build.posmap_dtype}" if build.maps == "stored" else "not stored"
    skipped = sum(info.skipped.values())
    lines = [
        ("data set", shown_path(info.folder)),
        ("samples", f"{info.samples} of {count(info.photographs, 'photograph')}{unfinished}"),
        ("subsets", ", ".join(f"{name} {n}" for name, n in info.subsets.items())),
        ("size", f"{shown_size(info.size_bytes)} in {count(info.shards, 'shard')}{each}"),
        ("crops", f"{build.size} x {build.size} px, {build.image_codec}"),
        ("maps", maps),
        *([("targets", ", ".join(build.targets))] if build.targets else []),
        ("model", f"{info.config.model} ({info.config.model_sha256[:12]})"),
        ("augmented", "no" if info.config.augmentation is None else _augmented(info.config)),
        ("made by", f"uvgen {info.uvgen}"),
    ]
    lines += _histogram(info.yaws)
    nme = "no annotations are stored" if info.quality is None else info.quality.summary().removeprefix("label NME: ")
    lines.append(("label NME", nme))
    lines.append(("skipped", f"{skipped}" if skipped else "none"))
    lines += [("", f"{n} x {reason}") for reason, n in info.skipped.items()]
    lines.append(("splits", ", ".join(f"{name} {n}" for name, n in info.splits.items()) or "none"))
    fields = [f"{name} {_of_one(shape, dtype)}" for name, (shape, dtype) in info.fields.items()]
    return [*lines, ("fields", ", ".join(fields))]


def _of_one(shape: Any, dtype: Any) -> str:
    """What a field holds for one sample: its shape, or in a word that it is a number or a text."""
    if shape:
        return str(shape)
    return "(text)" if dtype.kind == "S" else "(JPEG)" if dtype.kind == "O" else "(number)"


def _augmented(config: Any) -> str:
    copies = config.build.copies if config.copied is None else config.copied.copies
    return f"{count(copies, 'copy')} per sample"


def _signed(degrees: int) -> str:
    """An angle with its sign; 0 has none."""
    return f"{degrees:+d}" if degrees else "0"


def _histogram(yaws: Any, width: int = 40) -> list[tuple[str, str]]:
    from uvgen.datasets.info import YAW_STEP_DEG

    most = max(yaws.values(), default=1)
    bars = {low: f"{'#' * -(-n * width // most)} {n}".lstrip() for low, n in yaws.items()}
    return [
        ("yaw (deg)" if k == 0 else "", f"{_signed(low):>4} to {_signed(low + YAW_STEP_DEG):>4} {bar}")
        for k, (low, bar) in enumerate(bars.items())
    ]
