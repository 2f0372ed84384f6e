"""Flow `retrain-all`: a `retrain` run for each category that has something left to do as it is now.

What an event starts when all goes well, this starts on a schedule: after an outage nothing stays behind.
"""

import datetime
from typing import Any

from prefect import flow, get_run_logger

from destseg import Error
from destseg.registry.due import due
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
                found = due(category, root=root)
            except (Error, KeyError, ValueError) as error:  # one category's trouble stops no other
                failed[category] = str(error)
                continue
            if found.left and category not in busy:
                key = f"{category}-{found.training_key[:16]}-{today}"
                started.append(start("retrain", category, key=key).name)
    get_run_logger().info("started %d runs, %d categories were under way", len(started), len(busy))
    if failed:
        raise Error("\n".join(f"{category}: {why}" for category, why in sorted(failed.items())))
    return {"started": started, "under_way": sorted(busy)}


if __name__ == "__main__":
    run_here(retrain_all)
