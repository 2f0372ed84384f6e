"""What a browser shows when the registry, or the page's own server, does not answer."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from ..review.served import lonely_desk, served
from .visits import BROWSER

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; .ci/run installs it")


def test_no_page_goes_on_reading_for_ever(browser: Browser, tmp_path: Path) -> None:
    desk = lonely_desk(tmp_path, accounts=False)
    with served(desk):
        page = browser.new_page(base_url=desk.address)
        page.goto("/")
        said = page.get_by_role("alert")
        expect(said).to_contain_text("The registry does not answer as it should.")
        expect(page.get_by_text("Reading the registry")).to_have_count(0)
        expect(page.locator("#rows")).to_have_count(1)  # so that the next answer has its place
        with page.expect_response("**/rows*") as answer:
            said.get_by_role("link", name="Try again").click()
        assert answer.value.status == 503
        expect(said).to_have_count(1)

        page.route("**/rows*", lambda route: route.abort())
        page.get_by_label("Find").fill("washer")
        expect(page.get_by_text("This page’s server does not answer.")).to_be_visible()
        page.unroute("**/rows*")
        page.get_by_label("Find").fill("wash")
        expect(said).to_contain_text("cannot be reached")
        page.close()
