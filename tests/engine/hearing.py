"""What a fake media plane was told of who hears whom, and which digits were sent."""

from __future__ import annotations

from msgspec.structs import replace

from dialer_core.ipc.messages import Bridge, Hear, MediaLegSnapshot, Record, SendDigits, SendInfoDigits
from dialer_core.vocabulary import LegId, RecordSwitch
from tests.engine.held import HeldSound


class HeldHearing:
    """By the last `Hear`, as long as the bridges stand that it was said of."""

    def __init__(self, opened: dict[LegId, HeldSound]) -> None:
        self._opened = opened
        self.told: dict[LegId, tuple[LegId, ...]] = {}
        """Whom a leg hears; not there: its bridge."""
        self.music: set[LegId] = set()
        self.recorded: dict[LegId, tuple[str, bool]] = {}
        """Id of the recording that goes on, and whether it is paused."""
        self.digits: list[tuple[LegId, str, str]] = []
        """Leg, how, and which digits were sent."""

    def take(self, command: object) -> None:
        """Do as the real ones do, where a command is about this."""
        match command:
            case Hear():
                for leg_id in command.hears.keys() | command.music.keys():
                    self._hear(leg_id, command)
            case Record(switch=RecordSwitch.OFF | RecordSwitch.DISCARD):
                self.recorded.pop(command.leg_id, None)
            case Record():
                first = self.recorded.get(command.leg_id, (command.recording_id, False))[0]
                self.recorded[command.leg_id] = first, command.switch is RecordSwitch.PAUSE
            case SendDigits():
                self.digits.append((command.leg_id, "rfc4733", command.digits))
            case SendInfoDigits():
                self.digits.append((command.leg_id, "info", command.digits))
            case Bridge():
                sound = self._opened.get(command.leg_id)
                if sound is not None and sound.bridged_to is None:
                    self.forget(command.leg_id, command.agent_leg_id)
            case _:
                pass

    def _hear(self, leg_id: LegId, command: Hear) -> None:
        sound = self._opened.get(leg_id)
        if sound is None:
            return
        sources = tuple(one for one in command.hears.get(leg_id, ()) if one in self._opened)
        self.music.discard(leg_id)
        if leg_id in command.music:
            self.music.add(leg_id)
        self.told[leg_id] = sources
        if sources == (sound.bridged_to,) and leg_id not in self.music:
            del self.told[leg_id]

    def snapshot(self, leg_id: LegId, sound: HeldSound) -> MediaLegSnapshot:
        """Say what a dump says of a leg."""
        recording_id, paused = self.recorded.get(leg_id, ("", False))
        return replace(
            sound.snapshot(leg_id), hears=self.told.get(leg_id), music="hold" if leg_id in self.music else "",
            recording_id=recording_id, recording_paused=paused,
        )  # fmt: skip

    def of(self, leg_id: LegId) -> set[LegId]:
        """Return whom a leg hears now, by word or by bridge."""
        sound = self._opened[leg_id]
        return set(self.told.get(leg_id, (sound.bridged_to,) if sound.bridged_to else ()))

    def forget(self, *legs: LegId | None) -> None:
        """Their bridge has ended or begins: they hear nobody besides, and nobody hears them."""
        for leg_id in filter(None, legs):
            self.told.pop(leg_id, None)
            self.music.discard(leg_id)
            for listener, sources in list(self.told.items()):
                self.told[listener] = tuple(one for one in sources if one != leg_id)
