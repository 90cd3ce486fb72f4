"""What face profiling needs of a model."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from support.models import builtin_model

from uvgen.augment import turn_face
from uvgen.augment.profile_mesh import profile_mesh
from uvgen.geometry import pose_to_image
from uvgen.rasterize import interpolate, rasterize, vertex_normals
from uvgen.samples.read import Annotation

SIZE = 300


def test_profile_mesh_coarse_points_are_different_vertices_and_no_triangle_is_a_sliver() -> None:
    mesh = profile_mesh(builtin_model())
    assert len(np.unique(mesh.coarse)) == len(mesh.coarse)
    corners = np.sort(mesh.coarse_triangles, axis=1)
    assert (np.diff(corners, axis=1) > 0).all()
    assert mesh.coarse_triangles.max() < len(mesh.coarse)
    assert mesh.between.points.max() < len(mesh.coarse)
    assert mesh.between.texels.max() == len(mesh.between.points) // 4 - 1


@cache
def rings() -> tuple[NDArray[np.uint8], Annotation]:
    """A mean face of two colors, red along its outline and green within, before blue."""
    pose = np.array([0, 0, 0, SIZE / 2, SIZE / 2, 0, 0.7 * SIZE / np.ptp(builtin_model().mean[:, 1])], np.float32)
    model = builtin_model()
    face = Annotation(np.zeros(model.n_shape), np.zeros(model.n_expression), pose, None)
    photograph = np.zeros((SIZE, SIZE, 3), np.uint8)
    photograph[..., 2] = 255
    covered = rasterize(points_of(face), profile_mesh(model).triangles, (SIZE, SIZE)).covered
    photograph[covered] = [200, 0, 0]
    photograph[binary_erosion(covered, iterations=25)] = [0, 200, 0]
    return photograph, face


def points_of(face: Annotation) -> NDArray[np.float64]:
    """Where the vertices of a mean face are."""
    affine = pose_to_image(face.pose[None], SIZE)[0]
    return np.asarray(builtin_model().mean @ affine[:, :3].T + affine[:, 3])


@pytest.mark.parametrize("yaw", [-80.0, 70.0])
def test_turn_back_of_a_head_shows_neither_what_lies_before_it_nor_what_is_around(yaw: float) -> None:
    """No eyes at the back of the head, and a head hides what is around it: from the ears on, all of it is red."""
    model = builtin_model()
    photograph, face = rings()
    triangles = profile_mesh(model).triangles
    away = -vertex_normals(points_of(face), triangles)[:, 2]
    away = away if away[model.landmarks[30]] < 0 else -away
    picture, label = turn_face(photograph, face, model, yaw)
    drawn = rasterize(points_of(label), triangles, (SIZE, SIZE), cull="back")
    back = interpolate(drawn, triangles, away[:, None].astype(np.float32))[..., 0] > 0.3
    back = binary_erosion(back & binary_erosion(drawn.covered, iterations=3), iterations=2)
    assert back.sum() > 1500
    red, green, blue = np.moveaxis(picture[back].astype(int), -1, 0)
    assert (green > 60).mean() < 0.02
    assert (blue > 60).mean() < 0.01
    assert np.median(red) > 150


def test_turn_shows_no_background_on_the_neck() -> None:
    """Where the neck was seen edge on, colors come from inside its outline, not from below or above."""
    size, model = 300, builtin_model()
    pose = np.array([0, 0, 0, size / 2, size / 2, 0, 0.7 * size / np.ptp(model.mean[:, 1])], np.float32)
    affine = pose_to_image(pose[None], size)[0]
    points = model.mean @ affine[:, :3].T + affine[:, 3]
    photograph = np.zeros((size, size, 3), np.uint8)
    photograph[..., 2] = 255
    photograph[rasterize(points, profile_mesh(model).triangles, (size, size)).covered] = [200, 0, 0]
    face = Annotation(np.zeros(model.n_shape), np.zeros(model.n_expression), pose, None)
    picture, label = turn_face(photograph, face, model, 60)
    affine = pose_to_image(label.pose[None], size)[0]
    points = model.mean @ affine[:, :3].T + affine[:, 3]
    covered = rasterize(points, profile_mesh(model).triangles, (size, size), cull="back").covered
    chin = points[model.landmarks[8], 1]
    bottom = points[:, 1].max()
    neck = covered & (np.arange(size)[:, None] > chin + 0.3 * (bottom - chin)) & (np.arange(size)[:, None] < bottom - 8)
    neck &= binary_erosion(covered, iterations=4)
    assert neck.sum() > 100
    blue = (picture[neck][:, 2] > 60).mean()
    assert blue < 0.02, blue
