"""HDF5 files are read in one room: what is not checked there must not be read elsewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READS = {"uvgen/storage/hdf5_reading.py", "uvgen/storage/hdf5_dataset.py"}
WRITES = {"uvgen/storage/hdf5.py", "uvgen/shards/writer.py"}
SOURCES = [*(ROOT / "uvgen").rglob("*.py"), *(ROOT / "cli").rglob("*.py"), *(ROOT / "uv_data").rglob("*.py")]


def uses_of_h5py(tree: ast.AST) -> Iterator[str]:
    """``import`` where the module is imported at all, and the mode of each `h5py.File`."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] == "h5py" for name in names):
            yield "import"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "File":
            mode = node.args[1].value if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) else "r"
            yield f"File {mode}"


def test_h5py_is_used_for_reading_in_two_modules() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in SOURCES}
    # To parse all takes seconds: what imports it says its name, and what opens a file says `.File`.
    found = {name: set(uses_of_h5py(ast.parse(text))) for name, text in texts.items() if re.search("h5py|File", text)}
    users = {name: uses for name, uses in found.items() if uses}
    assert set(users) == READS | WRITES, "read HDF5 by uvgen.storage.hdf5_reading"
    for name in WRITES:
        assert users[name] <= {"import", "File w"}, name


def parameters(function: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}


def test_who_is_asked_to_read_untrusted_files_passes_it_on() -> None:
    """To all that open a model or shards: one that does not would read them in the process itself."""
    openers = {"as_model", "load_model", "model_of", "model_of_samples", "open_shards", "open_truth"}
    texts = {path: text for path in SOURCES if "untrusted" in (text := path.read_text("utf-8"))}
    calls = [
        (call.func.id, f"{path}:{call.lineno}", {keyword.arg for keyword in call.keywords})
        for path, text in texts.items()
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef) and "untrusted" in parameters(function)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in openers
    ]
    assert {name for name, _, _ in calls} == openers
    assert not [where for _, where, given in calls if not given & {"untrusted", None}]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_numpy_loads_no_pickles(path: Path) -> None:
    text = path.read_text("utf-8")
    for node in ast.walk(ast.parse(text)) if "allow_pickle" in text else ():  # a keyword's name has no other spelling
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False
