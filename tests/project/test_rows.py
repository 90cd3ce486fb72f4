"""Who may import whom: each row of the table imports rows below it alone."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

ROWS = """
__main__
cli | uv_data
report
torch | preview | doctor
evaluation
datasets
augment | synth | fitting
maps
models | samples
shards | rasterize
images | meshes
jobs
normalization
storage | parallel | geometry | cameras | similarity | fixed_point | metrics
losses | randomness | interrupts | progress | compiled | batch_product | _version
checks
errors | wording | described | buffers
"""
"""Rooms of the package, and its files outside of any: those joined by `|` do not import each other."""

ROW = {room: number for number, line in enumerate(ROWS.split("\n")) for room in line.split(" | ")}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name, `cli` and `uv_data` under the names they are installed by."""
    found = {}
    for folder, package in (("uvgen", "uvgen"), ("cli", "uvgen.cli"), ("uv_data", "uvgen.uv_data")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


@cache
def public_homes() -> dict[str, str]:
    """The module that each public name of `uvgen` is loaded from."""
    stub = ast.parse((ROOT / "uvgen/__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {"__version__": "uvgen._version"} | {
        alias.name: f"uvgen.{node.module}" for node in imports for alias in node.names
    }


class Imports(NamedTuple):
    """A file's import statements, in functions too; those of `checked` are for type checkers alone."""

    plain: list[ast.Import]
    named: list[ast.ImportFrom]
    checked: set[int]


@cache
def imports_of(path: Path) -> Imports:
    """The statements alone: to parse all files takes seconds, and to keep their trees takes memory."""
    found = Imports([], [], set())
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.plain.append(node)
        elif isinstance(node, ast.ImportFrom):
            found.named.append(node)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found.checked.update(id(inner) for part in node.body for inner in ast.walk(part))
    return found


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, at its top, in functions, and for type checkers alone."""
    homes = public_homes()
    for plain in imports_of(path).plain:
        yield from (alias.name for alias in plain.names if alias.name.split(".")[0] == "uvgen")
    for node in imports_of(path).named:
        assert node.level == 0, f"{path}:{node.lineno}: relative import"
        if node.module == "uvgen":
            yield from (homes.get(alias.name, f"uvgen.{alias.name}") for alias in node.names)
        elif node.module and node.module.startswith("uvgen."):
            yield node.module


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def edges() -> set[tuple[str, str]]:
    """(module, room) for each import between two rooms."""
    return {
        (module, room(target))
        for module, path in modules().items()
        for target in imported(path)
        if room(target) and room(module) and room(target) != room(module)
    }


def test_every_module_has_a_row() -> None:
    unknown = {room(module) for module in modules()} - set(ROW) - {""}
    assert not unknown


def test_each_row_imports_rows_below_it_alone() -> None:
    found = edges()
    assert len(found) > 100
    wrong = {(a, b) for a, b in found if ROW[b] <= ROW[room(a)]}
    assert not wrong


def run_time_imports(path: Path, there: set[str]) -> set[str]:
    """Modules that a file imports when it runs, in functions too, but not for type checkers alone."""
    named, checked = imports_of(path)[1:]
    found = set[str]()
    for node in named:
        if node.module and id(node) not in checked:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & there or {node.module} & there
    return found - {"uvgen"}


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    there = modules()
    below = {module: run_time_imports(path, set(there)) - {module} for module, path in there.items()}
    left = dict(below)
    while free := [module for module, needed in left.items() if not needed & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"in a circle, or above one: {sorted(left)}"


def test_no_module_takes_a_private_name_of_another() -> None:
    wrong = {
        (module, alias.name)
        for module, path in modules().items()
        for node in imports_of(path).named
        if node.module != "uvgen._version"
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__") and (node.module or "").startswith("uvgen")
        and alias.name != "_version"
    }  # fmt: skip
    assert not wrong


def test_contributing_prints_the_rows() -> None:
    assert ROWS in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
