"""The registry by MLflow's REST API, as one account per client: for a process that acts for several people at once.

MLflow's own library keeps one identity per process. What comes back is untrusted: sizes are limited, types checked.
"""

import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from destseg import Error
from destseg.files import replacing
from destseg.registry.connection import PREFIX
from destseg.text import printable, without_login

API = "/api/2.0/mlflow"
ANSWER_LIMIT = 64 * 2**20  # bytes of one JSON answer
PAGE = 1000
VERSIONS_LIMIT = 20_000  # of one model; beyond it something other than this project writes there
TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class Unauthorised(Error):
    """The registry does not know this account and password."""


class Forbidden(Error):
    """The account may not do this."""


class Absent(Error):
    """What was asked for is not in the registry."""


class Unavailable(Error):
    """The registry does not answer, or not as it should."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model, with the names of MLflow's own entity."""

    name: str
    version: int
    creation_timestamp: int
    """Milliseconds since 1970."""
    run_id: str | None
    source: str = ""
    """models:/m-ID of the logged model whose files it has."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """models:/NAME/VERSION."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A registered model."""

    name: str
    aliases: Mapping[str, int]
    tags: Mapping[str, str]
    latest: Version | None
    """The newest version."""


class Rest:
    """One account's view of the registry at `url`; `login` is None where the server has no accounts."""

    def __init__(self, url: str, login: tuple[str, str] | None = None) -> None:
        self.url = without_login(url).rstrip("/")
        self._client = httpx.Client(
            auth=httpx.BasicAuth(login[0], login[1]) if login else None,
            base_url=self.url,
            timeout=TIMEOUT,
            trust_env=not is_loopback(httpx.URL(self.url).host),  # a proxy is not asked for this machine's own server
            verify=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True,
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends its connections."""
        self._client.close()

    def account(self) -> str | None:
        """The account's name; None where the server has no accounts; Unauthorised where it does not know this one."""
        try:
            return str(self._get("/users/current")["user"]["username"])
        except Absent:
            return None
        except (KeyError, TypeError):
            raise Error(f"{self.url} does not say who is signed in; expected MLflow's answer") from None

    def models(self) -> list[Model]:
        """Every registered model of this project that the account may read."""
        query = {"filter": f"name LIKE '{PREFIX}%'", "max_results": PAGE}
        return [_model(found) for found in self._pages("/registered-models/search", query, "registered_models")]

    def model(self, name: str) -> Model:
        """One registered model."""
        return _model(_dict(self._get("/registered-models/get", {"name": name}), "registered_model"))

    def version(self, name: str, number: int) -> Version:
        """One version; an Error where the account may not read it."""
        query = {"name": name, "version": str(number)}
        return _version(_dict(self._get("/model-versions/get", query), "model_version"))

    def versions(self, name: str) -> list[Version]:
        """Every version of a model, oldest first; none where there is no such model or none that may be read."""
        if "'" in name:
            raise Absent(f"{name!r} is no model's name")
        query = {"filter": f"name='{name}'", "max_results": PAGE}
        found = [_version(one) for one in self._pages("/model-versions/search", query, "model_versions")]
        return sorted(found, key=lambda version: version.version)

    def download(self, run_id: str, path: str, target: Path, *, limit: int, sha256: str | None = None) -> None:
        """A file of a run, complete under `target` or not there: at most `limit` bytes, with this SHA-256."""
        what = f"file {path} of run {run_id}"
        self._download("/get-artifact", {"run_uuid": run_id, "path": path}, what, target, limit, sha256)

    def download_model(self, version: Version, path: str, target: Path, *, limit: int, sha256: str) -> None:
        """A file of the version's model, likewise."""
        model = re.fullmatch(r"models:/(m-[0-9a-f]{32})", version.source)
        if model is None:
            raise Error(f"{version.address} has source {version.source!r}, expected models:/m-...; register it again")
        address = f"/ajax-api/2.0/mlflow/logged-models/{model[1]}/artifacts/files"
        what = f"file {path} of {version.address}"
        self._download(address, {"artifact_file_path": path}, what, target, limit, sha256)

    def _download(
        self, address: str, query: dict[str, str], what: str, target: Path, limit: int, sha256: str | None
    ) -> None:
        digest, size = hashlib.sha256(), 0
        try:
            with replacing(target) as fresh, self._client.stream("GET", address, params=query) as answer:
                if answer.status_code != 200:
                    raise self._refusal(answer, what, _limited(answer, what))
                with fresh.open("wb") as file:
                    for block in answer.iter_bytes(1 << 20):
                        size += len(block)
                        if size > limit:
                            raise Error(f"{what} is larger than {limit} bytes; nothing of it was kept")
                        digest.update(block)
                        file.write(block)
                if sha256 is not None and digest.hexdigest() != sha256:
                    raise Error(f"{what} has SHA-256 {digest.hexdigest()}, registered was {sha256}; compare again")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except OSError as error:
            said = error.strerror or str(error)
            raise Error(f"{what} cannot be kept in {target.parent} ({said}); an engineer frees that folder") from None

    def _pages(self, path: str, query: dict[str, Any], key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._get(path, query)
            found += [one for one in page.get(key) or [] if isinstance(one, dict)]
            token = page.get("next_page_token")
            if not token:
                return found
            if len(found) >= VERSIONS_LIMIT:
                raise Error(f"{self.url} has more than {VERSIONS_LIMIT} entries for {query['filter']}")
            query = {**query, "page_token": token}

    def _get(self, path: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
        what = f"{path} {' '.join(str(value) for value in (query or {}).values())}".strip()
        try:
            with self._client.stream("GET", f"{API}{path}", params=query) as answer:
                body = _limited(answer, what)
                if answer.status_code != 200:
                    raise self._refusal(answer, what, body)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Error(f"{self.url} answered {what} with no JSON object; expected an MLflow server there")
        return content

    def _refusal(self, answer: httpx.Response, what: str, body: bytes) -> Error:
        kinds: dict[int, Callable[[str], Error]] = {401: Unauthorised, 403: Forbidden, 404: Absent}
        otherwise: Callable[[str], Error] = Unavailable if answer.status_code >= 500 else Error
        said = body[:300].decode(errors="replace")
        reason = printable(" ".join(said.split()))
        return kinds.get(answer.status_code, otherwise)(
            f"the registry at {self.url} answers {answer.status_code} to {printable(what)}: {reason}"
        )

    def _unreachable(self, error: httpx.HTTPError) -> Error:
        said = f"the registry at {self.url} cannot be reached ({type(error).__name__}); is its server running?"
        return Unavailable(said)


def is_loopback(host: str) -> bool:
    """Whether only this machine is reached, or can reach us, by this host name or address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _limited(answer: httpx.Response, what: str) -> bytes:
    body = bytearray()
    for block in answer.iter_bytes():
        body += block
        if len(body) > ANSWER_LIMIT:
            raise Error(f"the registry's answer to {printable(what)} is larger than {ANSWER_LIMIT} bytes")
    return bytes(body)


def _dict(content: dict[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key)
    if not isinstance(found, dict):
        raise Error(f"the registry's answer has no {key}; expected MLflow's answer")
    return found


def _tags(content: dict[str, Any]) -> dict[str, str]:
    return {str(tag.get("key")): str(tag.get("value", "")) for tag in content.get("tags") or []}


def _version(content: dict[str, Any]) -> Version:
    try:
        return Version(
            name=str(content["name"]),
            version=int(content["version"]),
            creation_timestamp=int(content["creation_timestamp"]),
            run_id=str(content["run_id"]) if content.get("run_id") else None,
            source=str(content.get("source") or ""),
            tags=_tags(content),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Error(f"the registry's answer is no model version ({error!r}); expected MLflow's answer") from None


def _model(content: dict[str, Any]) -> Model:
    try:
        latest = [_version(one) for one in content.get("latest_versions") or []]
        return Model(
            name=str(content["name"]),
            aliases={str(one["alias"]): int(one["version"]) for one in content.get("aliases") or []},
            tags=_tags(content),
            latest=max(latest, key=lambda version: version.version, default=None),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Error(f"the registry's answer is no registered model ({error!r}); expected MLflow's answer") from None
