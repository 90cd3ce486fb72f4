"""A trained network on photographs: what `uvgen predict` does.

Each face depends on its photograph, the network, the model and the options alone: a folder holds the same bytes
whatever the number of workers, and whether or not the work was interrupted.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from uvgen.checks import check_instance, check_optional_paths, check_paths
from uvgen.described import described
from uvgen.errors import DatasetError, InputError
from uvgen.evaluation.network import NetworkOptions, check_network_file, hash_network
from uvgen.evaluation.network_trial import try_network
from uvgen.evaluation.predict_options import WRITTEN, PredictOptions
from uvgen.evaluation.predict_record import INDEX, PredictRecord
from uvgen.evaluation.predict_worker import PredictedBatch, PredictedFace, PredictJob
from uvgen.fitting.detectors import AUTO, FaceDetector, as_detector, used_detector
from uvgen.fitting.fitted import Unfitted
from uvgen.fitting.photographs import check_outside, find_photographs, in_batches
from uvgen.fitting.sources import choose_detector, place_of, which_are_marked
from uvgen.fitting.worker import open_table
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import run_job
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.progress import begin
from uvgen.samples.box_tables import read_boxes
from uvgen.samples.landmark_claims import disputed_landmarks
from uvgen.storage.folders import DATASET_INDEX
from uvgen.wording import none_can_be

_RESERVED = {
    Path(name).stem: f"its pose would be {name}, {what}; rename it"
    for name, what in (
        (INDEX.file, "which lists all faces of the folder"),
        (DATASET_INDEX, "by which folders of shards are known"),
    )
}
"""What is wrong with names that photographs of the folder itself, not of one in it, cannot have."""


@dataclass(frozen=True, slots=True)
class PredictResult:
    """The result of `uvgen.predict_photographs`: what the run did, and what the folder now contains.

    Attributes
    ----------
    faces : tuple of PredictedFace
        The faces in the folder, sorted by name.
    skipped : tuple of Unfitted
        Photographs and faces that were left out, each with the reason.
    new_samples : int
        How many faces this run made.
    detector : str or None
        The detector that found faces; None if all came from files.
    notice : str
        What users of that detector must know, such as its license; "" if there is nothing.
    crop_size, uv_size : int
        Sides of the network's crops, px, and of its maps, texels.
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
    network_options: NetworkOptions | None = None,
    model: MorphableModel | str | os.PathLike[str] = BUILTIN,
    landmarks: str | os.PathLike[str] | None = None,
    boxes: str | os.PathLike[str] | None = None,
    detector: str | FaceDetector | None = AUTO,
    options: PredictOptions = PredictOptions(),
    run: RunOptions = RunOptions(),
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
        Folder of photographs; its subfolders are read too.
    out : path-like
        Folder for the results, NAME.obj, .txt, .json, .npy and .png, and `predict.json`. One that an earlier call with
        the same arguments made is completed.
    network_options : NetworkOptions, optional
        Properties of the network that its file does not state.
    model : MorphableModel or path-like
        The one that the network's maps have the UV of: it says where landmarks and face are in them.
    landmarks : path-like, optional
        Folder of landmark files or one table for all; those beside the photographs by default.
    boxes : path-like, optional
        CSV of faces' boxes instead, see `uvgen.samples.box_tables`.
    detector
        As for `uvgen.fit_photographs`.
    options : PredictOptions
        How faces are cropped, and which files are written for them.
    run, overwrite, untrusted
        As for `uvgen.fit_photographs`.
    progress : callable, optional
        Called with the results for every few photographs.

    Returns
    -------
    PredictResult

    Raises
    ------
    InputError
        If an argument is out of range or of the wrong type, the network's shapes do not fit, or nothing says where
        faces are.
    DependencyError
        If onnxruntime or the detector's package is not installed.
    DatasetError
        If there are no photographs, none of them can be used, or the output folder holds something else.
    ModelError
        If the model cannot be read.

    Examples
    --------
    >>> uvgen.predict_photographs("network.onnx", "photos/", "predicted/", detector="dlib").faces[0].yaw_deg
    """
    check_paths(network=network, images=images, out=out)
    check_optional_paths(landmarks=landmarks, boxes=boxes)
    started = time.perf_counter()
    check_run(run)
    check_instance(options, "options", PredictOptions, "uvgen.PredictOptions(write=['map'])")
    asked = as_detector(detector)
    is_whole = options.crop == "whole"
    if boxes is not None and (landmarks is not None or is_whole):
        raise InputError(f"boxes: given with {'landmarks' if landmarks is not None else 'crop = whole'}, expected one")
    if is_whole and landmarks is not None:
        raise InputError("landmarks: given with crop = whole, which looks for no faces; expected one")
    if network_options is None:
        network_options = NetworkOptions()
    check_instance(network_options, "network_options", NetworkOptions, "uvgen.NetworkOptions(pixels='bytes')")
    network_options.check()
    root, target, file = (Path(os.path.abspath(path)) for path in (images, out, network))
    INDEX.check_folder(target)
    check_network_file(file)
    sha256 = hash_network(file)
    sizes = try_network(file, sha256, network_options, run.timeout)  # what is wrong with it is said before any work
    begin("listing photographs")
    endings = (*(WRITTEN[item] for item in options.write), ".png")
    photographs = find_photographs(root, target, options.faces, index=INDEX.file, endings=endings)
    if "pose" in options.write:
        photographs = [
            replace(one, problem=one.problem or _RESERVED.get(one.name.casefold(), "")) for one in photographs
        ]
    where = None if landmarks is None else Path(os.path.abspath(landmarks))
    if where is not None and where.is_dir():
        check_outside(where, target, "the folder of landmarks")
    table_file = None if boxes is None else Path(os.path.abspath(boxes))
    chosen, notice, disputed = None, "", dict[Path, str]()
    if table_file is not None:
        disputed = disputed_landmarks([one.path for one in photographs], None, read_boxes(table_file))
    elif not is_whole:
        table = open_table(where)
        marked, disputed = which_are_marked(photographs, where, table)
        stated = INDEX.stated_detector(target, overwrite=overwrite)
        chosen, notice = choose_detector(
            asked, stated, some=any(marked), all_marked=all(marked), given=where is not None, place=place_of(where)
        )
    job = PredictJob(
        root, target, file, sha256, network_options, as_model(model, untrusted=untrusted), where, table_file, chosen,
        options, disputed,
    )  # fmt: skip
    record = PredictRecord(job, photographs, overwrite=overwrite)
    run_job(
        job, record.units, record, target, run, group=in_batches, progress=progress,
        doing="predicting",
        count=lambda task: len(task.photographs), of="photograph",
    )  # fmt: skip
    if not record.faces:
        first = record.sorted_skipped()[0]
        none = none_can_be("used", len(photographs), "photograph", first.reason, first.image)
        raise DatasetError(f"{root}: {none}")
    predicted = tuple(record.sorted_faces())
    used, notice = used_detector(chosen, notice, {face.source for face in predicted})
    return PredictResult(
        predicted, tuple(record.sorted_skipped()), record.new_samples, used, notice,
        sizes.crop_size, sizes.uv_size, time.perf_counter() - started,
    )  # fmt: skip
