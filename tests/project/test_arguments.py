"""Every public function names the argument that got a value of the wrong type, before it reads or writes anything."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import uvgen
import uvgen.evaluation
from uvgen.errors import InputError
from uvgen.evaluation.predictions import Reading

_VALUES = {
    "augmentation", "basel", "config", "criteria", "detector", "evaluation", "network_options", "options", "reading",
    "run", "select", "supplements",
}  # fmt: skip
_PATHS = ("str | PathLike[str]", "str | PathLike[str] | None")
_GIVEN: dict[str, Any] = {"count": 1, "to": "npy", "criteria": uvgen.Criteria(), "model": "builtin"}
_EVALUATED = ("predictions", "shards", "out", "template", "keypoints")  # paths of what `uvgen.evaluation` writes
_OWN_DETECTOR = {"prepare_deep3d": {"detector": "dlib"}}  # one of two arguments that it needs


def _arguments() -> Iterator[tuple[str, str]]:
    for name in uvgen.__all__:
        function = getattr(uvgen, name)
        if inspect.isfunction(function):
            yield from ((name, key) for key in inspect.signature(function).parameters if key in _VALUES)


def _call_of_evaluation(name: str, argument: str, value: Any, folder: Path) -> None:
    function: Callable[..., Any] = getattr(uvgen.evaluation, name)
    paths = {key: folder / key for key in inspect.signature(function).parameters if key in _EVALUATED}
    given: dict[str, Any] = {"report": None} if name == "write_evaluation" else {"model": "builtin"}
    function(**given | paths | {argument: value})


def _call(name: str, argument: str, value: Any, folder: Path) -> None:
    function: Callable[..., Any] = getattr(uvgen, name)
    given: dict[str, Any] = {}
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
            given[key] = _GIVEN.get(key, folder / key)
    function(**given | _OWN_DETECTOR.get(name, {}) | {argument: value})


def test_arguments_are_found() -> None:
    found = list(_arguments())

    assert {argument for _, argument in found} == _VALUES and len(found) > 25


@pytest.mark.parametrize("value", [4, {}, ["a"], uvgen.TexelMirror], ids=["number", "dict", "list", "class"])
@pytest.mark.parametrize(("name", "argument"), list(_arguments()))
def test_value_of_wrong_type_is_refused_by_name(name: str, argument: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^{argument}: .*, expected [^.]") as caught:
        _call(name, argument, value, tmp_path)

    assert not isinstance(caught.value.__cause__, (AttributeError, TypeError))
    assert not list(tmp_path.iterdir())


def _paths() -> Iterator[tuple[str, str]]:
    """Arguments that are paths, and nothing else but None."""
    for name in uvgen.__all__:
        function = getattr(uvgen, name)
        if inspect.isfunction(function):
            for key, parameter in inspect.signature(function).parameters.items():
                kind = str(parameter.annotation).replace("os.", "")
                if kind in _PATHS and (name, key) != ("load_model", "path"):  # its message says "model"
                    yield name, key


@pytest.mark.parametrize("value", [4, b"a", ["a"], uvgen.TexelMirror], ids=["number", "bytes", "list", "class"])
@pytest.mark.parametrize(("name", "argument"), list(_paths()))
def test_path_of_wrong_type_is_refused_by_name(name: str, argument: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^{argument}: .*, expected .*path"):
        if argument == "files":  # any number of them, without a name
            uvgen.convert_model(tmp_path / "out.h5", value)
        _call(name, argument, value, tmp_path)

    assert not list(tmp_path.iterdir())


def test_docstrings_name_the_error_of_a_wrong_path() -> None:
    silent = {name for name, _ in _paths() if "\nInputError\n" not in (inspect.getdoc(getattr(uvgen, name)) or "")}
    assert silent == set()


@pytest.mark.parametrize("value", [4, b"a", ["a"]], ids=["number", "bytes", "list"])
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("write_evaluation", "out"),
        *(("write_dad3dheads", argument) for argument in _EVALUATED[:3]),
        *(("write_realy", argument) for argument in _EVALUATED),
    ],
)
def test_path_of_wrong_type_is_refused_by_what_writes_evaluations(
    name: str, argument: str, value: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"^{argument}: .*, expected a path"):
        _call_of_evaluation(name, argument, value, tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (4, "images: 4, expected a list"),
        ("a.jpg", "images: 'a.jpg', expected a list"),
        ([4], "images: 4, expected a path"),
    ],
)
def test_images_that_are_no_paths_are_refused_when_landmarks_are_looked_for(images: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        uvgen.find_landmarks(images)


def test_landmarks_are_looked_for_by_a_path_as_text(tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    assert not uvgen.has_landmarks(str(image))
    (tmp_path / "a.pts").touch()
    assert uvgen.has_landmarks(str(image)) and uvgen.has_landmarks(
        image.with_name("b.jpg").parent / "a.jpg", str(tmp_path)
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uvgen.RunOptions(workers="2"), "workers: '2', expected a whole number, 1 or more"),
        (lambda: uvgen.FitOptions(refine="no"), "refine: 'no', expected True or False"),
        (lambda: uvgen.FitOptions(same_person=1), "same_person: 1, expected True or False"),
        (lambda: uvgen.SampleSelection(flip="no"), "flip: 'no', expected True or False"),
        (lambda: uvgen.SampleSelection(names=3), "names: 3, expected names of samples, or a text file of them"),
        (lambda: uvgen.SampleSelection(names=[3]), r"names: \[3\], expected names of samples"),
        (lambda: uvgen.SampleSelection(names=b"a"), "names: b'a', expected names of samples"),
        (lambda: uvgen.SampleSelection(exclude=None), "exclude: None, expected names of samples"),
        (lambda: uvgen.PredictOptions(write=5), "write: 5, expected a list of names"),
        (lambda: uvgen.PredictOptions(draw="mesh"), "draw: 'mesh', expected a function such as uvgen.draw_alignment"),
        (lambda: uvgen.ReportOptions(worst=-1), "worst: -1, expected 0 or more"),
        (lambda: uvgen.ReportOptions(worst=1.5), "worst: 1.5, expected a whole number"),
        (lambda: uvgen.ReportOptions(names=3), "names: 3, expected names of samples, or a text file of them"),
        (lambda: uvgen.ReportOptions(verify="no"), "verify: 'no', expected True or False"),
        (lambda: uvgen.MapOptions(layout="faces"), "layout: 'faces', expected None, 'reshow', 'prnet_pytorch'"),
        (lambda: uvgen.MapOptions(scale="inches"), "scale: 'inches', expected 'px'"),
        (lambda: uvgen.MapOptions(convention="reshow"), "convention: 'reshow', expected None, 'exact' or 'face3d'"),
        (lambda: uvgen.MapOptions(originals=3), "originals: 3, expected the path of a folder, or None"),
        (lambda: uvgen.NetworkOptions(pixels="rgb"), "pixels: 'rgb', expected 'unit', "),
        (lambda: Reading(frame="face"), "frame: 'face', expected "),
        (lambda: uvgen.FaceDetector("dllib"), "name: 'dllib', expected 'auto', 'mediapipe', 'dlib' or"),
        (lambda: uvgen.FaceDetector("dlib", 3), "weights: 3, expected the path of a file, or None"),
    ],
)
def test_part_of_a_value_of_wrong_type_is_refused_by_name(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        make()


def test_names_that_can_be_read_once_are_kept() -> None:
    select = uvgen.SampleSelection(names=iter(["a", "b"]), exclude=(name for name in ["b"]))

    assert select.names == ("a", "b") and select.exclude == ("b",) and hash(select) == hash(select)
    assert uvgen.PredictOptions(write=iter(["map"])).write == ("map",)


@pytest.mark.parametrize("names", [3, [3], b"a"])
def test_names_of_wrong_type_are_refused_by_name(names: Any, tmp_path: Path) -> None:
    from uvgen.samples.selection import find_names

    with pytest.raises(InputError, match=r"^names: .*, expected names of samples"):
        find_names(["a"], names)


@pytest.mark.parametrize("sources", [None, 3, [3], ["shards", 3]])
def test_sources_of_wrong_type_are_refused_by_name(sources: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^sources: .*, expected "):
        uvgen.merge_shards(sources, tmp_path / "out")
