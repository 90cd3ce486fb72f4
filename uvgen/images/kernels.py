"""Compiled code that samples images."""

import numpy as np

from uvgen.compiled import kernel, larger, smaller

# Weights along an axis are whole numbers in 2^-11 (2048), so that products along two axes have 22 bits behind the
# point: `1 << 21` is half a gray level, and `>> 22` leaves whole ones. Rounding a place to 2^-11 moves it by at most
# 0.0005 px: where the pixel to the right or below is read unasked, places end 1.001 px, not 1 px, before the edge.

u1, u8, i4, i8 = np.uint8, np.uint64, np.int32, np.int64
# numbers that are called for in a kernel take longer to compile
U1, U2, U3, U4, U5, U6, U7, U8, U9, U10, U11, U13 = (u8(n) for n in (*range(1, 12), 13))
U16, U21, U24, U26, U32, U34, U40, U48, U55, U56 = map(u8, (16, 21, 24, 26, 32, 34, 40, 48, 55, 56))
U256, U2047, U8192 = u8(256), u8(2047), u8(8192)
RED, GREEN, BLUE = u8(0xFF), u8(0xFF << 21), u8(0xFF << 42)  # bytes 21 bits apart
HALF_GRAY = u8(0x1000 | (0x1000 << 21) | (0x1000 << 42))  # 2^12 of 2^13, in all three channels


@kernel
def _interior_columns(slope, start, stop, n):
    """Columns first..last-1 of 0..n-1 where 0 <= slope * column + start < stop."""
    if slope == 0.0:
        return (0, n) if 0.0 <= start < stop else (0, 0)
    low, high = -start / slope, (stop - start) / slope
    if slope < 0:
        low, high = high, low
    first = smaller(larger(np.ceil(low), 0.0), float(n))
    last = smaller(larger(np.ceil(high), first), float(n))
    return int(first), int(last)


@kernel
def _sample_at_border(image, x, y, pixel_out):
    """One bilinear sample of a uint8 image that is 0 outside; x, y float64."""
    height, width, channels = image.shape
    if not (x > -1.0 and y > -1.0 and x < width and y < height):
        for c in range(channels):
            pixel_out[c] = 0
        return
    x_first, y_first = int(np.floor(x)), int(np.floor(y))
    fx, fy = int((x - x_first) * 2048 + 0.5), int((y - y_first) * 2048 + 0.5)
    for c in range(channels):
        total = 1 << 21
        for k in range(4):
            dy, dx = k >> 1, k & 1
            yy, xx = y_first + dy, x_first + dx
            if (yy >= 0) & (xx >= 0) & (yy < height) & (xx < width):
                total += (fx if dx else 2048 - fx) * (fy if dy else 2048 - fy) * image[yy, xx, c]
        pixel_out[c] = u1(total >> 22)


@kernel
def warp_bilinear(image, inverse, crop_out):
    """Sample an image at `inverse` (2, 3) float64 @ (column, row, 1) of each crop pixel, bilinearly.

    Outside the image everything is 0, and the outermost pixels blend into that, as in scikit-image's warp
    with mode="constant". Weights have 11 bits an axis: within 1 gray level of the exact result.
    image (h, w, c) uint8; crop_out (r, s, c) uint8.
    """
    height, width, channels = image.shape
    flat = image.reshape(-1)
    right, below = u8(channels), u8(width * channels)
    n_columns = crop_out.shape[1]
    for row in range(crop_out.shape[0]):
        x0 = inverse[0, 1] * row + inverse[0, 2]
        y0 = inverse[1, 1] * row + inverse[1, 2]
        first_x, last_x = _interior_columns(inverse[0, 0], x0, width - 1.001, n_columns)
        first_y, last_y = _interior_columns(inverse[1, 0], y0, height - 1.001, n_columns)
        first = larger(first_x, first_y)
        last = larger(smaller(last_x, last_y), first)
        for column in range(first):
            _sample_at_border(image, inverse[0, 0] * column + x0, inverse[1, 0] * column + y0, crop_out[row, column])
        for column in range(first, last):
            x, y = inverse[0, 0] * column + x0, inverse[1, 0] * column + y0
            x_fixed, y_fixed = u8(larger(x * 2048 + 0.5, 0.0)), u8(larger(y * 2048 + 0.5, 0.0))
            fx, fy = i4(x_fixed & U2047), i4(y_fixed & U2047)
            gx, gy = i4(2048) - fx, i8(2048) - fy
            upper = (y_fixed >> U11) * below + (x_fixed >> U11) * right
            lower = upper + below
            for c in range(channels):
                k = u8(c)
                top = i4(flat[upper + k]) * gx + i4(flat[upper + right + k]) * fx
                bottom = i4(flat[lower + k]) * gx + i4(flat[lower + right + k]) * fx
                crop_out[row, column, c] = u1((top * gy + bottom * i8(fy) + (1 << 21)) >> 22)
        for column in range(last, n_columns):
            _sample_at_border(image, inverse[0, 0] * column + x0, inverse[1, 0] * column + y0, crop_out[row, column])


@kernel
def _word(flat, k):
    """Bytes k..k+7 of a uint8 array as one number, the first lowest: compiled to one load."""
    word = u8(flat[k])
    word |= u8(flat[k + U1]) << U8
    word |= u8(flat[k + U2]) << U16
    word |= u8(flat[k + U3]) << U24
    word |= u8(flat[k + U4]) << U32
    word |= u8(flat[k + U5]) << U40
    word |= u8(flat[k + U6]) << U48
    return word | (u8(flat[k + U7]) << U56)


@kernel
def _spread(word):
    """A word's lowest three bytes, 21 bits apart: room for each to be multiplied by weights of 2^13 in all."""
    red = word & RED
    green = (word << U13) & GREEN
    return red | green | ((word << U26) & BLUE)


@kernel
def warp_rgb(image, inverse, scratch, crop_out):
    """`warp_bilinear` for RGB, seven times as fast.

    Each source row's 8 bytes at a sample hold both its pixels there, and a pixel's three channels are weighted by
    one multiplication. A row of the crop is made in steps of one kind of work each (addresses, loads, arithmetic,
    stores), so that all but the loads and stores run in vector lanes. Positions advance in 2^-32 px.
    image (h, w, 3) uint8; inverse (2, 3) float64; scratch (3, s) uint64; crop_out (r, s, 3) uint8.
    """
    height, width = image.shape[0], image.shape[1]
    flat, crop = image.reshape(-1), crop_out.reshape(-1)
    stride = 3 * width
    below, n_columns = u8(stride), crop_out.shape[1]
    one, limit = 4294967296.0, 1073741824.0  # 2^32, and 2^30 px for each crop px, so that steps fit into 63 bits
    step_x = i8(np.rint(smaller(larger(inverse[0, 0], -limit), limit) * one))
    step_y = i8(np.rint(smaller(larger(inverse[1, 0], -limit), limit) * one))
    places, upper, lower = scratch[0], scratch[1], scratch[2]
    for row in range(crop_out.shape[0]):
        x0 = inverse[0, 1] * row + inverse[0, 2]
        y0 = inverse[1, 1] * row + inverse[1, 2]
        near_x = _interior_columns(inverse[0, 0], x0 + 1.0, width + 1.0, n_columns)
        near_y = _interior_columns(inverse[1, 0], y0 + 1.0, height + 1.0, n_columns)
        start = larger(near_x[0], near_y[0])
        stop = larger(smaller(near_x[1], near_y[1]), start)
        inside_x = _interior_columns(inverse[0, 0], x0, width - 2.001, n_columns)  # 8 bytes reach into a third pixel
        inside_y = _interior_columns(inverse[1, 0], y0, height - 1.001, n_columns)
        first = smaller(larger(larger(inside_x[0], inside_y[0]), start), stop)
        last = smaller(larger(smaller(inside_x[1], inside_y[1]), first), stop)
        # what is left and right of something, in one loop: each loop takes time to compile
        for k in range(start + n_columns - stop):
            column = k if k < start else k - start + stop
            crop_out[row, column, 0] = crop_out[row, column, 1] = crop_out[row, column, 2] = 0
        for k in range(start, stop - last + first):
            column = k if k < first else k - first + last
            _sample_at_border(image, inverse[0, 0] * column + x0, inverse[1, 0] * column + y0, crop_out[row, column])
        if last == first:
            continue
        x = i8((x0 + inverse[0, 0] * first) * one) + i8(1 << 20)  # half a step of the 11-bit weights
        y = i8((y0 + inverse[1, 0] * first) * one) + i8(1 << 20)
        for k in range(last - first):
            places[k] = u8(((y + k * step_y) >> 32) * stride + ((x + k * step_x) >> 32) * 3)
        for k in range(last - first):
            upper[k], lower[k] = _word(flat, places[k]), _word(flat, places[k] + below)
        for k in range(last - first):
            fx = (u8(x + k * step_x) >> U21) & U2047
            fy = (u8(y + k * step_y) >> U21) & U2047
            both = (fx * fy + U256) >> U9  # 22 bits to the 13 that a channel's field has room for
            right, down = (fx << U2) - both, (fy << U2) - both
            total = _spread(upper[k]) * (U8192 - right - down - both) + HALF_GRAY
            total += _spread(upper[k] >> U24) * right
            total += _spread(lower[k]) * down
            upper[k] = total + _spread(lower[k] >> U24) * both
        pixel = u8(3 * (row * n_columns + first))
        for k in range(last - first):
            crop[pixel] = u1(upper[k] >> U13)
            crop[pixel + U1] = u1(upper[k] >> U34)
            crop[pixel + U2] = u1(upper[k] >> U55)
            pixel += U3


@kernel
def average_blocks(image, first, block, sums, blocks_out):
    """Means of squares of pixels, as far as `blocks_out` reaches; what lies beyond the image's edge counts as 0.

    All sums of `block` neighbors in a row are made, though one in `block` is used: that runs in vector lanes.
    image (h, w, c) uint8; first (2,) int64: row and column of the first block, counted in blocks; block int: side of
    the squares, px; sums (2, n * block * c) float32: scratch, exact for blocks up to 256; blocks_out (m, n, c) uint8.
    """
    height, width, channels = image.shape
    rows, goals = image.reshape(height, -1), blocks_out.reshape(blocks_out.shape[0], -1)
    share, half = np.float32(1.0 / (float(block) * float(block))), np.float32(0.5)
    start = first[1] * block * channels
    stop = smaller(start + sums.shape[1], width * channels)
    down, across = sums[0], sums[1, : sums.shape[1] - (block - 1) * channels]
    step, n_channels = u8(block * channels), u8(channels)
    for row in range(blocks_out.shape[0]):
        down[:] = 0
        y = (first[0] + row) * block
        for source in range(y, smaller(y + block, height)):
            line = rows[source, start:stop]
            for k in range(line.shape[0]):
                down[k] += np.float32(line[k])
        across[:] = 0
        for j in range(block):
            shifted = down[j * channels : j * channels + across.shape[0]]
            for k in range(across.shape[0]):
                across[k] += shifted[k]
        for k in range(across.shape[0]):
            across[k] = across[k] * share + half
        goal = goals[row]
        for c in range(channels):
            place, target = u8(c), u8(c)
            for _ in range(blocks_out.shape[1]):
                goal[target] = u1(i4(across[place]))
                place += step
                target += n_channels


@kernel
def warp_mean(image, inverses, scratch, sample, sums, crop_out):
    """The mean of crops sampled at several `inverses` (n, 2, 3) float64, rounded once more.

    image (h, w, c) uint8; scratch (3, s) uint64; sample (r, s, c) uint8 and sums (r * s * c,) uint16: scratch;
    crop_out (r, s, c) uint8; n at most 256.
    """
    n = inverses.shape[0]
    values, crop = sample.reshape(-1), crop_out.reshape(-1)
    sums[:] = n // 2
    for k in range(n):
        if image.shape[2] == 3 and image.shape[1] > 2:
            warp_rgb(image, inverses[k], scratch, sample)
        else:
            warp_bilinear(image, inverses[k], sample)
        for i in range(values.shape[0]):
            sums[i] += np.uint16(values[i])
    share = np.float32(1.0 / n)
    for i in range(values.shape[0]):
        crop[i] = u1((np.float32(sums[i]) + np.float32(0.5)) * share)  # the half keeps whole numbers from falling


@kernel
def _sample_bicubic_at_border(image, x, y, weights, pixel_out):
    """`warp_bicubic` of one pixel, if some of its 16 may lie outside; x, y: int64 px times the table's rows."""
    height, width, channels = image.shape
    n = weights.shape[0]
    column, row = x // n, y // n
    across, down = weights[x - column * n], weights[y - row * n]
    for c in range(channels):
        total = i4(1 << 21)
        for j in range(4):
            for i in range(4):
                yy, xx = row - 1 + j, column - 1 + i
                if yy >= 0 and xx >= 0 and yy < height and xx < width:
                    total += across[i] * down[j] * i4(image[yy, xx, c])
        pixel_out[c] = u1(smaller(larger(total >> 22, 0), 255))


@kernel
def warp_bicubic(image, inverse, weights, crop_out):
    """`warp_bilinear` with a kernel of 4 × 4 pixels.

    image (h, w, 3) uint8; inverse (2, 3) float64; weights (n, 4) int32: of the four pixels along an axis, in 2^-11, for
    each n-th of the way from the second to the third; crop_out (r, s, 3) uint8.
    """
    height, width = image.shape[0], image.shape[1]
    flat, stride, n = image.reshape(-1), 3 * image.shape[1], weights.shape[0]
    n_columns = crop_out.shape[1]
    for row in range(crop_out.shape[0]):
        x0 = inverse[0, 1] * row + inverse[0, 2]
        y0 = inverse[1, 1] * row + inverse[1, 2]
        seen_x = _interior_columns(inverse[0, 0], x0 + 2.0, width + 3.0, n_columns)
        seen_y = _interior_columns(inverse[1, 0], y0 + 2.0, height + 3.0, n_columns)
        start = larger(seen_x[0], seen_y[0])
        stop = larger(smaller(seen_x[1], seen_y[1]), start)
        for column in range(start):
            crop_out[row, column, 0] = crop_out[row, column, 1] = crop_out[row, column, 2] = 0
        for column in range(stop, n_columns):
            crop_out[row, column, 0] = crop_out[row, column, 1] = crop_out[row, column, 2] = 0
        for column in range(start, stop):
            x = i8(np.floor((inverse[0, 0] * column + x0) * n + 0.5))
            y = i8(np.floor((inverse[1, 0] * column + y0) * n + 0.5))
            left, top = x // n - 1, y // n - 1
            if left < 0 or top < 0 or left + 4 > width or top + 4 > height:
                _sample_bicubic_at_border(image, x, y, weights, crop_out[row, column])
                continue
            across, down = weights[x - (left + 1) * n], weights[y - (top + 1) * n]
            w0, w1, w2, w3 = across[0], across[1], across[2], across[3]
            place = u8(top * stride + left * 3)
            red = green = blue = i4(1 << 21)
            for j in range(4):
                weight, k = down[j], place + u8(j * stride)
                red += weight * (
                    w0 * i4(flat[k]) + w1 * i4(flat[k + U3])
                    + w2 * i4(flat[k + U6]) + w3 * i4(flat[k + U9])
                )  # fmt: skip
                green += weight * (
                    w0 * i4(flat[k + U1]) + w1 * i4(flat[k + U4])
                    + w2 * i4(flat[k + U7]) + w3 * i4(flat[k + U10])
                )  # fmt: skip
                blue += weight * (
                    w0 * i4(flat[k + U2]) + w1 * i4(flat[k + U5])
                    + w2 * i4(flat[k + U8]) + w3 * i4(flat[k + U11])
                )  # fmt: skip
            crop_out[row, column, 0] = u1(smaller(larger(red >> 22, 0), 255))
            crop_out[row, column, 1] = u1(smaller(larger(green >> 22, 0), 255))
            crop_out[row, column, 2] = u1(smaller(larger(blue >> 22, 0), 255))
