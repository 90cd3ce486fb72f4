"""`uvgen model`: convert and inspect morphable models."""

from pathlib import Path

import click

from uvgen.cli.options import ANY_PATH, EXISTING_FILE, GroupedCommand, option

_FROM, _TO = "What goes in", "What comes out"


@click.group("model")
def command() -> None:
    """Convert and inspect morphable models.

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage.
    """


@command.command("convert", cls=GroupedCommand)
@option("--bfm", type=EXISTING_FILE, group=_FROM, help="01_MorphableModel.mat, from the University of Basel.")
@option("--expression", type=EXISTING_FILE, group=_FROM, help="Model_Expression.mat, from 3DDFA.")
@option("--info", "info_path", type=EXISTING_FILE, group=_FROM, help="model_info.mat, from 3DDFA.")
@option("--uv", type=EXISTING_FILE, group=_FROM, help="BFM_UV.mat, from 3DMMasSTN or face3d.")
@option("--mouth", type=EXISTING_FILE, group=_FROM,
        help="Model_tri_mouth.mat, from 3DDFA; without it the mouth is closed from the mesh's own hole.")  # fmt: skip
@option("--face3d", "face3d_path", type=EXISTING_FILE, group=_FROM,
        help="Instead of all these: face3d's BFM.mat, with BFM_UV.mat beside it.")  # fmt: skip
@option("--out", type=ANY_PATH, required=True, group=_TO, help="The model file to write, .h5.")
@option("--overwrite", is_flag=True, group=_TO, help="Replace an existing file.")
def convert(
    bfm: Path | None,
    expression: Path | None,
    info_path: Path | None,
    uv: Path | None,
    mouth: Path | None,
    face3d_path: Path | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Make a model file from the files that the authors distribute; MATLAB is not needed.

    The file is private to you: the Basel Face Model's licence forbids passing it on.

    \b
    Example:
      uvgen model convert --bfm 01_MorphableModel.mat --expression Model_Expression.mat \\
                          --info model_info.mat --uv BFM_UV.mat --out bfm.h5
      uvgen model convert --face3d BFM.mat --out bfm.h5
    """
    from uvgen import load_model, save_model
    from uvgen.formats import bfm2009

    if out.exists() and not overwrite:
        raise click.UsageError(f"{out} exists; --overwrite replaces it")
    if out.suffix.lower() not in (".h5", ".hdf5"):
        raise click.BadParameter(f"{out}: expected a name that ends in .h5", param_hint="--out")
    if face3d_path is not None:
        if bfm or expression or info_path or uv or mouth:
            raise click.UsageError("--face3d takes the place of the other files; give one or the others")
        model = load_model(face3d_path)
    else:
        named = {"--bfm": bfm, "--expression": expression, "--info": info_path, "--uv": uv}
        missing = [name for name, path in named.items() if path is None]
        if bfm is None or expression is None or info_path is None or uv is None:
            raise click.UsageError(f"missing {', '.join(missing)}; or give --face3d BFM.mat alone")
        model = bfm2009.read(bfm, expression, info_path, uv, mouth)
    save_model(model, out)
    click.echo(
        f"{out}: {model.n_vertices} vertices, {model.n_shape} shape + {model.n_expression} expression components, "
        f"{out.stat().st_size / 1e6:.0f} MB"
    )


@command.command("info")
@click.argument("file", type=EXISTING_FILE)
def info(file: Path) -> None:
    """Print a model's counts, dimensions, provenance and UV coverage.

    \b
    Example:
      uvgen model info bfm.h5
    """
    import numpy as np

    from uvgen import build_atlas, load_model
    from uvgen.atlas import CLOSURE, FILLED, MESH, hole_loops
    from uvgen.model import REGIONS, hash_labels

    model = load_model(file)
    atlas = build_atlas(model, 256)
    share = {kind: float((atlas.source == kind).mean()) for kind in (MESH, CLOSURE, FILLED)}
    regions = "none"
    if model.regions is not None:
        counts = np.bincount(model.regions, minlength=len(REGIONS))
        regions = ", ".join(f"{name} {count}" for name, count in zip(REGIONS, counts, strict=True) if count)
    extent = np.ptp(model.mean, axis=0) / 1000
    n_albedo = "none" if model.albedo_std is None else f"{len(model.albedo_std)} components"
    mirrored = "unknown" if model.mirror is None else f"{int((model.mirror >= 0).sum())} vertices"
    holes = ", ".join(f"{len(loop)} vertices" for loop in hole_loops(model.triangles, model.uv)) or "none"
    rows = {
        "name": model.name,
        "vertices": model.n_vertices,
        "triangles": f"{len(model.triangles)}, and {len(model.mouth_triangles)} that close the mouth",
        "shape": f"{model.n_shape} components",
        "expression": f"{model.n_expression} components",
        "albedo": n_albedo,
        "landmarks": len(model.landmarks),
        "regions": regions,
        "mirror pairs": mirrored,
        "size": f"{extent[0]:.0f} × {extent[1]:.0f} × {extent[2]:.0f} mm",
        "holes in UV": holes,
        "UV coverage": f"{share[MESH]:.2%} mesh, {share[CLOSURE]:.2%} closed holes, {share[FILLED]:.2%} filled at 256",
        "content": model.content_sha256,
    }
    for key, value in rows.items():
        click.echo(f"{key:<13} {value}")
    for name, digest in model.sources.items():
        click.echo(f"{'source':<13} {name}  {digest}")
    if hash_labels(model) != model.content_sha256:
        raise click.ClickException(f"{file}: the content does not have the hash written in it; convert the model again")
