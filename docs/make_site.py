"""The pages of the documentation site: docs/*.md, the README as its start, the commands' help, the docstrings.

    python docs/make_site.py [OUT]

Writes OUT (build/site-pages), and OUT.yml beside it: mkdocs.yml with the pages that are made here. `make docs` runs it,
then Zensical, which reads that file.
"""

import ast
import functools
import inspect
import itertools
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from uvgen.cli.main import main as uvgen_command

ROOT = Path(__file__).resolve().parents[1]
PROJECT_PAGES = {"README": "index", "CONTRIBUTING": "contributing", "SECURITY": "security", "CHANGELOG": "changelog"}
"""File in the checkout → page."""

LIBRARY = {
    "uvgen": "What most programs use: making and reading data sets, models, position maps, evaluation, reports.",
    "uvgen.rasterize": "Drawing, shading and unwrapping triangle meshes on the CPU; needs only NumPy and Numba.",
    "uvgen.augment": "Augmentation of samples, with exact labels.",
    "uvgen.torch": "PyTorch: data sets, samplers, maps made on the device, drawing with gradients, layers of a 3DMM.",
    "uvgen.losses": "Losses of position maps, landmarks and coefficients, for arrays and tensors.",
    "uvgen.metrics": "Distances between position maps, for arrays and tensors.",
    "uvgen.evaluation": "Comparing predictions with the truth.",
    "uvgen.preview": "Pictures of data sets and predictions.",
    "uvgen.report": "Writing pages that show a whole data set.",
    "uvgen.synth": "Rendering synthetic faces with exact labels.",
}
"""Public module → what it is for."""

TOPICS = {
    "Building data sets": (
        "building",
        "Making shards: from images and parameters, from maps or meshes of other programs, as augmented copies; "
        "and how work runs on several processes and machines.",
        "build_shards BuildConfig BuildResult import_maps MapOptions import_meshes ImageCamera read_camera "
        "augment_shards Augmentation AugmentationDraw read_augmentation render_faces SynthOptions SynthResult "
        "ShardResult SkippedSample RunOptions running_on UvgenError",
    ),
    "Samples and crops": (
        "samples",
        "Finding and reading images, parameters and landmarks; cropping images.",
        "find_samples Sample SampleSelection read_annotation read_image find_landmarks has_landmarks "
        "FaceLandmarks crop_similarity crop_from_landmarks crop_from_box crop_from_points5 warp_image",
    ),
    "Reading and managing data sets": (
        "reading",
        "Opening shards and normalizing what they hold; describing, checking, repairing, dividing, merging and "
        "exporting data sets.",
        "open_shards ShardReader Normalization denormalize describe_shards DatasetInfo DatasetConfig "
        "verify_shards VerifyResult repair_shards RepairResult split_shards SplitResult Split group_samples "
        "select_names Criteria merge_shards export_shards ExportResult",
    ),
    "Models": (
        "models",
        "Reading, converting and writing morphable models; UV coordinates and expressions for meshes that have none.",
        "load_model MorphableModel save_model convert_model ConvertResult BaselFiles Supplements resample_model "
        "parameterize transfer_expressions",
    ),
    "Position maps": (
        "maps",
        "Making position maps, the masks that go with them, and reading landmarks, meshes and poses from maps.",
        "PositionMapper build_atlas UvAtlas TexelMirror weight_mask face_mask landmark_weights LandmarkWeights "
        "read_landmarks landmark_texels map_to_landmarks map_to_mesh map_to_pose HeadPose LANDMARK_MIRROR "
        "aflw_texels aflw_uv AFLW_MIRROR",
    ),
    "Fitting": (
        "fitting",
        "Parameters of faces in photographs and videos, and meshes of scans in a model's topology.",
        "fit_photographs FitOptions FitResult fit_video VideoOptions VideoResult fit_landmarks LandmarkFit "
        "FaceDetector register_scans RegisterOptions RegisterResult register_scan Registration prepare_deep3d "
        "PreparedFaces",
    ),
    "Predictions, pictures and reports": (
        "predictions",
        "Running networks on photographs, evaluating predictions, and looking at data sets.",
        "predict_photographs PredictOptions PredictResult NetworkOptions crop_to_image evaluate_predictions "
        "EvaluationReport render_preview PreviewResult contact_sheet render_predictions draw_alignment "
        "alignment_gif write_report ReportOptions ReportResult diagnose Diagnosis Finding",
    ),
}
"""The pages of `uvgen`, whose names are too many for one: title → the file's ending, what it has, its names."""


def main(out: Path) -> None:
    """Write all pages; what was there before is removed."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "docs", out, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for page in out.glob("*.md"):
        page.write_text(with_site_links(page.read_text(encoding="utf-8"), "../"), encoding="utf-8")
    for file, page in PROJECT_PAGES.items():
        text = (ROOT / f"{file}.md").read_text(encoding="utf-8")
        (out / f"{page}.md").write_text(with_site_links(text, ""), encoding="utf-8")
    commands = {}
    for path, command in every_command(uvgen_command, ("uvgen",)):
        name = "-".join(path)
        commands[" ".join(path)] = f"commands/{name}.md"
        write(out / f"commands/{name}.md", command_page(path, command))
    modules = {}
    for module, purpose in LIBRARY.items():
        modules[module] = f"library/{module}.md"
        write(
            out / f"library/{module}.md", overview_page(purpose) if module == "uvgen" else module_page(module, purpose)
        )
        for title, (ending, topic, names) in TOPICS.items() if module == "uvgen" else ():
            modules[f"uvgen, {title[0].lower()}{title[1:]}"] = f"library/uvgen-{ending}.md"
            write(out / f"library/uvgen-{ending}.md", module_page(module, topic, title, names.split()))
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for mark, pages in (("COMMANDS", commands), ("LIBRARY", modules)):
        settings = re.sub(rf" {mark} .*", nav_of(pages), settings)
    out.with_suffix(".yml").write_text(settings.replace("build/", "").replace("paths: [.]", "paths: [..]"))


def write(path: Path, text: str) -> None:
    """A page, and its folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def with_site_links(text: str, up: str) -> str:
    """A page with links to other files of the checkout as links to the site's pages, by the pages' titles."""
    for file, page in PROJECT_PAGES.items():
        text = text.replace(f"]({up}{file}.md", f"]({page}.md")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    titles = {page: title for title, page in re.findall(r"^ +- ([^:\n]+): (\S+\.md)$", settings, re.MULTILINE)}

    def titled(link: re.Match[str]) -> str:
        return f"[{titles[link[1]]}]({link[1]}{link[2]})"  # on GitHub the file's name is what a reader looks for

    text = re.sub(r"\[[\w./-]+\.md\]\(([\w-]+\.md)([^)]*)\)", titled, text.replace("](docs/", "]("))
    return unbroken_options(text)


def unbroken_options(text: str) -> str:
    """A page whose short options, such as `--to prnet`, no browser breaks after a hyphen (docs/site.css)."""
    parts = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)  # every second one is a block of code
    short = r"(?=[^`\n]{3,24}`)"  # longer ones are wider than a phone's tables
    option = re.compile(rf"(?<!`)(`{short}[^`\n]*--\w[^`\n]*`)(?!`)")
    return "".join(part if k % 2 else option.sub(r"\1{ .whole }", part) for k, part in enumerate(parts))


def nav_of(pages: dict[str, str]) -> str:
    """Lines of the navigation, title and page."""
    return "".join(f"\n          - {title}: {page}" for title, page in pages.items())


def every_command(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    """Each command without commands of its own, by the words that call it."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command, info_name=path[-1])
    found = []
    for name in command.list_commands(context):
        member = command.get_command(context, name)
        assert member is not None  # noqa: S101  # it was listed
        found += every_command(member, (*path, name))
    return found


def command_page(path: tuple[str, ...], command: click.Command) -> str:
    """A command's help, as a terminal 100 characters wide shows it."""
    context = click.Context(uvgen_command, info_name=path[0], **uvgen_command.context_settings)
    for word in path[1:]:
        assert isinstance(context.command, click.Group)  # noqa: S101  # it has commands
        member = context.command.get_command(context, word)
        assert member is not None  # noqa: S101  # it was listed
        context = click.Context(member, parent=context, info_name=word, terminal_width=100, max_content_width=100)
    return f"---\nhide: [toc]\n---\n\n# {' '.join(path)}\n\n```text\n{command.get_help(context).strip()}\n```\n"


def overview_page(purpose: str) -> str:
    """The names of `uvgen`, with links to the pages of their topics."""
    parts = [f"# uvgen\n\n{purpose}\n"]
    for title, (ending, _, names) in TOPICS.items():
        page = f"uvgen-{ending}.md"
        parts += [f"## [{title}]({page})\n", *names_table("uvgen", names.split(), page), ""]
    return "\n".join(parts)


def module_page(module: str, purpose: str, title: str = "", names: Sequence[str] = ()) -> str:
    """Public names of a module: what each is for in a table, then functions and classes from their docstrings."""
    names = names or public_names(module)
    parts = []
    for name in names:
        parts.append(f"::: {module}.{name}\n")
        if not isinstance(definition(module, name)[0], (ast.FunctionDef, ast.ClassDef)):
            parts[-1] += "    options: { show_attribute_values: false }\n"  # the numbers of a long table say nothing
    return "\n".join([f"# {title or module}\n\n{purpose}\n", *names_table(module, names), "", *parts])


def names_table(module: str, names: Sequence[str], page: str = "") -> list[str]:
    """Rows of a table: each name, with a link to where it is described, and the first paragraph of its docstring."""
    table = ["| name | what it is |", "| --- | --- |"]
    for name in names:
        docstring = definition(module, name)[1]
        summary = re.sub(r"[:.]$", "", " ".join(docstring.partition("\n\n")[0].split())).replace("|", "\\|")
        table.append(f"| [`{name}`{{ .whole }}]({page}#{module}.{name}) | {summary} |")
    return table


@functools.cache
def parsed(path: Path) -> ast.Module:
    """A source file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def definition(module: str, name: str) -> tuple[ast.stmt, str]:
    """Where a module, or the one that it takes the name from, defines the name; the docstring there."""
    folder = ROOT / module.replace(".", "/")
    places = (folder / "__init__.pyi", folder / "__init__.py", folder.with_suffix(".py"))
    body = parsed(next(path for path in places if path.exists())).body
    package = module if folder.is_dir() else module.rpartition(".")[0]
    for node, following in itertools.zip_longest(body, body[1:]):
        if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
            return definition(".".join([*above, *filter(None, [node.module])]), origin)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return node, ast.get_docstring(node) or ""
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            text = following.value.value if isinstance(following, ast.Expr) else ""  # the string under a constant
            return node, inspect.cleandoc(text)
    raise LookupError(f"{module}.{name}: no definition")


def public_names(module: str) -> list[str]:
    """As tests/project/public_names.txt lists them, which a test keeps complete."""
    lines = (ROOT / "tests/project/public_names.txt").read_text(encoding="utf-8").splitlines()
    names = {re.match(rf"{re.escape(module)}\.(\w+)(?=\W|$)", line) for line in lines}
    found = sorted({match.group(1) for match in names if match}, key=str.lower)
    inner = {other.rpartition(".")[2] for other in LIBRARY if other.rpartition(".")[0] == module}
    return [name for name in found if name not in inner]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/site-pages"))
