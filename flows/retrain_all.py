"""Flow `retrain-all`: a `retrain` run for each category that was not trained, or not compared, as it is now.

What an event starts when all goes well, this starts on a schedule: after an outage nothing stays behind.
"""

import datetime
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger

from destseg import Error
from destseg.registry import compare
from destseg.registry.register import look_up
from destseg.settings import categories
from flows.runs import start, under_way
from flows.script import run_here
from flows.workspace import workspace


@flow(name="retrain-all", flow_run_name="retrain-all")
def retrain_all() -> dict[str, Any]:
    """Starts what is due, each training once a day at most. An Error at the end names what could not be looked up."""
    today = datetime.datetime.now(datetime.UTC).date()
    busy = under_way("retrain")
    started, failed = [], {}
    with workspace("retrain-all") as root:
        for category in categories(root / "params.yaml"):
            try:
                key = due(root, category)
            except (Error, KeyError, ValueError) as error:  # one category's trouble stops no other
                failed[category] = str(error)
                continue
            if key and category not in busy:
                started.append(start("retrain", category, key=f"{category}-{key[:16]}-{today}").name)
    get_run_logger().info("started %d runs, %d categories were under way", len(started), len(busy))
    if failed:
        raise Error("\n".join(f"{category}: {why}" for category, why in sorted(failed.items())))
    return {"started": started, "under_way": sorted(busy)}


def due(root: Path, category: str) -> str | None:
    """The training key of what the category has in `root`; None when that was trained, and its challenger compared."""
    known = look_up(category, root=root)
    return known.training_key if not known.model_uri or compare.due(category, root=root).due else None


if __name__ == "__main__":
    run_here(retrain_all)
