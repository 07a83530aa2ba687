"""Whom the connection tells how it fares."""

from typing import Protocol

from cloud_connect.handshake_messages import CertificateCheck
from cloud_connect.session import Session

__all__ = ["ConnectionHealth"]


class ConnectionHealth(Protocol):
    """Whom the connection tells how it fares."""

    def connecting(self) -> None:
        """A dial begins."""

    def connected(self, session: Session) -> None:
        """A round trip through the relay succeeded."""

    def offline(self, reason: str) -> None:
        """There is no session, for a reason that is a sentence."""

    def revoked(self, reason: str) -> None:
        """The relay has revoked this connector."""

    def intercepted(self, reason: str) -> None:
        """The relay refuses because somebody sits in between and reads along."""

    def certificate(self, check: CertificateCheck) -> None:
        """What the relay says of the certificate that was seen here."""

    def round_trip(self, seconds: float) -> None:
        """A ping came back."""

    def clock_skew(self, seconds: float) -> None:
        """This PC's clock is so far ahead of the relay's."""

    def drain(self) -> None:
        """Running calls are finished, no others taken."""
