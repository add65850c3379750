"""What far ends play: people with a tone of their own, machines, announcements, network tones; as files for SIPp and baresip.

Owns the synthesis and the files. The encoding is libsndfile's. Voices are the packaged clips of the simulator.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from dialer_core.sim import clips
from dialer_core.sim.tone_plan import AGENT_TONES_HZ, CUSTOMER_TONES_HZ, TONE_AMPLITUDE

RATE_HZ = 8000
CLIPS = Path(clips.__file__).parent
AGENT_HZ = AGENT_TONES_HZ
CUSTOMER_HZ = CUSTOMER_TONES_HZ
ALL_HZ = (*AGENT_HZ, *CUSTOMER_HZ)
GREETING_PAUSE_S = 1.5
"""Between a person's hello and their tone: the detector has decided by then."""
PICK_UP_S = 0.2

Samples = NDArray[np.float64]


def tone(hz: float, seconds: float) -> Samples:
    """Return a sine of the level that all our far ends speak at."""
    return TONE_AMPLITUDE * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def silence(seconds: float) -> Samples:
    """Return digital silence."""
    return np.zeros(round(seconds * RATE_HZ))


def clip(name: str) -> Samples:
    """Return a voice clip of the simulator's."""
    samples, rate_hz = soundfile.read(CLIPS / f"{name}.flac")
    assert rate_hz == RATE_HZ
    return np.asarray(samples)


class Sounds:
    """The files, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def person(
        self, hz: int, *, greeting: str = "hello_bueno_2", talk_s: float = 25.0, law: str = "PCMU"
    ) -> Path:
        """A short hello, a pause, then a tone: who speaks is told by its frequency."""
        parts = (silence(PICK_UP_S), clip(greeting), silence(GREETING_PAUSE_S), tone(hz, talk_s))
        return self._coded(f"person-{greeting}-{hz}-{talk_s:g}", parts, law)

    def speaking(self, hz: int, *, talk_s: float = 25.0, law: str = "PCMU") -> Path:
        """The tone from the first packet on, for campaigns that do not listen."""
        return self._coded(f"speaking-{hz}-{talk_s:g}", (tone(hz, talk_s),), law)

    def voicemail(self) -> Path:
        """A greeting of nine seconds and a beep."""
        parts = (silence(0.4), clip("voicemail_buzon"), silence(0.5), tone(1000, 0.5), silence(10))
        return self._coded("voicemail", parts, "PCMU")

    def fax(self) -> Path:
        """CED: 2100 Hz for three seconds."""
        return self._coded("fax", (silence(0.5), tone(2100, 3.0), silence(8)), "PCMU")

    def intercept(self, law: str = "PCMU") -> Path:
        """A special information tone (ITU-T E.180: 950, 1400, 1800 Hz) and an announcement."""
        sit = [tone(hz, 0.33) for hz in (950, 1400, 1800)]
        return self._coded(
            "intercept", (silence(0.2), *sit, silence(0.3), clip("announcement_no_existe_2")), law
        )

    def busy_tone(self) -> Path:
        """Mexico's: 425 Hz, 250 ms on and off."""
        return self._coded("busy", (tone(425, 0.25), silence(0.25)) * 24, "PCMU")

    def quiet(self) -> Path:
        """Packets of silence."""
        return self._coded("quiet", (silence(25),), "PCMU")

    def agent(self, hz: int) -> Path:
        """A WAV file of the agent's tone, for baresip: five minutes."""
        path = self._folder / f"agent-{hz}.wav"
        if not path.exists():
            soundfile.write(path, tone(hz, 300), RATE_HZ, subtype="PCM_16")
        return path

    def _coded(self, name: str, parts: tuple[Samples, ...], law: str) -> Path:
        """Write bare G.711, as SIPp streams it."""
        path = self._folder / f"{name}.{law.lower()}"
        if not path.exists():
            subtype = {"PCMU": "ULAW", "PCMA": "ALAW"}[law]
            soundfile.write(path, np.concatenate(parts), RATE_HZ, format="RAW", subtype=subtype)
        return path
