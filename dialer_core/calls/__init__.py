"""Attempts: their state machine, the legs they hold, the trunks that carry them, and how an ending becomes an outcome."""
