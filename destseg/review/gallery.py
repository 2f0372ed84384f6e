"""The order of a comparison's images: what matters for the decision comes first."""

from collections.abc import Sequence
from dataclasses import dataclass

from destseg.dataset.layout import GOOD
from destseg.review.comparison import Comparison, Image, Verdict

PAGE = 24
VIEWS = {
    "missed": ("Newly missed", "defects that the champion catches and the challenger lets pass"),
    "caught": ("Newly caught", "defects that the challenger catches and the champion lets pass"),
    "alarms": ("False alarms", "good images that the challenger rejects"),
    "escapes": ("All missed", "defects that the challenger lets pass"),
    "all": ("All", "every image of the acceptance set"),
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image with its place in the gallery."""

    index: int
    image: Image

    @property
    def pictures(self) -> tuple[str, ...]:
        """What the gallery has of it, in the order of the columns."""
        return ("photo", "truth", *(("champion",) if self.image.champion else ()), "challenger")


def select(comparison: Comparison, view: str, kind: str) -> list[Shown]:
    """The images of a view and a kind (empty for every kind)."""
    missed, caught = set(comparison.newly_missed), set(comparison.newly_caught)
    found = [Shown(index=index, image=image) for index, image in enumerate(comparison.images)]
    found = [one for one in found if kind in ("", one.image.kind) and _belongs(one.image, view, missed, caught)]
    return sorted(found, key=lambda one: _order(missed, caught, one))


def counts(comparison: Comparison, kind: str) -> dict[str, int]:
    """How many images each view has."""
    return {view: len(select(comparison, view, kind)) for view in VIEWS}


def first_view(comparison: Comparison) -> str:
    """What one should look at first: the first view that has an image."""
    return next(view for view, count in counts(comparison, "").items() if count or view == "all")


def _belongs(image: Image, view: str, missed: set[str], caught: set[str]) -> bool:
    rejected, good = image.challenger.rejected, image.kind == GOOD
    views = {
        "missed": image.name in missed,
        "caught": image.name in caught,
        "alarms": good and rejected is True,
        "escapes": not good and rejected is False,
    }
    return views.get(view, True)


def _order(missed: set[str], caught: set[str], one: Shown) -> tuple[int, float, int]:
    """Newly missed, newly caught, new false alarms, then what is wrong, then the rest; the surest verdict first."""
    image = one.image
    wrong = image.challenger.rejected is (image.kind == GOOD)
    groups: Sequence[bool] = (image.name in missed, image.name in caught, image.kind == GOOD and wrong, wrong)
    rank = next((index for index, inside in enumerate(groups) if inside), len(groups))
    place = image.challenger.place or 0.0
    return rank, place if image.kind != GOOD else -place, one.index


def says(verdict: Verdict | None, kind: str) -> str:
    """A verdict in a word, beside what the image is."""
    if verdict is None:
        return "none"
    if verdict.rejected is None:
        return "no threshold"
    if kind == GOOD:
        return "falsely rejected" if verdict.rejected else "accepted"
    return "caught" if verdict.rejected else "missed"
