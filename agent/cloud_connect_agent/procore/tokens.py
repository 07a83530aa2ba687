"""What the vault keeps of Procore: an app's credentials, and the tokens got with them."""

import hashlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from cloud_connect.errors import SignInRequiredError
from cloud_connect.live_secrets import learn_secret
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.grants.refresh import Phase

__all__ = [
    "AUTHORIZATION_CODE",
    "CLIENT_CREDENTIALS",
    "AccessToken",
    "AppCredentials",
    "StoredToken",
    "app_secret_name",
    "read_answer",
    "token_secret_name",
]

CLIENT_CREDENTIALS: Final = "client-credentials"
AUTHORIZATION_CODE: Final = "authorization-code"

_RENEW_AT: Final = 0.8  # of a token's life
_DEFAULT_LIFE: Final = 5400.0  # seconds, if the answer does not say
_MAX_LIFE: Final = 30 * 86400.0  # seconds; more is a mistake


def app_secret_name(account: Account) -> str:
    """Name the vault's secret that holds the app's credentials."""
    return f"procore-app/{account.key}"


def token_secret_name(account: Account) -> str:
    """Name the vault's secret that holds the grant."""
    return f"procore-token/{account.key}"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AppCredentials(_Document):
    """An app's client id and secret, of one environment."""

    client_id: str = Field(min_length=1, max_length=500)
    client_secret: SecretStr = Field(min_length=1, max_length=2000)

    def model_post_init(self, _: object, /) -> None:
        """Keep the secret out of every log of this process."""
        learn_secret(self.client_secret.get_secret_value())

    @property
    def mark(self) -> str:
        """A digest that changes when the credentials do."""
        text = f"{self.client_id}\0{self.client_secret.get_secret_value()}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @classmethod
    def parse(cls, data: bytes, account: Account) -> "AppCredentials":
        """Read the vault's secret.

        Raises:
            SignInRequiredError: If it is damaged.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as exc:
            raise SignInRequiredError(
                f"The stored credentials of {account.label} are damaged. Run `cloud-connect "
                f"procore app {account.options}` on the connector's PC."
            ) from exc


class StoredToken(_Document):
    """A grant: that somebody signed in, how, and the token that came of it.

    Attributes:
        app_mark: Of the credentials that it was got with.
        expires_at: Unix seconds on this machine's clock.
        lifetime: Seconds from issue to end.
        refresh_token: Of the authorization-code grant; it can be presented once.
        phase: Where the refresh of a code grant stands.
        login: Whom a code grant acts for.
        user_id: The same, as Procore's id.
    """

    grant: Literal["client-credentials", "authorization-code"] = CLIENT_CREDENTIALS
    client_id: str = ""
    app_mark: str = ""
    access_token: SecretStr = SecretStr("")
    expires_at: float = 0.0
    lifetime: float = _DEFAULT_LIFE
    refresh_token: SecretStr = SecretStr("")
    phase: Phase = Phase.SETTLED
    login: str = ""
    user_id: int | None = None

    def model_post_init(self, _: object, /) -> None:
        """Keep the tokens out of every log of this process."""
        learn_secret(self.access_token.get_secret_value(), self.refresh_token.get_secret_value())

    @property
    def by_code(self) -> bool:
        """Whether somebody signed in, rather than the app itself."""
        return self.grant == AUTHORIZATION_CODE

    @classmethod
    def parse(cls, data: bytes) -> "StoredToken | None":
        """Read the vault's secret; a damaged one counts as none."""
        try:
            return cls.model_validate_json(data)
        except ValidationError:
            return None

    def dump(self) -> bytes:
        """Write the vault's secret."""
        document = self.model_dump()
        document["access_token"] = self.access_token.get_secret_value()
        document["refresh_token"] = self.refresh_token.get_secret_value()
        return orjson.dumps(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token in use.

    Attributes:
        account: Whose it is.
        generation: Grows with each token got, so that one rejection renews once.
        header: The value of ``Authorization``; never printed.
    """

    account: Account
    generation: int
    stored: StoredToken
    header: bytes
    ends_at: float  # monotonic
    renew_at: float  # monotonic

    def __repr__(self) -> str:
        return f"AccessToken(generation={self.generation})"

    @classmethod
    def of(
        cls, stored: StoredToken, *, account: Account, generation: int, now: float, wall: float
    ) -> "AccessToken":
        """Put a stored token to use.

        Args:
            now: Monotonic seconds.
            wall: Unix seconds of this machine.
        """
        life = min(stored.lifetime, _MAX_LIFE)
        # A wall clock that was set back must not lengthen a token's life.
        left = min(stored.expires_at - wall, life)
        return cls(
            account=account,
            generation=generation,
            stored=stored,
            header=b"Bearer " + stored.access_token.get_secret_value().encode("ascii"),
            ends_at=now + left,
            renew_at=now + left - life * (1 - _RENEW_AT),
        )

    def ended(self, *, now: float, wall: float) -> bool:
        """Whether it is over, by either clock: one stops in sleep, the other may be set."""
        return now >= self.ends_at or wall >= self.stored.expires_at

    def ageing(self, *, now: float, wall: float) -> bool:
        """Whether a fifth of its life or less is left."""
        reserve = self.stored.lifetime * (1 - _RENEW_AT)
        return now >= self.renew_at or wall >= self.stored.expires_at - reserve


class _Answer(_Document):
    access_token: str = Field(min_length=1, max_length=16384, pattern=r"^[\x21-\x7e]+$")
    expires_in: float | None = Field(default=None, gt=0)
    created_at: float | None = Field(default=None, gt=0)
    refresh_token: SecretStr | None = Field(default=None, max_length=16384)


def read_answer(
    body: bytes, *, date: str | None, wall: float, app: AppCredentials
) -> StoredToken | None:
    """Read a token endpoint's 200; ``None`` if it holds no token.

    Args:
        date: The answer's ``Date``: ``created_at`` counts on that clock, not on ours.
    """
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        return None
    life = left = min(answer.expires_in or _DEFAULT_LIFE, _MAX_LIFE)
    server_now = _unix(date)
    if answer.created_at is not None and server_now is not None:
        age = server_now - answer.created_at
        left = life - age if 0 < age < life else life  # who issues a token issues a living one
    return StoredToken(
        client_id=app.client_id,
        app_mark=app.mark,
        access_token=SecretStr(answer.access_token),
        expires_at=wall + left,
        lifetime=life,
        refresh_token=answer.refresh_token or SecretStr(""),
    )


def _unix(date: str | None) -> float | None:
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
