"""A data set, by its index and the sizes of its files; deeply, by all that `uvgen verify` compares."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from uvgen._version import __version__
from uvgen.datasets.config import DatasetConfig
from uvgen.datasets.open import check_model, reader_of
from uvgen.datasets.quality.summary import label_quality
from uvgen.datasets.split_files import SPLITS, check_splits, read_splits
from uvgen.datasets.splits import group_samples
from uvgen.datasets.verify import verify_shards
from uvgen.doctor.checks import Finding, few
from uvgen.errors import DatasetError, ModelError
from uvgen.models.morphable import MorphableModel
from uvgen.shards.constants import CONSTANTS
from uvgen.shards.index import Index, data_folder
from uvgen.storage.files import TEMPORARY_PREFIX, sha256_file
from uvgen.storage.folders import DATASET_INDEX
from uvgen.storage.reading import max_bytes
from uvgen.wording import are, count

_MANY_SKIPPED = 0.05
_MANY_SHARDS, _FEW_SAMPLES = 100, 32
_N_PAIRS = 20  # of parts that share photographs
_TOO_MANY_TO_READ = 64  # shards, of which each is opened for its columns


def check_shards(
    path: Path, model: MorphableModel | None = None, *, deep: bool = False, untrusted: bool = False
) -> tuple[dict[str, Any], list[Finding]]:
    """What is in a data set, and what is wrong with it.

    Parameters
    ----------
    path : Path
        Its folder.
    model : MorphableModel, optional
        The set's; with `deep`, labels are compared with it.
    deep : bool
        Whether to read all of it.
    untrusted : bool
        Whether to read it in a child process.

    Returns
    -------
    checked : dict
        How many samples, shards and bytes there are, the model, and whether all was read and labels compared.
    findings : list of Finding
    """
    folder = data_folder(path, changes="`uvgen verify` checks one in a store")
    try:
        index = Index.read(folder)
        config = DatasetConfig.of_index(index, folder)
    except DatasetError as error:
        return {}, [Finding("UV201", str(error))]
    checked = {
        "samples": index.n_samples, "shards": sum(entry.samples > 0 for entry in index.shards),
        "size_bytes": sum(entry.size_bytes for entry in index.shards), "model": config.model, "deep": deep,
        "compared_with_model": False, "label_nme": None,
    }  # fmt: skip
    findings = [*_about_index(folder, index), *_about_files(folder, index), *_about_splits(folder, index, config)]
    if config.build.compression is not None:
        findings.append(Finding("UV212", f"{folder}: compression = {config.build.compression}"))
    if model is not None:
        try:
            check_model(model, folder, config)
            checked["compared_with_model"] = deep and config.build.maps == "stored"
        except ModelError as error:
            findings.append(Finding("UV214", str(error)))
            model = None
    damaged = any(finding.code in ("UV203", "UV205") for finding in findings)
    if deep:
        said = " ".join(finding.text for finding in findings)
        problems = verify_shards(folder, model=model, untrusted=untrusted).problems
        findings += few("UV211", [problem for problem in problems if problem.split(": ")[0] not in said])
        damaged = damaged or bool(problems)
    if not damaged and (deep or len(index.shards) <= _TOO_MANY_TO_READ):
        try:
            quality = label_quality(reader_of(folder, index, config, untrusted=untrusted), model)
        except DatasetError as error:
            findings.append(Finding("UV211", str(error)))
        else:
            if quality is not None:
                checked["label_nme"] = quality.to_plain()["median"]
                for text in quality.warnings:
                    code = "UV215" if text == quality.repeated else "UV210"
                    findings.append(Finding(code, f"{folder}: {text}"))
    return checked, findings


def _about_index(folder: Path, index: Index) -> list[Finding]:
    findings = []
    if index.missing:
        findings.append(
            Finding(
                "UV202",
                f"{folder}: {index.missing} of {count(index.plan['samples'], 'sample')} {are(index.missing)} missing",
            )
        )
    if len(index.skipped) > _MANY_SKIPPED * max(index.n_samples, 1):
        first = index.skipped[0]
        total = index.n_samples + len(index.skipped)
        text = f"{folder}: {len(index.skipped)} of {total}, first {first.name}: {first.reason}"
        findings.append(Finding("UV206", text))
    made = [entry for entry in index.shards if entry.samples]
    if len(made) > _MANY_SHARDS and index.n_samples < _FEW_SAMPLES * len(made):
        findings.append(
            Finding("UV209", f"{folder}: {count(len(made), 'shard')} of {count(index.n_samples, 'sample')}")
        )
    if index.uvgen != __version__:
        findings.append(Finding("UV213", f"{folder}: uvgen {index.uvgen}, this is {__version__}"))
    return findings


def _about_files(folder: Path, index: Index) -> list[Finding]:
    missing, strays = list[str](), list[str]()
    listed = {entry.file for entry in index.shards if entry.samples}
    for entry in index.shards:
        path = folder / entry.file
        if not entry.samples:
            continue
        if not path.is_file():
            missing.append(f"{path}: missing")
        elif path.stat().st_size != entry.size_bytes:
            missing.append(f"{path}: {path.stat().st_size} bytes, expected {entry.size_bytes}")
    belongs = {DATASET_INDEX, CONSTANTS, SPLITS, *listed}
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(TEMPORARY_PREFIX)
        if hidden and index.missing:  # of the command that UV202 says to run again, or of one that is running
            continue
        ours = path.suffix == ".h5" or hidden
        if ours and path.name not in belongs:
            strays.append(f"{path}: not listed in {DATASET_INDEX}")
    findings = [*few("UV203", missing), *few("UV204", strays)]
    constants = folder / CONSTANTS
    if index.constants_sha256 is not None:
        if not constants.is_file():
            findings.append(Finding("UV205", f"{constants}: missing"))
        elif constants.stat().st_size > max_bytes() or sha256_file(constants) != index.constants_sha256:
            findings.append(Finding("UV205", f"{constants}: its SHA-256 is not the one in the index"))
    return findings


def _about_splits(folder: Path, index: Index, config: DatasetConfig) -> list[Finding]:
    listed = [entry.sample_names for entry in index.shards]
    if not (folder / SPLITS).exists() or any(names is None for names in listed):
        return []
    names = [name for part in listed for name in part or ()]
    findings = [Finding("UV207", text) for text in check_splits(folder, names)]
    if findings:
        return findings
    groups = group_samples(names, copies=config.augmentation is not None)
    group_of = {name: group for group, members in groups.items() for name in members}
    parts = {  # only those that divide the set: selections may share samples with anything
        split.name: {group_of[name] for name in split.samples}
        for split in read_splits(folder / SPLITS).values()
        if not {"select", "drop"} & split.made.keys()
    }
    for name, other in _overlapping(parts):
        both = sorted(parts[name] & parts[other])
        text = f"{folder / SPLITS}: {name} and {other} share {count(len(both), 'photograph')}, first {both[0]}"
        findings.append(Finding("UV208", text))
    return findings


def _overlapping(parts: Mapping[str, Set[str]]) -> list[tuple[str, str]]:
    """Pairs of parts with a photograph in common, a few at most: a file may list more parts than can be compared."""
    found = dict[tuple[str, str], None]()
    there: dict[str, list[str]] = {}
    for name, groups in parts.items():
        for group in groups:
            others = there.setdefault(group, [])
            found |= dict.fromkeys((other, name) for other in others[:_N_PAIRS])
            others.append(name)
        if len(found) >= _N_PAIRS:
            break
    order = {name: k for k, name in enumerate(parts)}
    return sorted(found, key=lambda pair: (order[pair[0]], order[pair[1]]))[:_N_PAIRS]
