"""The quality engineer's whole job in a real browser, before a real MLflow server with accounts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from ..packages import write_exported
from ..review.comparisons import ADDED
from ..review.factory import CATEGORY, Factory
from .visits import BROWSER, decide, visitor

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; .ci/run installs it")
HERE = f"/categories/{CATEGORY}/candidates/"
STANDARD = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


def test_the_whole_job(
    browser: Browser,
    factory: Factory,
    results: Callable[..., Path],
    lineage: Callable[..., Any],
) -> None:
    """Sign in, read, move the slider, look closely, promote, see the champion change, be refused, roll back."""
    number = factory.train(results, lineage, "walk")
    before = factory.champion()
    with visitor(browser, factory, "ada") as page:
        row = page.get_by_role("row", name=CATEGORY)
        expect(row).to_contain_text("all 6 passed")
        row.get_by_role("link", name=f"candidate {number}").click()

        expect(page.locator(".verdict")).to_contain_text("Better on 9 of 20 defects, worse on 2")
        gates = page.locator(".gates li")
        assert gates.count() == 6
        expect(gates.nth(1)).to_contain_text("the challenger is no worse")
        expect(page.get_by_role("row", name="Image AUROC")).to_contain_text("+0.0290")
        expect(page.get_by_role("row", name="Image AUROC")).to_contain_text("+0.0040 to +0.0610")
        expect(page.locator("#changes ~ .card")).to_contain_text("student.steps")

        slider = page.get_by_label("Share of the calibration images that may be rejected")
        place = page.locator(".place:visible")
        expect(place).to_contain_text("6 of 20")
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(place).to_contain_text("15")
        expect(place).to_contain_text("0 of 20")
        assert "15" in str(slider.get_attribute("aria-valuetext"))

        expect(page.locator("#gallery")).to_contain_text("test/dent/020.png")
        page.get_by_text("Newly caught 4").click()
        expect(page.locator(".shot")).to_have_count(4)
        page.get_by_label("Kind").select_option("scratch")
        expect(page.locator(".shot")).to_have_count(3)
        page.locator(".shot").first.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        for key in ("+", "+", "ArrowLeft"):
            page.keyboard.press(key)
        moved = [pane.evaluate("e => getComputedStyle(e).transform") for pane in dialog.locator("img").all()]
        assert moved == ["matrix(2.25, 0, 0, 2.25, 60, 0)"] * 4
        name = dialog.get_by_role("heading").inner_text()
        page.keyboard.press("PageDown")
        assert dialog.get_by_role("heading").inner_text() != name
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()

        page.get_by_role("button", name="Enlarge train/good/new-000.png").press("Enter")
        expect(dialog.get_by_role("heading")).to_have_text("train/good/new-000.png (added)")
        expect(dialog.locator("figure:visible")).to_have_count(1)
        page.keyboard.press("PageDown")
        expect(dialog.get_by_role("heading")).to_have_text("train/good/new-026.png (added)")
        assert dialog.locator("img:visible").evaluate("async e => { await e.decode(); return e.naturalWidth }") == 64
        for _ in range(ADDED):  # to the last one, and no further: those of the acceptance set are another list
            page.keyboard.press("PageDown")
        expect(dialog.get_by_role("heading")).to_have_text("train/good/new-286.png (added)")
        page.keyboard.press("Escape")

        decide(page, "Promote …", "catches more scratches", "Promote")
        expect(page.get_by_text("Entry in the history")).to_be_visible()
        expect(page.locator(".facts")).to_contain_text("catches more scratches")
        after = factory.champion()
        assert after not in (None, before)

        page.go_back()
        page.go_forward()  # past the question, which was answered
        expect(page.get_by_text("Entry in the history")).to_be_visible()
        assert factory.champion() == after

    with visitor(browser, factory, "trainer") as page:
        page.goto(f"/categories/{CATEGORY}")
        decide(page, "Roll back …", "mine was better", "Roll back")
        expect(page.get_by_text("This did not succeed.")).to_be_visible()
        expect(page.locator(".said")).to_contain_text("is not allowed to trainer")
        assert factory.champion() == after

    with visitor(browser, factory, "ada") as page:
        page.goto(f"/categories/{CATEGORY}")
        decide(page, "Roll back …", "line 3 stands still", "Roll back")
        expect(page.get_by_text("Entry in the history")).to_be_visible()
        page.get_by_role("link", name="The record").click()
        expect(page.get_by_role("heading", name="Approval record")).to_be_visible()
        expect(page.locator(".facts").first).to_contain_text("line 3 stands still")
        last = factory.champion()
        assert last not in (after, before, None)
        with factory.account("line") as client:
            restored = client.get_model_version(f"destseg-{CATEGORY}", str(last)).tags
        assert (restored["restores"], restored["who"]) == (str(before), "ada")


def test_people_act_at_once_each_as_themselves_and_nobody_replaces_a_champion_unseen(
    browser: Browser,
    factory: Factory,
    results: Callable[..., Path],
    lineage: Callable[..., Any],
) -> None:
    """The engineer promotes while the trainer tries to: the one is named in the history, the other refused.

    A third window asked the same before, and learns of the new champion instead of replacing it.
    """
    number = factory.train(results, lineage, "at once")
    with (
        visitor(browser, factory, "ada") as ada,
        visitor(browser, factory, "trainer") as trainer,
        visitor(browser, factory, "ada", expected="400") as slow,
    ):
        for page, name in ((ada, "ada"), (trainer, "trainer"), (slow, "somebody slow")):
            page.goto(f"{HERE}{number}")
            page.get_by_label("Reason").fill(f"decided in the window of {name}")
            page.get_by_role("button", name="Promote …").click()
            expect(page.get_by_text("This will happen:")).to_be_visible()
        for page in (trainer, ada):
            page.get_by_role("button", name="Promote", exact=True).click()
        expect(ada.get_by_text("Entry in the history")).to_be_visible()
        expect(trainer.get_by_text("This did not succeed.")).to_be_visible()
        champion = factory.champion()
        slow.evaluate("document.forms[1].requestSubmit()")
        expect(slow.get_by_role("alert")).to_contain_text("has changed meanwhile: ada made version")
    assert factory.champion() == champion
    with factory.account("line") as client:
        tags = client.get_model_version_by_alias(f"destseg-{CATEGORY}", "champion").tags
    assert (tags["who"], tags["why"]) == ("ada", "decided in the window of ada")


def test_a_candidate_is_turned_down_and_offered_no_more(
    browser: Browser,
    factory: Factory,
    results: Callable[..., Path],
    lineage: Callable[..., Any],
) -> None:
    number, champion = factory.train(results, lineage, "unwanted"), factory.champion()
    with visitor(browser, factory, "ada") as page:
        page.goto(f"{HERE}{number}")
        decide(page, "Turn down …", "misses the dents of line 3", "Turn down")
        expect(page.get_by_text("Done.")).to_be_visible()
        page.get_by_role("link", name=f"Back to {CATEGORY}").click()
        expect(page.get_by_text("No candidate waits for a decision.")).to_be_visible()
        log = page.get_by_role("row").filter(has_text="turned down").filter(has_text="misses the dents of line 3")
        expect(log).to_contain_text("ada")
        page.goto(f"{HERE}{number}")
        expect(page.locator("aside .said")).to_contain_text("ada turned this candidate down")
        decide(page, "Promote …", "after all", "Promote")
        expect(page.get_by_text("This did not succeed.")).to_be_visible()
        expect(page.locator(".said")).to_contain_text("was turned down before by ada")
        assert factory.champion() == champion
        page.goto(f"{HERE}{number}")
        page.get_by_label("promote although").check()
        page.get_by_label("Reason").fill("a trial on line 4")
        page.get_by_role("button", name="Promote …").click()
        expect(page.locator(".effects")).to_contain_text("ada turned it down: misses the dents of line 3")
        page.get_by_role("button", name="Promote", exact=True).click()
        page.get_by_role("link", name="The record").click()
        expect(page.locator(".said")).to_contain_text("by override, although it had been turned down")
        expect(page.locator(".facts")).to_contain_text("Comparison")


def test_another_operating_point_becomes_a_candidate(
    browser: Browser,
    factory: Factory,
    results: Callable[..., Path],
    lineage: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    model = write_exported(tmp_path_factory.mktemp("package"), CATEGORY)
    points = [
        {
            "rate": rate,
            "provable_rate": 0.6,
            "threshold": 0.4 - rate / 2,
            "false_rejects": wrong,
            "escapes": {"dent": 4},
        }
        for rate, wrong in ((0.0, 0), (0.25, 1), (0.5, 3))
    ]
    number = factory.train(results, lineage, "point", model=model, operating_points=points, current=0)
    with visitor(browser, factory, "ada") as page:
        page.goto(f"{HERE}{number}")
        propose = page.get_by_text("Propose this operating point")
        expect(propose).to_be_hidden()  # it has the first point already
        page.get_by_label("Share of the calibration images that may be rejected").focus()
        page.keyboard.press("ArrowRight")
        propose.click()
        page.get_by_label("Why this one is better").fill("the customer returns dented parts")
        page.get_by_role("button", name="Propose …").click()
        expect(page.locator(".effects")).to_contain_text("falsely reject 1 of 20 good images instead of 0")
        page.get_by_role("button", name="Propose", exact=True).click()
        expect(page.get_by_text("Done.")).to_be_visible()
        page.get_by_role("link", name=f"The new candidate {number + 1}").click()
        expect(page.get_by_role("heading", name=f"candidate {number + 1}")).to_be_visible()
        expect(page.locator(".gates .fail").first).to_contain_text("was not compared yet")
        expect(page.locator("#origin ~ .facts")).to_contain_text("the customer returns dented parts")
    with factory.account("ada") as client:
        tags = client.get_model_version(f"destseg-{CATEGORY}-candidates", str(number + 1)).tags
    assert tags["recalibrates"] == str(number)


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (1280, "dark"), (3840, "light")])
def test_every_page_is_accessible_and_fits(
    browser: Browser,
    factory: Factory,
    width: int,
    scheme: str,
) -> None:
    """WCAG 2.1 AA as far as a program can tell, and nothing to scroll sideways for."""
    options: dict[str, Any] = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with visitor(browser, factory, "ada", **options) as page:
        for path in ("/", f"/categories/{CATEGORY}", f"{HERE}2", f"/categories/{CATEGORY}/champions/1"):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            check(page, width)
        page.goto(f"{HERE}2")
        for summary in page.locator("summary:visible").all():
            summary.click()
        check(page, width)
        page.locator(".shot").first.click()
        check(page, width)
        page.keyboard.press("Escape")
        page.get_by_label("Reason").fill("only to look")
        page.get_by_role("button", name="Promote …").click()
        expect(page.get_by_text("This will happen:")).to_be_visible()
        check(page, width)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        check(page, width)


def check(page: Page, width: int) -> None:
    """Fails with what axe found, if anything."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url
    found = Axe().run(page, options=STANDARD)
    assert len(found.response["passes"]) > 10
    assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"


def test_a_gallery_of_a_thousand_images_is_not_loaded_at_once(
    browser: Browser,
    factory: Factory,
) -> None:
    with factory.account("trainer"):
        factory.compare(images=1000)
    with visitor(browser, factory, "ada") as page:
        pictures: list[str] = []
        page.on("request", lambda request: pictures.append(request.url) if "/images/" in request.url else None)
        page.goto("/")
        page.get_by_role("row", name=CATEGORY).get_by_role("link", name=CATEGORY, exact=True).click()
        page.get_by_role("link", name="candidate").first.click()
        page.wait_for_load_state("networkidle")
        page.get_by_text("All 1000").click()
        expect(page.locator(".shot")).to_have_count(24)
        shown = 24
        while shown < 100:
            page.locator(".more").scroll_into_view_if_needed()
            shown = min(1000, shown + 24)
            expect(page.locator(".shot")).to_have_count(shown)
        page.wait_for_load_state("networkidle")
        assert 0 < len(set(pictures)) < 4 * 200


def test_the_record_prints(browser: Browser, factory: Factory) -> None:
    with visitor(browser, factory, "ada") as page:
        page.goto(f"/categories/{CATEGORY}/champions/1")
        page.emulate_media(media="print")
        expect(page.get_by_role("img", name="ROC of the images")).to_be_visible()
        expect(page.get_by_text("Signature")).to_be_visible()
        expect(page.get_by_role("button", name="Print or save as PDF")).to_be_hidden()
        expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
        assert page.pdf().startswith(b"%PDF")
