"""The demonstration: a campaign of 200 packaged leads and a broadcast to four, against a simulated carrier and softphones.

It owns the packaged leads (`leads.csv`: every suffix from 00 to 99 once, and a hundred more that are no
people, so that one in five answers in person; all in a block of zeros that nobody has; `aviso.csv`), the configuration and prompts
(`config/`, `prompts/`), the world it runs in (`world.py`) and the comparison with what the carrier really did
(`report.py`, `sound.py`, `broadcast.py`). The table on the screen is `commands/demo.py`'s.
"""
