"""A real browser, and somebody who signs in with it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ..review.factory import Factory, password

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SLOW = 120_000.0  # milliseconds that an answer may take on a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=SLOW)  # of its own it waits for 5 s
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def visitor(
    browser: Browser,
    factory: Factory,
    name: str,
    expected: str = "",
    **options: Any,
) -> Iterator[Page]:
    """Somebody signed in; nothing may be loaded from elsewhere, and the browser complains of what is expected only."""
    context = browser.new_context(base_url=factory.page, **options)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(SLOW)
    page.goto("/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password(name))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Categories")).to_be_visible()
    yield page
    context.close()
    assert [url for url in asked if not url.startswith((factory.page, "data:"))] == []
    assert [said for said in complaints if not expected or expected not in said] == []


def decide(page: Page, button: str, why: str, confirm: str) -> None:
    """Gives a reason, reads what will happen, and confirms it."""
    page.get_by_label("Reason").fill(why)
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text("This will happen:")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text(why)
    page.get_by_role("button", name=confirm, exact=True).click()
