"""Marks in a report's pages: kept by the browser, exported as the list that `uvgen build --exclude` takes."""

from pathlib import Path
from typing import Any

import pytest
from support.builds import have
from support.reports import WEIRD, open_report, rows, shown_names, wait_for_count
from support.toy import write_sample, write_tree

from uvgen import load_model, write_report
from uvgen.datasets.augmented import augment_shards
from uvgen.samples.find import find_samples
from uvgen.samples.selection import exclude_samples
from uvgen.storage.text import read_lines

pytestmark = pytest.mark.slow


@pytest.mark.vital
def test_marks_are_kept_and_exported_as_build_takes_them(page: Any, model_path: Path, tmp_path: Path) -> None:
    for k, name in enumerate(WEIRD):
        write_sample(tmp_path / "300W_LP/AFW", name.replace("/", "∕"), seed=k)
    write_sample(tmp_path / "300W_LP/AFW", "plain", seed=9)
    have(tmp_path / "300W_LP", model_path, tmp_path / "shards")
    write_report(tmp_path / "shards", tmp_path / "report")
    open_report(page, tmp_path / "report", "#gallery")
    samples = find_samples(tmp_path / "300W_LP")
    for sample in samples:
        page.goto(f"{(tmp_path / 'report/index.html').as_uri()}#gallery")
        tile = page.locator(".tile").filter(has=page.get_by_title(sample.name, exact=True))
        if not sample.name.endswith("plain"):
            tile.locator(".mark button").click()
            tile.locator(".name a").click()
            page.wait_for_selector("#s-crop circle")
            assert page.inner_text("#sample-title") == sample.name
    page.reload()  # marks are the browser's
    page.wait_for_selector("body[data-state=ready]")
    page.click("nav a[data-view=marks]")
    assert page.inner_text("#n-marks") == str(len(WEIRD))
    with page.expect_download() as download:
        page.click("#marks-download")
    download.value.save_as(tmp_path / "bad.txt")
    listed = read_lines(tmp_path / "bad.txt", "names")
    assert page.input_value("#marks-text").splitlines() == [line.rstrip("\n") for line in listed]
    assert [sample.name for sample in exclude_samples(samples, listed)] == ["AFW/plain"]
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#marks-clear")
    assert page.inner_text("#n-marks") == "0"


def test_pasted_names_are_marked_with_or_without_a_suffix_and_rejected_ones_named(page: Any, report: Path) -> None:
    open_report(page, report, "#marks")
    names = rows(report)["names"]
    windows = names[3].replace("/", "\\")
    text = f"{names[0]}.jpg\n  {names[1]}  \n# a remark\n\n./{names[2]}.MAT\r\n{windows}\nAFW/nobody.jpg\n<b>x\n"
    page.fill("#marks-paste", text)
    page.click("#marks-add")
    assert "uvgen drop … --list bad.txt --whole-photographs --out good.txt" in page.inner_text("#marks-versions")
    assert page.inner_text("#marks-added") == "4 of 6 lines are marked; 2 name no sample of this data set."
    assert page.locator("#marks-rejected li").all_inner_texts() == ["AFW/nobody.jpg", "<b>x"]
    assert page.input_value("#marks-paste") == text.replace("\r", "")
    assert page.input_value("#marks-text").splitlines() == sorted(names[:4])
    page.fill("#marks-paste", names[5])
    page.click("#marks-add")
    assert not page.locator("#marks-rejected").is_visible() and page.inner_text("#n-marks") == "5"


def test_marks_of_augmented_copies_are_exported_as_the_samples_that_they_are_of(
    page: Any, model_path: Path, tmp_path: Path
) -> None:
    tree = write_tree(tmp_path / "300W_LP", 1)
    have(tree, model_path, tmp_path / "shards")
    augment_shards(tmp_path / "shards", tmp_path / "copies", "prnet", copies=2, model=load_model(model_path))
    write_report(tmp_path / "copies", tmp_path / "report")
    open_report(page, tmp_path / "report", "#gallery")
    first = shown_names(page)[0]
    page.locator(".mark button").first.click()
    page.click("nav a[data-view=marks]")
    listed = page.input_value("#marks-text").splitlines()
    assert listed == [first.rpartition("-")[0]] and not page.locator("#marks-versions").is_visible()
    assert len(exclude_samples(find_samples(tree), listed)) == 2
    page.fill("#marks-paste", f"{listed[0]}.jpg")  # marks both copies
    page.click("#marks-add")
    assert (page.inner_text("#n-marks"), page.input_value("#marks-text").splitlines()) == ("2", listed)


def test_marks_last_while_the_page_does_where_storage_is_blocked(page: Any, report: Path) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    open_report(page, report, "#gallery")
    page.locator(".mark button").first.click()
    page.click("nav a[data-view=marks]")
    assert page.inner_text("#n-marks") == "1" and page.locator("#marks-warning").is_visible()


def test_marked_samples_can_be_filtered(page: Any, report: Path) -> None:
    open_report(page, report, "#gallery")
    page.keyboard.press("j")
    page.keyboard.press("m")
    page.select_option("#f-marked", "1")
    wait_for_count(page, 1)
    page.select_option("#f-marked", "0")
    wait_for_count(page, 59)
