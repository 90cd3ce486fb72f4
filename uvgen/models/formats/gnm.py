"""Google's GNM Head, version 3: ``gnm_head.npz``, under the Apache License 2.0.

- ``template_vertex_positions`` (17821, 3): the mean head, meters, y up, z toward the viewer
- ``vertex_identity_basis`` (253, 17821, 3): 170 components of the head, 3 of the eyeballs, 80 of the teeth;
  ``expression_basis`` (383, 17821, 3): 100 of each eye's surroundings, 150 of the lower face, 32 of the tongue, 1 of
  the pupils; all in standard deviations
- ``triangles`` (35324, 3), counted from 0, with ``triangle_uvs`` (35324, 3, 2), the UV of each corner
- ``vertex_groups`` (46, 17821), from 0 to 1, with ``vertex_group_names`` (46,): parts of the head that overlap;
  ``mesh_component_names``: those groups that are separate meshes: skin, eyes, teeth with gums, tongue
- ``mirror_indices`` (17821,): the vertex that is each vertex's mirror image
- ``joint_names``: neck, head and both eyes, ``joint_parent_indices`` (4,), whose first is its own,
  ``template_joint_positions`` (4, 3), ``joint_identity_basis`` (253, 4, 3), ``skinning_weights`` (4, 17821) and
  ``pose_correctives_regressor`` (36, 53463); there is no jaw: expressions open the mouth
- ``version`` and ``variant``: texts, "3.0" and "head"

The UV of skin, teeth, tongue, eyeballs and corneas each fill the unit square, left and right eye the same place of it.
Of all parts, the skin's here take the upper seven eighths of the square, and those of each other part a tile below
(`uvgen.meshes.seams.pack_parts`). The skin alone keeps its own. Vertices on seams are repeated behind the others.

The 68 landmarks lie in another file, ``head_sparse_68.txt``, as points on triangles; `_LANDMARKS` has of each the
corner with the largest weight. Points 2 to 6 of the jaw are in reverse order there, as their mirror images 10 to 14
show.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uvgen.checks import choice
from uvgen.errors import InputError, ModelError
from uvgen.meshes.seams import pack_parts, split_seams
from uvgen.models.assembled import AssembledModel
from uvgen.models.rig import Rig
from uvgen.storage.files import sha256_file
from uvgen.storage.names import brief, os_reason
from uvgen.storage.npz import npz_names, read_npz
from uvgen.wording import count

_UM_PER_M = 1e6
_REQUIRED = ("template_vertex_positions", "vertex_identity_basis", "expression_basis", "triangles")
_JOINT_KEYS = (
    "joint_names",
    "joint_parent_indices",
    "template_joint_positions",
    "joint_identity_basis",
    "skinning_weights",
    "pose_correctives_regressor",
)
_PART_KEYS = ("vertex_groups", "vertex_group_names", "mesh_component_names")
_OPTIONAL = ("version", "variant", "triangle_uvs", "mirror_indices", *_PART_KEYS, *_JOINT_KEYS)
_VERSION = "3"
_N_VERTICES = 17821
_MOST_GROUPS = 4096
_SHARE = 1e-2  # largest error of weights that are shares of 1
_SKIN, _CORNEAS = "skin", "eye_exteriors"
_LANDMARKS = (
    11165, 9836, 10085, 8737, 6846, 10090, 9982, 9747, 12258, 3612, 3854, 3962, 718, 2609, 3717, 3708, 5037,
    7635, 7574, 7671, 7565, 7108, 980, 1437, 1543, 1446, 1507,
    12319, 12329, 12310, 12296, 10105, 10225, 12298, 3354, 3977,
    7426, 7288, 7404, 11027, 6739, 7307, 4899, 1276, 1160, 1298, 1179, 611,
    10653, 10719, 10731, 12276, 4603, 4591, 4525, 4599, 4594, 12270, 10721, 10727,
    11285, 10805, 12285, 4677, 5157, 4689, 12271, 10817,
)  # fmt: skip


def recognizes(path: Path) -> bool:
    """Whether a file is GNM's, by the names of its arrays."""
    return set(_REQUIRED) <= set(npz_names(path))


def read(path: Path, *, parts: str = "all") -> AssembledModel:
    """Read GNM Head.

    Parameters
    ----------
    path : Path
        ``gnm_head.npz``.
    parts : {"all", "skin"}
        What of the head to take; the skin alone fills the whole map, and leaves eyes and mouth open.

    Returns
    -------
    AssembledModel
        Parameters in standard deviations; without regions and albedo.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or lacks a part; the message names it.
    InputError
        If `parts` is none of those.
    """
    choice(parts, "parts", ("all", "skin"))
    found = _read(path)
    mean = found["template_vertex_positions"] * np.float32(_UM_PER_M)
    n = len(mean)
    triangles = np.asarray(found["triangles"], np.int64)
    if not triangles.size or triangles.min() < 0 or triangles.max() >= n:
        held = f"{triangles.min()} to {triangles.max()}" if triangles.size else "none"
        raise ModelError(f"{path}: triangles name vertices {held}, expected 0 to {n - 1}")
    mirror = _mirror(found, n, path)
    kept = np.arange(n)
    part = _parts(found, n, path)
    if parts == "skin":
        kept, triangles, mirror = _skin(found, part, triangles, mirror, path)
    number = np.full(n, -1)
    number[kept] = np.arange(len(kept))
    uv: NDArray[np.float64] | None = None
    sources: NDArray[np.int32] = np.empty(0, np.int32)
    if "triangle_uvs" in found and (part is not None or parts == "skin"):
        corner_uv = found["triangle_uvs"][np.all(number[found["triangles"]] >= 0, axis=1)]
        try:
            split, uv, sources = split_seams(triangles, corner_uv, len(kept), most_repeated=1)
        except InputError as error:
            raise ModelError(f"{path}: {error}") from error
        triangles = split.astype(np.int64)
        if parts == "all" and part is not None:
            uv = pack_parts(uv, np.concatenate([part, part[sources]]))
        if mirror is not None:
            mirror = _beside_seams(mirror, sources)
    taken = np.concatenate([kept, kept[sources]])
    landmarks = number[list(_LANDMARKS)] if n == _N_VERTICES else None
    return AssembledModel(
        source=str(path),
        name=f"GNM Head ({path.name})",
        mean=mean[taken],
        shape_basis=_basis(found["vertex_identity_basis"], taken),
        expression_basis=_basis(found["expression_basis"], taken),
        shape_std=np.ones(len(found["vertex_identity_basis"])),
        expression_std=np.ones(len(found["expression_basis"])),
        triangles=triangles,
        uv=uv,
        landmarks=landmarks,
        mirror=mirror,
        sources={path.name: sha256_file(path)},
        rig=_rig(found, taken, path),
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The file's arrays, of which the shapes agree."""
    try:
        found = read_npz(path, _REQUIRED, _OPTIONAL)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({os_reason(error)}), expected gnm_head.npz") from error
    except ValueError as error:
        raise ModelError(f"{path}: not a readable GNM Head: {brief(error)}") from error
    for keys in (_PART_KEYS, _JOINT_KEYS):  # of use only together
        if not all(key in found for key in keys):
            found = {name: array for name, array in found.items() if name not in keys}
    variant = str(found["variant"]) if "variant" in found else "head"
    if variant != "head":
        raise ModelError(f"{path}: its variant is {brief(variant)!r}, expected head")

    version = str(found["version"]) if "version" in found else _VERSION
    if version.partition(".")[0] != _VERSION:  # the numbers of its landmarks are not known
        raise ModelError(
            f"{path}: its version is {brief(version)!r}, expected {_VERSION}.0; only its landmarks are known"
        )

    def length(name: str) -> tuple[int, ...]:
        return found[name].shape[:1] if name in found else (0,)

    n, m, n_identity = (length(name) for name in ("template_vertex_positions", "triangles", "vertex_identity_basis"))
    n_joints, n_groups = length("joint_parent_indices"), length("vertex_groups")
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "template_vertex_positions": ("f", (*n, 3)),
        "vertex_identity_basis": ("f", (*n_identity, *n, 3)),
        "expression_basis": ("f", (*length("expression_basis"), *n, 3)),
        "triangles": ("iu", (*m, 3)),
        "triangle_uvs": ("f", (*m, 3, 2)),
        "mirror_indices": ("iu", n),
        "vertex_groups": ("fiub", (*n_groups, *n)),
        "vertex_group_names": ("U", n_groups),
        "mesh_component_names": ("U", length("mesh_component_names")),
        "joint_names": ("U", n_joints),
        "joint_parent_indices": ("iu", n_joints),
        "template_joint_positions": ("f", (*n_joints, 3)),
        "joint_identity_basis": ("f", (*n_identity, *n_joints, 3)),
        "skinning_weights": ("f", (*n_joints, *n)),
        "pose_correctives_regressor": ("f", (9 * sum(n_joints), 3 * sum(n))),
    }
    for name, (kinds, shape) in shapes.items():
        array = found.get(name)
        if array is not None and (array.dtype.kind not in kinds or array.shape != shape or not array.ndim):
            what = {"f": "real numbers", "iu": "whole numbers", "U": "text"}.get(kinds, "numbers")
            raise ModelError(f"{path}: {name} is {array.dtype} {array.shape}, expected {what} {shape}")
    n_names = sum(len(found[name]) for name in ("vertex_group_names", "mesh_component_names") if name in found)
    if n_names > _MOST_GROUPS:  # each is looked for among all
        raise ModelError(f"{path}: {count(n_names, 'name')} of groups and components, expected {_MOST_GROUPS} at most")
    for name in ("vertex_group_names", "mesh_component_names"):
        if name in found and (twice := _twice(found[name].tolist())):
            raise ModelError(f"{path}: {name} has {brief(twice)!r} twice, expected each name once")
    if sum(n_joints) > sum(n):  # of each joint, its motion with every component is written out
        raise ModelError(f"{path}: {count(sum(n_joints), 'joint')} of {count(sum(n), 'vertex')}, expected a few joints")
    if "triangle_uvs" in found and not ((found["triangle_uvs"] >= 0) & (found["triangle_uvs"] <= 1)).all():
        raise ModelError(f"{path}: triangle_uvs holds NaN or leaves [0, 1], expected the unit square")
    return found


def _twice(names: list[str]) -> str:
    """The first name that is there twice; "" if none is."""
    return next((name for name, times in Counter(names).items() if times > 1), "")


def _basis(components: NDArray[Any], taken: NDArray[np.int64]) -> NDArray[np.float32]:
    """(k, n, 3) as (n, 3, k) in µm."""
    moved = np.ascontiguousarray(np.moveaxis(components[:, taken], 0, 2), np.float32)
    moved *= np.float32(_UM_PER_M)
    return moved


def _mirror(found: dict[str, NDArray[Any]], n: int, path: Path) -> NDArray[Any] | None:
    mirror = found.get("mirror_indices")
    if mirror is None:
        return None
    if mirror.size and (mirror.min() < 0 or mirror.max() >= n):
        raise ModelError(f"{path}: mirror_indices name {mirror.min()} to {mirror.max()}, expected 0 to {n - 1}")
    return np.asarray(mirror, np.int64)


def _parts(found: dict[str, NDArray[Any]], n: int, path: Path) -> NDArray[np.int32] | None:
    """The mesh that each vertex belongs to, 0 for the skin; None if the file does not say."""
    if not all(key in found for key in _PART_KEYS):
        return None
    names = sorted(found["mesh_component_names"].tolist(), key=lambda name: name != _SKIN)
    part = np.full(n, -1, np.int32)
    rows = {name: row for row, name in enumerate(found["vertex_group_names"].tolist())}

    def group(name: str) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = found["vertex_groups"][rows[name]] > 0.5
        return inside

    corneas = group(_CORNEAS) if _CORNEAS in rows else None
    for number, name in enumerate(names):
        if name not in rows:
            raise ModelError(f"{path}: vertex_group_names has no {brief(name)!r}, which mesh_component_names has")
        inside = group(name)
        part[inside] = 2 * number
        if corneas is not None and number:
            part[inside & corneas] = 2 * number + 1
    if not names or names[0] != _SKIN or (part < 0).any():
        raise ModelError(f"{path}: mesh_component_names has {brief(names)}, expected skin and all other parts")
    crossing = np.ptp(part[found["triangles"]], axis=1) > 0
    if crossing.any():  # corneas that belong to one surface with the eye
        part = part // 2 * 2
        crossing = np.ptp(part[found["triangles"]], axis=1) > 0
    if crossing.any():
        raise ModelError(f"{path}: triangle {int(np.argmax(crossing))} has corners of two parts, expected one")
    return part


def _skin(
    found: dict[str, NDArray[Any]],
    part: NDArray[np.int32] | None,
    triangles: NDArray[np.int64],
    mirror: NDArray[Any] | None,
    path: Path,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any] | None]:
    """Vertices of the skin, its triangles and mirror pairs in their numbers."""
    if part is None:
        raise ModelError(f"{path}: has no {', '.join(_PART_KEYS)}, expected them: they say what the skin is")
    kept = np.flatnonzero(part == 0)
    number = np.full(len(part), -1)
    number[kept] = np.arange(len(kept))
    of_skin = triangles[(number[triangles] >= 0).all(axis=1)]
    if not len(of_skin):
        raise ModelError(f"{path}: no triangle is of the skin, expected most")
    return kept, number[of_skin], None if mirror is None else number[mirror[kept]]


def _beside_seams(mirror: NDArray[Any], sources: NDArray[np.int32]) -> NDArray[Any]:
    """Mirror pairs with the repeated vertices, unknown on seams: left and right may be other charts."""
    on_seam = np.zeros(len(mirror), bool)
    on_seam[sources] = True
    known = ~on_seam & (mirror >= 0) & ~on_seam[np.maximum(mirror, 0)]
    return np.concatenate([np.where(known, mirror, -1), np.full(len(sources), -1)])


def _rig(found: dict[str, NDArray[Any]], taken: NDArray[np.int64], path: Path) -> Rig | None:
    if not all(key in found for key in _JOINT_KEYS):
        return None
    parents = np.asarray(found["joint_parent_indices"], np.int64)
    if not len(parents):
        return None
    parents = np.concatenate([[-1], parents[1:]])
    if not all(0 <= parent < k for k, parent in enumerate(parents.tolist()) if k):
        raise ModelError(f"{path}: joint_parent_indices are {brief(parents.tolist())}, expected each before its joint")
    shares = found["skinning_weights"]
    if shares.min(initial=0) < -_SHARE or np.abs(shares.sum(axis=0) - 1).max(initial=0) > _SHARE:
        raise ModelError(
            f"{path}: skinning_weights are {shares.min():.4g} to {shares.max():.4g}, in sum up to "
            f"{shares.sum(axis=0).max():.4g}, expected shares of 1, one per joint; it is damaged"
        )
    n, n_expression = found["skinning_weights"].shape[1], len(found["expression_basis"])
    identity = np.moveaxis(found["joint_identity_basis"], 0, 2)
    fixed, um = np.zeros((*identity.shape[:2], n_expression), identity.dtype), np.float32(_UM_PER_M)
    return Rig(
        names=tuple(map(str, found["joint_names"].tolist())),
        parents=parents,
        joints=found["template_joint_positions"] * um,  # of float16, which cannot hold them, float32
        joint_basis=np.concatenate([identity, fixed], axis=2) * um,
        weights=found["skinning_weights"].T[taken],
        correctives=found["pose_correctives_regressor"].T.reshape(n, 3, -1)[taken] * um,
    )
