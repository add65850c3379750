"""Marcador's core: the call loop, its gate, its store, and the processes around them.

Read `vocabulary/`, `events.py`, `hookspecs.py` and the layer list in `pyproject.toml` first; they name everything else.
"""
