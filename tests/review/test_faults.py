"""When the registry does not answer, or the page itself fails: what people are told, and what they are not."""

import logging
import re
import socket
from pathlib import Path

import httpx
import pytest

from destseg.registry import rest
from destseg.review.app import HEADERS
from destseg.review.attempts import BY_BOTH

from .factory import Visitor, password
from .served import lonely_desk, served

AGAIN = '<a href="">Try again</a>'
PART = {"HX-Request": "true"}


def test_a_registry_that_does_not_answer_is_said_where_the_answer_would_be(tmp_path: Path) -> None:
    desk = lonely_desk(tmp_path, accounts=False)
    with served(desk):
        visitor = Visitor(desk.address)
        first = visitor.web.get("/")
        assert (first.status_code, "Reading the registry" in first.text) == (200, True)
        part, whole = visitor.web.get("/rows", headers=PART), visitor.web.get("/rows")
        for answer in (part, whole):
            assert answer.status_code == 503
            assert "The registry does not answer as it should" in answer.text
            assert "http://127.0.0.1:9 cannot be reached" in answer.text
            assert AGAIN in answer.text
        assert ("<html" in part.text, "<html" in whole.text) == (False, True)
        absent = visitor.web.get("/nothing")
        assert (absent.status_code, AGAIN in absent.text) == (404, False)


def test_a_registry_that_takes_too_long_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", httpx.Timeout(1.0))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and answers none
        desk = lonely_desk(tmp_path, accounts=False)
        desk.registry = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with served(desk):
            visitor = Visitor(desk.address)
            assert visitor.web.get("/").status_code == 200
            answer = visitor.web.get("/rows", headers=PART)
    assert answer.status_code == 503
    assert "The registry does not answer as it should" in answer.text
    assert AGAIN in answer.text


def test_signing_in_then_is_no_wrong_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = lonely_desk(tmp_path, accounts=True)
    with served(desk):
        visitor = Visitor(desk.address)
        for _ in range(BY_BOTH + 1):
            answer = visitor.sign_in("ada")
            assert answer.status_code == 503
            assert "nobody can sign in. Try again in a moment." in answer.text
            assert ("does not know" in answer.text, 'value="ada"' in answer.text) == (False, True)
    assert desk.attempts.wait("127.0.0.1", "ada") == 0
    assert "nobody can sign in: the registry at http://127.0.0.1:9 cannot be reached" in caplog.text
    assert password("ada") not in caplog.text + answer.text


@pytest.mark.parametrize("headers", [{}, PART])
def test_a_fault_of_the_page_has_a_reference_in_its_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    def broken() -> None:
        raise RuntimeError("what only the log may say")

    desk = lonely_desk(tmp_path, accounts=False)
    with served(desk) as app:
        app.add_api_route("/broken", broken)
        answer = Visitor(desk.address).web.get("/broken", headers=headers)
    assert (answer.status_code, "The page itself failed" in answer.text) == (500, True)
    assert [word for word in ("what only", "Traceback", "RuntimeError", ".py") if word in answer.text] == []
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    found = re.search(r"the reference ([0-9a-f]{8})", answer.text)
    assert found is not None
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert record.getMessage() == f"{found[1]}: GET /broken failed"
    assert "RuntimeError: what only the log may say" in caplog.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"/rows?q={'x' * 101}", "The part q of the address: String should have at most 100 characters"),
        ("/categories/washer/candidates/two", "The part number of the address: Input should be a valid integer"),
    ],
)
def test_an_address_that_the_page_does_not_have_is_answered_by_a_page(tmp_path: Path, path: str, said: str) -> None:
    desk = lonely_desk(tmp_path, accounts=False)
    with served(desk):
        answer = Visitor(desk.address).web.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert "Not an address of this page" in answer.text
    assert said in answer.text
