"""Meshes of other programs, read in the order and the number of their files' vertices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen.errors import MeshFileError
from uvgen.meshes.obj import read_obj_vertices, read_textured_obj
from uvgen.meshes.read import _any_obj, _plain_obj, read_mesh
from uvgen.rasterize import write_obj, write_ply

VERTICES = np.array([[0, 0, 1.5], [4, 0, 2], [0, 3, -1], [4, 3, 0.25], [9, 9, 9]])  # no triangle names the last
TRIANGLES = np.array([[0, 1, 2], [3, 2, 1], [0, 2, 3]])
V = "".join(f"v {x} {y} {z}\n" for x, y, z in VERTICES)


def check(path: Path) -> None:
    vertices, triangles = read_mesh(path)
    assert vertices.dtype == np.float64 and triangles.dtype == np.int32
    np.testing.assert_array_equal(vertices, VERTICES)
    np.testing.assert_array_equal(triangles, TRIANGLES)


OBJ = {
    "plain": V + "f 1 2 3\nf 4 3 2\nf 1 3 4\n",
    "two materials, groups and objects": (
        f"mtllib a.mtl\no one\n{V}usemtl l\ng left\nf 1 2 3\nusemtl r\ng right\nf 4 3 2\no two\nusemtl l\nf 1 3 4\n"
    ),
    "corners with texture and normals": (
        V + "vt 0 0\nvt 1 0\nvt 0 1\nvt 0.5 0.5\nvn 0 0 1\nf 1/1/1 2/2/1 3/3/1\nf 4//1 3//1 2//1\nf 1/4 3/2 4/1\n"
    ),
    "negative indices": V + "f -5 -4 -3\nf -2 -3 -4\nf -5/-1 -3/-1 -2/-1\n",
    "faces between vertices": (
        "".join(V.splitlines(keepends=True)[:3]) + "f 1 2 3\n" + "".join(V.splitlines(keepends=True)[3:])
        + "f -2 3 2\nf 1 3 4\n"
    ),
    "colors and weights": (
        "".join(line.rstrip() + " 0.5 0.25 1\n" for line in V.splitlines()[:3])
        + "".join(line + " 1.0\n" for line in V.splitlines()[3:]) + "f 1 2 3\nf 4 3 2\nf 1 3 4\n"
    ),
    "comments, tabs, blank lines, smoothing, lines, points": (
        "# a\n\n" + V.replace(" ", "\t") + "  s off\nl 1 2\np 1\nf 1 2 3 # first\n\tf 4  3 2\nf 1 3 4"
    ),
    "polygons by their older name": V + "f 1 2 3\nfo 4 3 2\nfo 1 3 4\n",
    "lines that go on": V + "f 1 \\\n2 3\nf 4 3 \\\n\\\n2\nf\\\n1 3 4\n",
    "comments, names and paths that end in a backslash": (
        f"# D:\\scans\\\n{V}mtllib D:\\scans\\\nf 1 2 3 # first \\\nf 4 3 2\no \\\nf 1 3 \\\n4 # last \\\n# end\\"
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", ["#", "mtllib", "usemtl", "o", "g", "vn 0 0 1 #"])
def test_lines_after_a_backslash_at_the_end_of_names_are_read_by_all_readers(tmp_path: Path, key: str) -> None:
    path, name = tmp_path / "a.obj", f"{key} D:\\scans\\\n"
    path.write_text(f"{name}v 0 0 1\nv 1 \\\n 0 1\nv 0 1 1\n{name}vt 0 0\nvt 1 \\\n0\nvt 0 1\n{name}f 1/1 2/2 3/3\n")
    vertices, triangles, corner_uv = read_textured_obj(path)
    np.testing.assert_array_equal(vertices, [[0, 0, 1], [1, 0, 1], [0, 1, 1]])
    np.testing.assert_array_equal(read_obj_vertices(path)[0], vertices)
    np.testing.assert_array_equal(corner_uv, [[[0, 0], [1, 0], [0, 1]]])
    assert triangles.tolist() == [[0, 1, 2]]


def test_all_readers_of_obj_take_fo_for_f(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(V + "vt 0 0\nvt 1 0\nvt 0 1\nfo 1/1 \\\n2/2 3/3\nf 4/1 3/3 2/2\n")
    assert read_textured_obj(tmp_path / "a.obj")[1].tolist() == [[0, 1, 2], [3, 2, 1]]
    assert [line.split()[1:] for line in read_obj_vertices(tmp_path / "a.obj")[1].splitlines()] == [[*"123"], [*"432"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", OBJ)
def test_read_obj_of_each_kind_keeps_the_order(tmp_path: Path, kind: str, end: str) -> None:
    (tmp_path / "a.obj").write_bytes(OBJ[kind].replace("\n", end).encode())
    check(tmp_path / "a.obj")


@pytest.mark.parametrize(
    "head",
    [
        b"# caf\xe9\n",
        b"g caf\xc3\xa9\n",
        b"\xef\xbb\xbf# mark\n",
        b"# bell \x07\n",
        b"usemtl \x93skin\x94\n",
        b"#" * 9000 + b"\n",
    ],
)
def test_read_obj_with_bytes_of_another_encoding_is_read(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.obj").write_bytes(head + OBJ["plain"].encode())
    check(tmp_path / "a.obj")


def test_read_obj_in_utf_16_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_bytes(OBJ["plain"].encode("utf-16"))
    check(tmp_path / "a.obj")


def test_read_obj_cuts_polygons_from_their_first_corner(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(V + "f 1 2 4 3\nf 1 2 3 4 5\n")
    np.testing.assert_array_equal(
        read_mesh(tmp_path / "a.obj")[1], [[0, 1, 3], [0, 3, 2], [0, 1, 2], [0, 2, 3], [0, 3, 4]]
    )


@given(
    st.lists(st.tuples(*3 * [st.floats(-1e6, 1e6)]), min_size=3, max_size=9),
    st.lists(st.tuples(*3 * [st.integers(1, 3)]), min_size=1, max_size=9),
    st.sampled_from(["{}", "{}/1", "{}//2", "{}/1/2"]),
)
def test_both_readers_of_obj_agree(points: list[tuple[float, ...]], corners: list[tuple[int, ...]], form: str) -> None:
    """The quick one for what most programs write, and the one that goes line by line."""
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in points] + ["vt 0 0", "vn 0 0 1", "g a"]
    text = "\n".join(lines + ["f " + " ".join(form.format(k) for k in three) for three in corners] + [""])
    quick, thorough = _plain_obj(text), _any_obj(text, Path("a.obj"))
    assert quick is not None
    for a, b, expected in zip(quick, thorough, (np.array(points), np.array(corners) - 1), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, expected)
        np.testing.assert_array_equal(b, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v 0,5 1 2\n", "line 1 is 'v 0,5 1 2'"),
        (V + "v 1_0 1 2\nf 1 2 3\n", "line 6 is 'v 1_0 1 2' .no number: '1_0'"),
        (V + "v 1 2 \u0663\nf 1 2 3\n", "no number"),
        (V + "f 1 2 0_3\n", "line 6 is 'f 1 2 0_3' .no number: '0_3'"),
        (V + "f 1 2\n", "line 6 is 'f 1 2' .2 corners"),
        (V + "f 1 2 x\n", "line 6 is"),
        (V + "# a \\\nf 1 2 3\nf 0 1 2\n", "line 8 is 'f 0 1 2' .vertex 0; they are counted from 1"),
        (V + "f 1 2 6\n", "triangles name vertices 0 to 5, expected 0 to 4"),
        (V + "f 1 2 -6\n", "triangles name vertices -1 to 1, expected 0 to 4"),
        (V, "5 vertices and no triangles in it, expected a mesh; a point cloud has no surface"),
        ("# nothing\n", "0 vertices and no triangles in it, expected a mesh$"),
        ("", "not a readable mesh: an empty file, expected an OBJ, PLY or OFF mesh"),
        (V + "v nan 1 2\nf 1 2 3\n", "vertex 5 is NaN or infinite"),
        (V + "f 1 2 3\n\0\n", "not a readable mesh: a binary file"),
        ("<html><body>404", "not a readable mesh: an HTML page"),
        ("ply\nformat ascii 1.0\n", "a PLY mesh, expected by its name .obj; rename it"),
    ],
)
def test_read_obj_that_is_damaged_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.obj").write_text(text)
    with pytest.raises(MeshFileError, match=rf"a\.obj: .*{message}"):
        read_mesh(tmp_path / "a.obj")


def test_read_mesh_gives_what_write_obj_wrote(tmp_path: Path) -> None:
    write_obj(tmp_path / "a b.obj", VERTICES, TRIANGLES, colors=np.full((5, 3), 9), frame="raw")
    check(tmp_path / "a b.obj")


def test_read_mesh_of_ply_and_off_keeps_the_order(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    write_ply(tmp_path / "a.ply", VERTICES, TRIANGLES, colors=np.full((5, 3), 9), frame="raw")
    check(tmp_path / "a.ply")
    for name, options in (("ascii.ply", {"encoding": "ascii"}), ("binary.ply", {}), ("a.off", {})):
        data = trimesh.Trimesh(VERTICES, TRIANGLES, process=False).export(file_type=name[-3:], **options)
        (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
        check(tmp_path / name)


def test_read_mesh_of_ply_with_texture_seams_is_not_cut_at_them(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    faces = "".join(
        f"3 {a} {b} {c} 6 0.{k} 0 1 0 0 1\n" for k, (a, b, c) in enumerate(TRIANGLES.tolist())
    )  # a vertex has another place in the texture in each triangle
    head = "ply\nformat ascii 1.0\nelement vertex 5\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    head += "element face 3\nproperty list uchar int vertex_indices\nproperty list uchar float texcoord\nend_header\n"
    (tmp_path / "a.ply").write_text(head + V.replace("v ", "") + faces)
    check(tmp_path / "a.ply")


_HEAD = ["ply", "format ascii 1.0", "element vertex 5", *(f"property float {axis}" for axis in "xyz")]
_FACES = ["element face 3", "property list uchar int vertex_indices", "end_header"]


@pytest.mark.parametrize("swapped", [False, True])
def test_read_mesh_of_an_ascii_ply_with_textured_polygons_of_several_sizes_is_read(
    tmp_path: Path, swapped: bool
) -> None:
    pytest.importorskip("trimesh")
    lists = [
        ("uchar int vertex_indices", ["4 0 1 3 2", "3 0 2 3"]),
        ("uchar float texcoord", ["8" + " 0.5" * 8, "6" + " 0.5" * 6]),
    ]
    (of_first, first), (of_second, second) = lists[::-1] if swapped else lists
    head = [*_HEAD, "element face 2", f"property list {of_first}", f"property list {of_second}", "end_header"]
    rows = [f"{a} {b}" for a, b in zip(first, second, strict=True)]
    (tmp_path / "a.ply").write_text("\n".join([*head, *V.replace("v ", "").splitlines(), *rows, ""]))
    vertices, triangles = read_mesh(tmp_path / "a.ply")
    np.testing.assert_array_equal(vertices, VERTICES)
    assert {frozenset(corners) for corners in triangles.tolist()} == {
        frozenset(corners) for corners in ((0, 1, 3), (0, 3, 2), (0, 2, 3))
    }


def test_read_mesh_of_ply_with_empty_lines_passes_over_them(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    rows = [*V.replace("v ", "").split("\n"), *(f"3 {a} {b} {c}" for a, b, c in TRIANGLES.tolist())]
    for end in ("\n\n", "\r\n\r\n", "\n \t\n\n"):
        (tmp_path / "a.ply").write_bytes(end.join([*_HEAD, *_FACES, *filter(None, rows), ""]).encode())
        check(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "2 lines of element face, expected 3; is it cut short"),
        (lambda rows: rows[:4], "4 lines of element vertex, expected 5; is it cut short"),
        (lambda rows: [*rows[:-1], rows[-1][:-2]], "'3 0 2' in element face, expected 4 numbers"),
        (lambda rows: [*rows[:-1], "3"], "'3' in element face, expected 4 numbers"),
        (lambda rows: ["0 0", *rows[1:]], "'0 0' in element vertex, expected 3 numbers"),
        (lambda rows: [*rows, "3 0 1 2"], "1 row more than its header states"),
        (lambda rows: [*rows[:-1], "-3 0 2 3"], "'-3 0 2 3' in element face, expected the length of a list"),
        (lambda rows: [*rows[:-1], "3.5 0 2 3"], r"'3\.5 0 2 3' in element face, expected the length of a list"),
        (lambda rows: [*rows[:-1], "3 0 2.9 3"], r"'3 0 2\.9 3' in element face, expected the numbers of vertices"),
        (lambda rows: [*rows[:-1], "3 0 2 5"], "'3 0 2 5' in element face, expected the numbers of vertices, 0 to 4"),
        (lambda rows: [*rows[:-1], "3 0 2 4294967299"], ".* in element face, expected the numbers of vertices, 0 to 4"),
        (
            lambda rows: [*rows[:5], "3 0 1 2 0", "4 0 1 2 3", "3 0 2 3 0"],
            "rows of 5 numbers in element face, though its lists have different lengths",
        ),
        (
            lambda rows: [*rows[:5], "4 0 1 2 3", "3 0 1 2 0", "3 0 2 3 0"],
            "rows of 5 numbers in element face, though its lists have different lengths",
        ),
        (lambda rows: ["0 0 1,5", *rows[1:]], "'1,5' in row 1, expected numbers"),
        (lambda rows: [rows[0], "0 0 1.5D2", *rows[2:]], r"'1\.5D2' in row 2, expected numbers"),
        (lambda rows: ["0 0 1_0", *rows[1:]], "'1_0' in row 1, expected numbers"),
        (lambda rows: ["1 2 3\f4 5 6", *rows[1:]], ".* in row 1, expected numbers"),
        (lambda rows: ["1 2 3 \x1c 4 5 6", *rows[1:]], ".* in row 1, expected numbers"),
        (lambda rows: ["1 2 3\r4 5 6", *rows[1:]], "'' in row 1, expected numbers and ends of lines"),
    ],
)
def test_read_mesh_of_an_ascii_ply_with_other_rows_than_it_states_is_refused(
    tmp_path: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    pytest.importorskip("trimesh")
    rows = [*V.replace("v ", "").splitlines(), *(f"3 {a} {b} {c}" for a, b, c in TRIANGLES.tolist())]
    (tmp_path / "a.ply").write_bytes("\n".join([*_HEAD, *_FACES, *change(rows)]).encode())
    with pytest.raises(MeshFileError, match=rf"a\.ply: not a readable mesh \({message}"):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("kind", "end", "message"),
    [
        ("OFF", "3 0 1 2\n3 3 2 1\n", "2 lines of polygons, expected 3; is it cut short"),
        ("OFF", "3 0 1 2\n3 3 2 1\n3 0 2", "the polygon '3 0 2', expected 3 corners"),
        ("OFF", "3 0 1 2\n3 3 2 1\n3 0 2 3\n3 0 1 2", "1 row more than its 5 vertices and 3 polygons"),
        ("OFF", "3 0 1 2\n3 3 2 1\n-3 0 2 3", "the polygon '-3 0 2 3', expected how many corners it has"),
        ("OFF BINARY", "", "'BINARY', expected how many vertices, polygons and edges"),
        ("4OFF", "3 0 1 2\n3 3 2 1\n3 0 2 3", "4OFF, whose vertices have other coordinates than x, y and z"),
        ("nOFF", "3 0 1 2\n3 3 2 1\n3 0 2 3", "nOFF, whose vertices have other coordinates than x, y and z"),
        ("OFF", "3 0 1_0 2\n3 3 2 1\n3 0 2 3", "other characters than an OFF has"),
        ("OFF", "3 0 1 2\n3 3 2 1\f3 0 1 2\n3 0 2 3", "other characters than an OFF has"),
    ],
)
def test_read_mesh_of_an_off_that_lacks_polygons_or_has_other_vertices_is_refused(
    tmp_path: Path, kind: str, end: str, message: str
) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / "a.off").write_text(f"{kind}\n5 3 0\n" + V.replace("v ", "") + end)
    with pytest.raises(MeshFileError, match=rf"a\.off: not a readable mesh \({message}"):
        read_mesh(tmp_path / "a.off")


@pytest.mark.parametrize("surface", [True, False])
def test_read_mesh_whose_polygons_have_no_corners_is_not_taken_for_a_cloud(tmp_path: Path, surface: bool) -> None:
    """Nobody would compare the triangles of a registered mesh, and a scan would be registered without its surface."""
    pytest.importorskip("trimesh")
    rows = [*V.replace("v ", "").splitlines(), *["2 0 1"] * 3]
    (tmp_path / "a.ply").write_text("\n".join([*_HEAD, *_FACES, *rows]))
    (tmp_path / "a.off").write_text("\n".join(["OFF", "5 3 0", *rows]))
    for path in (tmp_path / "a.ply", tmp_path / "a.off"):
        with pytest.raises(MeshFileError, match=rf"{path.name}: (3 polygons stated, none of three corners|not a read)"):
            read_mesh(path, surface=surface)


@pytest.mark.parametrize("blanks", ["", " ", "\t "])
def test_read_mesh_of_an_ascii_ply_keeps_fractions_of_numbers_that_it_calls_whole(tmp_path: Path, blanks: str) -> None:
    pytest.importorskip("trimesh")
    rows = [*V.replace("v ", "").splitlines(), *(f"3 {a} {b} {c}" for a, b, c in TRIANGLES.tolist())]
    rows[1] = "0.5 -1.25 2.75"
    head = [line.replace("property float", f"{blanks}property int") for line in _HEAD]
    (tmp_path / "a.ply").write_text("\n".join([*head, *_FACES, *rows]))
    np.testing.assert_array_equal(read_mesh(tmp_path / "a.ply")[0][1], [0.5, -1.25, 2.75])


def test_read_mesh_of_an_ascii_ply_takes_all_that_programs_write_as_numbers(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    rows = ["0 0 +1.5", "4. -.0 2e0", "0\t3  -1.0E+00 ", "4 3 0.25", "nan -nan(ind) Infinity"]
    (tmp_path / "a.ply").write_bytes("\r\n".join([*_HEAD, "end_header", *rows]).encode())
    vertices, _ = read_mesh(tmp_path / "a.ply", surface=False, finite=False)
    np.testing.assert_array_equal(vertices[:4], VERTICES[:4])
    assert not np.isfinite(vertices[4]).any()


@pytest.mark.parametrize("kind", ["ply", "stl"])
def test_read_mesh_of_a_word_of_very_many_digits_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Tried in all ways to end it, it would take hours."""
    pytest.importorskip("trimesh")
    word = "1" * 1_000_000 + "x"
    vertices = f"vertex 0 0 {word}\n" * 3
    text = {
        "ply": "\n".join([*_HEAD, "end_header", *[f"0 0 {word}"] * 5, ""]),
        "stl": f"solid a\nfacet normal 0 0 1\nouter loop\n{vertices}endloop\nendfacet\nendsolid a\n",
    }[kind]
    (tmp_path / f"a.{kind}").write_text(text)
    with pytest.raises(MeshFileError):
        read_mesh(tmp_path / f"a.{kind}", surface=False)


@pytest.mark.parametrize("line", ["property list uchar int p{}", "property uchar p{}", "element e{} 0"])
def test_read_mesh_of_a_ply_with_thousands_of_properties_is_refused_at_once(tmp_path: Path, line: str) -> None:
    """Each list takes trimesh as long as all before it: 2000 in 61 kB took over a minute."""
    pytest.importorskip("trimesh")
    head = [text.replace("ascii", "binary_little_endian") for text in _HEAD]
    lines = [*head, *(line.format(k) for k in range(5000)), "end_header", ""]
    (tmp_path / "a.ply").write_bytes("\n".join(lines).encode() + bytes(1 << 16))
    with pytest.raises(MeshFileError, match="more than 4096 elements and properties, or than 64 lists"):
        read_mesh(tmp_path / "a.ply", surface=False)


def test_read_obj_vertices_of_a_line_of_blanks_takes_time_in_proportion_to_it(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(V + "f 1/1" + " " * 1_000_000 + "2/2 3 \t\nf 1 2 4")  # by squares: half an hour
    vertices, polygons = read_obj_vertices(tmp_path / "a.obj")
    np.testing.assert_array_equal(vertices, VERTICES)
    assert polygons == "f 1" + " " * 1_000_000 + "2 3\nf 1 2 4"


def test_read_mesh_of_a_ply_whose_comment_says_end_header_is_read(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    rows = [*V.replace("v ", "").splitlines(), *(f"3 {a} {b} {c}" for a, b, c in TRIANGLES.tolist())]
    (tmp_path / "a.ply").write_text("\n".join([*_HEAD[:2], "comment up to end_header", *_HEAD[2:], *_FACES, *rows]))
    check(tmp_path / "a.ply")


def test_read_mesh_of_triangles_without_vertices_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("V 1 2 3\nf 1 2 3\n")
    with pytest.raises(MeshFileError, match=r"a\.obj: no vertices in it, which its 1 triangle would name"):
        read_mesh(tmp_path / "a.obj")


@pytest.mark.parametrize("kind", ["OFF", "COFF", "STOFF", "NOFF", "  OFF"])
def test_read_mesh_of_off_with_more_numbers_per_vertex_passes_over_them(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("trimesh")
    more = " 1 1 1\n" if len(kind.strip()) > 3 else "\n"
    vertices = V.replace("v ", "").replace("\n", more)
    (tmp_path / "a.off").write_text(f"{kind}\n5 3 0 # counts\n\n{vertices}3 0 1 2 255 0 0\n# one\n3 3 2 1\n3 0 2 3")
    check(tmp_path / "a.off")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (["ply", "format binary_middle_endian 1.0", *_HEAD[2:]], "format binary_middle_endian, expected one of ascii"),
        (["ply", *_HEAD[2:]], "format none, expected one of ascii"),
        ([*_HEAD, *_HEAD[2:]], "element vertex is there twice"),
        ([*_HEAD, "property float x"], "property x of vertex is there twice"),
        (_HEAD[:-1], "no property z of vertices"),
        (_HEAD[:2], "no property x of vertices"),
        ([*_HEAD[:2], "element vertex -4", *_HEAD[3:]], "'element vertex -4', expected the name of an element and how"),
        ([*_HEAD[:2], "element vertex 0", *_HEAD[3:]], "no vertices in it"),
        (
            [*_HEAD[:2], "element q 0", "property half q", *_HEAD[2:]],
            "'property half q', expected a",
        ),
        ([*_HEAD[:2], "element q 0", "property float", *_HEAD[2:]], "'property float', expected a"),
        ([*_HEAD[:2], "element q 0", "property list float int q", *_HEAD[2:]], "'property list float int q', expected"),
        (
            [*_HEAD[:2], "element q 0", "property list uchar float vertex_index", *_HEAD[2:]],
            "'property list uchar float vertex_index', expected a property of numbers, or a list of whole ones",
        ),
        ([*_HEAD, "element tristrips 1", "property list int int vertex_indices"], "strips of triangles"),
    ],
)
def test_read_mesh_of_ply_whose_header_says_no_mesh_is_refused(tmp_path: Path, head: list[str], message: str) -> None:
    pytest.importorskip("trimesh")
    rows = [*V.replace("v ", "").split("\n"), *(f"3 {a} {b} {c}" for a, b, c in TRIANGLES.tolist()), ""]
    (tmp_path / "a.ply").write_text("\n".join([*head, *_FACES, *filter(None, rows), ""]))
    with pytest.raises(MeshFileError, match=rf"a\.ply: not a readable mesh \({message}"):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.stl", b"solid a\nfacet normal 0 0 1\n", "an STL holds no shared vertices.*; save the mesh as one"),
        ("a.stl", b"x".ljust(80) + (0).to_bytes(4, "little"), "an STL holds no shared vertices"),
        ("a.obj", b"solid a\nfacet normal 0 0 1\n", "an STL holds no shared vertices"),
        ("a.glb", b"glTF\2\0\0\0\0\0\0\0", "a GLB mesh, expected an OBJ, PLY or OFF mesh"),
        ("a.ply", b"\x93NUMPY\1\0", r"a NumPy \.npy array, expected an OBJ"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 9\nend_header\n", "not a readable mesh|the file states 9"),
        ("a.txt", b"text", r"a name that ends in \.txt, expected \.obj, \.ply, \.off"),
        ("._a.obj", b"\0\5\x16\7\0\2\0\0Mac OS X        ", "a macOS AppleDouble file"),
    ],
)
def test_read_mesh_of_something_else_says_what_it_is(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MeshFileError, match=message):
        read_mesh(tmp_path / name)


def test_read_mesh_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MeshFileError, match=r"gone\.obj: no such file"):
        read_mesh(tmp_path / "gone.obj")


@pytest.mark.parametrize("blank", ["", " ", "\t "])
def test_read_mesh_of_a_ply_whose_comment_names_a_picture_looks_for_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, blank: str
) -> None:
    path = tmp_path / "a.ply"
    lines = ["ply", "format ascii 1.0", f"{blank}comment TextureFile /etc/passwd", f"element vertex {len(VERTICES)}"]
    lines += [*(f"property float {axis}" for axis in "xyz"), "obj_info x", f"element face {len(TRIANGLES)}"]
    lines += ["property list uchar int vertex_indices", "end_header"]
    lines += [" ".join(map(str, row)) for row in VERTICES.tolist()]
    lines += [" ".join(map(str, [3, *row])) for row in TRIANGLES.tolist()]
    path.write_text("\n".join(lines) + "\n")
    check(path)
    assert not caplog.records


def test_read_mesh_of_a_binary_ply_with_polygons_of_several_sizes_is_refused(tmp_path: Path) -> None:
    """Where sizes add up, trimesh makes corners of what lies between them; it takes the first polygon's for all."""
    pytest.importorskip("trimesh")
    points = np.arange(60, dtype="f4").reshape(20, 3)
    for order, name in (("<", "little"), (">", "big")):
        for polygons in ([[0, 1, 2, 3], [4, 5, 6], [7, 8, 9, 10, 11]], [[0, 1, 2], [4, 5], [7, 8, 9, 10]]):
            lines = ["ply", f"format binary_{name}_endian 1.0", "element vertex 20"]
            lines += [*(f"property float {axis}" for axis in "xyz"), f"element face {len(polygons)}"]
            lines += ["property uchar flags", "property list int int vertex_indices", "end_header", ""]
            data = "\n".join(lines).encode() + points.astype(f"{order}f4").tobytes()
            for corners in polygons:
                data += b"\1" + np.array([len(corners), *corners], f"{order}i4").tobytes()
            (tmp_path / "a.ply").write_bytes(data)
            sizes = f"{len(polygons[0])} and of {len(polygons[1])}"
            with pytest.raises(MeshFileError, match=rf"a\.ply: .*lists of {sizes} numbers in element face; save it"):
                read_mesh(tmp_path / "a.ply")


def test_read_mesh_of_a_binary_ply_with_lists_of_one_size_is_read(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    lines = ["ply", "format binary_little_endian 1.0", "comment x", "element vertex 5"]
    lines += [*(f"property double {axis}" for axis in "xyz"), "property uchar red", "element face 3"]
    lines += ["property list uchar int vertex_indices", "property list uchar float texcoord", "end_header", ""]
    data = "\r\n".join(lines).encode()
    data += b"".join(row.astype("<f8").tobytes() + b"\7" for row in VERTICES)
    data += b"".join(b"\3" + row.astype("<i4").tobytes() + b"\6" + bytes(24) for row in TRIANGLES)
    (tmp_path / "a.ply").write_bytes(data)
    check(tmp_path / "a.ply")


@pytest.mark.parametrize("kind", ["uchar", "char", "short", "uint16", "int8"])
def test_read_mesh_of_an_ascii_ply_keeps_corners_that_its_type_cannot_hold(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("trimesh")
    n = 40_000
    text = "\n".join(["ply", "format ascii 1.0", f"element vertex {n}", *(f"property float {a}" for a in "xyz"),
                      "element face 1", f"property list uchar {kind} vertex_index", "end_header"])  # fmt: skip
    (tmp_path / "a.ply").write_text(text + "\n" + "0 0 0\n" * n + f"3 0 300 {n - 1}\n")
    assert read_mesh(tmp_path / "a.ply")[1].tolist() == [[0, 300, n - 1]]


def test_read_mesh_of_an_off_cuts_polygons_of_several_sizes_from_their_first_corner(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    rows = "".join(f"{k} {k * k} 1\n" for k in range(7))
    (tmp_path / "a.off").write_text(f"OFF 7 4 0\n{rows}3 0 1 2\n5 2 3 4 5 6 0.5 0.5 0.5\n4 0 1 2 3\n2 0 1\n")
    vertices, triangles = read_mesh(tmp_path / "a.off")
    assert vertices[:, 1].tolist() == [0, 1, 4, 9, 16, 25, 36]
    assert triangles.tolist() == [[0, 1, 2], [2, 3, 4], [2, 4, 5], [2, 5, 6], [0, 1, 2], [0, 2, 3]]


_MANY = 600_000  # triangles or rows, of a byte or two each


def _one_polygon_as_off() -> bytes:
    return b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n%d" % (_MANY + 2) + b" 0" * (_MANY + 2)


def _one_polygon_as_ply() -> bytes:
    head = ["ply", "format binary_little_endian 1.0", "element vertex 1", *(f"property uchar {axis}" for axis in "xyz")]
    head += ["element face 1", "property list uint uchar vertex_indices", "end_header", ""]
    return "\n".join(head).encode() + b"\0" * 3 + (_MANY + 2).to_bytes(4, "little") + bytes(_MANY + 2)


def _rows_of_another_element() -> bytes:
    head = [*_HEAD, *_FACES[:-1], f"element extra {_MANY}", "property uchar a", "end_header", V.replace("v ", "")]
    return "\n".join(head).encode() + b"3 0 1 2\n" * 3 + b"0\n" * _MANY


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.off", _one_polygon_as_off, "triangles"),
        ("a.ply", _one_polygon_as_ply, "triangles"),
        ("a.ply", _rows_of_another_element, "rows"),
    ],
)
def test_read_mesh_of_more_rows_or_triangles_than_a_mesh_of_its_size_has_is_refused(
    tmp_path: Path, name: str, content: Callable[[], bytes], what: str
) -> None:
    """Readers take hundreds of bytes for each, so that a file of tens of megabytes took gigabytes."""
    pytest.importorskip("trimesh")
    (tmp_path / name).write_bytes(content())
    with pytest.raises(MeshFileError, match=rf"not a readable mesh \(\d+ {what} in \d+ bytes"):
        read_mesh(tmp_path / name)
