"""How long the review page takes with many categories: prints a table, records it in results/review.json.

    python -m benchmarks.review                    # 200 categories

A real MLflow server with accounts in a SQLite file, six versions in the three models of each category with tags as long
as real ones, an account with grants on each, and `destseg review` before it. What MLflow itself takes stands beside it.
"""

import argparse
import json
import logging
import os
import re
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from destseg.local import loopback
from destseg.registry.connection import candidates, log_model, released
from destseg.registry.rest import Rest
from destseg.review.pages.categories import FRESH
from destseg.storage.process import QUIET
from tests.integration.server import mlflow_server, password, running

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "review.json"
ENGINEER = ("ada", secrets.token_urlsafe(16))
ADMIN = ("admin", password("admin"))
TIMES = 7  # of each number the median
ROWS = {
    "list_admin_ms": "MLflow lists all models, to an administrator",
    "list_engineer_ms": "MLflow lists all models, to an account with grants",
    "first_ms": "first page after signing in, its rows still coming",
    "rows_ms": "until the rows are there",
    "again_ms": "the first page again",
    "next_ms": "the first page with its rows when the account signs in again, later",
    "category_ms": "a category's page",
}
log = logging.getLogger("benchmarks.review")


def fill(folder: Path, count: int) -> None:
    """Writes `count` categories into the store of a server that does not run yet."""
    import mlflow

    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(uri, uri)
    run = client.create_run("0").info
    common = {
        "dataset_version": f"{'a' * 32}.dir",
        "commit": "c" * 40,
        "git_clean": "true",
        "training_key": "k" * 64,
        "params_hash": "h" * 64,
        "teacher": json.dumps({"source": "formula", "sha256": "5" * 64}),
        "metrics": json.dumps({f"metric_{index}": 0.912345 for index in range(9)}),
        "files": json.dumps({f"file-{index}.bin": "f" * 64 for index in range(14)}),
        "requirements": json.dumps(["torch==2.15.0"] * 8),
    }
    why = "a sentence of about eighty characters that says why this gate passed or did not"
    gates = json.dumps([{"name": f"gate{index}", "passed": True, "why": why} for index in range(10)])
    for number in range(count):
        category = f"part{number:03}"
        models = {
            candidates(category): [common | {"category": category}] * 2,
            released(category): [common | {"category": category, "who": "ada", "why": why, "gates": gates,
                                           "replaces": "none", "candidate_version": "1"}],
            log_model(category): [{"event": "registered", "who": "trainer", "content": gates}] * 3,
        }  # fmt: skip
        for name, versions in models.items():
            client.create_registered_model(name, tags={"category": category})
            for tags in versions:
                client.create_model_version(name, run.artifact_uri, run_id=run.run_id, tags=tags)
        client.set_registered_model_alias(candidates(category), "challenger", "2")
        client.set_registered_model_alias(released(category), "champion", "1")
        if number % 50 == 49:
            log.info("%d categories", number + 1)


def grant(url: str, count: int) -> None:
    """An account of a quality engineer, granted on every model."""
    from mlflow.server.auth.client import AuthServiceClient

    os.environ |= {"MLFLOW_TRACKING_USERNAME": ADMIN[0], "MLFLOW_TRACKING_PASSWORD": ADMIN[1]}
    service = AuthServiceClient(url)
    service.create_user(*ENGINEER)
    for number in range(count):
        category = f"part{number:03}"
        for name in (candidates(category), released(category), log_model(category)):
            service.grant_user_permission(ENGINEER[0], "registered_model", name, "EDIT")


def median_ms(act: Callable[[], object], times: int = TIMES) -> float:
    """Of so many calls."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        found.append(1000 * (time.perf_counter() - begun))
    return round(statistics.median(found), 1)


def signed_in(web: httpx.Client) -> None:
    """Signs in by the form."""
    token = re.search('name="csrf" value="([^"]+)"', web.get("/sign-in").text)
    assert token is not None
    fields = {"csrf": token[1], "user": ENGINEER[0], "password": ENGINEER[1]}
    assert web.post("/sign-in", data=fields).status_code == 303


def visit(page: str) -> dict[str, float]:
    """Somebody signs in and looks around, and signs in again when what was read is old."""
    with httpx.Client(base_url=page, trust_env=False, timeout=120) as web:
        signed_in(web)
        begun = time.perf_counter()
        first = median_ms(lambda: web.get("/").raise_for_status(), 1)
        text = web.get("/rows").raise_for_status().text
        rows = round(1000 * (time.perf_counter() - begun), 1)
        assert "part000" in text
        again = median_ms(lambda: web.get("/").raise_for_status())
        paths = [f"/categories/part{number:03}" for number in range(1, TIMES + 1)]  # each for the first time
        category = median_ms(lambda: web.get(paths.pop()).raise_for_status())
    time.sleep(2 * FRESH)
    with httpx.Client(base_url=page, trust_env=False, timeout=120) as web:
        signed_in(web)
        begun = time.perf_counter()
        assert "part000" in web.get("/").raise_for_status().text
        later = round(1000 * (time.perf_counter() - begun), 1)
    return {"first_ms": first, "rows_ms": rows, "again_ms": again, "next_ms": later, "category_ms": category}


def measured(folder: Path, count: int) -> dict[str, Any]:
    """The row of the table."""
    fill(folder, count)
    with mlflow_server(folder) as url:
        grant(url, count)
        with Rest(url, ADMIN) as admin, Rest(url, ENGINEER) as engineer:
            found = {"list_admin_ms": median_ms(admin.models), "list_engineer_ms": median_ms(engineer.models)}
        root = folder / "checkout"
        root.mkdir()
        (root / "params.yaml").write_text("promotion: {}\ncategories: {}\n", encoding="utf-8")
        page = loopback.address(root, "review")
        env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | QUIET
        ours = env | {"MLFLOW_TRACKING_URI": url, "DESTSEG_CACHE": str(root / "cache"), "PYTHONPATH": str(ROOT)}
        listen = [sys.executable, "-m", "destseg", "review", "--port", page.rpartition(":")[2]]
        with running(listen, root, ours, f"{page}/static/review.css"):
            found |= visit(page)
    return {"categories": count, **found}


def table(record: dict[str, Any]) -> str:
    """Markdown: what was measured, and how long it took."""
    row = record["row"]
    lines = [f"| with {row['categories']} categories | ms |", "|---|---|"]
    return "\n".join([*lines, *(f"| {title} | {row[name]:,.0f} |" for name, title in ROWS.items())])


def main() -> None:
    """Measures, prints, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--categories", type=int, default=200)
    parser.add_argument("--note", default="", help="what else ran on the machine")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="destseg-review-") as folder:
        row = measured(Path(folder), chosen.categories)
    import torch

    from destseg.bench.machine import describe

    record = {"machine": asdict(describe(torch.device("cpu"))), "note": chosen.note, "row": row}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
