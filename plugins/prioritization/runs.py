"""A run's result as a file: each account's probabilities, worth, best hour and channel, found by its id.

It owns the file. The host reads it without loading what it was learned with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dialer_core.plugin_api import DialerError
from plugins.prioritization.history import keys


class RunError(DialerError):
    """There is no run, or its file cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Scores:
    """A run's result, one row for each account that may still be tried."""

    ids: NDArray[np.bytes_]
    """32 hexadecimal digits each, of shape (n,), in the order of their random halves."""
    contact: NDArray[np.float32]
    """P(somebody answers a call), by hour, of shape (n, n_hours)."""
    pay: NDArray[np.float32]
    """P(payment within `pay_days` of a call)."""
    value: NDArray[np.float64]
    """Expected, in the currency's unit."""
    hour: NDArray[np.int8]
    channel: NDArray[np.int8]
    """Index into `CHANNELS`."""
    answer: NDArray[np.float32]
    """Expected share of answers at that hour by that channel."""
    first_hour: int
    made_s: float

    def save(self, file: Path) -> None:
        """Write the run, in place of the one before."""
        made = file.with_name(f"{file.name}.new.npz")
        np.savez(made, **vars(self))
        made.replace(file)

    @classmethod
    def load(cls, file: Path) -> Scores:
        """Read a run.

        Raises
        ------
        RunError
            There is none, or the file holds something else.
        """
        try:
            with np.load(file) as held:
                found = {name: held[name] for name in cls.__dataclass_fields__}
        except FileNotFoundError:
            raise RunError(f"{file}: no list has been scored yet; 'dialer score run' does") from None
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{file}: is no file of scores of ours; 'dialer score run' makes it anew") from error  # fmt: skip
        return cls(**found | {"first_hour": int(found["first_hour"]), "made_s": float(found["made_s"])})

    def place(self, account: str) -> int | None:
        """Return the row of an account, by its id; None: it is not among them."""
        if not self.ids.size:
            return None
        asked = np.array([account.replace("-", "")], "S32")
        place = int(np.searchsorted(keys(self.ids), keys(asked)[0]))
        return place if place < self.ids.size and self.ids[place] == asked[0] else None


def scores_file(folder: Path, campaign: str) -> Path:
    """Return where a campaign's last run lies."""
    return folder / f"{campaign}.npz"
