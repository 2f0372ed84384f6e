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

    def __post_init__(self) -> None:
        if self.min_normals < 2:
            raise ValueError(f"min_normals is {self.min_normals}, expected 2 or more")
        if not 1 <= self.min_side <= self.max_side:
            raise ValueError(f"min_side is {self.min_side} and max_side {self.max_side}, expected 1 <= min <= max")
        if unknown := sorted(set(self.formats) - set(FORMATS)):
            raise ValueError(f"formats holds {unknown[0]!r}, expected some of {', '.join(FORMATS)}")
        for name in ("saturated_share", "max_defect_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected above 0 and up to 1")
