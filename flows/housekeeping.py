"""Flow `housekeeping`: what nobody needs any more on a worker's disk: dead clones, old checkpoints, unused objects."""

from dataclasses import asdict
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import Field

from destseg.storage.collection import Collected, collect
from destseg.storage.housekeeping import DAYS, Swept, sweep_checkpoints, sweep_contents, sweep_models
from flows.script import run_here
from flows.workspace import workspace


@flow(flow_run_name="housekeeping")
def housekeeping(collect_objects: bool = False, days: Annotated[float, Field(ge=0)] = DAYS) -> dict[str, Any]:
    """Removes what killed trainings left and nobody went on with for `days`, and lists what no commit names.

    Objects of the DVC cache are removed only with `collect_objects`, never while a flow is at work, never from the
    remote: `dvc repro --pull` brings them back.
    """
    found: dict[str, Swept | Collected] = {
        "checkpoints": sweep_checkpoints(days),
        "memos": sweep_contents(days),
        "models": sweep_models(days),
    }
    with workspace("housekeeping", shares_cache=False) as root:  # making it removes the clones of dead runs
        planned = collect(root, dry=True)
        get_run_logger().info("DVC cache: %s", planned)
        collected = collect(root, dry=False) if collect_objects else planned
    found["DVC cache"] = collected
    for name, result in found.items():
        get_run_logger().info("%s: %s", name, result)
    rows = [{"what": name, "result": str(result)} for name, result in found.items()]
    create_table_artifact(key="housekeeping", table=rows, description=_described(collected))
    return {name: asdict(result) for name, result in found.items()}


def _described(collected: Collected) -> str:
    if collected.in_use:
        return "The DVC cache is in use and was not looked at."
    if collected.dry:
        return "A dry run for the DVC cache: start it with collect_objects to remove what it lists."
    return "Removed from this worker's disk; the remote keeps everything."


if __name__ == "__main__":
    run_here(housekeeping)
