"""The cumulative error curve: which share of faces has at most which error, as SVG and PNG."""

import math
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import InputError
from uvgen.storage.names import printable
from uvgen.wording import count

_WIDTH, _HEIGHT = 640, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 40, 52
_COLORS = ("#0b62a4", "#c43e1c", "#3b7d23", "#7b3fa0", "#8a6d00", "#444444")
_SHARE = 0.95  # of faces that the axis reaches
_FINE = 2  # pixels of the picture for a unit of the drawing


class Curve(NamedTuple):
    """A named row of errors, shares of the box."""

    name: str
    errors: NDArray[np.float64]


class _Plot(NamedTuple):
    """What both pictures draw, in units of the drawing: x right, y down."""

    title: str
    label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[tuple[str, str, list[tuple[float, float]]]]
    """Name, color and corners of each curve."""


def _plot(curves: list[Curve], title: str, label: str, most: float | None) -> _Plot:
    known = [Curve(one.name, np.sort(one.errors[np.isfinite(one.errors)])) for one in curves]
    known = [one for one in known if len(one.errors)]
    if not known:
        raise InputError("curves: without a finite error, expected one face or more")
    reach = most or max(float(np.quantile(one.errors, _SHARE)) for one in known) or 1.0
    step = round_step(reach / 6)
    n_steps = max(1, math.ceil(reach / step - 1e-9))
    end = n_steps * step
    across, up = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(error: float, share: float) -> tuple[float, float]:
        return _LEFT + across * min(error / end, 1.0), _TOP + up * (1 - share)

    lines = []
    for k, one in enumerate(known):
        n = len(one.errors)
        inside = one.errors[one.errors <= end]
        corners = [place(0.0, 0.0)]
        for j, error in enumerate(inside.tolist()):
            corners += [place(error, j / n), place(error, (j + 1) / n)]
        corners.append(place(end, len(inside) / n))
        mean = f"{one.name}: mean {100 * one.errors.mean():.2f}%, {count(n, 'face')}"
        lines.append((mean, _COLORS[k % len(_COLORS)], _thinned(corners)))
    x_ticks = [(place(k * step, 0)[0], f"{100 * k * step:.4g}") for k in range(n_steps + 1)]
    y_ticks = [(place(0, k / 5)[1], f"{20 * k}") for k in range(6)]
    return _Plot(printable(title), label, x_ticks, y_ticks, lines)


def _thinned(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without those that lie within a tenth of a unit of the one before: thousands of faces are one line."""
    kept = corners[:1]
    for x, y in corners[1:-1]:
        if abs(x - kept[-1][0]) + abs(y - kept[-1][1]) >= 0.1:
            kept.append((x, y))
    return [*kept, corners[-1]]


def round_step(value: float) -> float:
    """1, 2 or 5 times a power of ten, not less than this value: the step of an axis or the width of a bin."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-12)))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9)))


def curve_svg(curves: list[Curve], title: str, label: str = "NME (%)", *, most: float | None = None) -> str:
    """The curves as a picture of lines.

    Parameters
    ----------
    curves : list of Curve
        One or more with a finite error; NaN do not count, and are to be named elsewhere.
    title, label : str
        Above, and of the axis of errors.
    most : float, optional
        Where the axis ends, a share; by default where 95 % of the faces are.

    Returns
    -------
    str
        SVG.

    Raises
    ------
    InputError
        If there is no finite error.
    """
    plot = _plot(curves, title, label, most)
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="14">{escape(plot.title)}</text>',
    ]
    for x, text in plot.x_ticks:
        parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>')
    for y, text in plot.y_ticks:
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(plot.label)}</text>')
    parts.append(f'<text x="14" y="{_TOP - 8}">faces (%)</text>')
    for k, (name, color, corners) in enumerate(plot.lines):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        y = bottom - 12 - 16 * (len(plot.lines) - 1 - k)
        parts.append(f'<text x="{right - 8}" y="{y}" text-anchor="end" fill="{color}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def curve_picture(
    curves: list[Curve], title: str, label: str = "NME (%)", *, most: float | None = None
) -> NDArray[np.uint8]:
    """The same curves as pixels, (h, w, 3) uint8 RGB; see `curve_svg`."""
    from PIL import Image, ImageDraw, ImageFont

    plot, f = _plot(curves, title, label, most), _FINE
    picture = Image.new("RGB", (f * _WIDTH, f * _HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    font, large = (ImageFont.load_default(size=f * size) for size in (12, 14))
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def text(x: float, y: float, words: str, anchor: str, fill: str = "black", which: Any = font) -> None:
        draw.text((f * x, f * y), words, fill=fill, font=which, anchor=anchor)

    text(_LEFT, 24, plot.title, "ls", which=large)
    for x, words in plot.x_ticks:
        draw.line([(f * x, f * _TOP), (f * x, f * bottom)], fill="#dddddd", width=f)
        text(x, bottom + 18, words, "ms")
    for y, words in plot.y_ticks:
        draw.line([(f * _LEFT, f * y), (f * right, f * y)], fill="#dddddd", width=f)
        text(_LEFT - 8, y + 4, words, "rs")
    text((_LEFT + right) / 2, _HEIGHT - 12, plot.label, "ms")
    text(14, _TOP - 8, "faces (%)", "ls")
    for k, (name, color, corners) in enumerate(plot.lines):
        draw.line([(f * x, f * y) for x, y in corners], fill=color, width=2 * f)
        text(right - 8, bottom - 12 - 16 * (len(plot.lines) - 1 - k), name, "rs", color)
    return np.asarray(picture)
