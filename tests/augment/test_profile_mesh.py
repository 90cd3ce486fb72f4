"""What face profiling needs of a model."""

import numpy as np
from scipy.ndimage import binary_erosion
from support.models import builtin_model

from uvgen.augment import turn_face
from uvgen.augment.profile_mesh import profile_mesh
from uvgen.geometry import pose_to_image
from uvgen.rasterize import rasterize
from uvgen.samples.read import Annotation


def test_profile_mesh_coarse_points_are_different_vertices_and_no_triangle_is_a_sliver() -> None:
    mesh = profile_mesh(builtin_model())
    assert len(np.unique(mesh.coarse)) == len(mesh.coarse)
    corners = np.sort(mesh.coarse_triangles, axis=1)
    assert (np.diff(corners, axis=1) > 0).all()
    assert mesh.coarse_triangles.max() < len(mesh.coarse)
    assert mesh.sources.max() < len(mesh.coarse)


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
