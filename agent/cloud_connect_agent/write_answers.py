"""Answers to writes: those that were just made, and what the journal tells of earlier ones."""

from dataclasses import dataclass, replace

from cloud_connect.errors import (
    CloudConnectError,
    ErrorCode,
    IdempotencyMismatchError,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    SourceUnavailableError,
    UnsupportedOperationError,
)
from cloud_connect.tunnel import ResponseHead
from cloud_connect_agent.journal import JournalEntry, JournalState
from cloud_connect_agent.reply import Call, problem_of
from cloud_connect_agent.sealed_exchange import SEALED_HEADERS
from cloud_connect_agent.stages import call_stages

__all__ = [
    "Answer",
    "check_again",
    "failed",
    "given_up",
    "may_go_again",
    "mismatch",
    "not_kept",
    "send_answer",
    "stored",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call is answered with.

    Attributes:
        body: ``None`` if it is too large to be kept; whoever made it streams it.
        concealed: It is sealed already: what the journal keeps of a sealed call.
    """

    head: ResponseHead
    body: bytes | None = b""
    concealed: bool = False

    @property
    def replayed(self) -> "Answer":
        """The same as an answer to a repeat."""
        return replace(self, head=self.head.model_copy(update={"replayed": True}))


def failed(error: CloudConnectError) -> Answer:
    """Return a failure as an answer; of a deadline that passed it says what took so long."""
    problem = problem_of(error)
    stages = call_stages.get()
    late = error.code is ErrorCode.DEADLINE_EXCEEDED
    if late and stages is not None and (why := stages.sentence()) is not None:
        problem = problem.model_copy(update={"detail": f"{problem.detail} {why}"})
    return Answer(head=ResponseHead(status=error.status, outcome=error.outcome, problem=problem))


def stored(entry: JournalEntry, fingerprint: str | None) -> Answer:
    """Return the journal's answer.

    Raises:
        IdempotencyMismatchError: If it belongs to another request.
    """
    if fingerprint is not None and fingerprint != entry.fingerprint:
        raise mismatch()
    outcome = entry.outcome
    if entry.state is JournalState.INTENT or (outcome is Outcome.UNKNOWN and entry.head is None):
        return failed(
            OutcomeUnknownError(
                "The connector stopped while the call was under way to Procore; whether it was "
                "carried out is not known."
            )
        ).replayed
    if entry.state is JournalState.RECEIVED or entry.head is None:
        return failed(
            SourceUnavailableError("The connector stopped before the call went to Procore.")
        ).replayed
    if entry.body is None:
        return failed(not_kept(outcome))
    head = ResponseHead.model_validate_json(entry.head)
    concealed = head.headers == SEALED_HEADERS
    return Answer(head=head, body=entry.body, concealed=concealed).replayed


async def send_answer(call: Call, answer: Answer) -> None:
    """Answer a write."""
    reply = call.outer if answer.concealed and call.outer is not None else call.reply
    await reply.send(answer.head, answer.body or b"")


def may_go_again(entry: JournalEntry, fingerprint: str) -> bool:
    """Whether what may be repeated was not carried out for certain."""
    return entry.fingerprint == fingerprint and entry.outcome is not Outcome.COMPLETED


def check_again(*, again: bool, repeatable: bool) -> None:
    """Refuse what may have been carried out before and would be carried out twice.

    Raises:
        UnsupportedOperationError: If it would be.
    """
    if again and not repeatable:
        raise UnsupportedOperationError(
            "This connector does not do this in a way that can be repeated, and it may have been"
            " done before."
        )


def mismatch() -> IdempotencyMismatchError:
    """Return the refusal of a call id that stands for another request."""
    return IdempotencyMismatchError("This call was made before with another request.")


def not_kept(outcome: Outcome | None) -> NotFoundError:
    """Return what is said of an answer that was too large for the journal."""
    return NotFoundError(
        "The call was answered, but its answer was too large to be kept.",
        outcome=outcome or Outcome.UNKNOWN,
    )


def given_up(*, intended: bool = False) -> CloudConnectError:
    """Return what is said of a call that ended without an answer."""
    if intended:
        return OutcomeUnknownError("The connector stopped while the call was under way to Procore.")
    return SourceUnavailableError("The caller gave up before the call went to Procore.")
