"""Tests of ``cloud_connect_agent.tls``."""

import ssl
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.tls import client_context


def test_names_and_certificates_are_checked() -> None:
    context = client_context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"ca\.pem holds no certificate"):
        client_context(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ca\.pem cannot be read"):
        client_context(tmp_path / "ca.pem")
