"""`uvgen.fit_video`: what comes of videos and folders of frames, whatever is wrong with some."""

import errno
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.faults import fail_reads, interrupted
from support.flushes import unflushed
from support.folders import contents_below
from support.videos import encode, head, write_frames, write_marks

from uvgen import (
    RunOptions,
    VideoOptions,
    augment_shards,
    build_shards,
    find_samples,
    fit_photographs,
    fit_video,
    merge_shards,
    open_shards,
    read_annotation,
    split_shards,
)
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.splits import group_samples
from uvgen.errors import DatasetError, DependencyError, InputError, OutputError, SettingsError
from uvgen.fitting import detectors
from uvgen.fitting.detectors import DETECTORS
from uvgen.fitting.tasks import Photograph
from uvgen.fitting.video import frames, state, worker
from uvgen.fitting.video.find import about_other_videos, find_videos
from uvgen.fitting.video.frames import Frame, digest_of, frames_of
from uvgen.fitting.video.memory import bounded_memory
from uvgen.fitting.video.record import videos_of
from uvgen.fitting.video.whole import has_gaps, is_cut_short
from uvgen.fitting.worker import FaceTools
from uvgen.samples import landmark_files
from uvgen.samples.landmark_schemes import FaceLandmarks
from uvgen.samples.photographs import source_photograph

N = 10


@pytest.fixture(scope="module")
def images() -> Any:
    return head(N)[0]


@pytest.fixture(scope="module")
def points() -> Any:
    return head(N)[1] + np.random.default_rng(0).normal(size=(N, 68, 2)) * 0.4


@pytest.fixture(scope="module")
def clips(images, points, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos as folders of frames."""
    folder = tmp_path_factory.mktemp("clips")
    write_frames(folder / "nod", images, points)
    write_frames(folder / "turn", images[:6], points[:6], range(7, 13))
    return folder


@pytest.fixture(scope="module")
def fitted(clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fitted") / "out"
    fit(clips, out)
    return out


@pytest.fixture
def clip(images, points, tmp_path: Path) -> Path:
    """A folder of few frames, to be spoilt."""
    return write_frames(tmp_path / "clip", images[:5], points[:5])


def fit(video: Path, out: Path, options: VideoOptions | None = None, **more: Any) -> Any:
    return fit_video(video, out, options=options or VideoOptions("fixed"), detector=None, **more)


def reasons(result: Any) -> dict[str, str]:
    return {skip.name: skip.reason for skip in result.skipped}


def test_frames_are_samples_with_their_numbers_and_one_shape_each(fitted, clips, images, tmp_path) -> None:
    samples = find_samples(fitted)
    assert [sample.name for sample in samples] == [
        *(f"nod/frame_{k:06d}" for k in range(N)), *(f"turn/frame_{k:06d}" for k in range(7, 13)),
    ]  # fmt: skip
    said = [read_annotation(sample) for sample in samples]
    assert np.ptp([one.shape for one in said[:N]], axis=0).max() == 0
    assert np.abs(said[0].shape - said[-1].shape).max() > 0
    yaw = np.rad2deg([one.pose[1] for one in said[:N]])
    np.testing.assert_allclose(yaw, np.linspace(0, 20, N), atol=4)
    assert (fitted / "nod/frame_000003.png").read_bytes() == (clips / "nod/frame_000003.png").read_bytes()
    content = json.loads((fitted / "fit.json").read_text())
    assert content["video"] is True and [face["frame"] for face in content["faces"][:N]] == list(range(N))
    assert content["faces"][-1]["time_s"] == pytest.approx(12 / 25) and content["faces"][-1]["track"] == 0


class _Seer:
    """A detector that finds in each picture its points."""

    name, notice = "dlib", ""

    def __init__(self, images: Any, points: Any) -> None:
        self._images, self._points = images, points

    def __call__(self, image: Any) -> list[FaceLandmarks]:
        k = next(k for k, known in enumerate(self._images) if np.array_equal(known, image))
        return [FaceLandmarks(self._points[k], None, "68", source="dlib")]


def test_frames_are_on_the_disk_before_a_journal_lists_them(clip, images, points, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(worker, "_NOTED", 2)
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: _Seer(images, points))
    for path in clip.glob("*.txt"):
        path.unlink()
    found = unflushed(monkeypatch)
    assert fit_video(clip, tmp_path / "out", options=VideoOptions("fixed"), detector="dlib").new_samples == 5
    assert len(found) == 2 and not any(found.values())  # that of a hidden folder too


def test_a_folder_that_is_finished_is_gone_on_with_and_another_kind_is_refused(fitted, clips, tmp_path) -> None:
    out = shutil.copytree(fitted, tmp_path / "out")
    before = contents_below(out)
    result = fit(clips, out)
    assert result.new_samples == 0 and len(result.faces) == N + 6 and not result.skipped
    assert contents_below(out) == before
    with pytest.raises(SettingsError, match="holds samples of videos, and would get some of photographs"):
        fit_photographs(clips, out, detector=None)
    with pytest.raises(SettingsError, match=r"smoothness = 1\.0, now it is 2\.0"):
        fit(clips, out, VideoOptions("fixed", smoothness=2))
    (out / "turn/frame_000008.mat").unlink()
    assert fit(clips, out).new_samples == 6 and contents_below(out) == before
    fit_photographs(clips / "turn", out, detector=None, overwrite=True)
    assert not any(path.is_dir() for path in out.iterdir())  # nothing is left of the videos


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.long])])
def test_interrupted_runs_go_on_to_the_same_bytes(fitted, clips, tmp_path, monkeypatch, workers: int) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(clips, tmp_path / "out", run=RunOptions(workers), progress=stop)
    assert fit(clips, tmp_path / "out", run=RunOptions(workers)).new_samples < N + 6
    assert contents_below(tmp_path / "out") == contents_below(fitted)


def test_frames_that_an_interrupted_run_did_not_list_go_if_their_video_does(clips, tmp_path, monkeypatch) -> None:
    videos, out = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(clips, videos)
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit(videos, out)
    (folder,) = [path for path in out.iterdir() if path.is_dir()]
    shutil.rmtree(videos / folder.name)
    fit(videos, out)
    fit(videos, tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole") and not folder.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_copy_of_a_videos_frames_and_your_file_among_them_are_kept(
    clips, tmp_path, monkeypatch, overwrite: bool
) -> None:
    videos, out = shutil.copytree(clips, tmp_path / "clips"), tmp_path / "out"
    with interrupted(monkeypatch, "faces", unlisted=True):
        fit(videos, out)
    (folder,) = [path for path in out.iterdir() if path.is_dir()]
    copy = contents_below(shutil.copytree(folder, out / "copy"))
    mine = Path(shutil.copytree(folder, tmp_path / "later" / folder.name))
    shutil.rmtree(videos / folder.name)
    fit(videos, out, overwrite=overwrite)
    assert contents_below(out / "copy") == copy and not folder.exists()
    shutil.rmtree(out / "copy")
    mine.rename(folder)  # after the run, it is nobody's but yours
    fit(videos, out, overwrite=overwrite)
    assert contents_below(folder) == copy
    shutil.rmtree(folder)
    fit(videos, tmp_path / "whole")
    assert contents_below(out) == contents_below(tmp_path / "whole")


def test_what_an_interrupted_run_made_of_another_video_is_not_kept(fitted, clips, tmp_path) -> None:
    """As where the video is cut, or its frames are saved in another format, before the command runs again."""
    scratch = tmp_path / "out" / ".uvgen-frames-nod"
    scratch.mkdir(parents=True)
    for name in ("frame_000099.png", "frame_000099.mat", "frame_000001.jpg", "frame_000001.mat", ".uvgen-video"):
        (scratch / name).write_bytes(b"of another video")
    fit(clips, tmp_path / "out")
    assert contents_below(tmp_path / "out") == contents_below(fitted)


def test_frames_that_cannot_be_read_for_too_many_open_files_cost_no_finished_sample(
    fitted, clips, tmp_path, monkeypatch
) -> None:
    shutil.copytree(fitted, tmp_path / "out")
    fail_reads(monkeypatch, ".png", errno.EMFILE)
    with pytest.raises(DatasetError, match="Too many open files"):
        fit(clips, tmp_path / "out")
    assert contents_below(tmp_path / "out") == contents_below(fitted)


@pytest.mark.parametrize("lost", [".png", ".txt"])
def test_videos_of_links_to_a_disk_that_is_not_there_cost_no_finished_sample(
    fitted, clips, tmp_path, lost: str
) -> None:
    disk, out = shutil.copytree(clips, tmp_path / "disk"), shutil.copytree(fitted, tmp_path / "out")
    for path in sorted(disk.glob("*/*")):
        link = tmp_path / "clips" / path.relative_to(disk)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    for path in sorted(disk.glob(f"*/*{lost}")):
        path.rename(path.with_name(f".{path.name}"))
    result = fit(tmp_path / "clips", out)
    assert not result.new_samples and not result.skipped and contents_below(out) == contents_below(fitted)


@pytest.mark.parametrize("unread", [".png", ".txt"])
def test_videos_whose_disk_does_not_answer_cost_no_finished_sample(
    fitted, clips, tmp_path, monkeypatch, unread: str
) -> None:
    videos, out = shutil.copytree(clips, tmp_path / "clips"), shutil.copytree(fitted, tmp_path / "out")
    with monkeypatch.context() as patch:
        fail_reads(patch, f"frame_000009{unread}", errno.EIO)
        result = fit(videos, out)
        assert not result.new_samples and not result.skipped and contents_below(out) == contents_below(fitted)
        assert len(fit(videos, tmp_path / "fresh").faces) == N + 6 - 2  # there, it costs the frame alone, of each
    assert contents_below(out) == contents_below(fitted)


@pytest.mark.parametrize("by", ["files", "a detector"])
def test_landmarks_that_were_found_before_an_interruption_are_not_sought_again(
    clips, images, points, tmp_path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Those of files are read again, which takes little: they may be others now."""
    shutil.copytree(clips / "nod", tmp_path / "nod")
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: _Seer(images, points))
    for path in (tmp_path / "nod").glob("*.txt") if by == "a detector" else ():
        path.unlink()

    def made(out: Path) -> None:
        detector = "dlib" if by == "a detector" else None
        fit_video(tmp_path / "nod", out, options=VideoOptions("fixed"), detector=detector)

    made(tmp_path / "undisturbed")
    sought = []
    face_of = worker._face_of

    def interrupted(tools: FaceTools[Any], frame: Frame, *rest: Any) -> Any:
        if frame.number == 6 and len(sought) == 6:
            sought.append(-1)
            raise KeyboardInterrupt
        sought.append(frame.number)
        return face_of(tools, frame, *rest)

    monkeypatch.setattr(worker, "_face_of", interrupted)
    monkeypatch.setattr(worker, "_NOTED", 2)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "out")
    assert not (tmp_path / "out/nod").exists()
    made(tmp_path / "out")
    assert sought == [*range(6), -1, *range(6 if by == "a detector" else 0, N)]
    assert contents_below(tmp_path / "out") == contents_below(tmp_path / "undisturbed")


def test_landmarks_that_were_away_while_a_run_was_interrupted_are_read_again(
    clip, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are there as they were when the video was hashed."""
    monkeypatch.setattr(worker, "_NOTED", 1)
    (clip / "frame_000002.txt").rename(tmp_path / "away")
    face_of = worker._face_of

    def interrupted(tools: FaceTools[Any], frame: Frame, *rest: Any) -> Any:
        if frame.number == 4:
            raise KeyboardInterrupt
        return face_of(tools, frame, *rest)

    state_of = worker.state_of_video

    def while_there(*arguments: Any) -> Any:
        (tmp_path / "away").rename(clip / "frame_000002.txt")
        state = state_of(*arguments)
        (clip / "frame_000002.txt").rename(tmp_path / "away")
        return state

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_face_of", interrupted)
        patch.setattr(worker, "state_of_video", while_there)
        with pytest.raises(KeyboardInterrupt):
            fit(clip, tmp_path / "out")
    (tmp_path / "away").rename(clip / "frame_000002.txt")
    assert len(fit(clip, tmp_path / "out").faces) == 5


@pytest.mark.slow
def test_a_part_of_a_data_set_never_has_half_a_video(fitted, tmp_path) -> None:
    config = BuildConfig(size=32, uv_size=16)
    build_shards(fitted, tmp_path / "shards", config=config)
    augment_shards(tmp_path / "shards", tmp_path / "copies", copies=2, model="builtin")
    build_shards(fitted, tmp_path / "nod", config=config, subsets=("nod",))
    build_shards(fitted, tmp_path / "turn", config=config, subsets=("turn",))
    merge_shards([tmp_path / "nod", tmp_path / "turn"], tmp_path / "merged")
    for folder in ("shards", "copies", "merged"):
        result = split_shards(tmp_path / folder, {"train": 0.5, "val": 0.5})
        assert set(result.photographs.values()) == {1}, folder
        for split in result.splits:
            assert len({name.split("/")[0] for name in split.samples}) == 1
    names = open_shards(tmp_path / "copies").names
    assert set(group_samples(names, copies=True)) == {"nod", "turn"}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("clip/frame_000123", "clip"),
        ("clip_Flip/frame_000123", "clip"),
        ("clip/frame_1234567", "clip"),
        ("me/clip_frame_000123", "me/clip"),
        ("me/frame_12", "me/frame_12"),
        ("me/frame_000123b", "me/frame_000123b"),
    ],
)
def test_frames_come_from_their_video(name: str, source: str) -> None:
    assert source_photograph(name) == source


# What is wrong costs itself


def test_frames_that_cannot_be_used_are_named_and_the_others_fitted(clip, images, points, tmp_path) -> None:
    write_frames(clip, images[:8], points[:8])
    (clip / "frame_000001.png").write_bytes(b"none")
    (clip / "frame_000002.txt").unlink()
    np.savetxt(clip / "frame_000003.txt", points[3] + 500)
    np.savetxt(clip / "frame_000005.txt", np.random.default_rng(1).uniform(0, 90, (68, 2)))
    shutil.copy(clip / "frame_000000.png", clip / "none.png")
    shutil.copy(clip / "frame_000000.png", clip / "frame_06.png")
    result = fit(clip, tmp_path / "out")
    said = reasons(result)
    assert [face.frame for face in result.faces] == [0, 4, 7]
    assert "not a readable image" in said["clip/frame_000001"]
    assert "no landmarks in" in said["clip/frame_000002"]
    assert "px, beside the image of 96×96 px" in said["clip/frame_000003"]
    assert "residual" in said["clip/frame_000005"]
    at = [skip.reason for skip in result.skipped if skip.name == "clip"]
    assert any("none.png: no number in its name" in text for text in at)
    assert sum("has the number 6 too" in text for text in at) == 2
    assert {path.name for path in (tmp_path / "out/clip").glob("*.png")} == {
        "frame_000000.png", "frame_000004.png", "frame_000007.png",
    }  # fmt: skip
    assert reasons(fit(clip, tmp_path / "out")) == said  # also of a video that is finished
    (clip / "none.png").rename(clip / "cover.png")
    again = [skip.reason for skip in fit(clip, tmp_path / "out").skipped if skip.name == "clip"]
    assert any("cover.png: no number in its name" in text for text in again)
    assert not any("none.png" in text for text in again)


def test_gaps_and_another_size_are_named_and_begin_no_video(images, points, tmp_path) -> None:
    clip = write_frames(tmp_path / "clip", images[:6], points[:6], [10, 12, 14, 22, 24, 26])
    for number, image, marks in zip((24, 26), images[4:6], points[4:6], strict=True):
        large = Image.fromarray(image).resize((120, 120))
        large.save(clip / f"frame_{number:06d}.png")
        np.savetxt(clip / f"frame_{number:06d}.txt", (marks + 0.5) * 1.25 - 0.5)
    (video,) = fit(clip, tmp_path / "out", VideoOptions("fixed", fps=50)).videos
    assert video.gaps == ((16, 20),) and video.cuts == (24,) and video.frames == 6


def test_tracks_that_are_too_long_are_fitted_in_pieces(clip, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(worker, "_LONGEST", 3)
    result = fit(clip, tmp_path / "out")
    assert [face.track for face in result.faces] == [0, 0, 0, 1, 1] and result.videos[0].cuts == (3,)


def test_a_video_without_faces_costs_itself(clips, images, tmp_path) -> None:
    folder = shutil.copytree(clips, tmp_path / "clips")
    for path in (folder / "nod").glob("*.txt"):
        path.unlink()
    result = fit(folder, tmp_path / "out")
    assert {face.name.split("/")[0] for face in result.faces} == {"turn"}
    (skip,) = result.skipped
    assert skip.name == "nod" and "no frame with a face that can be used; the first, " in skip.reason
    shutil.rmtree(folder / "turn")
    with pytest.raises(InputError, match="detector: none, and no landmark files"):
        fit(folder, tmp_path / "other")


def test_mirrored_landmarks_are_told_for_all_frames(clip, points, tmp_path) -> None:
    from uvgen.geometry import LANDMARK_MIRROR

    for k in range(5):
        np.savetxt(clip / f"frame_{k:06d}.txt", points[k][LANDMARK_MIRROR])
    with pytest.raises(DatasetError, match="the points seem mirrored"):
        fit(clip, tmp_path / "out")


def test_a_few_mirrored_frames_among_good_ones_are_left_out_alone(images, points, tmp_path) -> None:
    from uvgen.geometry import LANDMARK_MIRROR

    mixed = [marks[LANDMARK_MIRROR] if k in (2, 3, 5, 6) else marks for k, marks in enumerate(points)]
    result = fit(write_frames(tmp_path / "clip", images, np.array(mixed)), tmp_path / "out")
    assert [face.frame for face in result.faces] == [0, 1, 4, 7, 8, 9]
    assert all("seem mirrored" in reason for reason in reasons(result).values()) and len(result.skipped) == 4


def test_frames_of_huge_numbers_cost_themselves(clips, images, points, tmp_path) -> None:
    folder = Path(shutil.copytree(clips, tmp_path / "clips"))
    write_frames(folder / "far", images[:3], points[:3], range(2**53 - 5, 2**53 - 2))
    write_frames(folder / "near", images[:3], points[:3], range(2**52 - 5, 2**52 - 2))
    result = fit(folder, tmp_path / "out")
    assert {face.name.partition("/")[0] for face in result.faces} == {"nod", "turn", "near"}
    assert [skip.name for skip in result.skipped] == ["far"] and "expected a frame's" in result.skipped[0].reason


def test_folders_without_videos_and_with_other_things_are_refused(clip, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no video in it, expected"):
        fit(tmp_path / "empty", tmp_path / "out")
    assert about_other_videos(clip, tmp_path / "out") == about_other_videos(tmp_path / "missing", tmp_path) == []
    (tmp_path / "others").mkdir()
    for name in ("a.m2ts", "b.VOB", "frame_0001.tif", "c.mp4.part"):
        (tmp_path / "others" / name).write_bytes(b"of a camera")
    found = about_other_videos(tmp_path / "others", tmp_path / "out")
    assert found[0].startswith("2 videos are of a kind that is not read, first a.m2ts, expected .mp4")
    assert found[1].startswith("1 video has a name that goes on after its suffix, first c.mp4.part, and is not read")
    assert found[2].startswith("1 image is of a kind that is not read, first frame_0001.tif")
    with pytest.raises(DatasetError, match=r"others: 2 videos are of a kind that is not read, first a\.m2ts"):
        fit(tmp_path / "others", tmp_path / "out")
    with pytest.raises(DatasetError, match="not there, expected a video"):
        fit(tmp_path / "missing", tmp_path / "out")
    (tmp_path / "out/clip").mkdir(parents=True)
    (tmp_path / "out/fit.json").write_text("{}")
    with pytest.raises(SettingsError, match="cannot be read"):
        fit(clip, tmp_path / "out")
    (tmp_path / "out/fit.json").unlink()
    shutil.rmtree(tmp_path / "out")

    def meddle(tools: FaceTools[Any], frame: Frame, *rest: Any) -> Any:
        (tmp_path / "out/clip").mkdir(exist_ok=True)
        (tmp_path / "out/clip/diary.txt").write_text("mine")
        return face_of(tools, frame, *rest)

    face_of = worker._face_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "_face_of", meddle)
        with pytest.raises(OutputError, match=r"holds something else \(diary.txt\)"):
            fit(clip, tmp_path / "out")
    assert (tmp_path / "out/clip/diary.txt").read_text() == "mine"


def test_a_file_in_a_video_s_folder_that_is_named_as_a_frame_is_kept(clip, clips, tmp_path) -> None:
    videos, out = Path(shutil.copytree(clips, tmp_path / "clips")), tmp_path / "out"
    fit(videos, out)
    mine = out / "nod/frame_000099.png"
    mine.write_bytes(b"mine")
    before, of_nod = contents_below(out), contents_below(out / "nod")
    assert fit(videos, out).new_samples == 0 and contents_below(out) == before
    (videos / "nod/frame_000009.png").unlink()
    result = fit(videos, out)
    assert re.search(
        r"nod: holds something else \(frame_000099\.png\), expected a video's frames", reasons(result)["nod"]
    )
    assert mine.read_bytes() == b"mine" and contents_below(out / "nod") == of_nod
    with pytest.raises(OutputError, match=r"nod: holds something else \(frame_000099\.png\)"):
        fit(videos, out, overwrite=True)
    assert contents_below(out / "nod") == of_nod
    mine.unlink()
    result = fit(videos, out)
    assert result.new_samples == N - 1 and not result.skipped and not (out / "nod/frame_000009.png").exists()
    (out / "nod/.uvgen-video").write_bytes(b"")  # as earlier versions have it
    (videos / "nod/frame_000008.png").unlink()
    assert fit(videos, out).new_samples == N - 2


def test_what_systems_put_into_a_video_s_folder_does_not_keep_it_from_being_made_anew(clip, points, tmp_path) -> None:
    out, marks = tmp_path / "out", sorted(clip.glob("*.txt"))[0]
    names = (".DS_Store", "Thumbs.db", "@eaDir/frame_000000.jpg", "._frame_000000.png", ".mine.mat")
    fit(clip, out)
    for inside in (out / clip.name, out / f".uvgen-frames-{clip.name}"):
        (inside / "@eaDir").mkdir(parents=True)
        for name in names:
            (inside / name).write_bytes(b"theirs")
    for landmarks in (points[0] + 1, points[0]):
        np.savetxt(marks, landmarks)
        result = fit(clip, out)
        assert result.new_samples and not result.skipped
    fit(clip, out, VideoOptions("fixed", smoothness=2), overwrite=True)
    fit(clip, tmp_path / "fresh")
    theirs = contents_below(out).keys() - contents_below(tmp_path / "fresh").keys()
    assert theirs == {f"{clip.name}/{name}" for name in names}
    assert not list(out.glob(".uvgen-frames-*"))


def test_frames_that_are_named_by_their_times_are_told_and_cost_their_video(clip, clips, tmp_path) -> None:
    for k, time in enumerate(("0.934", "0.967", "1.001", "1.034", "1.068")):
        for end in (".png", ".txt"):
            (clip / f"frame_{k:06d}{end}").rename(clip / f"{time}{end}")
    said = r"clip: frame 1.068.png would come before 0.934.png"
    with pytest.raises(DatasetError, match=said):
        fit(clip, tmp_path / "out")
    videos = Path(shutil.copytree(clips, tmp_path / "clips"))
    clip.rename(videos / "clip")
    result = fit(videos, tmp_path / "out")
    assert len(result.faces) == N + 6 and re.search(said, reasons(result)["clip"])


def test_the_face_that_goes_on_is_followed(clip, points, tmp_path) -> None:
    for k in range(5):  # another one, larger from the second frame on
        other = (points[k] - points[k].mean(axis=0)) * (0.5 if k == 0 else 1.2) + [48, 48]
        np.savetxt(clip / f"frame_{k:06d}.txt", np.concatenate([other[:0], points[k]]), footer="", comments="")
        text = (clip / f"frame_{k:06d}.txt").read_text()
        far = other + [-60, 0] if k else other
        rows = "\n".join(f"{x:.4f} {y:.4f}" for x, y in far)
        (clip / f"frame_{k:06d}.txt").write_text(f"{rows}\n\n{text}")
    result = fit(clip, tmp_path / "out")
    for face in result.faces:
        said = read_annotation(next(s for s in find_samples(tmp_path / "out") if s.name == face.name))
        assert said.landmarks_2d is not None
        np.testing.assert_allclose(said.landmarks_2d, points[face.frame], atol=0.01)


def sparse(path: Path, head: bytes) -> None:
    """A terabyte of which only the head is stored."""
    path.write_bytes(head)
    os.truncate(path, 1 << 40)


def test_frames_and_landmarks_with_a_terabyte_of_holes_cost_themselves(clip, tmp_path) -> None:
    sparse(clip / "frame_000001.png", (clip / "frame_000001.png").read_bytes())
    sparse(clip / "frame_000002.txt", b"1 2\n")
    result = fit(clip, tmp_path / "out")
    assert [face.frame for face in result.faces] == [0, 3, 4]
    assert set(reasons(result)) == {"clip/frame_000001", "clip/frame_000002"}


def test_a_video_file_with_a_terabyte_of_holes_is_refused_unread(tmp_path, monkeypatch) -> None:
    sparse(tmp_path / "video.mp4", b"head")
    with pytest.raises(InputError, match=r"video\.mp4: \d+ of its 1099511627776 bytes were never written"):
        digest_of(tmp_path / "video.mp4")
    os.truncate(tmp_path / "video.mp4", 1 << 20)
    assert len(digest_of(tmp_path / "video.mp4")) == 64
    monkeypatch.setenv("UVGEN_MAX_BYTES", "1000")
    with pytest.raises(InputError, match="set UVGEN_MAX_BYTES to allow more"):
        digest_of(tmp_path / "video.mp4")


def test_the_command_says_what_came_of_each_video(uvgen, clip, images, points, tmp_path) -> None:
    (clip / "frame_000003.txt").unlink()
    write_frames(clip, images[5:7], points[5:7], [20, 21])
    result = uvgen("fit", "--video", clip, "--out", tmp_path / "out", "--jaw", "fixed", "--detector", "none")
    assert result.exit_code == 3, result.output
    assert "clip: 6 frames, frames 5 to 19 missing" in result.stdout and "6 faces, 1 skipped" in result.stdout
    assert "skipped clip/frame_000003" in result.stderr and "no landmarks in" in result.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "missing photographs: a folder of them, or --video"),
        (["photos", "--video", "clip.mp4"], "photographs and --video exclude each other"),
        (["photos", "--smoothness", "2"], "--smoothness goes with --video"),
        (["photos", "--fps", "2"], "--fps goes with --video"),
        (["--video", "clip.mp4", "--same-person"], "--same-person does not go with --video"),
        (["--video", "clip.mp4", "--refine"], "--refine does not go with --video"),
        (["--video", "clip.mp4", "--faces", "all"], "--faces all does not go with --video"),
    ],
)
def test_options_that_exclude_each_other_are_wrong_usage(uvgen, tmp_path, line: list[str], message: str) -> None:
    result = uvgen("fit", *line, "--out", tmp_path / "out")
    assert result.exit_code == 2 and message in result.stderr.replace("\n", " ")


# Files of videos


@pytest.fixture(scope="module")
def av() -> Any:
    return pytest.importorskip("av")


@pytest.fixture(scope="module")
def movie(av, images, points, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movie")
    write_marks(folder / "walk", points)
    return encode(folder / "walk.mp4", images)


class _Job:
    exif = "apply"


def decoded(path: Path, **more: Any) -> list[Frame]:
    return list(frames_of(_Job(), Photograph(path, "walk"), more.get("rate")))  # type: ignore[arg-type]


def test_a_video_is_decoded_and_fitted(movie, images, tmp_path) -> None:
    seen = decoded(movie)
    assert [frame.number for frame in seen] == list(range(N))
    np.testing.assert_allclose([frame.time_s for frame in seen], np.arange(N) / 25)
    assert np.abs(seen[3].image.astype(int) - images[3]).mean() < 8
    result = fit(movie, tmp_path / "out")
    assert [face.name for face in result.faces] == [f"walk/frame_{k:06d}" for k in range(N)] and not result.skipped
    assert result.faces[0].source == "walk/frame_000000.txt"
    with Image.open(tmp_path / "out/walk/frame_000002.jpg") as picture:
        assert picture.size == (96, 96)


def test_landmarks_that_count_from_one_are_refused(movie, points, tmp_path) -> None:
    shutil.copy(movie, tmp_path)
    for number, marks in enumerate(points, 1):
        (tmp_path / "walk").mkdir(exist_ok=True)
        np.savetxt(tmp_path / f"walk/frame_{number:06d}.txt", marks)
    with pytest.raises(DatasetError, match="landmarks seem to be numbered from 1 on"):
        fit(tmp_path / "walk.mp4", tmp_path / "out")


def test_landmarks_of_frames_without_a_face_at_both_ends_are_not_taken_for_counted_from_one(
    movie, points, tmp_path
) -> None:
    """Nor are those of a whole video, of which a part is there."""
    shutil.copy(movie, tmp_path)
    marks = write_marks(tmp_path / "walk", points)
    (marks / "frame_000000.txt").unlink()
    (marks / f"frame_{N - 1:06d}.txt").write_text("0 0\n" * 68)
    names = [face.name for face in fit(tmp_path / "walk.mp4", tmp_path / "out").faces]
    assert names == [f"walk/frame_{k:06d}" for k in range(1, N - 1)]
    short = tmp_path / "walk.mp4"
    short.write_bytes(short.read_bytes()[:-7])
    write_marks(tmp_path / "walk", [*points, *points])
    (marks / "frame_000000.txt").unlink()
    assert fit(short, tmp_path / "out2").faces


def test_a_video_that_is_a_pointer_of_git_lfs_costs_no_finished_frame(movie, tmp_path) -> None:
    shutil.copytree(movie.with_suffix(""), tmp_path / "new")
    (tmp_path / "new.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DatasetError, match=r"new\.mp4: cannot be read \(a pointer of Git LFS or git-annex, not"):
        fit(tmp_path / "new.mp4", tmp_path / "out")
    shutil.copytree(movie.with_suffix(""), tmp_path / "walk")
    shutil.copy(movie, tmp_path)
    assert fit(tmp_path / "walk.mp4", tmp_path / "out").new_samples == N
    before = contents_below(tmp_path / "out")
    (tmp_path / "walk.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert fit(tmp_path / "walk.mp4", tmp_path / "out").new_samples == 0
    assert contents_below(tmp_path / "out") == before


def test_a_video_that_changes_while_it_is_read_is_made_once_it_stays(movie, tmp_path, monkeypatch) -> None:
    """What was read of it would count as made of the whole, for ever."""
    shutil.copytree(movie.with_suffix(""), tmp_path / "walk")
    video = Path(shutil.copy(movie, tmp_path))
    whole = video.read_bytes()

    def cut(*arguments: Any) -> Iterator[Frame]:
        for frame in frames_of(*arguments):
            yield frame
            video.write_bytes(whole[: len(whole) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(worker, "frames_of", cut)
        with pytest.raises(
            DatasetError, match=r"walk\.mp4: it or its landmarks were changed while they were read; run"
        ):
            fit(video, tmp_path / "out")
    video.write_bytes(whole)
    assert fit(video, tmp_path / "out").new_samples == N


def test_a_video_whose_title_is_no_utf_8_is_read(av, images, tmp_path) -> None:
    """Windows programs write titles in their own encoding."""
    path = encode(tmp_path / "clip.avi", images)
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xfcvf"))
    assert len(decoded(path)) == len(images)


class _Packet:
    def __init__(self, size: int, dts: int | None) -> None:
        self.size, self.dts, self.is_corrupt = size, dts, False

    def decode(self) -> list[tuple[int, int | None]]:
        return [(self.size, self.dts)]


def test_packets_of_dropped_pictures_are_passed_over_and_late_streams_end_nothing() -> None:
    """PyAV fails at streams that FFmpeg finds while it reads, when all packets have come."""

    class Container:
        def demux(self, stream: object) -> Iterator[_Packet]:
            yield from (_Packet(9, 0), _Packet(0, 1), _Packet(9, 2), _Packet(0, None))
            raise IndexError("list index out of range")

    found = [frame for frame, _ in frames._frames_in(Container(), None)]
    assert found == [(9, 0), (9, 2), (0, None)]


def test_frames_with_data_that_pyav_does_not_know_are_read_unless_they_are_turned() -> None:
    class Odd:
        rotation = 0

        @property
        def side_data(self) -> object:
            raise ValueError("31 is not a valid Type")

    frame, jpeg = Odd(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(
        jpeg, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x04" + bytes(7)
    )
    assert frames._orientation(frame, b"") == 1 and frames._orientation(frame, jpeg.getvalue()) == 4
    frame.rotation = 90
    with pytest.raises(ValueError, match="turned, beside data that PyAV does not know"):
        frames._orientation(frame, b"")


def test_mp4_files_that_were_joined_byte_by_byte_are_named(av, images, tmp_path) -> None:
    one = encode(tmp_path / "one.mp4", images)
    (tmp_path / "two.mp4").write_bytes(one.read_bytes() * 2)
    seen = list[Frame]()
    with pytest.raises(InputError, match=r"that FFmpeg does not read, as files that were joined; give each by itself"):
        seen.extend(frames_of(_Job(), Photograph(tmp_path / "two.mp4", "walk"), None))  # type: ignore[arg-type]
    assert len(seen) == len(images) == len(decoded(one))


def test_transport_streams_that_go_on_in_another_stream_are_named(av, images, tmp_path) -> None:
    """FFmpeg gives the pictures of the first alone."""
    parts = [
        encode(tmp_path / f"{k}.ts", images, codec="mpeg2video", options={"mpegts_start_pid": str(256 + 99 * k)})
        for k in range(2)
    ]
    one, other = (path.read_bytes() for path in parts)
    (tmp_path / "same.ts").write_bytes(one + one)
    (tmp_path / "other.ts").write_bytes(one + other)
    n = len(decoded(parts[0]))
    assert n > 1 and len(decoded(tmp_path / "same.ts")) == 2 * n
    joined = (one + other, b"?" * 50 + one + other, one[100:] + other, one[:-90] + other)
    for data, times in (*((data, 1) for data in joined), (one + other + one, 2), (one + other + one + other, 2)):
        (tmp_path / "other.ts").write_bytes(data)
        seen = list[Frame]()
        with pytest.raises(InputError, match=r"the last that is used, before .* pictures that FFmpeg does not"):
            seen.extend(frames_of(_Job(), Photograph(tmp_path / "other.ts", "walk"), None))  # type: ignore[arg-type]
        assert n * times - 2 <= len(seen) <= n * times
    packets = [data[k : k + 188] for pair in zip(*(
        [part[k : k + 188 * 20] for k in range(0, len(part), 188 * 20)] for part in (one, other)
    ), strict=False) for data in pair for k in range(0, len(data), 188)]  # fmt: skip
    for start in (b"", b"\0\0\0\0"):  # two programs at once, as broadcasts have
        (tmp_path / "both.ts").write_bytes(b"".join(start + packet for packet in packets))
        assert decoded(tmp_path / "both.ts")


def test_landmarks_of_a_video_may_lie_in_the_folders_that_it_lies_in(movie, tmp_path) -> None:
    (tmp_path / "clips/ann").mkdir(parents=True)
    shutil.copy(movie, tmp_path / "clips/ann")
    marks = shutil.copytree(movie.with_suffix(""), tmp_path / "marks/clips/ann/walk")
    video = tmp_path / "clips/ann/walk.mp4"
    assert len(fit(video, tmp_path / "out", landmarks=tmp_path / "marks").faces) == N
    shutil.copy(marks / "frame_000001.txt", marks / "frame_000002.txt")
    assert fit(video, tmp_path / "out", landmarks=tmp_path / "marks").new_samples == N


def test_landmarks_of_several_videos_are_those_in_folders_of_their_names(clips, tmp_path) -> None:
    folder, marks = shutil.copytree(clips, tmp_path / "clips"), tmp_path / "marks"
    for name in ("nod", "turn"):
        (marks / name).mkdir(parents=True)
        for path in (folder / name).glob("*.txt"):
            path.rename(marks / name / path.name)
    shutil.move(marks / "turn/frame_000008.txt", marks)
    result = fit(folder, tmp_path / "out", landmarks=marks)
    assert len(result.faces) == N + 5 and list(reasons(result)) == ["turn/frame_000008"]
    rows = "".join(f"frame_{k:06d}.png{',10,20' * 68}\n" for k in range(13))
    (tmp_path / "marks.csv").write_text("image" + "".join(f",x{k},y{k}" for k in range(68)) + "\n" + rows)
    with pytest.raises(InputError, match=r"or rows .*marks.csv, such as of nod/frame_000000.jpg, exp"):
        fit(folder, tmp_path / "other", landmarks=tmp_path / "marks.csv")
    with open(tmp_path / "marks.csv", "a") as file:
        file.write(f"turn/frame_000009.png{',10,20' * 68}\n")
    with pytest.raises(DatasetError, match=r"expected nod/frame_000000.png in it"):
        fit(folder, tmp_path / "other", landmarks=tmp_path / "marks.csv")


def test_landmarks_of_one_video_that_another_joins_are_not_replaced_by_a_detector_s(clips, tmp_path) -> None:
    folder, marks = shutil.copytree(clips, tmp_path / "clips"), tmp_path / "marks"
    turn = shutil.move(folder / "turn", tmp_path / "turn")
    marks.mkdir()
    for path in (folder / "nod").glob("*.txt"):
        path.rename(marks / path.name)
    assert len(fit(folder, tmp_path / "out", landmarks=marks).faces) == N
    shutil.move(turn, folder / "turn")
    (marks / "turn").mkdir()
    with pytest.raises(InputError, match=r"of which of 2 videos is \S+/frame_000000\.txt\? .*such as \S+/marks/nod"):
        fit(folder, tmp_path / "out", landmarks=marks)
    for path in sorted((folder / "nod").glob("*.png")):  # frames that are called otherwise
        path.rename(path.with_name(path.name.removeprefix("frame_")))
    for path in sorted(marks.glob("*.txt")):
        path.rename(marks / path.name.removeprefix("frame_"))
    with pytest.raises(InputError, match=r"of which of 2 videos is \S+/000000\.txt\? .*such as \S+/marks/nod"):
        fit(folder, tmp_path / "out", landmarks=marks)
    for path in sorted(marks.glob("*.txt")):
        path.unlink()
    (marks / "frame_rates.txt").write_text("25")  # of no frame
    for path in sorted((folder / "turn").glob("*.txt")):
        path.rename(marks / "turn" / path.name)
    assert {face.name.partition("/")[0] for face in fit(folder, tmp_path / "other", landmarks=marks).faces} == {"turn"}


@pytest.mark.parametrize("what", ["picture", "landmarks"])
def test_a_frame_that_a_disk_does_not_give_is_tried_again_by_the_next_run(
    clip, tmp_path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """After its hash was taken, by which the video counts as it is."""
    hidden = "frame_000002" + (".png" if what == "picture" else ".txt")
    read, place = (
        (frames.read_photograph, frames) if what == "picture" else (landmark_files.read_landmarks, landmark_files)
    )

    def fail(*arguments: Any) -> Any:
        if arguments[-1].name == hidden:
            raise InputError(f"{arguments[-1]}: cannot be read") from OSError(errno.EIO, os.strerror(errno.EIO))
        return read(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(place, read.__name__, fail)
        first = fit(clip, tmp_path / "out", run=RunOptions(1))
    assert [face.frame for face in first.faces] == [0, 1, 3, 4] and "clip/frame_000002" in reasons(first)
    second = fit(clip, tmp_path / "out", run=RunOptions(1))
    assert len(second.faces) == second.new_samples == 5 and not second.skipped
    assert fit(clip, tmp_path / "out", run=RunOptions(1)).new_samples == 0


@pytest.mark.parametrize("call", ["read", "seek"])
def test_a_video_whose_disk_stops_answering_is_read_again_by_the_next_run_and_prints_nothing(
    movie, tmp_path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], call: str
) -> None:
    """PyAV would print a traceback for each further one."""
    opened, first, n_calls = frames.open_regular, iter([True]), 0

    class Failing:
        def __init__(self, raw: Any) -> None:
            self._raw, self.tell, self.fileno, self.readinto = raw, raw.tell, raw.fileno, raw.readinto

        def read(self, n: int) -> Any:
            return self._call("read", min(n, 4096))

        def seek(self, *where: int) -> Any:
            return self._call("seek", *where)

        def _call(self, name: str, *arguments: int) -> Any:
            nonlocal n_calls
            n_calls += name == call
            if n_calls > 2:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return getattr(self._raw, name)(*arguments)

    @contextmanager
    def failing(path: Path) -> Any:
        with opened(path) as raw:
            yield raw if next(first, None) else Failing(raw)  # it is opened once before

    with monkeypatch.context() as patch:
        patch.setattr(frames, "open_regular", failing)
        with pytest.raises(DatasetError, match=r"walk\.mp4: cannot be read \(Input/output error\)"):
            fit(movie, tmp_path / "out", run=RunOptions(1))
    assert "Traceback" not in capfd.readouterr().err
    assert len(fit(movie, tmp_path / "out", run=RunOptions(1)).faces) == N


def test_frames_without_landmarks_are_tried_when_a_detector_comes(
    clip, images, points, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clip / "frame_000003.txt").unlink()
    assert len(fit(clip, tmp_path / "out").faces) == 4
    face = FaceLandmarks(points[3], None, "68", source="dlib")

    class Detector:
        name, notice = "dlib", ""

        def __call__(self, image: Any) -> list[FaceLandmarks]:
            return [face]

    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: Detector())
    again = fit_video(clip, tmp_path / "out", options=VideoOptions("fixed"), detector="dlib")
    assert len(again.faces) == 5 and not again.skipped
    assert fit_video(clip, tmp_path / "out", options=VideoOptions("fixed"), detector="dlib").new_samples == 0


@pytest.mark.parametrize("left_out", ["none", "landmarks that are no face's", "a picture"])
def test_a_video_whose_frames_all_have_landmarks_is_not_made_anew_when_a_detector_comes(
    clip, points, tmp_path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """From a table, whose names alone do not say of which frames it has some; and the detector may go again."""
    for path in clip.glob("*.txt"):
        path.unlink()
    marks, table, out = points[:5].copy(), tmp_path / "t.json", tmp_path / "out"
    if left_out == "a picture":
        (clip / "frame_000003.png").write_bytes(b"none")
    elif left_out != "none":
        marks[3] += np.random.default_rng(0).normal(size=(68, 2)) * 20
    table.write_text(json.dumps({f"frame_{k:06d}.png": face.tolist() for k, face in enumerate(marks)}))
    made = fit(clip, out, landmarks=table)
    assert len(made.faces) == 4 + (left_out == "none")
    before = contents_below(out)
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: _Silent())
    for detector in ("dlib", None, "mediapipe"):
        again = fit_video(clip, out, options=VideoOptions("fixed"), landmarks=table, detector=detector)
        assert again.new_samples == 0 and contents_below(out) == before


class _Silent:
    """A detector that finds no face."""

    name, notice = "dlib", ""

    def __call__(self, image: Any) -> list[FaceLandmarks]:
        return []


def test_a_video_in_which_a_detector_found_no_face_is_tried_by_another_and_needs_none(
    clip, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clip / "frame_000003.txt").unlink()
    monkeypatch.setattr(detectors, "open_detector", lambda name, model=None: _Silent())
    for detector, new in (("dlib", 4), ("dlib", 0), ("mediapipe", 4), (None, 4), (None, 0)):
        made = fit_video(clip, tmp_path / "out", options=VideoOptions("fixed"), detector=detector)
        assert (len(made.faces), made.new_samples) == (4, new)
        assert json.loads((tmp_path / "out/fit.json").read_text())["detector"] is None


def test_the_largest_residual_may_be_given_as_it_is_without(clip, tmp_path) -> None:
    fit(clip, tmp_path / "out")
    before = contents_below(tmp_path / "out")
    assert fit(clip, tmp_path / "out", VideoOptions("fixed", max_residual=0.15)).new_samples == 0
    assert contents_below(tmp_path / "out") == before
    with pytest.raises(SettingsError, match="max_residual"):
        fit(clip, tmp_path / "out", VideoOptions("fixed", max_residual=0.16))


@pytest.mark.slow
def test_a_table_that_is_saved_anew_while_videos_are_fitted_counts_for_all_of_them_later(
    clips, images, points, tmp_path
) -> None:
    """Each process has read it before."""
    table, header = tmp_path / "marks.csv", "image" + "".join(f",x{k},y{k}" for k in range(68)) + "\n"

    def save(shift: float) -> None:
        rows = [(f"nod/{path.name}", points[k]) for k, path in enumerate(sorted((clips / "nod").glob("*.png")))]
        rows += [(f"turn/{path.name}", points[k]) for k, path in enumerate(sorted((clips / "turn").glob("*.png")))]
        table.write_text(header + "".join(f"{n},{','.join(map(str, (p + shift).ravel()))}\n" for n, p in rows))

    save(0)
    fit(clips, tmp_path / "out", landmarks=table, run=RunOptions(1), progress=lambda _: save(0.5))
    assert fit(clips, tmp_path / "out", landmarks=table).new_samples == N + 6
    assert fit(clips, tmp_path / "whole", landmarks=table).faces == fit(clips, tmp_path / "out", landmarks=table).faces


def test_a_table_of_other_videos_is_not_passed_over_for_a_detector(movie, clip, points, tmp_path) -> None:
    table, header = tmp_path / "marks.csv", "image" + "".join(f",x{k},y{k}" for k in range(68)) + "\n"
    table.write_text(f"{header}other/face_7.jpg{',10,20' * 68}\n")
    for path in (movie, clip):
        with pytest.raises(InputError, match=r"landmarks: no landmark files or rows of these frames in .*marks\.csv"):
            fit_video(path, tmp_path / "out", landmarks=table, detector="dlib")
    row = ",".join(map(str, points[8].ravel()))
    table.write_text(f"{table.read_text()}walk/frame_000008.jpg,{row}\n")
    assert [face.name for face in fit(movie, tmp_path / "out", landmarks=table).faces] == ["walk/frame_000008"]


def test_pictures_beside_videos_are_no_frames_and_change_no_place_of_landmarks(movie, points, tmp_path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(movie, folder)
    rows = "".join(f"frame_{k:06d}.jpg,{','.join(map(str, p.ravel()))}\n" for k, p in enumerate(points))
    (tmp_path / "marks.csv").write_text("image" + "".join(f",x{k},y{k}" for k in range(68)) + "\n" + rows)
    before = fit(folder, tmp_path / "out", landmarks=tmp_path / "marks.csv")
    for name in ("thumbnail.jpg", "walk.jpg", "walk2.jpg"):
        Image.new("RGB", (96, 96)).save(folder / name)
    assert fit(folder, tmp_path / "out", landmarks=tmp_path / "marks.csv").new_samples == 0
    result = fit(folder, tmp_path / "again", landmarks=tmp_path / "marks.csv")
    assert result.faces == before.faces and len(result.faces) == N
    (skip,) = result.skipped
    assert skip.image == "thumbnail.jpg" and "the first of 3 pictures beside video files" in skip.reason


def test_frames_that_were_written_beside_their_video_are_one_too(movie, tmp_path) -> None:
    """As `ffmpeg -i walk.mp4 frame_%06d.jpg` writes them."""
    shutil.copy(movie, tmp_path)
    for k in range(3):
        Image.new("RGB", (96, 96)).save(tmp_path / f"frame_{k:06d}.jpg")
    root, videos, others = find_videos(tmp_path, tmp_path / "out")
    assert (root, others) == (tmp_path, [])
    assert sorted(video.path for video in videos) == sorted([tmp_path, tmp_path / movie.name])


def test_a_picture_above_folders_of_frames_changes_no_place_of_landmarks(clips, images, points, tmp_path) -> None:
    folder, marks = Path(shutil.copytree(clips, tmp_path / "clips")), tmp_path / "marks"
    marks.mkdir()
    for name in ("nod", "turn"):
        (marks / name).mkdir()
        for path in (folder / name).glob("*.txt"):
            path.rename(marks / name / path.name)
    before = fit(folder, tmp_path / "out", landmarks=marks)
    Image.fromarray(images[0]).save(folder / "thumbnail.png")
    result = fit(folder, tmp_path / "again", landmarks=marks)
    assert result.faces == before.faces and len(result.faces) == N + 6
    assert [(skip.name, skip.reason.rpartition("thumbnail.png")[2][:20]) for skip in result.skipped] == [
        ("clips", ": no number in its n")
    ]
    (folder / "thumbnail.png").rename(folder / "frame_000000.png")  # another video's landmarks are not its own
    rows = "".join(f"nod/frame_{k:06d}.png,{','.join(map(str, p.ravel()))}\n" for k, p in enumerate(points))
    table = tmp_path / "marks.csv"
    table.write_text("image" + "".join(f",x{k},y{k}" for k in range(68)) + "\n" + rows)
    result = fit(folder, tmp_path / "third", landmarks=table)
    assert {face.name.partition("/")[0] for face in result.faces} == {"nod"}
    assert "not among the images of" in reasons(result)["clips/frame_000000"]
    table.write_text(table.read_text() + f"clips/frame_000000.png,{','.join(map(str, points[0].ravel()))}\n")
    result = fit(folder, tmp_path / "fourth", landmarks=table)
    assert {face.name.partition("/")[0] for face in result.faces} == {"nod", "clips"}


def test_frames_at_uneven_times_have_these_times(av, images, tmp_path) -> None:
    path = encode(tmp_path / "clip.mkv", images[:4], at=[0, 1, 5, 6])
    np.testing.assert_allclose([frame.time_s for frame in decoded(path)], np.array([0, 1, 5, 6]) / 25, atol=1e-3)
    np.testing.assert_allclose([frame.time_s for frame in decoded(path, rate=50)], np.arange(4) / 50)


def test_videos_are_turned_upright_as_they_say(movie, tmp_path) -> None:
    data = bytearray(movie.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix of the track's header
    one = (1 << 16).to_bytes(4, "big")
    minus, none, deep = (-(1 << 16)).to_bytes(4, "big", signed=True), bytes(4), (1 << 30).to_bytes(4, "big")
    data[at : at + 36] = none + one + none + minus + none + none + none + none + deep
    (tmp_path / "turned.mp4").write_bytes(data)
    turned, plain = decoded(tmp_path / "turned.mp4")[0].image, decoded(movie)[0].image
    np.testing.assert_array_equal(turned, np.rot90(plain, -1))  # as players show it: clockwise


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
        ((0, -1, 1, 0), lambda image: np.rot90(image)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, -1, -1, 0), lambda image: np.rot90(image, 2).swapaxes(0, 1)),
        ((2, 0, 0, 3), lambda image: image),
        ((0, 0, 0, 0), lambda image: image),  # it shows nothing: damaged
    ],
)
def test_videos_are_mirrored_and_turned_as_they_say(movie, tmp_path, matrix, upright) -> None:
    data = bytearray(movie.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)  # a pixel's place is (a x + c y, b x + d y)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "mirrored.mp4").write_bytes(data)
    shown, plain = decoded(tmp_path / "mirrored.mp4")[0].image, decoded(movie)[0].image
    np.testing.assert_array_equal(shown, upright(plain))


def of_unknown_format(data: bytes) -> bytes:
    """MPEG-4 under a name and an object type that nobody knows."""
    place = data.index(b"\x04\x80\x80\x80", data.index(b"esds")) + 5
    return data[:place].replace(b"mp4v", b"zzzz") + b"\xfe" + data[place + 1 :].replace(b"mp4v", b"zzzz")


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"", "not a readable video"),
        (lambda data: b"none" * 99, "not a readable video"),
        (cut_short, "not a readable video"),
        (of_unknown_format, "in a format that FFmpeg cannot decode"),
        (lambda data: b"ffconcat version 1.0\nfile walk.mp4\n", "not a readable video"),
        (lambda data: b"#EXTM3U\n#EXTINF:1,\nwalk.mp4\n#EXT-X-ENDLIST\n", "not a readable video"),
    ],
    ids=["empty", "other", "cut", "unknown", "list", "playlist"],
)
def test_files_that_are_no_videos_cost_themselves(movie, tmp_path, spoil: Callable[[bytes], bytes], message) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(movie.parent, folder)
    (folder / "bad.mp4").write_bytes(spoil(movie.read_bytes()))
    result = fit(folder, tmp_path / "out")
    assert len(result.faces) == N
    (skip,) = result.skipped
    assert skip.name == "bad" and message in skip.reason and "Errno" not in skip.reason and "'" not in skip.reason


def test_a_file_that_asks_for_much_memory_costs_itself(movie, tmp_path) -> None:
    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    data = movie.read_bytes()
    at = data.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", data, at)
    more = box(b"mvex", box(b"trex", struct.pack(">6I", 0, 1, 1, 1, 1, 0)))
    moov = struct.pack(">I", size + len(more)) + data[at + 4 : at + size] + more
    track = box(b"tfhd", struct.pack(">5I", 0x38, 1, 1, 1, 0)) + box(b"trun", struct.pack(">2I", 0, 10**8))
    moof = box(b"moof", box(b"mfhd", struct.pack(">2I", 0, 1)) + box(b"traf", track))  # 100 million frames of no bytes
    folder = Path(shutil.copytree(movie.parent, tmp_path / "clips"))
    (folder / "bad.mp4").write_bytes(data[:at] + moov + data[at + size :] + moof + box(b"mdat", b"x" * 100))
    result = fit(folder, tmp_path / "out")
    assert len(result.faces) == N
    assert [skip.name for skip in result.skipped] == ["bad"] and "more memory than a video" in result.skipped[0].reason


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory is mapped")
def test_memory_is_bounded_for_a_block_alone() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(ValueError, match="more memory than a video needs"), bounded_memory():
        np.empty(1 << 31, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    np.empty(1 << 31, np.uint8)


def test_times_ascend_whatever_a_file_states() -> None:
    last, times = -np.inf, []
    for stated in (None, 0.0, 0.5, 0.500001, -5.0, None, np.nan, np.inf, 1e18, 1e18, None, 2e18):
        last = frames._next_time(last, stated, 25.0)
        times.append(last)
    assert (np.diff(times) > 0).all() and times[-1] == 2e18
    np.testing.assert_allclose(times[:9], [0, 0.04, 0.5, 0.54, 0.58, 0.62, 0.66, 0.7, 1e18])


def test_a_file_that_is_no_video_is_refused_before_it_is_hashed(av, points, tmp_path, monkeypatch) -> None:
    write_marks(tmp_path / "bad", points)
    monkeypatch.setattr(state, "digest_of", lambda path: pytest.fail(f"{path} was hashed"))
    (tmp_path / "bad.mp4").write_bytes(b"none" * 99)
    os.truncate(tmp_path / "bad.mp4", 1 << 40)
    with pytest.raises(DatasetError, match=r"bad\.mp4: not a readable video"):
        fit(tmp_path / "bad.mp4", tmp_path / "out")


def test_a_video_that_is_damaged_further_on_is_used_up_to_there(av, images, points, tmp_path, monkeypatch) -> None:
    path = encode(tmp_path / "clip.avi", images)
    write_marks(tmp_path / "clip", points)
    real, seen = frames._check_size, []

    def damaged(stream: Any) -> None:
        seen.append(1)
        if len(seen) > 4:
            raise ValueError("made up")
        real(stream)

    monkeypatch.setattr(frames, "_check_size", damaged)
    result = fit(path, tmp_path / "out")
    assert [face.frame for face in result.faces] == [0, 1, 2, 3]
    assert reasons(result) == {"clip": f"{path}: damaged after frame 3, the last that is used (made up)"}


def test_pictures_that_are_too_large_are_not_decoded(movie, monkeypatch) -> None:
    monkeypatch.setenv("UVGEN_MAX_PIXELS", "1000")
    with pytest.raises(Exception, match="96 × 96 pixels, more than the 1000"):
        decoded(movie)


def test_videos_of_one_name_are_named_and_cost_themselves(movie, images, points, clips, tmp_path) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(movie.parent, folder)
    write_frames(folder / "Walk", images[:3], points[:3])
    shutil.copytree(clips / "turn", folder / "turn")
    result = fit(folder, tmp_path / "out")
    assert {face.name.split("/")[0] for face in result.faces} == {"turn"}
    assert [skip.reason.partition(": ")[2][:35] for skip in result.skipped] == [
        "another video has the same name, ex"
    ] * 2


def test_without_pyav_folders_of_frames_do_and_files_say_what_to_install(clip, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(fit(clip, tmp_path / "out").faces) == 5
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(DependencyError, match=r"PyAV is not installed.*pip install \"\.\[video\]\" in"):
        fit(tmp_path / "clip.mp4", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_video_without_landmarks_and_detector_is_told_where_they_are_looked_for(movie, tmp_path, monkeypatch) -> None:
    clip = Path(shutil.copy(movie, tmp_path / "clip.mp4"))
    for package in DETECTORS.values():
        monkeypatch.setitem(sys.modules, package, None)
    place = f"of each frame, such as {tmp_path}/clip/frame_000000.txt"
    with pytest.raises(DependencyError, match=f"or give landmarks of all of them, in files {re.escape(place)}$"):
        fit_video(clip, tmp_path / "out")
    with pytest.raises(InputError, match=f"no landmark files {re.escape(place)}, expected one of them"):
        fit(clip, tmp_path / "out")


def test_nothing_of_a_video_is_told_twice() -> None:
    assert videos_of([], []) == ()


@pytest.mark.slow
def test_importing_uvgen_does_not_import_pyav() -> None:
    code = "import uvgen, sys; uvgen.fit_video; print('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# What strangers put in the place of a hidden folder


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "other file"])
def test_hidden_folder_that_holds_something_else_is_refused_and_stays(clip: Path, tmp_path: Path, kind: str) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    scratch = out / f".uvgen-frames-{clip.name}"
    scratch.mkdir(parents=True)
    mine.write_text("mine")
    place = scratch / ("diary.txt" if kind == "other file" else "frame_000000.mat")
    {
        "link": lambda: place.symlink_to(mine), "pipe": lambda: os.mkfifo(place), "folder": place.mkdir,
        "other file": lambda: place.write_text("mine"),
    }[kind]()  # fmt: skip
    with pytest.raises(OutputError, match=rf"holds something else \({place.name}\), .* interrupted run left; remove"):
        fit(clip, out)
    assert os.path.lexists(place) and mine.read_text() == "mine"


def test_hidden_folders_of_others_stay(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name, file in (("mine", "diary.txt"), ("gone", "frame_000000.png"), ("hidden", ".diary")):
        (out / f".uvgen-frames-{name}").mkdir(parents=True)
        (out / f".uvgen-frames-{name}" / file).touch()
    fit(clip, out)
    assert sorted(path.name for path in out.glob(".uvgen-frames-*")) == [".uvgen-frames-hidden", ".uvgen-frames-mine"]


def test_frames_are_written_to_new_files(clip: Path, tmp_path: Path) -> None:
    scratch, mine = tmp_path / "out" / f".uvgen-frames-{clip.name}", tmp_path / "mine"
    scratch.mkdir(parents=True)
    mine.write_text("mine")
    for end in ("mat", "png"):
        os.link(mine, scratch / f"frame_000000.{end}")
    fit(clip, tmp_path / "out")
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("name", ["walk.mp4", "walk.mkv", "walk.avi", "walk.flv"])
@pytest.mark.parametrize("share", [0.8, 0.9])
def test_a_video_whose_copy_stopped_early_is_used_up_to_there_and_named(av, images, tmp_path, name, share) -> None:
    whole, codec = tmp_path / name, "flv" if name.endswith("flv") else "mpeg4"
    encode(whole, images, codec=codec, options={"movflags": "faststart"} if name.endswith("mp4") else {})
    n = len(decoded(whole))
    assert n == len(images)
    data, cut = whole.read_bytes(), tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(data[: int(share * len(data))])
    seen = list[Frame]()
    with pytest.raises(InputError, match=r"cut\.\w+: damaged after frame (\d+), the last that is used") as error:
        seen.extend(frames_of(_Job(), Photograph(cut, "cut"), None))  # type: ignore[arg-type]
    assert 0 < len(seen) < n and f"after frame {len(seen) - 1}," in str(error.value)
    for frame, true in zip(seen, decoded(whole), strict=False):
        np.testing.assert_array_equal(frame.image, true.image)


def test_lengths_that_containers_leave_open_are_no_damage(tmp_path) -> None:
    box = struct.pack(">I4s", 16, b"ftyp") + b"isom0000"
    segment = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67"
    contents = {
        "open box": (box + struct.pack(">I4s", 0, b"mdat") + b"123", False),
        "box": (box + struct.pack(">I4s", 11, b"mdat") + b"123", False),
        "short box": (box + struct.pack(">I4s", 12, b"mdat") + b"123", True),
        "large box": (box + struct.pack(">I4sQ", 1, b"mdat", 19) + b"123", False),
        "short large box": (box + struct.pack(">I4sQ", 1, b"mdat", 1 << 40) + b"123", True),
        "short fragment after another kind": (
            box + struct.pack(">I4sI4sI4sI4s", 8, b"moof", 8, b"mdat", 8, b"prft", 9, b"moof"),
            True,
        ),
        "fragment, and zeros": (box + struct.pack(">I4sI4s", 8, b"moof", 8, b"mdat") + bytes(9), True),
        "fragment, and a byte": (box + struct.pack(">I4sI4s", 8, b"moof", 8, b"mdat") + b"1", True),
        "short box after an unknown kind": (box + struct.pack(">I4sI4s", 8, b"PICT", 12, b"mdat") + b"123", True),
        "something after the boxes": (box + b"\xff\xff\xff\xffjunk", False),
        "riff": (b"RIFF" + struct.pack("<I", 7) + b"AVI 123", False),
        "open riff": (b"RIFF" + struct.pack("<I", 0) + b"AVI 123", False),
        "short riff": (b"RIFF" + struct.pack("<I", 700) + b"AVI 123", True),
        "two riffs, the second short": (b"RIFF\x04\0\0\0AVI RIFF\0\1\0\0AVIX", True),
        "segment": (segment + b"\x83abc", False),
        "open segment": (segment + b"\x01" + b"\xff" * 7 + b"abc", False),
        "short segment": (segment + b"\x40\x40abc", True),
        "other": (b"FLV\x01\x05" + bytes(20), False),
        "nothing": (b"", False),
    }
    for name, (content, is_short) in contents.items():
        (tmp_path / "file").write_bytes(content)
        with open(tmp_path / "file", "rb") as file:
            file.seek(3)
            assert is_cut_short(file) == is_short, name
            assert file.tell() == 3


@pytest.mark.parametrize("name", ["walk.mkv", "walk.mp4", "walk.avi"])
def test_pictures_that_the_decoder_finds_damaged_are_left_out_up_to_the_next_key_frame(
    av, images, tmp_path, name
) -> None:
    """Decoders fill what they cannot read, and say so; pictures made from such ones are no better."""
    whole = encode(tmp_path / name, [*images] * 3)
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [k for k, packet in enumerate(packets) if packet.is_keyframe]
    assert keys[:2] == [0, 12] and len(packets) == 3 * N
    data = whole.read_bytes()
    place = data.index(bytes(packets[4])) + packets[4].size // 2
    whole.write_bytes(data[:place] + bytes(20) + data[place + 20 :])
    seen = decoded(whole)
    assert [frame.number for frame in seen if frame.problem] == [*range(4, 12)]
    assert all("damaged, as its decoder says" in frame.problem for frame in seen[4:12])
    encode(whole, [*images] * 3)
    for frame, true in zip(seen, decoded(whole), strict=True):
        assert frame.problem or np.array_equal(frame.image, true.image)


@pytest.mark.parametrize("name", ["walk.mkv", "walk.avi"])
def test_a_video_with_a_hole_between_its_pictures_is_named(av, images, tmp_path, name) -> None:
    """FFmpeg takes such a place for the end, or passes over it, without an error."""
    path = encode(tmp_path / name, images)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][5]
    data = path.read_bytes()
    place = data.index(bytes(packet)) - 12
    path.write_bytes(data[:place] + bytes(12) + data[place + 12 :])
    seen = list[Frame]()
    with pytest.raises(InputError, match=r"walk\.\w+: damaged: its parts do not follow one another"):
        seen.extend(frames_of(_Job(), Photograph(path, "walk"), None))  # type: ignore[arg-type]
    assert 0 < len(seen) < N


@pytest.mark.parametrize(
    ("content", "gaps"),
    [
        (b"\xec\x81a\x1f\x43\xb6\x75\x86\xe7\x81\0\xa3\x81b\xec\x80", False),
        (b"\xec\x81a\x1f\x43\xb6\x75\x86\xe7\x81\0\0\x81b\xec\x80", True),  # no element in a cluster
        (b"\xec\x81a\x1f\x43\xb6\x75\x86\xe7\x81\0\xa3\x82b\xec\x80", True),  # one that is longer than it
        (b"\xec\x81a\x1f\x43\xb6\x75\xff\0\0", False),  # which leaves open where it ends
        (b"\xec\x81a\0\0\0\0", True),
        (b"\xec\x85a", True),
        (b"\xec", True),
        (b"", False),
    ],
)
def test_the_parts_of_matroska_files_follow_one_another(tmp_path, content: bytes, gaps: bool) -> None:
    whole = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67" + bytes([0x80 | len(content)]) + content
    for data, is_expected in ((whole, gaps), (whole.replace(b"\x18\x53", b"\x18\x54"), False), (b"", False)):
        (tmp_path / "file").write_bytes(data)
        with open(tmp_path / "file", "rb") as file:
            file.seek(2)
            assert has_gaps(file) == is_expected and file.tell() == 2


@pytest.mark.parametrize("live", ["0", "1"])
@pytest.mark.parametrize("lost", [0, 40])
def test_a_recording_whose_length_is_open_has_no_gaps_wherever_it_stopped(av, images, tmp_path, live, lost) -> None:
    """As browsers write them: neither the segment nor its clusters say where they end."""
    path = encode(tmp_path / "walk.mkv", images, options={"live": live})
    path.write_bytes(path.read_bytes()[: -lost or None])
    with open(path, "rb") as file:
        assert has_gaps(file) == is_cut_short(file) == (live == "0" and lost > 0)


def test_an_open_recording_with_a_hole_has_gaps(tmp_path) -> None:
    start = b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\xff\xec\x81a"
    for content, gaps in (
        (b"\x1f\x43\xb6\x75\x86\xe7\x81\0\xa3\x84b", False),
        (bytes(16), True),
        (b"\xec\x89a", False),
    ):
        (tmp_path / "file").write_bytes(start + content)
        with open(tmp_path / "file", "rb") as file:
            assert has_gaps(file) == gaps


@pytest.mark.parametrize(
    ("content", "gaps"),
    [
        (b"LIST\x10\0\0\0movi00dc\x04\0\0\0abcd", False),
        (b"LIST\x10\0\0\0movi00dc\x03\0\0\0abc\0idx1\0\0\0\0", False),
        (b"LIST\x0f\0\0\0movi00dc\x03\0\0\0abcidx1\0\0\0\0", False),  # which is not padded
        (b"LIST\x10\0\0\0movi00dc\xff\0\0\0abcd", True),
        (b"LIST\x10\0\0\0movi\0\0\0\0\0\0\0\0abcd", True),
        (b"LIST\0\0\0\0movi\0\0\0\0\0\0\0\0abcd", False),  # which was never finished
        (b"", False),
    ],
)
def test_the_parts_of_avi_files_follow_one_another(tmp_path, content: bytes, gaps: bool) -> None:
    for length, is_expected in ((4 + len(content), gaps), (0, False)):
        (tmp_path / "file").write_bytes(b"RIFF" + struct.pack("<I", length) + b"AVI " + content)
        with open(tmp_path / "file", "rb") as file:
            file.seek(3)
            assert has_gaps(file) == is_expected and file.tell() == 3


def test_a_video_whose_pixels_stop_being_square_is_used_up_to_there_and_named(av, images, tmp_path) -> None:
    """As broadcasts do, whose recordings state the form of their pixels again and again."""
    square, wide = (encode(tmp_path / f"{a}.mpg", images, codec="mpeg2video", aspect=(a, 3)) for a in (3, 4))
    (tmp_path / "both.mpg").write_bytes(square.read_bytes() + wide.read_bytes())
    seen = list[Frame]()
    with pytest.raises(InputError, match=r"both\.mpg: pixels of 4:3 from frame \d+ on, expected square ones"):
        seen.extend(frames_of(_Job(), Photograph(tmp_path / "both.mpg", "both"), None))  # type: ignore[arg-type]
    assert 0 < len(seen) <= N
    (tmp_path / "both.mpg").write_bytes(square.read_bytes() * 2)
    assert len(decoded(tmp_path / "both.mpg")) == 2 * N


def test_a_cover_picture_is_not_the_video(av, movie, images, tmp_path) -> None:
    """A picture in the file's description, which some programs write before the tracks."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    picture = io.BytesIO()
    Image.fromarray(images[0]).save(picture, "JPEG")
    data = box(b"data", struct.pack(">II", 13, 0) + picture.getvalue())
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(10))
    about = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", box(b"covr", data))))
    whole = movie.read_bytes()
    place = whole.index(b"moov") - 4
    header = whole.index(b"mvhd") - 4
    end = header + int.from_bytes(whole[header : header + 4])
    (tmp_path / "covered.mp4").write_bytes(whole[:place] + box(b"moov", whole[place + 8 : end] + about + whole[end:]))
    with av.open(str(tmp_path / "covered.mp4")) as container:
        assert [stream.codec_context.name for stream in container.streams.video] == ["mjpeg", "mpeg4"]
    for frame, true in zip(decoded(tmp_path / "covered.mp4"), decoded(movie), strict=True):
        np.testing.assert_array_equal(frame.image, true.image)


def test_a_video_of_pixels_that_are_not_square_is_named_with_the_cure(av, images, tmp_path) -> None:
    path = encode(tmp_path / "wide.mp4", images[:3], aspect=(4, 3))
    with pytest.raises(InputError, match=r"wide\.mp4: pixels of 4:3, expected square ones; .* ffmpeg -i IN") as caught:
        decoded(path)
    cure = str(caught.value).partition('-vf "scale=')[2].partition(",setsar=1")[0]
    frame = av.VideoFrame(720, 576, "yuv420p")  # PAL's of 12:11 would be 785 wide, which H.264 and others cannot be
    graph = av.filter.Graph()
    source = graph.add("buffer", "video_size=720x576:pix_fmt=yuv420p:time_base=1/25:pixel_aspect=12/11")
    scale, sink = graph.add("scale", cure), graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(sink)
    graph.configure()
    graph.push(frame)
    assert (found := graph.pull()).height == 576 and found.width == 784
    assert len(decoded(encode(tmp_path / "nearly.mp4", images[:3], aspect=(100, 101)))) == 3
