"""Flow `monitor`: how every category stands, and which triggers failed. It fails when a person is needed."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from prefect import flow, get_client, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter
from pydantic import Field

from destseg import Error
from destseg.registry.health import Report, report
from flows.script import run_here
from flows.workspace import workspace

ACTION_FAILED = "prefect.automation.action.failed"
_PAGE = 50  # the most that the server gives; fifty failures are as alarming as more


@flow(flow_run_name="monitor")
def monitor(hours: Annotated[float, Field(gt=0)] = 25.0) -> dict[str, Any]:
    """Champions, thresholds, data and challengers of all categories, and triggers that failed in the last `hours`.

    A trigger whose parameters do not fit starts no run and says so nowhere but in an event.
    """
    with workspace("monitor") as root:
        found = report(root=root)
    failed = failed_triggers(hours)
    publish(found, failed)
    findings = [(one.category, finding) for one in found.categories for finding in one.findings]
    alarms = [f"{category}: {finding.text}" for category, finding in findings if finding.severity == "error"]
    if alarms or failed:
        raise Error("\n".join([*alarms, *failed]))
    return {"severity": found.severity, "categories": [asdict(one) for one in found.categories]}


@task
def failed_triggers(hours: float) -> list[str]:
    """What Prefect says of each trigger that could not do its work."""
    since = datetime.now(UTC) - timedelta(hours=hours)
    events = EventFilter(
        event=EventNameFilter(name=[ACTION_FAILED]), occurred=EventOccurredFilter.model_validate({"since": since})
    )
    with get_client(sync_client=True) as client:
        page = client.read_events(filter=events, limit=_PAGE)
    return [
        f"trigger {event.resource.name or event.resource.id} failed at {event.occurred:%Y-%m-%d %H:%M} UTC: "
        f"{event.payload.get('reason', 'no reason given')}"
        for event in page.events
    ]


@task
def publish(found: Report, failed: list[str]) -> None:
    """The findings as a table on the run's page, the worst first."""
    rows = [
        {"severity": finding.severity, "category": one.category, "about": finding.about, "finding": finding.text}
        for one in found.categories
        for finding in one.findings
    ]
    rows += [{"severity": "error", "category": "", "about": "trigger", "finding": text} for text in failed]
    rows.sort(key=lambda row: ["error", "warning", "ok"].index(row["severity"]))
    create_table_artifact(key="health", table=rows, description=f"worst: {rows[0]['severity'] if rows else 'ok'}")
    get_run_logger().info("%d categories, %d failed triggers", len(found.categories), len(failed))


if __name__ == "__main__":
    run_here(monitor)
