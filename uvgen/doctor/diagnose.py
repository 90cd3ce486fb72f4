"""`diagnose`: all checks of whatever a path is."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uvgen.checks import check_optional_paths
from uvgen.described import described
from uvgen.doctor.checks import CHECKS, ERROR, NOTE, WARNING, Finding
from uvgen.doctor.machine import examine_machine
from uvgen.errors import InputError
from uvgen.storage.folders import DATA_SET as A_DATA_SET
from uvgen.storage.folders import DATASET_INDEX, MODELS, OTHER, REMAINS, SHARD_NAME, folder_kind
from uvgen.wording import count

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

MACHINE, DATA_SET, SAMPLES, MODEL = "machine", "data set", "samples", "model"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of `uvgen.diagnose`.

    Attributes
    ----------
    kind : str
        What was examined: "machine", "data set", "samples" or "model".
    path : str
        Where it is; "" for the machine.
    facts : dict
        Facts of the machine: versions, cores, memory, folders and their free space.
    findings : tuple of Finding
        Errors first, then warnings, then notes.
    checked : dict
        What was checked: numbers of samples and shards, whether all was read, ...
    """

    kind: str
    path: str
    facts: dict[str, Any]
    findings: tuple[Finding, ...]
    checked: dict[str, Any] = field(default_factory=dict)

    __repr__ = described

    @property
    def sound(self) -> bool:
        """Whether there are no errors."""
        return all(finding.level != ERROR for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The outcome, in one line."""
        counts = dict.fromkeys((ERROR, WARNING, NOTE), 0)
        for finding in self.findings:
            counts[finding.level] += finding.n
        said = ", ".join(count(n, level) for level, n in counts.items() if n)
        what = f"{self.path}: " if self.path else "this machine: "
        if not self.sound:
            return f"{what}not sound, {said}"
        return f"{what}no errors, {said}" if counts[WARNING] else f"{what}sound{', ' if said else ''}{said}"

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen doctor --json` prints it."""
        return {
            "kind": self.kind,
            "path": self.path or None,
            "sound": self.sound,
            "facts": self.facts,
            "checked": self.checked,
            "findings": [
                {
                    "code": finding.code,
                    "level": finding.level,
                    "title": CHECKS[finding.code].title,
                    "text": finding.text,
                    "cure": CHECKS[finding.code].cure,
                }
                for finding in self.findings
            ],
        }


def diagnose(
    path: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] | None = None,
    deep: bool = False,
    untrusted: bool = False,
) -> Diagnosis:
    """Look for what is wrong with a machine, a data set, a folder of samples, or a model.

    Parameters
    ----------
    path : path-like, optional
        A folder that ``uvgen build`` made, a folder like 300W-LP's, or a model file; the machine by default.
    model : path-like, optional
        The model of the data set, or of the samples' parameters: more can be said with it. By default the one that a
        folder of `uvgen fit` or `uvgen synth` says it was made with.
    deep : bool
        Whether to read everything; otherwise names, sizes and a few samples.
    untrusted : bool
        Read HDF5 files in a child process: see `uvgen.open_shards`.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InputError
        If the path does not exist, a model is given with nothing to use it for, or an argument is of the wrong type.
    ModelError
        If that model cannot be read.
    """
    check_optional_paths(path=path, model=model)
    from uvgen.models.load import BUILTIN, load_model
    from uvgen.samples.parameter_list import is_list

    facts, findings = examine_machine()
    if path is not None and path != BUILTIN and not Path(path).exists():
        raise InputError(f"{path}: no such file or folder, expected a data set, a folder of samples, or a model")
    if path is None:
        if model is not None:
            raise InputError(
                "model: given without a path, expected a data set or a folder of samples too; a model alone is the path"
            )
        return Diagnosis(MACHINE, "", facts, _sorted(findings))
    of_shards = SHARD_NAME.fullmatch(Path(path).name) and (Path(path).parent / DATASET_INDEX).exists()
    if path != BUILTIN and of_shards and Path(path).is_file():
        raise InputError(f"{path}: a shard of a data set; give the folder {Path(path).parent}")
    one_file = path == BUILTIN or (Path(path).is_file() and Path(path).name != DATASET_INDEX and not is_list(path))
    if one_file or _of_models(Path(path)):
        if model is not None:
            what = "a file" if one_file else "a folder of models"
            raise InputError(f"model: given with {path}, which is {what}; expected a folder of data with it")
        from uvgen.doctor.models import check_model_file

        read, found = check_model_file(path if path == BUILTIN else Path(path), deep=deep, untrusted=untrusted)
        checked = {} if read is None else {
            "name": read.name, "n_vertices": read.n_vertices, "n_shape": read.n_shape,
            "n_expression": read.n_expression, "deep": deep,
        }  # fmt: skip
        return Diagnosis(MODEL, os.fspath(path), facts, _sorted(found), checked)
    of_data = None if model is None else load_model(model, untrusted=untrusted)
    folder = Path(path)
    if folder.name == DATASET_INDEX or folder_kind(folder) in (A_DATA_SET, REMAINS):
        from uvgen.doctor.shards import check_shards

        checked, found = check_shards(folder, of_data, deep=deep, untrusted=untrusted)
        return Diagnosis(DATA_SET, os.fspath(path), facts, _sorted([*_of_model(of_data), *found]), checked)
    from uvgen.datasets.made_with import model_of_samples
    from uvgen.doctor.samples import check_samples

    unread = []
    if of_data is None:
        try:
            of_data = model_of_samples(folder, untrusted=untrusted)  # as a build does
        except InputError as error:
            unread = [Finding("UV401", str(error))]
    checked, found = check_samples(folder, of_data, deep=deep)
    return Diagnosis(SAMPLES, os.fspath(path), facts, _sorted([*unread, *_of_model(of_data), *found]), checked)


def _of_models(folder: Path) -> bool:
    """Whether a folder holds models or parts of one, and nothing else that is checked."""
    from uvgen.models.folders import models_below, models_in, parts_in
    from uvgen.models.formats import format_of

    if not folder.is_dir() or folder_kind(folder) not in (MODELS, OTHER):
        return False
    if format_of(folder) is not None or models_in(folder) or parts_in(folder):
        return True
    return bool(models_below(folder))


def _of_model(model: "MorphableModel | None") -> list[Finding]:
    """What makes labels wrong in the model of a data set or of samples."""
    from uvgen.models.doubts import model_warnings

    return [] if model is None else [Finding("UV402", text) for text in model_warnings(model)]


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    order = (ERROR, WARNING, NOTE)
    return tuple(sorted(findings, key=lambda finding: (order.index(finding.level), finding.code)))
