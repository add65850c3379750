"""A flow on a real line: spoken by espeak-ng, keys pressed by SIPp, the sound judged as it went over the wire."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from dialer_core.speech.cache import name_of
from dialer_core.store import models
from tests.e2e.floor import Floor
from tests.e2e.keys import write_keys
from tests.e2e.live import Dialer, number
from tests.e2e.scenario import Answer, Press, Ring, Stay
from tests.e2e.sounds import Sounds
from tests.e2e.wire import Wire, capture, requires_capture
from tests.skips import requires_program

pytestmark = [
    *(pytest.mark.sip, requires_program("sipp"), requires_program("baresip"), requires_program("tshark")),
    *(requires_program("espeak-ng"), requires_capture),
]
FLOW = Path("dialer_core/config_defaults/flows/recordatorio.toml")
STOPS = 1


@pytest.fixture(scope="module")
def dialer(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Iterator[tuple[Floor, Dialer]]:
    """Yield a dialer whose campaign has the packaged flow, by lines and rate alone."""
    with Floor(tmp_path_factory.mktemp("flows"), sounds) as floor:
        floor.carrier(
            {
                STOPS: (
                    Ring(200),
                    Answer(echo=True),
                    Press(write_keys(floor.folder / "9.pcap", [(2.5, "9")])),
                    Stay(20000),
                ),
            }
        )
        floor.softphone("a0")
        flows = floor.folder / "config" / "flows"
        flows.mkdir(parents=True)
        shutil.copy(FLOW, flows)
        made = floor.dialer(
            campaign={"detection": "off", "flow": "recordatorio", "pacing": "agentless"},
            sections={"plugins": {"enabled": ["espeak", "voice_broadcast"]}},
        )
        made.start(60.0)
        yield floor, made


def _spoken(dialer: Dialer, sentence: str) -> bytes:
    """Return the sound that was rendered of a sentence."""
    name = name_of("espeak", "es", "-20", sentence)
    return (dialer.settings.speech_dir / f"{name}.ulaw").read_bytes()


def _call(dialer: Dialer, suffix: int, *, owes: bool = False) -> str:
    """Put somebody on the list."""
    to = number(suffix)
    dialer.import_numbers([to])
    if owes:
        account = models.Account.__table__
        with dialer.database.write() as tx:
            tx.execute(update(account).values(balance_minor=120050, currency="MXN", due_date="2026-10-19"))
    return to


def test_the_key_nine_on_a_real_line_stops_all_calls(dialer: tuple[Floor, Dialer]) -> None:
    """Nine in the middle of the first sentence, by RFC 4733: the prompt is cut off, the restriction stands, then they hear that it does."""
    floor, made = dialer
    with capture(floor.folder, floor.ports) as watching:
        to = _call(made, STOPS)
        (attempt,) = made.ended(to)
        confirmed = _spoken(made, "No volveremos a llamarle.")
        hello = _spoken(made, "Hola.")
        wire = watching.read()
    assert (attempt.outcome, attempt.disposition) == ("self_served", "do_not_call")
    heard = _heard(wire, attempt.id, made)
    assert confirmed in heard
    assert hello in heard
    with made.database.read() as tx:
        (restriction,) = tx.execute(select(models.Restriction.__table__))
    assert (restriction.kind, restriction.channel) == ("do_not_call", "voice")


def _heard(wire: Wire, attempt_id: str, dialer: Dialer) -> bytes:
    """Return everything that the far end of an attempt received, in order."""
    (leg,) = (leg for leg in dialer.legs("customer") if leg.attempt_id == attempt_id)
    packets = sorted((p for p in wire.rtp if p.source == leg.media_port), key=lambda packet: packet.at_ns)
    return b"".join(p.payload for p in packets if p.payload_type == 0)
