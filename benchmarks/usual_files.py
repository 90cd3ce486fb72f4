"""What `read.py` compares shards with: the same samples in the usual layouts, and the data sets that read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import simplejpeg
import torch
from torch.utils.data import Dataset, default_collate

import uvgen


class UsualFiles(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What most training code does: a JPEG and a float32 .npy a sample, to float tensors."""

    def __init__(self, folder: Path, n: int, decode: Callable[[Path], Any]) -> None:
        self.folder, self.n, self.decode = folder, n, decode

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, position_map = self.decode(self.folder / f"{k}.jpg"), np.load(self.folder / f"{k}.npy")
        image = image.transpose(2, 0, 1).astype(np.float32) / 255
        position_map = position_map.transpose(2, 0, 1) / image.shape[-1]
        return torch.from_numpy(image), torch.from_numpy(np.ascontiguousarray(position_map))


class Zeros(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """As large as float samples, and no work at all: what remains is the data loader's own."""

    def __init__(self, shards: Path, n: int) -> None:
        config = uvgen.open_shards(shards).config.build
        self.image, self.posmap = (
            torch.zeros(3, config.size, config.size),
            torch.zeros(3, config.uv_size, config.uv_size),
        )
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.image, self.posmap


def one_by_one(samples: Any) -> Any:
    """A `collate_fn` that does not know how to read a batch at once."""
    return default_collate([dict(sample) for sample in samples])


def decode_simplejpeg(path: Path) -> Any:
    return simplejpeg.decode_jpeg(path.read_bytes())


def decode_pillow(path: Path) -> Any:
    from PIL import Image

    return np.asarray(Image.open(path))


def decode_scikit_image(path: Path) -> Any:
    from skimage import io

    return io.imread(path)


def write_alternatives(samples: list[dict[str, Any]], attributes: dict[str, Any], folder: Path) -> None:
    """The same samples with gzip, with JPEG crops, and as files."""
    n = len(samples)
    codes = [
        np.rint((s["posmap"] - attributes["add_offset"]) / attributes["scale_factor"]).astype(np.uint16)
        for s in samples
    ]
    for name, options in (("plain", {}), ("gzip", {"compression": "gzip", "shuffle": True})):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for field, rows in (("image", [s["image"] for s in samples]), ("posmap", codes)):
                chunk = (1, *rows[0].shape)
                data = file.create_dataset(field, (n, *chunk[1:]), rows[0].dtype, chunks=chunk, **options)
                for k, row in enumerate(rows):
                    data[k] = row
    with h5py.File(folder / "jpeg.h5", "w") as file:
        crops = file.create_dataset("image", (n,), h5py.vlen_dtype(np.uint8))
        maps = file.create_dataset("posmap", (n, *codes[0].shape), np.uint16, chunks=(1, *codes[0].shape))
        for k, sample in enumerate(samples):
            jpeg = simplejpeg.encode_jpeg(sample["image"], 95, colorspace="RGB", colorsubsampling="444")
            crops[k], maps[k] = np.frombuffer(jpeg, np.uint8), codes[k]
            (folder / f"{k}.jpg").write_bytes(jpeg)
            np.save(folder / f"{k}.npy", sample["posmap"])
