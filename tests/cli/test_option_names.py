"""Errors of the library, which name arguments of functions, as the command line shows them: with its options."""

import click
import pytest

from uvgen.cli.groups import ARGUMENTS, as_typed, with_option
from uvgen.cli.main import main


@pytest.mark.parametrize(("words", "said", "shown"), [
    (["split"], "fractions: val = 0.01 of 1 photograph is none", "--fractions: val = 0.01 of 1 photograph is none"),
    (["fit"], "detector: none is installed", "--detector: none is installed"),
    (["fit"], "model: m has no albedo", "--model: m has no albedo"),
    (["build"], "max_nme: -1, expected more", "--max-nme: -1, expected more"),
    (["build"], "subsets: none of them", "--subset: none of them"),
    (["build"], "weights: (3, 3), expected (64, 64)", "--weights: (3, 3), expected (64, 64)"),
    (["report"], "names: 'a' is not there", "--list: 'a' is not there"),
    (["merge"], "names: 'a' is not there", "--list: 'a' is not there"),
    (["evaluate"], "predictions: none", "--pred: none"),
    (["info"], "model: no option of this command", "model: no option of this command"),
    (["build", "--data", "model"], "model: a folder of that name", "model: a folder of that name"),
    (["fit"], "points: face 1 has 2 of the 68", "points: face 1 has 2 of the 68"),
    (["build"], "shards/dataset.json: damaged", "shards/dataset.json: damaged"),
])  # fmt: skip
def test_with_option_names_what_was_typed(words: list[str], said: str, shown: str) -> None:
    command = main.get_command(None, words[0])  # type: ignore[arg-type]
    assert with_option(said, command, words) == shown


def test_the_command_that_was_called_may_be_nested() -> None:
    context = click.Context(main)
    context.invoked_subcommand = "model"
    context.meta[ARGUMENTS] = ["model", "parameterize", "convert.obj", "--out", "uv.npy"]
    command = main._called_command(context)  # type: ignore[attr-defined]
    assert command.name == "parameterize"
    assert with_option("landmarks: none", command, []) == "--landmarks: none"


def test_arguments_that_a_message_mentions_are_shown_as_options() -> None:
    said = "detector: dlib has no weights; give them as argument `weights` of FaceDetector"
    assert as_typed(said) == "detector: dlib has no weights; give them as --detector-model"
    said = "a.mat: brings no UV; give a model as argument `uv_from`, with argument `indices`"
    assert as_typed(said) == "a.mat: brings no UV; give a model as --uv-from, with --indices"
