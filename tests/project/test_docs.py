"""Every command and every Python block that the documentation shows, each block in a folder like a user's."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.formats import write_deep3d, write_tddfa, write_whole
from support.models import builtin_model
from support.onnx_models import write_mean_face_network
from support.photographs import write_photographs
from support.scans import write_scans
from support.toy import face3d_files, toy_model, write_tree
from support.videos import encode, head, write_frames, write_marks

from uvgen import open_shards, save_model
from uvgen.cli import options
from uvgen.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def numbered(language: str) -> list[tuple[str, int]]:
    """(page, number) of each block that the pages have."""
    return [(page, k) for page in PAGES for k in range(len(blocks(page, language)))]


def is_first(page: str, k: int) -> bool:
    """Whether a block is what a user runs first, without files: so does the reading from start to end, below."""
    return "--out demo/" in blocks(page, "bash")[k]


def run_command(line: str) -> Result | None:
    if "--to huggingface" in line and not is_installed("pyarrow"):
        return None  # setups without it, such as that of the lowest versions
    if "clip.mp4" in line and not is_installed("av"):
        return None
    result = CliRunner().invoke(main, shlex.split(line, comments=True)[1:])
    assert result.exit_code == 0, f"{line}\n{result.output}{result.stderr}"
    return result


def not_installed(block: str) -> str:
    """The first package that a block needs, that uvgen does not, and that is not there."""
    if re.search(r"^uvgen predict|predict_photographs\(", block, re.MULTILINE) and not find_spec("onnxruntime"):
        return "onnxruntime"
    if "--backend dask" in block and not find_spec("distributed"):
        return "distributed"
    if re.search(r"^from uvgen\.torch import .*\brasterize\b", block, re.MULTILINE) and not is_installed("warp"):
        return "warp"
    for name in ("torch", "grain", "tensorflow", "webdataset", "datasets", "streaming"):
        if re.search(rf"^(?:import|from) (?:uvgen\.)?{name}\b", block, re.MULTILINE) and not is_installed(name):
            return name
    return ""


def is_installed(name: str) -> bool:
    """Whether a package is there; a folder of that name, such as tests/datasets, is none."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a user has before the first command."""
    folder = tmp_path_factory.mktemp("downloads")
    write_tree(folder / "300W_LP")
    model = toy_model(with_mouth=True)
    face3d_files(model, folder)
    face3d_uv = (folder / "BFM_UV.mat").read_bytes()
    write_whole(folder, model)
    write_tddfa(folder, model)
    shutil.copy(write_deep3d(folder / "deep3d", model), folder)
    shutil.copy(folder / "deep3d/BFM_front_idx.mat", folder)
    shutil.rmtree(folder / "deep3d")
    write_photographs(folder / "photos")
    write_scans(folder / "scans", builtin_model(), 2, 8000)
    images, points = head(6)
    write_frames(folder / "walk", images, points)
    if is_installed("av"):
        encode(folder / "clip.mp4", images)
        write_marks(folder / "clip", points)
    write_mean_face_network(folder / "network.onnx")
    assert face3d_uv != (folder / "BFM_UV.mat").read_bytes()
    return folder


@pytest.fixture(scope="module")
def prepared(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those files, and the model and the shards that the README's commands make, which other blocks read."""
    folder = tmp_path_factory.mktemp("prepared") / "user"
    shutil.copytree(downloads, folder)
    lines = [line for block in blocks("README.md", "bash") for line in block.splitlines()]
    with contextlib.chdir(folder):
        for out in ("bfm.h5", "shards/"):
            (line,) = (line for line in lines if line.endswith(f"--out {out}"))
            run_command(line)
        reader = open_shards("shards/")
        for k, name in enumerate(reader.names):  # what docs/inference.md's Python writes before it is shown
            path = Path("predicted_maps") / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, reader[k]["posmap"])
    return folder


@pytest.fixture
def user_folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy for one block alone; the current folder."""
    folder = tmp_path / "user"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "k"),
    [
        pytest.param(*place, marks=[pytest.mark.vital] * (place[0] == "README.md"))
        for place in numbered("bash")
        if not is_first(*place)
    ],
)
def test_documented_uvgen_commands_run(user_folder: Path, page: str, k: int) -> None:
    lines = blocks(page, "bash")[k].strip().splitlines()
    assert lines
    if missing := not_installed(blocks(page, "bash")[k]):
        pytest.skip(f"{missing} is not installed")
    if any(line.endswith("--out bfm.h5") for line in lines):  # the block makes these itself
        (user_folder / "bfm.h5").unlink()
        shutil.rmtree(user_folder / "shards")
    for line in lines:
        words = shlex.split(line, comments=True)
        if "--face3d" in words:  # its BFM_UV.mat is the trimmed one
            face3d_files(toy_model(with_mouth=True), user_folder)
        if words[0] == "pip":  # the wheel's test installs it
            continue
        assert words[0] == "uvgen", line
        run_command(line)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "k"),
    [pytest.param(*place, marks=[pytest.mark.vital] * (place[0] == "README.md")) for place in numbered("python")],
)
def test_documented_python_runs(user_folder: Path, page: str, k: int) -> None:
    block = blocks(page, "python")[k]
    if missing := not_installed(block):
        pytest.skip(f"{missing} is not installed")
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block, page, "exec"), {})


def in_reading_order() -> list[str]:
    """The README, the pages in the order in which it links to them, then pages that it does not name."""
    linked = re.findall(r"\]\((docs/[\w-]+\.md)", (ROOT / "README.md").read_text(encoding="utf-8"))
    return list(dict.fromkeys(["README.md", *linked, *PAGES]))


def demo_commands(*settings: str) -> list[str]:
    """What `make demo` runs, with the program's name alone."""
    if shutil.which("make") is None:
        return []
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "-n", "-C", str(ROOT), "demo", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready", *settings]
    printed = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    found = [line.removeprefix(f"{sys.prefix}/bin/") for line in printed.splitlines()]
    return [line for line in found if line.startswith("uvgen ")]


@pytest.mark.long
@pytest.mark.slow
def test_documentation_read_from_start_to_end_runs_in_one_folder(
    downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make demo`, then all commands and Python of all pages, as somebody who follows them runs them: none in the way
    of another, on as many workers as there are cores."""
    monkeypatch.setattr(options, "cores", joblib.cpu_count)
    folder = tmp_path / "user"
    shutil.copytree(downloads, folder)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        for line in demo_commands():
            run_command(line)
        for page in in_reading_order():
            text = (ROOT / page).read_text(encoding="utf-8")
            for language, block in re.findall(r"```(bash|python)\n(.*?)```", text, flags=re.DOTALL):
                if language == "python" and not not_installed(block):
                    try:
                        exec(compile(block, page, "exec"), {})
                    except Exception as error:
                        raise AssertionError(f"{page}: {error}\n{block}") from error
                for line in block.strip().splitlines() if language == "bash" and not not_installed(block) else ():
                    if "--face3d" in line:  # its BFM_UV.mat is the trimmed one
                        face3d_files(toy_model(with_mouth=True), folder)
                    if not line.startswith("pip "):
                        run_command(line)
                    shutil.copy(downloads / "BFM_UV.mat", folder)


def test_make_help_prints_what_there_is_to_make() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and not done.stderr and "PYTHON" not in done.stdout
    assert "`make demo` builds the built-in sample set" in done.stdout and "`make dist`" in done.stdout


@pytest.mark.slow
@pytest.mark.vital
def test_make_demo_builds_and_draws(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    ready = f"{sys.prefix}/.ready"  # of this environment: not to be set up again
    command = ["make", "-C", str(ROOT), "demo", f"VENV={sys.prefix}", "-o", ready]
    arguments = [f"OUT={tmp_path / 'shards'}", f"PREVIEW={tmp_path / 'preview.png'}"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "128 samples, 0 skipped" in done.stdout
    assert "built-in model and sample set" in done.stderr
    assert (tmp_path / "preview.png").stat().st_size > 50_000


@pytest.mark.slow
def test_make_demo_of_own_data_builds_and_draws_them(downloads: Path, tmp_path: Path) -> None:
    """The commands that make would run, run here."""
    save_model(toy_model(), tmp_path / "model.h5")
    commands = demo_commands(
        f"OUT={tmp_path / 'shards'}", f"PREVIEW={tmp_path / 'preview.png'}",
        f"DATA={downloads / '300W_LP'}", f"MODEL={tmp_path / 'model.h5'}",
    )  # fmt: skip
    if not commands:
        pytest.skip("make is not installed")
    build, preview = map(run_command, commands)
    assert "6 samples, 0 skipped" in build.stdout and "built-in model and sample set" not in build.stderr
    assert preview.exit_code == 0 and (tmp_path / "preview.png").stat().st_size > 50_000


def table_rows(page: str, heading: str) -> list[list[str]]:
    """Cells of the tables below a heading."""
    section = (ROOT / page).read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]


def test_performance_page_names_its_regimes_and_its_headroom_is_the_quotient_of_its_figures() -> None:
    text = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    sections = text.split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections if "\n| " in section and "Regime: " not in section] == []
    networks = {
        row[0]: float(row[3])
        for row in table_rows("docs/performance.md", "A network alone: `benchmarks/read.py --headroom`")[2:]
    }
    (of_gpu,) = (ms for name, ms in networks.items() if name.startswith("ResNet18"))
    rows = table_rows("docs/performance.md", "Reading through a data loader")[2:]
    assert len(rows) > 5
    for name, *cells in rows:
        for feed, headroom in (cells[:2], cells[2:]):
            assert (feed == "") == (headroom == ""), name
            assert not feed or abs(of_gpu / float(feed) - float(headroom)) < 0.06, name


def test_readme_says_first_what_a_sample_takes_as_the_performance_page_measured_it() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    sizes = [int(row[1]) for row in table_rows("docs/performance.md", "Choosing what to store")[2:]]
    first = text.split("\n- ")[1]
    assert f"{min(sizes)} kB to 0.6 MB" in first and f"{max(sizes)} kB" in first and round(max(sizes), -2) == 600


def test_slow_training_page_repeats_the_figures_of_the_performance_page() -> None:
    measured = {row[1] for row in table_rows("docs/performance.md", "Reading through a data loader")[2:]}
    told = [row[1] for row in table_rows("docs/slow_training.md", "Too much work in the workers")[2:]]
    assert len(told) > 5 and {ms for ms in told if "more" not in ms} <= measured


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_documented_links_lead_somewhere(page) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert target.startswith("http") or (ROOT / page).parent.joinpath(target).exists(), target
