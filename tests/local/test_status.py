"""The page of status shows no secret, runs nothing, answers loopback names only, and fits a phone."""

import base64
import hashlib
import http.client
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from destseg.local.servers import Servers
from destseg.local.status import StatusPage, render

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StatusPage]:
    """The page of a folder with an S3 server."""
    folder = tmp_path_factory.mktemp("up")
    with Servers(folder) as servers, StatusPage(servers, folder / "environment") as page:
        servers.s3()
        servers.ready("s3")
        yield page


def ask(page: StatusPage, path: str = "/", method: str = "GET", host: str | None = None) -> tuple[int, str, str]:
    """Status, body and Content-Security-Policy."""
    connection = http.client.HTTPConnection(page.address.removeprefix("http://"), timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.getheader("Content-Security-Policy", "")


def test_it_names_the_server_the_logs_and_the_file_to_source_but_no_secret(page: StatusPage) -> None:
    status, body, _ = ask(page)
    assert status == 200
    content = page.content()
    assert content["servers"][0] | {"since": ""} == {
        "name": "s3", "state": "up", "since": "", "restarts": 0, "last_exit": None, "log": "s3.log",
    }  # fmt: skip
    assert content["addresses"]["s3"] in body
    assert content["logs"] in body
    assert f"source {content['environment']}" in body
    credentials = json.loads(Path(content["prefect_login"]).read_text())
    assert len(credentials) == 3
    everything = body + ask(page, "/status.json")[1]
    assert [name for name, value in credentials.items() if value in everything] == []


def test_json_has_what_the_page_has(page: StatusPage) -> None:
    status, body, _ = ask(page, "/status.json")
    assert (status, json.loads(body)["servers"]) == (200, page.content()["servers"])


def test_the_policy_allows_its_one_style_and_nothing_else(page: StatusPage) -> None:
    _, body, policy = ask(page)
    (style,) = re.findall(r"<style>(.*?)</style>", body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("host", ["factory.example", "127.0.0.1.factory.example", "localhost@factory.example", ""])
def test_a_name_that_is_not_loopback_is_refused(page: StatusPage, host: str) -> None:
    status, body, _ = ask(page, host=host)
    assert status == 421
    assert "s3" not in body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "[::1]:8080", "127.0.0.1"])
def test_a_loopback_name_with_any_port_is_answered_as_through_a_tunnel(page: StatusPage, host: str) -> None:
    assert ask(page, host=host)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_it_can_only_be_read(page: StatusPage, method: str) -> None:
    assert ask(page, method=method)[0] == 405


def test_another_path_is_not_there(page: StatusPage) -> None:
    assert ask(page, "/../credentials.json")[0] == 404


def test_what_a_log_says_is_shown_and_not_obeyed(page: StatusPage) -> None:
    content = page.content()
    content["servers"][0]["last_exit"] = "<script>alert(1)</script>"
    content["servers"][0]["state"] = "waiting"
    shown = render(content)
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "Not everything is up" in shown


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; .ci/run installs it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_it_fits_loads_nothing_and_its_links_take_the_keyboard(
    page: StatusPage, scheme: str, width: int
) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        asked: list[str] = []
        complaints: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.goto(page.address)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "860px"  # the style is used
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Look again"
        assert [url for url in asked if not url.startswith((page.address, "data:"))] == []
        assert complaints == []
        browser.close()
