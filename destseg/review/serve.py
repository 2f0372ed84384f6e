"""`destseg review`: what must hold before anyone is let in, and the server."""

import logging
from pathlib import Path

import httpx
import uvicorn

from destseg import Error
from destseg.registry.connection import shown, tracking_uri
from destseg.registry.rest import Rest, Unauthorised, is_loopback
from destseg.review.acts import Acts
from destseg.review.app import create_app
from destseg.review.artifacts import Artifacts
from destseg.review.desk import Desk
from destseg.settings import PARAMS
from destseg.storage import memo

log = logging.getLogger("destseg.review")


def review(
    *,
    host: str,
    port: int,
    address: str | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    root: Path = Path(),
) -> None:
    """Serves the page until it is interrupted; an Error where it would not be safe."""
    desk = open_desk(host=host, port=port, address=address, tls=certificate is not None, root=root)
    print(f"The review page is at {desk.address}; stop it with Ctrl-C.", flush=True)
    if not desk.accounts:
        print("The registry has no accounts: anyone on this machine can promote.", flush=True)
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise Error(f"{path} does not exist; expected a PEM file")
    uvicorn.run(
        create_app(desk),
        host=host,
        port=port,
        log_config=None,
        access_log=False,  # ours has no query in it
        server_header=False,
        proxy_headers=address is not None,  # else anyone could say where he comes from, and try passwords for ever
        ssl_certfile=certificate,
        ssl_keyfile=key,
        limit_concurrency=500,
        timeout_keep_alive=30,
    )


def open_desk(*, host: str, port: int, address: str | None, tls: bool, root: Path) -> Desk:
    """The desk for a page that listens there, once it is clear that nobody else can act or listen in."""
    registry = tracking_uri()
    if not registry.startswith(("http://", "https://")):
        raise Error(
            f"the review page needs an MLflow server, MLFLOW_TRACKING_URI is {shown()}; name one such as "
            "http://127.0.0.1:5000 (`mlflow server` starts it, `destseg up` as well)"
        )
    if not (root / PARAMS).is_file():
        raise Error(f"{(root / PARAMS).absolute()} does not exist; run this in a checkout, for its gates decide")
    accounts = has_accounts(registry)
    if not accounts and not (is_loopback(host) and (address is None or is_loopback(httpx.URL(address).host))):
        raise Error(
            f"the registry at {shown()} has no accounts, so whoever reaches this page could promote; leave --host at "
            "127.0.0.1, or start MLflow with `--app-name basic-auth` (docs/deploy.md)"
        )
    if not is_loopback(host) and not tls and not (address or "").startswith("https://"):
        raise Error(
            f"--host {host} lets other machines in, and passwords would cross the network for all to read; give "
            "--certificate and --key, or --address https://... of the proxy that holds them"
        )
    if address is None:
        if host in ("0.0.0.0", "::"):
            raise Error(f"--host {host} is no name that people can open; say with --address which one they open")
        name = f"[{host}]" if ":" in host else host
        address = f"{'https' if tls else 'http'}://{name}:{port}"
    return Desk(
        registry=registry,
        accounts=accounts,
        address=_plain(address),
        root=root,
        acts=Acts(root),
        artifacts=Artifacts(memo.cache() / "review"),
    )


def has_accounts(registry: str) -> bool:
    """Whether the MLflow server asks who one is."""
    with Rest(registry) as anonymous:
        try:
            return anonymous.account() is not None
        except Unauthorised:
            return True


def _plain(address: str) -> str:
    """Scheme, host and port, as a browser names them."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.path not in ("", "/") or url.query or url.userinfo:
        raise Error(f"--address is {address!r}, expected scheme, host and port, such as https://review.example.com")
    return f"{url.scheme}://{url.netloc.decode()}".lower()  # without a port that goes without saying, as browsers do
