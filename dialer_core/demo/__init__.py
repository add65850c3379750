"""The demonstration: a campaign of 200 packaged leads against a simulated carrier and five softphones.

It owns the packaged leads (`leads.csv`: every suffix from 00 to 99 once, and a hundred more that are no
people, so that one in five answers in person; all in a block of zeros that nobody has), the configuration
(`config/`), the world it runs in (`world.py`) and the comparison with what the carrier really did
(`report.py`, `sound.py`). The table on the screen is `commands/demo.py`'s.
"""
