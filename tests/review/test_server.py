"""`destseg review` before a real MLflow server with accounts: who gets in, what may be read, what an answer allows."""

import json
import re
from pathlib import Path

import httpx
import pytest

from destseg import Error
from destseg.registry.connection import candidates, released
from destseg.registry.rest import Absent, Forbidden, Rest, Unauthorised
from destseg.review.acts import Act, Verb
from destseg.review.app import HEADERS
from destseg.review.attempts import BY_BOTH
from destseg.review.desk import Desk
from destseg.review.pages.acts import now
from destseg.review.serve import open_desk
from destseg.review.sessions import Session, Sessions
from destseg.review.standing import standing

from ..integration.server import until
from .factory import CATEGORY, Factory, Visitor, mlflow_server, password, review_server

HERE = f"/categories/{CATEGORY}/candidates/2"


@pytest.fixture
def ada(factory: Factory) -> Visitor:
    """The quality engineer, signed in."""
    visitor = Visitor(factory.page)
    assert visitor.sign_in("ada").status_code == 303
    return visitor


def test_the_rest_client_reads_what_its_account_may(factory: Factory, tmp_path: Path) -> None:
    with (
        Rest(factory.mlflow, ("ada", password("ada"))) as ada,
        Rest(factory.mlflow, ("line", password("line"))) as line,
    ):
        assert (ada.account(), line.account()) == ("ada", "line")
        assert {released(CATEGORY), candidates(CATEGORY)} <= {model.name for model in ada.models()}
        assert candidates(CATEGORY) not in {model.name for model in line.models()}
        found = standing(ada, CATEGORY)
        assert (found.alias, [version.version for version in found.candidates], found.waits) == (1, [1, 2], True)
        assert found.champion is not None
        assert found.champion.tags["why"] == "the first one"
        assert line.version(released(CATEGORY), 1).tags["who"] == "ada"
        with pytest.raises(Forbidden):
            line.version(candidates(CATEGORY), 2)
        with pytest.raises(Absent):
            ada.version(candidates(CATEGORY), 77)
        tag = json.loads(found.candidates[1].tags["comparison"])
        where, digest = tmp_path / "gallery.zip", tag["files"]["gallery.zip"]
        with pytest.raises(Error, match="larger than 100 bytes"):
            ada.download(tag["run_id"], "comparison/gallery.zip", where, limit=100, sha256=digest)
        with pytest.raises(Error, match="registered was 0000"):
            ada.download(tag["run_id"], "comparison/gallery.zip", where, limit=10**8, sha256="0" * 64)
        with pytest.raises(Forbidden):
            line.download(tag["run_id"], "comparison/gallery.zip", where, limit=10**8, sha256=digest)
        assert not where.exists()
        (tmp_path / "full").touch()
        with pytest.raises(Error, match=r"gallery\.zip of run .* cannot be kept in .*full/kept"):
            ada.download(tag["run_id"], "comparison/gallery.zip", tmp_path / "full/kept/x", limit=10**8, sha256=digest)
        ada.download(tag["run_id"], "comparison/gallery.zip", where, limit=10**8, sha256=digest)
        assert where.stat().st_size > 10_000
    with Rest(factory.mlflow, ("ada", "guessed")) as stranger, pytest.raises(Unauthorised):
        stranger.account()


def test_nobody_sees_anything_without_signing_in(factory: Factory) -> None:
    visitor = Visitor(factory.page)
    for path in ("/", "/rows", f"/categories/{CATEGORY}", HERE, f"{HERE}/images/0/photo.webp", f"{HERE}/report"):
        answer = visitor.web.get(path)
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")
    answer = visitor.web.get("/rows", headers={"HX-Request": "true"})
    assert answer.headers["hx-redirect"] == "/sign-in"


def test_the_cookie_is_for_this_page_alone(factory: Factory) -> None:
    visitor = Visitor(factory.page)
    answer = visitor.sign_in("ada", next=HERE)
    assert answer.headers["location"] == HERE
    cookie = next(value for value in answer.headers.get_list("set-cookie") if "session" in value)
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie  # this is loopback, without TLS
    assert password("ada") not in str(answer.headers)


@pytest.mark.parametrize("target", ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "x"])
def test_signing_in_leads_nowhere_else(factory: Factory, target: str) -> None:
    answer = Visitor(factory.page).sign_in("ada", next=target)
    assert answer.headers["location"] == "/"


def test_a_wrong_password_is_refused_and_guessing_is_slowed_down(factory: Factory) -> None:
    visitor = Visitor(factory.page)
    for _ in range(BY_BOTH):
        answer = visitor.sign_in("grace", "guessed")
        assert (answer.status_code, "does not know this name" in answer.text) == (401, True)
    answer = visitor.sign_in("grace", "guessed")
    assert (answer.status_code, "Too many attempts" in answer.text) == (429, True)
    assert visitor.sign_in("ada").status_code == 303


def test_every_form_needs_the_token_of_its_session(factory: Factory, ada: Visitor) -> None:
    other = Visitor(factory.page)
    other.sign_in("trainer")
    addresses = [f"{HERE}/promote", f"{HERE}/turn-down", f"/categories/{CATEGORY}/rollback", "/acts/x", "/sign-out"]
    fields = {"why": "because"}
    for path in addresses:
        for token in ("", other.token(HERE)):
            assert ada.web.post(path, data={**fields, "csrf": token}).status_code == 403, path
        for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
            sent = {**fields, "csrf": ada.token(HERE)}
            assert ada.web.post(path, data=sent, headers=headers).status_code == 403, path
        as_json = ada.web.post(path, json={**fields, "csrf": ada.token(HERE)})
        assert as_json.status_code == 403, path
    assert ada.web.post("/sign-in", data={"user": "ada", "password": "x", "csrf": ""}).status_code == 403


def test_candidate_and_record_name_network_teacher_and_licence(factory: Factory, ada: Visitor) -> None:
    named = "<dt>Network</dt><dd>{}</dd></div>\n<div><dt>Teacher</dt><dd>{}</dd>"
    words = "formula (backbone resnet18, licence: not recorded)"
    champion = f"/categories/{CATEGORY}/champions/1"
    for path in (HERE, champion):
        assert named.format("paper", words) in ada.web.get(path).text
    with factory.account("trainer") as client:
        before = client.get_model_version(candidates(CATEGORY), "2").tags["teacher"]
        client.set_model_version_tag(candidates(CATEGORY), "2", "teacher", "<b>no JSON")
    visitor = Visitor(factory.page)
    visitor.sign_in("ada")
    shown = visitor.web.get(HERE)
    assert (shown.status_code, "not stated (backbone resnet18" in shown.text) == (200, True)
    with factory.account("trainer") as client:
        client.set_model_version_tag(candidates(CATEGORY), "2", "teacher", before)


def test_signing_in_again_shows_at_once_what_the_account_saw_last(factory: Factory, ada: Visitor) -> None:
    assert CATEGORY in ada.web.get("/rows").text
    again = Visitor(factory.page)
    again.sign_in("ada")
    assert CATEGORY in again.web.get("/").text


def test_what_was_compared_anew_meanwhile_is_looked_at_first(ada: Visitor) -> None:
    form = {"csrf": ada.token(HERE), "why": "looks good"}
    for known in ({}, {"comparison": "none"}, {"comparison": "0" * 64}):
        answer = ada.web.post(f"{HERE}/promote", data=form | known)
        assert answer.status_code == 400
        assert "was compared anew since you opened its page" in answer.text
    seen = re.search(r'name="comparison" value="([0-9a-f]{64})"', ada.web.get(HERE).text)
    assert seen is not None
    asked = ada.web.post(f"{HERE}/promote", data=form | {"comparison": seen[1]}, follow_redirects=True)
    assert "This will happen:" in asked.text


def test_a_form_that_is_too_long_is_refused(ada: Visitor) -> None:
    answer = ada.web.post(f"{HERE}/promote", data={"csrf": ada.token(HERE), "why": "x" * 100_000})
    assert (answer.status_code, "larger than" in answer.text) == (403, True)


def test_after_signing_out_the_cookie_is_worth_nothing(factory: Factory, ada: Visitor) -> None:
    kept = dict(ada.web.cookies)
    assert ada.web.get(HERE).status_code == 200
    assert ada.web.post("/sign-out", data={"csrf": ada.token(HERE)}).headers["location"] == "/sign-in"
    assert httpx.get(factory.page + HERE, cookies=kept, trust_env=False).status_code == 303


def test_every_answer_forbids_what_is_not_ours(ada: Visitor) -> None:
    for path in ("/", HERE, "/sign-in", "/static/review.js", "/nothing", f"{HERE}/images/0/photo.webp"):
        answer = ada.web.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    text = ada.web.get(HERE).text
    assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|(?:src|href)=\"https?:", text) == []


def test_another_name_that_leads_here_is_refused(factory: Factory) -> None:
    """A stranger's name for 127.0.0.1 would let the stranger's page read ours."""
    answer = httpx.get(f"{factory.page}/sign-in", headers={"Host": "elsewhere.example"}, trust_env=False)
    assert answer.status_code == 421


def test_pictures_are_served_as_pictures_and_the_report_can_do_nothing(ada: Visitor) -> None:
    for path in ("images/0/champion.webp", "added/0/photo.webp"):
        answer = ada.web.get(f"{HERE}/{path}")
        assert (answer.headers["content-type"], answer.content[:4]) == ("image/webp", b"RIFF")
        assert answer.headers["cache-control"] == "private, no-cache"
        again = ada.web.get(f"{HERE}/{path}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    report = ada.web.get(f"{HERE}/report")
    assert (report.text, report.headers["content-type"]) == ("<p>report</p>", "text/html; charset=utf-8")
    policy = report.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow-" not in policy
    gone = ("images/0/secret.webp", "images/999/photo.webp", "images/0/..%2Fphoto.webp", "added/99/photo.webp")
    for path in gone:
        assert ada.web.get(f"{HERE}/{path}").status_code in (400, 404), path


def test_pictures_are_for_those_who_may_read_the_version(factory: Factory, ada: Visitor) -> None:
    path = f"{HERE}/images/1/photo.webp"
    assert ada.web.get(path).status_code == 200  # so it lies in the page's cache
    line = Visitor(factory.page)
    line.sign_in("line")
    for address in (path, f"{HERE}/added/1/photo.webp", HERE, f"{HERE}/gallery", f"{HERE}/report"):
        assert line.web.get(address).status_code == 403, address


def test_a_failed_decision_says_how_things_stand_and_not_that_nothing_was_changed(factory: Factory) -> None:
    """The registry may be lost after it has made the version."""
    here, gone = (Rest(url, ("ada", password("ada"))) for url in (factory.mlflow, "http://127.0.0.1:9"))
    sessions = Sessions()
    reached, unreached = sessions.begin("ada", here, password("ada")), sessions.begin("ada", gone, password("ada"))

    def after(verb: Verb, champion: int | None, session: Session = reached) -> str:
        known = {"category": CATEGORY, "arguments": (), "why": "x", "title": "", "effects": ()}
        return now(session, Act(**known, verb=verb, champion=champion, owner=session))

    present = factory.champion()
    assert after("promote", present) == "The champion is as it was."
    assert after("rollback", None).startswith(f"The champion has changed: ada made version {present} the champion")
    assert after("promote", present, unreached).startswith("It is not known whether anything was changed")
    assert after("turn-down", present) == ""


def test_one_account_takes_one_turn_at_a_time(factory: Factory, ada: Visitor) -> None:
    """Else whoever may not decide could keep those waiting who may."""
    acts = [confirm_page(factory, ada, f"decision {number}") for number in range(2)]
    first, second = (ada.web.post(f"/acts/{id_}", data={"csrf": ada.token(HERE)}) for id_ in acts)
    assert first.status_code == 303
    assert (second.status_code, "Another decision of yours" in second.text) == (400, True)
    until(lambda: "hx-trigger" not in ada.web.get(f"/acts/{acts[0]}", headers={"HX-Request": "true"}).text)
    assert ada.web.post(f"/acts/{acts[1]}", data={"csrf": ada.token(HERE)}).status_code == 303
    until(lambda: "hx-trigger" not in ada.web.get(f"/acts/{acts[1]}", headers={"HX-Request": "true"}).text)


def confirm_page(factory: Factory, visitor: Visitor, why: str) -> str:
    """The id of a proposal to promote candidate 1, the champion: carried out, it changes nothing."""
    path = f"/categories/{CATEGORY}/candidates/1"
    with Rest(factory.mlflow, ("ada", password("ada"))) as registry:
        version = registry.version(candidates(CATEGORY), 1)
    form = {"csrf": visitor.token(HERE), "why": why, "comparison": "none"}
    if "comparison" in version.tags:
        form["comparison"] = json.loads(version.tags["comparison"])["files"]["comparison.json"]
    found = re.search(
        r'action="/acts/([^"]+)"', visitor.web.post(f"{path}/promote", data=form, follow_redirects=True).text
    )
    assert found is not None
    return found[1]


def test_what_the_registry_says_is_shown_as_text(factory: Factory) -> None:
    script = "<script>alert('verdict')</script>"
    with factory.account("trainer"):
        factory.compare(verdict=script, machine=script)
    visitor = Visitor(factory.page)
    visitor.sign_in("ada")
    text = visitor.web.get(HERE).text
    assert script not in text
    assert "&lt;script&gt;alert(&#39;verdict&#39;)&lt;/script&gt;" in text
    with factory.account("trainer"):
        factory.compare()


def test_the_gallery_gives_some_images_at_a_time(factory: Factory) -> None:
    with factory.account("trainer"):
        factory.compare(images=400)
    visitor = Visitor(factory.page)
    visitor.sign_in("ada")
    first = visitor.web.get(f"{HERE}/gallery?view=all", headers={"HX-Request": "true"}).text
    assert (first.count("data-zoom"), "376 more" in first) == (24, True)
    last = visitor.web.get(f"{HERE}/gallery?view=all&start=384", headers={"HX-Request": "true"}).text
    assert (last.count("data-zoom"), "more</button>" in last) == (16, False)
    assert visitor.web.get(f"{HERE}/gallery?view=none").status_code == 422
    with factory.account("trainer"):
        factory.compare()


def test_the_log_of_the_server_holds_no_secret(factory: Factory, ada: Visitor) -> None:
    ada.web.get("/?q=something")
    text = (factory.root / "server.log").read_text()
    assert f"GET {HERE} 200" in text
    secrets = [password("ada"), "guessed", *dict(ada.web.cookies).values(), ada.token(HERE), "q=something"]
    assert [secret for secret in secrets if secret in text] == []


def test_where_there_are_no_accounts_only_this_machine_gets_in_and_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("categories: {}\n")
    with mlflow_server(tmp_path, accounts=False) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        for host, address in (("0.0.0.0", "https://review.example.com"), ("127.0.0.1", "https://review.example.com")):
            with pytest.raises(Error, match="has no accounts, so whoever reaches this page could promote"):
                open_desk(host=host, port=1, address=address, tls=True, root=tmp_path)
        (tmp_path / "checkout").mkdir()
        (tmp_path / "checkout/params.yaml").write_text("categories: {}\n")
        with review_server(tmp_path / "checkout", url) as page:
            visitor = Visitor(page)
            answer = visitor.web.get("/")
            assert (answer.status_code, "Anyone on this machine can promote" in answer.text) == (200, True)
            assert "HttpOnly" in answer.headers["set-cookie"]
            assert "There is no category in the registry" in visitor.web.get("/rows").text
            assert visitor.web.get("/sign-in").headers["location"] == "/"
            assert Visitor(page).web.post("/categories/washer/rollback", data={"why": "x"}).status_code == 303


def test_passwords_do_not_cross_a_network_for_all_to_read(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", factory.mlflow)

    def desk(host: str, address: str | None = None, *, tls: bool = False) -> Desk:
        return open_desk(host=host, port=443, address=address, tls=tls, root=factory.root)

    for host, address in (("0.0.0.0", None), ("192.0.2.1", None), ("0.0.0.0", "http://review.example.com")):
        with pytest.raises(Error, match="passwords would cross the network"):
            desk(host, address)
    with pytest.raises(Error, match="is no name that people can open"):
        desk("0.0.0.0", tls=True)
    for wrong in ("https://review.example.com/path", "review.example.com", "https://ada:x@review.example.com"):
        with pytest.raises(Error, match="expected scheme, host and port"):
            desk("127.0.0.1", wrong)
    found = desk("127.0.0.1", "https://Review.example.com")
    assert (found.accounts, found.secure, found.host) == (True, True, "review.example.com")
    assert found.cookie("session") == "__Host-destseg-session"
    assert [desk("127.0.0.1", tls=True).host, desk("127.0.0.1").host] == ["127.0.0.1", "127.0.0.1:443"]


def test_a_registry_without_a_server_is_none_for_this_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(Error, match="needs an MLflow server"):
        open_desk(host="127.0.0.1", port=1, address=None, tls=False, root=tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(Error, match=r"params\.yaml does not exist"):
        open_desk(host="127.0.0.1", port=1, address=None, tls=False, root=tmp_path)
    (tmp_path / "params.yaml").write_text("categories: {}\n")
    with pytest.raises(Error, match="cannot be reached"):
        open_desk(host="127.0.0.1", port=1, address=None, tls=False, root=tmp_path)
