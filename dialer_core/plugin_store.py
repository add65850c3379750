"""What a plugin keeps for itself: values under keys of its own. It owns the ways in; the rows are `store/plugin_values.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar

from dialer_core.clock import Clock
from dialer_core.errors import CommandRefusedError
from dialer_core.store import plugin_values
from dialer_core.store.tx import Tx

T = TypeVar("T")


class Ways(Protocol):
    """The store as one plugin may use it."""

    clock: Clock
    actor: str
    plugin: str

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Ask something in a transaction of its own, off the loop."""

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Do something in a transaction of its own, off the loop."""


class Group:
    """Some of the ways in: what they share is the store, the clock and the actor."""

    def __init__(self, its: Ways) -> None:
        self._its = its


class PluginStore(Group):
    """What the plugin keeps for itself: JSON under keys of its own, unseen by others."""

    @staticmethod
    def _check(*keys: str) -> None:
        if any(not 0 < len(key) <= plugin_values.MOST_KEY for key in keys):
            raise CommandRefusedError(f"a key has 1 to {plugin_values.MOST_KEY} characters", "invalid")

    async def get(self, key: str, default: Any = None) -> Any:
        """Return what stands under a key."""
        return (await self.get_many([key])).get(key, default)

    async def get_many(self, keys: Collection[str]) -> dict[str, Any]:
        """Return what stands under those of these keys that there are."""
        return await self._its.read(lambda tx: plugin_values.get(tx, self._its.plugin, keys))

    async def put(self, key: str, value: Any) -> None:
        """Write what JSON can hold under a key, in place of what stood there."""
        await self.put_many({key: value})

    async def put_many(self, values: Mapping[str, Any]) -> None:
        """Write several at once, or none of them.

        Raises
        ------
        CommandRefusedError
            A key is empty or longer than 255 characters.
        """
        self._check(*values)
        now = self._its.clock.utc()
        await self._its.write(lambda tx: plugin_values.put(tx, self._its.plugin, values, now))

    async def swap(self, key: str, before: Any, after: Any) -> bool:
        """Write a value if what stands under its key is still `before` (None: nothing); say whether it was: of several nodes, one does it.

        Raises
        ------
        CommandRefusedError
            The key is empty or longer than 255 characters.
        """
        self._check(key)
        now = self._its.clock.utc()
        return await self._its.write(
            lambda tx: plugin_values.swap(tx, self._its.plugin, key, before, after, now)
        )

    async def remove(self, *keys: str) -> None:
        """Take keys away."""
        await self._its.write(lambda tx: plugin_values.remove(tx, self._its.plugin, keys))

    async def items(self, prefix: str = "", after: str = "", limit: int = 1_000) -> list[tuple[str, Any]]:
        """Return the keys that begin like this, in order, those behind `after`."""
        return await self._its.read(lambda tx: plugin_values.page(tx, self._its.plugin, prefix, after, limit))
