"""`dialer practice`: an agent talks to a simulated person on a real call, and gets a score. It owns words only; the parts are `practice/`'s."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click
import msgspec

from dialer_core.clock import SystemClock
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.plugins_apart import plugins_apart
from dialer_core.errors import ConfigError, DialerError
from dialer_core.plugin_api import PluginFailed, Voice
from dialer_core.practice.debtor import Practice, render
from dialer_core.practice.score import Sheet, points
from dialer_core.practice.script import Mark, Script, read_script
from dialer_core.settings import Settings
from dialer_core.speech.cache import SpeechCache, name_of
from dialer_core.speech.loudness import for_the_line

_KEYS = {"i": Mark.IDENTITY, "d": Mark.DEBT, "p": Mark.PROMISE}
_CACHE_BYTES = 64 << 20
_WAIT_S = 120.0
_HELP = "i = I know to whom I speak, d = I have named the debt, p = the promise is written down; then Enter"


@click.group(
    epilog=example(
        "dialer practice list", "dialer practice start es-promesa --agent ana", "dialer practice scores"
    )
)
def practice() -> None:
    """Practise on simulated people: a real call, a script, a score sheet. No account is touched and nothing is counted."""


@practice.command("list", epilog=example("dialer practice list"))
@invocation
def list_scripts(call: Invocation) -> None:
    """List the scripts in the configuration's folder 'practice'."""
    found = [(file.stem, read_script(file)) for file in _files(call.settings)]
    call.give(
        [
            {"script": name, "language": its.language, "title": its.title, "turns": len(its.turns)}
            for name, its in found
        ]
    )
    call.table(
        ("script", "language", "turns", "title"),
        [(name, its.language, str(len(its.turns)), its.title) for name, its in found],
    )


@practice.command(
    "start",
    epilog=example("dialer practice start es-promesa --agent ana", "dialer practice start en-dispute"),
)
@click.argument("script")
@click.option("--agent", default="", metavar="NAME", help="Whose score it is.")
@click.option(
    "--bind", default="", metavar="ADDRESS", help="Address to be called at; by default that of the workers."
)
@click.option(
    "--port",
    default=5075,
    show_default=True,
    type=click.IntRange(1024, 65000),
    help="SIP port to be called at.",
)
@click.option(
    "--disposition", default=None, metavar="WORD", help="What it was; asked for after the call otherwise."
)
@invocation
def start(call: Invocation, *, script: str, agent: str, bind: str, port: int, disposition: str | None) -> int:
    """Wait for a call of your softphone, be the person of a script, and say how it went.

    Call the address that is shown. During the call, mark what you have done on the keyboard.

    Ends with status 1 if nobody called.
    """
    settings = call.settings
    files = {file.stem: file for file in _files(settings)}
    if script not in files:
        raise ConfigError(
            f"{settings.directory / 'practice'}: there is no script {script!r}; known are: {', '.join(files) or 'none'}"
        )
    its = read_script(files[script])
    played = asyncio.run(_play(call, settings, its, bind or settings.dialer.sip.bind, port))
    if played is None:
        call.say("nobody has called")
        return 1
    seconds, ear, person, marks = played
    if disposition is None:
        call.say(f"it was {seconds:.0f} s; what was it? (promise, refuses, disputes, third_party, …)")
        disposition = sys.stdin.readline().strip()
    sheet = Sheet(
        script=script, agent=agent, at_utc=SystemClock().utc().isoformat(timespec="seconds"), seconds=round(seconds, 1),
        points=points(its, agent=ear, person=person, seconds=seconds, marks=marks, disposition=disposition),
    )  # fmt: skip
    with _sheets(settings).open("ab") as kept:
        kept.write(msgspec.json.encode(sheet) + b"\n")
    call.give(sheet)
    _print(call, sheet)
    return 0


@practice.command("scores", epilog=example("dialer practice scores", "dialer practice scores --agent ana"))
@click.option("--agent", default="", metavar="NAME", help="This one's alone.")
@invocation
def scores(call: Invocation, *, agent: str) -> None:
    """List the scores that are kept, the newest last."""
    file = _sheets(call.settings)
    lines = file.read_bytes().splitlines() if file.exists() else []
    found = [
        one for one in (msgspec.json.decode(line, type=Sheet) for line in lines) if agent in ("", one.agent)
    ]
    call.give(found)
    call.table(
        ("when", "agent", "script", "seconds", "good"),
        [
            (s.at_utc, s.agent or "-", s.script, f"{s.seconds:.0f}", f"{s.good} of {len(s.points)}")
            for s in found
        ],
    )


async def _play(
    call: Invocation, settings: Settings, script: Script, host: str, port: int
) -> tuple[float, list[tuple[float, float]], list[tuple[float, float]], dict[Mark, float]] | None:
    sounds = await _sounds(settings, script)
    async with Practice(script, sounds, host=host, port=port, folder=_folder(settings)) as running:
        call.say(f"call sip:practice@{host}:{port} from your softphone; {_HELP}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.answered.wait(), _WAIT_S)
        if running.call is None:
            return None
        loop = asyncio.get_running_loop()

        def typed() -> None:
            line = sys.stdin.readline()
            if not line:
                loop.remove_reader(sys.stdin.fileno())
            elif (mark := _KEYS.get(line.strip().lower())) is not None and running.call is not None:
                running.call.mark(mark)

        listening = _can_listen(typed)
        await running.call.done.wait()
        if listening:
            loop.remove_reader(sys.stdin.fileno())
        its = running.call
        return its.seconds, its.ear.spans, its.person, dict(its.marks)


def _can_listen(typed: object) -> bool:
    try:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), typed)  # type: ignore[arg-type]
    except (OSError, ValueError):  # a file, or no keyboard at all: nothing is marked
        return False
    return True


async def _sounds(settings: Settings, script: Script) -> dict[str, bytes]:
    voice = await _voice(settings, script.language)
    level = settings.dialer.speech.level_dbfs
    cache = SpeechCache(_folder(settings) / "speech", _CACHE_BYTES, SystemClock())

    async def speak(text: str) -> bytes:
        async def made() -> bytes:
            sound, rate_hz = await voice.speak(text, script.language)
            return for_the_line(sound, rate_hz, level)

        name = await cache.get(name_of(voice.name, script.language, f"{level}", text), made)
        return (_folder(settings) / "speech" / f"{name}.ulaw").read_bytes()

    return await render(script, speak)


async def _voice(settings: Settings, language: str) -> Voice:
    """Return the voice that flows would have, by the same plugins."""

    async def report(event: PluginFailed) -> None:
        raise DialerError(f"the plugin {event.plugin} gives no voice: {event.error}")

    with plugins_apart(settings, report) as host:
        voices: list[Voice] = [v for v in await host.voices() if language in v.languages]
    wanted = settings.dialer.speech.voice
    found = next((v for v in voices if v.name == wanted), voices[0] if voices else None)
    if found is None:
        raise ConfigError(
            f"no enabled plugin has a voice for {language!r}: enable espeak, and apt-get install espeak-ng"
        )
    return found


def _files(settings: Settings) -> list[Path]:
    return sorted((settings.directory / "practice").glob("*.toml"))


def _folder(settings: Settings) -> Path:
    return settings.state_dir / "practice"


def _sheets(settings: Settings) -> Path:
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / "scores.jsonl"


def _print(call: Invocation, sheet: Sheet) -> None:
    call.table(
        ("point", "how it was", "good"),
        [(point.name, point.value, "yes" if point.good else "no") for point in sheet.points],
    )
    call.say(f"{sheet.good} of {len(sheet.points)} good")
