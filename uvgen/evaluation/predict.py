"""A trained network on photographs: what `uvgen predict` does.

Each face depends on its photograph, the network, the model and the options alone: a folder holds the same bytes
whatever the number of workers, and whether or not the work was interrupted.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from uvgen.checks import check_several, choice
from uvgen.described import described
from uvgen.errors import DatasetError, InputError
from uvgen.evaluation.network import NetworkOptions, check_network_file, hash_network
from uvgen.evaluation.network_trial import try_network
from uvgen.evaluation.predict_record import INDEX, PredictRecord
from uvgen.evaluation.predict_worker import CROPS, WRITTEN, Drawing, PredictedBatch, PredictedFace, PredictJob
from uvgen.fitting.detectors import weights_of
from uvgen.fitting.fitted import Unfitted
from uvgen.fitting.folder import AUTO, FACES, choose_detector, place_of, which_are_marked
from uvgen.fitting.photographs import find_photographs, in_batches, units_of
from uvgen.fitting.worker import open_table
from uvgen.jobs.options import RETRIES, RunOptions
from uvgen.jobs.run import run
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.samples.read import EXIF
from uvgen.wording import none_can_be

_INDEX_STEM = Path(INDEX.file).stem
_CALLED_LIKE_INDEX = f"its pose would be {INDEX.file}, which lists all faces of the folder; rename it"


@dataclass(frozen=True, slots=True)
class PredictResult:
    """The result of `uvgen.predict_photographs`: what the run did, and what the folder now contains.

    Attributes
    ----------
    faces : tuple of PredictedFace
        By name.
    skipped : tuple of Unfitted
        Photographs and faces that were left out, each with the reason.
    new_samples : int
        Made by this run.
    detector : str or None
        What found faces, if files did not have them.
    notice : str
        What users of that detector must know; "" if there is nothing.
    crop_size, uv_size : int
        The network's.
    seconds : float
        How long this run took.
    """

    faces: tuple[PredictedFace, ...]
    skipped: tuple[Unfitted, ...]
    new_samples: int
    detector: str | None
    notice: str
    crop_size: int
    uv_size: int
    seconds: float

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen predict --json` prints it."""
        return {"samples": len(self.faces), **asdict(self), "faces": [asdict(face) for face in self.faces]}


def predict_photographs(
    network: str | os.PathLike[str],
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    options: NetworkOptions | None = None,
    model: MorphableModel | str | os.PathLike[str] = BUILTIN,
    landmarks: str | os.PathLike[str] | None = None,
    boxes: str | os.PathLike[str] | None = None,
    detector: str | None = AUTO,
    detector_model: str | os.PathLike[str] | None = None,
    faces: str = "largest",
    crop: str = "auto",
    exif: str = "apply",
    write: Sequence[str] = ("mesh", "landmarks", "pose"),
    draw: Drawing | None = None,
    kind: str = "sparse",
    workers: int = 1,
    retries: int = RETRIES,
    timeout: float | None = None,
    overwrite: bool = False,
    untrusted: bool = False,
    progress: Callable[[PredictedBatch], object] | None = None,
) -> PredictResult:
    """Run a network that regresses position maps on photographs: crop, network, and back to the photograph.

    Parameters
    ----------
    network : path-like
        ONNX file; needs onnxruntime (``pip install ".[onnx]"``).
    images : path-like
        Folder of photographs, also in folders in it.
    out : path-like
        Folder for the results, NAME.obj, .txt, .json, .npy and .png, and `predict.json`. One that an earlier call with
        the same arguments made is completed.
    options : NetworkOptions, optional
        What is to be known of the network beside its file.
    model : MorphableModel or path-like
        The one that the network's maps have the UV of: it says where landmarks and face are in them.
    landmarks : path-like, optional
        Folder of landmark files or one table for all; those beside the photographs by default.
    boxes : path-like, optional
        CSV of faces' boxes instead, see `uvgen.samples.box_tables`.
    detector, detector_model
        As for `uvgen.fit_photographs`.
    faces : {"largest", "all"}
        Which faces of a photograph.
    crop : {"auto", "training", "prnet", "prnet-detector", "whole"}
        "training" is the training sets' square around the landmarks or box, "prnet" and "prnet-detector" PRNet's, see
        `uvgen.crop_from_box`. "auto": the first around landmarks, the last around boxes. "whole": photographs are crops
        already, and no face is looked for. If a face has not all of the 68 landmarks, the model is fitted to those
        that it has.
    exif : {"apply", "ignore"}
        Whether photographs are turned upright as their EXIF orientation says; results are of what comes of it.
    write : sequence of str
        Some of `WRITTEN`: "mesh", the face as .obj with the photograph's colors; "landmarks", 68 lines of x y z, px;
        "pose", angles, crop and more as .json; "map", the position map as .npy. All in px of the photograph.
    draw, kind
        `uvgen.draw_alignment`, or another function like it, and what it is to draw.
    workers, retries, timeout, overwrite, untrusted
        As for `uvgen.fit_photographs`.
    progress : callable, optional
        Called with what came of every few photographs.

    Returns
    -------
    PredictResult

    Raises
    ------
    InputError
        If an argument is out of range, the network's shapes do not fit, or nothing says where faces are.
    DependencyError
        If onnxruntime or the detector's package is not installed.
    DatasetError
        If there are no photographs, none of them can be used, or the output folder holds something else.
    ModelError
        If the model cannot be read.

    Examples
    --------
    >>> uvgen.predict_photographs("network.onnx", "photos/", "predicted/", draw=uvgen.draw_alignment).faces[0].yaw_deg
    """
    started = time.perf_counter()
    how = RunOptions(workers, retries, timeout)
    for value, name, allowed in ((faces, "faces", FACES), (crop, "crop", CROPS), (exif, "exif", EXIF)):
        choice(value, name, allowed)
    check_several(write, "write")
    for item in write:
        choice(item, "write", tuple(WRITTEN))
    if not write and draw is None:
        raise InputError("write: nothing, and no drawing, expected one of them")
    if boxes is not None and (landmarks is not None or crop == "whole"):
        raise InputError(f"boxes: given with {'landmarks' if landmarks is not None else 'crop = whole'}, expected one")
    if crop == "whole" and landmarks is not None:
        raise InputError("landmarks: given with crop = whole, which looks for no faces; expected one")
    chosen = options or NetworkOptions()
    chosen.check()
    root, target, file = (Path(os.path.abspath(path)) for path in (images, out, network))
    INDEX.check_folder(target)
    check_network_file(file)
    sha256 = hash_network(file)
    sizes = try_network(file, sha256, chosen, timeout)  # what is wrong with it is said before any work
    begin("listing photographs")
    photographs = find_photographs(root, target, faces)
    if "pose" in write:
        photographs = [
            replace(one, problem=one.problem or _CALLED_LIKE_INDEX) if one.name.casefold() == _INDEX_STEM else one
            for one in photographs
        ]
    where = None if landmarks is None else Path(os.path.abspath(landmarks))
    table_file = None if boxes is None else Path(os.path.abspath(boxes))
    found, notice, disputed = None, "", dict[Path, str]()
    if boxes is None and crop != "whole":
        table = open_table(where)
        marked, disputed = which_are_marked(photographs, where, table)
        stated = INDEX.stated_detector(target, overwrite=overwrite)
        found, notice = choose_detector(
            detector, detector_model, stated, some=any(marked), all_marked=all(marked), place=place_of(where)
        )
    job = PredictJob(
        root, target, file, sha256, chosen, as_model(model, untrusted=untrusted), where, table_file, found,
        weights_of(detector, detector_model), faces, crop, exif,
        tuple(dict.fromkeys(write)), draw, kind, disputed,
    )  # fmt: skip
    record = PredictRecord(job, photographs, overwrite=overwrite)
    run(
        job, units_of(photographs, same_person=False), record, target, how, group=in_batches, progress=progress,
        doing="predicting",
        count=lambda task: len(task.photographs), of="photograph",
    )  # fmt: skip
    if not record.faces:
        first = record.sorted_skipped()[0]
        none = none_can_be("used", len(photographs), "photograph", first.reason, first.image)
        raise DatasetError(f"{root}: {none}")
    predicted = tuple(record.sorted_faces())
    used = any(face.source == found for face in predicted)
    return PredictResult(
        predicted, tuple(record.sorted_skipped()), record.new_samples, found if used else None, notice if used else "",
        sizes.crop_size, sizes.uv_size, time.perf_counter() - started,
    )  # fmt: skip
