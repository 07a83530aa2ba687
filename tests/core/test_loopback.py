"""Which hosts are this machine."""

import pytest

from cloud_connect.loopback import is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"]
)
def test_this_machine_is_told_by_the_name_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "192.168.0.1", "0.0.0.0", "example.com", "127.0.0.1.example"])
def test_no_other_host_is_this_machine(host: str) -> None:
    assert not is_loopback(host)
