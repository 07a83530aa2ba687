"""One attempt of a person to sign in: its state, its verifier, and the URL to open."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlencode

from cloud_connect.live_secrets import learn_secret
from cloud_connect_agent.procore.grants.accounts import Account

__all__ = ["OOB_URI", "Authorization"]

OOB_URI = "urn:ietf:wg:oauth:2.0:oob"  # Procore shows the code instead of redirecting
_BYTES = 32  # 256 bits of state and of verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """What a code has to come back to.

    Attributes:
        company_id: The company of the data source that it is for, if it is for one.
        remote: Whether it was asked for through the relay, not on this PC.
        state: Comes back with the code; nobody else can know it.
        verifier: Never leaves this PC but for Procore's token endpoint (RFC 7636).
    """

    account: Account
    client_id: str
    login_url: str
    redirect_uri: str
    company_id: int | None = None
    remote: bool = False
    state: str = field(default_factory=lambda: secrets.token_urlsafe(_BYTES), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(_BYTES), repr=False)

    def __post_init__(self) -> None:
        """Keep both out of every log of this process."""
        learn_secret(self.state, self.verifier)

    @property
    def url(self) -> str:
        """Where the person's browser has to go."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{self.login_url}/oauth/authorize?{urlencode(query)}"

    def knows(self, state: str) -> bool:
        """Whether *state* is this attempt's own."""
        return hmac.compare_digest(self.state.encode(), state.encode())
