"""Ports on 127.0.0.1 that stay the same from run to run, who holds one, and whether a server answers."""

import json
import random
import socket
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from destseg import Error
from destseg.files import write_text

HOST = "127.0.0.1"
# Below the ports that Linux and macOS give to outgoing connections, which could hold one against its server's restart.
_RANGE = range(20000, 32768)
# urllib would send even loopback addresses through a proxy named in the environment.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def address(folder: Path, name: str) -> str:
    """http://127.0.0.1:PORT for the server `name`: the port of the last run where it is free, kept in ports.json."""
    ports = known_ports(folder)
    others = {port for other, port in ports.items() if other != name}
    candidates = [*([ports[name]] if name in ports else []), *random.sample(_RANGE, 100)]
    for port in candidates:
        if port not in others and is_free(port):
            write_text(folder / "ports.json", json.dumps(ports | {name: port}))
            return f"http://{HOST}:{port}"
    raise Error(f"no free port on {HOST}: {len(candidates)} between {_RANGE.start} and {_RANGE.stop} were tried")


def known_ports(folder: Path) -> dict[str, int]:
    """The ports of the last run by the name of their server; none before the first."""
    path = folder / "ports.json"
    if not path.exists():
        return {}
    try:
        ports: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Error(f"{path} is no JSON ({error}): delete it, and the servers get new ports") from None
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a closed one may linger
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who has the port, as far as the system tells us."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:  # macOS tells root only; or it has ended meanwhile
        pass
    return "another process"


def answers(url: str) -> bool:
    """Whether a server says anything but that it is broken; waits two seconds at most."""
    try:
        with direct.open(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500  # S3 answers a stranger with 400 or 403
    except OSError:
        return False
