"""Parquet files that Hugging Face's `datasets` loads with typed columns, and a card: ``load_dataset("OUT")``.

``data/part-00000.parquet`` and so on, one per shard, in its order, with the columns ``name``, ``image`` (`Image`,
JPEG), ``posmap`` (`Array3D`, float32 px), per-pixel targets if the set has them (`Array2D` and `Array3D`) and the
small fields. Arrays are lists of lists in Parquet, so every reader
takes them; the key ``huggingface`` of the schema's metadata says which feature each column is. ``README.md`` is the
card, which also says where the files are and that they are one split, ``train``. It needs pyarrow
(extra ``huggingface``), not `datasets`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.datasets.export.card import card_text, field_table, size_category
from uvgen.datasets.export.common import Part, array_layouts, each
from uvgen.datasets.export.rows import key_of_row, row_of
from uvgen.errors import DependencyError, to_install
from uvgen.shards.reader import ShardReader
from uvgen.storage.files import replaced_on_success
from uvgen.storage.names import safe_name

key = key_of_row

_GROUP_BYTES = 16 << 20  # of a row group: what a reader holds at a time


def check_packages() -> None:
    """Raise DependencyError if pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"to: 'huggingface' needs pyarrow, which cannot be imported ({error}); {to_install('huggingface')}"
        ) from error


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Write one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    layouts = array_layouts(reader)
    row_bytes = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in layouts.values())
    group = max(1, _GROUP_BYTES // row_bytes)
    schema = _schema(reader)
    floats = [_leaf(name, shape) for name, (shape, dtype) in layouts.items() if dtype.kind == "f"]
    number = [Path(file).stem for file in reader.files].index(part.name)
    path = folder / f"data/part-{number:05d}.parquet"
    how: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "use_byte_stream_split": floats}
    with (
        replaced_on_success(path) as temporary,
        temporary.open("wb") as stream,  # pyarrow opens no path that is not UTF-8
        pq.ParquetWriter(stream, schema, **how) as file,
    ):
        for rows in _groups(reader, part, quality, group):
            images = [{"bytes": row["image"], "path": f"{safe_name(row['name'])}.jpg"} for row in rows]
            columns = [
                pa.array([row["name"] for row in rows], schema.field("name").type),
                pa.array(images, schema.field("image").type),
                *(_lists(np.stack([row[name] for row in rows]), schema.field(name).type) for name in layouts),
            ]
            file.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(rows))


def finish(reader: ShardReader, folder: Path) -> None:
    """Write the card."""
    lines = [
        "---",
        "license: other",
        "license_name: see-license-section-below",
        "pretty_name: Faces with UV position maps",
        "task_categories:",
        "- keypoint-detection",
        "- image-to-3d",
        "tags:",
        "- face",
        "- 3dmm",
        "- uv-position-map",
        "size_categories:",
        f"- {size_category(len(reader))}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        "    path: data/*.parquet",
        "---",
        "",
        "# Faces with UV position maps",
        "",
        "",
    ]
    use = """
## Loading

```python
from datasets import load_dataset

data = load_dataset("FOLDER", split="train", streaming=True)  # the folder with this file, or its name on the Hub
data = data.with_format("numpy")  # image (R, R, 3) uint8, posmap (U, U, 3) float32 px, landmarks (68, 3), ...
```

`weight_mask.npy` has the loss weights of texels, the same for all faces. The NumPy format makes float32 of
`image_to_crop`; without a format it keeps all digits. Crops are JPEG.
"""
    columns = {"name": ((), np.dtype("S1")), "image": (reader.fields["image"][0], np.dtype(np.uint8))}
    table = "\n## Columns\n\n" + field_table(columns | array_layouts(reader))
    text = "\n".join(lines) + card_text(reader) + table + use
    (folder / "README.md").write_text(text, encoding="utf-8")


def _groups(reader: ShardReader, part: Part, quality: int, size: int) -> Iterator[list[dict[str, Any]]]:
    rows = []
    for number in each(part):
        rows.append(row_of(reader, number, quality))
        if len(rows) == size:
            yield rows
            rows = []
    if rows:
        yield rows


def _schema(reader: ShardReader) -> Any:
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = [pa.field("name", pa.string()), pa.field("image", image)]
    features: dict[str, Any] = {"name": {"dtype": "string", "_type": "Value"}, "image": {"_type": "Image"}}
    for name, (shape, dtype) in array_layouts(reader).items():
        columns.append(_field(name, shape, dtype))
        features[name] = _feature(shape, dtype.name)
    content = json.dumps({"info": {"features": features}})
    return pa.schema(columns, metadata={"huggingface": content})


def _field(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """A column; of two dimensions and more with the marks by which `datasets` knows arrays. Others take the lists."""
    import pyarrow as pa

    kind = pa.from_numpy_dtype(dtype)
    if len(shape) == 1 and shape[0]:
        return pa.field(name, pa.list_(kind, shape[0]))
    for _ in shape:
        kind = pa.list_(kind)
    marks = None
    if len(shape) > 1:
        marks = {
            "ARROW:extension:name": f"datasets.features.features.Array{len(shape)}DExtensionType",
            "ARROW:extension:metadata": json.dumps([list(shape), dtype.name]),
        }
    return pa.field(name, kind, metadata=marks)


def _feature(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """A feature as `datasets` writes it; "Sequence", which all versions read, is what newer ones call "List"."""
    value = {"dtype": dtype, "_type": "Value"}
    if len(shape) < 2:
        return {"feature": value, "length": shape[0] or -1, "_type": "Sequence"} if shape else value
    return {"shape": list(shape), "dtype": dtype, "_type": f"Array{len(shape)}D"}


def _leaf(name: str, shape: tuple[int, ...]) -> str:
    """A column as Parquet names the values of nested lists."""
    return ".".join([name, *("list", "element") * len(shape)])


def _lists(rows: NDArray[Any], kind: Any) -> Any:
    """Rows (n, …) as an array of n lists of lists, without copying a number more than once."""
    import pyarrow as pa

    values = pa.array(rows.reshape(-1))
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
    for axis in range(rows.ndim - 1, 0, -1):
        length, n = rows.shape[axis], int(np.prod(rows.shape[:axis], dtype=np.int64))
        offsets = np.arange(n + 1, dtype=np.int64) * length
        values = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
    return values
