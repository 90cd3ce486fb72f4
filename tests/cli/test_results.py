"""What commands say of what they left out."""

from pathlib import Path
from typing import Any

import pytest

from uvgen.cli.results import name_other_drafts, name_skipped
from uvgen.shards.index import SkippedSample
from uvgen.storage.files import draft_of


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


def test_name_skipped_names_the_first_of_many(capsys: Any) -> None:
    name_skipped(left_out(30), "fit.json")
    out, said = capsys.readouterr()
    assert out == "" and said.count("skipped AFW/a_") == 20
    assert said.endswith("and 10 more; fit.json lists them all\n")


def test_name_other_drafts_names_what_a_run_left_in_a_folder_that_was_moved(capsys: Any, tmp_path: Path) -> None:
    draft_of(tmp_path / "a/out").mkdir(parents=True)
    (tmp_path / "a").rename(tmp_path / "b")
    name_other_drafts(tmp_path / "b/out")
    out, said = capsys.readouterr()
    assert out == "" and said.startswith(f"note: {tmp_path}/b/.uvgen-out-") and "it is not continued" in said
