"""Why relays close links: what each close code means to a person, and to the next dial."""

from typing import Final

from cloud_connect.closing import CloseCode

__all__ = ["FAULTS", "REASONS", "REFUSALS"]

REASONS: Final = {
    CloseCode.UNAUTHORIZED: "The relay does not know this connector or its key: enrol it again.",
    CloseCode.AWAITING_APPROVAL: (
        "An administrator of the relay has to approve this connector first; nothing has to be"
        " done here."
    ),
    CloseCode.REVOKED: (
        "The relay's administrator has revoked this connector: to use this PC again, ask for a"
        " join token and run `cloud-connect enrol --force`; otherwise run `cloud-connect unenrol`."
    ),
    CloseCode.HANDSHAKE_TIMEOUT: "The handshake with the relay took too long.",
    CloseCode.SUPERSEDED: "Another process connected with this agent's identity and took over.",
    CloseCode.CLONE_SUSPECTED: (
        "The relay suspects that this agent's identity is in use twice. On the PC that was"
        " copied, ask the relay's administrator to let it recover; on the copy, run"
        " `cloud-connect reset --new-identity`."
    ),
    CloseCode.INTERCEPTED: (
        "The certificate seen here is not the relay's: a proxy in between reads the traffic."
        " If your company's IT runs it, and you accept that, set relay.allow_intercepted = true."
    ),
    CloseCode.UNSUPPORTED_VERSION: "The relay does not speak this agent's version: update both.",
    CloseCode.SERVICE_RESTART: "The relay restarts.",
}
REFUSALS: Final = frozenset(
    {
        CloseCode.UNAUTHORIZED,
        CloseCode.CLONE_SUSPECTED,
        CloseCode.INTERCEPTED,
        CloseCode.UNSUPPORTED_VERSION,
    }
)

FAULTS: Final = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.MESSAGE_TOO_BIG,
        CloseCode.INTERNAL_ERROR,
        CloseCode.HANDSHAKE_TIMEOUT,
    }
)
