"""Synthetic faces with exact labels, as a folder that looks like 300W-LP.

Each sample depends on the model, the size, the seed and its own name alone, so that a folder holds the same bytes
whatever the number of workers, and whether or not the work was interrupted, or done in parts.
"""

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from uvgen._version import __version__
from uvgen.checks import check_instance, check_paths, number_in
from uvgen.described import described
from uvgen.errors import DatasetError, InputError, OutputError, SettingsError
from uvgen.jobs.options import RunOptions, check_run
from uvgen.jobs.run import check_same, run_job
from uvgen.models.load import BUILTIN, as_model
from uvgen.models.morphable import MorphableModel
from uvgen.storage.files import check_folder, delete, replaced_on_success, same_content
from uvgen.storage.folders import SYNTH_INDEX, check_own_folder
from uvgen.storage.names import os_reason
from uvgen.storage.plain_json import parse_json
from uvgen.storage.reading import open_regular
from uvgen.storage.text import read_text
from uvgen.synth.names import SUBSETS, sample_names
from uvgen.synth.options import SynthOptions
from uvgen.synth.worker import SynthJob, flipped_name, parameters_of_zero
from uvgen.wording import count as count_of

_FORMAT, _VERSION = "uvgen-synth", 1
_BATCH, _LARGEST_BATCH = 16, 48  # faces a task; the bases are multiplied with 48 at once in half the time a face
_MOST_NAMES = 10_000_000  # they are listed before the first is made: 1 GB, and two terabytes of pictures
_MAT = b"MATLAB 5.0"  # a file's first bytes; a power failure may leave zeros
_OURS = re.compile(rf"({'|'.join(SUBSETS)})_image_\d{{4,}}_\d+\.(jpg|mat)")


@dataclass(frozen=True, slots=True)
class SynthResult:
    """The result of `uvgen.render_faces`.

    Attributes
    ----------
    samples, new_samples : int
        Number of samples in the folder, mirror images included, and of those that this run made.
    files : tuple of Path
        The images; each has its parameters beside it.
    seconds : float
        How long this run took.
    """

    samples: int
    new_samples: int
    files: tuple[Path, ...]
    seconds: float

    __repr__ = described

    def to_plain(self) -> dict[str, Any]:
        """The result as `uvgen synth --json` prints it."""
        return {
            "samples": self.samples,
            "new_samples": self.new_samples,
            "files": [str(path) for path in self.files],
            "seconds": self.seconds,
        }


def render_faces(
    out: str | os.PathLike[str],
    count: int,
    *,
    model: MorphableModel | str | os.PathLike[str] = BUILTIN,
    options: SynthOptions = SynthOptions(),
    run: RunOptions = RunOptions(),
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> SynthResult:
    """Render faces of a morphable model into a folder like 300W-LP's, or finish one that was begun.

    Parameters
    ----------
    out : path-like
        A new or empty folder, or one that an earlier call with the same model, seed and size made.
    count : int
        Number of faces, spread evenly over the subsets; a larger count adds to what a smaller one made. Each face has
        its mirror image in a `_Flip` subset.
    model : MorphableModel or path-like
        Whose faces; the built-in one by default. Without an albedo basis all have the colors of the mean, without any
        albedo they are gray.
    options : SynthOptions
        Which faces of the model these are, and the size of their images.
    run : RunOptions
        Processes that render, and what happens if one dies; a task is a few faces.
    overwrite : bool
        Start anew if the folder holds synthetic samples that were made with other settings. Files that uvgen did not
        make are never touched.
    progress : callable, optional
        Called with the number of samples made, after every few.

    Returns
    -------
    SynthResult

    Raises
    ------
    InputError
        If an argument is out of range or of the wrong type.
    DatasetError
        If the folder holds something else, was made otherwise, or cannot be written.

    Examples
    --------
    >>> uvgen.render_faces("faces/", 1000, run=uvgen.RunOptions(workers=8)).samples
    2000
    """
    check_paths(out=out)
    started = time.perf_counter()
    count = number_in(count, "count", 1, whole=True)
    check_instance(options, "options", SynthOptions, "uvgen.SynthOptions(seed=1)")
    flip, photographs = options.flip, options.photographs
    if count * photographs > _MOST_NAMES:
        of = f"count: {count}" + (f" of {photographs} photographs each" if photographs > 1 else "")
        raise InputError(f"{of}, expected {_MOST_NAMES} photographs at most")
    check_run(run)
    out = Path(os.path.abspath(out))  # workers may have another working folder
    check_samples_folder(out)
    model = as_model(model)
    job = SynthJob(out, model, options.seed, options.size, flip)
    record = _SynthRecord(job, sample_names(count, options.subsets, photographs), overwrite=overwrite)
    run_job(job, record.names, record, out, run,
        group=partial(_in_batches, workers=run.workers), progress=progress, doing="rendering faces",
        count=lambda name: 1 + flip)  # fmt: skip
    names = [*record.names, *(flipped_name(name) for name in record.names if flip)]
    files = tuple(out / f"{name}.jpg" for name in sorted(names))
    return SynthResult(len(files), record.new_samples, files, time.perf_counter() - started)


def check_samples_folder(out: Path) -> None:
    """Raise OutputError, before any work, if a folder cannot take synthetic samples."""
    check_own_folder(out, SYNTH_INDEX)
    if not (out / SYNTH_INDEX).exists():  # those that are there may be all, on a disk that is only read
        check_folder(out)


class _SynthRecord:
    """A folder of synthetic samples while they are made: its own files say which are whole."""

    def __init__(self, job: SynthJob, names: list[str], *, overwrite: bool) -> None:
        self.names, self.new_samples = names, 0
        self._job, self._overwrite = job, overwrite
        self._sizes = {flipped: len(parameters_of_zero(job.model, flipped)) for flipped in (False, True)}

    def resume(self) -> None:
        """Make the folder ready for these samples; DatasetError if it holds others."""
        out, flip = self._job.out, self._job.flip
        check_own_folder(out, SYNTH_INDEX)
        planned = {*self.names, *(flipped_name(name) for name in self.names if flip)}
        config = _settings(self._job)
        if (out / SYNTH_INDEX).exists():
            old = _read_index(out / SYNTH_INDEX)
            ours = _samples_in(out)
            extra = sorted({str(path.relative_to(out).with_suffix("")) for path in ours} - planned)
            if self._overwrite:
                for path in ours:
                    delete(path, "remove it, or choose another folder")
            else:
                check_same(out, {key: old.get(key) for key in config}, config, {"model_sha256": "another model"})
                if extra:
                    raise SettingsError(
                        f"{out}: holds {count_of(len(extra), 'sample')} more than asked for, first {extra[0]}; "
                        "choose another output folder, or overwrite this one to start anew"
                    )
        folders = sorted({(out / name).parent for name in planned})
        if link := next((folder for folder in folders if folder.is_symlink()), None):
            raise OutputError(f"{link}: is a link, expected a folder of {out}; remove it")
        data = (json.dumps(config, indent=1, sort_keys=True) + "\n").encode()
        if not same_content(out / SYNTH_INDEX, data):  # before there are folders, which would not count as ours
            with replaced_on_success(out / SYNTH_INDEX, make_folder=False) as temporary:
                temporary.write_bytes(data)
        for folder in folders:
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise DatasetError(f"{folder}: cannot be made ({os_reason(error)})") from error

    def is_finished(self, name: str) -> bool:
        """Whether a sample's files, and its mirror image's, are there and whole."""
        flipped = [False, True] if self._job.flip else [False]
        return all(self._is_whole(flipped_name(name) if f else name, self._sizes[f]) for f in flipped)

    def discard(self, name: str) -> None:
        """Nothing: files that are written again replace the old ones."""

    def _is_whole(self, name: str, size: int) -> bool:
        path = self._job.out / name
        try:
            with open_regular(path.with_suffix(".mat")) as file:
                start = file.read(len(_MAT))
                if start != _MAT or file.seek(0, os.SEEK_END) != size:
                    return False
            with open_regular(path.with_suffix(".jpg")) as file:
                file.seek(-2, os.SEEK_END)
                return file.read() == b"\xff\xd9"  # a JPEG's end
        except OSError:
            return False

    def add(self, result: int) -> None:
        """Count samples."""
        self.new_samples += result

    def pause(self) -> None:
        """Nothing to note: the files say it."""

    def finish(self) -> None:
        """Nothing to note: the files say it."""


def _settings(job: SynthJob) -> dict[str, Any]:
    """What the folder's `synth.json` states."""
    return {
        "format": _FORMAT, "version": _VERSION, "uvgen": __version__, "seed": job.seed, "size": job.size,
        "model": job.model.name, "model_sha256": job.model.content_sha256,
    }  # fmt: skip


def _in_batches(names: list[str], workers: int) -> list[Sequence[str]]:
    """Tasks as large as pays, but four for each worker if there are enough: a face's files are the same in any."""
    n = min(max(len(names) // (4 * workers) // _BATCH * _BATCH, _BATCH), _LARGEST_BATCH)
    return [names[first : first + n] for first in range(0, len(names), n)]


def _read_index(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(path, "what uvgen synth wrote"))
    except InputError as error:  # no text
        raise DatasetError(f"{error}; choose another output folder") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); choose another output folder") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise DatasetError(f"{path}: not made by uvgen synth; choose another output folder")
    return content


def _samples_in(out: Path) -> list[Path]:
    """Files of the folder that have a synthetic sample's name."""
    folders = [out / (subset + flip) for subset in SUBSETS for flip in ("", "_Flip")]
    return [
        path
        for folder in folders
        if folder.is_dir() and not folder.is_symlink()
        for path in sorted(folder.iterdir())
        if _OURS.fullmatch(path.name) and path.name.startswith(folder.name.removesuffix("_Flip"))
    ]
