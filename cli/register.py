"""`uvgen register`: scans registered to a model's topology."""

import sys
from pathlib import Path
from typing import Any

import click

from uvgen.cli.options import (
    ANY_PATH,
    MODEL,
    GroupedCommand,
    Run,
    detector_of,
    detector_options,
    option,
    overwrite_option,
    quiet_option,
    untrusted_option,
    verbose_option,
    workers_option,
)
from uvgen.cli.progress import reported, show_warnings, waited
from uvgen.cli.results import json_option, name_skipped, print_json
from uvgen.cli.value_types import FiniteRange
from uvgen.storage.names import printable
from uvgen.wording import count

_WHAT, _HOW, _OUTPUT = "What goes in", "How scans are registered", "What comes out"


@click.command("register", cls=GroupedCommand)
@click.argument("scans", type=ANY_PATH)
@option("-o", "--out", type=ANY_PATH, required=True, group=_OUTPUT,
        help="Folder to make: a mesh for each scan, and register.json.")  # fmt: skip
@option("--landmarks", type=ANY_PATH, metavar="FOLDER", group=_WHAT,
        help="Files of 68 landmarks, NAME.landmarks.npy, .txt, .json or .pp.  [default: beside the scans]")  # fmt: skip
@detector_options(
    _WHAT, "none", "landmarks of meshes that have no landmark file, in pictures of them; less exact than manual marks"
)
@option("--units", type=click.Choice(["auto", "um", "mm", "cm", "m"]), default="auto", show_default=True, group=_WHAT,
        help="Unit of the scans; auto: for each scan, the one in which its face has a person's size.")  # fmt: skip
@option("--model", "model_path", type=MODEL, default="builtin", show_default=True, group=_HOW,
        help="Morphable model whose vertices the meshes get, or the word builtin.")  # fmt: skip
@option("--max-error", type=FiniteRange(0, min_open=True), metavar="MM", group=_HOW,
        help="Reject scans whose root mean square distance to their mesh is larger.  [default: no limit]")  # fmt: skip
@option("--format", "kind", type=click.Choice(["obj", "ply", "glb", "npy"]), default="obj", show_default=True,
        group=_OUTPUT, help="Format of the meshes; npy holds only the vertices.")  # fmt: skip
@option("--frame", type=click.Choice(["scan", "model"]), default="scan", show_default=True, group=_OUTPUT,
        help="scan: meshes lie on their scans, in their unit. model: they lie as the model does, in mm.")  # fmt: skip
@workers_option
@overwrite_option("registered scans")
@untrusted_option
@json_option
@quiet_option
@verbose_option("Report each scan at once.")
def command(
    scans: Path,
    out: Path,
    landmarks: Path | None,
    detector: str,
    detector_model: Path | None,
    units: str,
    model_path: Path | str,
    max_error: float | None,
    kind: str,
    frame: str,
    run: Run,
    overwrite: bool,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Register scans of faces to a model's topology: each becomes a mesh with the model's vertices and triangles.

    Scans are meshes (OBJ, PLY, OFF, STL, GLB) or point clouds (PLY, OBJ, NPY), each with a file of 68 landmarks. The
    command reports how far each mesh is from its scan. Running it again finishes what is missing.

    \b
    Example:
      uvgen register scans/ --out meshes/ --max-error 1
      uvgen register scans/ --out aligned/ --frame model

    \b
    Exit status: 0 all registered, 3 some scans left out, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """
    from uvgen import RegisterOptions, register_scans
    from uvgen.fitting.scans.folder import about_far_landmarks, about_other_scans

    found_by = detector_of(detector, detector_model)
    with reported(quiet=quiet, verbose=verbose) as shown:
        result = register_scans(
            scans,
            out,
            model=model_path,
            landmarks=landmarks,
            detector=found_by,
            options=RegisterOptions(kind, frame, units, max_error),
            run=run(),
            overwrite=overwrite,
            untrusted=untrusted,
            progress=lambda one: _report(shown, one),
        )
    if result.notice:
        click.echo(f"note: {result.notice}", err=True)
    show_warnings([*about_other_scans(scans, out), *about_far_landmarks(result.scans)])
    if not verbose:
        name_skipped(result.skipped, "register.json", quiet=quiet)
    if as_json:
        print_json({"out": str(out), **result.to_plain()})
    elif not quiet:
        _summarize(out, result)
    if result.skipped:
        sys.exit(3)


def _report(shown: Any, one: Any) -> None:
    """The line for a scan, if each gets a line."""
    if hasattr(one, "reason"):
        shown.line(f"skipped {one.name}: {one.reason}")
    else:
        shown.line(f"{one.name}: {_error(one)}, {one.matched:.0%} of the face, landmarks {one.landmarks_mm:.1f} mm")


def _error(one: Any) -> str:
    unit = "no known unit" if one.unit is None else one.unit
    return f"{one.rms_mm:.2f} mm off (root mean square; the scan is in {unit})"


def _summarize(out: Path, result: Any) -> None:
    import numpy as np

    errors = np.array([one.rms_mm for one in result.scans])
    worst = sorted(result.scans, key=lambda one: -one.rms_mm)[:2]
    marks = np.array([one.landmarks_mm for one in result.scans])
    units = sorted({one.unit or "no known unit" for one in result.scans})
    click.echo(
        f"{out}: {count(len(result.scans), 'registered scan')}, {len(result.skipped)} skipped; this run "
        f"{count(result.new_samples, 'scan')} in {waited(result.seconds):.1f} s"
    )
    click.echo(
        f"off the scans (root mean square): median {np.median(errors):.2f} mm; worst "
        f"{', '.join(f'{printable(one.name)} {one.rms_mm:.2f} mm' for one in worst)}; scans in {', '.join(units)}"
    )
    farthest = max(result.scans, key=lambda one: one.landmarks_mm)
    click.echo(
        f"landmarks off the meshes: median {np.median(marks):.2f} mm; worst {printable(farthest.name)} "
        f"{farthest.landmarks_mm:.2f} mm"
    )
