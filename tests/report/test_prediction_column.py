"""The NME of predictions in a browser: a column of the gallery, a histogram, and a number of each sample."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.reports import open_report, rows, shown_names, wait_for_count

from uvgen import ReportOptions, evaluate_predictions, open_shards, write_report

pytestmark = pytest.mark.slow

N, WITHOUT = 60, 3


@pytest.fixture(scope="module")
def predicted(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 60 samples, 12 of them with pages, and predictions that are off in an order of their own."""
    folder, shards = tmp_path_factory.mktemp("predicted"), report.parent / "shards"
    off = np.random.default_rng(5).permutation(N) * 0.1
    for k, sample in enumerate(list(open_shards(shards))[WITHOUT:]):
        path = folder / "predictions" / f"{sample['name']}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, sample["landmarks"] + [off[k], 0, 0])
    evaluation = evaluate_predictions(folder / "predictions", shards, scores=["nme_68_2d"])
    write_report(shards, folder / "report", options=ReportOptions(worst=12, verify=False), evaluation=evaluation)
    return folder / "report"


def test_gallery_begins_with_the_worst_predictions_and_sorts_by_their_nme(page: Any, predicted: Path) -> None:
    found = rows(predicted)
    nme, known = found["prediction"], np.flatnonzero(np.isfinite(found["prediction"]))
    assert list(known) == [*range(WITHOUT, N)] and (np.diff(nme[known]) <= 0).all()
    open_report(page, predicted, "#gallery")
    shown = shown_names(page)
    assert shown == found["names"][: len(shown)] and len(shown) > 6
    texts = page.locator(".tile .prediction").all_inner_texts()
    assert texts[:WITHOUT] == ["none"] * WITHOUT and texts[WITHOUT] == f"{100 * nme[WITHOUT]:.2f}%"
    for sign, state in ((-1, "descending"), (1, "ascending")):
        page.click("#heads [data-key=prediction] button")
        assert page.get_attribute("#heads [data-key=prediction]", "aria-sort") == state
        order = known[np.argsort(sign * nme[known], kind="stable")]
        assert shown_names(page)[:6] == [found["names"][k] for k in order[:6]]
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.querySelector('.prediction').textContent") == "none"


def test_filter_and_order_by_predictions_are_in_the_address(page: Any, predicted: Path) -> None:
    found = rows(predicted)
    low = round(100 * float(np.nanmedian(found["prediction"])), 3)
    above = 100 * found["prediction"].astype(np.float64) >= low
    open_report(page, predicted, "#gallery")
    page.fill("#f-prediction-low", str(low))
    wait_for_count(page, int(above.sum()))
    page.click("#heads [data-key=prediction] button")
    page.select_option("#layout", "table")
    address = page.url[page.url.index("#") :]
    assert address == f"#gallery?prediction={low}..&sort=-prediction&view=table"
    page.goto("about:blank")  # as one who was sent the address
    open_report(page, predicted, address)
    wait_for_count(page, int(above.sum()))
    assert page.input_value("#f-prediction-low") == str(low)
    assert shown_names(page)[0] == found["names"][int(np.flatnonzero(above)[0])]
    for width in (1200, 420):
        page.set_viewport_size({"width": width, "height": 800})
        for key in ("name", "prediction", "nme", "absyaw", "oddity"):
            head = page.locator(f"#heads [data-key={key}]").bounding_box()
            cell = page.locator(f".tile .{key}").first.bounding_box()
            assert head["x"] == pytest.approx(cell["x"], abs=3) and head["width"] == pytest.approx(cell["width"], abs=3)
        button, tile = (page.locator(kind).first.bounding_box() for kind in (".tile .mark button", ".tile"))
        assert button["x"] + button["width"] <= tile["x"] + tile["width"]
        assert tile["x"] + tile["width"] <= 1200


def test_tiles_have_room_for_predictions(page: Any, predicted: Path) -> None:
    for width in (1280, 380):
        page.set_viewport_size({"width": width, "height": 800})
        open_report(page, predicted, "#gallery?sort=-prediction")
        fits = "all => all.every((c) => c.scrollWidth <= c.clientWidth && c.scrollHeight <= c.clientHeight)"
        for kind in ("prediction", "nme", "yaw"):
            assert page.locator(f".tile .{kind}").evaluate_all(fits), kind
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_histogram_of_predictions_leads_to_their_samples(page: Any, predicted: Path) -> None:
    open_report(page, predicted)
    figure = page.locator("#histograms figure").first
    assert figure.locator("figcaption").inner_text() == "Prediction NME (%)"
    ticks = figure.locator(".value-ticks span").all_inner_texts()
    assert len(ticks) > 2 and all(re.fullmatch(r"≥?[\d.]+%", tick) for tick in ticks)
    figure.locator("summary").click()
    figure.locator("tbody tr").first.wait_for()
    lines = figure.locator("tbody tr").evaluate_all(
        "all => all.map((row) => [Number(row.cells[1].textContent), row.querySelector('a').href])"
    )
    assert sum(count for count, _ in lines) == N - WITHOUT
    count, address = lines[-1]
    page.goto(address)
    wait_for_count(page, count)
    assert shown_names(page) == rows(predicted)["names"][WITHOUT : WITHOUT + count]


def test_sample_states_the_nme_of_its_prediction_with_a_page_and_without(page: Any, predicted: Path) -> None:
    found = rows(predicted)
    for k, there in ((WITHOUT, True), (N - 1, False), (0, True)):
        open_report(page, predicted, f"#sample={found['names'][k]}")
        page.wait_for_selector("#s-crop circle" if there else ".mesh.message code")
        line = page.locator("#s-numbers tr", has=page.get_by_text("prediction NME", exact=True))
        nme = found["prediction"][k]
        expected = f"{100 * nme:.2f}%" if np.isfinite(nme) else "no prediction that can be used"
        assert line.locator("td").all_inner_texts() == [expected]


def test_predicted_points_of_a_sample_can_be_hidden(page: Any, predicted: Path, report: Path) -> None:
    names = rows(predicted)["names"]
    open_report(page, predicted, f"#sample={names[WITHOUT]}")
    page.wait_for_selector("#s-crop .predicted circle")
    assert page.locator("#s-crop .predicted circle").count() == 68
    page.keyboard.press("p")
    assert page.locator("#s-crop .predicted circle").count() == 0 and page.locator("#s-crop .labels circle").count()
    page.check("#s-predicted")
    assert page.locator("#s-crop .predicted circle").count() == 68
    page.goto(f"{(predicted / 'index.html').as_uri()}#sample={names[0]}")
    page.wait_for_function(f"document.querySelector('#sample-title').textContent === {names[0]!r}")
    page.wait_for_selector("#s-predicted:disabled")  # it has none
    open_report(page, report, f"#sample={rows(report)['names'][0]}")
    page.wait_for_selector("#s-crop circle")
    assert not page.locator("#s-predicted").is_visible()
