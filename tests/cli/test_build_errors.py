"""Bad input to `uvgen build`: one line that names the file and what to do, the right exit status, nothing else lost."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from PIL import Image
from support.builds import COMMAND, PATIENCE_S, start
from support.toy import N_EXPRESSION, N_SHAPE, parameters, picture, write_sample

from uvgen import open_shards, verify_shards
from uvgen.cli.main import nothing_written
from uvgen.storage.folders import INDICES

ONE_LINE = r"uvgen: [^\n]+\n"


@pytest.fixture
def run(uvgen: Any, tree: Path, model_path: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs the command on the toy tree in this process, small; later options win."""

    def run(*options: object) -> Any:
        return uvgen("build", "--data", tree, "--model", model_path, "--out", tmp_path / "out", "--size", 32,
                     "--workers", 1, *options)  # fmt: skip

    return run


def assert_refused(result: Any, *pattern: str) -> None:
    """Status 1 and one line."""
    assert result.exit_code == 1, result.exception
    assert re.fullmatch(ONE_LINE, result.stderr), result.stderr
    for part in pattern:
        assert re.search(part, result.stderr), result.stderr
    assert result.stdout == ""


# A bad sample: skipped, status 3


def rewrite(image: Path, **changes: Any) -> None:
    sio.savemat(image.with_suffix(".mat"), parameters(1) | changes)


def with_value(key: str, value: float) -> dict[str, Any]:
    array = parameters(1)[key].astype(np.float64)
    array.flat[2] = value
    return {key: array}


def without(image: Path, key: str) -> None:
    sio.savemat(image.with_suffix(".mat"), {k: v for k, v in parameters(1).items() if k != key})


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated JPEG": (
        lambda image: os.truncate(image, image.stat().st_size // 2), r"AFW_001_1_0\.jpg: not a readable image.*copy it"
    ),
    "empty JPEG": (lambda image: os.truncate(image, 0), r"AFW_001_1_0\.jpg: not a readable image \(an empty file"),
    "16-bit PNG": (
        lambda image: Image.fromarray(picture()[..., 0].astype(np.uint16) * 256).save(image, format="PNG"),
        r"AFW_001_1_0\.jpg: not a readable image.*8 bits",
    ),
    "no mat": (
        lambda image: image.with_suffix(".mat").write_text("hello"), r"AFW_001_1_0\.mat: not a readable MATLAB file"
    ),
    "truncated mat": (
        lambda image: os.truncate(image.with_suffix(".mat"), 600), r"AFW_001_1_0\.mat: not a readable MATLAB file"
    ),
    "MATLAB 7.3": (
        lambda image: image.with_suffix(".mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\0" * 99),
        r"AFW_001_1_0\.mat: .*7\.3",
    ),
    "missing key": (lambda image: without(image, "Exp_Para"), r"AFW_001_1_0\.mat: Exp_Para is missing, expected"),
    "shape of another model": (
        lambda image: rewrite(image, Shape_Para=np.zeros((199, 1))),
        rf"AFW_001_1_0\.mat: 199 shape parameters, .* has {N_SHAPE} components; use the model",
    ),
    "expression of another model": (
        lambda image: rewrite(image, Exp_Para=np.zeros((29, 1))),
        rf"AFW_001_1_0\.mat: 29 expression parameters, .* has {N_EXPRESSION} components; use the model",
    ),
    "six poses": (lambda image: rewrite(image, Pose_Para=np.zeros(6)), r"AFW_001_1_0\.mat: Pose_Para has 6 numbers"),
    "NaN": (
        lambda image: rewrite(image, **with_value("Shape_Para", np.nan)), r"AFW_001_1_0\.mat: Shape_Para holds NaN"
    ),
    "infinity": (
        lambda image: rewrite(image, **with_value("Pose_Para", np.inf)), r"AFW_001_1_0\.mat: Pose_Para holds NaN or inf"
    ),
    "text": (lambda image: rewrite(image, Exp_Para="none"), r"AFW_001_1_0\.mat: Exp_Para .*(text|expected numbers)"),
    "image without mat": (
        lambda image: image.with_suffix(".mat").unlink(), r"AFW_001_1_0\.jpg: no \.mat beside it, expected"
    ),
    "mat without image": (lambda image: image.unlink(), r"AFW_001_1_0\.mat: no image beside it; add"),
    "face outside": (
        lambda image: rewrite(image, Pose_Para=np.array([0, 0, 0, -300, 60, -20, 4.5e-4])),
        r"AFW_001_1_0\.jpg: the face lies outside the image \(160×120; .*\); is Pose_Para",
    ),
    "face below": (
        lambda image: rewrite(image, Pose_Para=np.array([0, 0, 0, 80, -300, -20, 4.5e-4])),
        r"AFW_001_1_0\.jpg: the face lies outside the image",
    ),
    "face of no size": (
        lambda image: rewrite(image, Pose_Para=np.array([0, 0, 0, 80, 60, -20, 0.0])),
        r"AFW_001_1_0\.mat: a scale of 0 px/µm turns the face inside out, expected more than 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_build_bad_sample_is_reported_in_one_line_and_costs_no_other(
    run: Callable[..., Any], tree: Path, tmp_path: Path, kind: str
) -> None:
    damage, message = BAD[kind]
    damage(tree / "AFW/AFW_001_1_0.jpg")
    result = run("--subset", "AFW")
    assert result.exit_code == 3, result.exception
    report = [line for line in result.stderr.splitlines() if "AFW_001_1_0" in line]
    assert len(report) == 1
    assert re.match(rf"skipped AFW/AFW_001_1_0: .*{message}", report[0])
    assert len(result.stderr.splitlines()) == 1
    assert "2 samples, 1 skipped" in result.stdout
    assert open_shards(tmp_path / "out").names == ["AFW/AFW_000_1_0", "AFW/AFW_002_1_0"]
    assert not verify_shards(tmp_path / "out").problems


@pytest.mark.parametrize("kind", ["truncated JPEG", "NaN", "mat without image"])
def test_build_bad_sample_with_on_error_fail_ends_the_run(run: Callable[..., Any], tree: Path, kind: str) -> None:
    damage, message = BAD[kind]
    damage(tree / "AFW/AFW_001_1_0.jpg")
    result = run("--on-error", "fail", "--quiet")
    assert_refused(result, message)


# Bad arguments: status 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--limit", 0), "--limit"),
        (("--size", 8), "--size"),
        (("--uv-size", 5000), "--uv-size"),
        (("--jitter", 1), "--jitter"),
        (("--workers", 0), "--workers"),
        (("--shard-size", 0), "--shard-size"),
        (("--shard-size", (1 << 20) + 1), "--shard-size"),
        (("--posmap-dtype", "float16"), "--posmap-dtype"),
        (("--compression", "zip"), "--compression"),
        (("--convention", "prnet"), "--convention"),
        (("--on-error", "ignore"), "--on-error"),
        (("--quiet", "--verbose"), "--quiet and --verbose"),
        (("--nonsense",), "--nonsense"),
    ],
    ids=str,
)
def test_build_wrong_usage_exits_2_and_names_the_option(
    run: Callable[..., Any], tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--data", "--model", "--weights", "--list", "--exclude"])
def test_build_with_a_file_that_is_not_there_exits_1_and_names_it(
    run: Callable[..., Any], tmp_path: Path, option: str
) -> None:
    result = run(option, "nowhere")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert re.search("nowhere: no such (file|folder), expected", result.stderr)
    assert option in ("--data", "--model") or f"for {option}" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["--data", "--model", "--out"])
def test_build_without_required_option_exits_2(uvgen: Any, tree: Path, model_path: Path, missing: str) -> None:
    given = {"--data": tree, "--model": model_path, "--out": tree / "out"}
    result = uvgen("build", *(part for option, value in given.items() if option != missing for part in (option, value)))
    assert result.exit_code == 2 and re.search(rf"[Mm]issing (option )?('-\w' / )?'?{missing}", result.stderr)


# Bad folders and files: status 1


def test_build_data_folder_that_is_missing_or_a_file_is_refused(run: Callable[..., Any], model_path: Path) -> None:
    assert_refused(run("--data", "nowhere"), "nowhere: no such folder, expected a folder like 300W-LP")
    assert_refused(run("--data", model_path), "toy.h5: a file, expected a folder like 300W-LP")


def test_build_data_folder_without_images_is_refused(run: Callable[..., Any], tree: Path) -> None:
    assert_refused(run("--data", tree / "Code"), "Code: no images", "such as 300W-LP")


@pytest.mark.parametrize("subset", ["HELEN", "Code"])
def test_build_empty_subset_lists_those_there_are(run: Callable[..., Any], tmp_path: Path, subset: str) -> None:
    assert_refused(run("--subset", subset), f"no subset {subset} with images; there are AFW, IBUG, IBUG_Flip")
    assert not (tmp_path / "out").exists()


def test_build_unreadable_folder_is_refused(
    run: Callable[..., Any], tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put on, since root may read every folder."""
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path) == tree / "IBUG":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert_refused(run(), r"IBUG: cannot be read \(Permission denied\)")


def test_build_list_with_unknown_name_or_no_text_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("AFW/nobody\n", encoding="utf-8")
    assert_refused(run("--list", path), "AFW/nobody", "names look like AFW/AFW_000_1_0")
    path.write_bytes(b"\xff\xfe\x00binary")
    assert_refused(run("--list", path), r"list\.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "not a readable model file.*uvgen model convert"),
        (b"", "not a readable model file.*uvgen model convert"),
        ("shard", "not a uvgen model"),
        ("half", "not a readable model file"),
    ],
)
def test_build_model_that_is_none_is_refused(
    run: Callable[..., Any], model_path: Path, tmp_path: Path, content: Any, message: str
) -> None:
    path = tmp_path / "model.h5"
    if content == "shard":
        run("--subset", "AFW")
        (tmp_path / "out/AFW-00000.h5").rename(path)
    elif content == "half":
        whole = model_path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(content)
    assert_refused(run("--model", path, "--out", tmp_path / "new"), rf"model\.h5: .*{message}")


def test_build_other_configuration_in_the_same_folder_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    assert run().exit_code == 0
    assert_refused(run("--seed", 5), f"{tmp_path / 'out'}: .*seed = 0, now it is 5", "--overwrite")
    assert run("--seed", 5, "--overwrite").exit_code == 0
    assert open_shards(tmp_path / "out").config.build.seed == 5


def test_build_out_that_cannot_be_made_is_refused(run: Callable[..., Any], model_path: Path) -> None:
    assert_refused(
        run("--out", model_path), "toy.h5: a file, expected a folder to make", r"choose another name \(--out\)"
    )
    assert_refused(run("--out", model_path / "below"), "below: cannot be written", "choose another folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write into any folder")
def test_build_out_without_rights_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    assert_refused(run(), r"out: cannot be written \(Permission denied\); choose another folder")


@contextmanager
def files_up_to(n_bytes: int) -> Iterator[None]:
    """Let this process write no file beyond a size."""
    import resource

    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, most))  # beyond it, writing fails: Python ignores the signal
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX systems")
@pytest.mark.parametrize(("limit", "workers"), [(50_000, 1), (150_000, 1), (168_000, 1),
                                                 pytest.param(150_000, 2, marks=pytest.mark.slow)])  # fmt: skip
def test_build_out_without_space_ends_in_one_line_and_keeps_finished_shards(
    uvgen: Any, tmp_path: Path, model_path: Path, limit: int, workers: int
) -> None:
    """A limit on the size of files stands for the disk's; they are met at the start, among the samples, at the end.

    The first shard fits under the larger limits, the second does not.
    """
    tree, out = tmp_path / "data", tmp_path / "out"
    for subset, n in (("AFW", 1), ("HELEN", 4), ("IBUG", 1)):
        for k in range(n):
            write_sample(tree / subset, f"{subset}_{k}")
    options = ("build", "--data", tree, "--model", model_path, "--size", 64, "--quiet", "--out")
    assert uvgen(*options, tmp_path / "whole").exit_code == 0  # what numba compiles is on the disk before it is full
    options = (*options, out)
    if workers == 1:
        with files_up_to(limit):
            done = uvgen(*options, "--workers", 1)
        status, output, errors = done.exit_code, done.stdout, done.stderr
    else:  # to workers the limit is handed down
        limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); {COMMAND[2]}"
        process = start(*options, "--workers", workers, command=[sys.executable, "-c", limited])
        output, errors = process.communicate(timeout=PATIENCE_S)
        status = process.returncode
    assert status == 1, errors[-1000:]
    assert re.fullmatch(ONE_LINE, errors), errors
    assert re.search(r"(HELEN|AFW|IBUG)-00000\.h5: cannot be written .*free space", errors)
    assert output == ""
    left = {path.name for path in out.iterdir() if path.suffix == ".h5"}
    assert "HELEN-00000.h5" not in left and not any(name.startswith(".") for name in left)
    if limit > 100_000 and workers == 1:
        assert left == {"AFW-00000.h5"}
        assert verify_shards(out).problems == (f"{out}: unfinished, 5 samples are missing; run what made it again",)


def test_build_of_a_subset_that_is_not_there_suggests_one_and_shows_no_cache_path(uvgen: Any, tmp_path: Path) -> None:
    result = uvgen("build", "--subset", "ibug", "--out", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    assert result.stderr == "uvgen: the built-in sample set: no subset ibug with images; did you mean IBUG?\n"
    result = uvgen("build", "--subset", "AFW", "--out", tmp_path / "out", "--quiet")
    assert "the built-in sample set: no subset AFW with images; there are IBUG, IBUG_Flip" in result.stderr
    result = uvgen("build", "--subset", "IBUG,IBUG_Flip", "--out", tmp_path / "out", "--quiet")
    assert "no subset IBUG,IBUG_Flip with images; name each by itself: IBUG, IBUG_Flip\n" in result.stderr


@pytest.mark.parametrize("option", ["--data", "--maps-from"])
def test_build_of_a_folder_that_is_not_there_says_so_before_it_asks_for_a_model(
    uvgen: Any, tmp_path: Path, option: str
) -> None:
    result = uvgen("build", option, tmp_path / "fitted", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"uvgen: {tmp_path / 'fitted'}: no such folder, expected a folder "), result.stderr


def test_build_with_other_samples_is_refused_before_any_is_read(
    run: Callable[..., Any], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run().exit_code == 0
    monkeypatch.setattr("uvgen.datasets.build.survey_samples", lambda *_, **__: pytest.fail("samples were read"))
    result = run("--limit", 3)
    assert result.exit_code == 1 and "was made with 9 samples, now they are 3: another list, " in result.stderr


@pytest.mark.parametrize("before", [True, False])
def test_build_that_is_interrupted_says_whether_anything_is_kept(
    run: Callable[..., Any], uvgen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    from uvgen.datasets import record

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if before:
        monkeypatch.setattr("uvgen.datasets.build.survey_samples", interrupt)
    else:
        add, added = record.ShardRecord.add, []

        def note(self: Any, result: Any) -> None:
            if added:
                raise KeyboardInterrupt
            added.append(result)
            add(self, result)

        monkeypatch.setattr(record.ShardRecord, "add", note)
    result = run("--shard-size", 2)
    said = "nothing is written yet" if before else "what is finished is kept, run the command again to continue"
    assert result.exit_code == 130 and result.stderr.endswith(f"uvgen: interrupted; {said}\n")
    if not before:
        for command in (("preview", "--out", tmp_path / "p.png"), ("split", "--fractions", "train=0.5,val=0.5")):
            shown = uvgen(command[0], tmp_path / "out", *command[1:])
            assert shown.exit_code == 0 and "is unfinished, 7 samples are missing" in shown.stderr


@pytest.mark.parametrize("index", INDICES)
def test_a_folder_with_nothing_but_its_index_has_no_result_yet(tmp_path: Path, index: str) -> None:
    (tmp_path / index).write_text("{}")
    assert nothing_written(["fit", "photos", "--out", str(tmp_path)])
    (tmp_path / "a.jpg").write_bytes(b"")
    assert not nothing_written(["fit", "photos", "--out", str(tmp_path)])


def test_build_of_photographs_without_parameters_names_fit_before_it_asks_for_a_model(
    uvgen: Any, tree: Path, tmp_path: Path
) -> None:
    for path in tree.rglob("*.mat"):
        path.unlink()
    result = uvgen("build", "--data", tree, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "missing --model" not in result.stderr
    assert f"{tree}: images without parameters" in result.stderr and f"`uvgen fit {tree} --out" in result.stderr
