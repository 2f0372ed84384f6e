"""The log in a person's words."""

from destseg.registry import comparison, history, init, policy, promotion, register, turn_down
from destseg.review.logbook import EVENTS


def test_every_event_has_words_of_its_own() -> None:
    known = {init.BEGUN, register.REGISTERED, comparison.COMPARED, policy.GATES, turn_down.EVENT, history.REPAIRED}
    known |= {promotion.BLOCKED, promotion.PROMOTING, promotion.PROMOTED}
    known |= {promotion.ROLLING_BACK, promotion.ROLLED_BACK}
    assert EVENTS.keys() == known
    assert len(set(EVENTS.values())) == len(EVENTS)
