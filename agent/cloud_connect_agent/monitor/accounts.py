"""The Procore accounts of this PC, a line each; pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cloud_connect.calls import ReportedGrant
from cloud_connect_agent.durations import ago, time_of_day
from cloud_connect_agent.procore.grants.accounts import STATE_WORDS, Account

__all__ = ["AccountLine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLine:
    """One account.

    Attributes:
        name: Environment and account.
        word: How it stands.
        well: Whether calls can use it.
        budget: What Procore's tightest rate limit leaves; empty if it was not asked lately.
        facts: Further words, such as who it acts for.
    """

    name: str
    word: str
    well: bool
    budget: str
    facts: str

    @classmethod
    def of(cls, grant: ReportedGrant, *, now: datetime) -> Self:
        """Read what the agent says of an account."""
        account = Account(environment=grant.environment, name=grant.account)
        budget = ""
        if grant.budget:
            tightest = min(grant.budget, key=lambda it: it.remaining)
            budget = f"budget {tightest.remaining:,} of {tightest.limit:,} left"
            if tightest.resets_at is not None:
                budget += f" until {time_of_day(tightest.resets_at, seconds=False)}"
        facts = [grant.login] if grant.login else []
        facts += [f"company {one.company_id} refuses the app" for one in grant.circuits]
        if not budget and grant.last_contact_at is not None:
            facts.append(f"Procore answered {ago(now - grant.last_contact_at)}")
        return cls(
            name=account.environment.flag + ("" if account.is_default else f" ({account.name})"),
            word=STATE_WORDS.get(grant.state, grant.state),
            well=grant.state == "ready" and not grant.circuits,
            budget=budget,
            facts=", ".join(facts),
        )
