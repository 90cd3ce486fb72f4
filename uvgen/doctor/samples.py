"""A folder of samples like 300W-LP's, by the names of its files; deeply, or with a model, by what is in them."""

from collections.abc import Sequence
from pathlib import Path

from uvgen.datasets.config import BuildConfig
from uvgen.datasets.survey import survey_samples
from uvgen.doctor.checks import Finding
from uvgen.errors import DatasetError, InputError, SampleError
from uvgen.models.morphable import MorphableModel
from uvgen.samples.find import Sample, find_samples, unread_folders
from uvgen.samples.read import read_annotation, read_image

_N_TRIED = 16
_N_NAMED = 20  # samples that cannot be used


def check_samples(path: Path, model: MorphableModel | None = None, *, deep: bool = False) -> list[Finding]:
    """What is wrong with a folder of samples.

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
    list of Finding
    """
    try:
        samples = find_samples(path)
    except (DatasetError, InputError) as error:
        return [Finding("UV301", str(error))]
    findings = []
    for code, odd in (
        ("UV302", [sample for sample in samples if sample.parameters is None]),
        ("UV303", [sample for sample in samples if sample.image is None]),
    ):
        if odd:
            findings.append(Finding(code, f"{path}: {len(odd)} of {len(samples)}, first {odd[0].name}"))
    findings += [Finding("UV304", sample.problem) for sample in samples if sample.problem][:_N_NAMED]
    if unread := unread_folders(path):
        findings.append(Finding("UV305", f"{path}: {len(unread)} folders, first {unread[0]}"))
    whole = [s for s in samples if s.image is not None and s.parameters is not None and not s.problem]
    step = 1 if deep else max(len(whole) // _N_TRIED, 1)
    findings += _tried(whole[::step])
    if model is not None and whole:
        try:
            survey = survey_samples(whole, model, BuildConfig())
        except DatasetError as error:
            findings.append(Finding("UV306", f"{path}: {error}"))
        else:
            findings += [Finding("UV307", f"{path}: {text}") for text in survey.warnings]
    return findings


def _tried(samples: Sequence[Sample]) -> list[Finding]:
    """Those of some samples whose files cannot be read."""
    errors = []
    for sample in samples:
        try:
            read_annotation(sample)
            read_image(sample)
        except SampleError as error:
            errors.append(str(error))
    findings = [Finding("UV306", text) for text in errors[:_N_NAMED]]
    if len(errors) > _N_NAMED:
        findings.append(Finding("UV306", f"and {len(errors) - _N_NAMED} more of {len(samples)}"))
    return findings
