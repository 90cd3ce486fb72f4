"""The pages of a report in a browser, opened from disk: no server, no network, no error in the console."""

import dataclasses
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.builds import have
from support.reports import (
    BIGGER,
    WEIRD,
    Browsers,
    browser_page,
    open_report,
    rows,
    script_arguments,
    shown_names,
    wait_for_count,
)
from support.toy import write_sample

from uvgen import ReportOptions, write_report
from uvgen.cli.main import main
from uvgen.report.javascript import packed, write_script
from uvgen.report.overview import _histogram

pytestmark = pytest.mark.slow


def test_overview_is_there_without_scripts_and_counts_with_them(report: Path, browsers: Browsers) -> None:
    with browser_page(browsers, java_script_enabled=False) as page:
        page.goto((report / "index.html").as_uri())
        assert page.locator("#overview").is_visible() and "need JavaScript" in page.locator("noscript").inner_text()
        assert page.locator(".facts dd").first.inner_text() == "60"


def test_overview_draws_histograms_and_a_bar_leads_to_its_samples(page: Any, report: Path) -> None:
    open_report(page, report)
    assert page.locator("#histograms .plot").count() == 6  # all images are of one height
    yaw = page.locator("figure", has=page.get_by_text("Yaw (°)", exact=True))
    bars = yaw.locator(".columns-of-bins a")
    heights = bars.evaluate_all("bars => bars.map((bar) => bar.firstChild.getBoundingClientRect().height)")
    assert max(heights) > 100
    k = min((k for k, height in enumerate(heights) if height), key=heights.__getitem__)
    found = re.fullmatch(r"(.+) to (.+)°: (\d+) samples?", bars.nth(k).get_attribute("title"))
    assert found
    bars.nth(k).click(position={"x": 2, "y": 3})  # far above a low bar
    page.wait_for_selector("#gallery:visible")
    assert page.inner_text("#count") == f"{found[3]} of 60 samples"
    assert (page.input_value("#f-yaw-low"), page.input_value("#f-yaw-high")) == (found[1], found[2])
    low, high = float(found[1]), float(found[2])
    angles = zip(rows(report)["names"], rows(report)["yaw"], strict=True)
    assert shown_names(page) == [name for name, angle in angles if low <= angle < high]
    page.click("#filters button[type=reset]")
    assert page.inner_text("#count") == "60 of 60 samples"


@pytest.mark.parametrize(
    "title",
    [
        "Label NME (%)",
        "Yaw (°)",
        pytest.param("Pitch (°)", marks=pytest.mark.long),  # as yaw
        pytest.param("Roll (°)", marks=pytest.mark.long),
        "Face in its image, longer side (px)",
        pytest.param("Crop pixels per image pixel", marks=pytest.mark.long),
    ],
)
def test_numbers_of_histograms_are_links_to_as_many_samples(page: Any, report: Path, title: str) -> None:
    open_report(page, report)
    total = 0
    figure = page.locator("figure", has=page.get_by_text(title, exact=True))
    figure.locator("summary").click()
    figure.locator("tbody tr").first.wait_for()  # made when it is opened
    lines = figure.locator("tbody tr").evaluate_all(
        "all => all.map((row) => [row.cells[1].textContent, row.querySelector('a').href])"
    )
    for count, address in lines:
        page.goto(address)
        wait_for_count(page, int(count))
        total += int(count)
    assert total == 60


def test_histogram_keeps_rare_outliers_apart_and_in_sight(page: Any, report: Path, tmp_path: Path) -> None:
    shutil.copytree(report, tmp_path / "report")
    nme = np.random.default_rng(1).normal(0.02, 0.004, 2000).clip(0.001).astype(np.float32)
    nme[:3] = [1.44839, 0.533, 0.237]
    (about,) = script_arguments(report / "data/overview.js")
    about["histograms"] = [_histogram("Label NME", "nme", "%", 100 * nme.astype(np.float64), 0.1, 0.0, 2)]
    write_script(tmp_path / "report/data/overview.js", "overview", about)
    columns = {key: np.resize(value, 2000).astype(value.dtype) for key, value in rows(report).items() if key != "names"}
    raw = {**{key: packed(value) for key, value in columns.items()}, "names": [f"a/{k}" for k in range(2000)]}
    write_script(tmp_path / "report/data/rows.js", "rows", {**raw, "nme": packed(nme)})
    open_report(page, tmp_path / "report")
    said = page.locator("#histograms figure p").inner_text()
    assert re.fullmatch(r"median \d\.\d\d%, from 0\.\d\d% to 144\.84%; logarithmic counts", said)
    last = page.locator(".columns-of-bins a").last
    assert re.fullmatch(r"[3-9](\.\d+)?% or more: 3 samples", last.get_attribute("title"))
    assert last.locator("i").bounding_box()["height"] > 10
    ticks = page.locator(".count-ticks span").all_inner_texts()
    assert all(re.fullmatch(r"0|10*|1,0+", tick) for tick in ticks)
    last.click(position={"x": 1, "y": 1})
    page.wait_for_selector("#gallery:visible")
    assert page.inner_text("#count") == "3 of 2,000 samples"
    assert page.locator(".tile .nme").all_inner_texts() == ["144.84%", "53.30%", "23.70%"]
    assert page.locator(".tile .nme").evaluate_all("all => all.every((cell) => cell.scrollWidth <= cell.clientWidth)")


@pytest.mark.vital
def test_sample_shows_its_pictures_and_overlays_that_toggle(page: Any, report: Path) -> None:
    name = rows(report)["names"][0]
    open_report(page, report, f"#sample={name}")
    page.wait_for_selector("#s-crop circle")
    _, content = script_arguments(report / "data/samples/000/000000.js")
    assert page.locator("#s-crop circle").count() == 68
    x = float(page.get_attribute("#s-crop circle >> nth=30", "cx"))
    assert x == content["landmarks"][30][0]
    page.keyboard.press("l")
    assert page.locator("#s-crop circle").count() == 0 and page.locator("#s-crop .cross").count() == 1
    page.keyboard.press("a")
    assert page.locator("#s-crop .cross").count() == 0
    page.keyboard.press("d")
    assert page.locator("#s-crop .difference").get_attribute("d").count("M") == 68
    page.select_option("#s-part", "mouth")
    assert float(page.get_attribute("#s-crop", "viewBox").split()[2]) < 64
    assert (
        page.evaluate("[...document.querySelectorAll('.panels img')].map((image) => image.naturalWidth)") == [256] * 3
    )
    numbers = page.locator("#s-numbers th").all_inner_texts()
    assert content["source"] in page.inner_text("#s-numbers")
    assert [numbers.count(key) for key in ("label NME", "yaw", "pitch", "roll")] == [1] * 4
    assert not [key for key in numbers if "rad" in key]
    nme = rows(report)["nme"][0]
    assert f"{nme:.2%}" in page.inner_text("#s-numbers") and "resets" in page.inner_text("#s-mesh-note")


@pytest.mark.vital
def test_mesh_turns_by_keys_and_by_mouse(page: Any, report: Path, tmp_path: Path) -> None:
    open_report(page, report, f"#sample={rows(report)['names'][0]}")
    page.wait_for_selector("canvas[data-turn]")
    canvas = page.locator(".mesh canvas")

    def shot() -> Any:
        canvas.screenshot(path=tmp_path / "mesh.png")
        with Image.open(tmp_path / "mesh.png") as image:
            return np.asarray(image.convert("RGB")).astype(int)

    page.evaluate("document.activeElement.blur()")
    first = shot()
    edge = first[5, 5]
    assert (np.abs(first - edge).max(axis=2) > 20).mean() > 0.1  # the face, before a plain ground
    turns = [page.get_attribute(".mesh canvas", "data-turn")]
    canvas.focus()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        turns.append(page.get_attribute(".mesh canvas", "data-turn"))
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 110)
    page.mouse.up()
    turns.append(page.get_attribute(".mesh canvas", "data-turn"))
    assert len(set(turns)) == 4
    page.evaluate("document.activeElement.blur()")
    assert (np.abs(shot() - first).max(axis=2) > 20).mean() > 0.02
    assert page.inner_text("#sample-title") == rows(report)["names"][0]  # arrow keys went to the mesh
    canvas.focus()
    page.keyboard.press("0")
    assert page.get_attribute(".mesh canvas", "data-turn") == "0 0"


def test_mesh_seen_from_the_front_shows_the_crop(page: Any, model_path: Path, tmp_path: Path) -> None:
    """The texture lies where the map says: a crop that is red on the left and green on the right stays so."""
    tree = tmp_path / "300W_LP/AFW"
    write_sample(tree, "AFW_000_1_0", seed=3, Pose_Para=np.array([[0, 0, 0, 80, 60, 0, 4e-4]]))
    image = np.zeros((120, 160, 3), np.uint8)
    image[:, :80, 0] = image[:, 80:, 1] = 200
    Image.fromarray(image).save(tree / "AFW_000_1_0.jpg", quality=95)
    have(tree.parent, model_path, tmp_path / "shards", dataclasses.replace(BIGGER, jitter=0))
    write_report(tmp_path / "shards", tmp_path / "report")
    open_report(page, tmp_path / "report", "#sample=AFW/AFW_000_1_0")
    page.wait_for_selector("canvas[data-turn]")
    page.click("#s-front")
    page.locator(".mesh canvas").screenshot(path=tmp_path / "mesh.png")
    with Image.open(tmp_path / "mesh.png") as shot:
        colors = np.asarray(shot.convert("RGB")).astype(int)
    height, width = colors.shape[:2]
    left, right = colors[height // 2, int(0.35 * width)], colors[height // 2, int(0.65 * width)]
    assert left[0] > left[1] + 60 and right[1] > right[0] + 60


def test_without_webgl_a_message_stands_in_the_place_of_the_mesh(report: Path, browsers: Browsers) -> None:
    with browser_page(browsers, webgl=False) as page:
        open_report(page, report, f"#sample={rows(report)['names'][0]}")
        page.wait_for_selector(".mesh.message")
        assert "no WebGL" in page.inner_text(".mesh")
        assert page.locator(".panels img").count() == 3


def test_sample_without_a_page_gives_the_commands_that_make_one(page: Any, model_path: Path, tmp_path: Path) -> None:
    for k, name in enumerate(WEIRD):
        write_sample(tmp_path / "300W_LP/AFW", name.replace("/", "∕"), seed=k)
    have(tmp_path / "300W_LP", model_path, tmp_path / "my shards")
    write_report(tmp_path / "my shards", tmp_path / "report", options=ReportOptions(worst=1))
    names = rows(tmp_path / "report")["names"]
    open_report(page, tmp_path / "report")
    for name in names[1:]:
        page.goto(f"{(tmp_path / 'report/index.html').as_uri()}#sample={quote(name)}")
        page.wait_for_function("name => document.getElementById('sample-title').textContent === name", arg=name)
        assert "worst 1 " in page.inner_text(".mesh.message") and not page.locator("#s-crop").is_visible()
        commands = page.inner_text(".mesh.message code")
        first, second = commands.splitlines()
        subprocess.run(["bash", "-c", first], cwd=tmp_path, check=True)
        assert (tmp_path / "names.txt").read_text(encoding="utf-8") == f"{name}\n"
    assert shlex.split(second)[:4] == ["uvgen", "report", "my shards", "--list"]
    paths = ["--list", str(tmp_path / "names.txt"), "--out", str(tmp_path / "one")]
    done = CliRunner().invoke(main, ["report", str(tmp_path / "my shards"), *paths])
    assert done.exit_code == 0 and script_arguments(tmp_path / "one" / "data/samples/000/000000.js")[1]["name"] == name


def test_sample_whose_file_is_damaged_shows_that_in_place_of_the_sample_before(
    page: Any, report: Path, tmp_path: Path
) -> None:
    shutil.copytree(report, tmp_path / "report")
    (tmp_path / "report/data/samples/000/000003.js").write_text("")
    names = rows(report)["names"]
    open_report(page, tmp_path / "report", f"#sample={names[0]}")
    page.wait_for_selector("#s-crop circle")
    page.goto(f"{(tmp_path / 'report/index.html').as_uri()}#sample={names[3]}")
    page.wait_for_function("document.querySelector('.mesh').textContent.includes('cannot be read')")
    page.wait_for_timeout(400)  # no message of a slow disk after it
    assert "cannot be read" in page.inner_text(".mesh.message")
    assert page.locator("#s-crop circle").count() == 0 and page.inner_text("#sample-title") == names[3]


@pytest.mark.parametrize("address", ["#AFW/AFW_image_9999_0", "#galery", "#sampel=AFW%2FAFW_image_9999_0"])
def test_address_that_names_nothing_says_so(page: Any, report: Path, address: str) -> None:
    open_report(page, report, address)
    page.wait_for_selector("#s-missing:visible")
    assert page.title().startswith("No such sample") and page.locator("#overview:visible").count() == 0
    assert page.inner_text("#s-missing-name") == unquote(address[1:])


def test_address_that_is_a_sample_s_name_shows_the_sample(page: Any, report: Path) -> None:
    name = rows(report)["names"][3]
    open_report(page, report, f"#{name}")
    page.wait_for_selector("#s-crop circle")
    assert page.inner_text("#sample-title") == name


@pytest.mark.parametrize("view", ["#gallery?subset=AFW", "#marks", "#sample={0}"])
def test_skip_link_leads_to_the_content_of_the_view_that_is_shown(page: Any, report: Path, view: str) -> None:
    view = view.format(rows(report)["names"][0])
    open_report(page, report, view)
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main" and page.evaluate("location.hash") == view
    assert page.locator("#overview:visible").count() == 0


@pytest.mark.parametrize("before", ["", "#sample={0}"])
def test_sample_of_an_unknown_name_shows_nothing_and_does_nothing(page: Any, report: Path, before: str) -> None:
    open_report(page, report, before.format(rows(report)["names"][0]))
    if before:
        page.wait_for_selector("#s-crop circle")
    page.goto(f"{(report / 'index.html').as_uri()}#sample=AFW/AFW_image_9999_0")
    page.wait_for_selector("#s-missing:visible")
    assert "AFW/AFW_image_9999_0" in page.inner_text("#sample") and page.title().startswith("No such sample")
    assert page.locator("#sample :is(button, input, select, svg, canvas, img, table):visible").count() == 0
    for key in "mjkldac":
        page.keyboard.press(key)
    assert page.inner_text("#n-marks") == "0" and page.locator("#s-missing").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("#gallery:visible")


def test_legends_are_drawn_as_the_pictures_are(page: Any, report: Path) -> None:
    open_report(page, report, f"#sample={rows(report)['names'][0]}")
    page.wait_for_selector("#s-crop circle")
    style = (
        """(element) => { const {stroke, fill} = getComputedStyle(element); return [element.tagName, stroke, fill]; }"""
    )
    for kind in ("path.right", "path.left", "path.middle", "path.cross"):
        drawn = page.locator(f"#s-crop {kind}").first.evaluate(style)
        for legend in ("#sample .legend", "#gallery-legend"):
            assert page.locator(f"{legend} {kind}").evaluate(style) == drawn
    hidden = page.locator("#s-crop circle.hidden-point")
    if hidden.count():
        assert page.locator("#sample .legend circle.hidden-point").evaluate(style) == hidden.first.evaluate(style)


def luminance(page: Any, path: Path) -> float:
    page.screenshot(path=path)
    with Image.open(path) as shot:
        return float(np.asarray(shot.convert("L")).mean())


def test_pages_follow_the_systems_dark_mode_and_fit_narrow_screens(page: Any, report: Path, tmp_path: Path) -> None:
    open_report(page, report)
    light = luminance(page, tmp_path / "light.png")
    page.emulate_media(color_scheme="dark")
    dark = luminance(page, tmp_path / "dark.png")
    assert light > 200 and dark < 70
    page.set_viewport_size({"width": 380, "height": 700})
    for where in ("#overview", "#gallery", f"#sample={rows(report)['names'][0]}", "#marks"):
        page.goto(f"{(report / 'index.html').as_uri()}{where}")
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380, where


def test_pages_are_printed_without_what_only_a_screen_needs(page: Any, report: Path) -> None:
    open_report(page, report)
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator(".bar nav").is_visible() and page.locator(".facts").is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert len(page.pdf()) > 10_000


def test_names_and_states_are_there_for_screen_readers(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery")
    assert page.get_attribute("#grid", "aria-rowcount") == "61"
    assert page.get_attribute(".tile >> nth=0", "aria-rowindex") == "2"
    unnamed = page.evaluate("""[...document.querySelectorAll('button, a[href], input, select, textarea')]
        .filter((item) => !item.textContent.trim() && !item.getAttribute('aria-label') && !item.labels?.length)
        .map((item) => item.outerHTML)""")
    assert unnamed == []
    page.goto(f"{(report / 'index.html').as_uri()}#sample={rows(report)['names'][0]}")
    page.wait_for_selector("canvas[data-turn]")
    assert page.evaluate("[...document.querySelectorAll('img')].every((image) => image.hasAttribute('alt'))")
    assert page.get_attribute(".mesh canvas", "aria-valuetext").startswith("turned by")
