"""PRNet_PyTorch's folders: ``train/1/original.jpg``, ``train/1/uv_posmap.npy`` and so on, its ``--train_dir``.

Numbers start at 1 because that program skips folder 0; ``names.txt`` says which sample is which. It divides maps by 255
and cuts them to [0, 1]. The weight mask is also written as PRNet's 8-bit ``uv_weight_mask.png``.
"""

from pathlib import Path

from uvgen.datasets.export.common import Part, each, npy
from uvgen.images.codecs import encode_jpeg, encode_png
from uvgen.maps.mask_files import weights_to_gray
from uvgen.shards.reader import ShardReader
from uvgen.storage.names import printable


def key(name: str) -> str:
    """The name itself: folders are numbered, so names cannot clash."""
    return name


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write the folders of a shard's samples."""
    for number in each(part):
        sample = reader[number]
        path = folder / "train" / str(number + 1)
        path.mkdir(parents=True, exist_ok=True)
        (path / "original.jpg").write_bytes(encode_jpeg(sample["image"], quality))
        (path / "uv_posmap.npy").write_bytes(npy(sample["posmap"]))


def finish(reader: ShardReader, folder: Path) -> None:
    """Write ``names.txt`` and the weight mask."""
    lines = "".join(f"{number} {printable(name)}\n" for number, name in enumerate(reader.names, start=1))
    (folder / "names.txt").write_text(lines, encoding="utf-8")
    weights = reader.constants.get("weight_mask")
    if weights is not None:
        (folder / "uv_weight_mask.png").write_bytes(encode_png(weights_to_gray(weights)))
