"""From this PC to the relay's port: names, the company's proxy, the connection itself."""

import asyncio
import socket
from contextlib import suppress
from typing import Final

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.doctor.case import STEP_SECONDS, Case, Place
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, failed, passed, warned
from cloud_connect_agent.happy_eyeballs import connect_first
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.reaching import DialError, reach

__all__ = ["check_connection", "check_dns", "check_proxy"]

_SHOWN_ADDRESSES: Final = 3
_SIGN_IN: Final = frozenset({401, 407})


async def check_dns(case: Case) -> Finding:
    """The name that this PC has to look up stands for an address: the relay's, or its proxy's."""
    with suppress(ConfigurationError):  # the next check says what is wrong with it
        case.proxy = await case.proxies.way(case.tunnel_url, afresh=True)
    proxy = case.proxy
    place = Place.of(case.tunnel_url)
    host, port = (place.host, place.port) if proxy is None else (proxy.host, proxy.port)
    whose = "relay" if proxy is None else "proxy"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        return _no_answer(host)
    except socket.gaierror as exc:
        if exc.errno == socket.EAI_AGAIN:
            return _no_answer(host)
        return failed(
            Code.NAME_UNKNOWN,
            f"The name of the {whose}, {host}, is not known to this PC's name servers.",
            f"Try `nslookup {host}`. If it fails elsewhere, too, the name is wrong or gone: ask "
            f"whoever runs the {whose}. If only here, ask your network team for a name server that "
            "knows it, or for a proxy.",
        )
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    shown = ", ".join(addresses[:_SHOWN_ADDRESSES])
    return passed(f"{host} is {shown}." if host not in addresses else f"{host} needs no look-up.")


async def check_proxy(case: Case) -> Finding:
    """If a proxy is on the way, it answers, lets this PC in, and connects it to the relay."""
    if case.proxy_fault is not None:
        return _unusable(case.proxy_fault)
    try:
        proxy = case.proxies.choose(case.tunnel_url)
    except ConfigurationError as exc:
        return _unusable(exc.message)
    told = case.daemon.status.get("proxy", ...)
    if told is not ... and _url_of(told) != (proxy.url if proxy else None):
        return warned(
            Code.PROXY_DIFFERS,
            f"The running agent uses {_named(told)}, and this command "
            f"{f'the proxy {proxy.url}' if proxy else 'none'}: they see other variables.",
            "Set proxy.url in agent.toml, which holds for both, and restart the agent.",
        )
    if proxy is None:
        return _without(case)
    if case.proxy is None:
        return passed(
            f"The proxy {proxy.url} ({proxy.source}) does not answer here, so the relay is reached "
            "directly, as proxy.fallback_direct permits."
        )
    try:
        async with asyncio.timeout(STEP_SECONDS):
            sock = await connect_first(proxy.host, proxy.port)
    except (OSError, TimeoutError) as exc:
        reason = "no answer" if isinstance(exc, TimeoutError) else (exc.strerror or "no route")
        return failed(
            Code.PROXY_UNREACHABLE,
            f"The proxy {proxy.url} ({proxy.source}) cannot be reached ({reason.lower()}).",
            f"Correct {proxy.source}, or ask your network team whether the proxy runs and lets "
            "this PC connect.",
        )
    sock.close()
    return await _ask_proxy(proxy, Place.of(case.tunnel_url))


async def check_connection(case: Case) -> Finding:
    """The relay's port takes connections."""
    place, proxy = Place.of(case.tunnel_url), case.proxy
    where = f"{place.host}, port {place.port}"
    if proxy is not None:  # the check before has been there
        return passed(f"{where} is reached through the proxy.")
    try:
        async with asyncio.timeout(2 * STEP_SECONDS):
            sock = await connect_first(place.host, place.port)
    except TimeoutError:
        return _silent(where, "no answer")
    except ConnectionRefusedError:
        return failed(
            Code.CONNECTION_REFUSED,
            f"{where} refuses connections: nothing listens there.",
            "Ask whoever runs the relay whether it runs, and whether this is its address "
            "(relay.tunnel_url in agent.toml).",
        )
    except OSError as exc:
        return _silent(where, (exc.strerror or "no route").lower())
    sock.close()
    return passed(f"{where} takes connections.")


async def _ask_proxy(proxy: Proxy, place: Place) -> Finding:
    try:
        sock = await reach(place.host, place.port, proxy=proxy, attempt=0, seconds=STEP_SECONDS)
    except DialError as exc:
        if exc.proxy_status in _SIGN_IN:
            return failed(
                Code.PROXY_SIGN_IN,
                exc.message,
                "Have your network team name a user for this PC; set proxy.username and "
                "proxy.password_file in agent.toml.",
            )
        if exc.proxy_status is not None and exc.proxy_status < 500:
            return failed(
                Code.PROXY_FORBIDS,
                exc.message,
                f"Ask your network team to let this PC reach {place.host}, port {place.port}, "
                "with CONNECT; `cloud-connect firewall-sheet` lists all that it needs.",
            )
        return failed(
            Code.PROXY_FAILS,
            f"{exc.message} It was to connect this PC to {place.host}, port {place.port}.",
            f"If {proxy.source} names no proxy, correct it; else ask whoever runs the proxy "
            "whether it reaches the relay.",
        )
    sock.close()
    return passed(f"The proxy {proxy.url} ({proxy.source}) connects this PC to the relay.")


def _without(case: Case) -> Finding:
    advice = case.proxies.advice(case.tunnel_url)
    if advice is None:
        return passed("No proxy is named, so the relay is reached directly.")
    return warned(
        Code.PROXY_SCRIPT,
        advice,
        "If the checks below pass, the relay is reached without a proxy, and nothing has to be "
        "done.",
    )


def _no_answer(host: str) -> Finding:
    return failed(
        Code.NAME_SERVER_SILENT,
        f"No name server answers this PC's question for {host}.",
        "Check that this PC has a network, and which name servers it uses; at boot, wait a "
        "moment: the agent goes on trying by itself.",
    )


def _silent(where: str, reason: str) -> Finding:
    return failed(
        Code.CONNECTION_SILENT,
        f"{where} cannot be reached ({reason}).",
        "A firewall in between drops the connection, or there is no network: ask your network "
        "team to let this PC out to that port, or to name the proxy to use.",
    )


def _unusable(reason: str) -> Finding:
    return failed(
        Code.PROXY_SETTINGS,
        reason,
        "Correct the section proxy of agent.toml, or the variable that is named.",
    )


def _url_of(told: object) -> object:
    return told.get("url") if isinstance(told, dict) else None


def _named(told: object) -> str:
    return f"the proxy {_url_of(told)}" if _url_of(told) else "no proxy"
