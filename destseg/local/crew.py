"""Runs flows for the demo: categories side by side, every line shown, all ended when one fails."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from destseg import Error
from destseg.local import children
from destseg.local.progress import Progress
from destseg.local.servers import Servers
from destseg.storage.process import run

T = TypeVar("T")
_TIME = re.compile(r"^(\d\d:\d\d:\d\d[.\d]* )+")
# DVC's advice, Prefect's states, and the sign of life that `progress` gives itself.
_NOISE = re.compile(
    r"Finished in state Completed|Beginning flow run|View at http|running for \d+ s$|Use `dvc push`|^To track the|"
    r"^git add dvc.lock|^To enable auto|^dvc config core|(Generating|Updating) lock file|didn't change, skipping|^$"
)
# Only what is said, not by which of Prefect's loggers and when: `progress` has the time.
_PLAIN = {
    f"PREFECT_LOGGING_FORMATTERS_STANDARD_{name}_FMT": "%(message)s" for name in ("FORMAT", "FLOW_RUN", "TASK_RUN")
}


class Crew:
    """Commands in the demo's checkout, with the servers' environment."""

    def __init__(self, servers: Servers, progress: Progress, checkout: Path) -> None:
        self.servers, self.progress, self.checkout = servers, progress, checkout

    def each(self, step: Callable[[str], T], categories: Iterable[str]) -> dict[str, T]:
        """`step` for all categories at once; when one fails or we are interrupted, whatever still runs is ended."""
        with ThreadPoolExecutor() as pool:
            futures = {category: pool.submit(step, category) for category in categories}
            try:
                done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                children.end_all(self.servers.folder)
                raise
        return {category: future.result() for category, future in futures.items()}

    def flows(self, name: str, categories: list[str]) -> dict[str, Any]:
        """The results of the flow `name` for these categories, each in a process of its own, as a worker starts it."""
        if not categories:
            return {}
        self.servers.prefect()
        self.progress.doing("waiting for the Prefect server")
        self.servers.ready("prefect")
        self.progress.doing(f"flow {name}: {', '.join(categories)}")
        # Two trainings at once, each on half of the cores, are faster than one after the other on all.
        env = {**_PLAIN, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // len(categories)))}
        return self.each(
            lambda category: self.run(category, f"flows.{name}", "--category", category, env=env), categories
        )

    def run(self, category: str, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
        """The last line of JSON that `python -m MODULE ARGUMENTS` prints; its other lines are shown as they come."""

        def show(line: str) -> None:
            text = _TIME.sub("", line).strip()
            if text and not text.startswith(("{", "[")) and not _NOISE.search(text):
                self.progress.say(text if text.startswith(category) else f"{category}: {text}")

        command = [sys.executable, "-m", module, *arguments]
        output = run(command, cwd=self.checkout, env={**self.servers.env, **(env or {})}, log=show)
        for line in reversed(output.splitlines()):
            if line.startswith(("{", "[")):
                return json.loads(line)
        raise Error(f"`{' '.join(command)}` printed no result, expected a line of JSON")
