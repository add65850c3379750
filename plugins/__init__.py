"""The bundled plugins. Each imports `dialer_core.plugin_api` and nothing else of the core."""
