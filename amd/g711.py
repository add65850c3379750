"""G.711: µ-law (PCMU) and A-law (PCMA) to linear samples and back, over whole batches by table.

Owns the tables. Silence, packet loss and payload types belong to the media plane.

All tables follow ITU-T Recommendation G.711 (1988) and the 16-bit conventions of the ITU-T Software Tool Library (G.191): µ-law
carries 14 bits and A-law 13, both left-justified in 16.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.errors import AmdInputError


def _pcmu_values() -> NDArray[np.int16]:
    # a µ-law octet is sent inverted: sign, 3 bits of segment, 4 of step
    octet = ~np.arange(256, dtype=np.uint8)
    segment, step = (octet >> 4 & 7).astype(np.int32), (octet & 15).astype(np.int32)
    # magnitude = (2 step + 33) 2^segment - 33, in 14 bits
    magnitude = ((2 * step + 33 << segment) - 33) * 4
    return np.where(octet & 0x80, -magnitude, magnitude).astype(np.int16)


def _pcma_values() -> NDArray[np.int16]:
    # an A-law octet is sent with every other bit inverted; a set sign bit means positive
    octet = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, step = (octet >> 4 & 7).astype(np.int32), (octet & 15).astype(np.int32)
    # magnitude = 2 step + 1 in the first segment, (2 step + 33) 2^(segment - 1) beyond, in 13 bits
    magnitude = np.where(segment == 0, 2 * step + 1, 2 * step + 33 << np.maximum(segment - 1, 0)) * 8
    return np.where(octet & 0x80, magnitude, -magnitude).astype(np.int16)


def _pcmu_octets() -> NDArray[np.uint8]:
    sample = np.arange(-32768, 32768, dtype=np.int32)
    # 14-bit one's complement magnitude, biased by 33, so that the segment is the place of the highest bit
    magnitude = np.minimum((np.where(sample < 0, ~sample, sample) >> 2) + 33, 0x1FFF)
    segment = np.frexp(magnitude)[1] - 6
    octet = segment << 4 | (magnitude >> segment + 1 & 15)
    return np.asarray(~np.where(sample < 0, octet | 0x80, octet), np.int32).astype(np.uint8)


def _pcma_octets() -> NDArray[np.uint8]:
    sample = np.arange(-32768, 32768, dtype=np.int32)
    # 12-bit one's complement magnitude
    magnitude = np.where(sample < 0, ~sample, sample) >> 4
    segment = np.maximum(np.frexp(magnitude)[1] - 4, 0)
    octet = segment << 4 | (magnitude >> np.maximum(segment - 1, 0) & 15)
    return np.asarray(np.where(sample < 0, octet, octet | 0x80) ^ 0x55, np.int32).astype(np.uint8)


_PCMU_VALUE = _pcmu_values()
_PCMA_VALUE = _pcma_values()
# two octets at once, indexed by both as they lie in memory: twice as fast as octet by octet
_OCTET_PAIRS = np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
_PCMU_PAIR = _PCMU_VALUE[_OCTET_PAIRS].view(np.uint32).ravel()
_PCMA_PAIR = _PCMA_VALUE[_OCTET_PAIRS].view(np.uint32).ravel()
# indexed by the sample's 16 bits read as unsigned
_PCMU_OCTET = np.roll(_pcmu_octets(), 32768)
_PCMA_OCTET = np.roll(_pcma_octets(), 32768)

PCMU_TO_PCMA = _PCMA_OCTET[_PCMU_VALUE.view(np.uint16)].tobytes()
"""Table for `bytes.translate`: every µ-law octet as the A-law octet of its value."""
PCMA_TO_PCMU = _PCMU_OCTET[_PCMA_VALUE.view(np.uint16)].tobytes()
"""Table for `bytes.translate`: every A-law octet as the µ-law octet of its value."""


def decode_pcmu(octets: NDArray[np.uint8], out: NDArray[np.int16] | None = None) -> NDArray[np.int16]:
    """Decode µ-law octets to linear samples.

    Parameters
    ----------
    octets : numpy.ndarray of uint8, any shape
        Coded sound, for example (n_calls, 160).
    out : numpy.ndarray of int16, same shape, optional
        Written into and returned when given.

    Returns
    -------
    numpy.ndarray of int16, same shape
        Samples in [-32124, 32124].

    Raises
    ------
    AmdInputError
        `octets` is not uint8, or `out` not int16 of its shape.

    References
    ----------
    ITU-T (1988), Recommendation G.711, table 2.

    Examples
    --------
    >>> decode_pcmu(np.array([0x00, 0x7F, 0x80, 0xFF], np.uint8)).tolist()
    [-32124, 0, 32124, 0]
    """
    return _decode(octets, out, _PCMU_VALUE, _PCMU_PAIR)


def decode_pcma(octets: NDArray[np.uint8], out: NDArray[np.int16] | None = None) -> NDArray[np.int16]:
    """Decode A-law octets to linear samples.

    Parameters
    ----------
    octets : numpy.ndarray of uint8, any shape
        Coded sound, for example (n_calls, 160).
    out : numpy.ndarray of int16, same shape, optional
        Written into and returned when given.

    Returns
    -------
    numpy.ndarray of int16, same shape
        Samples in [-32256, 32256]; A-law has no zero, its idle octet 0xD5 is 8.

    Raises
    ------
    AmdInputError
        `octets` is not uint8, or `out` not int16 of its shape.

    References
    ----------
    ITU-T (1988), Recommendation G.711, table 1.

    Examples
    --------
    >>> decode_pcma(np.array([0xD5, 0x55, 0xAA, 0x2A], np.uint8)).tolist()
    [8, -8, 32256, -32256]
    """
    return _decode(octets, out, _PCMA_VALUE, _PCMA_PAIR)


def encode_pcmu(pcm: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Encode linear samples as µ-law octets.

    Parameters
    ----------
    pcm : numpy.ndarray of int16, any shape
        Samples.

    Returns
    -------
    numpy.ndarray of uint8, same shape
        Coded sound.

    Raises
    ------
    AmdInputError
        `pcm` is not int16.

    References
    ----------
    ITU-T (1988), Recommendation G.711, table 2; rounding as in G.191's ``ulaw_compress``.

    Examples
    --------
    >>> encode_pcmu(np.array([0, 32767, -32768], np.int16)).tolist()
    [255, 128, 0]
    """
    return _PCMU_OCTET.take(_samples(pcm).view(np.uint16))


def encode_pcma(pcm: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Encode linear samples as A-law octets.

    Parameters
    ----------
    pcm : numpy.ndarray of int16, any shape
        Samples.

    Returns
    -------
    numpy.ndarray of uint8, same shape
        Coded sound.

    Raises
    ------
    AmdInputError
        `pcm` is not int16.

    References
    ----------
    ITU-T (1988), Recommendation G.711, table 1; rounding as in G.191's ``alaw_compress``.

    Examples
    --------
    >>> encode_pcma(np.array([0, 32767, -32768], np.int16)).tolist()
    [213, 170, 42]
    """
    return _PCMA_OCTET.take(_samples(pcm).view(np.uint16))


def _decode(
    octets: NDArray[np.uint8],
    out: NDArray[np.int16] | None,
    value: NDArray[np.int16],
    pair: NDArray[np.uint32],
) -> NDArray[np.int16]:
    if octets.dtype != np.uint8:
        raise AmdInputError("octets", "needs an array of uint8")
    if out is None:
        out = np.empty(octets.shape, np.int16)
    elif out.dtype != np.int16 or out.shape != octets.shape:
        raise AmdInputError("out", f"needs int16 of shape {octets.shape}")
    # no index can be out of range, and mode="clip" spares the check
    if octets.ndim and octets.shape[-1] % 2 == 0 and octets.flags.c_contiguous and out.flags.c_contiguous:
        pair.take(octets.view(np.uint16), out=out.view(np.uint32), mode="clip")
    else:
        value.take(octets, out=out, mode="clip")
    return out


def _samples(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    if pcm.dtype != np.int16:
        raise AmdInputError("pcm", "needs an array of int16")
    return pcm
