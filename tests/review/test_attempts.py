"""Guessing passwords is slow, and keeps nobody else out."""

from destseg.review.attempts import BY_ACCOUNT, BY_ADDRESS, BY_BOTH, WINDOW, Attempts


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_after_some_failures_one_account_waits_at_one_address() -> None:
    clock = Clock()
    known = Attempts(clock)
    for _ in range(BY_BOTH):
        assert known.begin("10.0.0.1", "ada") == 0
    assert known.wait("10.0.0.1", "ada") == WINDOW
    assert known.wait("10.0.0.1", "grace") == 0
    assert known.wait("10.0.0.2", "ada") == 0
    clock.now += WINDOW + 1
    assert known.wait("10.0.0.1", "ada") == 0


def test_an_address_that_tries_many_accounts_waits() -> None:
    known = Attempts(Clock())
    for number in range(BY_ADDRESS):
        known.begin("10.0.0.1", f"user{number}")
    assert known.wait("10.0.0.1", "another") > 0
    assert known.wait("10.0.0.2", "another") == 0


def test_many_addresses_that_try_one_account_wait() -> None:
    known = Attempts(Clock())
    for number in range(BY_ACCOUNT):
        known.begin(f"10.0.0.{number}", "ada")
    assert known.wait("10.0.1.1", "ada") > 0
    assert known.wait("10.0.1.1", "grace") == 0


def test_who_signs_in_begins_anew() -> None:
    known = Attempts(Clock())
    for _ in range(3):
        for _ in range(BY_BOTH - 1):
            known.begin("10.0.0.1", "ada")
        known.begin("10.0.0.1", "ada")
        known.succeeded("10.0.0.1", "ada")
        assert known.wait("10.0.0.1", "ada") == 0


def test_a_success_does_not_wash_an_address_clean() -> None:
    """Else whoever has one account could guess at all others for ever."""
    known = Attempts(Clock())
    for number in range(BY_ADDRESS - 1):
        known.begin("10.0.0.1", f"user{number}")
        assert known.begin("10.0.0.1", "mallory") == 0
        known.succeeded("10.0.0.1", "mallory")
    known.begin("10.0.0.1", "another")
    assert known.wait("10.0.0.1", "ada") > 0


def test_long_names_are_counted_by_their_beginning() -> None:
    known = Attempts(Clock())
    for number in range(BY_BOTH):
        known.begin("10.0.0.1", "a" * 100 + str(number))
    assert known.wait("10.0.0.1", "a" * 100 + "x") > 0


def test_an_attempt_that_nobody_answered_is_taken_back_and_hides_no_failure() -> None:
    known = Attempts(Clock())
    for _ in range(BY_BOTH - 1):
        known.begin("10.0.0.1", "ada")
    for _ in range(3 * BY_ADDRESS):
        assert known.begin("10.0.0.1", "ada") == 0
        known.unanswered("10.0.0.1", "ada")
    known.begin("10.0.0.1", "ada")
    assert known.wait("10.0.0.1", "ada") > 0


def test_of_many_at_once_no_more_are_let_through() -> None:
    """Their outcome is not known yet: each counts as failed until it is, and washes none of the others away."""
    known = Attempts(Clock())
    let_through = [known.begin("10.0.0.1", "ada") == 0 for _ in range(4 * BY_BOTH)]
    assert let_through == [True] * BY_BOTH + [False] * 3 * BY_BOTH
    known.unanswered("10.0.0.1", "ada")
    assert [known.begin("10.0.0.1", "ada") == 0 for _ in range(2)] == [True, False]
