"""`uvgen synth`: synthetic faces with exact labels."""

from pathlib import Path

import click

from uvgen.cli.options import (
    ANY_PATH,
    MODEL,
    GroupedCommand,
    Run,
    option,
    overwrite_option,
    quiet_option,
    untrusted_option,
    verbose_option,
    workers_option,
)
from uvgen.cli.progress import reported, waited
from uvgen.cli.results import json_option, print_json
from uvgen.cli.value_types import SEED
from uvgen.wording import count as count_of

_WHAT, _OUTPUT = "Which faces", "What comes out"
_MOST = 10_000_000


@click.command("synth", cls=GroupedCommand)
@option("--count", type=click.IntRange(min=1), required=True, metavar="N", group=_WHAT,
        help="Number of faces, spread over the subsets; with --flip, each also gets a mirror image.")  # fmt: skip
@option(
    "--seed", type=SEED, default=0, show_default=True, group=_WHAT, help="Random seed: another seed gives other faces."
)
@option("--model", "model_path", type=MODEL, default="builtin", show_default=True, group=_WHAT,
        help="Morphable model: uvgen's .h5, another that docs/models.md lists, or the word builtin.")  # fmt: skip
@option("--subset", "subsets", type=click.Choice(["AFW", "HELEN", "IBUG", "LFPW"]), multiple=True, group=_WHAT,
        help="Subset to make, repeatable; by default all.")  # fmt: skip
@option("--flip/--no-flip", default=True, show_default=True, group=_WHAT, help="Make the mirrored _Flip subsets too.")
@option("--photographs", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="K", group=_WHAT,
        help="Photographs of each face, in other poses, expressions, light and backdrops.")  # fmt: skip
@option("-o", "--out", type=ANY_PATH, required=True, group=_OUTPUT, help="Folder to make, like 300W-LP's.")
@option("--size", type=click.IntRange(64, 4096), default=450, show_default=True, group=_OUTPUT,
        help="Pixels along each side of the images.")  # fmt: skip
@workers_option
@overwrite_option("synthetic samples")
@untrusted_option
@json_option
@quiet_option
@verbose_option("Print progress as lines, on a terminal too.")
def command(
    count: int,
    seed: int,
    model_path: Path | str,
    subsets: tuple[str, ...],
    flip: bool,
    photographs: int,
    out: Path,
    size: int,
    run: Run,
    overwrite: bool,
    untrusted: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Render faces of a morphable model, labeled like 300W-LP, with labels that are exact by construction.

    Running the same command again finishes what is missing, and with a larger --count it adds faces. The bytes are the
    same for any number of workers.

    \b
    Example:
      uvgen synth --count 1000 --out faces/
      uvgen build --data faces/ --model builtin --out shards/

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage, 130, 143, 129 interrupted.
    """
    if count * photographs > _MOST:
        of = f" times --photographs {photographs}" if photographs > 1 else ""
        raise click.UsageError(f"--count {count}{of}: expected {_MOST} pictures at most")
    from uvgen import SynthOptions, load_model, render_faces
    from uvgen.synth import SUBSETS
    from uvgen.synth.folder import check_samples_folder

    check_samples_folder(out)
    model = load_model(model_path, untrusted=untrusted)
    if model.albedo_basis is None and not quiet:
        skin = "gray skin" if model.albedo_mean is None else "the colors of its mean face"
        click.echo(f"warning: {model.name} has no albedo basis; all faces get {skin}", err=True)
    with reported(quiet=quiet, verbose=verbose):
        result = render_faces(
            out,
            count,
            model=model,
            options=SynthOptions(seed, size, subsets or SUBSETS, flip, photographs),
            run=run(),
            overwrite=overwrite,
        )
    if as_json:
        print_json({"out": str(out), **result.to_plain()})
    elif not quiet:
        mirrored = ", half of them mirror images" if flip else ""
        click.echo(
            f"{out}: {count_of(result.samples, 'sample')}{mirrored}; this run {count_of(result.new_samples, 'sample')}"
            f" in {waited(result.seconds):.1f} s"
        )
