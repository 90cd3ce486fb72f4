"""Augmented copies of a data set's shards: what `uvgen augment` does.

Each shard of the source gives one shard a copy, made from its own samples alone. Copy k of a sample is what
`Augmentation.draw(seed, name, k)` says: the same as a training loop gets in epoch k.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from uvgen.augment.values import Augmentation
from uvgen.checks import check_instance, check_paths, number_in, seed_number
from uvgen.datasets.augmented_worker import AugmentJob, CopyTask
from uvgen.datasets.begun import as_begun
from uvgen.datasets.config import MAX_COPIES, CopyConfig, DatasetConfig, check_known
from uvgen.datasets.make_shards import BuildResult, NewSet, make_shards
from uvgen.datasets.naming import shard_file, subset_of_shard
from uvgen.datasets.open import builtin_of, check_model
from uvgen.datasets.output_folder import check_output, output_folder
from uvgen.datasets.record import ShardResult
from uvgen.datasets.source import check_each_once, check_source_constants
from uvgen.datasets.targets import remaking_targets
from uvgen.errors import DatasetError, InputError
from uvgen.jobs.options import RunOptions, check_on_error, check_run
from uvgen.maps.mirror import TexelMirror
from uvgen.models.load import as_model
from uvgen.models.morphable import MorphableModel
from uvgen.shards.constants import read_constants
from uvgen.shards.index import Index, ShardEntry, data_folder
from uvgen.storage.urls import url_of
from uvgen.wording import are, count, typed


def augment_shards(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    augmentation: Augmentation | str = "prnet",
    *,
    copies: int = 1,
    seed: int = 0,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    run: RunOptions = RunOptions(),
    on_error: str = "skip",
    overwrite: bool = False,
    untrusted: bool = False,
    progress: Callable[[ShardResult], object] | None = None,
) -> BuildResult:
    """Make augmented copies of a data set, or finish those that were begun.

    Parameters
    ----------
    source : path-like
        Folder that ``uvgen build`` made.
    out : path-like
        Folder for the new shards and `dataset.json`.
    augmentation : Augmentation or str
        What may be done; or the name of a preset.
    copies : int
        Augmented samples from each sample; the originals are not among them.
    seed : int
        Random seed of the draws.
    model : MorphableModel or path-like, optional
        The source's; needed to flip, and if samples have per-pixel targets (`BuildConfig.targets`): these are
        made anew of the parameters.
    run : RunOptions
        As for `uvgen.build_shards`.
    on_error : {"skip", "fail"}
        Whether a copy whose map leaves the range of its type is left out and reported, or ends the run.
    overwrite : bool
        Replace an existing data set in the folder.
    untrusted : bool
        Read the source's shards, and `model` if it is a file, in child processes: see `uvgen.open_shards`.
    progress : callable, optional
        Called with each `ShardResult` as it is finished.

    Returns
    -------
    BuildResult
        Its `mirror` says how many texels of flipped maps are not exact.

    Raises
    ------
    DatasetError
        If the source is damaged, unfinished or augmented already, or the output cannot be written or holds
        something else.
    ModelError
        If the model is not the source's.
    InputError
        If an argument is out of range or of the wrong type, or the model is needed and missing.
    SampleError
        For a bad copy with ``on_error="fail"``.

    Examples
    --------
    >>> result = uvgen.augment_shards("shards/", "augmented/", "prnet", copies=2)
    >>> result.samples
    """
    check_paths(source=source, out=out)
    check_run(run)
    check_on_error(on_error)
    if isinstance(augmentation, str):
        augmentation = Augmentation.preset(augmentation)
    check_instance(augmentation, "augmentation", Augmentation, "'prnet', or uvgen.Augmentation(flip=0.5)")
    source, out = Path(os.path.abspath(data_folder(source))), output_folder(out)
    check_output(out, overwrite=overwrite)
    copies = number_in(copies, "copies", 1, MAX_COPIES, whole=True)
    seed = seed_number(seed)
    if out.exists() and source.exists() and out.samefile(source):  # under whatever name
        raise InputError(f"{out}: is the source, expected another folder for the copies")
    index = Index.read(source)
    built = DatasetConfig.of_index(index, source)
    check_source_shards(source, index, built)
    check_known(index, built, source)
    augmentation.check_crops()
    if model is None and built.build.has_parameters and (augmentation.flip or built.build.targets):
        model = builtin_of(built)
    model = None if model is None else as_model(model, untrusted=untrusted)
    mirror = _mirror(source, built, augmentation, model)
    remaking_targets(model, built.build)  # refuses a set whose targets cannot be made anew
    copied = CopyConfig(augmentation, seed, copies, hash_of_source(index))
    copied = copied if overwrite else as_begun(out, copied)
    config = dataclasses.replace(built, copied=copied)
    plan = {**index.plan, "samples": index.n_samples * copies}
    needed = model if mirror is not None or built.build.targets else None
    job = AugmentJob(source, out, config, copied, needed, on_error, untrusted)
    units = plan_copies(index.shards, copies)
    return make_shards(
        job,
        units,
        out,
        NewSet(config, plan, read_constants(source, built.build.uv_size), mirror, model),
        run,
        overwrite=overwrite,
        progress=progress,
        doing="augmenting",
    )


def plan_copies(entries: Sequence[ShardEntry], copies: int) -> list[CopyTask]:
    """The shards to make, numbered within each subset: all copies of its first source shard, then of the next.

    Parameters
    ----------
    entries : sequence of ShardEntry
        The source's.
    copies : int
        Shards from each.

    Returns
    -------
    list of CopyTask
    """
    numbers: dict[str, int] = {}
    tasks = []
    for entry in sorted((entry for entry in entries if entry.samples), key=lambda entry: entry.file):
        subset = subset_of_shard(entry.file)
        for copy in range(copies):
            number = numbers.get(subset, 0)
            numbers[subset] = number + 1
            tasks.append(CopyTask(shard_file(subset, number), entry, copy))
    return tasks


def hash_of_source(index: Index) -> str:
    """A hash of the shards that copies are made of."""
    hashes = json.dumps([entry.sha256 for entry in index.shards])
    return hashlib.sha256(hashes.encode()).hexdigest()


def check_source_shards(source: Path, index: Index, config: DatasetConfig) -> None:
    """Raise DatasetError if a set cannot be augmented: it is augmented already, unfinished or obviously damaged."""
    if config.augmentation is not None:
        raise DatasetError(f"{source}: is augmented already; augment the set that it was made from")
    for entry in index.shards if url_of(source) is None else ():  # a store's are looked at as they are fetched
        path = source / entry.file
        if entry.samples and (not path.exists() or path.stat().st_size != entry.size_bytes):
            what = "cut short or changed" if path.exists() else "missing"
            raise DatasetError(
                f"{path}: {what}; run `uvgen verify --repair {typed(source)}` or the `uvgen build` again"
            )
    check_source_constants(source, index)
    if index.missing:
        raise DatasetError(
            f"{source}: unfinished, {count(index.missing, 'sample')} {are(index.missing)} missing; run the `uvgen "
            "build` again"
        )
    if not index.n_samples:
        raise DatasetError(f"{source}: holds no samples, expected some to augment")
    check_each_once(source, index)


_ORIGINALS = "; `uvgen build --meshes … --augment` flips too"


def _mirror(
    source: Path, config: DatasetConfig, augmentation: Augmentation, model: MorphableModel | None
) -> TexelMirror | None:
    if model is not None:
        check_model(model, source, config)
    if not augmentation.flip:
        return None
    if not config.build.has_parameters:
        raise InputError(
            f"flip: {source} holds maps of {'meshes' if config.build.meshes else 'another program'} without parameters "
            f"to make mirrored ones of, expected an augmentation without flips{_ORIGINALS * config.build.meshes}"
        )
    if model is None:
        raise InputError("flip: needs the shards' model, which says where texels mirror; give model")
    return TexelMirror.of_model(model, config.build.uv_size, config.build.convention)
