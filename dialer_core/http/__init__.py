"""The HTTP application: `/api/v1` and the routes of plugins.

It owns who may ask (`tokens`, `guard`), how answers and errors look (`answers`, `problems`), and one module
of routes for each noun. It owns no state and no decision: everything goes through an `EngineHandle` or the
store.
"""
