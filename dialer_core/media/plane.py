"""The media plane's process: one loop that reads every ready socket at once and passes over all legs every 20 ms.

It owns the loop, its schedule and the start of the process. What happens to the legs is `exchange.py`'s, the engine's socket
`engine_link.py`'s. Nothing here blocks: files are read before the loop begins.
"""

from __future__ import annotations

import argparse
import gc
import ipaddress
import os
import select
import signal
import sys
from collections import deque
from pathlib import Path
from typing import Final

import structlog

from dialer_core import spare
from dialer_core.clock import Clock, SystemClock
from dialer_core.errors import ConfigError, SoundFileError, StartError
from dialer_core.ipc.messages import MediaCommand
from dialer_core.liveness import BEAT_INTERVAL_S, Heart
from dialer_core.log_setup import configure_logging
from dialer_core.media.announcements import load_announcements
from dialer_core.media.clips import ClipWriter
from dialer_core.media.engine_link import EngineLink
from dialer_core.media.exchange import Exchange
from dialer_core.media.listener import Listener
from dialer_core.media.prompts import Prompt, load_prompts
from dialer_core.media.rtp import FRAME_NS
from dialer_core.media.sealing import parse_key
from dialer_core.media.sockets import PortPool
from dialer_core.media.speech import Speech
from dialer_core.media.spool import Spool
from dialer_core.priority import come_before_others
from dialer_core.toml_files import read_secret

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_TICKS: Final = 5
_HEALTH_TICKS: Final = 50
_BEAT_TICKS: Final = int(BEAT_INTERVAL_S * 1e9) // FRAME_NS
_ROUNDS_BEFORE_TICK: Final = 16
"""Packets of each leg that are read before a tick that is due: what is already here must not be taken for silence."""
_LATE_TICKS: Final = 5
"""Ticks made up for after the process was held up; beyond it they are left out, and timestamps jump instead."""
_COMMANDS_PER_TURN: Final = 16
"""An engine that opens hundreds of legs at once (after a restart) must not hold up those that talk."""
_FAULTS_LOGGED: Final = 50
_PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")
_NICENESS: Final = -10
"""Sound before everything else on the machine, where we may: a late packet is heard, a late report is not."""


class MediaPlane:
    """The loop.

    Parameters
    ----------
    socket_path
        Where the engine attaches.
    pool
        RTP ports to hand out.
    advertise
        The address that SDP names.
    prompts
        By id.
    listener
        What hears the legs.
    heart
        What its supervisor hears.
    spool
        Where recordings go; None: nothing is recorded.
    speech
        What is rendered for single calls.
    """

    def __init__(
        self,
        socket_path: Path,
        pool: PortPool,
        advertise: str,
        prompts: dict[str, Prompt],
        clock: Clock,
        listener: Listener | None = None,
        heart: Heart | None = None,
        spool: Spool | None = None,
        speech: Speech | None = None,
    ) -> None:
        self._epoll = select.epoll()
        self._heart = heart or Heart(None)
        self._clock = clock
        self._link = EngineLink(
            socket_path, self._epoll, clock, {name: prompt.seconds for name, prompt in prompts.items()}
        )
        self._exchange = Exchange(
            self._epoll, pool, advertise, prompts, self._link.send, clock, listener, spool, speech
        )
        self._commands: deque[MediaCommand] = deque()
        """Commands that have come and wait for their turn."""
        self._statm = os.open(
            "/proc/self/statm", os.O_RDONLY
        )  # once: there may be no descriptor left for it later
        self._stopping = False
        self._ticks = 0
        self._worst_lag_ns = 0
        self._faults = 0

    def stop(self) -> None:
        """End `run` at its next turn. Safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Serve until `stop`; then close every leg."""
        # What was loaded so far lives as long as the process: the collector need not walk it between two packets.
        gc.collect()
        gc.freeze()
        mono_ns = self._clock.mono_ns
        next_tick_ns = mono_ns() + FRAME_NS
        while not self._stopping:
            self._serve(max(0.0, (next_tick_ns - mono_ns()) / 1e9))
            now_ns = mono_ns()
            if now_ns < next_tick_ns:
                continue
            self._worst_lag_ns = max(self._worst_lag_ns, now_ns - next_tick_ns)
            for _ in range(_ROUNDS_BEFORE_TICK):
                if not self._serve(0.0):
                    break
            if now_ns - next_tick_ns > _LATE_TICKS * FRAME_NS:
                next_tick_ns += (now_ns - next_tick_ns) // FRAME_NS * FRAME_NS
            while next_tick_ns <= now_ns:
                self._tick(next_tick_ns)
                next_tick_ns += FRAME_NS
        self._exchange.close()
        self._link.close()
        self._epoll.close()
        os.close(self._statm)

    def _serve(self, timeout_s: float) -> bool:
        """Wait for sockets, read one datagram of each ready one, do some commands; return whether there was anything to do."""
        ready = self._epoll.poll(0.0 if self._commands else timeout_s)
        receive = self._exchange.receive
        for fd, mask in ready:
            try:
                if not receive(fd) and self._link.owns(fd):
                    self._commands.extend(self._link.ready(fd, mask))
            except Exception:  # noqa: BLE001 - see _fault
                self._fault("receive")
        busy = bool(ready or self._commands)
        for _ in range(min(_COMMANDS_PER_TURN, len(self._commands))):
            try:
                self._exchange.apply(self._commands.popleft())
            except Exception:  # noqa: BLE001 - see _fault
                self._fault("apply")
        return busy

    def _tick(self, due_ns: int) -> None:
        now_ns = self._clock.mono_ns()
        self._exchange.pace(due_ns, now_ns)
        try:
            self._exchange.judge(now_ns)
        except Exception:  # noqa: BLE001 - see _fault
            self._fault("judge")
        self._ticks += 1
        if self._ticks % _HOUSEKEEPING_TICKS == 0:
            self._exchange.housekeep(now_ns)
        if self._ticks % _BEAT_TICKS == 0:
            self._heart.beat()
        if self._ticks % _HEALTH_TICKS == 0:
            self._link.send(self._exchange.health(now_ns, self._worst_lag_ns / 1e6, self._rss_mb()))
            self._worst_lag_ns = 0

    def _rss_mb(self) -> float:
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES / 1e6

    def _fault(self, where: str) -> None:
        """A fault of ours in one packet, command or batch: told, and survived for the sake of all other calls."""
        self._faults += 1
        if self._faults <= _FAULTS_LOGGED or self._faults % 1000 == 0:
            _log.exception("media_fault", where=where, so_far=self._faults)


def _port_range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (dash and first.isdigit() and last.isdigit()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no port range; write FIRST-LAST, for example 20000-29999"
        )
    return int(first), int(last)


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IPv4 address") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the media plane until SIGTERM or SIGINT; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m dialer_core.media.plane", description="The dialer's media plane."
    )
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket on which the engine attaches")
    parser.add_argument("--bind", type=_address, default="127.0.0.1", help="IPv4 address of the RTP sockets")
    parser.add_argument("--advertise", type=_address, help="address that SDP names; default: --bind")
    parser.add_argument(
        "--ports", type=_port_range, default=(20000, 29999), help="RTP port range, FIRST-LAST"
    )
    parser.add_argument(
        "--prompts", type=Path, help="folder of WAV or FLAC files; a file's name without suffix is its id"
    )
    parser.add_argument("--speech", type=Path, help="folder of speech that is rendered for single calls")
    parser.add_argument("--announcements", type=Path, help="index of known announcements; need not be there")
    parser.add_argument(
        "--clips", type=Path, help="folder for the first seconds of calls that are to be kept"
    )
    parser.add_argument(
        "--clip-key-env", default="", help="variable that holds their key, 32 bytes in base64"
    )
    parser.add_argument("--clip-key-file", type=Path, help="or a file that holds it")
    parser.add_argument("--clip-days", type=float, default=30.0, help="clips are deleted after so many days")
    parser.add_argument("--clip-seconds", type=float, default=8.0, help="how much of a call is kept at most")
    parser.add_argument(
        "--recordings", type=Path, help="folder of recordings; without it nothing is recorded"
    )
    parser.add_argument("--recording-key-env", default="", help="variable that holds their master key")
    parser.add_argument("--recording-key-file", type=Path, help="or a file that holds it")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--log-format", choices=("console", "json"), default="console")
    parser.add_argument("--heartbeat", type=int, help="descriptor of the supervisor's pipe")
    parser.add_argument(spare.OPTION, action="store_true", help="wait for a byte of standard input first")
    options = parser.parse_args(arguments)
    configure_logging(level=options.log_level, log_format=options.log_format, process="media")
    heart = Heart(options.heartbeat)
    try:
        prompts = load_prompts(options.prompts)
        if options.spare and not spare.wait_for_the_word(heart):
            return 0
        clips = None
        if options.clips is not None:
            key = read_secret("clips.key", options.clip_key_env, options.clip_key_file, Path())
            clips = ClipWriter(options.clips, parse_key(key, "clips"), options.clip_days, SystemClock())
        spool = None
        if options.recordings is not None:
            key = read_secret("recordings.key", options.recording_key_env, options.recording_key_file, Path())
            spool = Spool(options.recordings, parse_key(key, "recordings"))
        plane = MediaPlane(
            options.socket,
            PortPool(options.bind, *options.ports),
            options.advertise or options.bind,
            prompts,
            SystemClock(),
            Listener(
                load_announcements(options.announcements) if options.announcements else None,
                on_clip=clips.keep if clips else None,
                clip_s=options.clip_seconds,
            ),
            heart,
            spool,
            Speech(options.speech),
        )
    except (ConfigError, OSError, SoundFileError, StartError) as error:
        sys.stderr.write(f"media plane: {error}\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: plane.stop())
    come_before_others(_NICENESS)
    _log.info("media_plane_started", pid=os.getpid(), ports=f"{options.ports[0]}-{options.ports[1]}")
    plane.run()
    if clips is not None:
        clips.close()
    if spool is not None:
        spool.close()
    _log.info("media_plane_stopped", pid=os.getpid())
    return 0


if __name__ == "__main__":
    sys.exit(main())
