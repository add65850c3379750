"""The law as data and the one gate that keeps it: rule packs, zones, windows, caps, the abandonment ledger, `may_contact`."""
