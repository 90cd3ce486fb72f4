"""The layout of a contact sheet: header, rows of panels, captions. What is shown comes from `uvgen.preview`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from uvgen.preview.panels import ANNOTATED, LEFT, PANEL, PAPER, RIGHT, ramp
from uvgen.storage.names import brief

THUMB = 176
"""Pixels along each side of the header's pictures."""

_GAP, _MARGIN, _CAPTION, _TITLES, _BLOCK_GAP = 8, 28, 30, 26, 40
_ONE_BLOCK = 12  # more rows than these stand in two blocks side by side
_INK, _GREY, _RED = (24, 27, 31), (104, 110, 118), (196, 30, 30)
_BARS, _BOARD = (128, 146, 170), (245, 246, 248)
_FINE = 4  # drawn this many times larger, then averaged


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One sample: its name, a remark, what is wrong with it (in red), and its panels."""

    name: str
    remark: str
    problems: tuple[str, ...]
    pictures: tuple[Image.Image, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """A title, lines below it, a verdict (red where `bad`), and pictures with their captions."""

    title: str
    lines: tuple[str, ...]
    verdict: str
    bad: bool
    thumbs: tuple[tuple[Image.Image, str], ...]


def compose(header: Header, titles: Sequence[str], rows: Sequence[Row]) -> Image.Image:
    """Put a sheet together; more than twelve rows stand in two blocks side by side.

    Parameters
    ----------
    header : Header
        Above all.
    titles : sequence of str
        One a column.
    rows : sequence of Row
        With as many pictures as there are titles, each `PANEL` px wide and high.

    Returns
    -------
    Image
        RGB.
    """
    n_blocks = 1 if len(rows) <= _ONE_BLOCK else 2
    per_block = -(-len(rows) // n_blocks)
    block_width = len(titles) * (PANEL + _GAP) - _GAP
    width = 2 * _MARGIN + n_blocks * (block_width + _BLOCK_GAP) - _BLOCK_GAP
    top = _MARGIN + THUMB + 40
    height = top + _TITLES + per_block * (PANEL + _CAPTION) + _MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_header(sheet, draw, header)
    for block in range(n_blocks):
        left = _MARGIN + block * (block_width + _BLOCK_GAP)
        for column, title in enumerate(titles):
            draw.text((left + column * (PANEL + _GAP), top), title, _GREY, _font(15))
        for number, row in enumerate(rows[block * per_block : (block + 1) * per_block]):
            _draw_row(sheet, draw, row, left, top + _TITLES + number * (PANEL + _CAPTION))
    return sheet


def _draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, left: int, top: int) -> None:
    x: float = left
    for text, color in ((brief(row.name), _INK), (row.remark, _GREY), ("; ".join(row.problems), _RED)):
        draw.text((x, top + 6), text, color, _font(15))
        x += draw.textlength(text, _font(15)) + 22
    for column, picture in enumerate(row.pictures):
        sheet.paste(picture, (left + column * (PANEL + _GAP), top + _CAPTION))


def _draw_header(sheet: Image.Image, draw: ImageDraw.ImageDraw, header: Header) -> None:
    draw.text((_MARGIN, _MARGIN - 6), header.title, _INK, _font(28))
    lines = [*((line, _GREY) for line in header.lines), (header.verdict, _RED if header.bad else _INK)]
    for number, (line, color) in enumerate(lines):
        draw.text((_MARGIN, _MARGIN + 38 + 24 * number), line, color, _font(16))
    _draw_legend(draw, _MARGIN, _MARGIN + THUMB - 18)
    for number, (picture, caption) in enumerate(reversed(header.thumbs)):
        x = sheet.width - _MARGIN - THUMB - number * (THUMB + 20)
        sheet.paste(picture, (x, _MARGIN))
        draw.text((x, _MARGIN + THUMB + 4), caption, _GREY, _font(14))


def _draw_legend(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    """What the colours of dots mean."""
    font = _font(14)
    for color, text in ((RIGHT, "person's right"), (LEFT, "person's left"), (None, "hidden")):
        draw.ellipse([x, y + 4, x + 10, y + 14], fill=color or _GREY, outline=_INK)
        if color is None:
            draw.ellipse([x + 3, y + 7, x + 7, y + 11], fill=_INK)
        draw.text((x + 15, y), text, _GREY, font)
        x += 15 + round(draw.textlength(text, font)) + 20
    for width, color in ((3, _INK), (1, ANNOTATED)):
        draw.line([x, y + 9, x + 10, y + 9], fill=color, width=width)
        draw.line([x + 5, y + 4, x + 5, y + 14], fill=color, width=width)
    draw.text((x + 15, y), "annotated", _GREY, font)
    x += 15 + round(draw.textlength("annotated", font)) + 20
    draw.text((x, y), "far", _GREY, font)
    x += 26
    for k, color in enumerate(ramp(np.linspace(0, 1, 120)).tolist()):
        draw.line([x + k, y + 4, x + k, y + 14], fill=tuple(color))
    draw.text((x + 126, y), "near", _GREY, font)


def yaw_histogram(yaws_deg: NDArray[np.floating[Any]], shown_deg: NDArray[np.floating[Any]]) -> Image.Image:
    """How many samples look which way, in bins of 10°; red ticks mark those on the sheet.

    Parameters
    ----------
    yaws_deg, shown_deg : (n,), (k,) float
        Degrees; a full turn more or less is the same.

    Returns
    -------
    Image
        `THUMB` px wide and high.
    """
    picture = Image.new("RGB", (THUMB * _FINE, THUMB * _FINE), _BOARD)
    draw = ImageDraw.Draw(picture)
    yaws_deg, shown_deg = ((np.asarray(yaws) + 180) % 360 - 180 for yaws in (yaws_deg, shown_deg))
    reach = max(90.0, 10 * float(np.ceil(np.abs(yaws_deg).max() / 10)))
    counts, edges = np.histogram(yaws_deg, np.arange(-reach, reach + 1, 10))
    base, height = (THUMB - 28) * _FINE, (THUMB - 40) * _FINE

    def across(yaw_deg: float) -> float:
        return float(_FINE * (8 + (THUMB - 16) * (yaw_deg + reach) / (2 * reach)))

    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            top = base - max(_FINE, height * count / counts.max())
            draw.rectangle([across(left) + _FINE / 2, top, across(right) - _FINE / 2, base], fill=_BARS)
    for yaw in shown_deg.tolist():
        draw.line([across(yaw), base + 2 * _FINE, across(yaw), base + 8 * _FINE], fill=_RED, width=_FINE)
    font = _font(12 * _FINE)
    for yaw in (-reach, 0.0, reach):
        label = f"{yaw:+.0f}°" if yaw else "0°"
        width = draw.textlength(label, font)
        x = min(max(across(yaw) - width / 2, 4 * _FINE), (THUMB - 4) * _FINE - width)
        draw.text((x, base + 10 * _FINE), label, _GREY, font)
    return picture.reduce(_FINE)


def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)
