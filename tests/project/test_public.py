"""The public names: what `__all__`, the stubs and the pinned list say is the same, and everything is documented."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PINNED = Path(__file__).with_name("public_names.txt")
MODULES = (
    "uvgen", "uvgen.augment", "uvgen.evaluation", "uvgen.losses", "uvgen.metrics", "uvgen.preview", "uvgen.rasterize",
    "uvgen.report", "uvgen.synth", "uvgen.torch",
)  # fmt: skip


def public(module: str) -> list[str]:
    """Names that a module offers: its `__all__`, or what it defines itself."""
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        return sorted(loaded.__all__)
    own = {name for name, value in vars(loaded).items() if getattr(value, "__module__", None) == module}
    return sorted(name for name in own if not name.startswith("_"))


def parameters(function: Any) -> str:
    """A signature without annotations: names, kinds and defaults of the parameters."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def described(module: str) -> list[str]:
    """A line for each public name: functions with their parameters, classes with those of their public methods too."""
    lines = []
    for name in public(module):
        value = getattr(importlib.import_module(module), name)
        where = f"{module}.{name}"
        if inspect.isclass(value):
            own = value.__module__.startswith("uvgen")
            lines.append(where + (parameters(value) if own and not issubclass(value, Exception) else ""))
            for base, member in vars(value).items() if own else ():
                function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
                if not base.startswith("_") and inspect.isfunction(function):
                    lines.append(f"{where}.{base}{parameters(function)}")
        else:
            lines.append(where + (parameters(value) if callable(value) else ""))
    return lines


def pinned(module: str) -> list[str]:
    text = PINNED.read_text(encoding="utf-8")
    section = text[text.index(f"[{module}]\n") :].split("\n\n")[0]
    return section.splitlines()[1:]


@pytest.mark.parametrize("module", MODULES)
def test_public_names_and_signatures_are_the_pinned_ones(module: str) -> None:
    """Whoever changes them on purpose runs `python tests/project/test_public.py`, and says so in the changelog."""
    if module == "uvgen.torch":
        pytest.importorskip("torch")
    assert described(module) == pinned(module)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "uvgen.torch"])
def test_public_names_are_documented(module: str) -> None:
    for name in public(module):
        value = getattr(importlib.import_module(module), name)
        assert not callable(value) or value.__doc__, f"{module}.{name}"


@pytest.mark.parametrize("stub", sorted((ROOT / "uvgen").rglob("*.pyi")), ids=lambda path: path.parent.name)
def test_stub_lists_what_it_imports(stub: Path) -> None:
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    (listed,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    module = ".".join(stub.relative_to(ROOT).parent.parts)
    assert sorted(listed) == sorted(imported) == sorted(importlib.import_module(module).__all__)


def test_no_module_hides_a_function_of_its_name() -> None:
    import uvgen

    modules = {path.stem for path in (ROOT / "uvgen").glob("*.py")} | {p.name for p in (ROOT / "uvgen").iterdir()}
    assert not set(uvgen.__all__) & modules


EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: "/".join(path.parts[-2:]))
def test_examples_import_public_names_alone(path: Path) -> None:
    """They are what people copy."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for alias in node.names if isinstance(node, ast.Import) else ():
            assert not alias.name.startswith("uvgen.") or alias.name in MODULES, alias.name
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "uvgen":
            assert node.module in MODULES, node.module
            if node.module != "uvgen.torch":
                assert {alias.name for alias in node.names} <= set(public(node.module))


if __name__ == "__main__":
    PINNED.write_text("\n\n".join("\n".join([f"[{m}]", *described(m)]) for m in MODULES) + "\n", encoding="utf-8")
