"""Section `promotion` of params.yaml."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class PromotionSettings:
    """Who promotes, and what a candidate must reach; what is null is not asked for.

    All is measured on the acceptance set, by `destseg compare`; losses are against the champion, where there is one.
    """

    policy: Literal["review", "auto"] = "review"
    """review: a person promotes; auto: after a retraining the challenger becomes champion if it passes every gate."""
    min_image_auroc: float | None = None
    """Least image AUROC."""
    min_pixel_auroc: float | None = None
    """Least pixel AUROC."""
    min_pixel_ap: float | None = None
    """Least pixel average precision."""
    min_iap: float | None = None
    """Least instance average precision."""
    min_iap90: float | None = None
    """Least precision at 90 % instance recall."""
    min_pro: float | None = None
    """Least per-region overlap."""
    max_image_auroc_loss: float | None = 0.02
    """Most image AUROC that may be lost: with 95 % confidence the challenger is no further below the champion."""
    max_pixel_ap_loss: float | None = 0.05
    """Most pixel average precision that may be lost, likewise."""
    max_recall_loss: float | None = 0.05
    """Most share of the images of any one defect type that the champion catches and the challenger may miss."""
    max_false_reject_rate: float | None = None
    """Largest share of the good images that may be falsely rejected."""
    golden: tuple[str, ...] = ()
    """Images of the acceptance set whose verdict must be right, such as test/scratch/007.png."""
    max_latency_ms: float | None = None
    """Most milliseconds from a photograph's file to its verdict, on the machine that compares."""

    def __post_init__(self) -> None:
        for name in ("max_image_auroc_loss", "max_pixel_ap_loss", "max_recall_loss", "max_false_reject_rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}, expected null or 0 to 1")
        if self.max_latency_ms is not None and self.max_latency_ms <= 0:
            raise ValueError(f"max_latency_ms is {self.max_latency_ms}, expected null or more than 0")
