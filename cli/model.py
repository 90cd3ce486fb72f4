"""`uvgen model`: convert and inspect morphable models."""

import re
from pathlib import Path

import click

from uvgen.cli.groups import SpokenGroup
from uvgen.cli.options import (
    ANY_PATH,
    EXISTING,
    EXISTING_FILE,
    EXISTING_FOLDER,
    MODEL,
    MODEL_SUFFIXES,
    GroupedCommand,
    option,
    refuse_given,
    untrusted_option,
)
from uvgen.cli.progress import clock_on_terminal, show_warnings
from uvgen.cli.results import json_option, print_json
from uvgen.wording import count, shown_size

_FROM, _LACKS, _TO = "What goes in", "What the files lack", "What comes out"


_OF_MODELS = (*MODEL_SUFFIXES, ".mat", ".pkl", ".npz")


@click.group("model", cls=SpokenGroup)
def command() -> None:
    """Convert, inspect and assemble morphable models.

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage.
    """


def _check_new(path: Path, overwrite: bool) -> None:
    from uvgen.errors import SettingsError
    from uvgen.storage.files import check_file

    if path.exists() and not path.is_dir() and not overwrite:
        raise SettingsError(f"{path}: exists, expected a new file; choose another name, or overwrite it")
    check_file(path)


def _check_suffix(path: Path, suffixes: tuple[str, ...]) -> None:
    if path.suffix.lower() not in suffixes:
        raise click.BadParameter(f"{path}: expected a name that ends in {' or '.join(suffixes)}", param_hint="--out")


@command.command("convert", cls=GroupedCommand)
@click.argument("files", metavar="[FILE]...", type=EXISTING, nargs=-1)
@option("--bfm", type=EXISTING_FILE, group=_FROM, help="01_MorphableModel.mat, from the University of Basel.")
@option("--expression", type=EXISTING_FILE, group=_FROM, help="Model_Expression.mat, from 3DDFA.")
@option("--info", "info_path", type=EXISTING_FILE, group=_FROM, help="model_info.mat, from 3DDFA.")
@option("--uv", type=EXISTING_FILE, group=_FROM,
        help="BFM_UV.mat, from 3DMMasSTN or face3d. With another model: UV of its vertices, .npy, .mat or "
             ".obj.")  # fmt: skip
@option("--mouth", type=EXISTING_FILE, group=_FROM,
        help="Model_tri_mouth.mat, from 3DDFA; without it the mouth is closed from the mesh's own hole.")  # fmt: skip
@option("--face3d", "face3d_path", type=EXISTING_FILE, group=_FROM,
        help="Instead of all these: face3d's BFM.mat, with BFM_UV.mat beside it.")  # fmt: skip
@option("--keep-all", is_flag=True, group=_FROM,
        help="Keep all 53,490 vertices of 01_MorphableModel.mat, as 3DMMasSTN does.")  # fmt: skip
@option("--uv-from", type=MODEL, group=_LACKS,
        help="A larger model of the same mesh; UV, mouth and whatever else is missing come from it.")  # fmt: skip
@option("--indices", type=EXISTING_FILE, group=_LACKS,
        help="For each vertex, its vertex in --uv-from or row in --uv: .npy and text count from 0, .mat from "
             "1.")  # fmt: skip
@option("--landmarks", type=EXISTING_FILE, group=_LACKS,
        help="The 68 iBUG landmarks' vertices: text or .npy, counted from 0; .mat, or .anl with comments, from "
             "1.")  # fmt: skip
@option("-o", "--out", type=ANY_PATH, required=True, group=_TO, help="The model file to write, .h5.")
@option("--overwrite", is_flag=True, group=_TO, help="Replace an existing file.")
@untrusted_option
def convert(
    files: tuple[Path, ...],
    bfm: Path | None,
    expression: Path | None,
    info_path: Path | None,
    uv: Path | None,
    mouth: Path | None,
    face3d_path: Path | None,
    keep_all: bool,
    uv_from: Path | str | None,
    indices: Path | None,
    landmarks: Path | None,
    out: Path,
    overwrite: bool,
    untrusted: bool,
) -> None:
    """Make a model file from the files that the authors distribute; MATLAB is not needed.

    FILE is one model's file or folder, of any format that docs/models.md lists, recognized by its content; or the files
    of the Basel Face Model 2009 in any order, in place of --bfm to --mouth. What a file lacks is taken from --uv,
    --uv-from and --landmarks, or derived from the mesh.

    The file is private to you: the Basel Face Model's license forbids passing it on.

    \b
    Example:
      uvgen model convert --bfm 01_MorphableModel.mat --expression Model_Expression.mat \\
                          --info model_info.mat --uv BFM_UV.mat --out bfm.h5
      uvgen model convert --face3d BFM.mat --out bfm.h5
      uvgen model convert bfm_noneck_v3.pkl --uv-from bfm.h5 --out tddfa_v2.h5

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage.
    """
    from uvgen import BaselFiles, Supplements, convert_model, load_model, save_model
    from uvgen.models.doubts import model_doubts
    from uvgen.storage.names import printable

    _check_new(out, overwrite)
    _check_suffix(out, MODEL_SUFFIXES)
    named = {"--bfm": bfm, "--expression": expression, "--info": info_path, "--uv": uv}
    if face3d_path is not None and any([*named.values(), *files, mouth]):
        raise click.UsageError("--face3d takes the place of the other files; give one or the others")
    if face3d_path is not None:
        refuse_given(["uv_from", "indices", "landmarks", "keep_all"], "does not go with --face3d, whose model is whole")
    if face3d_path is None and not files and None in named.values():
        missing = [name for name, path in named.items() if path is None]
        raise click.UsageError(f"missing {', '.join(missing)}; or give --face3d BFM.mat alone, or a model's file")
    parts = [path for path in (bfm, expression, info_path, mouth) if path is not None]
    basel = None
    if bfm and expression and info_path and uv and not files:
        basel, uv = BaselFiles(bfm, expression, info_path, uv, mouth), None
    elif uv and len(files) + len(parts) > 1:  # one of the Basel model's, which are told by their content
        files, uv = (*files, *parts, uv), None
    else:
        files = (*files, *parts)
    supplements = Supplements(uv, uv_from, indices, landmarks)
    with clock_on_terminal("converting the model"):
        if face3d_path is not None:
            model = load_model(face3d_path, untrusted=untrusted)
            save_model(model, out)
        else:
            model = convert_model(
                out, *files, basel=basel, supplements=supplements, keep_all=keep_all, overwrite=True,
                untrusted=untrusted,
            ).model  # fmt: skip
    click.echo(
        f"{out}: {count(model.n_vertices, 'vertex')}, {model.n_shape} shape + "
        f"{count(model.n_expression, 'expression component')}, {shown_size(out.stat().st_size, digits=0)} "
        f"({printable(model.name)})"
    )
    show_warnings(model_doubts(model))


@command.command("info")
@click.argument("file", type=MODEL)
@untrusted_option
@json_option
def info(file: Path | str, untrusted: bool, as_json: bool) -> None:
    """Print a model's counts, dimensions, provenance and UV coverage.

    \b
    Example:
      uvgen model info bfm.h5
      uvgen model info builtin

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage.
    """
    import numpy as np

    from uvgen import build_atlas, load_model
    from uvgen.errors import ModelError
    from uvgen.maps.atlas import CLOSURE, FILLED, MESH, hole_loops
    from uvgen.models.doubts import model_doubts
    from uvgen.models.morphable import REGIONS, hash_arrays
    from uvgen.storage.names import printable

    with clock_on_terminal("reading the model"):
        model = load_model(file, untrusted=untrusted)
        atlas = build_atlas(model, 256)
    share = {kind: float((atlas.texel_kind == kind).mean()) for kind in (MESH, CLOSURE, FILLED)}
    regions = "none"
    if model.regions is not None:
        counts = np.bincount(model.regions, minlength=len(REGIONS))
        regions = ", ".join(f"{name} {count}" for name, count in zip(REGIONS, counts, strict=True) if count)
    extent = np.ptp(model.mean, axis=0) / 1000
    n_albedo = "none" if model.albedo_std is None else f"{count(len(model.albedo_std), 'component')}"
    mirrored = "unknown" if model.mirror is None else f"{count(int((model.mirror >= 0).sum()), 'vertex')}"
    holes = ", ".join(f"{count(len(loop), 'vertex')}" for loop in hole_loops(model.triangles, model.uv)) or "none"
    rows = {
        "name": model.name,
        "vertices": model.n_vertices,
        "triangles": f"{len(model.triangles)}, and {len(model.mouth_triangles)} that close the mouth",
        "shape": f"{count(model.n_shape, 'component')}",
        "expression": f"{count(model.n_expression, 'component')}",
        "albedo": n_albedo,
        "landmarks": len(model.landmarks),
        "regions": regions,
        "mirror pairs": mirrored,
        "size": f"{extent[0]:.0f} × {extent[1]:.0f} × {extent[2]:.0f} mm",
        "holes in UV": holes,
        "UV coverage": f"{share[MESH]:.2%} mesh, {share[CLOSURE]:.2%} closed holes, {share[FILLED]:.2%} filled at 256",
        "content": model.content_sha256,
    }
    if model.rig is not None:
        rows["joints"] = ", ".join(model.rig.names)
    doubts = model_doubts(model)
    if as_json:
        print_json(
            {
                "name": model.name,
                "content_sha256": model.content_sha256,
                **{name: getattr(model, name) for name in ("n_vertices", "n_shape", "n_expression")},
                "n_triangles": len(model.triangles),
                "n_mouth_triangles": len(model.mouth_triangles),
                "n_albedo": 0 if model.albedo_std is None else len(model.albedo_std),
                "n_mirrored": None if model.mirror is None else int((model.mirror >= 0).sum()),
                "size_mm": extent.tolist(),
                "uv_coverage": {"mesh": share[MESH], "closed_holes": share[CLOSURE], "filled": share[FILLED]},
                "sources": dict(model.sources),
                "doubts": list(doubts),
            }
        )
        return
    for key, value in rows.items():
        click.echo(printable(f"{key:<13} {value}"))
    for name, digest in model.sources.items():  # a file and its hash, or what is said of a model without files
        is_hash = re.fullmatch("[0-9a-f]{64}", digest) is not None
        click.echo(printable(f"{'source':<13} {f'{name}  {digest}' if is_hash else digest}"))
    show_warnings(doubts)
    if hash_arrays(model) != model.content_sha256:
        raise ModelError(f"{file}: the content does not have the hash written in it; convert the model again")


@command.command("export", cls=GroupedCommand)
@click.argument("model_path", metavar="MODEL", type=MODEL)
@option("--format", "--to", "file_format", type=click.Choice(["face3d", "uvgen", "obj", "npy", "mat"]),
        default="uvgen", show_default=True, group=_TO,
        help="face3d's three .mat files in a folder; uvgen's .h5; the mean mesh with UV (obj); UV alone (npy, "
             "mat).")  # fmt: skip
@option("-o", "--out", type=ANY_PATH, required=True, group=_TO, help="Folder (face3d) or file to write.")
@option("--overwrite", is_flag=True, group=_TO, help="Replace existing files.")
@untrusted_option
def export(model_path: Path | str, file_format: str, out: Path, overwrite: bool, untrusted: bool) -> None:
    """Write a model in another format.

    \b
    Example:
      uvgen model export builtin --format face3d --out face3d_builtin/
      uvgen model export builtin --to obj --out mean.obj

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage.
    """
    from uvgen import load_model
    from uvgen.models import from_mesh
    from uvgen.models.formats import face3d

    targets = [out / name for name in face3d.FILES] if file_format == "face3d" else [out]
    for target in targets:
        _check_new(target, overwrite)
    if file_format != "face3d":
        _check_suffix(out, MODEL_SUFFIXES if file_format == "uvgen" else (f".{file_format}",))
    with clock_on_terminal("exporting the model"):
        model = load_model(model_path, untrusted=untrusted)
        if file_format == "face3d":
            face3d.write(model, out)
        else:
            from_mesh.write_model(model, out)
    click.echo(f"{targets[0]}: {count(model.n_vertices, 'vertex')}")


@command.command("parameterize", cls=GroupedCommand)
@click.argument("source", metavar="MESH|MODEL", type=MODEL)
@option("--scans", type=EXISTING_FOLDER, group=_FROM,
        help="Folder of registered scans, meshes with MESH's vertices and triangles: their principal components "
             "become the shape basis.")  # fmt: skip
@option("--components", type=click.IntRange(min=1), metavar="N", group=_FROM, help="Largest number of components.")
@option("--landmarks", "landmarks_path", type=EXISTING_FILE, group=_FROM,
        help="Text file of the 68 iBUG landmarks' vertices, counted from 0; a mesh's model needs them.")  # fmt: skip
@option("--unit", type=click.Choice(["um", "mm", "cm", "m"]), default="mm", show_default=True, group=_FROM,
        help="Unit of the mesh's coordinates.")  # fmt: skip
@option("--asymmetric", is_flag=True, group=_FROM, help="Do not require left-right symmetry.")
@option("-o", "--out", type=ANY_PATH, required=True, group=_TO,
        help="A model (.h5), the UV alone (.npy, or .mat as BFM_UV.mat), or the mesh with UV (.obj).")  # fmt: skip
@option("--overwrite", is_flag=True, group=_TO, help="Replace an existing file.")
@untrusted_option
def parameterize_(
    source: Path | str,
    scans: Path | None,
    components: int | None,
    landmarks_path: Path | None,
    unit: str,
    asymmetric: bool,
    out: Path,
    overwrite: bool,
    untrusted: bool,
) -> None:
    """Give a face mesh, or a model, UV coordinates on the unit square.

    A Tutte embedding with conformal weights, the boundary on the square, symmetric about u = 0.5, holes closed
    (3D Morphable Models as Spatial Transformer Networks, 2017). MESH is an OBJ, PLY or OFF
    file; PLY and OFF are read by trimesh: pip install ".[mesh]". An OBJ is written in mm, whatever --unit says of MESH.

    \b
    Example:
      uvgen model parameterize mean.obj --landmarks landmarks.txt --scans scans/ --out own.h5

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage.
    """
    from uvgen.models import from_mesh
    from uvgen.models.doubts import model_doubts
    from uvgen.models.load import load_model
    from uvgen.storage.isolated import reading_in_child

    _check_new(out, overwrite)
    _check_suffix(out, from_mesh.OUTPUTS)
    if source == "builtin" or Path(source).is_dir() or Path(source).suffix.lower() in _OF_MODELS:
        if scans or landmarks_path:
            raise click.UsageError("--scans and --landmarks go with a mesh; a model has bases and landmarks")
        with clock_on_terminal("finding UV"):
            model = from_mesh.with_new_uv(load_model(source, untrusted=untrusted), symmetric=not asymmetric)
    else:
        if out.suffix.lower() == ".h5" and landmarks_path is None:
            raise click.UsageError("missing --landmarks: the vertices of the 68 iBUG points, which a model needs")
        if scans and out.suffix.lower() != ".h5" and out.resolve().is_relative_to(scans.resolve()):
            raise click.UsageError(f"--out: {out} lies among the scans, where it would be one; choose another folder")
        with clock_on_terminal("finding UV"), reading_in_child(untrusted):  # to say what a file is that is no mesh
            model = from_mesh.model_from_mesh(
                Path(source), landmarks_path, scans, components, unit=unit, symmetric=not asymmetric
            )
        show_warnings([] if scans is None else from_mesh.scan_warnings(scans, unit))
    from_mesh.write_model(model, out)
    if out.suffix.lower() in MODEL_SUFFIXES:
        show_warnings(model_doubts(model))
    stretch = from_mesh.model_stretch(model)
    click.echo(f"{out}: UV of {count(model.n_vertices, 'vertex')}, one-to-one; stretch {stretch:.2f} (1 is none)")
