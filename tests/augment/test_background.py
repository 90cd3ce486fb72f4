"""The mesh of what is around a face, against the same in double precision."""

import numpy as np

from uvgen.augment import background

f4 = np.float32


def test_lay_rings_gives_what_numpy_gives_in_double_precision() -> None:
    """Rings around random points: laid, turned and blended as whole arrays."""
    rng = np.random.default_rng(3)
    before = rng.normal(0, [40, 60, 30], (500, 3)).astype(f4) + np.array([130, 110, 0], f4)
    after = (before + rng.normal(0, 5, before.shape)).astype(f4)
    normals = rng.normal(size=before.shape).astype(f4)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    bounds = np.stack([before[:, :2].min(axis=0), before[:, :2].max(axis=0)])
    found = background.around_face(before, after, normals, turn, bounds, (300, 280), 0.7)

    rings, n = background._RINGS, background.N_RAYS
    center = bounds.astype(np.float64).mean(axis=0)
    offset = (before[:, :2] - center.astype(f4)).astype(np.float64)
    sector = offset[:, 1] / np.abs(offset).sum(axis=1)
    sector = np.floor(np.where(offset[:, 0] >= 0, sector + 1, 3 - sector) * n / 4).astype(int)
    which = np.full(n, -1)
    for i in np.argsort((offset**2).sum(axis=1)):
        which[sector[i]] = i
    while (which < 0).any():
        which = np.where(which < 0, np.roll(which, 1), which)
    reach = np.linalg.norm(offset[which], axis=1)[:, None]
    out, mean = offset[which] / reach, reach.mean()

    def blended(values, times):
        for _ in range(times):
            values = (np.roll(values, 1, axis=0) + 2 * values + np.roll(values, -1, axis=0)) / 4
        return values

    facing = normals[which].astype(np.float64)
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    outward = blended(np.clip((facing[:, :2] * out).sum(axis=1), 0, 1), 10)[:, None]
    depth = rings.back * mean * (0.15 + 0.85 * outward**2)
    border = np.min(np.where(out > 0, ([279, 299] - center) / out, -center / out), axis=1)[:, None]
    rim = np.clip(border, reach + rings.rim_least * mean, reach + rings.rim_most * mean)
    head = rings.head * mean
    places, points = [], []
    for r, (step, hold, times) in enumerate(zip(rings.steps, rings.hold, rings.times, strict=True)):
        if r < rings.n_inside:
            far, z = (step - 1) * reach, 0 * depth
        elif r < rings.n_inside + rings.n_on_head:
            far, z = head * step + 0 * reach, -depth * step ** (1.6 - 1.1 * outward)
        else:
            far, z = head + (rim - reach - head) * step, -depth
        place = np.hstack([before[which, :2] + far * out, 0 * z])
        moved = np.hstack([far * out, z]) @ turn.T + after[which]
        points.append(place + blended(hold * (moved - place), times) - [0, 0, 0.7 * mean + 4 * (1 - hold) * mean])
        places.append(place[:, :2])
    expected = np.vstack([*places, center]), np.vstack([*points, points[0].mean(axis=0)])
    np.testing.assert_allclose(found.places, expected[0], atol=1e-3)  # px, of single precision
    np.testing.assert_allclose(np.column_stack([found.points, found.depth]), expected[1], atol=1e-3)
    np.testing.assert_allclose(found.reach, mean, rtol=1e-5)
    np.testing.assert_array_equal(found.bounds, [found.places.min(axis=0), found.places.max(axis=0)])
