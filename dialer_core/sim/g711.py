"""G.711 both ways, by table: the simulator's own codec, shared with nothing that the dialer runs.

Owns the companding tables, the payload type and silence byte of each law. Owns no RTP and no clips.

Source: ITU-T G.711 (1988), tables 1a/1b (A-law) and 2a/2b (mu-law), in the segment form of Sun's g711.c
(1992). The tables are held against libsndfile's codec in the tests.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 8000
FRAME_SAMPLES = 160
"""Samples, and with G.711 bytes, in the 20 ms frame that every leg of the simulator sends."""

_ULAW_BIAS = 0x84
_ULAW_CLIP = 32635


class Law(StrEnum):
    """A companding law, named as SDP names its codec."""

    PCMU = "PCMU"
    PCMA = "PCMA"


PAYLOAD_TYPE: Mapping[Law, int] = {Law.PCMU: 0, Law.PCMA: 8}
LAW_OF_PAYLOAD_TYPE: Mapping[int, Law] = {pt: law for law, pt in PAYLOAD_TYPE.items()}
SILENCE_BYTE: Mapping[Law, int] = {Law.PCMU: 0xFF, Law.PCMA: 0xD5}
"""The code of the smallest positive sample, which is what a silent line carries."""


def _encode_ulaw(pcm: NDArray[np.int32]) -> NDArray[np.uint8]:
    magnitude = np.minimum(np.abs(pcm), _ULAW_CLIP) + _ULAW_BIAS
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    code = (exponent << 4) | mantissa
    sign = np.where(pcm < 0, 0x80, 0)
    return np.asarray(~(sign | code) & 0xFF, np.uint8)


def _encode_alaw(pcm: NDArray[np.int32]) -> NDArray[np.uint8]:
    positive = pcm >= 0
    magnitude = np.where(positive, pcm, -pcm - 1) >> 3  # 13 bits, sign apart
    magnitude = np.minimum(magnitude, 4095)
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0)
    mantissa = np.where(exponent == 0, magnitude >> 1, magnitude >> exponent) & 0x0F
    code = (exponent << 4) | mantissa
    return np.asarray(code ^ np.where(positive, 0xD5, 0x55), np.uint8)


def _decode_ulaw() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + _ULAW_BIAS) << ((code & 0x70) >> 4)) - _ULAW_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _decode_alaw() -> NDArray[np.int16]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent = (code & 0x70) >> 4
    step = ((code & 0x0F) << 4) + 8
    magnitude = np.where(exponent == 0, step, (step + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


@cache
def _encoder(law: Law) -> NDArray[np.uint8]:
    """All 65,536 samples' codes, indexed by the sample seen as uint16."""
    pcm = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    return _encode_ulaw(pcm) if law is Law.PCMU else _encode_alaw(pcm)


@cache
def decode_table(law: Law) -> NDArray[np.float32]:
    """Sample of each code, as float32 in [-1, 1); shape (256,)."""
    samples = _decode_ulaw() if law is Law.PCMU else _decode_alaw()
    return (samples / 32768.0).astype(np.float32)


def encode(pcm: NDArray[np.int16], law: Law) -> bytes:
    """G.711 bytes of int16 samples (any length)."""
    return _encoder(law)[np.ascontiguousarray(pcm).view(np.uint16)].tobytes()


def decode(payload: bytes, law: Law) -> NDArray[np.float32]:
    """Samples of G.711 bytes, float32 in [-1, 1)."""
    return decode_table(law)[np.frombuffer(payload, dtype=np.uint8)]


def frames(pcm: NDArray[np.int16], law: Law) -> tuple[bytes, ...]:
    """The 20 ms payloads of a clip; the last one is filled up with silence."""
    coded = encode(pcm, law)
    silence = bytes([SILENCE_BYTE[law]])
    padded = coded.ljust(-(-len(coded) // FRAME_SAMPLES) * FRAME_SAMPLES, silence)
    return tuple(padded[i : i + FRAME_SAMPLES] for i in range(0, len(padded), FRAME_SAMPLES))


@cache
def silent_frame(law: Law) -> bytes:
    """20 ms of an idle line."""
    return bytes([SILENCE_BYTE[law]]) * FRAME_SAMPLES
