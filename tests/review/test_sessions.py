"""Sessions end by time and by signing out, and keep their secrets to themselves."""

import pytest

from destseg import Error
from destseg.registry.rest import Rest
from destseg.review import sessions
from destseg.review.sessions import IDLE, LONGEST, MOST, MOST_OF_ONE, Sessions

URL = "http://127.0.0.1:1"
REGISTRY = Rest(URL, ("ada", "secret"))  # asked nothing here


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begin(known: Sessions, user: str = "ada") -> sessions.Session:
    return known.begin(user, REGISTRY, "secret")


def test_a_session_is_found_by_its_id_only(clock: Clock) -> None:
    known = Sessions(clock)
    first, second = begin(known), begin(known, "grace")
    assert known.find(first.id) is first
    assert known.find(second.id) is second
    assert [known.find(wrong) for wrong in (None, "", first.id[:-1], first.csrf)] == [None] * 4
    assert len({first.id, second.id, first.csrf, second.csrf}) == 4


def test_a_session_ends_when_it_is_not_used(clock: Clock) -> None:
    known = Sessions(clock)
    session = begin(known)
    clock.now += IDLE
    assert known.find(session.id) is session
    clock.now += IDLE + 1
    assert known.find(session.id) is None


def test_a_session_ends_after_a_shift_however_much_it_is_used(clock: Clock) -> None:
    known = Sessions(clock)
    session = begin(known)
    for _ in range(int(LONGEST // (IDLE / 2))):
        clock.now += IDLE / 2
        assert known.find(session.id) is session
    clock.now += 1
    assert known.find(session.id) is None


def test_after_signing_out_the_id_is_worth_nothing(clock: Clock) -> None:
    known = Sessions(clock)
    session = begin(known)
    known.end(session)
    assert known.find(session.id) is None


def test_ended_sessions_make_room_for_new_ones(clock: Clock) -> None:
    known = Sessions(clock)
    for number in range(MOST):
        begin(known, f"user{number}")
    with pytest.raises(Error, match=f"{MOST} sessions are open"):
        begin(known)
    clock.now += IDLE + 1
    assert known.find(begin(known).id) is not None


def test_one_account_alone_cannot_keep_the_others_out(clock: Clock) -> None:
    known = Sessions(clock)
    other = begin(known, "grace")
    own = []
    for _ in range(MOST_OF_ONE + 5):
        clock.now += 1
        own.append(begin(known))
    assert [known.find(session.id) is not None for session in own] == [False] * 5 + [True] * MOST_OF_ONE
    assert known.find(other.id) is other


def test_what_is_printed_of_a_session_holds_no_secret(clock: Clock) -> None:
    session = begin(Sessions(clock))
    shown = repr(session)
    assert "ada" in shown
    assert [secret for secret in ("secret", session.id, session.csrf) if secret in shown] == []


def test_a_command_gets_the_accounts_own_login(clock: Clock) -> None:
    known = Sessions(clock)
    assert begin(known).environment() == {
        "MLFLOW_TRACKING_URI": URL,
        "MLFLOW_TRACKING_USERNAME": "ada",
        "MLFLOW_TRACKING_PASSWORD": "secret",
    }
    assert known.begin("root", Rest(URL), None).environment() == {"MLFLOW_TRACKING_URI": URL}


def test_the_overview_outlives_the_session_for_its_account_alone_until_something_is_changed(clock: Clock) -> None:
    known = Sessions(clock)
    first = begin(known)
    assert first.overview.get("rows", 10, lambda: 1) == 1
    known.end(first)
    second, other = begin(known), begin(known, "grace")
    assert (second.overview.known("rows"), other.overview.known("rows")) == (1, None)
    second.forget()
    assert begin(known).overview.known("rows") is None
