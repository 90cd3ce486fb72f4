"""What commands say of what they left out."""

from typing import Any

import pytest

from uvgen.cli.results import name_skipped
from uvgen.shards.index import SkippedSample


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
