import asyncio
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Report
from cloud_connect.errors import QuotaExceededError, TunnelClosedError
from cloud_connect.tunnel import ResponseHead
from cloud_connect_agent import reports
from cloud_connect_agent.reports import ReportBoard, send_reports
from doubles.link_bench import run_agent, serve_relay


class Exchange:
    def __init__(self, status: int, sent: list[bytes]) -> None:
        self.status = status
        self.sent = sent

    async def send(self, data: bytes, *, end_stream: bool) -> None:
        assert end_stream
        self.sent.append(data)

    async def receive_head(self) -> ResponseHead:
        return ResponseHead(status=self.status)


class Session:
    """Answers one stream after the other as it is told."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []

    async def open(self, _: object) -> Exchange:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Exchange(answer, self.sent)


async def test_board_wakes_waiters_for_real_changes_only() -> None:
    board = ReportBoard(Report(machine="a"))
    assert await board.other_than(None) == Report(machine="a")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(board.other_than(board.report))
        await asyncio.sleep(0)
        board.publish(Report(machine="a"))
        await asyncio.sleep(0)
        assert not waiting.done()
        board.publish(Report(machine="b"))
        assert await waiting == Report(machine="b")


async def test_report_that_found_no_stream_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_RETRY_SECONDS", 0.0)
    session: Any = Session(QuotaExceededError("full"), 204)
    board = ReportBoard(Report(machine="a"))
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(send_reports(session, board))
        while not session.sent:
            await asyncio.sleep(0)
        sending.cancel()
    assert Report.model_validate_json(session.sent[0]) == board.report


async def test_refused_report_is_not_told_again() -> None:
    session: Any = Session(400, TunnelClosedError("over"))
    board = ReportBoard(Report(machine="a"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ends_with_its_session(session, board))
        while not session.sent:
            await asyncio.sleep(0)
        assert len(session.answers) == 1
        board.publish(Report(machine="b"))
    assert len(session.sent) == 1


async def ends_with_its_session(session: Any, board: ReportBoard) -> None:
    with pytest.raises(TunnelClosedError):
        await send_reports(session, board)


async def test_relay_learns_every_change(tmp_path: Path) -> None:
    async with serve_relay(tmp_path) as relay, run_agent(relay, tmp_path / "a") as agent:
        live = await relay.session_of(agent.connector_id)
        for machine in ("b", "c"):
            agent.reports.publish(Report(machine=machine))
            async with asyncio.timeout(5):
                while live.report.machine != machine:
                    await relay.registry.changed()
