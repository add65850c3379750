"""The one import of pjsua2, and the few C functions of the same library that its Python wrapper lacks.

It owns the binding. It owns no endpoint, account or call. Importing it costs some 4 MB and no thread; nothing is created until
`libCreate`, so a process that has only imported it may fork (after `libCreate` both sides would draw the same Call-IDs).
"""

from __future__ import annotations

import ctypes

import pjsua2 as pj

__all__ = ["PjLibrary", "pj"]

_NULL_FRAME_BYTES = 320
"""20 ms at 8 kHz, 16 bit: the conference bridge's frame as `endpoint.py` configures it (an assertion of pjsua2 checks it)."""


_DISABLE_TCP_SWITCH = 4
"""Place of `endpt.disable_tcp_switch` among the 32-bit words of `pjsip_cfg_t`."""


class _Frame(ctypes.Structure):
    """`pjmedia_frame`."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("buf", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("timestamp", ctypes.c_uint64),
        ("bit_info", ctypes.c_uint32),
    ]


class _TimeVal(ctypes.Structure):
    """`pj_time_val`."""

    _fields_ = [("sec", ctypes.c_long), ("msec", ctypes.c_long)]


class PjLibrary:
    """C functions of the loaded extension, called on the thread that owns the endpoint."""

    def __init__(self) -> None:
        self._c = ctypes.CDLL(pj._pjsua2.__file__)  # noqa: SLF001 - the extension module itself
        self._c.pjsua_set_no_snd_dev.restype = ctypes.c_void_p
        self._c.pjsua_get_pjsip_endpt.restype = ctypes.c_void_p
        self._c.pjsip_endpt_get_timer_heap.restype = ctypes.c_void_p
        self._c.pjsip_endpt_get_timer_heap.argtypes = [ctypes.c_void_p]
        self._c.pj_timer_heap_earliest_time.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self._c.pjmedia_port_get_frame.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self._samples = ctypes.create_string_buffer(_NULL_FRAME_BYTES)
        self._frame = _Frame()
        self._due = _TimeVal()
        self._now = _TimeVal()
        self._bridge: int | None = None
        self._timers: int | None = None

    def set_log_level(self, level: int) -> None:
        """Set how much pjsip hands to the log writer, from now on."""
        self._c.pj_log_set_level(level)

    def keep_transport(self) -> bool:
        """Keep long requests on UDP where pjsip would turn to TCP by itself; return whether this build's settings were recognised.

        pjsua2 has no way to say so: the library's own settings are written, if the words around the place are those expected there.
        """
        words = (ctypes.c_uint32 * 18).in_dll(self._c, "pjsip_sip_cfg_var")
        if list(words[6:8]) != [1, 1] or list(words[14:18]) != [500, 4000, 5000, 32_000]:
            return False
        words[_DISABLE_TCP_SWITCH] = 1
        return True

    def set_transaction_limit(self, limit_ms: int) -> None:
        """Set after how long an unanswered transaction ends (RFC 3261 timers B, D, F and H in one; the library's own is 32 s)."""
        self._c.pjsip_tsx_set_timers(0, 0, 0, limit_ms)

    def slots_used(self) -> int:
        """Return the calls the library still holds, those included whose BYE or CANCEL nobody has answered yet."""
        return int(self._c.pjsua_call_get_count())

    def slots_max(self) -> int:
        """Return how many calls this build of the library holds at once."""
        return int(self._c.pjsua_call_get_max_count())

    def disconnect_sound_device(self) -> None:
        """Leave the conference bridge without any device or clock; `turn_bridge` turns it by hand."""
        self._bridge = self._c.pjsua_set_no_snd_dev()
        self._timers = self._c.pjsip_endpt_get_timer_heap(self._c.pjsua_get_pjsip_endpt())

    def turn_bridge(self) -> None:
        """Run one 20 ms frame through the conference bridge: only there does it free the ports of ended calls."""
        self._frame.type = 0
        self._frame.buf = ctypes.addressof(self._samples)
        self._frame.size = _NULL_FRAME_BYTES
        self._c.pjmedia_port_get_frame(self._bridge, ctypes.byref(self._frame))

    def ms_to_next_timer(self) -> int | None:
        """Return the milliseconds until pjsip's next timer is due (0 when overdue), or None when it has none."""
        if self._c.pj_timer_heap_earliest_time(self._timers, ctypes.byref(self._due)):
            return None
        self._c.pj_gettickcount(ctypes.byref(self._now))
        return max(0, int((self._due.sec - self._now.sec) * 1000 + self._due.msec - self._now.msec))
