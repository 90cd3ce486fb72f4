"""The layout of a contact sheet: header, rows of panels, captions. What is shown comes from `uvgen.preview`."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from uvgen.geometry import wrapped_deg
from uvgen.preview.drawing import ANNOTATED, LEFT, MIDDLE, PANEL, PAPER, RIGHT, ramp
from uvgen.storage.names import brief, same_name

THUMB = 176
"""Pixels along each side of the header's pictures."""

# Sizes of text, px, at the sheet's own width; still to be read where a page shows the sheet half as wide.
_TITLE_TEXT, _TEXT, _SMALL_TEXT = 30, 19, 16
_GAP, _MARGIN, _LINE, _TITLES, _LEGEND = 8, 28, 27, 30, 34
_TITLES_EVERY = 6  # rows after which the columns' titles stand again, for who scrolls
_INK, _GRAY, _RED = (24, 27, 31), (104, 110, 118), (196, 30, 30)
_BARS, _BOARD = (128, 146, 170), (245, 246, 248)
_FINE = 4  # drawn this many times larger, then averaged


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One sample: its name, a remark, what is wrong with it (in red), its panels, and a second line with titles."""

    name: str
    remark: str
    problems: tuple[str, ...]
    pictures: tuple[Image.Image, ...]
    more: tuple[Image.Image, ...] = ()
    more_titles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """A title, lines below it, a verdict (red if `bad`), and pictures with their captions."""

    title: str
    lines: tuple[str, ...]
    verdict: str
    bad: bool
    thumbs: tuple[tuple[Image.Image, str], ...]
    crosses: str = "annotated"  # what the green crosses mean


def compose(header: Header, titles: Sequence[str], rows: Sequence[Row]) -> Image.Image:
    """Put a sheet together: one column of rows, as wide as a screen, so that people scroll down alone.

    Parameters
    ----------
    header : Header
        Above all.
    titles : sequence of str
        One a column; they stand again after each six rows.
    rows : sequence of Row
        With as many pictures as there are titles, each `PANEL` px wide and high.

    Returns
    -------
    Image
        RGB.
    """
    inner = len(titles) * (PANEL + _GAP) - _GAP
    space = inner - len(header.thumbs) * (THUMB + 20)  # left of the pictures
    lines = [*((line, _GRAY) for line in header.lines), (header.verdict, _RED if header.bad else _INK)]
    about = [piece for line in lines for piece in _wrapped([line], _TEXT, space)]
    captions = [
        _wrapped([(brief(row.name), _INK), (row.remark, _GRAY), ("; ".join(row.problems), _RED)], _TEXT, inner)
        for row in rows
    ]
    legend_y, below_thumbs = _MARGIN + 48 + _LINE * len(about), _MARGIN + THUMB + 30
    if header.thumbs:
        legend_y = max(legend_y, _MARGIN + THUMB - 18)
    y = max(legend_y + _LEGEND, below_thumbs if header.thumbs else 0) + 12
    tops = []
    for number, caption in enumerate(captions):
        y += _TITLES if number % _TITLES_EVERY == 0 else 0
        tops.append(y)
        y += _LINE * len(caption) + 4 + PANEL + _GAP
        y += _TITLES + PANEL + _GAP if rows[number].more else 0
    sheet = Image.new("RGB", (2 * _MARGIN + inner, y + _MARGIN - _GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 8), _cut(header.title, _TITLE_TEXT, space), _INK, _font(_TITLE_TEXT))
    _draw_lines(draw, about, _MARGIN, _MARGIN + 40)
    _draw_legend(draw, _MARGIN, legend_y, header.crosses)
    for number, (picture, caption_of_thumb) in enumerate(reversed(header.thumbs)):
        x = sheet.width - _MARGIN - THUMB - number * (THUMB + 20)
        sheet.paste(picture, (x, _MARGIN))
        draw.text((x, _MARGIN + THUMB + 4), caption_of_thumb, _GRAY, _font(_SMALL_TEXT))
    for number, (row, caption, top) in enumerate(zip(rows, captions, tops, strict=True)):
        if number % _TITLES_EVERY == 0:
            for column, title in enumerate(titles):
                draw.text((_MARGIN + column * (PANEL + _GAP), top - _TITLES), title, _GRAY, _font(_SMALL_TEXT))
        _draw_lines(draw, caption, _MARGIN, top)
        for column, picture in enumerate(row.pictures):
            sheet.paste(picture, (_MARGIN + column * (PANEL + _GAP), top + _LINE * len(caption) + 4))
        below = top + _LINE * len(caption) + 4 + PANEL + _GAP
        for column, (picture, title) in enumerate(zip(row.more, row.more_titles, strict=True)):
            x = _MARGIN + column * (PANEL + _GAP)
            draw.text((x, below), title, _GRAY, _font(_SMALL_TEXT))
            sheet.paste(picture, (x, below + _TITLES))
    return sheet


_Line = list[tuple[float, str, tuple[int, int, int]]]
"""Pieces of text with their places from the left, px, and colors."""


_WITHOUT_MARKS = {"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L",
                  "đ": "d", "Đ": "D", "ð": "d", "þ": "th", "ı": "i", "–": "-", "—": "-", "×": "x"}  # fmt: skip


@lru_cache(maxsize=1024)
def _is_drawn(letter: str) -> bool:
    """Whether Pillow's own font, the same on every machine, has a letter."""
    font = _font(_TEXT)
    missing, found = font.getmask("\uffff"), font.getmask(letter)
    return found.size != missing.size or bytes(found) != bytes(missing)


def drawable(text: str) -> str:
    """A text in letters that the font has: others without their accents, or as the escapes of their code points."""
    if text.isascii():
        return text
    found = []
    for letter in same_name(text):
        if _is_drawn(letter):
            found.append(letter)
        else:
            plain = "".join(
                _WITHOUT_MARKS.get(c, c) for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c)
            )
            found.append(plain if plain and all(map(_is_drawn, plain)) else letter.encode("unicode_escape").decode())
    return "".join(found)


def _wrapped(parts: Sequence[tuple[str, tuple[int, int, int]]], size: int, width: int) -> list[_Line]:
    """Parts of a text, each in its color, in lines of at most `width` px, broken between words if that does."""
    font, lines, x = _font(size), [[]], 0.0  # type: Any, list[_Line], float
    blank = font.getlength(" ")
    for text, color in ((drawable(part), color) for part, color in parts):
        for word in text.split(" ") if text else ():
            while word:
                fits = len(word)
                while fits > 1 and font.getlength(word[:fits]) > width:  # one word, longer than a line
                    fits -= 1
                length = font.getlength(word[:fits])
                if x + length > width and lines[-1]:
                    lines.append([])
                    x = 0.0
                lines[-1].append((x, word[:fits], color))
                x, word = x + length, word[fits:]
            x += blank
        x += 16 if text else 0
    return lines


def _cut(text: str, size: int, width: int) -> str:
    """A text, its end cut off if it is longer than `width` px."""
    text = drawable(text)
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _draw_lines(draw: ImageDraw.ImageDraw, lines: Sequence[_Line], left: int, top: int) -> None:
    for number, line in enumerate(lines):
        for x, text, color in line:
            draw.text((left + x, top + _LINE * number), text, color, _font(_TEXT))


def _draw_legend(draw: ImageDraw.ImageDraw, x: int, y: int, crosses: str) -> None:
    """What the colors of dots and the crosses mean."""
    font = _font(_SMALL_TEXT)
    for color, text in ((RIGHT, "person's right"), (MIDDLE, "middle"), (LEFT, "person's left"), (None, "hidden")):
        draw.ellipse([x, y + 4, x + 10, y + 14], fill=color or _GRAY, outline=_INK)
        if color is None:
            draw.ellipse([x + 3, y + 7, x + 7, y + 11], fill=_INK)
        draw.text((x + 15, y), text, _GRAY, font)
        x += 15 + round(draw.textlength(text, font)) + 20
    for width, color in ((3, _INK), (1, ANNOTATED)):
        draw.line([x, y + 9, x + 10, y + 9], fill=color, width=width)
        draw.line([x + 5, y + 4, x + 5, y + 14], fill=color, width=width)
    draw.text((x + 15, y), crosses, _GRAY, font)
    x += 15 + round(draw.textlength(crosses, font)) + 20
    draw.text((x, y), "far", _GRAY, font)
    x += 26
    for k, color in enumerate(ramp(np.linspace(0, 1, 120)).tolist()):
        draw.line([x + k, y + 4, x + k, y + 14], fill=tuple(color))
    draw.text((x + 126, y), "near", _GRAY, font)


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
    yaws_deg, shown_deg = wrapped_deg(yaws_deg), wrapped_deg(shown_deg)
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
        draw.text((x, base + 10 * _FINE), label, _GRAY, font)
    return picture.reduce(_FINE)


def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)
