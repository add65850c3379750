"""`python -m dialer_core.sim`: the simulated carrier and softphones as a process of its own.

Prints one line of JSON, `{"event": "sim_ready", …}`, when every port listens, and ends on SIGTERM or SIGINT after it has
hung up, saved every recording and written the log's last line. Exit status 1, and one line on stderr, when it cannot start.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import click

from dialer_core.errors import StartError
from dialer_core.sim.behaviours import PersonTimes
from dialer_core.sim.people import digits_of, read_people
from dialer_core.sim.simulation import Simulation, SimulationSettings


def _ports(value: str | tuple[int, ...]) -> tuple[int, ...]:
    """Comma-separated port numbers."""
    if isinstance(value, tuple):
        return value
    try:
        ports = tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: give ports as 21010 or 21010,21011") from error
    if any(not 1 <= port <= 65535 for port in ports) or len(set(ports)) != len(ports):
        raise click.BadParameter(f"{value!r}: ports are different numbers from 1 to 65535")
    return ports


def _span(value: str | tuple[float, float]) -> tuple[float, float]:
    """Two numbers A-B, A being the smaller."""
    if isinstance(value, tuple):
        return value
    first, _, last = value.partition("-")
    try:
        span = (float(first), float(last))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: give two numbers as 3-6") from error
    if span[0] > span[1]:
        raise click.BadParameter(f"{value!r}: the first number is the smaller one")
    return span


@click.command(epilog="Example: python -m dialer_core.sim --carrier-port 21000 --softphone-ports 21010,21011 "
               "--log sim.jsonl --recordings sim-recordings")  # fmt: skip
@click.option(
    "--carrier-port",
    type=_ports,
    metavar="PORT,PORT…",
    required=True,
    help="SIP port of the carrier; more than one make more trunks.",
)
@click.option(
    "--softphone-ports", type=_ports, metavar="PORT,PORT…", default=(), help="SIP port of each softphone."
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Event log to write (JSONL).",
)
@click.option(
    "--recordings",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for what was heard.",
)
@click.option("--seed", default=0, show_default=True, help="Equal seeds and numbers give equal calls.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="IPv4 address to listen on.")
@click.option(
    "--rtp-ports",
    type=_span,
    metavar="A-B",
    default=(32000, 32999),
    show_default="32000-32999",
    help="Range for RTP and RTCP.",
)
@click.option(
    "--talk-s",
    type=_span,
    metavar="A-B",
    default=(3.0, 6.0),
    show_default="3-6",
    help="How long a person talks.",
)
@click.option(
    "--person",
    "people",
    multiple=True,
    metavar="NUMBER=WHAT",
    help="What the person at this number does beside: press:1@3s,press:2@2s,talk:8s.",
)
@click.option("--patience-s", default=10.0, show_default=True, help="How long a person waits for an agent.")
def main(
    *,
    carrier_port: tuple[int, ...],
    softphone_ports: tuple[int, ...],
    log: Path,
    recordings: Path,
    seed: int,
    bind: str,
    rtp_ports: tuple[float, float],
    talk_s: tuple[float, float],
    patience_s: float,
    people: tuple[str, ...],
) -> None:
    """A simulated carrier and softphones: real SIP and RTP, by a table that the called number's last two digits choose."""
    try:
        of_number = read_people(people)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--person") from error
    settings = SimulationSettings(
        log=log,
        recordings=recordings,
        carrier_ports=carrier_port,
        softphone_ports=softphone_ports,
        host=bind,
        rtp_ports=(int(rtp_ports[0]), int(rtp_ports[1])),
        seed=seed,
        times=PersonTimes(talk_s=talk_s, patience_s=patience_s),
        behaviour_of=lambda number: of_number.get(digits_of(number)),
    )
    try:
        asyncio.run(_run(settings))
    except StartError as error:
        click.echo(f"sim: {error}", err=True)
        sys.exit(1)


async def _run(settings: SimulationSettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with Simulation(settings) as simulation:
        click.echo(json.dumps({"event": "sim_ready", "pid": os.getpid(), **simulation.description()}))
        await stopping.wait()


if __name__ == "__main__":
    main()
