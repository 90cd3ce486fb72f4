"""The pages of the documentation site: all are listed, and links, images and names in them lead somewhere."""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_site", ROOT / "docs/make_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "pages"
    maker.main(out)
    return out


def test_every_page_is_in_the_navigation_once(pages: Path) -> None:
    settings = pages.with_suffix(".yml").read_text(encoding="utf-8")
    listed = re.findall(r": (\S+\.md)$", settings.partition("\nnav:\n")[2], re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(pages)) for path in pages.rglob("*.md"))
    assert len(listed) > 60


def test_pages_have_the_titles_that_the_navigation_gives_them() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    entries = {page: title for title, page in re.findall(r"^ +- ([^:\n]+): (\S+\.md)$", settings, re.MULTILINE)}
    titles = {
        page.name: page.read_text(encoding="utf-8").split("\n")[0].removeprefix("# ")
        for page in (ROOT / "docs").glob("*.md")
    }
    assert len(titles) > 30 and titles == {page: entries[page] for page in titles}


def test_links_of_pages_lead_to_pages_and_images(pages: Path) -> None:
    lost = [
        (page.name, target)
        for page in pages.rglob("*.md")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not target.startswith("http") and not (page.parent / target).exists()
    ]
    assert lost == []


def test_links_say_the_title_of_the_page_that_they_lead_to(maker: ModuleType, pages: Path) -> None:
    text = "See [models.md](models.md#the-weight-mask), [docs/json.md](docs/json.md) and [these](docs/json.md)."
    linked = maker.with_site_links(text, "")
    assert linked == "See [Face models](models.md#the-weight-mask), [Results as JSON](json.md) and [these](json.md)."
    texts = [page.read_text(encoding="utf-8") for page in pages.glob("*.md")]
    assert [link for text in texts for link in re.findall(r"\[[\w./-]+\.md\]\(", text)] == []


def test_options_are_marked_where_no_block_of_code_is(maker: ModuleType, pages: Path) -> None:
    text = "`--to prnet`, ``--x``\n\n```bash\nuvgen `--y`\n```\n\n`uvgen build --data 300W_LP/ --model bfm.h5`, `--z`\n"
    marked = text.replace("`--to prnet`", "`--to prnet`{ .whole }").replace("`--z`", "`--z`{ .whole }")
    assert maker.unbroken_options(text) == marked
    assert "code.whole" in (pages / "site.css").read_text(encoding="utf-8")


def test_each_command_has_a_page_with_all_its_options(maker: ModuleType, pages: Path) -> None:
    commands = maker.every_command(maker.uvgen_command, ("uvgen",))
    assert len(commands) > 20
    for path, command in commands:
        text = (pages / f"commands/{'-'.join(path)}.md").read_text(encoding="utf-8")
        assert text.count("```") == 2
        assert re.search(rf"^Usage: {' '.join(path)} \[OPTIONS\]", text, re.MULTILINE)
        assert "-h, --help" in text  # as the command itself prints it
        assert [name for param in command.params for name in param.opts if name[:2] == "--" and name not in text] == []


def test_library_pages_have_all_public_names(maker: ModuleType, pages: Path) -> None:
    sections = (ROOT / "tests/project/public_names.txt").read_text(encoding="utf-8").split("\n\n")
    assert {section.split("]")[0][1:] for section in sections} == set(maker.LIBRARY)
    for section in sections:
        module, _, lines = section[1:].partition("]\n")
        files = [pages / f"library/{module}.md"]
        if module == "uvgen":
            files = [pages / f"library/uvgen-{ending}.md" for ending, _, _ in maker.TOPICS.values()]
        names = sorted({line.removeprefix(f"{module}.").split("(")[0].split(".")[0] for line in lines.splitlines()})
        described, summaries = [], []
        for file in files:
            text = file.read_text(encoding="utf-8")
            described += re.findall(r"^::: (\S+)$", text, re.MULTILINE)
            summaries += re.findall(r"^\| \[`(\w+)`\{ \.whole \}\]\(#\S+\) \| \S.* \|$", text, re.MULTILINE)
        assert names and sorted(described) == [f"{module}.{name}" for name in names]  # each once
        assert sorted(summaries) == names


def test_overview_of_the_library_links_each_name_to_the_page_that_describes_it(pages: Path) -> None:
    text = (pages / "library/uvgen.md").read_text(encoding="utf-8")
    links = re.findall(r"^\| \[`(\w+)`\{ \.whole \}\]\((\S+\.md)#uvgen\.\1\) \| \S.* \|$", text, re.MULTILINE)
    assert len(links) == text.count("| [`") > 100 and ":::" not in text
    for name, page in links:
        assert f"\n::: uvgen.{name}\n" in (pages / "library" / page).read_text(encoding="utf-8")


def test_library_pages_show_what_calling_or_indexing_an_object_does() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    (shown,) = re.findall(r'filters: \["!(.*)"\]', settings)
    hidden = [name for name in ("__call__", "__getitem__", "__init__", "_private", "batch") if re.search(shown, name)]
    assert hidden == ["__init__", "_private"]


def test_summary_of_a_name_is_its_docstring_s_first_paragraph(maker: ModuleType) -> None:
    node, docstring = maker.definition("uvgen", "LANDMARK_MIRROR")  # a constant, by the stub's relative import
    assert isinstance(node, ast.AnnAssign | ast.Assign) and docstring.startswith("(68,) index of the iBUG landmark")
    page = maker.module_page("uvgen.metrics", "Distances.")
    assert "](#uvgen.metrics.nme_2d) | Normalized mean error of landmarks in the image plane |" in page


def test_site_is_made_again_over_an_earlier_one(maker: ModuleType, pages: Path) -> None:
    (pages / "old.md").touch()
    maker.main(pages)
    assert not (pages / "old.md").exists()


def test_page_on_clusters_names_the_commands_that_run_there(maker: ModuleType) -> None:
    text = (ROOT / "docs/scaling.md").read_text(encoding="utf-8").replace("\n", " ")
    named = re.search(r"can run on a Dask or Ray cluster: (.*?)\.", text)[1].replace(" and ", ", ")
    there = [
        " ".join(path[1:])
        for path, command in maker.every_command(maker.uvgen_command, ("uvgen",))
        if any("--backend" in param.opts for param in command.params)
    ]
    assert sorted(named.split(", ")) == sorted(there)
