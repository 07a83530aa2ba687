"""Run the workloads and print what they measured, with ratios to direct."""

import argparse
import asyncio
import dataclasses
import json
import tempfile
from pathlib import Path

from jobs import JOBS
from workloads import TUNNEL, Bench, Row, save_datasource, simulator_token

from cloud_connect_relay.demo import start_ensemble

WORKLOADS = {**TUNNEL, **JOBS}


async def measure(names: list[str]) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        async with start_ensemble(Path(folder)) as ensemble:
            bench = Bench(
                ensemble, await save_datasource(ensemble), await simulator_token(ensemble)
            )
            for name in names:
                rows += await WORKLOADS[name](bench)
    return rows


def table(rows: list[Row]) -> str:
    lines = [f"{'':4}{'figure':22}{'direct':>12}{'ours':>12}  {'unit':7}{'ratio':>8}  goal"]
    for row in rows:
        direct = f"{row.direct:,.2f}" if row.direct is not None else "-"
        ratio = f"{row.ratio:.3f}" if row.ratio is not None else "-"
        lines.append(
            f"{row.name:4}{row.figure:22}{direct:>12}{row.ours:>12,.2f}  {row.unit:7}{ratio:>8}"
            f"  {row.goal}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(WORKLOADS)
    if unknown:
        parser.error(
            f"unknown workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}"
        )
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:
        runner = asyncio.Runner()
    with runner:
        rows = runner.run(measure(chosen.names or list(WORKLOADS)))
    if chosen.json:
        print(json.dumps([{**dataclasses.asdict(row), "ratio": row.ratio} for row in rows]))
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
