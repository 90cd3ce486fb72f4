"""A description of a data set for catalogs and search engines, and a data card: ``croissant.json`` and
``README.md``.

Croissant 1.1 is JSON-LD after schema.org: the set's files with their sizes and SHA-256 (`distribution`), and what a
sample's fields are (`recordSet`), each a column of the shards. `mlcroissant` checks it; it reads no HDF5, so records
are read with `uvgen.open_shards` or h5py. Names of files are relative: to publish a set, copy both files beside its
``dataset.json``. Each shard's hash is compared with the index before it is described.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from uvgen.datasets.export.card import CONTENT, IMAGES, card_text, field_table, model_license
from uvgen.datasets.export.common import Part, each
from uvgen.errors import DatasetError
from uvgen.shards.constants import CONSTANTS
from uvgen.shards.index import Index
from uvgen.shards.reader import ShardReader
from uvgen.storage.files import has_sha256, sha256_file
from uvgen.storage.folders import DATASET_INDEX
from uvgen.wording import count

_NAME = "faces-with-uv-position-maps"
_HDF5 = "application/x-hdf5"
_TYPES = {
    "int8": "cr:Int8", "int16": "cr:Int16", "int32": "cr:Int32", "int64": "cr:Int64",
    "uint8": "cr:UInt8", "uint16": "cr:UInt16", "uint32": "cr:UInt32", "uint64": "cr:UInt64",
    "float32": "cr:Float32", "float64": "cr:Float64", "bool": "sc:Boolean",
}  # fmt: skip
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    **{
        name: f"cr:{name}"
        for name in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
            "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
            "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
            "separator", "source", "subField", "transform",
        )
    },
}  # fmt: skip


def key(name: str) -> str:
    """The name itself: samples get no files."""
    return name


def write(reader: ShardReader, part: Part, folder: Path, quality: int) -> None:
    """Raise DatasetError unless the shard is the one in the index."""
    changed = (reader.folder / DATASET_INDEX).stat().st_mtime_ns
    path = reader.folder / f"{part.name}.h5"
    if not has_sha256(path, _hashes(reader.folder, changed)[path.name] or ""):
        raise DatasetError(f"{path}: its SHA-256 is not the one in the index; run `uvgen verify`")
    for _ in each(part):
        pass


@lru_cache(maxsize=1)
def _hashes(folder: Path, changed: int) -> dict[str, str | None]:
    """Each shard's SHA-256, of an index that was changed at this time: read once, not for each shard."""
    return {entry.file: entry.sha256 for entry in Index.read(folder).shards}


def finish(reader: ShardReader, folder: Path) -> None:
    """Write both files."""
    text = json.dumps(description(reader), indent=2, ensure_ascii=False)
    (folder / "croissant.json").write_text(text + "\n", encoding="utf-8")
    use = """
## Files

HDF5 shards, one dataset a field, first axis the samples; `dataset.json` lists them with their SHA-256, `constants.npz`
has the loss weights of texels. `uvgen.open_shards(FOLDER)` reads them, and so does h5py. `croissant.json` is a
description for programs.

## Fields

"""
    card = "# Faces with UV position maps\n\n" + card_text(reader) + use + field_table(reader.fields)
    (folder / "README.md").write_text(card, encoding="utf-8")


def description(reader: ShardReader) -> dict[str, Any]:
    """The JSON-LD of a data set."""
    index = Index.read(reader.folder)
    files = [_file(DATASET_INDEX, "application/json", reader.folder)]
    if index.constants_sha256 is not None:
        files.append(_file(CONSTANTS, "application/zip", reader.folder))
    for entry in index.shards:
        if entry.samples:
            files.append(_file(entry.file, _HDF5, reader.folder, entry.sha256))
    shards = {"@type": "cr:FileSet", "@id": "shards", "name": "shards", "encodingFormat": _HDF5, "includes": "*.h5"}
    text = card_text(reader)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": _NAME,
        "description": text.split("\n## ")[0].replace("\n", " ").strip(),
        "version": "1.0.0",
        "license": f"{IMAGES} {model_license(reader.config)}",
        "keywords": ["face", "3DMM", "UV position map", "300W-LP"],
        "isLiveDataset": False,
        "distribution": [*files, shards],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "description": f"{count(len(reader), 'sample')}, rows of the shards' datasets in the shards' order",
                "key": {"@id": "samples/name"},
                "field": [_field(name, *layout) for name, layout in _columns(reader).items()],
            }
        ],
    }


def _file(name: str, encoding: str, folder: Path, sha256: str | None = None) -> dict[str, Any]:
    path = folder / name
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": sha256_file(path) if sha256 is None else sha256,
    }


def _columns(reader: ShardReader) -> dict[str, tuple[tuple[int, ...], np.dtype[Any], str]]:
    """Shape of a row, dtype and content of each dataset in the shards."""
    columns: dict[str, tuple[tuple[int, ...], np.dtype[Any], str]] = {}
    for name, (shape, dtype) in reader.fields.items():
        content = CONTENT.get(name, "")
        if name == "image" and reader.config.build.image_codec == "jpeg":
            columns["image_data"] = (), np.dtype(np.uint8), "JPEG files of all samples' crops, one after the other"
            columns["image_end"] = (), np.dtype(np.int64), "where the sample's JPEG file ends in image_data"
            continue
        scale, offset = (reader.attributes(name).get(key) for key in ("scale_factor", "add_offset"))
        if scale is not None:
            content += f"; stored as codes, value = code * {scale} + {offset}"
        columns[name] = shape, dtype, content
    return columns


def _field(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], content: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"samples/{name}",
        "name": name,
        "description": content or name,
        "dataType": "sc:Text" if dtype.kind == "S" else _TYPES.get(dtype.name, "sc:Number"),
        "source": {"fileSet": {"@id": "shards"}, "extract": {"column": name}},
    }
    if shape:
        described |= {"isArray": True, "arrayShape": ",".join(map(str, shape))}
    return described
