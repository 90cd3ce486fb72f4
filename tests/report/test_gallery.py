"""The gallery of a report in a browser: order, filters, the address, the table, keys."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io as sio
from support.reports import (
    BIGGER,
    open_report,
    rows,
    shown_names,
    wait_for_count,
)

from uvgen import ReportOptions, SynthOptions, build_shards, render_faces, write_report
from uvgen.report.javascript import packed, write_script

pytestmark = pytest.mark.slow


def active(page: Any) -> str:
    """Name of the tile that has the focus."""
    found: str = page.evaluate("document.activeElement.querySelector('.name a')?.title ?? ''")
    return found


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
    assert page.locator("[aria-sort=none]").count() == 8
    page.click("#heads [data-key=absyaw] button")
    order = np.argsort(-np.abs(found["yaw"]), kind="stable")
    assert shown_names(page)[:12] == [found["names"][k] for k in order[:12]]


def test_tiles_have_a_line_for_flags_only_where_a_sample_of_the_set_has_one(
    page: Any, report: Path, tmp_path: Path
) -> None:
    render_faces(tmp_path / "faces", 4, options=SynthOptions(size=200))
    build_shards(tmp_path / "faces", tmp_path / "shards", model="builtin")
    write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(verify=False))
    heights = {}
    for folder in (report, tmp_path / "report"):
        open_report(page, folder, "#gallery")
        flagged = bool(rows(folder)["flags"].any())
        assert page.is_visible(".tile .flag-list") == flagged
        last = ".tile .flag-list" if flagged else ".tile .mark"
        inside = f"document.querySelector('{last}').getBoundingClientRect().bottom"
        tile = "document.querySelector('.tile').getBoundingClientRect()"
        assert 0 <= page.evaluate(f"{tile}.bottom - {inside}") <= 9, "no empty strip, nothing cut off"
        heights[flagged] = page.evaluate(f"{tile}.height")
    assert heights[False] < heights[True]


@pytest.mark.vital
def test_gallery_shows_ten_corrupted_labels_among_faces_first(page: Any, tmp_path: Path) -> None:
    """Parameters that do not agree with `pt2d`: shifted by a few pixels, turned, or of another size."""
    render_faces(tmp_path / "faces", 50, options=SynthOptions(size=200))
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
    write_report(tmp_path / "shards", tmp_path / "report", options=ReportOptions(worst=12))
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
    assert page.evaluate("document.activeElement.querySelector('.nme').textContent") == "none"


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
    page.fill("#f-absyaw-high", "20")
    wait_for_count(page, int((np.abs(found["yaw"]) <= 20).sum()))
    page.click("#filters button[type=reset]")
    page.select_option("#f-pictures", "0")
    wait_for_count(page, 20)
    assert page.get_attribute("#count", "aria-live") == "polite"


def test_filters_and_order_are_in_the_address_and_back_takes_them_off(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery")
    found = rows(report)
    page.select_option("#f-subset", label="IBUG_Flip")
    wait_for_count(page, 20)
    page.fill("#f-yaw-low", "0.5")
    few = (found["yaw"] >= 0.5) & np.array([name.startswith("IBUG_Flip/") for name in found["names"]])
    wait_for_count(page, int(few.sum()))
    page.click("#heads [data-key=yaw] button")
    page.select_option("#layout", "table")
    order = shown_names(page)
    assert [found["yaw"][found["names"].index(name)] for name in order] == sorted(found["yaw"][few])[::-1][: len(order)]
    address = page.url
    assert address.endswith("#gallery?subset=IBUG_Flip&yaw=0.5..&sort=-yaw&view=table")
    page.locator(".tile .name a").nth(1).click()
    page.wait_for_selector("#sample:visible")
    page.keyboard.press("Escape")
    page.wait_for_selector("#gallery:visible")
    assert (page.url, shown_names(page)) == (address, order)
    page.goto("about:blank")  # as one who was sent the address
    open_report(page, report, address[address.index("#") :])
    assert (shown_names(page), page.input_value("#f-yaw-low")) == (order, "0.5")
    assert page.input_value("#layout") == "table"
    page.select_option("#f-subset", label="all")
    wait_for_count(page, int((found["yaw"] >= 0.5).sum()))
    page.fill("#f-name", "nobody")
    wait_for_count(page, 0)
    page.go_back()
    wait_for_count(page, int((found["yaw"] >= 0.5).sum()))
    page.go_back()
    wait_for_count(page, int(few.sum()))
    assert page.url == address and shown_names(page) == order


def test_addresses_that_nobody_wrote_filter_nothing_or_what_they_can(page: Any, report: Path) -> None:
    unpredicted = "prediction=5..&sort=-prediction"  # the address of a report with predictions
    for text in ("yaw=abc..x", "yaw=5", "far=maybe&sort=size&view=3d", "%E0%A4=1&subset=nowhere", unpredicted):
        open_report(page, report, f"#gallery?{text}")
        wait_for_count(page, 60)
        assert page.get_attribute("#heads [data-key=worst]", "aria-sort") == "descending"
    assert page.locator("#heads [data-key=prediction], #f-prediction-low, .tile .prediction:visible").count() == 0


def test_gallery_without_matches_says_so_and_clears_the_filters(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery?name=nobody&yaw=..-500")
    wait_for_count(page, 0)
    assert "No sample matches" in page.inner_text("#none-match") and not page.locator("#grid").is_visible()
    page.keyboard.press("m")
    page.click("#show-all")
    wait_for_count(page, 60)
    assert page.locator("#grid").is_visible() and len(shown_names(page)) >= 12
    assert page.inner_text("#n-marks") == "0" and page.url.endswith("#gallery")


def test_table_has_heads_over_its_columns_and_whole_names(page: Any, report: Path) -> None:
    for width in (1280, 1040, 420):
        page.set_viewport_size({"width": width, "height": 800})
        open_report(page, report, "#gallery?view=table")
        kinds = {"name": "name", "subset": "subset", "nme": "nme", "absyaw": "absyaw", "flags": "flag-list"}
        for key, kind in kinds.items():
            head = page.locator(f"#heads [data-key={key}]").bounding_box()
            cell = page.locator(f".tile .{kind}").first.bounding_box()
            assert head["x"] == pytest.approx(cell["x"], abs=3) and head["width"] == pytest.approx(cell["width"], abs=3)
        button, tile = (page.locator(kind).first.bounding_box() for kind in (".tile .mark button", ".tile"))
        assert button["x"] + button["width"] <= tile["x"] + tile["width"]
        assert page.locator(".tile .name").first.inner_text() == rows(report)["names"][0]
        assert page.locator(".tile .nme").evaluate_all("all => all.every((cell) => /^[0-9.]+%$/.test(cell.innerText))")


def test_gallery_says_once_that_not_all_have_pictures(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery?sort=nme")
    assert "worst 40 of 60 samples have pictures" in page.inner_text("#pictured")
    assert "picture" not in page.locator(".tile").first.inner_text()
    page.select_option("#f-pictures", "1")
    wait_for_count(page, 40)
    assert not page.locator("#pictured").is_visible()


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


def test_keys_go_to_the_first_sample_where_nothing_has_the_focus(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery")
    order = rows(report)["names"]
    assert page.locator(".tile.active a").get_attribute("title") == order[0]
    assert page.evaluate("getComputedStyle(document.querySelector('.tile.active')).outlineStyle") == "solid"
    for _ in range(3):
        page.keyboard.press("m")
        page.keyboard.press("j")
    assert active(page) == order[3]
    page.click("nav a[data-view=marks]")
    assert page.input_value("#marks-text").splitlines() == sorted(order[:3])


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


def test_numbers_of_tiles_are_whole_on_a_narrow_screen(page: Any, report: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    open_report(page, report, "#gallery")
    cut = "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.textContent)"
    for kind in ("nme", "yaw"):
        assert page.eval_on_selector_all(f".tile .{kind}", cut) == []
