"""A login host with single-use codes and refresh tokens that remembers who presented what."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from cloud_connect_agent.procore.grants.authorization import OOB_URI
from cloud_connect_agent.procore.oauth import Authenticator
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply, Seen

__all__ = ["GRANT_NAME", "REFUSED", "RotatingLogin", "sign_in_by_code", "stored"]

GRANT_NAME = "procore-token/developer-sandbox"

REFUSED = Reply(status=400, body={"error": "invalid_grant", "error_description": "Grant is dead"})


@dataclass
class RotatingLogin:
    """Answers for a :class:`FakeProcore`; install it with :meth:`on`.

    Attributes:
        faults: Answers that replace the true one; the request is carried out before.
        presented: How often each refresh token or code came.
        reaches: Whether a request that a fault answers was carried out.
    """

    lifetime: int = 5400
    login: str = "ann@example.com"
    user_id: int = 7
    companies: list[int] = field(default_factory=lambda: [8089])
    faults: list[Reply] = field(default_factory=list)
    presented: Counter[str] = field(default_factory=Counter)
    revoked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    reaches: bool = True
    issued: int = 0
    _live: set[str] = field(default_factory=lambda: {"code-1", "code-2", "code-3"})

    def on(self, procore: FakeProcore) -> "RotatingLogin":
        procore.login.default = self._login
        procore.api.default = self._api
        return self

    def _login(self, seen: Seen) -> Reply:
        form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        if seen.target.endswith("/oauth/revoke"):
            self.revoked.append(form["token"])
            return Reply(body={})
        self.forms.append(form)
        secret = form.get("code") or form.get("refresh_token") or ""
        if secret:
            self.presented[secret] += 1
        if self.faults:
            if self.reaches:
                self._live.discard(secret)
            return self.faults.pop(0)
        if secret and secret not in self._live:
            return REFUSED
        self._live.discard(secret)
        return Reply(body=self._pair(rotates=bool(secret)))

    def _pair(self, *, rotates: bool) -> dict[str, Any]:
        self.issued += 1
        pair: dict[str, Any] = {
            "access_token": f"access-{self.issued}",
            "token_type": "bearer",
            "expires_in": self.lifetime,
            "created_at": int(time.time()),
        }
        if rotates:
            pair["refresh_token"] = f"refresh-{self.issued}"
            self._live.add(pair["refresh_token"])
        return pair

    def _api(self, seen: Seen) -> Reply:
        if seen.target == "/rest/v1.0/me":
            return Reply(body={"id": self.user_id, "login": self.login, "name": "Ann"})
        if seen.target.startswith("/rest/v1.0/companies"):
            page = int(parse_qs(seen.target.partition("?")[2])["page"][0])
            return Reply(body=[{"id": company} for company in self.companies] if page == 1 else [])
        return Reply(body=[])


async def sign_in_by_code(
    authenticator: Authenticator,
    code: str = "code-1",
    *,
    remote: bool = False,
    company_id: int | None = None,
) -> None:
    account = authenticator.accounts.named(SANDBOX, "default")
    authorization = await authenticator.authorize(
        account, redirect_uri=OOB_URI, remote=remote, company_id=company_id
    )
    await authenticator.redeem(authorization, code)


def stored(vault: MemoryVault) -> dict[str, object]:
    found: dict[str, object] = json.loads(vault.secrets[GRANT_NAME])
    return found
