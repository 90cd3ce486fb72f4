"""Seams of a texture cut open, and charts packed."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from uvgen.errors import InputError, MeshFileError
from uvgen.meshes.obj import read_obj_vertices, read_textured_obj
from uvgen.meshes.read import read_mesh
from uvgen.meshes.seams import pack_parts, split_seams


def slow_split(
    triangles: list[list[int]], corner_uv: list[list[tuple[float, float]]], n: int
) -> dict[int, list[tuple[float, float]]]:
    """All UV of each vertex, in the order in which triangles name them."""
    found: dict[int, list[tuple[float, float]]] = {k: [] for k in range(n)}
    for triangle, places in zip(triangles, corner_uv, strict=True):
        for vertex, place in zip(triangle, places, strict=True):
            if place not in found[vertex]:
                found[vertex].append(place)
    return found


MESHES = st.integers(1, 12).flatmap(
    lambda m: st.tuples(
        hnp.arrays(np.int32, (m, 3), elements=st.integers(0, 8)),
        hnp.arrays(np.int64, (m, 3, 2), elements=st.integers(-1, 2)),
    )
)


@given(mesh=MESHES)
def test_split_seams_gives_each_corner_its_uv_and_repeats_no_more_than_needed(
    mesh: tuple[NDArray[np.int32], NDArray[np.int64]],
) -> None:
    triangles, places = mesh
    split, uv, sources = split_seams(triangles, places / 4, 9)
    np.testing.assert_array_equal(uv[split], places / 4)
    whole = np.concatenate([np.arange(9), sources])
    np.testing.assert_array_equal(whole[split], triangles)
    slow = slow_split(triangles.tolist(), [[tuple(p) for p in t] for t in (places / 4).tolist()], 9)
    assert sources.tolist() == [k for k, found in slow.items() for _ in found[1:]]
    for k, found in slow.items():
        assert tuple(uv[k]) == (found[0] if found else (0, 0))
        assert [tuple(place) for place in uv[9:][sources == k]] == found[1:]


def test_split_seams_takes_rounded_uv_for_one() -> None:
    uv = np.array([[[0.1, 0.1], [0.2, 0.1], [0.1, 0.2]], [[0.1 + 1e-8, 0.1], [0.1, 0.2], [0.2, 0.1]]])
    split, _, sources = split_seams(np.array([[0, 1, 2], [0, 2, 1]]), uv, 3)
    assert not len(sources) and split.max() == 2


def test_split_seams_that_would_repeat_vertices_again_and_again_is_refused() -> None:
    rng, triangles = np.random.default_rng(0), np.tile([0, 1, 2], (9, 1))
    split, uv, sources = split_seams(triangles, rng.uniform(size=(9, 3, 2)), 3)
    assert len(sources) == 24 and len(uv) == 27 and split.max() == 26
    with pytest.raises(InputError, match="texture coordinates: 30 for 3 vertices, expected one for each and some more"):
        split_seams(np.tile([0, 1, 2], (10, 1)), rng.uniform(size=(10, 3, 2)), 3)


def test_pack_parts_keeps_parts_apart_and_stretches_each() -> None:
    rng = np.random.default_rng(0)
    uv, part = rng.uniform(-3, 5, (60, 2)), np.repeat([0, 2, 5], 20).astype(np.int32)
    packed = pack_parts(uv, part)
    assert packed.min() >= 0 and packed.max() <= 1
    boxes = [(packed[part == k].min(axis=0), packed[part == k].max(axis=0)) for k in (0, 2, 5)]
    np.testing.assert_allclose(boxes[0], ([0, 0.125], [1, 1]), atol=1e-12)
    assert boxes[1][1][0] < boxes[2][0][0] and max(boxes[1][1][1], boxes[2][1][1]) < 0.125
    for k in (0, 2, 5):  # affine, axis by axis
        for axis in (0, 1):
            slope = np.polyfit(uv[part == k, axis], packed[part == k, axis], 1)
            np.testing.assert_allclose(np.polyval(slope, uv[part == k, axis]), packed[part == k, axis], atol=1e-12)


def test_pack_parts_of_one_part_fills_the_square() -> None:
    packed = pack_parts(np.array([[1.0, 2], [3, 2], [2, 4]]), np.zeros(3, np.int32))
    np.testing.assert_array_equal(packed, [[0, 0], [1, 0], [0.5, 1]])


TEXT = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0.5\n"
TEXT += "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvt .5 .5\nf 1/1 2/2/7 3/3 4/4\nf -4/-5 -2/-3 4/5\n"


def test_read_textured_obj_gives_each_corner_its_texture(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(TEXT)
    vertices, triangles, uv = read_textured_obj(tmp_path / "a.obj")
    np.testing.assert_array_equal(triangles, [[0, 1, 2], [0, 2, 3], [0, 2, 3]])
    np.testing.assert_array_equal(uv[0], [[0, 0], [1, 0], [1, 1]])
    np.testing.assert_array_equal(uv[2], [[0, 0], [1, 1], [0.5, 0.5]])
    np.testing.assert_array_equal(read_obj_vertices(tmp_path / "a.obj")[0], vertices)
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.obj")[0], vertices)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("4/4", "4"), "'f 1/1 2/2/7 3/3 4' names no texture"),
        (TEXT.replace("4/4", "4/9"), "texture coordinates that do not exist, expected 1 to 5"),
        (TEXT.replace("4/4", "4/0"), "texture coordinates that do not exist"),
        (TEXT.replace("4/4", "4/0") + "\nvt 1 1\n", "texture coordinates that do not exist"),
        (TEXT.replace("vt 0 0", "vt 0 inf"), "NaN, infinite or very large"),
        (TEXT.replace("vt 0 0", "vt 0"), "'vt 0' names no texture"),
        ("f 1 2 3", "no vertices in it, which its 1 triangle would name"),
    ],
)
def test_read_textured_obj_of_a_bad_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.obj").write_text(text)
    with pytest.raises(MeshFileError, match=rf"a\.obj: .*{message}"):
        read_textured_obj(tmp_path / "a.obj")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 vertices of 0 numbers"),
        ("v 1 2\n", "1 vertex of 2 numbers"),
        ("v 1 2 x\n", "not a readable mesh"),
        ("v 1 2 inf\n", "vertex 0 is NaN or infinite"),
    ],
)
def test_read_obj_vertices_of_a_bad_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.obj").write_text(text)
    with pytest.raises(MeshFileError, match=rf"a\.obj: .*{message}"):
        read_obj_vertices(tmp_path / "a.obj")
    with pytest.raises(MeshFileError, match=r"b\.obj: cannot be read"):
        read_obj_vertices(tmp_path / "b.obj")
