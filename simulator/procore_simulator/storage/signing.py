"""Signed addresses: what they allow stands in them, and the signature keeps it so."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode

__all__ = ["ExpiredError", "SignatureError", "Signer"]


class SignatureError(Exception):
    """An address was changed, or never signed here."""


class ExpiredError(SignatureError):
    """An address is too old."""


class Signer:
    """Signs and opens addresses with a secret of its own."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def digest(self, text: str) -> str:
        """Return the signature of *text*."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def sign(self, path: str, facts: Mapping[str, str], *, expires_at: float) -> str:
        """Return *path* with a query that holds *facts* and is good until *expires_at*."""
        query = urlencode([*facts.items(), ("expires_at", str(int(expires_at)))], quote_via=quote)
        return f"{path}?{query}&sig={self.digest(f'{path}?{query}')}"

    def open(self, path: str, query: str, *, now: float) -> dict[str, str]:
        """Return the facts of a signed address.

        Raises:
            ExpiredError: If it is too old.
            SignatureError: If anything in it was changed.
        """
        signed, _, signature = query.rpartition("&sig=")
        if not hmac.compare_digest(signature, self.digest(f"{path}?{signed}")):
            raise SignatureError
        facts = dict(parse_qsl(signed, keep_blank_values=True))
        if int(facts.pop("expires_at")) < now:
            raise ExpiredError
        return facts
