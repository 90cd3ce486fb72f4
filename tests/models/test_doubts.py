"""What is doubtful in a model: each fault is named, a sound model is not."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from support.models import builtin_model

from uvgen.models.doubts import label_doubts, model_doubts
from uvgen.models.morphable import REGIONS, MorphableModel, make_model


def changed(**fields: Any) -> MorphableModel:
    model = builtin_model()
    arrays = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    return make_model(source="test", **{**arrays, "path": None, **fields})


def test_model_doubts_of_the_builtin_model_are_none() -> None:
    assert model_doubts(builtin_model()) == ()


def with_entry(name: str, k: int, value: int) -> dict[str, Any]:
    array = np.array(getattr(builtin_model(), name))
    array[k] = value
    return {name: array}


def eyes_elsewhere() -> dict[str, Any]:
    model = builtin_model()
    regions = np.array(model.regions)
    regions[model.landmarks[[36, 37, 45]]] = REGIONS.index("face")
    return {"regions": regions}


def nose_on_the_neck() -> dict[str, Any]:
    model = builtin_model()
    regions = np.array(model.regions)
    regions[model.landmarks[30]] = REGIONS.index("neck")
    return {"regions": regions}


def loose_vertex() -> dict[str, Any]:
    model = builtin_model()
    triangles = model.triangles[~(model.triangles == model.landmarks[33]).any(axis=1)]
    return {"triangles": triangles}


def repeated_corners() -> dict[str, Any]:
    triangles = np.array(builtin_model().triangles)
    triangles[::3, 1] = triangles[::3, 0]
    return {"triangles": triangles}


def half_on_a_line() -> dict[str, Any]:
    uv = np.array(builtin_model().uv)
    uv[uv[:, 0] < 0.5, 0] = 0.25
    return {"uv": uv}


def shuffled_uv() -> Any:
    uv = builtin_model().uv
    return uv[np.random.default_rng(0).permutation(len(uv))]


def albedo() -> Any:
    mean = builtin_model().albedo_mean
    assert mean is not None
    return mean


FAULTS = {
    "eyes outside their region": (eyes_elsewhere, r"landmarks 36-37, 45: contours of the eyes outside the region eyes"),
    "nose on the neck": (nose_on_the_neck, "landmarks 30: lie in the regions neck or other"),
    "landmark on no face": (loose_vertex, "landmarks 33: their vertices belong to no triangle"),
    "shared landmark": (
        lambda: with_entry("landmarks", 5, int(builtin_model().landmarks[4])), "landmarks: 1 share a vertex with an"
    ),
    "broken pair": (lambda: with_entry("mirror", 40, 41), "mirror pairs: 2 vertices are not the mirror image of their"),
    "far away": (lambda: {"mean": builtin_model().mean + np.float32(6e11)}, r"mean face: up to 6e\+05 m from its"),
    "beside the middle": (
        lambda: {"mean": builtin_model().mean + np.float32([3e5, 0, 0])},
        r"mean face: its middle lies 300 mm beside x = 0, about which `uvgen synth` mirrors faces",
    ),
    "millimeters": (lambda: {"mean": builtin_model().mean / 1000}, r"mean face: 0\.\d+ mm large, expected 60 to 400"),
    "y down": (lambda: {"mean": builtin_model().mean * [1, -1, -1]}, "its eyes lie below its mouth, expected y up"),
    "z away": (lambda: {"mean": builtin_model().mean * [-1, 1, -1]}, "its nose lies behind its ears"),
    "UV of another order": (lambda: {"uv": shuffled_uv()}, r"UV: \d\d% of the triangles are turned over"),
    "v down": (lambda: {"uv": [0, 1] + builtin_model().uv * [1, -1]}, "UV: the eyes lie below the mouth, expected v"),
    "u left": (lambda: {"uv": [1, 0] + builtin_model().uv * [-1, 1]}, "UV: the right eye lies to the right of the"),
    "repeated corners": (
        repeated_corners, r"triangles: 667\d of 20020 have no area in UV, 667\d of which name a vertex twice, expected"
    ),
    "UV on a line": (half_on_a_line, r"triangles: \d+ of 20020 have no area in UV, expected 1% at most"),
    "colors from 0 to 1": (lambda: {"albedo_mean": albedo() / 255}, r"albedo: mean colors of up to 0\.\d+, expected"),
    "colors times 255": (lambda: {"albedo_mean": albedo() * 255}, r"albedo: mean colors of up to \d.*e\+04, expected"),
    "half of ICT-FaceKit": (
        lambda: {"sources": dict.fromkeys(["generic_neutral_mesh.obj", "identity000.obj", "browDown_L.obj"], "0" * 64)},
        r"ICT-FaceKit: made of \d+ identities and \d+ expressions, expected the 100 and 53",
    ),
    "x mirrored": (lambda: {"mean": builtin_model().mean * [-1, 1, 1]}, "its right eye lies to the right of its left"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_model_doubts_names_each_fault(kind: str) -> None:
    change, message = FAULTS[kind]
    doubts = model_doubts(changed(**change()))
    assert any(re.search(message, doubt) for doubt in doubts), doubts


def test_model_doubts_lets_a_few_triangles_without_area_pass() -> None:
    triangles = np.array(builtin_model().triangles)
    triangles[::200, 1] = triangles[::200, 0]
    assert model_doubts(changed(triangles=triangles)) == ()


def test_label_doubts_are_those_that_change_labels() -> None:
    model = changed(**eyes_elsewhere(), **repeated_corners(), **with_entry("mirror", 40, 41))
    (doubt,) = label_doubts(model)
    assert doubt.startswith("triangles: ") and len(model_doubts(model)) == 3


def test_build_and_doctor_say_once_that_the_model_makes_labels_wrong(
    uvgen: Any, tree: Any, tmp_path: Any, model: MorphableModel
) -> None:
    from uvgen.models.model_file import save_model

    fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    triangles = np.array(model.triangles)
    triangles[::2, 1] = triangles[::2, 0]
    flat = make_model(source="flat", **{**fields, "path": None, "name": "flat", "triangles": triangles})
    save_model(flat, tmp_path / "flat.h5")
    how = ("--model", tmp_path / "flat.h5")
    sizes = ("--size", 32, "--uv-size", 48, "--workers", 1, "--quiet")
    stderr = uvgen("build", "--data", tree, *how, "--out", tmp_path / "shards", *sizes).stderr
    assert len(re.findall(r"warning: model flat: triangles: \d+ of \d+ have no area in UV", stderr)) == 1, stderr
    for path in (tree, tmp_path / "shards"):
        stdout = uvgen("doctor", path, *how).stdout
        assert stdout.count("UV402") == stdout.count("model flat: triangles: ") == 1, stdout


def test_model_doubts_of_the_stand_in_are_its_eyes_and_ten_pairs(stand_in_model: MorphableModel) -> None:
    eyes, pairs = model_doubts(stand_in_model)
    assert eyes.startswith("landmarks 36-47: contours of the eyes outside")
    assert pairs.startswith("mirror pairs: 10 vertices are not")


def test_model_info_and_convert_print_doubts(uvgen: Any, tmp_path: Any) -> None:
    from uvgen.models.formats import face3d
    from uvgen.models.model_file import save_model

    model = changed(**with_entry("landmarks", 5, int(builtin_model().landmarks[4])))
    save_model(model, tmp_path / "m.h5")
    assert "warning: landmarks: 1 share a vertex" in uvgen("model", "info", tmp_path / "m.h5").stderr
    face3d.write(model, tmp_path / "f")
    result = uvgen("model", "convert", "--face3d", tmp_path / "f/BFM.mat", "--out", tmp_path / "c.h5")
    assert result.exit_code == 0 and "warning: landmarks: 1 share a vertex" in result.stderr


def test_model_doubts_of_a_whole_ict_facekit_are_none_although_a_model_keeps_few_of_its_sources() -> None:
    n = builtin_model().n_vertices
    names = [
        "generic_neutral_mesh.obj",
        *(f"identity{k:03d}.obj" for k in range(100)),
        *(f"e{k}.obj" for k in range(53)),
    ]
    model = changed(
        sources=dict.fromkeys(names, "0" * 64), basis=np.zeros((n, 3, 153), np.float32), shape_std=np.ones(100),
        expression_std=np.ones(53),
    )  # fmt: skip
    assert len(model.sources) < 100 and not [doubt for doubt in model_doubts(model) if "ICT" in doubt]
