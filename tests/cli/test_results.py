"""What commands say of what they left out."""

from pathlib import Path
from typing import Any

import pytest

from uvgen.cli.results import name_other_drafts, name_skipped
from uvgen.shards.index import SkippedSample
from uvgen.storage.drafts import draft_of


def left_out(n: int) -> list[SkippedSample]:
    return [SkippedSample(f"AFW/a_{k}", "AFW-00000.h5", f"a_{k}.mat: damaged") for k in range(n)]


@pytest.mark.parametrize(("n", "said"), [
    (0, ""),
    (1, "1 skipped: AFW/a_0: a_0.mat: damaged\n"),
    (30, "30 skipped, first AFW/a_0: a_0.mat: damaged; skipped.txt lists them all\n"),
])  # fmt: skip
def test_name_skipped_where_only_errors_are_asked_for_is_one_line(capsys: Any, n: int, said: str) -> None:
    name_skipped(left_out(n), "skipped.txt", quiet=True)
    assert capsys.readouterr() == ("", said)


def test_name_skipped_of_a_few_alike_names_each(capsys: Any) -> None:
    name_skipped(left_out(3), "fit.json")
    assert capsys.readouterr().err == "".join(f"skipped AFW/a_{k}: a_{k}.mat: damaged\n" for k in range(3))


def test_name_skipped_of_many_alike_is_one_line_with_the_first_names(capsys: Any) -> None:
    values = [
        SkippedSample(f"b {k}", "b.h5", f"/data/b {k}.mat: Pose_Para: {k} values, expected 7") for k in range(10, 14)
    ]
    other = SkippedSample("c", "c.h5", "c.jpg: no image")
    name_skipped([other, *left_out(30), *values], "fit.json")
    out, said = capsys.readouterr()
    assert out == ""
    assert said == (
        "skipped c: c.jpg: no image\n"
        "skipped 30 for similar reasons: AFW/a_0, AFW/a_1, AFW/a_2, ...; the first: a_0.mat: damaged\n"
        "skipped 4 for similar reasons: b 10, b 11, b 12, ...; the first: /data/b 10.mat: Pose_Para: 10 values, "
        "expected 7\n"
        "fit.json lists them all\n"
    )


def test_name_skipped_of_many_reasons_names_the_first_of_them(capsys: Any) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    name_skipped([SkippedSample(f"s{c}", "s.h5", f"s{c}.mat: has {c}") for c in letters] + left_out(4), "fit.json")
    said = capsys.readouterr().err
    assert said.count("skipped s") == 20 and said.endswith("and 10 more; fit.json lists them all\n")


def test_name_other_drafts_names_what_a_run_left_in_a_folder_that_was_moved(capsys: Any, tmp_path: Path) -> None:
    draft_of(tmp_path / "a/out").mkdir(parents=True)
    (tmp_path / "a").rename(tmp_path / "b")
    name_other_drafts(tmp_path / "b/out")
    out, said = capsys.readouterr()
    assert out == "" and said.startswith(f"note: {tmp_path}/b/.uvgen-out-") and "it is not continued" in said


def test_command_without_a_folder_for_temporary_files_says_what_to_set(
    uvgen: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    def without_temporary_files(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("uvgen.render_faces", without_temporary_files)
    result = uvgen("synth", "--count", "1", "--out", tmp_path / "faces")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "uvgen: No usable temporary directory found in ['/tmp']; set TMPDIR to a folder that can be written"
    )
