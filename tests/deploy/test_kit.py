"""The files of deploy/ that need a Docker engine, a cluster or systemd to run are at least consistent in themselves."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
POOLS = ["kubernetes", "docker"]
SECRET = re.compile(r"SECRET|PASSWORD|AUTH_STRING|ACCESS_KEY|CONNECTION_URL|STORE_URI|TOKEN")
# What the flows' deployments give their pool (prefect.yaml): only variables that a template has reach a run.
GIVEN = {"name", "env", "labels", "command", "image"}


def template(kind: str) -> Any:
    return json.loads((DEPLOY / f"{kind}-pool.json").read_text())


@pytest.mark.parametrize("kind", POOLS)
def test_every_placeholder_is_a_variable_and_every_variable_is_used(kind: str) -> None:
    found = template(kind)
    used = set(re.findall(r"\{\{\s*([\w.]+)\s*\}\}", json.dumps(found["job_configuration"])))
    assert used == set(found["variables"]["properties"])
    assert used >= GIVEN


@pytest.mark.parametrize("kind", POOLS)
def test_the_variables_are_a_schema_that_its_own_defaults_fulfil(kind: str) -> None:
    schema = template(kind)["variables"]
    Draft202012Validator.check_schema(schema)
    defaults = {name: one["default"] for name, one in schema["properties"].items()}
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(defaults)) == []
    assert list(validator.iter_errors(defaults | {"gpus": "one"})) != []


@pytest.mark.parametrize("kind", POOLS)
def test_no_template_has_a_place_for_a_secret(kind: str) -> None:
    names = {name for name in template(kind)["variables"]["properties"] if SECRET.search(name.upper())}
    assert names <= {"secret", "secrets_file"}  # a name and a path, whose contents Prefect never sees


def test_a_kubernetes_run_has_its_gpus_its_secrets_and_the_shared_cache() -> None:
    pod = template("kubernetes")["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "{{ gpus }}"
    assert container["envFrom"] == [{"secretRef": {"name": "{{ secret }}"}}]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    assert mounts["cache"] == image_env()["DESTSEG_CACHE"]
    assert mounts["workspaces"] == image_env()["DESTSEG_WORKSPACES"]
    assert pod["securityContext"]["runAsUser"] == image_user()


def test_a_docker_run_has_its_gpus_its_secrets_and_the_shared_cache() -> None:
    job = template("docker")["job_configuration"]
    (request,) = job["container_create_kwargs"]["device_requests"]
    assert (request["count"], request["capabilities"]) == ("{{ gpus }}", [["gpu"]])
    targets = [volume.split(":")[1] for volume in job["volumes"]]
    assert targets == [image_env()["DESTSEG_CACHE"], "/run/secrets/destseg.env"]
    assert job["privileged"] is False


def dockerfile() -> list[str]:
    """Its instructions, each on one line."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith("#")]


def image_env() -> dict[str, str]:
    pairs = [pair for line in dockerfile() if line.startswith("ENV ") for pair in line.split()[1:]]
    return dict(pair.split("=", 1) for pair in pairs)


def image_user() -> int:
    (user,) = [line for line in dockerfile() if line.startswith("USER ")]
    return int(user.split()[1].split(":")[0])


def test_the_image_copies_what_is_there_runs_as_nobody_special_and_holds_no_secret() -> None:
    sources = [
        name
        for line in dockerfile()
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    ]
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    for source in sources:
        assert (PROJECT / source).exists()
        assert source.removeprefix("./") in kept
    assert image_user() > 0
    assert not [name for name in image_env() if SECRET.search(name)]
    assert not [line for line in dockerfile() if line.startswith("ARG")]
    assert "uv==" + re.search(r"UV := (\S+)", (PROJECT / "Makefile").read_text())[1] in " ".join(dockerfile())  # type: ignore[index]  # it is there


def test_the_entrypoint_takes_secrets_literally(tmp_path: Path) -> None:
    file = tmp_path / "trainer.env"
    file.write_text("# the trainer's\nAWS_SECRET_ACCESS_KEY=a b$(touch hacked)'\"=\\n\n\nMLFLOW_TRACKING_PASSWORD=last")
    command = [str(DEPLOY / "entrypoint"), "env"]
    env = {"PATH": os.environ["PATH"], "DESTSEG_SECRETS_FILE": str(file)}
    said = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "AWS_SECRET_ACCESS_KEY=a b$(touch hacked)'\"=\\n\n" in said
    assert "MLFLOW_TRACKING_PASSWORD=last\n" in said
    assert not (tmp_path / "hacked").exists()

    file.write_text("export secret\n")
    refused = subprocess.run(command, env=env, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "secret" not in refused.stderr.replace(str(file), "")
    file.unlink()
    assert subprocess.run(command, env=env, check=True, capture_output=True).returncode == 0


@pytest.mark.parametrize("unit", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_units_start_what_is_installed_and_hold_no_secret(unit: Path) -> None:
    lines = unit.read_text().replace("\\\n", " ").splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert {"[Unit]", "[Service]", "[Install]"} == {line for line in settings if line.startswith("[")}
    assert [line for line in settings if line.startswith("ExecStart=/opt/destseg/")]
    assert not [line for line in settings if line.startswith("Environment=") and SECRET.search(line)]
    assert [line for line in settings if line.startswith("EnvironmentFile=/etc/destseg/")]


def test_deploy_md_names_every_file_of_the_kit() -> None:
    text = (PROJECT / "docs/deploy.md").read_text()
    found = [path.relative_to(DEPLOY) for path in DEPLOY.rglob("*") if path.is_file()]
    files = [path.as_posix() for path in found if "__pycache__" not in path.parts]
    assert [name for name in files if name not in text and Path(name).name not in text] == []
