"""What a model's files lack: given in files, carried over from a larger model, found, or asked for by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from hypothesis import given
from hypothesis import strategies as st
from support.formats import kept_vertices, place_of, smaller_triangles, write_tddfa
from support.toy import face3d_files, toy_model, write_bfm_files

from uvgen import BaselFiles, build_atlas, convert_model, load_model, save_model
from uvgen.errors import InputError, ModelError
from uvgen.meshes.files import write_obj
from uvgen.models.assembled import AssembledModel
from uvgen.models.complete import completed
from uvgen.models.morphable import MorphableModel
from uvgen.models.supplements import Supplements
from uvgen.models.vertex_numbers import read_landmarks, read_vertex_numbers


@pytest.fixture(scope="module")
def larger() -> MorphableModel:
    return replace(toy_model(with_mouth=True), regions=(np.arange(1681) % 6).astype(np.uint8))


def bare(model: MorphableModel, kept: Any = None, **more: Any) -> AssembledModel:
    """A file that brings the mesh and the bases alone."""
    kept = np.arange(model.n_vertices) if kept is None else kept
    return AssembledModel(
        source="a.file",
        name="a",
        mean=model.mean[kept],
        shape_basis=model.shape_basis[kept],
        expression_basis=model.expression_basis[kept],
        shape_std=np.ones(model.n_shape),
        expression_std=np.ones(model.n_expression),
        triangles=smaller_triangles(model, kept),
        **more,
    )


def test_completed_without_landmarks_names_the_arguments(larger: MorphableModel) -> None:
    with pytest.raises(ModelError, match=r"^a\.file: brings no landmarks.*argument `landmarks`.*argument `uv_from`"):
        completed(bare(larger))


def test_completed_carries_what_is_lacking_from_a_larger_model(larger: MorphableModel, tmp_path: Path) -> None:
    kept = kept_vertices()
    place = place_of(kept, larger.n_vertices)
    np.save(tmp_path / "kept.npy", kept)
    sio.savemat(tmp_path / "kept.mat", {"idx": kept[:, None] + 1})
    (tmp_path / "kept.txt").write_text("\n".join(map(str, kept)))
    found = [completed(bare(larger, kept), Supplements(uv_from=larger))]
    for name in ("kept.npy", "kept.mat", "kept.txt"):
        found.append(completed(bare(larger, kept), Supplements(uv_from=larger, indices=tmp_path / name)))
    assert len({model.content_sha256 for model in found}) == 1
    model = found[0]
    np.testing.assert_array_equal(model.uv, larger.uv[kept])
    np.testing.assert_array_equal(model.landmarks, place[larger.landmarks])
    assert larger.regions is not None and larger.mirror is not None and larger.albedo_basis is not None
    np.testing.assert_array_equal(model.regions, larger.regions[kept])
    np.testing.assert_array_equal(model.mirror, place[larger.mirror[kept]])
    np.testing.assert_array_equal(model.albedo_basis, larger.albedo_basis[kept])
    np.testing.assert_array_equal(model.mouth_triangles, place[larger.mouth_triangles])
    np.testing.assert_allclose(model.shape_std, larger.shape_std, rtol=1e-5)
    assert model.sources[larger.name] == larger.content_sha256
    assert {"kept.npy"} <= set(found[1].sources)


def test_completed_keeps_what_the_files_bring(larger: MorphableModel) -> None:
    own = {"regions": np.full(1681, 5), "mirror": np.full(1681, -1), "landmarks": np.arange(100, 168),
           "albedo_mean": np.full((1681, 3), 9.0)}  # fmt: skip
    model = completed(bare(larger, **own), Supplements(uv_from=larger))
    for name, value in own.items():
        np.testing.assert_array_equal(getattr(model, name), value, err_msg=name)
    assert model.albedo_basis is None
    np.testing.assert_array_equal(model.uv, larger.uv)


def test_standard_deviations_are_carried_only_where_the_components_are_the_same(larger: MorphableModel) -> None:
    kept = kept_vertices()
    scaled = replace(bare(larger, kept), shape_basis=larger.shape_basis[kept][:, :, :4] * 1000.0, shape_std=np.ones(4))
    model = completed(scaled, Supplements(uv_from=larger))
    np.testing.assert_allclose(model.shape_std, larger.shape_std[:4] / 1000, rtol=1e-4)
    for changed in (
        replace(scaled, shape_basis=scaled.shape_basis[:, :, ::-1]),
        replace(scaled, shape_basis=-scaled.shape_basis),
        replace(scaled, shape_basis=np.zeros((len(kept), 3, 4))),
    ):
        assert (completed(changed, Supplements(uv_from=larger)).shape_std == 1).all()
    stated = replace(scaled, shape_std=np.full(4, 2.0))
    assert (completed(stated, Supplements(uv_from=larger)).shape_std == 2).all()


def test_completed_of_another_face_or_bad_indices_is_refused(larger: MorphableModel, tmp_path: Path) -> None:
    kept = kept_vertices()
    small, path = bare(larger, kept), tmp_path / "kept.npy"
    with pytest.raises(
        InputError, match=r"uv_from: toy has 1681 vertices, up to 1 mm from the 1369.*argument `indices`"
    ):
        completed(replace(small, mean=small.mean + [0, 0, 1000]), Supplements(uv_from=larger))
    np.save(path, kept[:-1])
    with pytest.raises(InputError, match=r"kept\.npy: 1368 numbers, expected 1369, one per vertex of a\.file"):
        completed(small, Supplements(uv_from=larger, indices=path))
    np.save(path, kept + 1000)
    with pytest.raises(InputError, match=r"kept\.npy: names vertex 2596, expected 0 to 1680, those of toy"):
        completed(small, Supplements(uv_from=larger, indices=path))
    with pytest.raises(InputError, match=r"kept\.npy: indices without uv_from or uv"):
        completed(small, Supplements(indices=path))


def test_completed_of_vertices_in_another_order_is_refused(larger: MorphableModel, tmp_path: Path) -> None:
    kept, rng = kept_vertices(), np.random.default_rng(5)
    small, path = bare(larger, kept), tmp_path / "kept.npy"
    for numbers, message in (
        (kept + 1, r"kept\.npy: edges .* differ by \d+% .*the numbers seem to be \+1 off: text and \.npy count from 0"),
        (kept - 1, r"the numbers seem to be -1 off"),
        (rng.permutation(kept), r"differ altogether .*, expected the same mesh; is the order another\?"),
        (np.zeros(len(kept), int), r"differ altogether"),
    ):
        np.save(path, numbers)
        with pytest.raises(InputError, match=message):
            completed(small, Supplements(uv_from=larger, indices=path))
    same = completed(small, Supplements(uv_from=larger))
    order = rng.permutation(same.n_vertices)
    place = np.argsort(order)
    names = ("mean", "basis", "uv", "regions", "albedo_mean", "albedo_basis")
    arrays = {name: array if array is None else array[order] for name in names for array in [getattr(same, name)]}
    other = replace(
        same, **arrays, triangles=place[same.triangles], landmarks=place[same.landmarks], mirror=None,
        mouth_triangles=same.mouth_triangles[:0],
    )  # fmt: skip
    with pytest.raises(InputError, match=r"uv_from: edges between the vertices of a differ .* is the order another"):
        completed(small, Supplements(uv_from=other))
    wider = replace(small, mean=small.mean * 1.1 + np.sin(small.mean / 2e4) * 500)  # another face of the same mesh
    assert np.array_equal(completed(wider, Supplements(uv_from=same)).uv, same.uv)


@pytest.mark.slow
def test_completed_takes_landmarks_from_each_kind_of_file(larger: MorphableModel, tmp_path: Path) -> None:
    marks = larger.landmarks
    (tmp_path / "a.txt").write_text("# iBUG\n" + ", ".join(map(str, marks)))
    np.save(tmp_path / "a.npy", marks.astype(float))
    about = {"idx": np.arange(1, 69), "trimIndex": np.arange(1, 1682), "keypoints": marks[None] + 1.0, "other": 1}
    sio.savemat(tmp_path / "a.mat", about)
    (tmp_path / "a.anl").write_text("%68 Landmark points\n" + "\n".join(map(str, marks + 1)))
    for name in ("a.txt", "a.npy", "a.mat", "a.anl"):
        model = completed(bare(larger, uv=larger.uv), Supplements(landmarks=tmp_path / name))
        np.testing.assert_array_equal(model.landmarks, marks, err_msg=name)
        assert name in model.sources
    np.save(tmp_path / "a.npy", marks + 1000)
    with pytest.raises(InputError, match=r"a\.npy: names vertex \d+, expected 0 to 1680, those of a\.file"):
        completed(bare(larger), Supplements(landmarks=tmp_path / "a.npy"))


def test_landmark_file_of_the_basel_model_counts_from_1(reference: Path) -> None:
    marks = read_landmarks(reference / "bfm_parts/Landmarks68_BFM.anl")
    assert marks.shape == (68,) and marks[0] == 22142 and marks.max() < 53490


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "1 2 3", "3 numbers, expected 68: the iBUG points' vertices"),
        ("a.anl", "%68\n1 2", "2 numbers, expected 68: the iBUG points' vertices"),
        ("a.anl", "-1 1", "-1 to 1, expected vertex numbers, which count from 0"),
        ("a.anl", "%68\n0 1", "0 to 1, expected vertex numbers, which count from 1"),
        ("a.txt", "-1 1", "-1 to 1, expected vertex numbers, which count from 0"),
        ("a.npy", np.full(68, 0.5), "not all whole"),
        ("a.npy", np.full(68, np.nan), "not all whole"),
        ("a.npy", np.ones(68, bool), "numbers of type bool"),
        ("a.npy", b"\x93NUMPY", "damaged .npy header.*expected a list of vertex numbers"),
        (
            "a.mat",
            {"x": np.ones(3), "y": np.ones(3)},
            "holds x, y, expected one list of .*, named keypoints",
        ),
        ("a.mat", {"x": "text"}, "x is .*, expected a vector or matrix of real numbers"),
        ("a.mat", b"text", "not a readable MATLAB file"),
        ("a.npy", None, "cannot be read"),
        ("a.txt", None, "cannot be read"),
    ],
)
def test_bad_list_of_vertices_is_named(tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = tmp_path / name
    if isinstance(content, np.ndarray):
        np.save(path, content)
    elif isinstance(content, dict):
        sio.savemat(path, content)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=rf"{name}: .*{message}"):
        read_landmarks(path)


@given(st.lists(st.integers(0, 2**31 - 2), max_size=30))
def test_list_of_vertices_is_the_same_in_each_kind_of_file(tmp_path_factory: Any, numbers: list[int]) -> None:
    folder = tmp_path_factory.mktemp("lists")
    (folder / "a.txt").write_text("\n".join(map(str, numbers)))
    (folder / "a.anl").write_text("% MATLAB's\n" + "\n".join(str(n + 1) for n in numbers))
    (folder / "python.anl").write_text("\n".join(map(str, numbers)))
    np.save(folder / "a.npy", np.array(numbers, np.int64))
    sio.savemat(folder / "a.mat", {"anything": np.array([numbers], float) + 1})
    for name in ("a.txt", "a.anl", "python.anl", "a.npy", "a.mat"):
        assert read_vertex_numbers(folder / name).tolist() == numbers, name


def test_uv_of_an_obj_that_lacks_triangles_of_the_model_is_refused(larger: MorphableModel, tmp_path: Path) -> None:
    n_faces, kept = np.bincount(larger.triangles.ravel()), np.ones(len(larger.triangles), bool)
    for k, corners in enumerate(np.asarray(larger.triangles)):
        if k % 20 == 0 and (n_faces[corners] > 2).all():  # no vertex is left without one
            kept[k], n_faces[corners] = False, n_faces[corners] - 1
    write_halves(tmp_path / "a.obj", larger, kept)
    with pytest.raises(InputError, match=rf"a\.obj: {kept.sum()} triangles, the model has {len(kept)}, expected"):
        completed(bare(larger, landmarks=larger.landmarks), Supplements(uv=tmp_path / "a.obj"))


@pytest.mark.parametrize("by_indices", [False, True])
def test_uv_of_a_larger_model_with_seams_repeat_the_vertices_on_them(
    larger: MorphableModel, tmp_path: Path, by_indices: bool
) -> None:
    write_halves(tmp_path / "a.obj", larger)
    seamed = completed(bare(larger, landmarks=larger.landmarks), Supplements(uv=tmp_path / "a.obj"))
    kept = kept_vertices()
    np.save(tmp_path / "kept.npy", kept)
    model = completed(
        bare(larger, kept), Supplements(uv_from=seamed, indices=tmp_path / "kept.npy" if by_indices else None)
    )
    n, middle = len(kept), np.flatnonzero(np.isclose(larger.uv[kept, 0], 0.5))
    assert model.n_vertices == n + len(middle)
    np.testing.assert_array_equal(np.sort(model.mean[n:, 1]), np.sort(model.mean[middle, 1]))
    np.testing.assert_array_equal(model.landmarks, place_of(kept, 1681)[larger.landmarks])
    assert np.ptp(model.uv[model.triangles], axis=1)[:, 0].max() < 0.02  # no triangle from one chart to the other
    np.testing.assert_allclose(model.uv[:n, 1], larger.uv[kept, 1], atol=1e-12)


def test_indices_choose_rows_of_uv_also_if_these_are_as_many_as_the_vertices(
    larger: MorphableModel, tmp_path: Path
) -> None:
    order = np.random.default_rng(0).permutation(larger.n_vertices)
    np.save(tmp_path / "uv.npy", larger.uv[order])
    np.save(tmp_path / "order.npy", np.argsort(order))
    given = bare(larger, landmarks=larger.landmarks)
    model = completed(given, Supplements(uv=tmp_path / "uv.npy", indices=tmp_path / "order.npy"))
    np.testing.assert_array_equal(model.uv, larger.uv)
    kept = kept_vertices()
    np.save(tmp_path / "own.npy", larger.uv[kept] / 2)
    np.save(tmp_path / "kept.npy", kept)
    both = Supplements(uv=tmp_path / "own.npy", uv_from=larger, indices=tmp_path / "kept.npy")
    np.testing.assert_array_equal(completed(bare(larger, kept), both).uv, larger.uv[kept] / 2)


def test_uv_of_each_kind_of_file_replaces_that_of_the_model(larger: MorphableModel, tmp_path: Path) -> None:
    kept = kept_vertices()
    uv = larger.uv[:, ::-1]  # u and v exchanged: other UV than the model's
    np.save(tmp_path / "a.npy", uv[kept])
    np.save(tmp_path / "all.npy", uv)
    np.save(tmp_path / "kept.npy", kept)
    sio.savemat(tmp_path / "a.mat", {"UV": uv[kept].T})
    small = bare(larger, kept, landmarks=place_of(kept, 1681)[larger.landmarks], uv=larger.uv[kept])
    write_obj(tmp_path / "a.obj", small.mean, small.triangles, uv=uv[kept], frame="raw")
    for name in ("a.npy", "a.mat", "a.obj", "all.npy"):
        indices = tmp_path / "kept.npy" if name == "all.npy" else None
        model = completed(small, Supplements(uv=tmp_path / name, indices=indices))
        np.testing.assert_allclose(model.uv, uv[kept], atol=1e-6, err_msg=name)
        assert name in model.sources


def write_halves(path: Path, model: MorphableModel, kept: Any = slice(None)) -> None:
    """The patch's left and right halves as two charts, far apart: of the middle's vertices, each is in both."""
    triangles = np.asarray(model.triangles)[kept]
    right = model.mean[triangles].mean(axis=1)[:, 0] > 0
    lines = ["v {} {} {}".format(*point) for point in model.mean]
    for chart in (0, 1):
        lines += [f"vt {0.4 * u + 0.5 * chart} {v}" for u, v in model.uv]
    for corners, chart in zip(triangles, right, strict=True):
        lines.append("f " + " ".join(f"{v + 1}/{v + 1 + 1681 * int(chart)}" for v in corners))
    path.write_text("\n".join(lines))


def test_uv_of_an_obj_with_a_seam_repeat_its_vertices(larger: MorphableModel, tmp_path: Path) -> None:
    write_halves(tmp_path / "a.obj", larger)
    given = bare(larger, landmarks=larger.landmarks, mirror=larger.mirror, albedo_mean=larger.albedo_mean)
    model = completed(given, Supplements(uv=tmp_path / "a.obj"))
    middle = np.flatnonzero(np.isclose(larger.uv[:, 0], 0.5))
    n = larger.n_vertices
    assert model.n_vertices == n + len(middle)
    np.testing.assert_array_equal(model.mean[n:], larger.mean[middle])
    np.testing.assert_array_equal(model.basis[n:], larger.basis[middle])
    np.testing.assert_array_equal(model.landmarks, larger.landmarks)
    assert model.mirror is not None and (model.mirror[n:] == -1).all()
    np.testing.assert_array_equal(model.mirror[:n], larger.mirror)
    gap = (model.uv[model.triangles].max(axis=1) - model.uv[model.triangles].min(axis=1))[:, 0]
    assert gap.max() < 0.02  # none from one chart to the other
    a, b, c = (model.mean[model.triangles[:, k]].astype(float) for k in range(3))
    assert np.cross(b - a, c - a)[:, 2].sum() < 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.npy",
            np.ones((3, 2)),
            "3 UV, expected 1681, one per vertex; those of a larger .* argument `indices`",
        ),
        ("a.npy", np.ones((1681, 3)), r"float64 \(1681, 3\), expected UV \(n, 2\)"),
        ("a.npy", np.full((1681, 2), 1.5), "UV of 1.5 to 1.5, expected 0 to 1"),
        ("a.npy", np.full((1681, 2), np.nan), "vertex 0 has no UV"),
        ("a.npy", b"\x93NUMPY\1", "damaged .npy header"),
        ("a.npy", None, "cannot be read"),
        ("a.mat", {"x": 1}, "variable UV is missing"),
        ("a.mat", {"UV": np.ones((3, 3))}, r"UV is float64 \(3, 3\), expected"),
        (
            "a.obj",
            b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
            "names no texture coordinates|3 UV, expected 1681|expected 1/1 2/2 3/3",
        ),
        (
            "a.obj",
            b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/2 3/1\n",
            "name texture coordinates that do not exist, expected 1 to 1",
        ),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0\nf 1/1 2/1 3/1\n", "'vt 0' names no texture coordinates"),
        (
            "a.obj",
            b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/x\n",
            "'f 1/1 2/1 3/x' names no texture coordinates",
        ),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n", "3 UV, expected 1681"),
        ("a.txt", b"1 2", "a name that ends in .txt, expected UV as .npy, .mat, .obj"),
    ],
)
def test_bad_uv_file_is_named(larger: MorphableModel, tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = tmp_path / name
    if isinstance(content, np.ndarray):
        np.save(path, content)
    elif isinstance(content, dict):
        sio.savemat(path, content)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: .*{message}"):
        completed(bare(larger, landmarks=larger.landmarks), Supplements(uv=path))


def test_uv_of_an_obj_of_another_mesh_are_refused(larger: MorphableModel, tmp_path: Path) -> None:
    other = np.random.default_rng(0).permutation(larger.n_vertices)[larger.triangles]
    write_obj(tmp_path / "a.obj", larger.mean, other, uv=larger.uv, frame="raw")
    with pytest.raises(InputError, match=r"a\.obj: its faces join other vertices than the model's triangles do"):
        completed(bare(larger, landmarks=larger.landmarks), Supplements(uv=tmp_path / "a.obj"))
    write_obj(tmp_path / "a.obj", larger.mean, larger.triangles[:-300], uv=larger.uv, frame="raw")
    with pytest.raises(InputError, match=r"a\.obj: vertex \d+ has no UV, expected UV of every vertex"):
        completed(bare(larger, landmarks=larger.landmarks), Supplements(uv=tmp_path / "a.obj"))


def test_uv_of_an_obj_with_very_many_uv_of_a_vertex_are_refused(larger: MorphableModel, tmp_path: Path) -> None:
    """Of each vertex that is repeated, all components are."""
    corners = np.tile(larger.triangles, (2, 1))
    uv = np.random.default_rng(0).uniform(size=(corners.size, 2)).round(5)
    lines = [f"v {x} {y} {z}" for x, y, z in larger.mean.tolist()] + [f"vt {u} {v}" for u, v in uv.tolist()]
    lines += [f"f {a + 1}/{3 * k + 1} {b + 1}/{3 * k + 2} {c + 1}/{3 * k + 3}" for k, (a, b, c) in enumerate(corners)]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"a\.obj: texture coordinates: \d+ for \d+ vertices, expected one for each"):
        completed(bare(larger, landmarks=larger.landmarks), Supplements(uv=tmp_path / "a.obj"))


def test_found_uv_leave_out_ears_and_other_parts_of_the_mesh(larger: MorphableModel) -> None:
    n = larger.n_vertices
    eyeball = larger.mean[[800, 801, 840]] - [0, 0, 5000]
    ear = larger.mean[[0]] - [9000, 9000, 0]
    mean = np.concatenate([larger.mean, eyeball, ear])
    corner = larger.triangles[np.isin(larger.triangles, [0]).any(axis=1)]
    assert len(corner)
    triangles = np.concatenate([[[n, n + 1, n + 2]], [[1, 0, n + 3]], larger.triangles])
    given = bare(larger, landmarks=larger.landmarks)
    zeros = np.zeros((4, 3, larger.n_shape)), np.zeros((4, 3, larger.n_expression))
    model = completed(
        replace(
            given, mean=mean, triangles=triangles,
            shape_basis=np.concatenate([given.shape_basis, zeros[0]]),
            expression_basis=np.concatenate([given.expression_basis, zeros[1]]),
        )
    )  # fmt: skip
    at_end = [set(corners) for corners in model.triangles[-8:].tolist()]
    assert {n, n + 1, n + 2} in at_end and {0, 1, n + 3} in at_end
    assert (build_atlas(model, 64).vertices < n).all()
    nearest = ((larger.mean[None] - eyeball[:, None]) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(model.uv[n : n + 3], model.uv[nearest])


def test_completed_of_a_closed_mesh_asks_for_uv(larger: MorphableModel) -> None:
    tetrahedron = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]) * 1e5
    closed = AssembledModel(
        "a.file", "a", points, np.zeros((4, 3, 0)), np.zeros((4, 3, 0)), np.ones(0), np.ones(0), tetrahedron,
        landmarks=np.arange(68) % 4,
    )  # fmt: skip
    with pytest.raises(
        ModelError,
        match=r"a\.file: brings no UV, and none are found for its mesh .*no "
        "boundary.*argument `uv`",
    ):
        completed(closed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": np.full((1681, 3), np.nan)}, "mean shape holds NaN or infinity, expected finite numbers"),
        (
            {"triangles": np.zeros((0, 3), int)},
            r"triangles are int64 \(0, 3\), expected \(m, 3\) vertices of 0 to 1680",
        ),
        ({"shape_basis": np.ones((4, 3, 2))}, r"shape basis is \(4, 3, 2\) and its standard deviations \(10,\)"),
        ({"expression_std": np.ones(2)}, r"expression basis is \(1681, 3, 5\) and its standard deviations \(2,\)"),
    ],
)
def test_completed_of_parts_that_do_not_fit_is_refused(larger: MorphableModel, changes: Any, message: str) -> None:
    with pytest.raises(ModelError, match=rf"a\.file: {message}"):
        completed(replace(bare(larger, landmarks=larger.landmarks), **changes))


def test_triangles_are_turned_as_the_basel_models_are(larger: MorphableModel) -> None:
    given = bare(larger, landmarks=larger.landmarks, uv=larger.uv)
    turned = replace(given, triangles=np.asarray(given.triangles)[:, ::-1])
    found = [completed(item).triangles for item in (given, turned)]
    for triangles in found:
        a, b, c = (larger.mean[triangles[:, k]].astype(float) for k in range(3))
        assert np.cross(b - a, c - a)[:, 2].sum() < 0  # clockwise, y up, z toward the viewer
    assert {frozenset(t) for t in found[0].tolist()} == {frozenset(t) for t in found[1].tolist()}


def test_mirror_is_found_by_connectivity_or_by_place(larger: MorphableModel) -> None:
    rng = np.random.default_rng(0)
    cut = np.asarray(larger.triangles)[rng.permutation(len(larger.triangles))[:2500]]  # full of holes: no connectivity
    for triangles in (larger.triangles, cut):
        given = replace(bare(larger, landmarks=larger.landmarks, uv=larger.uv), triangles=triangles)
        model = completed(given)
        assert model.mirror is not None and larger.mirror is not None
        has = model.mirror >= 0
        assert has.mean() > 0.9
        np.testing.assert_array_equal(model.mirror[has], larger.mirror[has])
    skewed = larger.mean + np.stack([larger.mean[:, 1] ** 2 / 1e5, *np.zeros((2, 1681))], axis=1)
    lopsided = replace(bare(larger, landmarks=larger.landmarks, uv=larger.uv), mean=skewed, triangles=cut)
    assert completed(lopsided).mirror is None


def test_convert_of_files_in_any_order_is_that_of_named_ones(tmp_path: Path, larger: MorphableModel) -> None:
    write_bfm_files(tmp_path, larger)
    named = {"bfm": "01_MorphableModel.mat", "expression": "Model_Expression.mat", "info": "model_info.mat",
             "uv": "BFM_UV.mat", "mouth": "Model_tri_mouth.mat"}  # fmt: skip
    paths = {part: tmp_path / name for part, name in named.items()}
    expected = convert_model(tmp_path / "a.h5", basel=BaselFiles(**paths)).file.read_bytes()
    assert convert_model(tmp_path / "b.h5", *list(paths.values())[::-1]).file.read_bytes() == expected


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (["BFM_UV.mat", "model_info.mat"], {},
         "model_info.mat: not all files of the Basel Face Model 2009, expected 01_MorphableModel.mat"),
        (["BFM_UV.mat", "BFM_UV.mat"], {}, "a second file for argument `uv`, expected one beside .*BFM_UV.mat"),
        (["bfm_noneck_v3.pkl", "BFM_UV.mat"], {}, "bfm_noneck_v3.pkl: not one of the files of the Basel Face Model"),
        (["bfm_noneck_v3.pkl"], {"keep_all": True}, "keep_all: given with .*expected the files of the Basel Face"),
        (["toy.h5"], {"landmarks": "toy.h5"}, "landmarks: given with .*toy.h5, expected it with the file of another"),
        (["BFM.mat"], {"uv_from": "toy.h5"}, "uv_from: given with .*BFM.mat, expected it with the file of another"),
        (["BFM.mat"], {"keep_all": True}, "keep_all: given with .*BFM.mat, expected the files of the Basel Face"),
        ([], {}, "files: none, expected a model's file or folder, or those of .*01_MorphableModel.mat, Model_Expr"),
        (["01_MorphableModel.mat", "Model_Expression.mat", "model_info.mat", "BFM_UV.mat"], {"indices": "toy.h5"},
         "indices: given with the files of the Basel Face Model 2009"),
    ],
)  # fmt: skip
def test_convert_of_files_that_do_not_go_together_is_refused(
    tmp_path: Path, larger: MorphableModel, files: list[str], options: dict[str, Any], message: str
) -> None:
    write_bfm_files(tmp_path, larger)
    write_tddfa(tmp_path, larger)
    save_model(larger, tmp_path / "toy.h5")
    face3d_files(larger, tmp_path)
    keep_all = options.pop("keep_all", False)
    given = Supplements(**{name: tmp_path / value for name, value in options.items()})
    with pytest.raises(InputError, match=message):
        convert_model(tmp_path / "out.h5", *(tmp_path / name for name in files), supplements=given, keep_all=keep_all)
    assert not (tmp_path / "out.h5").exists()


def test_convert_of_basel_files_and_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^basel: given with a\.pkl, expected one or the other"):
        convert_model(tmp_path / "out.h5", "a.pkl", basel=BaselFiles("a.mat", "b.mat", "c.mat", "d.mat"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BaselFiles(3, "b.mat", "c.mat", "d.mat"), "bfm: 3, expected the path of 01_MorphableModel.mat"),
        (lambda: BaselFiles("a.mat", "b.mat", "c.mat", None), "uv: None, expected the path of BFM_UV.mat"),
        (lambda: BaselFiles("a.mat", "b.mat", "c.mat", "d.mat", 3), "mouth: 3, expected the path of a file, or None"),
        (lambda: Supplements(uv=3), "uv: 3, expected the path of a file, or None"),
        (lambda: Supplements(uv_from=3), "uv_from: 3, expected a model, the path of its file, or None"),
    ],
)
def test_files_that_are_no_paths_are_refused_by_name(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        make()


def test_completed_takes_the_larger_model_itself(larger: MorphableModel) -> None:
    with pytest.raises(InputError, match=r"^uv_from: toy\.h5, expected the model itself; uvgen\.load_model reads it"):
        completed(bare(larger), Supplements(uv_from="toy.h5"))


def test_convert_of_one_file_takes_whole_models_as_they_are(tmp_path: Path, larger: MorphableModel) -> None:
    save_model(larger, tmp_path / "toy.h5")
    assert convert_model(tmp_path / "a.h5", tmp_path / "toy.h5").model.content_sha256 == larger.content_sha256
    path = face3d_files(larger, tmp_path)
    assert convert_model(tmp_path / "b.h5", path).model.content_sha256 == load_model(path).content_sha256
    with pytest.raises(ModelError, match="no such file, expected a model"):
        convert_model(tmp_path / "d.h5", tmp_path / "missing.pkl")
