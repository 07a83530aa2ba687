"""Who is calling: credentials in, principals out, and a brake on guessing."""

import contextlib
import functools
import hashlib
import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect.errors import InsufficientScopeError, UnauthorizedError
from cloud_connect_relay.access.subject import Subject, Unknown
from cloud_connect_relay.credentials import (
    ROLES,
    STRANGER_SCOPES,
    Credential,
    CredentialKind,
    common_scopes,
)
from cloud_connect_relay.failure_brake import FailureBrake
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.networks import admits, counted_as
from cloud_connect_relay.passwords import MAX_PASSWORD, Passwords
from cloud_connect_relay.remembered import Remembered, Said
from cloud_connect_relay.storage.keys import Grants
from cloud_connect_relay.storage.users import find_login

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloud_connect_relay.identity import Pepper
    from cloud_connect_relay.metrics import Metrics
    from cloud_connect_relay.quota import Quota
    from cloud_connect_relay.settings import AuthSettings
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.keys import Grant
    from cloud_connect_relay.storage.users import User

__all__ = ["Authenticator", "IssuedToken", "Principal"]

log = structlog.get_logger(__name__)

_MAX_CACHED: Final = 10_000  # credentials believed without a look at the store
_USED_INTERVAL: Final = 60.0  # seconds between two notes of a key's last use
_NOBODY: Final = bytes(32)  # compared for unknown ids, so that they cost what known ones cost
_MAX_USERNAME: Final = 256
_NO_CREDENTIAL: Final = "Send a valid API key or token as 'Authorization: Bearer …'."
_MAX_HEADER: Final = 512  # characters; our credentials have 79


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a request is from, as its credential says.

    Attributes:
        credential_id: What was presented: an API key, or a token.
        key_id: The API key, also behind a token derived from one; of a person's token, the person.
        subject: Whom data sources judge it by.
        datasource_id: The only data source that the credential is good for, if it is bound.
        addresses: Networks that the credential may be used from; none: from anywhere.
        acts_for: What users count as whom it names and nobody here knows; ``None``: it may
            name none.
        named: The user that it acts for, as it named them.
    """

    subscription_id: str
    key_id: str
    scopes: frozenset[str]
    subject: Subject
    user_id: str | None = None
    datasource_id: str | None = None
    credential_id: str = ""
    addresses: tuple[str, ...] = ()
    acts_for: Unknown | None = None
    named: str | None = None

    def may(self, scope: str) -> bool:
        """Whether the scopes cover *scope*."""
        return scope in self.scopes or "all" in self.scopes

    @property
    def actor(self) -> str:
        """The name of the principal in the audit log."""
        if self.named is not None:
            return f"key:{self.key_id} for {self.named}"
        return f"user:{self.user_id}" if self.user_id else f"key:{self.key_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token as its holder gets it, once."""

    id: str
    text: str
    issued_at: float
    expires_at: float


class QuotaLearner(Protocol):
    """Who bounds the calls of subscriptions and keys."""

    def learn(
        self, subscription_id: str, key_id: str, *, of_subscription: "Quota", of_key: "Quota"
    ) -> None:
        """Take in what the store says of a credential's quotas."""
        ...


class Authenticator:
    """Turns an ``Authorization`` header into a principal.

    What the store said is believed for a moment (``cache_timeout``), which is how long a
    revoked credential may go on working; for longer only while the store is out of reach.

    Args:
        learner: Told of the quotas that come with each credential.
    """

    def __init__(
        self,
        storage: "Storage",
        *,
        pepper: "Pepper",
        settings: "AuthSettings",
        metrics: "Metrics",
        learner: QuotaLearner | None = None,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage: Final = storage
        self._grants: Final = Grants(storage)
        self._pepper: Final = pepper
        self._cache_timeout: Final = settings.cache_timeout
        self._metrics: Final = metrics
        self._learner: Final = learner
        self._clock: Final = clock
        self._passwords: Final = Passwords()
        self._brake: Final = FailureBrake(settings.failures_per_minute, clock=ticks)
        # Passwords are counted apart: a program with an old key must not lock people out.
        self._password_brake: Final = FailureBrake(settings.failures_per_minute, clock=ticks)
        self._known: Final = Remembered[bytes, Principal](most=_MAX_CACHED, clock=ticks)

    async def authenticate(
        self, authorization: str | None, *, source: str | None = None
    ) -> Principal:
        """Return who presents the header ``Authorization: Bearer …``.

        Args:
            source: The caller's address; its failures are counted.

        Raises:
            UnauthorizedError: If no live credential came; the message is always the same.
            QuotaExceededError: If the source fails too often.
        """
        if authorization is None:
            raise UnauthorizedError(_NO_CREDENTIAL)
        scheme, _, text = authorization[:_MAX_HEADER].strip().partition(" ")
        if scheme.lower() == "bearer":
            principal = await self.principal_of(text.strip())
            if principal is not None and _is_admitted(principal, source):
                return principal
        raise self.failure(source, kind="bearer")

    def failure(self, source: str | None, *, kind: str) -> UnauthorizedError:
        """Count a refused credential and return the error to raise, the same for every cause.

        Raises:
            QuotaExceededError: If *source* fails too often.
        """
        self._metrics.auth_failures.labels(kind).inc()
        if source is not None:
            self._brake.failed(counted_as(source))
        return UnauthorizedError(_NO_CREDENTIAL)

    async def principal_of(self, text: str) -> Principal | None:
        """Return who holds the API key or access token *text*; ``None`` if nobody does."""
        digest = hashlib.sha256(text.encode()).digest()
        return self._known.fresh(digest) or await self._known.ask(
            digest, functools.partial(self._look_up, text)
        )

    async def _look_up(self, text: str) -> Said[Principal] | None:
        grant = await self.redeem(text, kinds=(CredentialKind.API_KEY, CredentialKind.ACCESS_TOKEN))
        if grant is None:
            return None
        principal = self.holder(grant)
        if grant.kind == "key" and (
            grant.last_used_at is None or grant.last_used_at < self._clock() - _USED_INTERVAL
        ):
            with contextlib.suppress(SQLAlchemyError):  # a full disk keeps nobody from reading
                await self._grants.used(grant.id, at=self._clock())
        left = math.inf if grant.live_until is None else grant.live_until - self._clock()
        return Said(principal, self._cache_timeout, at_most=left)

    def holder(self, grant: "Grant") -> Principal:
        """Return who holds a live credential, after having learnt of its quotas."""
        principal = _principal(grant)
        if self._learner is not None:
            self._learner.learn(
                principal.subscription_id,
                principal.key_id,
                of_subscription=grant.subscription_quota,
                of_key=grant.quota,
            )
        return principal

    async def acting_for(self, principal: Principal, name: str) -> Principal:
        """Return *principal* acting for the user *name*, with no more rights than they have.

        Raises:
            InsufficientScopeError: If the credential may not, or the user may not sign in.
        """
        if principal.acts_for is None:
            raise InsufficientScopeError(
                "This credential may not act for users; use an API key that was created to"
                " ('key create --acts-for'), or leave Cloud-Connect-User out."
            )
        subject, scopes = await self.person(
            principal.subscription_id, name, unknown=principal.acts_for
        )
        scopes = common_scopes(principal.scopes, scopes)
        return replace(
            principal,
            scopes=scopes,
            subject=replace(subject, edits=not scopes.isdisjoint({"all", "datasources:write"})),
            named=name,
        )

    async def person(
        self, subscription_id: str, name: str, *, unknown: Unknown
    ) -> tuple[Subject, frozenset[str]]:
        """Return whom a platform means by the user *name*, and what they may do.

        Args:
            unknown: What they count as if nobody here is known by that id or user name.

        Raises:
            InsufficientScopeError: If they are known here and may not sign in any more.
        """
        known = await self._storage.of(subscription_id).users.known_as(name)
        for user in known:
            if user.revoked_at is None:
                scopes = ROLES[user.role]
                return Subject.of_user(
                    user.id, user.username, role=user.role, scopes=scopes
                ), scopes
        if known or is_id("usr", name.casefold()) or is_id("key", name.casefold()):
            raise InsufficientScopeError("The user that the request is made for may not sign in.")
        subject = Subject.of_stranger(name, unknown)
        return subject, ROLES["partner"] if subject.partner else STRANGER_SCOPES

    async def redeem(
        self, text: str, *, kinds: "Iterable[CredentialKind]", source: str | None = None
    ) -> "Grant | None":
        """Look a credential up, past the cache, and return what it stands for if it is live.

        Args:
            source: The address it comes from, where that has not been looked at yet.
        """
        credential = Credential.parse(text)
        if credential is None or credential.kind not in kinds:
            return None
        if credential.kind is CredentialKind.API_KEY:
            grant = await self._grants.find_key(credential.id)
        else:
            grant = await self._grants.find_token(credential.id)
        stored = _NOBODY if grant is None else grant.secret_hash
        genuine = hmac.compare_digest(self._pepper.digest(credential.secret), stored)
        if grant is None or not genuine or not grant.is_live(self._clock()):
            return None
        if source is not None and not _is_admitted(grant, source):
            return None
        # A refresh token opens nothing, an access token refreshes nothing, and so on.
        return grant if credential.kind is CredentialKind.of_stored(grant.kind) else None

    async def user_of(self, *, username: str, password: str, source: str | None) -> "User | None":
        """Return who signs in with the name and the password; ``None`` if nobody does.

        Failures are counted by address, never by name: nobody can lock somebody else out.

        Raises:
            QuotaExceededError: Before anything is checked, if there were too many failures, or
                too many sign in at once.
        """
        place = counted_as(source)

        def permit() -> None:
            self._password_brake.check(place)

        permit()
        if 0 < len(username) <= _MAX_USERNAME and 0 < len(password) <= MAX_PASSWORD:
            found = await find_login(self._storage, username)
            stored = None if found is None else found.password_hash
            if await self._passwords.matches(password, stored, permit=permit):
                if found is not None and self._passwords.is_outdated(found.password_hash):
                    await self._rehash(found, password)
                return found
        self._metrics.auth_failures.labels("password").inc()
        self._password_brake.failed(place)
        return None

    async def _rehash(self, user: "User", password: str) -> None:
        """Store a password anew: it was hashed with parameters of an older version."""
        after = await self._passwords.hash(password)
        users = self._storage.of(user.subscription_id).users
        await users.rehash(user.id, before=user.password_hash, after=after)

    async def hash_password(self, password: str) -> str:
        """Return what to store of a new password.

        Raises:
            QuotaExceededError: If too many wait for that already.
        """
        return await self._passwords.hash(password)

    async def issue(
        self,
        subscription_id: str,
        *,
        kind: str,
        lifetime: float,
        scopes: "Iterable[str]",
        key_id: str | None = None,
        user_id: str | None = None,
        datasource_id: str | None = None,
    ) -> IssuedToken:
        """Make and store a token that stands for a key or a person for *lifetime* seconds.

        Args:
            kind: ``bearer``, ``oauth``, ``refresh`` or ``console``.
        """
        credential = Credential.new(CredentialKind.of_stored(kind))
        now = self._clock()
        await self._storage.of(subscription_id).access_tokens.add(
            credential.id,
            kind=kind,
            secret_hash=self._pepper.digest(credential.secret),
            scopes=scopes,
            at=now,
            expires_at=now + lifetime,
            key_id=key_id,
            user_id=user_id,
            datasource_id=datasource_id,
        )
        return IssuedToken(
            id=credential.id, text=credential.reveal(), issued_at=now, expires_at=now + lifetime
        )

    def forget(self) -> None:
        """Believe nothing without a look at the store: something was revoked here."""
        self._known.forget()


def _principal(grant: "Grant") -> Principal:
    key_id = grant.key_id or grant.user_id or grant.id  # a person's tokens share what is theirs
    if grant.user_id is None:
        subject = Subject.of_program(key_id, grant.scopes)
    else:
        subject = Subject.of_user(
            grant.user_id, grant.username or "", role=grant.role or "", scopes=grant.scopes
        )
    return Principal(
        subscription_id=grant.subscription_id,
        key_id=key_id,
        scopes=grant.scopes,
        subject=subject,
        user_id=grant.user_id,
        datasource_id=grant.datasource_id,
        credential_id=grant.id,
        addresses=grant.addresses,
        acts_for=None if grant.acts_for is None else Unknown(grant.acts_for),
    )


def _is_admitted(holder: "Principal | Grant", source: str | None) -> bool:
    """Whether a credential may be used from *source*; its operator finds in the log that not."""
    if admits(holder.addresses, source):
        return True
    log.warning("credential_used_from_elsewhere", key_id=holder.key_id, source=source)
    return False
