"""`destseg demo`: the main job, from new photographs to a promoted model, on servers of its own in .demo/.

Each step looks at what is really there (git, S3, the registry) and does what is missing, so that a run which was killed
anywhere is completed by the next, and a run with nothing to do is short.
"""

import json
import shutil
from pathlib import Path

from destseg import Error
from destseg.dataset import provenance
from destseg.dataset.demo import render_batch, render_dataset
from destseg.dataset.layout import GOOD, build_dir, dataset_dir, samples
from destseg.files import remove, replacing, write_text
from destseg.ingest import inbox
from destseg.ingest.add import add
from destseg.ingest.arrivals import prefix
from destseg.local.crew import Crew
from destseg.local.demo_settings import DemoSettings, write_settings
from destseg.local.environment import BUCKET, FOLDER, applied
from destseg.local.lock import alone
from destseg.local.progress import Progress
from destseg.local.repository import Repository
from destseg.local.servers import Servers
from destseg.local.summary import METRICS, Outcome, Summary
from destseg.registry.addresses import resolve
from destseg.registry.due import due
from destseg.registry.history import Entry, history
from destseg.registry.promotion import promote
from destseg.storage import s3, stages, versions


def demo(root: Path = Path(), *, folder: Path = FOLDER, settings: DemoSettings = DemoSettings()) -> Summary:  # noqa: B008  # frozen
    """Does the main job of the project `root` in <root>/<folder>; writes summary.json there and returns it."""
    if not (root / "dvc.yaml").is_file():
        raise Error(f"{root.resolve()} has no dvc.yaml; run `destseg demo` in the root of the project's repository")
    place = (root / folder).resolve()
    with alone(place), Progress() as progress, Servers(place) as servers:
        outcomes = Demo(root.resolve(), settings, servers, progress).run()
        summary = Summary(
            folder=root / folder,
            seconds=progress.seconds,
            peak_memory_mb=progress.peak_memory_mb,
            categories=outcomes,
        )
        summary.write()
    return summary


class Demo:
    """The steps of the main job, in the order in which `run` takes them."""

    def __init__(self, project: Path, settings: DemoSettings, servers: Servers, progress: Progress) -> None:
        self.project, self.settings, self.servers, self.progress = project, settings, servers, progress
        self.folder, self.categories = servers.folder, settings.categories
        self.repository = Repository(self.folder, servers.env)
        self.checkout = self.repository.checkout
        self.crew = Crew(servers, progress, self.checkout)

    def run(self) -> dict[str, Outcome]:
        """Everything that is not done yet."""
        self.progress.doing("starting S3 and preparing the repository")
        self.servers.s3()
        self.servers.ready("s3")
        with applied(self.servers.env):
            self.publish_project()
            self.prepare_registry()
            self.publish_datasets()
            self.fill_inboxes()
            challengers = self.retrain(fresh=self.ingest())
            self.fetch_reports()
            champions = {category: self.promote(category) for category in self.categories}
            for category, champion in champions.items():
                self.score(category, champion)
            remove(self.folder / "cache" / "models")  # the registry has them
            return {name: self.outcome(name, champions[name], challengers[name]) for name in self.categories}

    def publish_project(self) -> None:
        """The project as it stands here becomes the newest commit of the demo's origin, with the demo's settings."""
        self.repository.prepare()
        self.repository.take_snapshot(self.project)
        write_settings(self.checkout, self.settings)
        if self.repository.publish("The project, as it is here, with the demo's settings"):
            self.progress.say("pushed the project's files to .demo/origin.git")
        versions.use_cache(self.checkout, self.folder / "cache" / "dvc")

    def prepare_registry(self) -> None:
        """An empty MLflow store, under its name only when it is whole; the Prefect server meanwhile starts too."""
        if not (self.folder / "mlflow.db").exists():
            self.servers.prefect()
            self.progress.doing("preparing the registry; the Prefect server starts")
            self.servers.registry(self.checkout)

    def publish_datasets(self) -> None:
        """Renders each category and pushes it as its first dataset version."""
        for category in self.categories:
            if (self.checkout / versions.pointer(category)).exists():
                continue
            self.progress.doing(f"{category}: rendering the dataset")
            rendered = self.folder / "rendered" / category
            if not rendered.exists():
                render_dataset(
                    rendered,
                    category,
                    normals=self.settings.normals,
                    test_normals=self.settings.test_normals,
                    defects_per_kind=self.settings.defects_per_kind,
                    size=self.settings.size,
                )
            added = add(category, rendered, self.checkout)
            self.progress.doing(f"{category}: pushing dataset version {added.version}")
            versions.dvc(self.checkout, "push", str(versions.pointer(category)))
            self.repository.publish(f"{category}: first dataset version {added.version}")
            remove(rendered)
            remove(dataset_dir(category, self.checkout))  # DVC would take it for a change once there is a next version

    def fill_inboxes(self) -> None:
        """Drops a batch of new photographs, some of them unusable, into the inbox of each category."""
        for category in self.categories:
            if provenance.from_inbox(provenance.read(self.checkout, category)):
                continue
            batch = self.folder / "batch" / category
            remove(batch)
            self.progress.doing(f"{category}: taking a batch of new photographs")
            photographs = render_batch(batch, category, count=self.settings.batch, size=self.settings.size)
            for path in photographs:
                s3.upload(BUCKET, f"{prefix(category)}{path.name}", path.read_bytes())
            self.progress.say(f"{category}: {len(photographs)} photographs are in the inbox")
            remove(batch)

    def ingest(self) -> list[str]:
        """The flow `ingest` for each category whose inbox is not empty; those categories."""
        waiting = [category for category in self.categories if inbox.waiting(BUCKET, category)]
        self.crew.flows("ingest", waiting)
        self.repository.update()
        return waiting

    def retrain(self, *, fresh: list[str]) -> dict[str, str]:
        """The flow `retrain` for each category that has something left to do; the newest candidates' addresses.

        The `fresh` categories have just got photographs: the flow itself looks what is left to do for them.
        """
        known: dict[str, str | None] = dict.fromkeys(self.categories)
        waiting = list(fresh)
        if old := [category for category in self.categories if category not in fresh]:
            self.progress.doing("looking up what is left to train and to compare")
            for category in old:
                found = due(category, root=self.checkout)
                known[category] = found.model_uri
                if found.left:
                    waiting.append(category)
        known |= {category: done["model_uri"] for category, done in self.crew.flows("retrain", waiting).items()}
        return {category: str(address) for category, address in known.items()}

    def fetch_reports(self) -> None:
        """Brings the results into the checkout with `dvc repro --pull`, which trains nothing; keeps the reports."""
        keys = {category: stages.training_key(self.checkout, category) for category in self.categories}
        reports = {category: self.folder / "reports" / category for category in self.categories}
        stale = [name for name in self.categories if _read(reports[name] / "training-key") != keys[name]]
        if not stale:
            return
        self.progress.doing("fetching the reports with `dvc repro --pull`")
        versions.dvc(self.checkout, "repro", "--pull", *(f"evaluate@{name}" for name in stale))
        for name in stale:
            with replacing(reports[name]) as fresh:
                build = build_dir(name, self.checkout)
                shutil.copytree(build / "evaluation", fresh)
                shutil.copytree(build / "validation", fresh / "validation")
                write_text(fresh / "training-key", keys[name])
            remove(build)  # the models, which DVC's cache has too

    def promote(self, category: str) -> Entry:
        """The champion's entry in the history; the first challenger is promoted, later ones wait for a person."""
        line = history(category)
        if not line:
            self.progress.doing(f"{category}: promoting the first champion")
            promote(category, who="demo", why="the first model of the demo", root=self.checkout)
            line = history(category)
        return line[-1]

    def score(self, category: str, champion: Entry) -> None:
        """Scores all test images with the champion, as the line would."""
        model = f"models:/destseg-{category}@champion"
        target = self.folder / "predictions" / category
        if _read(target / "champion") == str(champion.version):
            return
        dataset = dataset_dir(category, self.checkout)
        if not dataset.exists():
            versions.dvc(self.checkout, "pull", str(versions.pointer(category)))
        from destseg.evaluation.predict import predict  # with torch, which a run that finds all done needs not wait for

        images = [sample.path for sample in samples(dataset, "test")]
        self.progress.doing(f"{category}: scoring {len(images)} test images with {model}")
        remove(target)
        for _ in predict(resolve(model), images, target):
            pass
        write_text(target / "champion", str(champion.version))

    def outcome(self, category: str, champion: Entry, newest: str) -> Outcome:
        """What the summary says of a category."""
        scores = [
            json.loads(line) for line in _read(self.folder / "predictions" / category / "scores.jsonl").splitlines()
        ]
        defective = [score["anomalous"] for score in scores if Path(score["image"]).parent.name != GOOD]
        good = [score["anomalous"] for score in scores if Path(score["image"]).parent.name == GOOD]
        quarantined = [
            item for item in s3.list_objects(BUCKET, f"quarantine/{category}/") if not item.key.endswith(".json")
        ]
        candidate = f"models:/destseg-{category}-candidates/{champion.candidate}"
        return Outcome(
            dataset_version=champion.dataset_version,
            model_uri=f"models:/destseg-{category}/{champion.version}",
            metrics={name: champion.metrics[name] for name in METRICS},
            photographs=len(provenance.from_inbox(provenance.read(self.checkout, category))),
            quarantined=len(quarantined),
            defects_found=f"{sum(defective)} of {len(defective)}",
            good_rejected=f"{sum(good)} of {len(good)}",
            challenger=None if newest == candidate else newest,
        )


def _read(path: Path) -> str:
    """The text of a file, nothing when it is not there."""
    return path.read_text(encoding="utf-8") if path.exists() else ""
