"""What Windows says about proxies: of the person, of the machine, and of a script."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from doubles.wine import Wine

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]

# WinHTTP's own call to set what `netsh winhttp set proxy` sets: Wine has no such netsh.
PROGRAM: Final = r"""
import ctypes, json, sys, winreg
from cloud_connect_agent.proxies import Proxies

SETTINGS = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"

class Info(ctypes.Structure):
    _fields_ = (
        ("access", ctypes.c_uint32), ("proxy", ctypes.c_wchar_p), ("bypass", ctypes.c_wchar_p)
    )

def said(url="wss://relay.example.com/tunnel"):
    proxies = Proxies()
    return [proxies.describe(url), proxies.advice(url)]

def person(name, kind, value):
    with winreg.CreateKey(winreg.HKEY_CURRENT_USER, SETTINGS) as key:
        winreg.SetValueEx(key, name, 0, kind, value)

def machine(proxy, bypass):
    info = Info(3 if proxy else 1, proxy, bypass)
    if not ctypes.WinDLL("winhttp").WinHttpSetDefaultProxyConfiguration(ctypes.byref(info)):
        raise ctypes.WinError()

found = {"nothing": said()}
person("AutoConfigURL", winreg.REG_SZ, "http://wpad.example/proxy.pac")
found["script"] = said()
machine("https=machine.example:8080", "<local>;*.intern.example")
found["machine"] = said()
found["bypassed"] = said("https://files.intern.example")
person("ProxyServer", winreg.REG_SZ, "person.example:3128")
person("ProxyEnable", winreg.REG_DWORD, 1)
found["person"] = said()
machine(None, None)
person("ProxyEnable", winreg.REG_DWORD, 0)
with winreg.CreateKey(winreg.HKEY_CURRENT_USER, SETTINGS) as key:
    winreg.DeleteValue(key, "AutoConfigURL")
found["again"] = said()
print("FOUND " + json.dumps(found))
"""


def test_proxies_of_the_person_and_the_machine_are_used_and_a_script_is_named(
    wine: Wine, python: Path
) -> None:
    said = wine.run(python, "-I", "-B", "-c", PROGRAM, within=120)
    line = next(line for line in said.output.splitlines() if line.startswith("FOUND "))
    found: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
    assert found["nothing"] == [None, None]
    proxy, advice = found["script"]
    assert proxy is None
    assert "(PAC, http://wpad.example/proxy.pac)" in advice
    assert found["machine"] == [
        {"url": "http://machine.example:8080", "source": "Windows' own (netsh winhttp)"},
        None,
    ]
    assert found["bypassed"][0] is None
    assert found["person"] == [
        {"url": "http://person.example:3128", "source": "the system's settings"},
        None,
    ]
    assert found["again"] == [None, None]
