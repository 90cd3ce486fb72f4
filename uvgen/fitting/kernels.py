"""Compiled code for fitting: plain loops over checked, C-contiguous arrays, into buffers of the caller."""

from uvgen.compiled import kernel


@kernel
def landmark_covariances(spread, place, rows, covariance_out):
    """Covariances of landmarks in pictures.

    spread (p, p, 3, 3) float64: of points in the model; place (n, l) int64: which point each landmark of a face is;
    rows (n, l, 2, 3) float64: from the model's axes to what counts of a landmark in the picture;
    covariance_out (n, 2 l, 2 l) float64.
    """
    for f in range(place.shape[0]):
        for i in range(place.shape[1]):
            for a in range(2):
                x, y, z = rows[f, i, a, 0], rows[f, i, a, 1], rows[f, i, a, 2]
                for j in range(i + 1):
                    c = spread[place[f, i], place[f, j]]
                    u = x * c[0, 0] + y * c[1, 0] + z * c[2, 0]
                    v = x * c[0, 1] + y * c[1, 1] + z * c[2, 1]
                    w = x * c[0, 2] + y * c[1, 2] + z * c[2, 2]
                    for b in range(2):
                        value = u * rows[f, j, b, 0] + v * rows[f, j, b, 1] + w * rows[f, j, b, 2]
                        covariance_out[f, 2 * i + a, 2 * j + b] = value
                        covariance_out[f, 2 * j + b, 2 * i + a] = value
