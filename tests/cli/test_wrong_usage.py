"""A value that is wrong whatever the files are ends with status 2, and so do options that exclude each other."""

import pytest
from click.testing import CliRunner

from uvgen.cli.main import main

_HUGE = "9" * 23


@pytest.mark.parametrize(("line", "said"), [
    ("evaluate --pred a --truth b --scores foo", "--scores: foo, expected one or more of all, nme_68_2d, "),
    ("evaluate --pred a --truth b --scores nme_68_2d,foo", "--scores: foo, expected one or more of all, nme_68_2d, "),
    ("evaluate --pred a --truth b --scores ,", "--scores: none, expected one or more of all, nme_68_2d, "),
    ("evaluate --pred a --truth b --scale 0", "--scale: 0, expected a number above 0"),
    ("evaluate --pred a --truth b --scale nan", "--scale: nan, expected a finite number"),
    ("evaluate --pred a --truth b --scale pixels", "--scale: 'pixels', expected px, size, prnet, reshow, unit or a "),
    ("split a --fractions train=0.5 --by (", "--by: '(', expected photograph, sample or a regular expression"),
    ("split a --fractions my:part=0.5", "--fractions: split 'my:part': expected a name of letters, digits,"),
    ("select a --subset IBUG --as my:part", "--as: split 'my:part': expected a name of letters, digits,"),
    ("select a --subset IBUG --as part --workers 2", "--workers goes with --copy"),
    ("drop a --subset IBUG --as part --timeout 9", "--timeout goes with --copy"),
    ("select a --min-yaw nan --as turned", "--min-yaw: nan, expected a finite number"),
    ("drop a --max-nme inf --as near", "--max-nme: inf, expected a finite number"),
    ("build --out a --keep foo", "--keep: foo, expected one or more of tex, illum, color"),
    ("build --out a --max-nme nan", "--max-nme: nan, expected a finite number"),
    ("build --out a --timeout inf", "--timeout: inf, expected a finite number"),
    ("build --out a --maps-scale 0", "--maps-scale: 0, expected a number above 0"),
    ("build --out a --maps-from b --model builtin --no-flip", "--no-flip does not go with --maps-from"),
    ("build --out a --maps-from b --model builtin --list {file}", "--list does not go with --maps-from"),
    ("build --out a --meshes b --model builtin --max-nme 5", "--max-nme does not go with --meshes"),
    ("verify a --weights {file}", "--weights goes with --repair"),
    ("synth --out a --count 10000001", "--count 10000001: expected 10000000 pictures at most"),
    ("synth --out a --count 6000000 --photographs 2", "--count 6000000 times --photographs 2: expected 10000000 pict"),
    ("preview a --out b.png --scale size", "--scale goes with --pred"),
    ("report a --out b --frame image", "--frame goes with --pred"),
    ("report a --out b --convention exact", "--convention goes with --pred"),
    ("fit a --out b --same-person --faces all", "--same-person and --faces all exclude each other"),
    ("fit a --out b --max-residual inf", "--max-residual: inf, expected a finite number"),
    ("fit a --out b --detector none --detector-model {file}", "--detector-model goes with a --detector"),
    ("register a --out b --detector none --detector-model {file}", "--detector-model goes with a --detector"),
    ("predict {file} a --out b --detector none --detector-model {file}", "--detector-model goes with a --detector"),
    ("prepare deep3d --images . --out b --detections . --detector-model {file}", "--detector-model goes with a --det"),
    ("predict {file} a --out b --write foo", "--write: foo, expected one or more of mesh, landmarks, pose, map"),
    ("predict {file} a --out b --write , --draw none", "--write names no files and --draw is none, expected one of "),
    ("predict {file} a --out b --boxes {file} --crop whole", "--boxes and --crop whole exclude each other"),
    ("register a --out b --max-error nan", "--max-error: nan, expected a finite number"),
    ("merge a --out b --shard-size 0", "--shard-size: 0, expected a whole number from 1 to 1048576"),
    *((f"{line} --seed {_HUGE}", f"--seed: {_HUGE}, expected a whole number from -9223372036854775808 to 92233720") for
      line in ("build --out a", "augment a --out b", "synth --count 1 --out a", "split a --fractions b=1",
               "evaluate --pred a --truth b", "preview a --out b.png")),
])  # fmt: skip
def test_wrong_usage_is_status_2_and_names_the_option(line: str, said: str) -> None:
    result = CliRunner().invoke(main, line.format(file=__file__).split())
    assert result.exit_code == 2 and said in result.stderr and "see `uvgen " in result.stderr
