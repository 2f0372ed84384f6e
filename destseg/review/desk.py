"""What the pages share: where the registry is, who is signed in, what was read and decided."""

from dataclasses import dataclass, field
from pathlib import Path

from destseg.review.acts import Acts
from destseg.review.artifacts import Artifacts
from destseg.review.attempts import Attempts
from destseg.review.forms import SignInToken
from destseg.review.sessions import Sessions


@dataclass(kw_only=True)
class Desk:
    """One running page."""

    registry: str
    """Address of the MLflow server."""
    accounts: bool
    """Whether that server has accounts; without, nobody signs in."""
    address: str
    """What people open: scheme, host and port."""
    root: Path
    """The checkout whose params.yaml has the gates."""
    acts: Acts
    artifacts: Artifacts
    sessions: Sessions = field(default_factory=Sessions)
    attempts: Attempts = field(default_factory=Attempts)
    sign_in: SignInToken = field(default_factory=SignInToken)

    @property
    def secure(self) -> bool:
        """Whether cookies go over TLS only: always, but on this machine's own loopback."""
        return self.address.startswith("https://")

    @property
    def host(self) -> str:
        """What a browser that was given our address names as host."""
        return self.address.partition("://")[2]

    def cookie(self, what: str) -> str:
        """A cookie's name. On one machine all ports share their cookies, so the port is part of it."""
        return f"__Host-destseg-{what}" if self.secure else f"destseg-{what}-{self.host.rpartition(':')[2]}"
