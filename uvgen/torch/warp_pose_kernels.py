"""From poses to the matrices of position maps, a face a thread, as NVIDIA Warp compiles it. Imports warp.

`layers._to_crop` and the rotations of `spatial_transformer` are the same formulas in PyTorch's operators, some fifty of
them, and twice as many for gradients: each takes longer to launch than all of this to run.
"""

from types import SimpleNamespace

import warp as wp

SMALL = wp.constant(1e-4)  # `spatial_transformer._SMALL`


def poses(scalar, module):
    """The kernels for floats of one type."""
    vector = wp.vec3f if scalar is wp.float32 else wp.vec3d
    matrix = wp.mat33f if scalar is wp.float32 else wp.mat33d

    @wp.func
    def from_angles(pitch: scalar, yaw: scalar, roll: scalar):
        """`euler_to_matrix`."""
        sp = wp.sin(pitch)
        cp = wp.cos(pitch)
        sy = wp.sin(yaw)
        cy = wp.cos(yaw)
        sr = wp.sin(roll)
        cr = wp.cos(roll)
        return matrix(
            cy * cr, cy * sr, -sy,
            sp * sy * cr - cp * sr, sp * sy * sr + cp * cr, sp * cy,
            cp * sy * cr + sp * sr, cp * sy * sr - sp * cr, cp * cy,
        )  # fmt: skip

    @wp.func
    def angles_gradient(pitch: scalar, yaw: scalar, roll: scalar, r: matrix, g: matrix):
        """Of the angles, from that of their matrix r: derivatives of its rows and columns are its rows and columns."""
        sp = wp.sin(pitch)
        cp = wp.cos(pitch)
        sy = wp.sin(yaw)
        of_pitch = wp.dot(g[1], r[2]) - wp.dot(g[2], r[1])
        of_yaw = wp.dot(g[0], vector(-sy * wp.cos(roll), -sy * wp.sin(roll), -wp.cos(yaw)))
        of_yaw += wp.dot(r[0], sp * g[1] + cp * g[2])
        of_roll = scalar(0.0)
        for i in range(3):
            of_roll += g[i, 1] * r[i, 0] - g[i, 0] * r[i, 1]
        return vector(of_pitch, of_yaw, of_roll)

    @wp.func
    def sine_over_angle(square: scalar):
        """sin(a) / a of a²."""
        if square < scalar(SMALL):
            one = scalar(1.0)
            return one - square / scalar(6.0) * (one - square / scalar(20.0) * (one - square / scalar(42.0)))
        angle = wp.sqrt(square)
        return wp.sin(angle) / angle

    @wp.func
    def versine_over_square(square: scalar):
        """(1 - cos(a)) / a² of a²; by half the angle, where nothing cancels."""
        if square < scalar(SMALL):
            one = scalar(1.0)
            return scalar(0.5) - square / scalar(24.0) * (one - square / scalar(30.0) * (one - square / scalar(56.0)))
        sine = wp.sin(scalar(0.5) * wp.sqrt(square))
        return scalar(2.0) * sine * sine / square

    @wp.func
    def from_axis(axis: vector):
        """`axis_angle_to_matrix`."""
        square = wp.dot(axis, axis)
        cross = wp.skew(axis)
        zero = scalar(0.0)
        one = scalar(1.0)
        unit = matrix(one, zero, zero, zero, one, zero, zero, zero, one)
        return unit + sine_over_angle(square) * cross + versine_over_square(square) * (cross * cross)

    @wp.func
    def axis_gradient(axis: vector, g: matrix):
        """Of the axis-angle, from that of its matrix."""
        square = wp.dot(axis, axis)
        cross = wp.skew(axis)
        sine = sine_over_angle(square)
        versine = versine_over_square(square)
        # those of sine and versine, by the squared angle
        of_sine = (wp.cos(wp.sqrt(square)) - sine) / (scalar(2.0) * square)
        of_versine = (sine - scalar(2.0) * versine) / (scalar(2.0) * square)
        if square < scalar(SMALL):
            one = scalar(1.0)
            of_sine = -(one - square / scalar(10.0) * (one - square / scalar(28.0))) / scalar(6.0)
            of_versine = -(one - square / scalar(15.0) * (one - square * scalar(3.0) / scalar(112.0))) / scalar(24.0)
        of_square = of_sine * wp.ddot(g, cross) + of_versine * wp.ddot(g, cross * cross)
        other = wp.transpose(cross)
        of_cross = sine * g + versine * (g * other + other * g)
        turned = vector(
            of_cross[2, 1] - of_cross[1, 2], of_cross[0, 2] - of_cross[2, 0], of_cross[1, 0] - of_cross[0, 1]
        )
        return turned + scalar(2.0) * of_square * axis

    @wp.func
    def rotation_of(
        pose: wp.array(dtype=scalar, ndim=2),
        axes: wp.array(dtype=scalar, ndim=2),
        matrices: wp.array(dtype=scalar, ndim=3),
        face: int,
    ):
        """A face's matrix: its own, else of its axis, else of the pose's angles."""
        if matrices.shape[0] > 0:
            r = matrix()
            for i in range(3):
                for j in range(3):
                    r[i, j] = matrices[face, i, j]
            return r
        if axes.shape[0] > 0:
            return from_axis(vector(axes[face, 0], axes[face, 1], axes[face, 2]))
        return from_angles(pose[face, 0], pose[face, 1], pose[face, 2])

    @wp.func
    def sign_of_x(flips: wp.array(dtype=wp.bool), face: int):
        """-1 for a face that is mirrored; no array, no such face."""
        sign = scalar(1.0)
        if flips.shape[0] > 0:  # noqa: SIM102 (Warp evaluates both sides of `and`)
            if flips[face]:
                sign = scalar(-1.0)
        return sign

    @wp.func
    def place_of(
        pose: wp.array(dtype=scalar, ndim=2), heights: wp.array(dtype=scalar), height: scalar, exact: int, face: int
    ):
        """x and y of the model's origin in the image frame."""
        below = height
        if heights.shape[0] > 0:
            below = heights[face]
        x = pose[face, 3]
        y = below - pose[face, 4]
        if exact == 1:
            x -= scalar(1.0)
        else:
            y -= scalar(1.0)
        return x, y

    @wp.kernel(module=module)
    def to_crop(
        pose: wp.array(dtype=scalar, ndim=2),
        axes: wp.array(dtype=scalar, ndim=2),
        matrices: wp.array(dtype=scalar, ndim=3),
        similarity: wp.array(dtype=scalar, ndim=3),
        heights: wp.array(dtype=scalar),
        height: scalar,
        flips: wp.array(dtype=wp.bool),
        exact: int,
        across: scalar,
        linear_out: wp.array(dtype=vector, ndim=2),
        shift_out: wp.array(dtype=vector),
        depth_row_out: wp.array(dtype=vector),
    ):
        """Model → crop: rows for x, y, z, and the shift of x and y, both mirrored if a face is; the row of depths.

        Of poses (B, 7); similarities (B, 3, 3); heights (B,), or one for all. Mirrored, x becomes across - x.
        """
        face = wp.tid()
        r = rotation_of(pose, axes, matrices, face)
        f = pose[face, 6]
        x, y = place_of(pose, heights, height, exact, face)
        sign = sign_of_x(flips, face)
        a = similarity[face, 0, 0]
        b = similarity[face, 0, 1]
        c = similarity[face, 1, 0]
        d = similarity[face, 1, 1]
        right = f * r[0]
        down = -f * r[1]
        near = wp.sqrt(wp.abs(a * d - b * c)) * (f * r[2])
        linear_out[face, 0] = sign * (a * right + b * down)
        linear_out[face, 1] = c * right + d * down
        linear_out[face, 2] = near
        depth_row_out[face] = near
        shift_x = sign * (a * x + b * y + similarity[face, 0, 2])
        if sign < scalar(0.0):
            shift_x += across
        shift_out[face] = vector(shift_x, c * x + d * y + similarity[face, 1, 2], scalar(0.0))

    @wp.kernel(module=module)
    def to_crop_gradient(
        pose: wp.array(dtype=scalar, ndim=2),
        axes: wp.array(dtype=scalar, ndim=2),
        matrices: wp.array(dtype=scalar, ndim=3),
        similarity: wp.array(dtype=scalar, ndim=3),
        heights: wp.array(dtype=scalar),
        height: scalar,
        flips: wp.array(dtype=wp.bool),
        exact: int,
        in_linear: wp.array(dtype=vector, ndim=2),
        in_shift: wp.array(dtype=vector),
        in_depth_row: wp.array(dtype=vector),
        pose_out: wp.array(dtype=scalar, ndim=2),
        axes_out: wp.array(dtype=vector),
        matrices_out: wp.array(dtype=matrix),
        similarity_out: wp.array(dtype=matrix),
        heights_out: wp.array(dtype=scalar),
    ):
        """What `to_crop` hands back to each argument; nothing to angles of a pose that another rotation replaced."""
        face = wp.tid()
        r = rotation_of(pose, axes, matrices, face)
        f = pose[face, 6]
        x, y = place_of(pose, heights, height, exact, face)
        sign = sign_of_x(flips, face)
        a = similarity[face, 0, 0]
        b = similarity[face, 0, 1]
        c = similarity[face, 1, 0]
        d = similarity[face, 1, 1]
        right = f * r[0]
        down = -f * r[1]
        area = a * d - b * c
        scale = wp.sqrt(wp.abs(area))
        g_x = sign * in_linear[face, 0]
        g_y = in_linear[face, 1]
        g_z = in_linear[face, 2] + in_depth_row[face]
        s_x = sign * in_shift[face][0]
        s_y = in_shift[face][1]

        of_area = f * wp.dot(g_z, r[2]) * wp.sign(area) / (scalar(2.0) * scale)
        similarity_out[face] = matrix(
            wp.dot(g_x, right) + s_x * x + of_area * d, wp.dot(g_x, down) + s_x * y - of_area * c, s_x,
            wp.dot(g_y, right) + s_y * x - of_area * b, wp.dot(g_y, down) + s_y * y + of_area * a, s_y,
            scalar(0.0), scalar(0.0), scalar(0.0),
        )  # fmt: skip
        of_y = b * s_x + d * s_y
        if heights_out.shape[0] > 0:
            heights_out[face] = of_y

        g_right = a * g_x + c * g_y
        g_down = -(b * g_x + d * g_y)
        g_near = scale * g_z
        g = wp.matrix_from_rows(f * g_right, f * g_down, f * g_near)
        angles = vector(scalar(0.0), scalar(0.0), scalar(0.0))
        if matrices.shape[0] > 0:
            matrices_out[face] = g
        elif axes.shape[0] > 0:
            axes_out[face] = axis_gradient(vector(axes[face, 0], axes[face, 1], axes[face, 2]), g)
        else:
            angles = angles_gradient(pose[face, 0], pose[face, 1], pose[face, 2], r, g)
        for k in range(3):
            pose_out[face, k] = angles[k]
        pose_out[face, 3] = a * s_x + c * s_y
        pose_out[face, 4] = -of_y
        pose_out[face, 5] = scalar(0.0)
        pose_out[face, 6] = wp.dot(g_right, r[0]) + wp.dot(g_down, r[1]) + wp.dot(g_near, r[2])

    return SimpleNamespace(to_crop=to_crop, to_crop_gradient=to_crop_gradient)
