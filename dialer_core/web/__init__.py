"""What a page or a route needs, whoever serves it: who asks, errors, templates, texts, the one design.

It owns no route: those are `dialer_core.http`'s and the plugins'. What plugins may use of it, `plugin_api.py` says.
"""
