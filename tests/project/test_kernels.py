"""Every kernel has a plain function of the same name in the tests, which compare both."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = {"torch": "pytorch"}  # rooms whose tests lie in a folder of another name
ELSEWHERE = {  # kernels whose oracles have other names, and what they are
    "uvgen/torch/warp_attribute_kernels.py": "uvgen.rasterize, which draws the same",
    "uvgen/torch/warp_map_kernels.py": "PyTorch's operators, which compute the same",
    "uvgen/torch/warp_pose_kernels.py": "PyTorch's operators, which compute the same",
    "uvgen/torch/warp_raster_kernels.py": "uvgen.rasterize, which draws the same",
    "uvgen/torch/warp_surface_kernels.py": "PyTorch's operators, which compute the same",
}


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def kernels(path: Path) -> list[ast.FunctionDef]:
    return [
        node
        for name, node in functions(path).items()
        if not name.startswith("_") and any(ast.unparse(mark) == "kernel" for mark in node.decorator_list)
    ]


def kernel_files() -> list[Path]:
    found = sorted((ROOT / "uvgen").glob("*/*kernels.py"))
    assert {str(path.relative_to(ROOT)) for path in found} > set(ELSEWHERE)
    return [path for path in found if str(path.relative_to(ROOT)) not in ELSEWHERE]


def test_every_kernel_has_a_plain_function_of_its_name_and_a_test() -> None:
    for path in kernel_files():
        room = path.parent.name
        tests = functions(ROOT / "tests" / TESTS.get(room, room) / f"test_{path.name}")
        compared = "\n".join(ast.unparse(node) for name, node in tests.items() if name.startswith("test_"))
        assert kernels(path), path
        for kernel in kernels(path):
            assert kernel.name in tests, f"{path}: {kernel.name} has no plain function in the tests"
            assert kernel.name in compared, f"{path}: no test compares {kernel.name} with its plain function"


def test_outputs_are_the_last_arguments_of_kernels_and_there_are_few_others() -> None:
    for path in kernel_files():
        for kernel in kernels(path):
            names = [argument.arg for argument in kernel.args.args]
            inputs = [name for name in names if not name.endswith("_out")]
            assert names[: len(inputs)] == inputs and len(inputs) < len(names), f"{path}: {kernel.name}{tuple(names)}"
            assert len(inputs) <= 6, f"{path}: {kernel.name} takes {len(inputs)} inputs, expected NamedTuples of them"


def warp_kernels(path: Path) -> list[ast.FunctionDef]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark).startswith("wp.kernel(") for mark in node.decorator_list)
    ]


def written(kernel: ast.FunctionDef) -> set[str]:
    """Names whose elements a kernel sets, or changes by atomic operations."""
    found = set[str]()
    for node in ast.walk(kernel):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            found.add(node.value.id)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("wp.atomic_"):
            found.add(ast.unparse(node.args[0]))
    return found


def test_outputs_are_the_last_arguments_of_warp_kernels() -> None:
    paths = sorted((ROOT / "uvgen/torch").glob("warp_*_kernels.py"))
    assert {str(path.relative_to(ROOT)) for path in paths} == set(ELSEWHERE)
    for path in paths:
        assert warp_kernels(path), path
        for kernel in warp_kernels(path):
            names = [argument.arg for argument in kernel.args.args]
            inputs = [name for name in names if not name.endswith("_out")]
            assert names[: len(inputs)] == inputs and len(inputs) < len(names), f"{path}: {kernel.name}{tuple(names)}"
            assert not written(kernel) & set(inputs), f"{path}: {kernel.name} writes to what is not named `_out`"
