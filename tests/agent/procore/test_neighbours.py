"""Several agents with one app: they share what Procore allows it."""

import heapq
import math
import random
from collections.abc import Callable
from email.utils import formatdate

import pytest

from cloud_connect_agent.procore.budget import RateBudget
from cloud_connect_agent.procore.neighbours import Neighbours

LIMIT, WINDOW = 25, 10.0
EPOCH = 1_800_000_000.4


def test_who_just_began_may_not_be_alone() -> None:
    neighbours = Neighbours()
    assert neighbours.share(0.0) == 1.0
    neighbours.answered(0.0)
    assert neighbours.share(9.0) == 0.5
    assert neighbours.share(10.0) == 1.0


def test_more_used_than_sent_shows_others() -> None:
    neighbours = Neighbours()
    neighbours.answered(0.0)
    for _ in range(3):
        neighbours.sent(20.0)
    neighbours.used(3, 20.5)
    assert neighbours.share(20.5) == 1.0
    neighbours.used(3, 31.0)  # ours have left the window by then
    assert neighbours.share(31.0) == 0.5
    assert neighbours.share(631.0) == 1.0


def test_each_refusal_makes_more_careful_down_to_a_tenth() -> None:
    neighbours = Neighbours()
    neighbours.answered(0.0)
    shares = []
    for _ in range(6):
        neighbours.refused(20.0)
        shares.append(round(neighbours.share(20.0), 2))
    assert shares == [0.5, 0.3, 0.18, 0.11, 0.1, 0.1]
    neighbours.refused(700.0)
    assert neighbours.share(700.0) == 0.5


class Procore:
    """A sliding window of 25 requests in 10 s, in virtual time."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.refused: list[float] = []

    def answer(self, now: float) -> tuple[int, dict[str, str]]:
        self.times = [at for at in self.times if at > now - WINDOW]
        status = 200 if len(self.times) < LIMIT else 429
        (self.times if status == 200 else self.refused).append(now)
        reset = math.ceil(EPOCH + self.times[0] + WINDOW)
        return status, {
            "date": formatdate(int(EPOCH + now), usegmt=True),
            "x-rate-limit-limit": str(LIMIT),
            "x-rate-limit-remaining": str(LIMIT - len(self.times)),
            "x-rate-limit-reset": str(reset),
        }


class Agents:
    """Some agents that each want many pages as soon as possible."""

    def __init__(self, count: int, *, pages: int, seed: int) -> None:
        self.procore = Procore()
        self.budgets = [RateBudget() for _ in range(count)]
        self.wanted = [pages] * count
        self.random = random.Random(seed)
        self.queue: list[tuple[float, int, Callable[[float, int], None], int]] = []
        self.ended = 0.0

    def at(self, moment: float, do: Callable[[float, int], None], agent: int) -> None:
        heapq.heappush(
            self.queue, (moment, len(self.queue) + self.random.randrange(10**9), do, agent)
        )

    def run(self) -> None:
        for agent in range(len(self.budgets)):
            self.at(0.0, self.send, agent)
        while self.queue and self.queue[0][0] < 300.0:
            now, _, do, agent = heapq.heappop(self.queue)
            do(now, agent)

    def send(self, now: float, agent: int) -> None:
        budget = self.budgets[agent]
        while self.wanted[agent] and budget.in_flight < 32:
            hold = budget.hold(now, interactive=True)
            if hold:
                self.at(now + hold, self.send, agent)
                return
            budget.sent(now)
            self.wanted[agent] -= 1
            self.at(now + self.random.uniform(0.05, 0.09), self.arrive, agent)

    def arrive(self, now: float, agent: int) -> None:
        status, said = self.procore.answer(now)

        def learn(then: float, agent: int) -> None:
            self.budgets[agent].answered(then, status, said, self.random.random())
            self.wanted[agent] += status == 429
            self.ended = then
            self.send(then, agent)

        self.at(now + self.random.uniform(0.05, 0.09), learn, agent)


@pytest.mark.parametrize("seed", range(5))
def test_an_agent_alone_is_never_refused_and_hardly_slower_than_the_window(seed: int) -> None:
    agents = Agents(1, pages=100, seed=seed)
    agents.run()
    assert agents.procore.refused == []
    assert agents.wanted == [0]
    assert 30.0 < agents.ended < 1.2 * 30.0


@pytest.mark.parametrize("seed", range(5))
def test_two_agents_get_all_there_is_with_few_refusals(seed: int) -> None:
    agents = Agents(2, pages=50, seed=seed)
    agents.run()
    assert len(agents.procore.refused) <= 10  # fifty, if each took what is left for its own
    assert agents.wanted == [0, 0]
    assert agents.ended < 1.5 * 30.0
