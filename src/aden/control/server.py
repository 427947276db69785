"""Which Aden server, with which key; and how both are kept from showing."""

import hashlib
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from aden.core.web import http_scheme
from aden.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Server:
    """An Aden server as this process speaks to it."""

    scheme: str
    host: str
    port: int
    path: str
    """What stands before each endpoint's path; no slash at its end."""
    key: str = field(repr=False)
    policy_id: str | None = None
    """The policy that is asked for; None: the team's default."""

    @classmethod
    def at(cls, url: str, key: str, policy_id: str | None = None) -> "Server":
        """The server at a base URL, which ``ws`` and ``wss`` may begin as well.

        User, password, query and fragment of the URL are left out: the key is what counts.

        Raises:
            ConfigurationError: The policy's id cannot be sent.
        """
        parts = urlsplit(url)
        scheme = http_scheme(parts.scheme)
        if policy_id is not None:
            good = policy_id.isascii() and policy_id.isprintable() and " " not in policy_id
            if not good or not 0 < len(policy_id) <= 200:
                allowed = "1 to 200 printable ASCII characters without spaces"
                raise ConfigurationError("policy_id", policy_id, allowed)
        path = quote(parts.path.rstrip("/"), safe="/%~!$&'()*+,;=:@")
        port = parts.port or (443 if scheme == "https" else 80)
        return cls(scheme, parts.hostname or "", port, path, key, policy_id)

    @property
    def url(self) -> str:
        """The base URL, without secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}.get(self.scheme) == self.port
        return f"{self.scheme}://{host}{'' if usual else f':{self.port}'}{self.path}"

    @property
    def digest(self) -> str:
        """Names this server, key and policy on disk, and tells nobody the key."""
        said = "\n".join((self.url, self.key, self.policy_id or ""))
        return hashlib.sha256(said.encode()).hexdigest()[:32]

    def headers(self, instance_id: str) -> dict[str, str]:
        """What every request carries."""
        headers = {"Authorization": f"Bearer {self.key}", "X-SDK-Instance-ID": instance_id}
        if self.policy_id is not None:
            headers["X-Policy-ID"] = self.policy_id
        return headers

    def masked(self, text: str) -> str:
        """A text of an error, without the key and not too long."""
        return text.replace(self.key, "***")[:300]
