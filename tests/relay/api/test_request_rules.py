import pytest

from cloud_connect_relay.request_rules import objection

HOST = (b"host", b"relay.example:8080")
Headers = list[tuple[bytes, bytes]]


@pytest.mark.parametrize(
    ("version", "target", "headers"),
    [
        ("1.1", b"/", [HOST]),
        ("1.0", b"/healthz?a=%20", []),
        ("1.1", b"*", [HOST]),
        ("1.1", b"/a", [(b"host", b"[::1]:80"), (b"content-length", b"12")]),
        ("1.1", b"/a", [(b"host", b""), (b"transfer-encoding", b"Chunked")]),
        ("1.1", b"/a", [HOST, (b"accept", b"a"), (b"accept", b"b"), (b"x", b"caf\xe9\t")]),
    ],
)
def test_head_that_every_server_reads_alike_passes(
    version: str, target: bytes, headers: Headers
) -> None:
    assert objection(version, target, headers) is None


@pytest.mark.parametrize(
    ("version", "target", "headers", "reason"),
    [
        ("2.0", b"/", [HOST], "version"),
        ("0.9", b"/", [HOST], "version"),
        ("1.1", b"http://relay.example/", [HOST], "no path"),
        ("1.1", b"relay.example:80", [HOST], "no path"),
        ("1.1", b"/a b", [HOST], "no path"),
        ("1.1", b"/a#b", [HOST], "no path"),
        ("1.1", b"/\xc3\xa9", [HOST], "no path"),
        ("1.1", b"/", [], "Host"),
        ("1.1", b"/", [(b"host", b"a/b")], "Host"),
        ("1.1", b"/", [(b"host", b"a@b")], "Host"),
        ("1.1", b"/", [(b"host", b"a b")], "Host"),
        ("1.1", b"/", [HOST, HOST], "twice"),
        ("1.1", b"/", [HOST, (b"authorization", b"a"), (b"authorization", b"b")], "twice"),
        ("1.1", b"/", [HOST, (b"content-length", b"1"), (b"content-length", b"1")], "twice"),
        ("1.1", b"/", [HOST, (b"content-length", b"+1")], "length"),
        ("1.1", b"/", [HOST, (b"content-length", b"1, 1")], "length"),
        ("1.1", b"/", [HOST, (b"content-length", b"9" * 19)], "length"),
        ("1.1", b"/", [HOST, (b"content-length", b"")], "length"),
        ("1.1", b"/", [HOST, (b"transfer-encoding", b"gzip, chunked")], "unclear"),
        ("1.1", b"/", [HOST, (b"transfer-encoding", b"identity")], "unclear"),
        ("1.0", b"/", [HOST, (b"transfer-encoding", b"chunked")], "unclear"),
        (
            "1.1",
            b"/",
            [HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
            "unclear",
        ),
        ("1.1", b"/", [HOST, (b"x", b"a\rb")], "control"),
        ("1.1", b"/", [HOST, (b"x", b"a\0b")], "control"),
        ("1.1", b"/", [HOST, (b"upgrade", b"h2c")], "upgrade"),
    ],
)
def test_head_that_two_servers_could_read_differently_is_refused(
    version: str, target: bytes, headers: Headers, reason: str
) -> None:
    assert reason in (objection(version, target, headers) or "")
