"""ICT-FaceKit: a folder of meshes in which all but one are differences."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.other_models import SIDE, patch, write_ict

from uvgen.errors import InputError, ModelError
from uvgen.models.formats import ict

N = SIDE * SIDE


def test_read_of_the_face_gives_the_differences_of_the_meshes(tmp_path: Path) -> None:
    folder = tmp_path / "ICT-FaceKit" / "FaceXModel"
    made = write_ict(folder)
    for path in (folder, folder.parent, folder / "generic_neutral_mesh.obj"):
        assert ict.recognizes(path)
    model = ict.read(folder.parent)
    neutral = made["generic_neutral_mesh"]
    np.testing.assert_allclose(model.mean, neutral * 1e4, atol=1e-3)
    for basis, names in (
        (model.shape_basis, ["identity000", "identity001", "identity002"]),
        (model.expression_basis, ["jawOpen", "mouthSmile_L"]),
    ):
        for k, name in enumerate(names):
            # nine digits in the files, float32 of about 5e3 µm
            np.testing.assert_allclose(basis[:, :, k], (made[name] - neutral) * 1e4, atol=2e-3)
    assert model.shape_std.tolist() == [1, 1, 1] and model.expression_std.tolist() == [0.3, 0.3]
    assert model.landmarks is not None
    np.testing.assert_array_equal(model.landmarks, np.linspace(0, N - 1, 68).astype(int))
    assert len(model.sources) == 7


def test_read_of_the_face_keeps_its_square_and_no_polygon_of_another(tmp_path: Path) -> None:
    write_ict(tmp_path / "FaceXModel")
    _, _, uv = patch()
    face, whole = ict.read(tmp_path), ict.read(tmp_path, parts="all")
    assert face.uv is not None and whole.uv is not None
    np.testing.assert_allclose(face.uv, uv, atol=1e-6)  # six digits in the file
    assert len(face.triangles) == 2 * (SIDE - 1) ** 2 and len(whole.triangles) == len(face.triangles) + 2
    assert len(whole.mean) == N + 4 and (whole.uv[N:, 1] < 0.125).all() and whole.uv.max() <= 1
    np.testing.assert_allclose(whole.uv[:N], uv * [1, 0.875] + [0, 0.125], atol=2e-6)


def test_read_without_vertex_indices_takes_all_meshes_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "FaceXModel"
    write_ict(folder)
    (folder / "vertex_indices.json").unlink()
    shutil.copy(folder / "jawOpen.obj", folder / "aardvark.obj")
    indented = (folder / "jawOpen.obj").read_text().replace("\nv ", "\n \tv ")
    (folder / "jawOpen.obj").write_text(indented)
    (folder / "._jawOpen.obj").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    model = ict.read(folder)
    assert model.landmarks is None and model.expression_basis.shape[2] == 3
    np.testing.assert_array_equal(model.expression_basis[:, :, 0], model.expression_basis[:, :, 1])


def edited(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).write_text(change((folder / name).read_text()))

    return edit


def moved(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def edit(text: str) -> str:
        vertices = np.array([line.split()[1:] for line in text.splitlines() if line.startswith("v ")], float)
        lines = iter(f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in change(vertices))
        return re.sub(r"(?m)^v .*", lambda _: next(lines), text)

    return edited(name, edit)


def about(**changes: object) -> Callable[[Path], None]:
    return edited("vertex_indices.json", lambda text: json.dumps(json.loads(text) | changes))


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "an expression that is a link to another": (
        lambda folder: ((folder / "jawOpen.obj").unlink(), (folder / "jawOpen.obj").symlink_to("identity000.obj"))[1],
        r"jawOpen\.obj: the same file as identity000\.obj, expected a mesh of its own",
    ),
    "an expression that is another's name": (
        lambda folder: ((folder / "jawOpen.obj").unlink(), (folder / "jawOpen.obj").hardlink_to(
            folder / "mouthSmile_L.obj"
        ))[1],
        r"mouthSmile_L\.obj: the same file as jawOpen\.obj, expected a mesh of its own",
    ),
    "an expression that is an identity": (
        about(expressions=["jawOpen", "identity001"]), r"identity001\.obj: taken twice, by its name and as an "
    ),
    "an expression that is missing": (
        lambda folder: (folder / "jawOpen.obj").unlink(), r"jawOpen\.obj: no such file, expected it: vertex_indices"
    ),
    "an identity that is missing": (
        lambda folder: (folder / "identity001.obj").unlink(),
        r"identity001\.obj: no such file, expected it: there is identity002\.obj",
    ),
    "an expression of another mesh": (
        edited("jawOpen.obj", lambda text: text.replace("v ", "v 1 1 1\nv ", 1)),
        rf"jawOpen\.obj: {N + 1} vertices, expected {N}, as generic_neutral_mesh",
    ),
    "an expression whose vertices are in another order": (
        edited("jawOpen.obj", lambda text: re.sub(r"\b(\d+)/", lambda found: f"{int(found[1]) * 7 % N + 1}/", text)),
        r"jawOpen\.obj: its faces join other vertices than those of generic_neutral_mesh\.obj",
    ),
    "an identity in millimeters": (
        edited("identity001.obj", lambda text: re.sub(r"(?m)^v .*", lambda found: " ".join(
            ["v", *(str(10 * float(word)) for word in found[0].split()[1:])]), text)),
        r"identity001\.obj: \d+\.?\d* times as large as generic_neutral_mesh\.obj, expected meshes in the same unit",
    ),
    "an identity with z up": (
        moved("identity001.obj", lambda v: v @ [[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
        r"identity001\.obj: turned by 90° against generic_neutral_mesh\.obj, expected meshes in the same frame",
    ),
    "an expression that is mirrored": (
        moved("jawOpen.obj", lambda v: v * [-1, 1, 1]), r"jawOpen\.obj: mirrored against generic_neutral_mesh\.obj",
    ),
    "an expression that lies elsewhere": (
        moved("jawOpen.obj", lambda v: v + np.ptp(v, axis=0)),
        r"jawOpen\.obj: lies 1\.\d sizes of the face beside generic_neutral_mesh\.obj",
    ),
    "an identity in inches": (
        moved("identity001.obj", lambda v: v / 2.54), r"identity001\.obj: its vertices lie \d+% of the head's size",
    ),
    "an identity of a few vertices in another order": (
        moved("identity001.obj", lambda v: np.concatenate([v[N // 4 :: -1], v[N // 4 + 1 :]])),
        r"identity001\.obj: its vertices lie \d+% of the head's size from .*: they are in another order",
    ),
    "an identity cut short in its last vertex": (
        edited("identity001.obj", lambda text: text[: text.index("\nvt") - 2]),
        r"identity001\.obj: no faces, expected those of generic_neutral_mesh\.obj; it is cut short",
    ),
    "an identity cut short": (
        edited("identity001.obj", lambda text: text[: text.index("vt") - 30]), r"identity001\.obj: .*(vertices|numbers)"
    ),
    "an identity that is text": (edited("identity001.obj", lambda _: "v a b c\n"), r"identity001\.obj: not a readable"),
    "an identity of NaN": (edited("identity001.obj", lambda text: re.sub(r"\nv \S+", r"\nv nan", text, count=1)),
                           r"identity001\.obj: vertex 0 is NaN"),
    "an empty identity": (edited("identity001.obj", lambda _: ""), r"identity001\.obj: 0 vertices"),
    "no texture": (edited("generic_neutral_mesh.obj", lambda text: text.replace("f 2/2 3/3", "f 2 3")),
                   r"generic_neutral_mesh\.obj: .*names no texture coordinates"),
    "texture that does not exist": (
        edited("generic_neutral_mesh.obj", lambda text: text.replace("f 2/2", "f 2/999")),
        r"generic_neutral_mesh\.obj: faces name texture coordinates that do not exist",
    ),
    "texture that is NaN": (
        edited("generic_neutral_mesh.obj", lambda text: re.sub(r"\nvt \S+", "\nvt nan", text, count=1)),
        r"generic_neutral_mesh\.obj: texture coordinates that are NaN",
    ),
    "names that leave the folder": (about(expressions=["../a"]), r"vertex_indices\.json: expressions are \['\.\./a'\]"),
    "no names": (about(expressions=[]), r"vertex_indices\.json: expressions are \[\]"),
    "a name twice": (about(expressions=["jawOpen", "jawOpen"]), r"vertex_indices\.json: expressions are"),
    "67 landmarks": (about(idx_to_landmark_verts=[0] * 67), "idx_to_landmark_verts is .*, expected 68 vertices"),
    "landmarks of another mesh": (about(idx_to_landmark_verts=[N] * 68), f"landmarks reach {N}, expected {N - 1}"),
    "no JSON": (edited("vertex_indices.json", lambda _: "{"), r"vertex_indices\.json: cannot be read"),
    "a list": (edited("vertex_indices.json", lambda _: "[1]"), r"vertex_indices\.json: expressions are None"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_read_of_a_bad_folder_names_the_file(tmp_path: Path, kind: str) -> None:
    write_ict(tmp_path / "FaceXModel")
    change, message = BAD[kind]
    change(tmp_path / "FaceXModel")
    with pytest.raises(ModelError, match=message):
        ict.read(tmp_path)


def test_read_of_very_many_uv_of_a_vertex_is_refused(tmp_path: Path) -> None:
    """Of each vertex that is repeated, every mesh's place is taken."""
    vertices = "v 0 0 0\nv 9 0 0\nv 0 9 0\n"
    texture = "".join(f"vt {k / 30:.4f} {k * 7 % 30 / 30:.4f}\n" for k in range(30))
    faces = "".join(f"f 1/{k} 2/{k + 1} 3/{k + 2}\n" for k in range(1, 30, 3))
    (tmp_path / "generic_neutral_mesh.obj").write_text(vertices + texture + faces)
    (tmp_path / "identity000.obj").write_text(vertices)
    with pytest.raises(ModelError, match=r"generic_neutral_mesh\.obj: texture coordinates: 30 for 3 vertices"):
        ict.read(tmp_path)


def test_read_takes_meshes_whose_faces_are_written_otherwise(tmp_path: Path) -> None:
    write_ict(tmp_path / "FaceXModel")
    sound = ict.read(tmp_path)
    edited("jawOpen.obj", lambda text: re.sub(r"(?m)^f (\S+) (.*)$", r"f \2 \1", text))(tmp_path / "FaceXModel")
    changed = ict.read(tmp_path)
    np.testing.assert_array_equal(changed.shape_basis, sound.shape_basis)
    np.testing.assert_array_equal(changed.expression_basis, sound.expression_basis)


def test_read_of_other_folders_and_parts_is_refused(tmp_path: Path) -> None:
    write_ict(tmp_path / "FaceXModel")
    with pytest.raises(InputError, match="parts"):
        ict.read(tmp_path, parts="skin")
    (tmp_path / "FaceXModel" / "identity000.obj").unlink()
    for path in (tmp_path, tmp_path / "none", tmp_path / "FaceXModel" / "jawOpen.obj"):
        assert not ict.recognizes(path)
        with pytest.raises(ModelError, match=r"no generic_neutral_mesh\.obj with identity000\.obj"):
            ict.read(path)
