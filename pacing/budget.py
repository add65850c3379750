"""How much risk the next call may have: the abandonment ledger, turned into the highest probability the rule allows.

Owns that one curve. The ledger itself is the engine's, which passes the tightest window in.
"""

from __future__ import annotations

from pacing.arithmetic import Arithmetic, Value

GAIN = 0.6
"""How fast the allowed risk grows with the balance: a factor of e for 1 / GAIN calls."""
CENTRE = 1.0
"""Balance, in steps, at which the allowed risk is `BASE` times the ceiling."""
BASE = 0.9
SCALE = 4.6
"""The balance is counted in so many calls times the root of live answers per second, at least one: where teams are large, callers are
abandoned several at a time."""
MOST = 8.0
"""The allowed risk never exceeds so many times the ceiling, nor one half, whatever has been saved up."""
LEAST = 0.03
"""The allowed risk never falls below this share of the ceiling: it pays the debt back, and large teams go on dialing ahead."""
RESERVE_CALLS = 1.0
"""Kept back: a shift may end at any time, and an abandoned call cannot be undone. With less than that in the balance the next one would
end it over the ceiling."""
NEAR = 0.5
"""Under one step of balance the allowed risk goes down to this share of itself, and is at its floor from no balance on."""
LOAN_CALLS, LOAN_LIVE = 2.0, 120.0
"""An empty ledger allows nothing until 1 / ceiling people have answered: so it is lent calls, paid back by as many live answers."""


def allowed_risk(ceiling: Value, live: Value, abandoned: Value, live_hz: Value, by: Arithmetic) -> Value:
    """Return the highest probability of abandonment the next call may have.

    Parameters
    ----------
    ceiling : float or numpy.ndarray of float64
        Largest share of live answers that may be abandoned.
    live, abandoned : int or numpy.ndarray of int
        The ledger's tightest window.
    live_hz : float or numpy.ndarray of float64
        Live answers per second over the last minutes.
    by : Arithmetic
        Of numbers or of arrays.

    Returns
    -------
    float or numpy.ndarray of float64
        Alpha in (0, 1/2]; non-decreasing in the ceiling, non-increasing in the abandoned.

    Notes
    -----
    The balance is ``ceiling x live - abandoned``, in calls, less the reserve. Under one step the next spell of abandoned calls would break
    the ceiling, and alpha falls with it; under nothing the next call would, and alpha is at its floor. In between it moves gently: risk
    that is spread evenly buys more conversations than the same risk taken by turns in plenty and not at all.
    """
    scale = by.maximum(1.0, SCALE * by.sqrt(live_hz))
    loan = LOAN_CALLS * by.maximum(0.0, 1.0 - live / LOAN_LIVE)
    balance = ceiling * live - abandoned + loan - RESERVE_CALLS
    alpha = ceiling * BASE * by.exp(by.minimum(GAIN * (balance / scale - CENTRE), 50.0))
    near = by.minimum(by.maximum(balance / scale, 0.0), 1.0)
    alpha = by.where(balance < 0.0, 0.0, alpha * (NEAR + (1.0 - NEAR) * near))
    return by.minimum(by.maximum(alpha, LEAST * ceiling), by.minimum(MOST * ceiling, 0.5))
