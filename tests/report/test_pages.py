"""The pages of a report in a browser, opened from disk: no server, no network, no error in the console."""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from PIL import Image
from support.builds import make
from support.reports import (
    BIGGER,
    Browsers,
    browser_page,
    open_report,
    rows,
    script_arguments,
    shown_names,
    wait_for_count,
)
from support.toy import write_sample

from uvgen import build_shards, render_faces, write_report
from uvgen.report.javascript import packed, write_script

pytestmark = pytest.mark.slow


def active(page: Any) -> str:
    """Name of the tile that has the focus."""
    found: str = page.evaluate("document.activeElement.querySelector('.name a')?.title ?? ''")
    return found


def test_overview_is_there_without_scripts_and_counts_with_them(report: Path, browsers: Browsers) -> None:
    with browser_page(browsers, java_script_enabled=False) as page:
        page.goto((report / "index.html").as_uri())
        assert page.locator("#overview").is_visible() and "need JavaScript" in page.locator("noscript").inner_text()
        assert page.locator(".facts dd").first.inner_text() == "60"


def test_overview_draws_histograms_and_a_bar_leads_to_its_samples(page: Any, report: Path) -> None:
    open_report(page, report)
    assert page.locator("#histograms canvas").count() == 7
    painted = page.evaluate("""[...document.querySelectorAll('#histograms canvas')].every((canvas) => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return data.some((value) => value > 0); })""")
    assert painted
    yaw = page.locator("figure", has=page.get_by_text("Yaw", exact=True))
    yaw.locator("summary").click()
    count = int(yaw.locator("td button").first.inner_text())
    yaw.locator("td button").first.click()
    page.wait_for_selector("#gallery:visible")
    assert page.inner_text("#count") == f"{count} of 60 samples"
    low, high = (float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", page.inner_text("#f-range span")))
    expected = [
        name for name, angle in zip(rows(report)["names"], rows(report)["yaw"], strict=True) if low <= angle < high
    ]
    assert shown_names(page) == expected
    page.click("#f-range button")
    assert page.inner_text("#count") == "60 of 60 samples"


def test_gallery_begins_with_the_worst_and_sorts_both_ways(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery")
    found = rows(report)
    shown = shown_names(page)
    assert shown == found["names"][: len(shown)] and len(shown) >= 12
    for key in ("yaw", "nme", "roll"):
        for down in (True, False):
            page.click(f"#heads [data-key={key}] button")
            state = page.get_attribute(f"#heads [data-key={key}]", "aria-sort")
            assert state == ("descending" if down else "ascending")
            order = np.argsort(-found[key] if down else found[key], kind="stable")
            assert shown_names(page)[:12] == [found["names"][k] for k in order[:12]]
    page.click("#heads [data-key=name] button")
    assert shown_names(page)[:12] == sorted(found["names"])[:12]
    assert page.locator("[aria-sort=none]").count() == 7


def test_gallery_shows_ten_corrupted_labels_among_faces_first(page: Any, tmp_path: Path) -> None:
    """Parameters that do not agree with `pt2d`: shifted by a few pixels, turned, or of another size."""
    render_faces(tmp_path / "faces", 50, size=200)
    mats = sorted((tmp_path / "faces").glob("*/*.mat"))
    assert len(mats) == 100
    bad = set()
    for k, place in enumerate(np.linspace(3, 97, 10).astype(int)):
        content = {key: value for key, value in sio.loadmat(mats[place]).items() if not key.startswith("__")}
        pose = content["Pose_Para"]
        pose[0, 3] += (8, 0, 0)[k % 3]
        pose[0, 1] += (0, 0.35, 0)[k % 3] * (1 if pose[0, 1] < 0 else -1)
        pose[0, 6] *= (1, 1, 1.25)[k % 3]
        sio.savemat(mats[place], content)
        bad.add(f"{mats[place].parent.name}/{mats[place].stem}")
    config = dataclasses.replace(BIGGER, size=96, uv_size=96, shard_size=64)
    build_shards(tmp_path / "faces", tmp_path / "shards", model="builtin", config=config)
    write_report(tmp_path / "shards", tmp_path / "report", worst=12)
    open_report(page, tmp_path / "report", "#gallery")
    assert set(shown_names(page)[:10]) == bad
    page.wait_for_selector(".tile .picture[data-state=there]")


def test_gallery_keeps_samples_without_nme_last_both_ways(page: Any, report: Path, tmp_path: Path) -> None:
    shutil.copytree(report, tmp_path / "report")
    columns = rows(report)
    nme = columns["nme"].copy()
    nme[::2] = np.nan
    packed_columns = {key: packed(value) for key, value in columns.items() if key != "names"}
    raw = {**packed_columns, "names": columns["names"], "nme": packed(nme)}
    write_script(tmp_path / "report/data/rows.js", "rows", raw)
    open_report(page, tmp_path / "report", "#gallery")
    known = np.flatnonzero(np.isfinite(nme))
    for sign in (-1, 1):
        page.click("#heads [data-key=nme] button")
        expected = known[np.argsort(sign * nme[known], kind="stable")]
        assert shown_names(page)[:12] == [columns["names"][k] for k in expected[:12]]
    page.select_option("#layout", "table")
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    assert "no NME" in page.evaluate("document.activeElement.querySelector('.nme').textContent")


def test_gallery_filters_and_says_how_many_are_left(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery")
    found = rows(report)

    page.fill("#f-name", "ibug_01")
    wait_for_count(page, 20)
    assert all("IBUG_01" in name for name in shown_names(page))
    page.select_option("#f-subset", label="IBUG_Flip")
    wait_for_count(page, 10)
    page.click("#filters button[type=reset]")
    wait_for_count(page, 60)
    low = round(100 * float(np.median(found["nme"])), 3)
    page.fill("#f-nme-low", str(low))
    wait_for_count(page, int((found["nme"] >= low / 100).sum()))
    page.click("#filters button[type=reset]")
    page.fill("#f-yaw-low", "-10")
    page.fill("#f-yaw-high", "30")
    wait_for_count(page, int(((found["yaw"] >= -10) & (found["yaw"] <= 30)).sum()))
    page.click("#filters button[type=reset]")
    page.select_option("#f-pictures", "0")
    wait_for_count(page, 20)
    assert page.get_attribute("#count", "aria-live") == "polite"


def test_gallery_shows_thumbnails_with_landmarks_that_can_be_hidden(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery")
    page.wait_for_selector(".tile .picture[data-state=there] svg .labels path")
    assert page.evaluate("document.querySelector('.tile img').naturalWidth") == 128
    assert page.locator(".tile .labels").first.is_visible()
    page.click("#show-labels")
    assert not page.locator(".tile .labels").first.is_visible()
    page.select_option("#layout", "table")
    page.wait_for_selector(".tile .picture[data-state=there]")
    box = page.locator(".tile").first.bounding_box()
    assert box["height"] < 80 and box["width"] > 900


def test_keyboard_alone_screens_marks_and_returns(page: Any, report: Path) -> None:
    open_report(page, report)
    order = rows(report)["names"]
    page.keyboard.press("g")
    page.wait_for_selector("#gallery:visible")
    assert active(page) == order[0]
    for key, place in (("j", 1), ("ArrowRight", 2), ("k", 1), ("ArrowLeft", 0), ("End", 59), ("Home", 0), ("j", 1)):
        page.keyboard.press(key)
        assert active(page) == order[place], key
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("m")
    assert page.inner_text("#n-marks") == "1"
    page.keyboard.press("Enter")
    page.wait_for_selector("#sample:visible")
    assert page.inner_text("#sample-title") == order[1]
    page.keyboard.press("j")
    assert page.inner_text("#sample-title") == order[2]
    page.keyboard.press("m")
    assert page.get_attribute("#s-mark", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    page.wait_for_selector("#gallery:visible")
    assert active(page) == order[2]
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.id === 'f-name'")
    page.keyboard.type("m")  # into the field, which marks nothing
    assert page.inner_text("#n-marks") == "2"


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
    numbers = page.inner_text("#s-numbers")
    assert content["source"] in numbers and "label NME" in numbers


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
    make(tree.parent, model_path, tmp_path / "shards", dataclasses.replace(BIGGER, jitter=0))
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


def test_sample_without_a_page_says_how_to_get_one(page: Any, report: Path) -> None:
    name = rows(report)["names"][50]
    open_report(page, report, f"#sample={name}")
    assert "--names" in page.inner_text(".mesh.message") and name.rsplit("/", 1)[0] in page.inner_text("#s-numbers")
    page.goto(f"{(report / 'index.html').as_uri()}#sample=nobody")
    page.wait_for_function("document.getElementById('sample-title').textContent.includes('No sample of this name')")


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


def test_gallery_of_full_size_holds_few_elements_and_reaches_its_end(page: Any, report: Path, tmp_path: Path) -> None:
    n = 122_450
    shutil.copytree(report, tmp_path / "report")
    few = rows(report)
    columns: dict[str, Any] = {
        key: packed(np.resize(values, n).astype(values.dtype)) for key, values in few.items() if key != "names"
    }
    columns["names"] = [f"AFW/AFW_{k:06d}" for k in range(n)]
    columns["picture"] = packed(np.full(n, -1, np.int32))
    write_script(tmp_path / "report/data/rows.js", "rows", columns)
    open_report(page, tmp_path / "report", "#gallery")
    assert page.inner_text("#count") == "122,450 of 122,450 samples"
    for layout in ("tiles", "table"):
        page.select_option("#layout", layout)
        for key, name in (("End", "AFW/AFW_122449"), ("Home", "AFW/AFW_000000")):
            page.locator(".tile").first.focus()
            page.keyboard.press(key)
            assert active(page) == name
            assert page.locator(".tile").count() < 100
            box = page.evaluate("document.activeElement.getBoundingClientRect().toJSON()")
            assert box["top"] >= 0 and box["bottom"] <= 800
    page.fill("#f-name", "012345")
    page.wait_for_function("document.getElementById('count').textContent === '1 of 122,450 samples'")
