"""G.711 tables against the ITU's vectors and against the Recommendation's text, octet by octet."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from amd import AmdInputError, g711

pytestmark = pytest.mark.unit

Decode = Callable[[np.ndarray], np.ndarray]
Encode = Callable[[np.ndarray], np.ndarray]

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int16)
EVERY_OCTET = np.arange(256, dtype=np.uint8)


def slow_pcmu(octet: int) -> int:
    """Return the value of one µ-law octet, from the decision values of G.711's table 2."""
    sent = octet ^ 0xFF
    step, segment = sent & 15, (sent >> 4) & 7
    value, width = 0, 2
    for _ in range(
        segment
    ):  # 16 steps, each value in the middle of its step, which doubles from segment to segment
        value += 16 * width + width // 2
        width *= 2
    value += step * width
    return -4 * value if sent & 0x80 else 4 * value


def slow_pcma(octet: int) -> int:
    """Return the value of one A-law octet, from the decision values of G.711's table 1."""
    sent = octet ^ 0x55
    step, segment = sent & 15, (sent >> 4) & 7
    start, width = (0, 2) if segment == 0 else (32 << (segment - 1), 2 << (segment - 1))
    value = 8 * (start + step * width + width // 2)
    return value if sent & 0x80 else -value


@pytest.mark.parametrize(("decode", "slow"), [(g711.decode_pcmu, slow_pcmu), (g711.decode_pcma, slow_pcma)])
def test_decoding_follows_the_recommendation(decode: Decode, slow: Callable[[int], int]) -> None:
    """Every octet decodes to the value the Recommendation's segments and steps give it."""
    assert decode(EVERY_OCTET).tolist() == [slow(octet) for octet in range(256)]


@pytest.mark.parametrize(
    ("decode", "encode"), [(g711.decode_pcmu, g711.encode_pcmu), (g711.decode_pcma, g711.encode_pcma)]
)
def test_encoding_stays_within_half_a_step_and_inverts_decoding(decode: Decode, encode: Encode) -> None:
    """Every sample is coded within half the wider of the two steps beside its value, and every value as itself."""
    values = np.unique(decode(EVERY_OCTET).astype(np.int32))
    coded = decode(encode(EVERY_SAMPLE)).astype(np.int32)
    place, gaps = np.searchsorted(values, coded), np.diff(values)
    step = np.maximum(gaps[np.maximum(place - 1, 0)], gaps[np.minimum(place, gaps.size - 1)])
    inside = (values[0] <= EVERY_SAMPLE) & (values[-1] >= EVERY_SAMPLE)
    # 16 bits are cut to 14 or 13 first, which may cost up to that much
    assert (np.abs(coded - EVERY_SAMPLE) <= step / 2 + 8)[inside].all()
    assert (decode(encode(decode(EVERY_OCTET))) == decode(EVERY_OCTET)).all()


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("law", "coded", "decoded"), [("pcmu", "sweep-r.u", "sweep-r.reu"), ("pcma", "sweep-r.a", "sweep-r.rea")]
)
def test_the_itu_sweep_is_reproduced_bit_for_bit(
    shared_data: Path, law: str, coded: str, decoded: str
) -> None:
    """The ITU's sweep over all 65,536 samples encodes and decodes to its vectors."""
    folder = shared_data / "g711" / "test_data"
    source = np.fromfile(folder / "sweep.src", "<i2").astype(np.int16)
    octets = np.fromfile(folder / coded, "<u2").astype(np.uint8)
    assert (getattr(g711, f"encode_{law}")(source) == octets).all()
    assert (getattr(g711, f"decode_{law}")(octets) == np.fromfile(folder / decoded, "<i2")).all()


@pytest.mark.needs_shared
def test_the_itu_tandem_is_reproduced_bit_for_bit(shared_data: Path) -> None:
    """Coding what was decoded once gives the ITU's tandem vectors."""
    folder = shared_data / "g711" / "test_data"
    for law, decoded, tandem in (
        ("pcmu", "sweep-r.reu", "sweep-r.u-u"),
        ("pcma", "sweep-r.rea", "sweep-r.a-a"),
    ):
        source = np.fromfile(folder / decoded, "<i2").astype(np.int16)
        again = getattr(g711, f"decode_{law}")(getattr(g711, f"encode_{law}")(source))
        assert (again == np.fromfile(folder / tandem, "<i2")).all()


def test_translation_tables_recode_a_payload() -> None:
    """`bytes.translate` with a table is decoding by one law and encoding by the other."""
    payload = EVERY_OCTET.tobytes()
    to_pcma, to_pcmu = payload.translate(g711.PCMU_TO_PCMA), payload.translate(g711.PCMA_TO_PCMU)
    assert to_pcma == g711.encode_pcma(g711.decode_pcmu(EVERY_OCTET)).tobytes()
    assert to_pcmu == g711.encode_pcmu(g711.decode_pcma(EVERY_OCTET)).tobytes()


@pytest.mark.parametrize("shape", [(3, 160), (160,), (2, 5), (0, 160), (7,)])
def test_batches_of_any_shape_decode_alike(shape: tuple[int, ...]) -> None:
    """Even and odd, contiguous and strided, into new and into given memory: the same samples."""
    octets = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    for decode, slow in ((g711.decode_pcmu, slow_pcmu), (g711.decode_pcma, slow_pcma)):
        expected = np.array([slow(int(octet)) for octet in octets.ravel()], np.int16).reshape(shape)
        out = np.empty(shape, np.int16)
        assert (decode(octets) == expected).all()
        assert decode(octets, out=out) is out
        assert (out == expected).all()
        assert (decode(octets[..., ::-1]) == expected[..., ::-1]).all()


def test_other_types_are_refused() -> None:
    """Samples where octets belong, and the reverse, raise instead of decoding nonsense."""
    with pytest.raises(AmdInputError, match="octets"):
        g711.decode_pcmu(np.zeros(160, np.int16))
    with pytest.raises(AmdInputError, match="pcm"):
        g711.encode_pcma(np.zeros(160, np.int32))
    with pytest.raises(AmdInputError, match="out"):
        g711.decode_pcma(np.zeros(160, np.uint8), out=np.zeros(80, np.int16))
