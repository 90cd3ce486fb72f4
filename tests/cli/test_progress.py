"""What commands show of how far they are: phases, a running clock, samples within a shard, rates without the start."""

import contextlib
import dataclasses
import fcntl
import io
import itertools
import os
import pty
import re
import struct
import sys
import termios
from contextlib import closing

import click
import pytest
from support.builds import SMALL, make
from support.faults import faulty_environment, write_samples
from support.toy import write_tree

from uvgen import (
    RunOptions,
    SynthOptions,
    augment_shards,
    export_shards,
    merge_shards,
    open_shards,
    render_faces,
    verify_shards,
)
from uvgen.cli import progress
from uvgen.cli.groups import ARGUMENTS, as_typed
from uvgen.cli.progress import Progress
from uvgen.progress import shown_on
from uvgen.wording import count


class Recorder:
    """A display that remembers."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int | None]] = []
        self.done = 0
        self.steps: list[int] = []

    def begin(self, what: str, total: int | None, first: str, of: str) -> None:
        self.phases.append((what, total))
        self.done = 0

    def advance(self, n: int, *, starting: bool = False) -> None:
        self.done += n
        self.steps.append(n)


def watched(work) -> Recorder:
    recorder = Recorder()
    with shown_on(recorder):
        work()
    return recorder


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.long])])
def test_build_says_its_phases_and_counts_every_sample(tree, model_path, tmp_path, workers) -> None:
    (tree / "AFW/AFW_001_1_0.jpg").write_bytes(b"none")  # skipped, and counted: it is done
    seen = watched(lambda: make(tree, model_path, tmp_path / "out", run=RunOptions(workers)))
    assert [what for what, _ in seen.phases] == [
        "reading a few samples", "laying out the map", "building", "comparing labels with annotations",
    ]  # fmt: skip
    assert dict(seen.phases)["building"] == 9 and sum(seen.steps) == 9


def test_rerun_counts_what_is_missing_alone(tree, model_path, tmp_path) -> None:
    make(tree, model_path, tmp_path / "out")
    (tmp_path / "out/IBUG-00000.h5").unlink()
    seen = watched(lambda: make(tree, model_path, tmp_path / "out"))
    assert dict(seen.phases)["building"] == 2 == sum(seen.steps)
    assert "building" not in dict(watched(lambda: make(tree, model_path, tmp_path / "out")).phases)


def test_samples_are_counted_within_a_shard(model_path, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("uvgen.datasets.worker.Builder.most_held", 16)
    tree = write_tree(tmp_path / "300W_LP", n=40)
    config = dataclasses.replace(SMALL, shard_size=256)
    seen = watched(lambda: make(tree, model_path, tmp_path / "out", config))
    assert seen.steps == [16, 16, 8] * 3


@pytest.mark.slow
def test_other_jobs_count_their_samples(tree, model_path, tmp_path) -> None:
    make(tree, model_path, tmp_path / "shards")
    shards = tmp_path / "shards"
    for what, n, work in (
        ("augmenting", 18, lambda: augment_shards(shards, tmp_path / "copies", copies=2)),
        ("copying", 9, lambda: merge_shards(shards, tmp_path / "merged")),
        ("exporting", 9, lambda: export_shards(shards, tmp_path / "npy", "npy")),
        ("verifying", 9, lambda: verify_shards(shards)),
        ("rendering faces", 6, lambda: render_faces(tmp_path / "faces", 3, options=SynthOptions(size=64))),
    ):
        seen = watched(work)
        assert dict(seen.phases)[what] == n and sum(seen.steps) == n, what


@pytest.mark.slow
def test_samples_of_a_process_that_died_count_once(model_path, tmp_path, monkeypatch) -> None:
    for key, value in faulty_environment(tmp_path / "faults", AFW_025="kill 1").items():
        monkeypatch.setenv(key, value)
    tree = write_samples(tmp_path / "300W_LP", 40)
    config = dataclasses.replace(SMALL, shard_size=40)
    seen = watched(lambda: make(tree, model_path, tmp_path / "out", config, run=RunOptions(2)))
    assert sum(seen.steps) == 40 and len(open_shards(tmp_path / "out")) == 40


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(progress, "time", turned)
    return turned


def shown(monkeypatch, **options) -> tuple[Progress, io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return Progress(lambda: None, **{"quiet": False, "verbose": False, **options}), stream


def test_lines_name_a_phase_that_takes_long_and_count_with_a_rate_without_the_start(clock, monkeypatch) -> None:
    display, stream = shown(monkeypatch)
    with closing(display):
        display.begin("building", 1000, "starting", "sample")
        display.look()
        assert stream.getvalue() == ""  # not yet
        clock.now += 8
        display.look()
        assert stream.getvalue() == "starting ...\n"
        clock.now += 29
        display.look()
        assert stream.getvalue() == "starting ...\n"
        clock.now += 1
        display.look()
        assert stream.getvalue() == "starting ...\nstarting, 0:38\n"
        display.advance(100)
        clock.now += 9
        display.advance(450)
        display.look()
        assert stream.getvalue().splitlines()[-1] == "building: 550 of 1000, 50 samples/s, 0:09 left"
        display.advance(450)
        clock.now += 9
        display.look()
        assert stream.getvalue().splitlines()[-1] == "building: 1000 of 1000, finishing, 0:56"  # time that passes
        display.begin("registering", 9, "starting", "scan")
        display.advance(1)
        clock.now += 60
        display.look()
        clock.now += 5
        display.look()
        assert stream.getvalue().splitlines()[-1] == "registering: 1 of 9, 1:05"  # no rate yet: time that passes
        display.advance(2)
        display.look()
        assert stream.getvalue().splitlines()[-1] == "registering: 1 of 9, 1:05"  # said a moment ago
        clock.now += 35
        display.look()
        assert stream.getvalue().splitlines()[-1] == "registering: 3 of 9, 50 s per scan, 5:00 left"
        display.begin("comparing labels with annotations", None, "comparing labels with annotations", "sample")
        clock.now += 1
        display.look()
        assert stream.getvalue().splitlines()[-1] == "comparing labels with annotations ..."


def test_rate_begins_when_all_workers_have_started(clock, monkeypatch) -> None:
    display, stream = shown(monkeypatch)
    with closing(display):
        display.begin("fitting", 100, "compiling kernels, once", "photograph")
        clock.now += 20
        display.look()
        display.advance(8, starting=True)
        clock.now += 4
        display.advance(1, starting=True)
        clock.now += 6
        display.look()
        assert stream.getvalue().splitlines()[-1] == "fitting: 9 of 100, 0:30"  # the other worker still compiles
        display.advance(1)
        clock.now += 10
        display.advance(20)
        display.look()
        assert stream.getvalue().splitlines()[-1] == "fitting: 30 of 100, 2 photographs/s, 0:35 left"


def test_rates_of_thousands_are_whole_numbers_and_a_bar_has_single_commas(clock, monkeypatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", stream)
    display = Progress(lambda: None, quiet=False, verbose=False)
    with closing(display):
        display.begin("building", 2000, "starting", "sample")
        display.advance(10)
        clock.now += 1
        display.advance(1190)
        display.look()
        display.begin("fitting", 4, "fitting", "photograph")
        display.advance(1)
        clock.now += 1
        display.advance(2)
        display.look()
    text = re.sub(r"\s+", " ", stream.getvalue())
    assert "1200 of 2000 samples" in text and ", 1,190 samples/s, 0:01 left" in text
    assert "3 of 4 photographs" in text and ", 2 photographs/s" in text
    assert ", ," not in text and ",," not in text and "e+" not in text


def test_progress_asks_whether_to_stop_whenever_it_hears_something() -> None:
    asked = itertools.count()
    display = Progress(lambda: next(asked), quiet=True, verbose=False)
    with closing(display):
        display.begin("building", 2, "starting", "sample")
        display.advance(1)
        display.advance(1)
    assert next(asked) == 3


def test_quiet_progress_says_nothing(clock, monkeypatch) -> None:
    display, stream = shown(monkeypatch, quiet=True)
    with closing(display):
        display.begin("building", 10, "starting", "sample")
        clock.now += 60
        display.advance(5)
        display.look()
    assert stream.getvalue() == ""


def test_count_has_the_plural() -> None:
    assert [count(n, "shard") for n in (0, 1, 2)] == ["0 shards", "1 shard", "2 shards"]


def test_misspelled_commands_and_options_are_answered_in_one_line(uvgen) -> None:
    for arguments, message in (
        (("biuld",), "uvgen: no command 'biuld'; did you mean build? see `uvgen --help`\n"),
        (("model", "inf"), "uvgen: no command 'inf'; did you mean info? see `uvgen model --help`\n"),
        (("zzz",), "uvgen: no command 'zzz'; expected one of augment, build, "),
        (
            ("build", "--overwritte"),
            "uvgen: no option --overwritte; did you mean --overwrite? see `uvgen build --help`\n",
        ),
        (("build", "--out", "x", "--size", "huge"), "uvgen: --size: huge, expected a whole number from 16 to 4096; "),
    ):
        result = uvgen(*arguments)
        assert result.exit_code == 2 and result.stderr.startswith(message), result.stderr
        assert result.stdout == "" and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "--subsets", "IBUG"), "no option --subsets; did you mean --subset? see `uvgen build --help`"),
        (("build", "--nonsense"), "no option --nonsense; see `uvgen build --help`"),
        (("build",), "missing --out (folder or URL for the shards and dataset.json); see `uvgen build --help`"),
        (("export", "shards", "-o", "x"), "missing --to (one of webdataset, npy, prnet, reshow, deep3d, stn, hugg"),
        (("evaluate", "--pred", "x"), "missing --truth (a data set, AFLW2000-3D's folder"),
        (("build", "--out"), "--out: expected an argument; see `uvgen build --help`"),
        (("model", "convert", "-o"), "-o: expected an argument; see `uvgen model convert --help`"),
        (("build", "-o", "x", "--copies", "2"), "--copies goes with --augment; see `uvgen build --help`"),
        (("build", "-o", "x", "--jpeg-quality", "9"), "--jpeg-quality goes with --image-codec jpeg; see"),
        (("build", "-o", "x", "--maps", "none", "--posmap-dtype", "uint16"), "--posmap-dtype goes with --maps stored"),
        (("report", "a", "-o", "x", "--all", "--worst", "3"), "--all and --worst exclude each other; see"),
        (("report", "a", "-o", "x", "--worst", "1000", "--all"), "--all and --worst exclude each other; see"),
        (("build", "-o", "x", "--limit", "0"), "--limit: 0, expected a whole number of 1 or more; see"),
        (("build", "-o", "x", "--limit", "3k"), "--limit: 3k, expected a whole number of 1 or more; see"),
        (("build", "-o", "x", "--timeout", "0"), "--timeout: 0.0, expected a number above 0; see"),
        (("build", "-o", "x", "--jitter", "2"), "--jitter: 2.0, expected a number from 0 and below 1; see"),
        (("synth", "-o", "x", "--count", "1", "--seed", "a"), "--seed: a, expected a whole number; see"),
        (("export", "a", "--to", "b", "-o", "c"), "--to: b, expected one of webdataset, npy, prnet, "),
        (("info",), "missing SHARDS; see `uvgen info --help`"),
        (("version",), "no command 'version'; did you mean --version? see `uvgen --help`"),
        (("help",), "no command 'help'; did you mean --help? see `uvgen --help`"),
    ],
    ids=str,
)
def test_wrong_usage_says_the_option_what_was_found_and_what_was_expected(uvgen, arguments, message) -> None:
    result = uvgen(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith(f"uvgen: {message}") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("model",)])
def test_group_alone_prints_its_help_as_it_is_and_exits_2(uvgen, arguments) -> None:
    result = uvgen(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr == uvgen(*arguments, "--help").stdout and result.stderr.count("\n") > 10


def test_help_names_every_command_of_a_group_in_whole_sentences(uvgen) -> None:
    for arguments in (("--help",), ("model", "--help")):
        assert "..." not in uvgen(*arguments).stdout.split("Commands:")[1]


def test_messages_name_paths_as_they_were_typed(uvgen, tmp_path, monkeypatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "shards-2").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for arguments, message in (
        (
            ("augment", "shards/", "--out", "x"),
            "uvgen: shards: no such folder, expected a folder that `uvgen build` made",
        ),
        (("merge", "../shards", "-o", "x"), "uvgen: ../shards: no such folder, expected"),
        (("merge", tmp_path / "shards", "-o", "x"), f"uvgen: {tmp_path}/shards: no such folder, expected"),
        (("fit", "photos", "--out=x"), "uvgen: photos: no such folder, expected a folder of photographs"),
        (("build", "--data", "300W_LP", "--model", "builtin", "-o", "x"), "uvgen: 300W_LP: no such folder, expected"),
        (("build", "--maps-from", "m", "--model", "builtin", "-o", "x"), "uvgen: m: no such folder, expected a folder"),
    ):
        result = uvgen(*arguments)
        assert result.exit_code == 1 and result.stderr.startswith(message), result.stderr


def test_as_typed_shows_what_lies_in_the_folder_of_a_file_s_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"")
    context = click.Context(click.Command("uvgen"))
    context.meta[ARGUMENTS] = ["fit", "--video", "clip.mp4", "--out", "other.mp4"]
    with context:
        assert as_typed(f"{tmp_path}/clip/frame_000001.txt: jumps") == "clip/frame_000001.txt: jumps"
        assert as_typed(f"{tmp_path}/clip.mp4: damaged") == "clip.mp4: damaged"
        assert as_typed(f"{tmp_path}/other/x") == f"{tmp_path}/other/x"


@pytest.mark.parametrize("text, shown", [
    ("{}: none of 2", "set: none of 2"), ("{}/IBUG/a.jpg: damaged", "set/IBUG/a.jpg: damaged"),
    ("copy of ({})", "copy of (set)"), ("{}-2: other", None), ("{}s/x", None), ("/mnt{}/x", None),
])  # fmt: skip
def test_as_typed_replaces_whole_paths_alone(tmp_path, monkeypatch, text, shown) -> None:
    monkeypatch.chdir(tmp_path)
    whole = text.format(tmp_path / "set")
    context = click.Context(click.Command("uvgen"))
    context.meta[ARGUMENTS] = ["build", "--data=set/", "-j", "2", "--out", str(tmp_path / "set/out")]
    with context:
        assert as_typed(whole) == (whole if shown is None else shown)
    assert as_typed(whole) == whole


@pytest.mark.parametrize(("columns", "term", "bar"), [(80, "xterm", True), (0, "xterm", False), (80, "dumb", False)])
def test_terminal_without_a_width_gets_lines(monkeypatch, columns, term, bar) -> None:
    """As under script(1), where a bar would be shown in no column: not at all."""
    with contextlib.ExitStack() as stack:
        master, slave = pty.openpty()
        stack.callback(os.close, master)
        stream = stack.enter_context(os.fdopen(slave, "w"))
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        monkeypatch.setenv("TERM", term)
        monkeypatch.setattr(sys, "stderr", stream)
        display = Progress(lambda: None, quiet=False, verbose=False)
        assert (display._bar is not None) == bar
        display.close()


def test_a_model_is_converted_with_a_clock_on_a_terminal_alone(monkeypatch) -> None:
    for room in (True, False):
        monkeypatch.setattr(progress, "_has_room", lambda room=room: room)
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.clock_on_terminal("converting the model"):
            pass
        assert ("converting the model" in stream.getvalue()) == room
