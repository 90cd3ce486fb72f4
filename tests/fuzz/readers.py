"""The table of readers that `make fuzz` damages files for. A new reader of files is one more line of `READERS`."""

import hashlib
import io
import json
import pickle
import shutil
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import scipy.io as sio
import scipy.sparse
from PIL import Image
from support.builds import make
from support.formats import kept_vertices, with_rig, write_deep3d, write_deep3d_parts, write_tddfa, write_tddfa_parts
from support.other_models import flame_content, flame_pickle, gnm_content, write_ict, write_statismo
from support.photographs import write_photographs
from support.toy import annotation, face3d_files, parameters, picture, toy_model, write_bfm_files, write_tree

import uvgen
from fuzz import mutators
from uvgen import Augmentation, load_model, save_model
from uvgen.augment.draws import AugmentationDraw
from uvgen.augment.files import read_augmentation
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.split_files import SPLITS, Split, read_splits, write_splits
from uvgen.errors import UvgenError
from uvgen.evaluation.evaluate import evaluate_predictions
from uvgen.evaluation.predict_record import INDEX as PREDICTED
from uvgen.evaluation.truth import LIST, POINTS, YAWS
from uvgen.fitting.record import INDEX as FIT
from uvgen.images.jpeg import decode_jpeg, encode_jpeg
from uvgen.maps.mask_files import read_weights
from uvgen.meshes.files import write_obj, write_ply
from uvgen.meshes.glb import write_glb
from uvgen.meshes.read import read_mesh
from uvgen.meshes.registered import Topology, read_registered
from uvgen.meshes.scans import read_scan
from uvgen.models.complete import completed
from uvgen.models.formats import bfm2009, deep3d, face3d, flame, gnm, ict, known, matlab, statismo, tddfa_v2
from uvgen.models.morphable import MorphableModel, make_model
from uvgen.models.supplements import Supplements
from uvgen.models.uv_files import read_uv
from uvgen.models.valid import DTYPES
from uvgen.models.vertex_numbers import read_vertex_numbers
from uvgen.samples.box_tables import read_boxes
from uvgen.samples.camera_files import read_camera
from uvgen.samples.colmap import read_reconstruction
from uvgen.samples.deep3d import read_coefficients
from uvgen.samples.find import Sample, find_samples
from uvgen.samples.landmark_files import find_landmarks, read_landmarks
from uvgen.samples.map_files import read_map
from uvgen.samples.parameter_list import read_vector
from uvgen.samples.read import EXTRAS, read_annotation, read_image
from uvgen.samples.scan_landmarks import read_scan_landmarks
from uvgen.samples.selection import select_samples
from uvgen.shards.constants import CONSTANTS, constants_bytes, read_constants
from uvgen.shards.index import DATASET_INDEX, Index
from uvgen.storage.folders import FIT_INDEX
from uvgen.storage.kinds import describe_file
from uvgen.storage.pickles import load_plain_pickle
from uvgen.storage.text import read_lines
from uvgen.synth.folder import _read_index

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes
    ----------
    name : str
        In reports, and the folder of its corpus.
    file : str
        The name that its files have.
    seeds : callable
        Sound files, given an empty folder to work in; the work of a second at most.
    read : callable
        Reads a file, whose folder has what `beside` put there; it may raise `errors` alone.
    mutate : callable
        One of `mutators`.
    beside : callable, optional
        Puts what the file needs into its folder.
    most_bytes : int
        Memory that one small file may take.
    known : str
        Why failures are expected for now; they are counted and do not fail the run.
    """

    name: str
    file: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], object]
    mutate: Callable[[bytes, Random], bytes]
    beside: Callable[[Path], object] | None = None
    errors: tuple[type[Exception], ...] = (UvgenError,)
    most_bytes: int = 200 * MEBIBYTE
    known: str = ""


def _stored(save: Callable[..., Any], *given: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, *given, **options)
    return stream.getvalue()


def _sample_mats(_: Path) -> list[bytes]:
    content = parameters()
    content |= {"pt2d": annotation(content), "pt3d_68": np.ones((3, 68), np.float32), "Illum_Para": np.ones((1, 10))}
    odd = {
        "text": "a",
        "cell": np.array([[1, "b"]], object),
        "struct": {"a": 1.0},
        "sparse": scipy.sparse.eye(3).tocsc(),
    }
    return [
        _stored(sio.savemat, content | more, do_compression=packed) for more in ({}, odd) for packed in (False, True)
    ]


def _read_sample_mat(path: Path) -> None:
    read_annotation(Sample("a", "a", None, path), tuple(EXTRAS))


def _model_parts(folder: Path) -> list[bytes]:
    write_bfm_files(folder, toy_model(with_mouth=True))
    wrapped = np.empty((1, 1), object)
    wrapped[0, 0] = np.arange(1.0, 69)
    n = toy_model().n_vertices
    about = {
        "keypoints": wrapped,
        "trimIndex": np.arange(1.0, n + 1)[:, None],
        "tri": scipy.sparse.csc_matrix(np.eye(3)),
    }
    sound = (folder / "model_info.mat").read_bytes()
    return [sound, *(_stored(sio.savemat, about, do_compression=packed) for packed in (False, True))]


def _read_model_part(path: Path) -> None:
    known.advice(path)
    files = [path.with_name(name) for name in ("01_MorphableModel.mat", "Model_Expression.mat", "BFM_UV.mat")]
    bfm2009.read(files[0], files[1], path, files[2])


def _face3d_seeds(folder: Path) -> list[bytes]:
    return [face3d_files(toy_model(), folder).with_name("BFM_info.mat").read_bytes()]


@cache
def _small_model() -> MorphableModel:
    """Few components: what is damaged is a file of some hundred kB."""
    model = toy_model()
    arrays = {name: getattr(model, name) for name in DTYPES}
    arrays |= {"basis": model.basis[..., [0, 10]], "shape_std": np.ones(1), "expression_std": np.ones(1)}
    arrays |= {"albedo_basis": model.albedo_basis[..., :1], "albedo_std": np.ones(1)}  # type: ignore[index]
    return make_model(source="small", name="small", **arrays)


def _tddfa_seeds(folder: Path) -> list[bytes]:
    data = write_tddfa(folder, _small_model()).read_bytes()
    return [data, pickle.dumps(pickle.loads(data), 2), pickle.dumps(pickle.loads(data), 5)]


def _read_tddfa(path: Path) -> None:
    tddfa_v2.recognizes(path)
    completed(tddfa_v2.read(path), Supplements(uv_from=_small_model(), indices=path.with_name("kept.npy")))


def _beside_tddfa(folder: Path) -> None:
    write_tddfa(folder, _small_model())
    _kept(folder)


def _statistics(_: Path) -> list[bytes]:
    return [
        pickle.dumps({"mean": np.ones(62, np.float32), "std": np.ones(62, np.float32)}, protocol) for protocol in (2, 4)
    ]


def _tddfa_parts(folder: Path) -> list[bytes]:
    write_tddfa_parts(folder, _small_model())
    return [(folder / name).read_bytes() for name in ("u.npy", "tri.npy", "w_exp.npy")]


def _kept(folder: Path) -> None:
    np.save(folder / "kept.npy", kept_vertices())


def _beside_deep3d(folder: Path) -> None:
    write_deep3d_parts(folder, _small_model())
    _kept(folder)


def _read_deep3d(path: Path) -> None:
    deep3d.recognizes(path)
    kept = (path if path.is_dir() else path.parent) / "kept.npy"
    completed(deep3d.read(path), Supplements(uv_from=_small_model(), indices=kept))


def _deep3d_seeds(folder: Path) -> list[bytes]:
    path = write_deep3d(folder, _small_model())
    content = {key: value for key, value in sio.loadmat(path).items() if not key.startswith("__")}
    return [path.read_bytes(), _stored(sio.savemat, content, do_compression=True)]


def _deep3d_parts(name: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [(write_deep3d_parts(folder, _small_model()) / name).read_bytes()]


def _results(_: Path) -> list[bytes]:
    widths = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
    content = {key: np.ones((2, width), np.float32) for key, width in widths.items()}
    content["lm68"] = np.ones((2, 68, 2), np.float32)
    return [_stored(sio.savemat, content, do_compression=packed) for packed in (False, True)]


def _uv_mats(_: Path) -> list[bytes]:
    return [_stored(sio.savemat, {"UV": np.full((64, 2), 0.5)}, do_compression=packed) for packed in (False, True)]


def _index_mats(_: Path) -> list[bytes]:
    return [_stored(sio.savemat, {"idx": np.arange(1.0, 69)}), _stored(sio.savemat, {"any": np.arange(1, 69)})]


def _textured(_: Path) -> list[bytes]:
    corners = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\n"
    return [
        corners + b"vt 0 0\nvt 1 0\nvt 0 1\nvt 1 1\nf 1/1 2/2 3/3\nf 3/3/1 2/2/1 4/4/1\n",
        corners + b"vt 0 0\nvt .5 .5\nf -4/-2 -3/-1 -1/-1 -2/-2\n",
    ]


def _images(_: Path) -> list[bytes]:
    image = Image.fromarray(picture(3, 24, 40))
    made = [(image, "JPEG", {}), (image, "JPEG", {"progressive": True}), (image.convert("CMYK"), "JPEG", {})]
    modes = ("RGB", "RGBA", "L", "P", "1", "LA")
    made += [(image.convert(mode), "PNG", {}) for mode in modes]
    made += [
        (image, "BMP", {}),
        (image.convert("P"), "BMP", {}),
        (image, "WEBP", {}),
        (image, "WEBP", {"lossless": True}),
    ]
    made += [(image.convert("RGBA"), "WEBP", {})]
    exif = Image.Exif()
    exif[0x0112] = 6
    made += [(image, "JPEG", {"exif": exif}), (image, "PNG", {"exif": exif})]
    return [_stored(item.save, kind, **options) for item, kind, options in made] + _bmp_files()


def _bmp_files() -> list[bytes]:
    """Runs of 8 and 4 bits, with a palette of 256 and of 16 colors, and colors in fields of a number of 16 bits."""
    made = []
    for bits, compression, more in ((8, 1, bytes(range(256)) * 4), (4, 2, bytes(range(64))), (16, 3, b"")):
        row = b"\4\3\0\4\1\2\3\4\0\2\1\0" + b"\0\0" * (bits == 8) + b"\0\0" if bits < 16 else bytes(range(24))
        more = more or struct.pack("<3I", 0xF800, 0x7E0, 0x1F)
        head = struct.pack("<IiiHHIIiiII", 40, 12, 5, 1, bits, compression, 0, 0, 0, 0, 0) + more
        made.append(b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(head)) + head + row * 5 + b"\0\1")
    return made


def _read_picture(path: Path) -> None:
    read_image(Sample("a", "a", path, None), exif="apply")


def _masks(_: Path) -> list[bytes]:
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    return [_stored(Image.fromarray(levels).convert(mode).save, "PNG") for mode in ("L", "P", "RGB", "1")]


def _arrays(_: Path) -> list[bytes]:
    weights = np.arange(64).reshape(8, 8) / 4
    arrays = (weights, weights.astype(">f4"), np.asfortranarray(weights), weights[..., None] > 3, weights.astype("i2"))
    return [_stored(np.save, array) for array in arrays]


def _lists(_: Path) -> list[bytes]:
    return [
        b"AFW/a_0\nAFW/b_1.jpg\n# a comment\nIBUG/\xc3\xa4\n",
        b"\n".join(b"%d" % k for k in range(68)),
        b"1.0, 2 # x",
    ]


def _read_list(path: Path) -> None:
    lines = read_lines(path, "one name per line")
    for work in (lambda: select_samples([Sample("AFW/a_0", "AFW", None, None)], lines), lambda: read_landmarks(path)):
        try:
            work()
        except UvgenError as error:
            _check_message(error)


def _check_message(error: Exception) -> None:
    assert len(str(error)) < 4000, "a message longer than a page"
    str(error).encode()


def _augmentations(_: Path) -> list[bytes]:
    prnet = Augmentation.preset("prnet")
    return [
        prnet.to_json().encode(),
        b'{"preset": "prnet", "flip": 0.5}',
        prnet.draw(1, "a", 0, size=32).to_json().encode(),
    ]


def _read_json(path: Path) -> None:
    for read in (lambda: AugmentationDraw.from_json(path.read_text("utf-8", "surrogateescape")),):
        try:
            read()
        except UvgenError as error:
            _check_message(error)
    read_augmentation(path, "none")


def _indexes(folder: Path) -> list[bytes]:
    return [(_built(folder) / DATASET_INDEX).read_bytes()]


def _splits(folder: Path) -> list[bytes]:
    names = [f"IBUG/IBUG_image_{k:03d}_1_0" for k in range(8)]
    made = {"fraction": 0.7, "seed": 0, "by": "photograph"}
    write_splits(folder / SPLITS, [Split("train", tuple(names[:6]), made), Split("clean", tuple(names), {})])
    return [(folder / SPLITS).read_bytes()]


def _mutated_index(data: bytes, rng: Random) -> bytes:
    """Damage that the checksum finds, or somebody's who writes the checksum anew."""
    changed = mutators.as_json(data, rng)
    content = changed.rpartition(b',\n  "sha256": "')[0]
    if not content or rng.random() < 0.3:
        return changed
    return content + b',\n  "sha256": "' + hashlib.sha256(content).hexdigest().encode() + b'"\n}\n'


def _built(folder: Path, config: BuildConfig | None = None) -> Path:
    save_model(toy_model(), folder / "model.h5")
    config = config or BuildConfig(size=32, uv_size=32, shard_size=2)
    make(write_tree(folder / "tree", 1), folder / "model.h5", folder / "shards", config)
    return folder / "shards"


def _landmarks(suffix: str) -> Callable[[Path], list[bytes]]:
    """One image's landmarks, plain and with scores."""
    points = np.round(np.random.default_rng(1).uniform(1, 99, (68, 3)), 2)
    points[:, 2] = 0.5
    made = [points[:, :2], points, points[:21, :2]]

    def seeds(_: Path) -> list[bytes]:
        if suffix == "npy":
            return [_stored(np.save, array) for array in (*made, made[0].T, np.stack(made[:1] * 2))]
        if suffix == "mat":
            return [_stored(sio.savemat, {"pt2d": array.T, "pt3d_68": array.T}) for array in made]
        lines = ["\n".join(" ".join(map(str, row)) for row in array) for array in made]
        if suffix == "pts":
            return [f"version: 1\nn_points: {len(a)}\n{{\n{t}\n}}\n".encode() for a, t in zip(made, lines, strict=True)]
        return [text.encode() for text in lines]

    return seeds


def _landmark_tables(suffix: str) -> Callable[[Path], list[bytes]]:
    """All images' landmarks, in each layout of a suffix."""
    points = np.arange(10.0).reshape(5, 2) + 3
    pairs = [f"{x},{y}" for x, y in points]
    flags = [value for point in points.tolist() for value in (*point, 2)]
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 1, "keypoints": flags, "bbox": [1, 2, 3, 4]}]}  # fmt: skip
    points_of = {"type": "points", "points": points.ravel().tolist()}
    items = [{"id": "a", "annotations": [points_of, {"type": "skeleton", "elements": [points_of]}]}]
    skeleton = "".join(f'<points label="{k}" points="{pair}"/>' for k, pair in enumerate(pairs))
    texts = {
        "csv": ["a.jpg," + ",".join(pairs),
                "image;" + ";".join(f"x_{k};y_{k};score_{k}" for k in range(5)) + "\na;" + ";".join(["1"] * 15)],
        "json": [json.dumps(value) for value in (coco, {"items": items}, {"a.jpg": points.tolist()},
                                                 [{"image": "a", "landmarks": points.tolist(), "scores": [1] * 5}])],
        "xml": [f'<a><image name="a.jpg"><points points="{";".join(pairs)}"/></image></a>',
                f'<?xml version="1.0"?><a><image name="a"><skeleton>{skeleton}</skeleton></image></a>'],
    }  # fmt: skip
    return lambda _: [text.encode() for text in texts[suffix]]


def _read_landmark_table(path: Path) -> None:
    (found,) = find_landmarks([path.parent / "a.jpg"], path).values()
    if isinstance(found, str):
        _check_message(Exception(found))
        assert found.isprintable(), "a message that cannot be printed on a line"


def _parameter_lists(suffix: str) -> Callable[[Path], list[bytes]]:
    rows = [{"image": "a.jpg", "pitch": 0.1, "yaw": 0.2, "roll": 0, "tx": 1, "ty": 2, "tz": 3, "f": 0.001,
             "shape": "[1 2 3]", "exp_0": 1, "exp_1": 2},
            {"image": "a.jpg", "pose": "1,2,3,4,5,6,7", "shape_0": 1, "shape_1": 2, "parameters": ""}]  # fmt: skip
    if suffix == "csv":
        texts = [";".join(row) + "\n" + ";".join(map(str, row.values())) for row in rows]
    else:
        texts = [json.dumps(rows), json.dumps({"samples": [{"image": "a", "pose": [1.0] * 7, "shape": [1, 2]}]})]
    return lambda _: [text.encode() for text in texts]


def _read_parameter_list(path: Path) -> None:
    for sample in find_samples(path):
        if sample.row is not None:
            read_annotation(replace(sample, problem=""))


def _beside_reshow(folder: Path) -> None:
    np.save(folder / "a_cropped_uv_posmap.npy", np.arange(48.0).reshape(4, 4, 3))


def _synth_indexes(_: Path) -> list[bytes]:
    return [json.dumps({"format": "uvgen-synth", "version": 1, "seed": 3, "size": 450, "model": "x"}).encode()]


def _fit_indexes(folder: Path) -> list[bytes]:
    uvgen.fit_photographs(write_photographs(folder / "photos", 2), folder / "fitted")
    return [(folder / "fitted" / FIT_INDEX).read_bytes()]


def _predict_indexes(_: Path) -> list[bytes]:
    face = {"photograph": "a", "name": "a-face2", "image": "a.jpg", "pitch_deg": 1.5, "yaw_deg": -3, "roll_deg": 0,
            "source": "dlib", "suffixes": [".obj", ".json"], "made_of": "00ff"}  # fmt: skip
    return [json.dumps({"format": "uvgen-predict", "version": 1, "faces": [face], "skipped": []}).encode()]


def _box_tables(_: Path) -> list[bytes]:
    return [b"image,left,top,right,bottom\na.jpg,1,2,30,40.5\n", b'x;y;width;height;name\n1;2;3;4;"b/a.jpg"\n;;;;\n']


def _read_box_table(path: Path) -> None:
    found = read_boxes(path).of_image(path.parent / "a.jpg")
    if isinstance(found, str):
        _check_message(Exception(found))
        assert found.isprintable(), "a message that cannot be printed on a line"


def _points(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(20, 200, (1, 3, 68))


def _beside_prediction(folder: Path) -> None:
    """A face of 3DDFA's benchmark, called a, and a prediction of it."""
    truth = folder / "truth"
    truth.mkdir(exist_ok=True)
    np.save(truth / POINTS, _points())
    np.save(truth / YAWS, np.zeros(1))
    (truth / LIST).write_text("a.jpg\n")
    np.save(folder / "prediction.npy", _points(1))


def _predictions(_: Path) -> list[bytes]:
    points = _points(1)[0]
    return [_stored(np.save, array) for array in (points, points.T[None].astype(">f4"), points[:2].astype("i2"))]


def _read_prediction(path: Path) -> None:
    evaluate_predictions(path.parent, path.parent / "truth", scores="all").to_plain()


def _read_predictions(path: Path) -> None:
    evaluate_predictions(path, path.parent / "truth", scores="all").to_plain()


def _read_benchmark(path: Path) -> None:
    shutil.copyfile(path, path.parent / "truth" / path.name)
    evaluate_predictions(path.parent / "prediction.npy", path.parent / "truth").to_plain()


_TOPOLOGY = Topology.of_mesh("toy", 4, np.array([[0, 1, 2], [2, 1, 3]], np.int32), np.empty((0, 3), np.int32))


def _glb_meshes(folder: Path) -> list[bytes]:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.5]])
    write_glb(folder / "a.glb", vertices, np.array([[0, 1, 2], [2, 1, 3]]), meters_per_unit=2, centered=True)
    return [(folder / "a.glb").read_bytes()]


def _cameras(_: Path) -> list[bytes]:
    pinhole = {"type": "perspective", "convention": "opencv", "fx": 9, "cx": 5, "cy": 4, "rotation": [1, 0, 0, 0]}
    lens = {"type": "perspective", "convention": "blender", "lens": 50, "shift_x": 0.1, "width": 20, "height": 10}
    plain = {"type": "orthographic", "scale": 2, "rotation": [0, 0.1, 0], "translation": [5, 4]}
    return [json.dumps(content).encode() for content in (pinhole, lens, plain)]


COLMAP_CAMERAS = b"# a\n1 PINHOLE 20 10 9 9 10 5\n2 OPENCV 20 10 9 9 10 5 0 0 0 0\n3 SIMPLE_RADIAL 20 10 9 10 5 0\n"


def _colmap_images(_: Path) -> list[bytes]:
    return [b"# a\n1 1 0 0 0 0 0 5 1 a.jpg\n1 2 3\n2 0 1 0 0 0.5 0 5 2 b c.jpg\n\n3 1 0 0 0 0 0 0 9 d.jpg\n\n"]


def _beside_colmap(folder: Path) -> None:
    (folder / "cameras.txt").write_bytes(COLMAP_CAMERAS)
    (folder / "images.txt").write_bytes(_colmap_images(folder)[0])


def _scan_landmarks(kind: str) -> Callable[[Path], list[bytes]]:
    points = np.arange(204.0).reshape(68, 3)
    picked = "".join(f'<point x="{x}" y="{y}" z="{z}" active="1" name="{x}"/>' for x, y, z in points)
    seeds = {
        "txt": ["# a\nnan nan nan\n" + "1 2.5 -3e1\n" * 67],
        "json": [json.dumps(points.tolist()), json.dumps({"landmarks": [None, *points[1:].tolist()]})],
        "pp": [f"<!DOCTYPE PickedPoints>\n<PickedPoints>{picked}</PickedPoints>",
               '<PickedPoints><point x="1" y="2" z="3" active="0" name="5"/></PickedPoints>'],
    }  # fmt: skip
    return lambda _: [_stored(np.save, points)] if kind == "npy" else [text.encode() for text in seeds[kind]]


def _scans(kind: str) -> Callable[[Path], list[bytes]]:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.5]], np.float32)
    triangles = np.array([[0, 1, 2], [2, 1, 3]])

    def seeds(folder: Path) -> list[bytes]:
        if kind == "npy":
            return [_stored(np.save, vertices), _stored(np.save, np.hstack([vertices, vertices]).astype(np.float64))]
        if kind == "stl":
            corners = np.zeros(2, np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")]))
            corners["corners"] = vertices[triangles]
            return [bytes(80) + np.uint32(2).tobytes() + corners.tobytes()]
        write_glb(folder / "scan.glb", vertices, triangles)
        return [(folder / "scan.glb").read_bytes()]

    return seeds


def _meshes(kind: str) -> Callable[[Path], list[bytes]]:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.5]])
    triangles = np.array([[0, 1, 2], [2, 1, 3]])

    def seeds(folder: Path) -> list[bytes]:
        path = folder / f"mesh.{kind}"
        if kind == "off":
            return [
                b"OFF\n4 2 0\n0 0 0\n1 0 0\n0 1 0\n1 1 .5\n3 0 1 2\n3 2 1 3\n",
                b"OFF\n# a\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2",
            ]
        (write_obj if kind == "obj" else write_ply)(path, vertices, triangles)
        if kind == "obj":
            return [
                path.read_bytes(),
                b"v 0 0 0 \\\n1\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2//2 3/1/1 1\nf -1 -2 -3\nusemtl x\n",
            ]
        text = b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        return [
            path.read_bytes(),
            text
            + b"element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
        ]

    return seeds


def _pickles(_: Path) -> list[bytes]:
    value = {
        "mean": np.arange(6.0).reshape(2, 3), "std": np.ones(3, ">f4"), "t": ("a", b"b", 1, 2.5, None, True, 2**70),
        "s": {1, 2}, "f": frozenset("ab"), "o": OrderedDict(a=np.float32(1)), "l": [[1, 2], [1j]], "b": bytearray(b"x"),
        "x": np.asfortranarray(np.ones((2, 2))), "u": np.array(["ab"]),
    }  # fmt: skip
    return [pickle.dumps(value, protocol) for protocol in range(6)]


def _shards(folder: Path) -> list[bytes]:
    found = []
    for codec in ("none", "jpeg"):
        (folder / codec).mkdir()
        config = BuildConfig(size=16, uv_size=16, shard_size=2, **({"image_codec": codec} if codec == "jpeg" else {}))
        found.append((_built(folder / codec, config) / "AFW-00000.h5").read_bytes())
    return [*found, _with_old_texts(folder, found[0])]


def _with_old_texts(folder: Path, data: bytes) -> bytes:
    """A file whose texts are of variable length: on those of damaged files, HDF5 2.0.0 hangs."""
    path = folder / "old.h5"
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        for owner in (file, *file.values()):
            texts = {name: value.decode() for name, value in owner.attrs.items() if isinstance(value, bytes)}
            owner.attrs.update(texts)
    return path.read_bytes()


def _beside_shard(folder: Path) -> None:
    made = _built(folder / "work", BuildConfig(size=16, uv_size=16, shard_size=2))
    for path in made.iterdir():
        shutil.copy(path, folder / path.name)


def _read_shard(path: Path) -> None:
    reader = uvgen.open_shards(path.parent)
    for k in range(reader.shard_samples[0]):
        _ = dict(reader[k])


def _own_models(folder: Path) -> list[bytes]:
    save_model(toy_model(), folder / "model.h5")
    data = (folder / "model.h5").read_bytes()
    save_model(with_rig(_small_model()), folder / "rig.h5")
    return [data, _with_old_texts(folder, data), (folder / "rig.h5").read_bytes()]


def _matlab_7_3(folder: Path) -> list[bytes]:
    """What MATLAB 7.3 writes, small: matrices, an empty one, a struct, a text."""
    path = folder / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["UV"], file["info/segbin"] = np.ones((2, 9)), np.ones((4, 9), np.uint8)
        file["info/none"], file["info/text"] = np.zeros(2, np.uint64), np.array([[97, 98]], np.uint16)
        file["info/none"].attrs.create("MATLAB_empty", 1, dtype=np.uint8)
        file["UV"].attrs["MATLAB_class"] = np.bytes_("double")
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
    data = path.read_bytes()
    return [head.ljust(512, b"\0") + data[512:]]


def _hdf5_of_each_kind(folder: Path) -> list[bytes]:
    for kind in "abc":
        (folder / kind).mkdir()
    return [*_shards(folder / "a")[-2:], *_own_models(folder / "b"), *_matlab_7_3(folder / "c")]


def _read_matlab_7_3(path: Path) -> None:
    matlab.load(path, struct="info")
    matlab.load(path, "UV")


def _read_own_model(path: Path) -> None:
    model = load_model(path)
    _ = float(model.mean.sum()) + float(np.asarray(model.basis[:2]).sum())


def _constants(folder: Path) -> list[bytes]:
    arrays = {
        "weight_mask": np.ones((8, 8), np.float32),
        "coverage": np.ones((8, 8), bool),
        "landmark_texels": np.ones((68, 2), np.int32),
        "landmark_indices": np.ones((68, 4), np.int32),
        "landmark_weights": np.full((68, 4), 0.25, np.float32),
    }
    return [constants_bytes(arrays)]


def _statismo(folder: Path) -> list[bytes]:
    found = []
    for options in ({}, {"compression": "gzip", "shuffle": True}):
        write_statismo(folder / "a.h5", side=3, **options)
        found.append((folder / "a.h5").read_bytes())
    return found


def _flame_pickles(_: Path) -> list[bytes]:
    content = flame_content(side=2, n_expression=1)
    return [flame_pickle(content, protocol) for protocol in (0, 2, 4)]


def _embeddings(_: Path) -> list[bytes]:
    faces, weights = np.zeros(68, np.int64), np.full((68, 3), 1 / 3)
    decas = {"full_lmk_faces_idx": faces[None], "full_lmk_bary_coords": weights[None]}
    flames = {"lmk_face_idx": faces, "lmk_b_coords": weights}
    return [
        _stored(np.save, np.array(decas, object), allow_pickle=True),
        pickle.dumps(flames, 2),
        _stored(np.savez, **flames),
    ]


def _read_embedding(path: Path) -> None:
    flame.recognizes(path)
    flame.landmarks_of_embedding(path, np.arange(6).reshape(2, 3))


def _gnm(_: Path) -> list[bytes]:
    content = gnm_content(side=3)
    return [_stored(np.savez, **content), _stored(np.savez_compressed, **content)]


def _read_gnm(path: Path) -> None:
    gnm.recognizes(path)
    gnm.read(path)


def _ict(name: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        write_ict(folder, side=9, n_identity=1)
        return [(folder / name).read_bytes()]

    return seeds


def _read_ict(path: Path) -> None:
    ict.recognizes(path.parent)
    ict.read(path.parent)
    ict.read(path.parent, parts="all")


def _of_each_kind(folder: Path) -> list[bytes]:
    makers = (_sample_mats, _images, _arrays, _meshes("obj"), _meshes("ply"), _meshes("off"), _pickles, _lists)
    return [make_seeds(folder)[0] for make_seeds in makers]


READERS = (
    Reader("sample_mat", "a.mat", _sample_mats, _read_sample_mat, mutators.mat),
    Reader("model_mat", "model_info.mat", _model_parts, _read_model_part, mutators.mat, beside=_model_parts),
    Reader("face3d_mat", "BFM_info.mat", _face3d_seeds, lambda path: face3d.read(path.with_name("BFM.mat")),
           mutators.mat,
           beside=_face3d_seeds),
    Reader("tddfa_pickle", tddfa_v2.FILE, _tddfa_seeds, _read_tddfa, mutators.pickled, beside=_beside_tddfa),
    Reader("tddfa_statistics", tddfa_v2.STATISTICS, _statistics, tddfa_v2.read_statistics, mutators.pickled),
    Reader("tddfa_npy", "u.npy", _tddfa_parts, lambda path: tddfa_v2.read(path.parent), mutators.npy,
           beside=_tddfa_parts),
    Reader("deep3d_mat", deep3d.FILE, _deep3d_seeds, _read_deep3d, mutators.mat, beside=_kept),
    Reader("deep3d_bin", "Exp_Pca.bin", _deep3d_parts("Exp_Pca.bin"), lambda path: deep3d.read(path.parent),
           mutators.any_bytes, beside=_deep3d_parts("Exp_Pca.bin")),
    Reader("deep3d_info", "facemodel_info.mat", _deep3d_parts("facemodel_info.mat"),
           lambda path: _read_deep3d(path.parent), mutators.mat, beside=_beside_deep3d),
    Reader("deep3d_results", "a.mat", _results, read_coefficients, mutators.mat),
    Reader("uv_mat", "a.mat", _uv_mats, lambda path: read_uv(path, np.array([[0, 1, 2]]), 64), mutators.mat),
    Reader("uv_obj", "a.obj", _textured, lambda path: read_uv(path, np.array([[0, 1, 2], [2, 1, 3]]), 4),
    mutators.text), Reader("uv_npy", "a.npy", lambda _: [_stored(np.save, np.full((8, 2), 0.5))], lambda path:
    read_uv(path, np.array([[0, 1, 2]]), 8), mutators.npy), Reader("vertex_mat", "a.mat", _index_mats,
    read_vertex_numbers, mutators.mat), Reader("vertex_npy", "a.npy", lambda _: [_stored(np.save, np.arange(68))],
    read_vertex_numbers, mutators.npy), Reader("image", "a.jpg", _images, _read_picture, mutators.picture),
    Reader("shard_jpeg", "a.jpg", lambda _: [encode_jpeg(picture(1, 24, 40), 90)],
           lambda path: decode_jpeg(path.read_bytes()),
           mutators.jpeg, errors=(ValueError,)),
    Reader("mask_png", "a.png", _masks, lambda path: read_weights(path, 8), mutators.picture),
    Reader("npy", "a.npy", _arrays, lambda path: read_weights(path, 8), mutators.npy),
    Reader("text_list", "a.txt", _lists, _read_list, mutators.text),
    Reader("augmentation_json", "a.json", _augmentations, _read_json, mutators.as_json),
    Reader("dataset_json", DATASET_INDEX, _indexes, lambda path: Index.read(path.parent), _mutated_index),
    Reader("splits_json", SPLITS, _splits, read_splits, mutators.as_json),
    Reader("fit_json", "fit.json", _fit_indexes, FIT.read, mutators.as_json),
    Reader("predict_json", "predict.json", _predict_indexes, PREDICTED.read, mutators.as_json),
    Reader("box_table", "a.csv", _box_tables, _read_box_table, mutators.text),
    Reader("prediction_npy", "a.npy", _predictions, _read_prediction, mutators.npy, beside=_beside_prediction),
    Reader("predictions_npy", "all.npy", lambda _: [_stored(np.save, _points(1))], _read_predictions, mutators.npy,
           beside=_beside_prediction),
    Reader("benchmark_npy", POINTS, lambda _: [_stored(np.save, _points())], _read_benchmark, mutators.npy,
           beside=_beside_prediction),
    Reader("benchmark_list", LIST, lambda _: [b"a.jpg\n", b"AFW/b.c.png"], _read_benchmark, mutators.text,
           beside=_beside_prediction),
    Reader("synth_json", "synth.json", _synth_indexes, _read_index, mutators.as_json),
    *(Reader(f"landmarks_{suffix}", f"a.{suffix}", _landmarks(suffix), read_landmarks, mutate)
      for suffix, mutate in (("txt", mutators.text), ("pts", mutators.text), ("npy", mutators.npy),
                             ("mat", mutators.mat))),
    *(Reader(f"landmark_table_{suffix}", f"a.{suffix}", _landmark_tables(suffix), _read_landmark_table, mutate)
      for suffix, mutate in (("csv", mutators.text), ("json", mutators.as_json), ("xml", mutators.text))),
    *(Reader(f"parameters_{suffix}", f"a.{suffix}", _parameter_lists(suffix), _read_parameter_list, mutate)
      for suffix, mutate in (("csv", mutators.text), ("json", mutators.as_json))),
    Reader("position_map", "a.npy",
           lambda _: [_stored(np.save, np.arange(192, dtype=kind).reshape(8, 8, 3)) for kind in ("f4", "f8", ">f2")],
           lambda path: read_map(Sample("a", "a", None, path), "face3d"), mutators.npy),
    Reader("reshow_mat", "a_bbox_info.mat", lambda _: [_stored(sio.savemat, {"Tform": np.eye(3)})],
           lambda path: read_map(Sample("a", "a", None, path.with_name("a_cropped_uv_posmap.npy")), "reshow"),
           mutators.mat, beside=_beside_reshow),
    Reader("parameters_npy", "a.npy", lambda _: [_stored(np.save, np.arange(235.0))], read_vector, mutators.npy),
    Reader("obj", "a.obj", _meshes("obj"), read_mesh, mutators.text),
    Reader("ply", "a.ply", _meshes("ply"), read_mesh, mutators.text),
    Reader("off", "a.off", _meshes("off"), read_mesh, mutators.text),
    Reader("glb", "a.glb", _glb_meshes, lambda path: read_registered(path, _TOPOLOGY), mutators.any_bytes),
    Reader("camera_json", "a.json", _cameras, read_camera, mutators.as_json),
    Reader("colmap_images", "images.txt", _colmap_images, lambda path: read_reconstruction(path.parent), mutators.text,
           beside=_beside_colmap),
    Reader("colmap_cameras", "cameras.txt", lambda _: [COLMAP_CAMERAS], lambda path: read_reconstruction(path.parent),
           mutators.text, beside=_beside_colmap),
    *(Reader(f"scan_landmarks_{suffix}", f"a.{suffix}", _scan_landmarks(suffix), read_scan_landmarks, mutate)
      for suffix, mutate in (("txt", mutators.text), ("json", mutators.as_json), ("npy", mutators.npy),
                             ("pp", mutators.text))),
    *(Reader(f"scan_{suffix}", f"a.{suffix}", _scans(suffix), read_scan, mutate)
      for suffix, mutate in (("npy", mutators.npy), ("stl", mutators.any_bytes), ("glb", mutators.any_bytes))),
    Reader("pickle", "a.pkl", _pickles, lambda path: load_plain_pickle(path.read_bytes()), mutators.pickled,
           errors=(ValueError,)),
    Reader("kinds", "a", _of_each_kind, describe_file, mutators.any_bytes, errors=()),
    Reader("constants_npz", CONSTANTS, _constants, lambda path: read_constants(path.parent, 8), mutators.npz),
    Reader("shard_h5", "AFW-00000.h5", _shards, _read_shard, mutators.hdf5, beside=_beside_shard),
    Reader("model_h5", "model.h5", _own_models, _read_own_model, mutators.hdf5),
    Reader("matlab_h5", "a.mat", _matlab_7_3, _read_matlab_7_3, mutators.hdf5),
    Reader("statismo_h5", "a.h5", _statismo, statismo.read, mutators.hdf5),
    Reader("flame_pickle", "a.pkl", _flame_pickles, flame.read, mutators.pickled),
    Reader("flame_npz", "a.npz", lambda _: [_stored(np.savez, **flame_content(side=2, n_expression=1, sparse=False))],
           flame.read, mutators.npz),
    Reader("flame_landmarks", "a.npy", _embeddings, _read_embedding, mutators.any_bytes),
    Reader("gnm_npz", "a.npz", _gnm, _read_gnm, mutators.npz),
    Reader("ict_neutral", ict.NEUTRAL, _ict(ict.NEUTRAL), _read_ict, mutators.text, beside=_ict(ict.NEUTRAL)),
    Reader("ict_identity", "identity000.obj", _ict("identity000.obj"), _read_ict, mutators.text,
           beside=_ict(ict.NEUTRAL)),
    Reader("ict_json", ict.ABOUT, _ict(ict.ABOUT), _read_ict, mutators.as_json, beside=_ict(ict.NEUTRAL)),
    Reader("kinds_h5", "a", _hdf5_of_each_kind, describe_file, mutators.hdf5, errors=()),
)  # fmt: skip
