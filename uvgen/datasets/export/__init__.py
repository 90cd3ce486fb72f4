"""Data sets in the layouts of other trainers: WebDataset's tars, plain files, PRNet_PyTorch's folders.

Crops become JPEG files, which loses a little; maps stay exact: float32 `.npy`.
"""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.open import open_shards
from uvgen.errors import DatasetError, InputError, UvgenError
from uvgen.images.codecs import JPEG_QUALITY, encode_crop
from uvgen.shards.reader import ShardReader
from uvgen.storage.files import TEMPORARY_PREFIX

if TYPE_CHECKING:
    from uvgen.models.morphable import MorphableModel

_PARAMETERS = ("landmarks", "shape", "expression", "pose", "crop", "image_height", "flipped")


def export(
    shards: str | os.PathLike[str],
    out: str | os.PathLike[str],
    to: str,
    *,
    model: "MorphableModel | str | os.PathLike[str] | None" = None,
    quality: int = JPEG_QUALITY,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write a data set in another layout.

    Parameters
    ----------
    shards : path-like
        Folder that ``uvgen build`` made.
    out : path-like
        Folder to make. It appears once it is complete; a run that fails leaves nothing.
    to : {"webdataset", "npy", "prnet"}
        - ``"webdataset"``: a tar a shard, with ``KEY.jpg``, ``KEY.posmap.npy`` (U, U, 3) float32,
          ``KEY.landmarks.npy`` (68, 3) float32 and ``KEY.json`` (name and parameters) a sample. KEY is the name
          with points replaced by hyphens, because WebDataset takes all behind the first point for the extension.
        - ``"npy"``: ``NAME.jpg`` and ``NAME.npy``, the map, a sample; ``samples.npz`` with the names, landmarks and
          parameters of all.
        - ``"prnet"``: ``train/1/original.jpg`` and ``train/1/uv_posmap.npy`` and so on, PRNet_PyTorch's
          ``--train_dir``; numbers start at 1 because it skips folder 0. ``names.txt`` says which is which. That
          program divides maps by 255 and cuts them to [0, 1].

        All have the weight mask as ``weight_mask.npy``, the third also as PRNet's 8-bit ``uv_weight_mask.png``
        (value / 16, so that 16 becomes 255 / 16).
    model : MorphableModel or path-like, optional
        The model that the set was built with; makes maps that are not stored.
    quality : int
        Of the JPEG files, 1 to 100; colours are not subsampled.
    progress : callable, optional
        Called with 1 after each sample.

    Returns
    -------
    int
        Samples written.

    Raises
    ------
    InputError
        Where `to` is unknown, the data set lacks images or maps, or two samples would get the same file.
    ModelError
        Where the model is not the set's.
    DatasetError
        Where the data set is damaged, `out` exists, or cannot be written.
    """
    if to not in _WRITERS:
        raise InputError(f"export: {to!r}, expected one of {', '.join(FORMATS)}")
    if not 1 <= quality <= 100:
        raise InputError(f"quality: {quality}, expected 1 to 100")
    reader = open_shards(shards, model)
    if "image" not in reader.fields:
        raise InputError(f"{shards}: has no images")
    if "posmap" not in reader.fields and model is None:
        raise InputError(f"{shards}: stores no maps; give the model that it was built with, to make them")
    with _folder_on_success(Path(out)) as folder:
        if "weight_mask" in reader.constants:
            np.save(folder / "weight_mask.npy", reader.constants["weight_mask"])
        _WRITERS[to](reader, folder, quality, progress or (lambda _: None))
    return len(reader)


def _write_webdataset(reader: ShardReader, folder: Path, quality: int, progress: Callable[[int], object]) -> None:
    first, taken = 0, set[str]()
    for file, n in zip(reader.files, reader.shard_samples, strict=True):
        with tarfile.open(folder / f"{Path(file).stem}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for index in range(first, first + n):
                sample = reader[index]
                key = str(_path_of(sample["name"])).replace(".", "-")
                _claim(key, taken)
                _add(tar, f"{key}.jpg", encode_crop(sample["image"], quality))
                _add(tar, f"{key}.posmap.npy", _npy(sample["posmap"]))
                _add(tar, f"{key}.landmarks.npy", _npy(sample["landmarks"]))
                small = {k: v.tolist() for k, v in sample.items() if k in _PARAMETERS and k != "landmarks"}
                _add(tar, f"{key}.json", json.dumps({"name": sample["name"], **small}).encode())
                progress(1)
        first += n


def _write_npy(reader: ShardReader, folder: Path, quality: int, progress: Callable[[int], object]) -> None:
    taken = {"weight_mask", "samples"}
    rows: dict[str, list[Any]] = {key: [] for key in ("name", *_PARAMETERS) if key in reader.fields}
    for sample in reader:
        relative = _path_of(sample["name"])
        _claim(str(relative), taken)
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.jpg").write_bytes(encode_crop(sample["image"], quality))
        path.with_name(f"{path.name}.npy").write_bytes(_npy(sample["posmap"]))
        for key, values in rows.items():
            values.append(sample[key])
        progress(1)
    arrays: dict[str, Any] = {key: np.array(values) for key, values in rows.items()}
    np.savez(folder / "samples.npz", **arrays)


def _write_prnet(reader: ShardReader, folder: Path, quality: int, progress: Callable[[int], object]) -> None:
    from PIL import Image

    weights = reader.constants.get("weight_mask")
    if weights is not None:
        grey = np.clip(np.rint(weights * 16), 0, 255).astype(np.uint8)
        Image.fromarray(grey).save(folder / "uv_weight_mask.png")
    lines = []
    for number, sample in enumerate(reader, start=1):
        path = folder / "train" / str(number)
        path.mkdir(parents=True)
        (path / "original.jpg").write_bytes(encode_crop(sample["image"], quality))
        (path / "uv_posmap.npy").write_bytes(_npy(sample["posmap"]))
        lines.append(f"{number} {sample['name']}\n")
        progress(1)
    (folder / "names.txt").write_text("".join(lines), encoding="utf-8")


_WRITERS = {"webdataset": _write_webdataset, "npy": _write_npy, "prnet": _write_prnet}
FORMATS = tuple(_WRITERS)
"""What `export` can write."""


@contextmanager
def _folder_on_success(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`; renamed to `out` if the body succeeds, removed if not."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise DatasetError(f"{out}: exists and is not empty; choose another --out, or remove it")
    target = out.absolute()
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, target)  # an empty folder may stand there
    except OSError as error:
        if isinstance(error, UvgenError):
            raise
        raise DatasetError(f"{out}: cannot be written ({error.strerror or error}); free space, rights?") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _path_of(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise DatasetError(f"sample {name!r}: not a name that a file can have; was the data set edited?")
    return path


def _claim(key: str, taken: set[str]) -> None:
    if key in taken:
        raise InputError(f"sample {key!r}: another one would be written to the same file; export them apart")
    taken.add(key)


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Without time or owner: the same data set gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
