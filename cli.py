"""The `dialer` command: an entry point and nothing else; its body is `dialer_core.commands`."""

from dialer_core.commands.cli import main

__all__ = ["main"]
