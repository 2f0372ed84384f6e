"""What is decided belongs to a session: it ends with it, and one account's acts push out no other's."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from destseg import Error
from destseg.registry.rest import Rest
from destseg.review.acts import MOST, Act, Acts
from destseg.review.sessions import IDLE, MOST_OF_ONE, Session, Sessions

from .test_sessions import Clock, begin


def proposed(acts: Acts, session: Session, why: str = "because") -> str:
    act = Act(
        category="washer", verb="turn-down", arguments=(), why=why, title="", effects=(), champion=None, owner=session
    )
    return acts.propose(act).id


def signed_out(known: Sessions, session: Session, clock: Clock) -> None:  # noqa: ARG001  # each way has one signature
    known.end(session)


def expired(known: Sessions, session: Session, clock: Clock) -> None:  # noqa: ARG001  # the same
    clock.now += IDLE + 1
    known.find("anybody's")


def pushed_out(known: Sessions, session: Session, clock: Clock) -> None:
    for _ in range(MOST_OF_ONE):
        clock.now += 1
        begin(known, session.user)


@pytest.mark.parametrize("ended", [signed_out, expired, pushed_out])
def test_no_password_is_kept_after_its_session(
    tmp_path: Path, ended: Callable[[Sessions, Session, Clock], None]
) -> None:
    clock = Clock()
    known, acts = Sessions(clock), Acts(tmp_path)
    session = begin(known)
    proposed(acts, session)
    left = weakref.ref(session)
    gc.disable()  # it goes at once, whenever the next collection may be
    try:
        ended(known, session, clock)
        del session
        assert left() is None
    finally:
        gc.enable()


def test_an_act_is_found_by_its_own_session_only(tmp_path: Path) -> None:
    known, acts = Sessions(), Acts(tmp_path)
    ada, other = begin(known), begin(known)
    act = proposed(acts, ada, "as I say")
    assert acts.find(ada, act).why == "as I say"
    with pytest.raises(Error, match="not known any more"):
        acts.find(other, act)
    known.end(ada)
    with pytest.raises(Error, match="not known any more"):
        acts.find(ada, act)


def test_one_account_pushes_out_its_own_acts_only(tmp_path: Path) -> None:
    known, acts = Sessions(), Acts(tmp_path)
    ada, grace = begin(known), known.begin("grace", Rest("http://127.0.0.1:1"), None)
    kept = proposed(acts, grace)
    made = [proposed(acts, ada) for _ in range(MOST + 2)]
    assert acts.find(grace, kept).owner is grace
    assert list(ada.acts) == made[2:]
