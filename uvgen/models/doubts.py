"""What is doubtful in a model that can be read: model files are made by hand, and few programs check them."""

import numpy as np
from numpy.typing import NDArray

from uvgen.geometry import LANDMARK_MIRROR, N_JAW
from uvgen.models.morphable import REGIONS, MorphableModel
from uvgen.wording import are, count

COARSEST_UM = 50.0
"""Between neighboring numbers (float32) of a mean face, at most."""

_EYES, _NOSE_TIP, _MOUTH = slice(36, 48), 30, slice(48, 68)
_MOST_TURNED = 0.01  # triangles of the other orientation in UV: sound models have up to 0.0002
_MOST_FLAT = 0.01  # triangles without an area in UV: decimated meshes have a few, in which nothing is lost
_FLAT = 1e-12  # area in UV, of which a texel of the finest grid has 6e-8
_BRIGHTEST = (2.0, 512.0)  # mean color of a face
_FEWEST_PAIRED = 0.5  # of the vertices
_ICT_FACE, _ICT = 9409, (100, 53)  # vertices of the face; identities and expressions of the whole folder
_SIZE_MM = (60.0, 400.0)  # of the box around a face's landmarks, its longer side


def model_doubts(model: MorphableModel) -> tuple[str, ...]:
    """What is probably wrong with a model, although maps can be made of it.

    Parameters
    ----------
    model : MorphableModel
        Any model.

    Returns
    -------
    tuple of str
        A sentence each: what `label_doubts` says, face3d's model without its ``BFM_info.mat``, landmarks outside their
        regions, colors in another unit, a mean face far beside x = 0, and mirror pairs that are not each other's
        inverse or do not agree with the landmarks.
    """
    looks = (_about_sources, _about_landmarks, _about_regions, _about_mirror, _about_albedo, _about_middle, _about_maps)
    return tuple(doubt for look in looks for doubt in look(model))


def label_doubts(model: MorphableModel) -> tuple[str, ...]:
    """Faults of a model that make the labels of every data set wrong.

    Parameters
    ----------
    model : MorphableModel
        Any model.

    Returns
    -------
    tuple of str
        A sentence each: landmarks on no face, a mean face in another unit or orientation than the model frame, and UV
        that fold over themselves, leave holes, lie upside down or are mirrored.
    """
    return (*_about_landmarks(model), *_about_maps(model))


def model_warnings(model: MorphableModel) -> list[str]:
    """`label_doubts` as warnings of a data set, which name the model."""
    return [f"model {model.name}: {doubt}" for doubt in label_doubts(model)]


def _about_maps(model: MorphableModel) -> list[str]:
    return [*_about_frame(model), *_about_area(model), *_about_uv(model)]


def _about_sources(model: MorphableModel) -> list[str]:
    found = model.n_shape, model.n_expression
    if (
        "generic_neutral_mesh.obj" in model.sources
        and model.n_vertices >= _ICT_FACE
        and (found[0] < _ICT[0] or found[1] < _ICT[1])
    ):
        return [
            f"ICT-FaceKit: made of {found[0]} identities and {found[1]} expressions, expected the {_ICT[0]} and "
            f"{_ICT[1]} of the whole FaceXModel; was its download or copy interrupted?"
        ]
    if "BFM.mat" not in model.sources or "BFM_info.mat" in model.sources or model.mirror is not None:
        return []
    return [
        "BFM_info.mat: not found beside BFM.mat, expected for mirror pairs and regions; without it, augmentation "
        "cannot flip maps, and the weight mask is drawn around the landmarks"
    ]


def _about_landmarks(model: MorphableModel) -> list[str]:
    found = []
    used = np.zeros(model.n_vertices, bool)
    used[model.triangles] = True
    if loose := np.flatnonzero(~used[model.landmarks]).tolist():
        found.append(f"landmarks {_listed(loose)}: their vertices belong to no triangle, expected points of the mesh")
    if (twice := 68 - len(np.unique(model.landmarks))) > 0:
        found.append(f"landmarks: {twice} share a vertex with another, expected 68 different vertices")
    return found


def _about_regions(model: MorphableModel) -> list[str]:
    found: list[str] = []
    if model.regions is None:
        return found
    labels = model.regions[model.landmarks]
    off_face = np.isin(labels, [REGIONS.index("neck"), REGIONS.index("other")])
    if off := [k for k in np.flatnonzero(off_face).tolist() if k >= N_JAW]:
        found.append(f"landmarks {_listed(off)}: lie in the regions neck or other, expected points of the face")
    if (model.regions == REGIONS.index("eyes")).any():
        eyes = np.arange(68)[_EYES]
        if outside := eyes[labels[_EYES] != REGIONS.index("eyes")].tolist():
            found.append(f"landmarks {_listed(outside)}: contours of the eyes outside the region eyes")
    return found


def _about_mirror(model: MorphableModel) -> list[str]:
    if model.mirror is None:
        return []
    found = []
    paired = np.flatnonzero(model.mirror >= 0)
    if len(paired) < _FEWEST_PAIRED * model.n_vertices:
        found.append(
            f"mirror pairs: of {len(paired)} of {count(model.n_vertices, 'vertex')}, expected {_FEWEST_PAIRED:.0%} or "
            "more; without them, augmentation cannot flip maps"
        )
    if (wrong := paired[model.mirror[model.mirror[paired]] != paired]).size:
        found.append(
            f"mirror pairs: {count(len(wrong), 'vertex')} {are(len(wrong))} not the mirror image of their mirror "
            f"image, first {wrong[0]}, expected pairs; flipped labels take other texels there"
        )
    pairs = model.mirror[model.landmarks]
    apart = (pairs >= 0) & (pairs != model.landmarks[LANDMARK_MIRROR])
    if apart.any():
        distance = np.linalg.norm(
            model.mean[pairs[apart]] - model.mean[model.landmarks[LANDMARK_MIRROR][apart]], axis=1
        )
        if distance.max() > 0.02 * _face_size(model):  # a neighbor is as good
            found.append(
                f"mirror pairs: {count(int(apart.sum()), 'landmark')} mirror to another vertex than the other side's "
                f"landmark, up to {distance.max() / 1e3:.1f} mm from it"
            )
    return found


def _about_albedo(model: MorphableModel) -> list[str]:
    brightest = 255.0 if model.albedo_mean is None else float(np.abs(model.albedo_mean).max())
    if _BRIGHTEST[0] <= brightest <= _BRIGHTEST[1]:
        return []
    return [
        f"albedo: mean colors of up to {brightest:.3g}, expected 0 to 255: `uvgen synth` draws faces black or white"
    ]


def _about_middle(model: MorphableModel) -> list[str]:
    beside = abs(float(model.mean[model.landmarks, 0].mean(dtype=np.float64)))
    if beside <= _face_size(model) / 2:
        return []
    return [
        f"mean face: its middle lies {beside / 1e3:.3g} mm beside x = 0, about which `uvgen synth` mirrors faces: "
        "mirrored ones may lie outside of their pictures; move it to x = 0"
    ]


def _about_frame(model: MorphableModel) -> list[str]:
    points = model.mean[model.landmarks].astype(np.float64)
    size_mm, found = _face_size(model) / 1e3, []
    if not _SIZE_MM[0] <= size_mm <= _SIZE_MM[1]:
        found.append(f"mean face: {size_mm:.3g} mm large, expected {_SIZE_MM[0]:g} to {_SIZE_MM[1]:g}: the unit is µm")
    farthest = np.abs(model.mean).max()
    if (step_um := float(np.spacing(farthest))) > COARSEST_UM:
        found.append(
            f"mean face: up to {farthest / 1e6:.3g} m from its origin, where its numbers are {step_um / 1e3:.2g} mm "
            "apart: move it to the origin"
        )
    if points[_EYES, 1].mean() <= points[_MOUTH, 1].mean():
        found.append("mean face: its eyes lie below its mouth, expected y up")
    if points[_NOSE_TIP, 2] <= points[[0, 16], 2].mean():
        found.append("mean face: its nose lies behind its ears, expected z toward the viewer")
    if points[36, 0] >= points[45, 0]:
        found.append("mean face: its right eye lies to the right of its left one, expected x to the image's right")
    return found


def _area_in_uv(model: MorphableModel) -> NDArray[np.float64]:
    """(m,): of each triangle, twice; below 0 if it is turned over."""
    a, b, c = (model.uv[model.triangles[:, k]].astype(np.float64) for k in range(3))
    area: NDArray[np.float64] = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return area


def _about_area(model: MorphableModel) -> list[str]:
    flat = np.abs(_area_in_uv(model)) <= 2 * _FLAT
    if flat.mean() <= _MOST_FLAT:
        return []
    corners = np.sort(model.triangles, axis=1)
    twice = int((corners[:, :-1] == corners[:, 1:]).any(axis=1).sum())
    why = f", {twice} of which name a vertex twice" if twice else ""
    return [
        f"triangles: {flat.sum()} of {len(flat)} have no area in UV{why}, expected {_MOST_FLAT:.0%} at most: what they "
        "leave open in maps takes the nearest texel's values"
    ]


def _about_uv(model: MorphableModel) -> list[str]:
    found = []
    area = _area_in_uv(model)
    turned = min((area > 0).sum(), (area < 0).sum()) / max((area != 0).sum(), 1)
    if turned > _MOST_TURNED:
        return [
            f"UV: {turned:.0%} of the triangles are turned over, expected {_MOST_TURNED:.0%} at most: several lie on "
            "one texel; are they of another mesh, or in another order?"
        ]
    points = model.uv[model.landmarks].astype(np.float64)
    if points[_EYES, 1].mean() <= points[_MOUTH, 1].mean():
        found.append("UV: the eyes lie below the mouth, expected v up: position maps come upside down")
    if points[36, 0] >= points[45, 0]:
        found.append("UV: the right eye lies to the right of the left one, expected u right: maps come mirrored")
    return found


def _face_size(model: MorphableModel) -> float:
    """Longer side of the box around the mean face's landmarks, µm."""
    return float(np.ptp(model.mean[model.landmarks], axis=0)[:2].max())


def _listed(numbers: list[int]) -> str:
    """Numbers as ranges: 36-41, 45."""
    groups: list[list[int]] = []
    for n in numbers:
        if groups and n == groups[-1][-1] + 1:
            groups[-1].append(n)
        else:
            groups.append([n])
    return ", ".join(f"{group[0]}-{group[-1]}" if len(group) > 1 else str(group[0]) for group in groups)
