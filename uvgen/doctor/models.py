"""A model file."""

from pathlib import Path

from uvgen.doctor.checks import Finding
from uvgen.errors import UvgenError, WorkerError
from uvgen.models.doubts import model_doubts
from uvgen.models.load import BUILTIN, load_model
from uvgen.models.morphable import MorphableModel, hash_arrays
from uvgen.storage.isolated import reading_in_child
from uvgen.storage.kinds import describe_file


def check_model_file(
    path: Path | str, *, deep: bool = False, untrusted: bool = False
) -> tuple[MorphableModel | None, list[Finding]]:
    """A model, if it can be read, and what is wrong with it.

    Parameters
    ----------
    path : Path or str
        A file, or "builtin".
    deep : bool
        Whether to hash its content again, even if that was done before.
    untrusted : bool
        Whether to read it in a child process.

    Returns
    -------
    model : MorphableModel or None
    findings : list of Finding
    """
    try:
        model = load_model(path, untrusted=untrusted)
    except WorkerError:  # the machine's fault
        raise
    except UvgenError as error:
        return None, [Finding("UV401", str(error))]
    doubts = model_doubts(model)
    findings = [Finding("UV402", f"{path}: {text}") for text in doubts]
    if deep and hash_arrays(model) != model.content_sha256:
        findings.append(Finding("UV401", f"{path}: its content does not have the hash that is written in it"))
    if model.mirror is None and not any("mirror pairs" in text for text in doubts):
        findings.append(Finding("UV403", str(path)))
    if model.albedo_mean is None:
        findings.append(Finding("UV404", str(path)))
    if path != BUILTIN:
        with reading_in_child(untrusted):
            kind = describe_file(path)
        if kind != "a uvgen model":
            findings.append(Finding("UV405", f"{path}: {kind}"))
    return model, findings
