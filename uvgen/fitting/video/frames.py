"""Reading the frames of a video in order: of a video file, which PyAV decodes, or of a folder of pictures.

One frame is in memory at a time. The length that a file's header states is not trusted.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from uvgen.errors import DependencyError, InputError, UvgenError, to_install
from uvgen.fitting.tasks import Photograph
from uvgen.fitting.video.find import frame_files, frame_name
from uvgen.fitting.video.memory import bounded_memory
from uvgen.fitting.video.whole import begins_anew, has_gaps, has_two_indices, is_cut_short
from uvgen.fitting.worker import FaceJob, read_photograph
from uvgen.images.jpeg import encode_jpeg
from uvgen.images.orientation import exif_orientation, oriented
from uvgen.samples.files import check_machine
from uvgen.storage.files import sha256_of
from uvgen.storage.kinds import check_fetched
from uvgen.storage.names import brief, os_reason, printable
from uvgen.storage.reading import check_picture_size, is_elsewhere, max_bytes, open_regular

_QUALITY = 95  # of frames that are written as JPEG
_USUAL_RATE = 25.0  # frames per s, if neither the caller nor the file states it
_MOST_ASPECT = 1.02  # of pixels that count as square: sizes are rounded to even numbers
_DAMAGED = (
    "damaged, as its decoder says, or made from a picture that is; those after it up to the next key frame are left out"
)
_MOST_RATE = 100_000.0  # of frames that a file puts closer together, the times are not believed
# without playlists and lists of files, which could refer to other files or addresses
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,mpegtsraw,ogg,flv,asf,gif,apng,h264,hevc,av1,ivf,"
    "m4v,mjpeg,mxf,nut,rm,swf,vc1,y4m,yuv4mpegpipe"
)

_Result = TypeVar("_Result")


class Frame(NamedTuple):
    """A frame of a video."""

    number: int
    """Counted from 0 in a video file; the number in the name of a frame that is a file; -1 for a file without one."""
    time_s: float
    path: Path
    """The frame's file. For a frame of a video file, a path of the form VIDEO/frame_000123.jpg, by which its landmarks
    are looked up."""
    image: NDArray[np.uint8]
    """(h, w, 3) RGB."""
    data: bytes
    """Content of the frame's file if it can be copied unchanged, else empty."""
    suffix: str
    """File suffix of what `picture` returns."""
    problem: str = ""
    """Why the frame has no pixels; "" if it has."""
    is_unread: bool = False
    """Whether that is because a disk does not answer."""

    def picture(self) -> bytes:
        """Content of the picture to write: the frame's file, or a JPEG."""
        return self.data or encode_jpeg(self.image, _QUALITY)


_NOTHING = np.zeros((0, 0, 3), np.uint8)


def frames_of(job: FaceJob, video: Photograph, rate: float | None) -> Iterator[Frame]:
    """The frames of a video, in order.

    Parameters
    ----------
    job : FaceJob
        Says by `exif` whether pictures are turned upright.
    video : Photograph
        A video file, or a folder of pictures.
    rate : float, optional
        Frames per second. By default a file's own times count, and frames of a folder are 1/25 s apart.

    Yields
    ------
    Frame

    Raises
    ------
    InputError
        If a file is not a readable video, or is damaged: then after the last frame before the damage.
    DependencyError
        If a file has to be decoded and PyAV is not installed.
    """
    if video.path.is_dir():
        return _of_folder(job, video, rate or _USUAL_RATE)
    return _of_file(job, video, rate)


def _of_folder(job: FaceJob, video: Photograph, rate: float) -> Iterator[Frame]:
    try:
        good, bad = frame_files(video.path)
    except OSError as error:
        raise InputError(f"{video.path}: cannot be read ({os_reason(error)})") from error
    for path, problem in bad:
        yield Frame(-1, 0.0, path, _NOTHING, b"", "", problem)
    for number, path in good:
        try:
            data, image, turned = read_photograph(job, path)
        except UvgenError as error:
            check_machine(error)
            yield Frame(number, number / rate, path, _NOTHING, b"", "", str(error), is_elsewhere(error.__cause__))
            continue
        yield Frame(
            number, number / rate, path, image, b"" if turned else data, ".jpg" if turned else path.suffix.lower()
        )


def _of_file(job: FaceJob, video: Photograph, rate: float | None) -> Iterator[Frame]:
    av = import_av()
    try:
        with open_regular(video.path) as raw:
            file = _UnfailingFile(raw)
            try:
                yield from _decoded(av, file, job, video, rate)
            except InputError:
                file.check()
                raise
            file.check()
    except OSError as error:
        if isinstance(error, UvgenError):
            raise
        raise InputError(f"{video.path}: cannot be read ({os_reason(error)})") from error


def import_av() -> ModuleType:
    """PyAV; DependencyError if it is not installed."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"video: PyAV is not installed, which decodes video files; {to_install('video')}, or give a folder of "
            "frames"
        ) from error
    av.logging.set_level(av.logging.PANIC)  # errors are reported by exceptions
    return av


def check_opens(video: Photograph) -> None:
    """Raise InputError if a file is no video: before it is hashed, which takes long where it is large."""
    if video.path.is_dir():
        return
    av = import_av()
    try:
        check_fetched(video.path)
        with open_regular(video.path) as raw:
            file = _UnfailingFile(raw)
            try:
                _opened(av, file, video.path).close()
            except InputError:
                file.check()
                raise
            file.check()
    except OSError as error:
        if isinstance(error, UvgenError):
            raise
        raise InputError(f"{video.path}: cannot be read ({os_reason(error)})") from error


class _UnfailingFile:
    """A file that ends where its disk does not answer, which `check` says then.

    FFmpeg goes on reading after an error, and PyAV prints all but the first.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def read(self, n: int = -1) -> bytes:
        return self._unless_failed(b"", self._raw.read, n)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._unless_failed(0, self._raw.seek, offset, whence)

    def tell(self) -> int:
        return self._unless_failed(0, self._raw.tell)

    def _unless_failed(self, otherwise: _Result, call: Callable[..., _Result], *arguments: int) -> _Result:
        if self._failure is None:
            try:
                return call(*arguments)
            except OSError as error:
                self._failure = error
        return otherwise

    def check(self) -> None:
        """Raise the OSError by which it ended, if it did."""
        if self._failure is not None:
            raise self._failure


def _opened(av: Any, file: Any, path: Path) -> Any:
    try:
        with bounded_memory():
            return av.open(file, options={"format_whitelist": _FORMATS}, metadata_errors="replace")  # titles
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise InputError(f"{path}: not a readable video ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What FFmpeg says of a file, without numbers of errors and files, and what it logged."""
    return brief(getattr(error, "strerror", None) or error)


def _decoded(av: Any, file: Any, job: FaceJob, video: Photograph, rate: float | None) -> Iterator[Frame]:
    path = video.path
    with _opened(av, file, path) as container:
        if not container.streams.video:
            raise InputError(f"{path}: has no pictures, expected a video")
        stream = container.streams.best("video") or container.streams.video[0]  # the first may be a cover picture
        if stream.codec_context is None:
            raise InputError(f"{path}: pictures in a format that FFmpeg cannot decode, expected a video such as MP4")
        is_transport, stream_number = container.format.name == "mpegts", stream.id
        # one thread, so that the same frames of a damaged file are decoded each time
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        _check_pixels(path, stream.sample_aspect_ratio)
        usual = min(abs(float(rate or stream.average_rate or _USUAL_RATE)), _MOST_RATE)
        number, last, is_damaged = 0, -np.inf, False
        aspect = None
        decoded = _frames_in(container, stream)
        while True:
            try:
                _check_size(stream)
                with bounded_memory():
                    frame, packet = next(decoded, (None, None))
                if frame is None:
                    break
                check_picture_size(frame.width, frame.height)
                is_damaged = frame.is_corrupt or (is_damaged and not frame.key_frame)
                image = _NOTHING if is_damaged else frame.to_ndarray(format="rgb24")
                orientation = _orientation(frame, packet) if job.exif == "apply" and not is_damaged else 1
            except (av.FFmpegError, ValueError, MemoryError) as error:
                where = f"damaged after frame {number - 1}, the last that is used" if number else "not a readable video"
                raise InputError(f"{path}: {where} ({_reason(error)})") from error
            before, aspect = aspect, stream.codec_context.sample_aspect_ratio
            if number and aspect != before:  # as where a broadcast changes it
                _check_pixels(path, aspect, f" from frame {number} on")
            stated = None if rate or frame.time is None else float(frame.time)
            last = _next_time(last, stated, usual)
            shown = path.parent / path.stem / f"{frame_name(number)}.jpg"
            image = oriented(image, orientation)
            yield Frame(number, last, shown, np.ascontiguousarray(image), b"", ".jpg", _DAMAGED * is_damaged)
            number += 1
    if not number:
        raise InputError(f"{path}: holds no frames, expected a video")
    if (is_transport and begins_anew(file, stream_number)) or has_two_indices(file):
        raise InputError(
            f"{path}: after frame {number - 1}, the last that is used, before the first, or between, it has pictures "
            "that FFmpeg does not read, as files that were joined; give each by itself, or join them with FFmpeg"
        )
    if is_cut_short(file):
        why = "the file is shorter than it states; copy it again"
        raise InputError(f"{path}: damaged after frame {number - 1}, the last that is used ({why})")
    if has_gaps(file):
        raise InputError(
            f"{path}: damaged: its parts do not follow one another, so that pictures are missing; copy it again"
        )


def _frames_in(container: Any, stream: Any) -> Iterator[tuple[Any, Any]]:
    """The frames of a stream, each with the packet that was decoded last; ValueError in place of what is made of a last
    packet that the file's end cuts in two."""
    last, cut = None, False
    for packet in _packets(container, stream):
        if not packet.size and packet.dts is not None:  # a picture that was dropped; the packet at the end has no time
            continue
        if last is not None and packet.size:
            yield from ((frame, last) for frame in last.decode())
        elif last is not None:  # an empty one follows, which asks for what was held back
            cut = True
        last = packet if packet.size and packet.is_corrupt else None
        if last is None:
            yield from ((frame, packet) for frame in packet.decode())
    if cut:
        raise ValueError("the file ends within a picture; copy it again")


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """A stream's packets, the last an empty one.

    PyAV may fail after that at a stream which FFmpeg has found only meanwhile, such as a second sound track.
    """
    with suppress(IndexError):
        yield from container.demux(stream)


def _check_pixels(path: Path, aspect: Any, where: str = "") -> None:
    """Raise InputError if pixels are not square, as a video states: a face that is squeezed is no face of a model."""
    if aspect and not 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
        raise InputError(
            f"{path}: pixels of {aspect.numerator}:{aspect.denominator}{where}, expected square ones; make them so, "
            'with ffmpeg -i IN -vf "scale=trunc(iw*sar/2)*2:ih,setsar=1" OUT'
        )


def _orientation(frame: Any, packet: Any) -> int:
    """The EXIF orientation, 1 to 8, that is nearest to a frame's display matrix: quarter turns, mirrored or not.

    Beside data of a kind that FFmpeg knows and PyAV does not, it is that of the packet's EXIF, which is the usual such
    data; ValueError if it has none, and the frame is turned.

    PyAV's `rotation` is the turn alone: of a mirrored picture it says that it is upside down.
    """
    try:
        stored = next((bytes(one) for one in frame.side_data if one.type.name == "DISPLAYMATRIX"), b"")
    except ValueError as error:
        if (orientation := exif_orientation(bytes(packet))) > 1 or not frame.rotation:
            return orientation
        raise ValueError(
            "turned, beside data that PyAV does not know; turn them with ffmpeg -i IN OUT.mp4, or leave them as they "
            'are (exif "ignore")'
        ) from error
    if len(stored) != 36:
        return 1
    a, b, _, c, d, *_ = struct.unpack("=9i", stored)  # x' = a x + c y, y' = b x + d y
    if a * d == b * c:
        return 1
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {(False, False): 1, (True, False): 2, (True, True): 3, (False, True): 4}[a < 0, d < 0]
    return {(False, False): 5, (True, False): 6, (True, True): 7, (False, True): 8}[c < 0, b < 0]


def _next_time(last: float, stated: float | None, rate: float) -> float:
    """When a frame is shown, s: always after the one before it, whose time is `last` (-inf for the first)."""
    if stated is not None and np.isfinite(stated) and stated - last >= 1 / _MOST_RATE:
        return stated
    return max(last + 1 / rate, float(np.nextafter(last, np.inf))) if np.isfinite(last) else 0.0


def _check_size(stream: Any) -> None:
    """Raise ValueError if pictures are too large, before one is decoded."""
    check_picture_size(stream.codec_context.width, stream.codec_context.height)


def digest_of(path: Path, most_bytes: int | None = None) -> str:
    """SHA-256 of a file of any size, read in blocks; InputError if it cannot be read, or is larger than `most_bytes`.

    Files that are mostly holes are refused too: a torn download may state a terabyte and hold nothing, and takes hours.
    """
    try:
        check_fetched(path)
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            if most_bytes is not None and status.st_size > most_bytes:
                raise InputError(f"{printable(str(path))}: {status.st_size} bytes, expected {most_bytes} at most")
            if (missing := status.st_size - getattr(status, "st_blocks", status.st_size) * 512) > max_bytes():
                raise InputError(
                    f"{printable(str(path))}: {missing} of its {status.st_size} bytes were never written, expected a "
                    "whole file; get it again, or set UVGEN_MAX_BYTES to allow more"
                )
            return sha256_of(file)
    except OSError as error:
        raise InputError(f"{printable(str(path))}: cannot be read ({os_reason(error)})") from error
