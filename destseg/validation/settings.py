"""The thresholds of the expectations: section `validation` of params.yaml."""

from dataclasses import dataclass

from destseg.dataset.images import FORMATS


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """What a dataset must fulfil before anything is trained on it."""

    min_normals: int = 20
    """Usable images in train/good that training and calibration need together."""
    formats: tuple[str, ...] = FORMATS
    """Formats an image may have; take JPEG out for a camera that must not compress with loss."""
    normals_only: bool = False
    """Whether the dataset may have no defect images at all: then nothing measures what the model finds."""
    min_side: int = 32
    """Shortest side of an image in pixels."""
    max_side: int = 16384
    """Longest side of an image in pixels."""
    blank_std: float = 2.0
    """An image is blank when its grey values (0 to 255) have a standard deviation below this."""
    saturated_share: float = 0.5
    """An image is overexposed when more than this share of its pixels is at 255."""
    max_defect_share: float = 0.9
    """A mask that marks more than this share of its image is taken for inverted."""

    near_duplicate: float = 0.1
    """Two images are near-duplicates when they differ by less than this share of what two images of the dataset usually
    differ by; 0 looks for none (docs/validation.md)."""
    max_deviation: float = 6.0
    """Robust deviations (1.4826 times the median absolute one) by which the brightness or sharpness of a good part may
    differ from the median (docs/validation.md)."""
    max_shift: float = 2.0
    """The same for the median of a whole batch."""

    def __post_init__(self) -> None:
        if self.min_normals < 2:
            raise ValueError(f"min_normals is {self.min_normals}, expected 2 or more")
        if not 1 <= self.min_side <= self.max_side:
            raise ValueError(f"min_side is {self.min_side} and max_side {self.max_side}, expected 1 <= min <= max")
        if not self.formats:
            raise ValueError(f"formats is empty, expected some of {', '.join(FORMATS)}")
        if not 0 <= self.blank_std < 128:
            raise ValueError(f"blank_std is {self.blank_std}, expected 0 or more and below 128")
        if unknown := sorted(set(self.formats) - set(FORMATS)):
            raise ValueError(f"formats holds {unknown[0]!r}, expected some of {', '.join(FORMATS)}")
        if not 0 <= self.near_duplicate < 1:
            raise ValueError(f"near_duplicate is {self.near_duplicate}, expected 0 or more and below 1")
        for name in ("max_deviation", "max_shift"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected above 0")
        for name in ("saturated_share", "max_defect_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected above 0 and up to 1")
