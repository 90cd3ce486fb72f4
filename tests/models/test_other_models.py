"""Each other model from its files to a built data set: read, completed, mapped, drawn, built."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fits import assert_fits
from support.other_models import flame_content, flame_pickle, gnm_content, patch, write_ict, write_statismo
from support.toy import landmark_uv

from uvgen import (
    BuildConfig,
    PositionMapper,
    Supplements,
    SynthOptions,
    build_shards,
    convert_model,
    load_model,
    open_shards,
    render_faces,
)
from uvgen.errors import InputError, ModelError
from uvgen.models.formats import flame, format_of, gnm, ict

SIDE = 21


def landmark_vertices() -> np.ndarray:
    uv = patch(SIDE)[2]
    return ((uv[None] - landmark_uv()[:, None]) ** 2).sum(axis=2).argmin(axis=1)


def landmark_list(folder: Path) -> dict[str, Any]:
    (folder / "landmarks.txt").write_text("\n".join(map(str, landmark_vertices())))
    return {"landmarks": folder / "landmarks.txt"}


def statismo_files(folder: Path) -> tuple[Path, dict[str, Any]]:
    write_statismo(folder / "model2017-1_face12_nomouth.h5", SIDE)
    return folder / "model2017-1_face12_nomouth.h5", landmark_list(folder)


def embedding() -> dict[str, Any]:
    """The landmarks as points on triangles, each near a corner."""
    triangles = flame_content(SIDE)["f"]
    faces, corners = np.array([np.argwhere(triangles == vertex)[0] for vertex in landmark_vertices()]).T
    weights = np.full((68, 3), 0.1)
    weights[np.arange(68), corners] = 0.8
    return {"full_lmk_faces_idx": faces[None], "full_lmk_bary_coords": weights[None]}


def flame_files(folder: Path) -> tuple[Path, dict[str, Any]]:
    (folder / "generic_model.pkl").write_bytes(flame_pickle(flame_content(SIDE)))
    np.save(folder / "landmark_embedding.npy", np.array(embedding(), object), allow_pickle=True)
    return folder / "generic_model.pkl", {"landmarks": folder / "landmark_embedding.npy"}


def flame_npz(folder: Path) -> tuple[Path, dict[str, Any]]:
    np.savez(folder / "flame.npz", **flame_content(SIDE, sparse=False))
    (folder / "embedding.pkl").write_bytes(
        pickle.dumps(dict(zip(("lmk_face_idx", "lmk_b_coords"), (v[0] for v in embedding().values()), strict=True)), 2)
    )
    return folder / "flame.npz", {"landmarks": folder / "embedding.pkl"}


def gnm_files(folder: Path) -> tuple[Path, dict[str, Any]]:
    np.savez_compressed(folder / "gnm_head.npz", **gnm_content(SIDE))
    return folder / "gnm_head.npz", landmark_list(folder)


def ict_files(folder: Path) -> tuple[Path, dict[str, Any]]:
    write_ict(folder / "FaceXModel", SIDE)
    about = folder / "FaceXModel" / "vertex_indices.json"
    text = about.read_text()
    about.write_text(text[: text.index("[", text.index("idx_to"))] + str(landmark_vertices().tolist()) + "}")
    return folder / "FaceXModel", {}


FILES: dict[str, tuple[str, Callable[[Path], tuple[Path, dict[str, Any]]]]] = {
    "statismo": ("statismo", statismo_files),
    "flame pickle": ("flame", flame_files),
    "flame npz": ("flame", flame_npz),
    "gnm": ("gnm", gnm_files),
    "ict": ("ict", ict_files),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_model_of_each_format_is_converted_mapped_and_built(tmp_path: Path, kind: str) -> None:
    module, write = FILES[kind]
    path, options = write(tmp_path)
    found = format_of(path)
    assert found is not None and found.module == module
    model = convert_model(tmp_path / "model.h5", path, supplements=Supplements(**options)).model
    np.testing.assert_array_equal(model.landmarks, landmark_vertices())
    assert model.uv.min() >= 0 and model.uv.max() <= 1 and set(model.sources) >= {Path(path).name} - {"FaceXModel"}
    opened = load_model(tmp_path / "model.h5")
    assert opened.content_sha256 == model.content_sha256
    maps, landmarks = PositionMapper(opened, 32).maps_of_vertices(opened.mean[None] / 1e3)
    depth = opened.mean[:, 2].min() / 1e3
    np.testing.assert_allclose(landmarks[0], (opened.mean / 1e3 - [0, 0, depth])[opened.landmarks], atol=1e-3)
    nearest = np.linalg.norm(maps[0].reshape(-1, 1, 3) - landmarks[0], axis=2).min(axis=0)
    spacing = np.ptp(opened.mean[:, 0]) / 1e3 / 15  # two texels of 32, of a square
    assert nearest.max() < 2 * spacing

    render_faces(tmp_path / "faces", 3, model=opened, options=SynthOptions(size=64, seed=1, flip=False))
    build_shards(tmp_path / "faces", tmp_path / "shards", model=opened, config=BuildConfig(size=32, uv_size=32))
    assert_fits(opened, tmp_path / "faces")
    shards = open_shards(tmp_path / "shards")
    assert len(shards) == 3
    for sample in (shards[k] for k in range(3)):
        assert np.isfinite(sample["posmap"]).all() and sample["shape"].shape == (model.n_shape,)


def test_load_model_of_a_format_without_landmarks_names_the_option(tmp_path: Path) -> None:
    path, _ = statismo_files(tmp_path)
    with pytest.raises(ModelError, match=r"face12_nomouth\.h5: brings no landmarks, .*argument `landmarks`"):
        load_model(path)


def test_load_model_of_a_format_with_landmarks_needs_no_option(tmp_path: Path) -> None:
    path, _ = ict_files(tmp_path)
    model = load_model(path)
    np.testing.assert_array_equal(model.landmarks, landmark_vertices())
    assert model.n_shape == 3 and model.n_expression == 2


def test_load_model_of_an_untrusted_statismo_file_reads_it_in_a_child(tmp_path: Path) -> None:
    path, options = statismo_files(tmp_path)
    supplements = Supplements(**options)
    plain = convert_model(tmp_path / "a.h5", path, supplements=supplements).model
    child = convert_model(tmp_path / "b.h5", path, untrusted=True, supplements=supplements).model
    assert child.content_sha256 == plain.content_sha256


def test_convert_with_another_pickle_for_landmarks_names_it(tmp_path: Path) -> None:
    path, _ = flame_files(tmp_path)
    (tmp_path / "other.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"other\.pkl: holds a, expected full_lmk_faces_idx"):
        convert_model(tmp_path / "a.h5", path, supplements=Supplements(landmarks=tmp_path / "other.pkl"))


def test_recognizes_knows_its_own_files_alone(tmp_path: Path) -> None:
    paths = {}
    for kind, (module, write) in FILES.items():
        (tmp_path / kind).mkdir()
        paths[kind] = module, write(tmp_path / kind)[0]
    for module, path in paths.values():
        for reader, name in ((flame, "flame"), (gnm, "gnm"), (ict, "ict")):
            assert reader.recognizes(path) == (name == module)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["vertex_identity_basis", "template_vertex_positions"])
def test_numbers_that_float32_cannot_hold_are_refused_without_warnings(tmp_path: Path, name: str) -> None:
    path, options = gnm_files(tmp_path)
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **{**content, name: np.full(content[name].shape, 1e300)})
    with pytest.raises(ModelError, match=r"gnm_head\.npz: .*(NaN or infinity|finite numbers|expected numbers of)"):
        convert_model(tmp_path / "out.h5", path, supplements=Supplements(**options))


@pytest.mark.parametrize("factor", [1e300, 1e100])
def test_mean_face_that_is_huge_is_refused_before_uv_are_looked_for(tmp_path: Path, factor: float) -> None:
    path, options = flame_npz(tmp_path)
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **{**content, "v_template": content["v_template"] * factor})
    with pytest.raises(ModelError, match=r"mean shape holds|holds NaN or infinity"):
        convert_model(tmp_path / "out.h5", path, supplements=Supplements(**options))
