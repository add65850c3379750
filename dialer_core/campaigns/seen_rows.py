"""Which accounts of a file were read already, in so little memory that a file of 5 GB fits.

It owns the table: some 20 bytes an account, where a dict takes 200. An account is known by 64 bits of a digest: among 50 million, two that are
not the same are taken for one with a probability of 1 in 10,000.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Final

_SHARDS: Final = 256
"""Each grows by itself, so that never more than a part of the table is there twice."""
_FIRST_SLOTS: Final = 16
_FULL: Final = 0.7


class _Shard:
    """Open addressing with linear probing; a key of zero is a free slot."""

    __slots__ = ("count", "keys", "lines", "mask")

    def __init__(self, slots: int) -> None:
        self.keys = array("Q", bytes(8 * slots))
        self.lines = array("Q", bytes(8 * slots))
        self.mask = slots - 1
        self.count = 0

    def add(self, key: int, line: int) -> int:
        keys, mask = self.keys, self.mask
        slot = key & mask
        while (there := keys[slot]) != 0:
            if there == key:
                return self.lines[slot]
            slot = (slot + 1) & mask
        keys[slot] = key
        self.lines[slot] = line
        self.count += 1
        return line


class SeenRows:
    """Accounts, with the line on which each stood first."""

    def __init__(self) -> None:
        self._shards = [_Shard(_FIRST_SLOTS) for _ in range(_SHARDS)]

    def first_line(self, account: str, line: int) -> int:
        """Return the line on which an account stood first: this one, if it is new."""
        digest = hashlib.blake2b(account.encode(errors="replace"), digest_size=9).digest()
        shard = self._shards[digest[0]]
        if shard.count > _FULL * shard.mask:
            shard = self._shards[digest[0]] = _grown(shard)
        return shard.add(int.from_bytes(digest[1:]) or 1, line)


def _grown(shard: _Shard) -> _Shard:
    larger = _Shard(2 * (shard.mask + 1))
    for key, line in zip(shard.keys, shard.lines, strict=True):
        if key:
            larger.add(key, line)
    return larger
