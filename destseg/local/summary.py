"""What a run of the demo ends with: .demo/summary.json, and a dozen lines that say where to look."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from destseg.files import write_text

# The pipeline's names, in the order of the paper's tables, and how a person writes them.
METRICS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "iap": "IAP",
    "iap90": "IAP90",
    "pro": "PRO",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One category's champion, and what led to it."""

    dataset_version: str
    model_uri: str
    metrics: dict[str, float]
    photographs: int
    """Normal images that came through the inbox and are in the dataset."""
    quarantined: int
    """Photographs of the inbox that could not be used."""
    challenger: str | None
    """The newest candidate, where it is not the champion: code or settings have changed since."""
    defects_found: str
    """Of the scored test images with a defect."""
    good_rejected: str
    """Of the scored test images of good parts."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Its text is the closing lines of `destseg demo`."""

    folder: Path
    seconds: float
    peak_memory_mb: float
    categories: dict[str, Outcome]

    def write(self) -> None:
        """summary.json in the folder; each category's metrics stand beside its other entries."""
        found = {}
        for name, outcome in self.categories.items():
            entry = dataclasses.asdict(outcome)
            found[name] = entry.pop("metrics") | entry
        content = {
            "seconds": round(self.seconds, 1),
            "peak_memory_mb": round(self.peak_memory_mb),
            "categories": found,
        }
        write_text(self.folder / "summary.json", json.dumps(content, indent=2) + "\n")

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        lines = [f"Done in {minutes} min {seconds} s with at most {self.peak_memory_mb / 1000:.1f} GB of memory."]
        for name, outcome in self.categories.items():
            metrics = ", ".join(f"{text} {outcome.metrics[key]:.3f}" for key, text in METRICS.items())
            lines += [
                f"{name}: {outcome.photographs} new photographs in dataset version {outcome.dataset_version[:8]}, "
                f"{outcome.quarantined} unusable in quarantine; champion {outcome.model_uri}",
                f"  {metrics}",
                f"  of the test images it scored, {outcome.defects_found} defective ones are found "
                f"and {outcome.good_rejected} good ones rejected",
            ]
            if outcome.challenger:
                lines.append(f"  A newer challenger waits for a decision: {outcome.challenger}")
        names = "{" + ",".join(self.categories) + "}"
        return "\n".join(
            [
                *lines,
                f"Reports:  {self.folder}/reports/{names}/report.html",
                f"Heatmaps: {self.folder}/predictions/{names}/, with the scores in scores.jsonl",
                "MLflow and Prefect in the browser, on these results:  .venv/bin/destseg up",
            ]
        )
