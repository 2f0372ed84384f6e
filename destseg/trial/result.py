"""What a trial ends with: where to look, what was measured, how long it took, and what to do next."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from destseg.dataset.accepted import read_accepted
from destseg.dataset.images import ImageSettings
from destseg.dataset.layout import build_dir, dataset_dir
from destseg.evaluation.calibrate import CalibrationSettings, images_needed
from destseg.evaluation.meanings import MEANINGS
from destseg.model.calibration import Calibration
from destseg.presets.preset import load
from destseg.settings import read_section
from destseg.training.student import StudentSettings
from destseg.training.synthesis import SynthesisSettings
from destseg.trial.settings import PRESET
from destseg.validation.verdict import counted

SHEET = "heatmaps.png"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A trial's result; its text is what `destseg try` prints."""

    category: str
    folder: Path
    """The trial's own."""
    training: int
    """Normal images that trained."""
    calibration: Calibration | None
    synthetic: bool
    grey: bool
    size: int
    """Of the square that the model sees, in pixels."""
    crop: int | None
    """Of the squares of it that it learned from."""
    steps: int
    """Of the first training."""
    metrics: dict[str, Any]
    """metrics.json."""
    defect_types: list[dict[str, Any]]
    seconds: dict[str, float]
    """Of each step, in all runs that it took."""
    adopt: str
    score: str
    """Commands."""

    @property
    def paths(self) -> dict[str, str]:
        """Report, contact sheet and packaged model."""
        build = build_dir(self.category, self.folder)
        report, model = build / "evaluation/report.html", build / "package"
        return {"report": str(report), "heatmaps": str(self.folder / SHEET), "model": str(model)}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "category": self.category,
            **self.paths,
            "dataset": str(dataset_dir(self.category, self.folder)),
            "accepted": True,
            "synthetic": self.synthetic,
            "grey": self.grey,
            "size": self.size,
            "crop": self.crop,
            "steps": self.steps,
            "training_images": self.training,
            "calibration_images": self.calibration.images if self.calibration else 0,
            "metrics": self.metrics,
            "defect_types": self.defect_types,
            "seconds": {name: round(value, 1) for name, value in (self.seconds | {"all": self._all}).items()},
            "next": {"score": self.score, "adopt": self.adopt},
        }

    def __str__(self) -> str:
        steps = ", ".join(f"{name} {value:.0f} s" for name, value in self.seconds.items())
        lines = [f"Done in {_duration(self._all)}: {steps}.", f"{self.category}: {self._trained()}"]
        if self.grey:
            lines.append("The photographs are grey, so the synthetic defects were made grey too (synthesis.grey).")
        learned = f" and learned from squares of {self.crop} of them" if self.crop else ""
        lines.append(f"It sees photographs at {self.size}x{self.size} pixels{learned} (image.size, synthesis.crop).")
        lines += [*self._measured(), ""]
        lines += [f"{name.capitalize() + ':':<10}{path}" for name, path in self.paths.items()]
        lines += ["", "Next, score new photographs:", f"  {self.score}", "or, in a destseg repository, adopt them:"]
        lines.append(f"  {self.adopt}")
        if self.steps < (steps := load(PRESET).sections["student"]["steps"]):
            lines.append(f"There it trains longer: {steps} steps a stage, not {self.steps} as in this first look.")
        return "\n".join(lines)

    @property
    def _all(self) -> float:
        return sum(self.seconds.values())

    def _trained(self) -> str:
        said = f"trained on {counted(self.training, 'photograph')} of good parts"
        if self.calibration is None:
            return f"{said}; none were held out, so there is no threshold."
        found = self.calibration
        needed = images_needed(CalibrationSettings(false_reject_rate=found.target_rate, confidence=found.confidence))
        said += (
            f"; the threshold comes from {found.images} others, which prove with {found.confidence:.0%} confidence "
            f"that at most {found.provable_rate:.1%} of good parts photographed alike are falsely rejected"
        )
        few = found.provable_rate > found.target_rate
        return f"{said} ({needed} would prove {found.target_rate:.0%})." if few else f"{said}."

    def _measured(self) -> list[str]:
        found, kind = self.metrics, "synthetic defect" if self.synthetic else "defect image"
        values = [f"{title} {found[name]:.3f}" for name, (title, _) in MEANINGS.items() if found[name] is not None]
        if found["image_auroc"] is not None:
            values[0] += " (0.5 is chance)"
        lines = []
        if self.synthetic:
            lines.append(
                "There were no photographs of defects: THE DEFECTS BELOW ARE SYNTHETIC, drawn onto good photographs "
                "that did not train. They show whether the training worked, not how many real defects it finds."
            )
        if found["escapes"] is not None:
            caught = found["defect_images"] - found["escapes"]
            kinds = [
                f"{row['defect_type']} {row['images'] - row['escapes']} of {row['images']}" for row in self.defect_types
            ]
            detail = f" ({', '.join(kinds)})" if len(kinds) > 1 else ""
            lines.append(f"{caught} of {counted(found['defect_images'], kind)} found{detail}.")
            if found["false_rejects"] is not None and not self.synthetic:
                lines.append(
                    f"{found['false_rejects']} of {counted(found['normal_images'], 'good one')} falsely rejected."
                )
        return [*lines, f"{'On synthetic defects: ' if self.synthetic else ''}{', '.join(values)}."]

    @classmethod
    def read(cls, category: str, folder: Path, seconds: dict[str, float], adopt: str, score: str) -> "Tried":
        """From what the stages wrote in the working directory, which `folder` is seen from elsewhere."""
        build = build_dir(category)
        calibration = _json(build / "calibration.json")
        metrics = _json(build / "metrics.json")
        synthesis = read_section("synthesis", SynthesisSettings, category=category)
        return cls(
            category=category,
            folder=folder,
            training=len(read_accepted(category).training),
            calibration=None if calibration is None else Calibration.from_dict(calibration),
            synthetic=bool(metrics.get("synthetic")),
            grey=synthesis.grey,
            size=read_section("image", ImageSettings, category=category).size,
            crop=synthesis.crop,
            steps=read_section("student", StudentSettings, category=category).steps,
            metrics=metrics,
            defect_types=_json(build / "evaluation/defect_types.json"),
            seconds=seconds,
            adopt=adopt,
            score=score,
        )


def commands(category: str, folder: Path, has_test: bool) -> tuple[str, str]:
    """(adopt, score), ready to paste; a destseg repository is elsewhere unless it is here."""
    dataset = dataset_dir(category, folder)
    dataset = dataset if Path("dvc.yaml").is_file() else dataset.resolve()
    adopt = shlex.join(["destseg", "dataset", "add", category, "--from", str(dataset), "--preset", PRESET])
    scored = str(dataset_dir(category, folder) / "test") if has_test else "FOLDER"
    model = str(build_dir(category, folder) / "package")
    return adopt, shlex.join(["destseg", "predict", model, scored, "--out", "heatmaps"])


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
