"""The close codes of the link: why a relay or an agent ended a session."""

from enum import IntEnum

__all__ = ["CloseCode"]


class CloseCode(IntEnum):
    """WebSocket close codes: the registered ones we use, and ours from 4000 on.

    What an agent does about each stands in ``docs/protocol.md``.
    """

    NORMAL = 1000
    GOING_AWAY = 1001  # drained, or the peer fell silent
    PROTOCOL_ERROR = 1002
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012  # a drain took too long: what still ran is cut
    UNAUTHORIZED = 4001  # unknown connector, wrong key, wrong signature: the answer is the same
    AWAITING_APPROVAL = 4002  # enrolled, and an administrator has to let it in
    REVOKED = 4003
    HANDSHAKE_TIMEOUT = 4008
    SUPERSEDED = 4009  # a newer session of the same connector took over
    CLONE_SUSPECTED = 4010
    INTERCEPTED = 4011  # the agent saw another certificate than the relay's
    UNSUPPORTED_VERSION = 4012
