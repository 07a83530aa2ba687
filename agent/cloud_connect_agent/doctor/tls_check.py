"""TLS to the relay: whether its certificate is good, and whether it is the relay's at all."""

import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.doctor.case import STEP_SECONDS, Case, Place
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, failed, passed, warned
from cloud_connect_agent.doctor.relay_question import ask_relay_who
from cloud_connect_agent.reaching import DialError, reach
from cloud_connect_agent.tls import client_context

__all__ = ["check_tls"]

_DATES: Final = frozenset({9, 10})  # OpenSSL: not yet valid, expired
_NAMES: Final = frozenset({62, 64})  # OpenSSL: another host's, another address's


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What the other end showed."""

    certificate: bytes
    version: str

    @property
    def read(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.certificate)

    @property
    def issuer(self) -> str:
        """Who vouches for it, as people call that."""
        for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
            names = self.read.issuer.get_attributes_for_oid(kind)
            if names:
                text = str(names[0].value)
                return "".join(sign for sign in text if sign.isprintable())[:100]
        return "an authority without a name"


async def check_tls(case: Case) -> Finding:
    """The certificate is trusted, for this name, of this time, and the relay's own."""
    place = Place.of(case.tunnel_url)
    try:
        case.tls = await asyncio.to_thread(client_context, case.settings.relay.ca_file)
    except ConfigurationError as exc:
        return failed(
            Code.AUTHORITY_FILE, exc.message, "Correct relay.ca_file in agent.toml, or the file."
        )
    if not place.secure:
        await ask_relay_who(case)
        return passed("The relay is on this machine: nothing leaves it, so there is no TLS.")
    try:
        shown = await _shake_hands(case, place, case.tls)
    except ssl.SSLCertVerificationError as exc:
        return await _refused(case, place, exc)
    except (OSError, TimeoutError, DialError) as exc:
        return _no_tls(place, exc)
    genuine = await ask_relay_who(case)
    told = case.daemon.status.get("certificate")
    if told == "intercepted" or (genuine and _digest(shown) not in genuine):
        return _read_along(case, shown)
    until = f"{shown.read.not_valid_after_utc:%Y-%m-%d}"
    own = ", and it is the relay's own" if genuine or told == "verified" else ""
    return passed(
        f"{shown.version}; the certificate, by {shown.issuer}, is good until {until}{own}."
    )


async def _shake_hands(case: Case, place: Place, context: ssl.SSLContext) -> _Shown:
    """Open TLS to the relay and close it again; nothing is sent inside."""
    sock = await reach(place.host, place.port, proxy=case.proxy, attempt=0, seconds=STEP_SECONDS)
    loop = asyncio.get_running_loop()
    transport: asyncio.Transport | None = None
    try:
        async with asyncio.timeout(STEP_SECONDS):
            transport, _ = await loop.create_connection(
                asyncio.Protocol, sock=sock, ssl=context, server_hostname=place.host
            )
        tls = transport.get_extra_info("ssl_object")
        return _Shown(
            certificate=tls.getpeercert(binary_form=True) or b"", version=tls.version() or "TLS"
        )
    finally:
        if transport is not None:
            transport.abort()
        else:
            sock.close()


async def _refused(case: Case, place: Place, error: ssl.SSLCertVerificationError) -> Finding:
    """Say why the certificate is not good, and who vouches for it."""
    # Looked at, and believed in nothing: no byte of ours goes over this connection.
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    try:
        shown = await _shake_hands(case, place, anybody)
        issuer = f" It was issued by {shown.issuer}."
    except (OSError, TimeoutError, DialError):
        shown, issuer = None, ""
    code = getattr(error, "verify_code", None)
    if code in _DATES and shown is not None:
        now, read = datetime.now(UTC), shown.read
        return failed(
            Code.CERTIFICATE_DATES,
            f"The certificate of {place.host} is good from {read.not_valid_before_utc:%Y-%m-%d} "
            f"to {read.not_valid_after_utc:%Y-%m-%d}, and this PC's clock says {now:%Y-%m-%d}."
            f"{issuer}",
            "If the clock is wrong, set it right; if the certificate has run out, whoever runs "
            "the relay has to renew it.",
        )
    if code in _NAMES:
        return failed(
            Code.CERTIFICATE_NAME,
            f"The certificate that is shown is not for {place.host}.{issuer}",
            "Check relay.tunnel_url in agent.toml; if it is right, another machine answers there: "
            "a portal that wants a sign-in, a proxy, or a name that leads elsewhere.",
        )
    reason = error.verify_message or "it cannot be verified"
    return failed(
        Code.CERTIFICATE_UNTRUSTED,
        f"The certificate of {place.host} is not trusted ({reason}).{issuer}",
        "If that is your company's own authority, a proxy inspects TLS here, or the relay is your "
        "company's: have IT install that authority on this PC, or name its file as relay.ca_file "
        "in agent.toml. If nobody knows it, do not: somebody may be listening.",
    )


def _no_tls(place: Place, error: Exception) -> Finding:
    match error:
        case TimeoutError():
            reason = "it does not answer the handshake"
        case DialError():
            reason = error.message.rstrip(".")
        case ssl.SSLError():
            reason = (error.reason or "it does not speak TLS").replace("_", " ").lower()
        case _:
            reason = "it cuts the connection"
    return failed(
        Code.TLS_FAILS,
        f"There is no TLS with {place.host}, port {place.port}: {reason}.",
        "Something in between breaks the connection (a firewall that looks into it), or the "
        "address is not the relay's: check relay.tunnel_url in agent.toml, and ask your network "
        "team for an exception for that name.",
    )


def _read_along(case: Case, shown: _Shown) -> Finding:
    cause = (
        f"A proxy of {shown.issuer} reads what this PC and the relay say to each other: the "
        "certificate that is shown here is not the relay's."
    )
    if case.settings.relay.allow_intercepted:
        return warned(
            Code.INTERCEPTION_ALLOWED,
            cause,
            "relay.allow_intercepted permits that. An exception for the relay's name at the proxy "
            "is better.",
        )
    return failed(
        Code.INTERCEPTED,
        cause,
        "Ask whoever runs the proxy for an exception for the relay's name. If you accept that it "
        "reads the calls, set relay.allow_intercepted = true in agent.toml.",
    )


def _digest(shown: _Shown) -> bytes:
    return hashlib.sha256(shown.certificate).digest()
