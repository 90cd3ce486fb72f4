"""A folder of samples like 300W-LP's, by the names of its files; deeply, or with a model, by what is in them."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from uvgen.datasets.build import about_unread, build_shards
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.quality.survey import versions_of
from uvgen.doctor.checks import Finding, few
from uvgen.errors import DatasetError, InputError, OutputError, SampleError
from uvgen.models.doubts import model_warnings
from uvgen.models.morphable import MorphableModel
from uvgen.samples.files import check_machine
from uvgen.samples.find import Sample, find_samples
from uvgen.samples.parameter_list import is_list
from uvgen.samples.read import read_annotation, read_image
from uvgen.wording import count

_N_TRIED = 16
_TRIAL = BuildConfig(size=16, uv_size=16, maps="none", jitter=0)
"""What samples are tried with: all checks of a build, and as little to write as a build can."""


def check_samples(
    path: Path, model: MorphableModel | None = None, *, deep: bool = False
) -> tuple[dict[str, Any], list[Finding]]:
    """What is in a folder of samples, and what is wrong with it.

    Parameters
    ----------
    path : Path
        The folder, as ``uvgen build --data`` takes it.
    model : MorphableModel, optional
        The one that the parameters are said to belong to.
    deep : bool
        Whether to read all samples instead of a few.

    Returns
    -------
    checked : dict
        How many samples there are and how many of them were read, and the median of their `label_nme` with a model.
    findings : list of Finding
    """
    try:
        samples = find_samples(path)
    except (DatasetError, InputError) as error:
        return {}, [_as_given(path, Finding("UV301", str(error)))]
    findings = []
    for code, odd in (
        ("UV302", [sample for sample in samples if sample.parameters is None]),
        ("UV303", [sample for sample in samples if sample.image is None]),
    ):
        if odd:
            findings.append(Finding(code, f"{path}: {len(odd)} of {len(samples)}, first {odd[0].name}"))
    code = "UV306" if is_list(path) else "UV304"
    findings += few(code, [sample.problem for sample in samples if sample.problem])
    findings += [Finding("UV305", f"{path}: {text}") for text in about_unread(path)]
    whole = [s for s in samples if s.image is not None and s.parameters is not None and not s.problem]
    if samples and not whole:
        findings.append(Finding("UV310", f"{path}: {count(len(samples), 'sample')}; a build of it would stop"))
    chosen = whole[:: 1 if deep else max(len(whole) // _N_TRIED, 1)]
    nme = None
    if model is None:
        findings += _tried(chosen)
    elif whole:
        if not deep:  # with the other versions of their photographs, whose annotations are compared
            names = {sample.name for group in versions_of(chosen, whole) for sample in group}
            chosen = [*{sample.name: sample for sample in [*chosen, *(s for s in whole if s.name in names)]}.values()]
        nme, found = _built(path, sorted(chosen, key=lambda sample: sample.name), model)
        findings += found
    checked = {
        "samples": len(samples), "read": len(chosen), "model": None if model is None else model.name, "deep": deep,
        "label_nme": nme,
    }  # fmt: skip
    return checked, [_as_given(path, finding) for finding in findings]


def _tried(samples: Sequence[Sample]) -> list[Finding]:
    """Those of some samples whose files cannot be read."""
    errors = []
    for sample in samples:
        try:
            read_annotation(sample)
            read_image(sample)
        except SampleError as error:
            check_machine(error)
            errors.append(str(error))
    return few("UV306", errors)


def _built(path: Path, samples: Sequence[Sample], model: MorphableModel) -> tuple[float | None, list[Finding]]:
    """What a build of these samples says: those that it skips, its warnings, and how far labels are."""
    with tempfile.TemporaryDirectory(prefix="uvgen-doctor-") as scratch:
        try:
            result = build_shards(samples, Path(scratch, "trial"), model=model, config=_TRIAL, root=path)
        except OutputError as error:
            return None, [Finding("UV110", str(error))]
        except DatasetError as error:
            return None, [Finding("UV306", str(error).removeprefix(f"{Path(scratch, 'trial')}: "))]
    findings = few("UV306", [skip.reason for skip in result.skipped])
    of_model = model_warnings(model)  # `diagnose` says it
    findings += [Finding("UV307", f"{path}: {text}") for text in result.warnings if text not in of_model]
    if result.quality is None:
        return None, findings
    for text in result.quality.warnings:
        code = "UV309" if text == result.quality.repeated else "UV308"
        findings.append(Finding(code, f"{path}: {text}"))
    return result.quality.to_plain()["median"], findings


def _as_given(path: Path, finding: Finding) -> Finding:
    """A finding whose paths begin as the folder was named."""
    return replace(finding, text=finding.text.replace(os.path.abspath(path), os.fspath(path)))
