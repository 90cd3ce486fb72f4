"""Whether a set that a build is to go on with holds the samples that it is given, or others of the same names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uvgen.datasets.config import BuildConfig, DatasetConfig
from uvgen.datasets.open import reader_of
from uvgen.datasets.output_folder import read_begun
from uvgen.errors import DatasetError, SampleError, SettingsError
from uvgen.samples.find import Sample
from uvgen.samples.read import read_annotation
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.names import brief
from uvgen.storage.objects import url_of

_N_COMPARED = 16


def check_same_samples(out: Path, samples: Sequence[Sample], config: BuildConfig) -> None:
    """Raise SettingsError, before any work, where a set holds samples of these names with other parameters.

    A few are compared, evenly spread: those of another folder of photographs, and those that were fitted again, differ
    in all of them. What cannot be read is left to the build.

    Parameters
    ----------
    out : Path
        The set's folder, perhaps without one. A set in an object store is not compared.
    samples : sequence of Sample
        What it is to be made of.
    config : BuildConfig
        What it is made with.
    """
    if url_of(out) is not None or not (out / DATASET_INDEX).exists():
        return
    try:
        index = read_begun(out)
        reader = reader_of(out, index, DatasetConfig.of_index(index, out))
        there = {name: k for k, name in enumerate(reader.names)}
        fields = [name for name in ("shape", "expression", "pose") if name in reader.fields]
        if config.augmentation is not None and "pose" in fields:
            fields.remove("pose")  # faces may be turned
    except DatasetError:
        return
    ending = "-0" if config.augmentation is not None else ""
    known = [sample for sample in samples if f"{sample.name}{ending}" in there]
    for k in np.unique(np.linspace(0, len(known) - 1, min(_N_COMPARED, len(known))).astype(int)):
        sample = known[k]
        try:
            stated = read_annotation(sample)
            stored = reader.gather([there[f"{sample.name}{ending}"]], fields)
        except (SampleError, DatasetError):
            continue
        if odd := [name for name in fields if not np.array_equal(stored[name][0], getattr(stated, name))]:
            raise SettingsError(
                f"{out}: holds {brief(sample.name)} with another {odd[0]} than {sample.stated_in}: it is of another "
                "folder whose samples have the same names, or was changed since; choose another output folder, or "
                "overwrite this one"
            )
