"""The report holds together in a browser whatever the dataset is like: at both widths, in light, dark and on paper."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from destseg.dataset.layout import Sample
from destseg.evaluation import figures, gallery
from destseg.evaluation.calibrate import CalibrationSettings, calibrate
from destseg.evaluation.origin import Origin
from destseg.evaluation.report import picture, render
from destseg.evaluation.result import measure
from destseg.evaluation.scored import Scored

SIZE = 32
LONG = "scratch_along_the_rolling_direction_" * 4
# name: (kinds of the test images, calibration images)
CASES = {
    "ordinary": (["good"] * 6 + ["crack"] * 4 + ["stain"] * 2, 60),
    "long names": (["good"] * 2 + [LONG, "<i>a & b</i>"], 10),
    "many defect types": (["good"] * 3 + [f"type {number}" for number in range(40)], 20),
    "many calibration images": (["good", "crack"], 1500),
    "one defect image": (["crack"], 3),
    "synthetic defects": (["good"] * 3 + ["surface"] * 2 + ["texture"] * 2, 3),
    "no defect image": (["good"] * 2, 3),
    "no image": ([], 3),
    "no calibration": (["good", "crack"], 0),
}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def page(kinds: list[str], held_out: int) -> str:
    rng = np.random.default_rng(0)
    maps = rng.beta(1, 20, (len(kinds), SIZE, SIZE)).astype(np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    for index, kind in enumerate(kinds):
        if kind != "good":
            masks[index, 8:14, 8:20] = True
            maps[index, 7:13, 8:20] += rng.random() / 2
    splits = {"good": "train", "surface": "synthetic", "texture": "synthetic"} if "texture" in kinds else {}
    samples = [
        Sample(path=Path(f"{index}.png"), split=splits.get(kind, "test"), kind=kind) for index, kind in enumerate(kinds)
    ]
    scored = Scored(samples=samples, scores=maps.max(axis=(1, 2)).astype(float), maps=maps, masks=masks)
    normal = rng.beta(1, 20, (held_out, SIZE, SIZE)).astype(np.float32)
    calibration = calibrate(normal.max(axis=(1, 2)).astype(float), normal, CalibrationSettings()) if held_out else None
    origin = Origin(
        category="plate_" * 12,
        dataset_version="d41d8cd98f00b204e9800998ecf8427e.dir",
        network="compact",
        teacher={"source": "imagenet", "sha256": "ab" * 32},
        training_images=100,
        calibration_images=held_out,
        files=dict.fromkeys(("teacher.safetensors", "segmentation.safetensors"), "cd" * 32),
        settings={"texture.path": "/a/long/path/to/the/textures/of/the/describable/textures/dataset", "seed": 0},
        unknown=["student.safetensors"],
        warnings=[f"train/good/<{index}>.png: looks like {'another_' * 30}" for index in range(60)],
        destseg="0.1.0",
    )
    photograph = np.full((SIZE, SIZE, 3), 120, dtype=np.uint8)
    groups = [
        (
            group.title,
            [
                picture(scored, index, calibration, figures.data_uri(figures.triptych(photograph, *found, calibration)))
                for index in group.images
                for found in [(masks[index], maps[index])]
            ],
        )
        for group in gallery.groups(scored)
    ]
    found = measure(scored, dataclasses.replace(scored, maps=1 - maps), calibration)
    return render(origin, scored, found, calibration, groups)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        opened = playwright.chromium.launch(executable_path=BROWSER, args=flags)
        yield opened
        opened.close()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; .ci/run installs it")
@pytest.mark.parametrize("case", CASES)
def test_nothing_runs_out_of_the_page_and_no_text_out_of_its_chart(browser, tmp_path, case):
    path = tmp_path / "report.html"
    path.write_text(page(*CASES[case]), encoding="utf-8")
    for width, scheme, media in ((1280, "light", "screen"), (390, "dark", "screen"), (718, "light", "print")):
        tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        tab.emulate_media(media=media)
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        cut = tab.evaluate(
            """() => [...document.querySelectorAll('.chart text')].filter(text => {
                const inner = text.getBoundingClientRect(), outer = text.closest('figure').getBoundingClientRect()
                return inner.left < outer.left || inner.right > outer.right || inner.bottom > outer.bottom
            }).map(text => text.textContent)"""
        )
        assert cut == [], f"{width} pixels wide"
        if media == "print":
            assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        tab.close()


def test_the_calibration_stands_in_the_chart_above_the_test_images():
    shown = page(*CASES["ordinary"])
    assert shown.index("calibration: held-out normal images") < shown.index("test: good") < shown.index("test: crack")
    assert shown.count("<circle") == 60 + 12


def test_quantiles_that_stand_for_many_calibration_images_are_named_so():
    text = " ".join(page(*CASES["many calibration images"]).split())
    assert "of the 1500 calibration images, 1024 quantiles" in text
    assert "The 1500 images prove that this is kept, with 95 % confidence." in text


def test_too_few_calibration_images_are_said_with_the_rate_that_they_do_prove():
    text = " ".join(page(*CASES["ordinary"]).split())
    assert "60 images are too few to prove that:</b> with 95 % confidence they prove only that at most" in text
    assert f"{100 * (1 - 0.05 ** (1 / 60)):.3g} % are. It takes 299 held-out normal images." in text


def test_doubts_about_the_dataset_stand_in_the_report():
    text = " ".join(page(*CASES["ordinary"]).split())
    assert "<li>train/good/&lt;49&gt;.png: looks like another_" in text
    assert "train/good/&lt;50&gt;" not in text
    assert "Found by the validation of this dataset version, 60 in all, of which 50 are here" in text


def test_without_a_threshold_the_page_gives_no_rates():
    text = page(*CASES["no calibration"])
    assert "This model has no threshold" in text
    assert "What it does on the test images" not in text


def test_synthetic_defects_are_said_and_nothing_is_said_of_false_rejects_among_the_calibration_images():
    text = " ".join(page(*CASES["synthetic defects"]).split())
    assert "The defects on this page are synthetic." in text
    assert '<b>4</b><span class="quiet">synthetic defect images</span>' in text
    assert "Metrics on synthetic defects" in text
    assert "What it does on the synthetic defects" in text
    assert "How many good parts it rejects falsely is not measured" in text
    assert "falsely rejected (" not in text
    assert "synthetic: surface" in text
    assert "test: good" not in text
    assert "ynthetic" not in page(*CASES["ordinary"])
