"""The model card: the JSON beside the weights, read without running any code."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, get_args

from destseg import Error
from destseg.model.backbone import BackboneName
from destseg.model.calibration import Calibration
from destseg.model.memory import MOST_PATCHES
from destseg.model.similarity import Inputs
from destseg.model.student import Network

CARD = "model.json"
FORMAT = 3  # 1, from before there were two networks, is read as the paper's; 1 and 2 have no memory


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What stands beside the weights: all that scoring needs to know, and where the model comes from."""

    category: str
    size: int
    bit_depth: int
    segmentation_width: int
    """Channels inside the segmentation net; 0 for a model without one."""
    segmentation_inputs: Inputs = "product"
    network: Network = "paper"
    backbone: BackboneName = "resnet18"
    """The teacher's, and for `compact` the student's encoder too."""
    encoder_decoder: bool = True
    """Whether the student has a decoder."""
    memory_patches: int = 0
    """Patches of normal images that it compares with; 0 for a model without a memory."""
    teacher: dict[str, str]
    """`source` (teacher.source, or checkpoint), `sha256` of the file that it came from, `backbone` and `licence`."""
    calibration: Calibration | None
    training_images: str
    """SHA-256 of accepted.json: the exact images that calibrated this model and, if it was trained here, trained it."""
    destseg: str
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    """SHA-256 of each file beside the card."""

    def to_json(self) -> str:
        """The card as JSON text."""
        content = {**vars(self), "calibration": self.calibration.to_dict() if self.calibration else None}
        return json.dumps({"format": FORMAT, **content}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "ModelCard":
        """The card, or an Error that names `where` and what is wrong with it."""
        try:
            content: dict[str, Any] = json.loads(text)
            version = content.pop("format")
            calibration = content.pop("calibration")
            card = cls(**content, calibration=Calibration.from_dict(calibration) if calibration else None)
            for name, low, high in (("size", 64, 8192), ("bit_depth", 8, 16), ("segmentation_width", 0, 4096)):
                if type(content[name]) is not int or not low <= content[name] <= high:
                    raise ValueError(f"{name} is {content[name]!r}, expected {low} to {high}")
            for name, known in (("segmentation_inputs", Inputs), ("network", Network), ("backbone", BackboneName)):
                if getattr(card, name) not in get_args(known):
                    raise ValueError(f"{name} is {getattr(card, name)!r}, expected {get_args(known)}")
            if type(card.encoder_decoder) is not bool:
                raise ValueError(f"encoder_decoder is {card.encoder_decoder!r}, expected true or false")
            if type(card.memory_patches) is not int or not 0 <= card.memory_patches <= MOST_PATCHES:
                raise ValueError(f"memory_patches is {card.memory_patches!r}, expected 0 to {MOST_PATCHES}")
            if card.size % 32:
                raise ValueError(f"size is {card.size}, expected a multiple of 32")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Error(f"{where} is no model card ({error}); expected what `destseg package` wrote") from None
        if version not in range(1, FORMAT + 1):
            raise Error(
                f"{where} has format {version}, this destseg reads up to {FORMAT}; use the release that wrote it"
            )
        return card
