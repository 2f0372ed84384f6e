"""Which normal image trains and which calibrates: decided by its content, so that a new batch moves no old image."""

from collections.abc import Iterable
from dataclasses import dataclass

from destseg import Error


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """How normal images are shared out."""

    calibration_share: float = 0.2
    """Share of the normal images held out for the threshold; 0 trains on all, as the paper does, and gives none."""

    def __post_init__(self) -> None:
        if not 0 <= self.calibration_share < 0.9:
            raise ValueError(f"calibration_share is {self.calibration_share}, expected 0 up to 0.9")


def is_calibration(sha256: str, share: float) -> bool:
    """Whether the image with this hash is held out: its first 52 bits, read as a fraction, lie below `share`."""
    return int(sha256[:13], 16) / 2**52 < share


def split(hashes: Iterable[str], settings: SplitSettings) -> tuple[list[str], list[str]]:
    """(training, calibration) hashes, each sorted; an Error when a part that must not be empty is."""
    known = sorted(set(hashes))
    held_out = [sha for sha in known if is_calibration(sha, settings.calibration_share)]
    training = [sha for sha in known if not is_calibration(sha, settings.calibration_share)]
    if len(training) < 2 or (settings.calibration_share > 0 and not held_out):
        raise Error(
            f"{len(known)} normal images give {len(training)} for training and {len(held_out)} for calibration; "
            f"add photographs of good parts (20 and more) or set split.calibration_share"
        )
    return training, held_out
