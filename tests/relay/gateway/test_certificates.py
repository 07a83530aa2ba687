import datetime as dt
import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from cloud_connect.closing import CloseCode
from cloud_connect.errors import ConfigurationError
from cloud_connect.handshake_messages import NO_CERTIFICATE, HandshakeError
from cloud_connect_relay.gateway.certificates import KnownCertificates, server_context
from doubles.certificates import Authority


def digest(certificate: Path) -> bytes:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).digest()


def test_without_known_certificates_nothing_is_verified() -> None:
    assert KnownCertificates().check(bytes(32)) == "unverified"


def test_first_certificate_of_a_file_is_the_one_that_agents_see(tmp_path: Path) -> None:
    authority = Authority.make()
    certificate, _ = authority.issue(tmp_path, "localhost")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificate.read_bytes() + authority.pem)
    known = KnownCertificates.load([chain])
    leaf = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert known.check(hashlib.sha256(leaf).digest()) == "verified"


def test_other_certificate_or_none_means_interception(tmp_path: Path) -> None:
    authority = Authority.make()
    certificate, _ = authority.issue(tmp_path, "localhost")
    known = KnownCertificates.load([certificate])
    root = hashlib.sha256(authority.certificate.public_bytes(Encoding.DER)).digest()
    for seen in (root, NO_CERTIFICATE):
        with pytest.raises(HandshakeError) as caught:
            known.check(seen)
        assert caught.value.close_code is CloseCode.INTERCEPTED


def test_renewed_certificate_is_known_without_a_restart(tmp_path: Path) -> None:
    authority = Authority.make()
    file, _ = authority.issue(tmp_path, "edge")
    known = KnownCertificates.load([file])
    old = digest(file)
    (tmp_path / "new").mkdir()
    renewed, _ = authority.issue(tmp_path / "new", "edge")
    with pytest.raises(HandshakeError):
        known.check(digest(renewed))
    file.write_bytes(b"half written")
    with pytest.raises(HandshakeError):
        known.check(digest(renewed))
    renewed.replace(file)
    assert known.check(digest(file)) == "verified"
    assert known.check(old) == "verified", "a server shows it until it is told to reload"


def test_file_without_certificate_is_a_configuration_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for file in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match=file.name):
            KnownCertificates.load([file])


def test_listener_needs_a_certificate_and_its_own_key(tmp_path: Path) -> None:
    authority = Authority.make()
    certificate, key = authority.issue(tmp_path, "localhost")
    assert server_context(certificate, key).minimum_version >= ssl.TLSVersion.TLSv1_2
    _, other = authority.issue(tmp_path, "other")
    for wrong in (other, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="certificate"):
            server_context(certificate, wrong)


def test_certificates_of_the_tests_are_short_lived() -> None:
    lifetime = Authority.make().certificate.not_valid_after_utc
    assert lifetime - dt.datetime.now(dt.UTC) < dt.timedelta(days=2)
