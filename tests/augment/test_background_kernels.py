"""The mesh of what is around a face, against the same in double precision."""

import numpy as np

from uvgen.augment import background
from uvgen.augment import background_kernels as kernels
from uvgen.augment.background import Anchors, Head, RingScratch

f4 = np.float32


def outline(points, center_x, center_y, reach_out, point_out):
    n = len(reach_out)
    offset = (points[:, :2] - np.array([center_x, center_y], f4)).astype(np.float64)
    sector = offset[:, 1] / np.abs(offset).sum(axis=1)
    sector = np.floor(np.where(offset[:, 0] >= 0, sector + 1, 3 - sector) * n / 4).astype(int)
    which = np.full(n, -1)
    for i in np.argsort((offset**2).sum(axis=1)):
        which[sector[i]] = i
    while (which < 0).any():
        which = np.where(which < 0, np.roll(which, 1), which)
    reach_out[:], point_out[:] = (offset[which] ** 2).sum(axis=1), which


def blended(values, times):
    for _ in range(times):
        values = (np.roll(values, 1, axis=0) + 2 * values + np.roll(values, -1, axis=0)) / 4
    return values


def lay_rings(head, size, behind, shape, scratch, anchors_out):
    """Laid, turned and blended as whole arrays."""
    reach, which = np.empty(background.N_RAYS), np.empty(background.N_RAYS, int)
    center = np.array([head.center_x, head.center_y], np.float64)
    outline(head.before, head.center_x, head.center_y, reach, which)
    reach = np.sqrt(reach)[:, None]
    out, mean = (head.before[which, :2] - center) / reach, reach.mean()
    facing = head.normals[which].astype(np.float64)
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    outward = blended(np.clip((facing[:, :2] * out).sum(axis=1), 0, 1), 10)[:, None]
    depth = shape.back * mean * (0.15 + 0.85 * outward**2)
    border = np.min(np.where(out > 0, ([size[1] - 1, size[0] - 1] - center) / out, -center / out), axis=1)[:, None]
    rim = np.clip(border, reach + shape.rim_least * mean, reach + shape.rim_most * mean)
    to_rim = shape.head * mean
    places, points = [], []
    for r, (step, hold, times) in enumerate(zip(shape.steps, shape.hold, shape.times, strict=True)):
        if r < shape.n_inside:
            far, z = (step - 1) * reach, 0 * depth
        elif r < shape.n_inside + shape.n_on_head:
            far, z = to_rim * step + 0 * reach, -depth * step ** (1.6 - 1.1 * outward)
        else:
            far, z = to_rim + (rim - reach - to_rim) * step, -depth
        place = np.hstack([head.before[which, :2] + far * out, 0 * z])
        moved = np.hstack([far * out, z]) @ head.turn.T + head.after[which]
        points.append(place + blended(hold * (moved - place), times) - [0, 0, behind * mean + 4 * (1 - hold) * mean])
        places.append(place[:, :2])
    anchors_out.places[:] = np.vstack([*places, center])
    both = np.vstack([*points, points[0].mean(axis=0)])
    anchors_out.points[:], anchors_out.depth[:] = both[:, :2], both[:, 2]
    anchors_out.bounds[:] = anchors_out.places.min(axis=0), anchors_out.places.max(axis=0)
    return mean


def head_of(n: int) -> Head:
    rng = np.random.default_rng(3)
    before = rng.normal(0, [40, 60, 30], (n, 3)).astype(f4) + np.array([130, 110, 0], f4)
    after = (before + rng.normal(0, 5, before.shape)).astype(f4)
    normals = rng.normal(size=before.shape).astype(f4)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    (left, top), (right, bottom) = before[:, :2].min(axis=0), before[:, :2].max(axis=0)
    return Head(before, after, normals, turn, f4((left + right) / f4(2)), f4((top + bottom) / f4(2)))


def test_outline_is_the_farthest_point_in_each_direction() -> None:
    """Of few points, so that many directions have none."""
    for n in (1, 5, 500):
        head = head_of(n) if n > 1 else head_of(2)
        center = head.center_x, head.center_y
        found, expected = ((np.empty(background.N_RAYS, f4), np.empty(background.N_RAYS, np.int32)) for _ in range(2))
        kernels.outline(head.before[:n], *center, *found)
        outline(head.before[:n], *center, *expected)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)


def test_lay_rings_gives_what_numpy_gives_in_double_precision() -> None:
    head, n, rays = head_of(500), len(background._RINGS.steps) * background.N_RAYS + 1, background.N_RAYS
    scratch = RingScratch(
        np.empty(rays, f4), np.empty(rays, np.int32), np.empty((5, rays)), np.empty((4, rays + 2), f4)
    )
    found, expected = (
        Anchors(np.empty((n, 2), f4), np.empty((n, 2), f4), np.empty(n, f4), np.empty((2, 2), f4)) for _ in range(2)
    )
    mean = kernels.lay_rings(head, (300, 280), 0.7, background._RINGS, scratch, found)
    wanted = lay_rings(head, (300, 280), 0.7, background._RINGS, None, expected)
    np.testing.assert_allclose(mean, wanted, rtol=1e-5)
    for name, values in found._asdict().items():
        np.testing.assert_allclose(values, getattr(expected, name), atol=1e-3, err_msg=name)  # px, of single precision
