"""Who answers in place of the relay or Procore: proxies that refuse, networks that want a sign-in.

A hotel's or a guest network's sign-in page answers for every host. Nothing here follows it: what
was asked carries credentials, and a page in between must see none of them.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from ssl import SSLCertVerificationError
from typing import Final
from urllib.parse import urlsplit

from cloud_connect_agent.proxies import SETTING, Proxy

__all__ = ["ProxyOffers", "explain_other_name", "explain_refusal", "page_in_between", "schemes_in"]

_SIGN_IN: Final = frozenset({401, 407})  # tinyproxy says 401 of a wrong password
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NETWORK_SIGN_IN: Final = 511  # RFC 6585, 6
_NAMES: Final = {"ntlm": "NTLM", "negotiate": "Kerberos (Negotiate)", "digest": "Digest"}
_OTHER_NAME: Final = frozenset({62, 64})  # OpenSSL's X509_V_ERR_HOSTNAME_, _IP_ADDRESS_MISMATCH
_MAX_NAME: Final = 253
_UNNAMED: Final = "another host"
_REMEDY: Final = (
    "if the address is right, it is the sign-in page of this network (guest Wi-Fi, hotel, company"
    " gateway): sign in with a browser on this PC, or have IT let the PC through without."
)

Tracer = Callable[[str, Mapping[str, object]], Awaitable[None]]


def explain_refusal(
    status: int, proxy: Proxy, *, host: str = "", offers: Iterable[str] = ()
) -> str:
    """Say in a sentence why a proxy opened no tunnel, and what to do.

    Args:
        host: Where to it should have opened one.
        offers: The ways to sign in that it named, as :func:`schemes_in` reads them.
    """
    name, where = f"The proxy {proxy.url}", host or "this connection"
    if status in _SIGN_IN:
        return f"{name} {_sign_in(status, proxy, tuple(offers))}"
    if status == 403:
        return (
            f"{name} does not allow {where} (status 403): have whoever runs it put the hosts that"
            " `cloud-connect firewall-sheet` prints on its list."
        )
    if status in _REDIRECTS or status == _NETWORK_SIGN_IN:
        return (
            f"{name} answers with a sign-in page (status {status}): sign this PC in to the network"
            " in a browser, or have IT let it through without."
        )
    if status in {502, 503, 504}:
        return (
            f"{name} could not connect to {where} (status {status}): the proxy itself does not"
            " reach it, or does not know its name."
        )
    return f"{name} could not connect to {where} (status {status})."


def _sign_in(status: int, proxy: Proxy, offers: tuple[str, ...]) -> str:
    if offers and "basic" not in offers:
        names = " and ".join(_NAMES.get(one, one) for one in offers)
        return (
            f"offers only {names} to sign in (status {status}), which is not supported: have IT"
            " allow Basic or no sign-in for this PC, or name a local forwarder such as Px or cntlm"
            " as proxy.url."
        )
    of_setting = proxy.source == SETTING
    if proxy.sign_in is not None:
        where = "proxy.username and proxy.password_file" if of_setting else proxy.source
        return f"does not accept the user name or password (status {status}): check {where}."
    if of_setting:
        return (
            f"wants a user name and password (status {status}): set proxy.username and"
            " proxy.password_file."
        )
    return (
        f"wants a user name and password (status {status}): name it as proxy.url in agent.toml,"
        " with proxy.username and proxy.password_file."
    )


def schemes_in(challenges: Iterable[str]) -> tuple[str, ...]:
    """Return the ways to sign in that ``Proxy-Authenticate`` or ``WWW-Authenticate`` offers."""
    words = (challenge.strip().partition(" ")[0].lower() for challenge in challenges)
    known = (word[:20] for word in words if word.isascii() and word.isalnum())
    return tuple(dict.fromkeys(known))


def page_in_between(status: int, headers: Mapping[str, str], *, host: str) -> str | None:
    """Say in a sentence that a page of somebody in between answers; ``None`` if none seems to.

    Args:
        headers: Of the answer, by lower-case name or in any case that the mapping ignores.
        host: Who was asked.
    """
    if status == _NETWORK_SIGN_IN:
        return f"This network wants a sign-in before it lets {host} answer (status 511): {_REMEDY}"
    if status in _REDIRECTS:
        place = _host_of(headers.get("location", ""))
        if place and place != host.lower():
            return (
                f"Instead of {host}, somebody answers with a redirect to {place} (status"
                f" {status}), which is not followed: {_REMEDY}"
            )
        return None
    if 200 <= status < 300 and "html" in headers.get("content-type", "").lower():
        return f"Instead of {host}, a web page answers (status {status}): {_REMEDY}"
    return None


def explain_other_name(error: SSLCertVerificationError, host: str) -> str | None:
    """Say in a sentence that a good certificate is somebody else's; ``None`` if it is not that."""
    if error.verify_code not in _OTHER_NAME:
        return None
    return (
        f"What answers as {host} shows another name's certificate"
        f" ({error.verify_message.rstrip('.')}): either this network has a sign-in page (guest"
        " Wi-Fi, hotel), or DNS names a wrong address."
    )


def _host_of(location: str) -> str:
    """Return the host that a redirect names, fit for a terminal; empty if it names none."""
    try:
        host = urlsplit(location).hostname or ""
    except ValueError:
        return _UNNAMED
    return host[:_MAX_NAME] if host.isascii() and host.isprintable() else _UNNAMED


class ProxyOffers:
    """Listens to an httpx transport for the ways to sign in that a proxy names when it refuses.

    The transport's own error has the status only.

    Args:
        beside: Hears the same.
    """

    __slots__ = ("_asking", "_beside", "schemes")

    def __init__(self, beside: Tracer | None = None) -> None:
        self._asking = False
        self._beside: Final = beside
        self.schemes: tuple[str, ...] = ()

    async def __call__(self, event: str, info: Mapping[str, object]) -> None:
        """Take a trace event of the transport."""
        if event.endswith(".send_request_headers.started"):
            self._asking = getattr(info.get("request"), "method", b"") == b"CONNECT"
        elif self._asking and event.endswith(".receive_response_headers.complete"):
            answer = info.get("return_value")
            headers = answer[3] if isinstance(answer, tuple) and len(answer) > 3 else ()
            named = {b"proxy-authenticate", b"www-authenticate"}
            self.schemes = schemes_in(
                value.decode("latin-1") for name, value in headers if name.lower() in named
            )
        if self._beside is not None:
            await self._beside(event, info)
