"""`dialer completion`: the script by which a shell completes the words of a command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from dialer_core.commands.invocation import Invocation, example, invocation

SHELLS = ("bash", "zsh", "fish")
WHERE = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/config.fish"}


@click.command(epilog=example("dialer completion bash >> ~/.bashrc", 'eval "$(dialer completion zsh)"'))
@click.argument("shell", type=click.Choice(SHELLS))
@invocation
def completion(call: Invocation, shell: str) -> None:
    """Print what a shell must read to complete commands, options and names of files; new shells have it once it is in their start file."""
    kind = get_completion_class(shell)
    if kind is None:  # a version of click without this shell
        raise click.ClickException(f"no completion for {shell} in this installation")
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "dialer", "_DIALER_COMPLETE").source()
    call.give({"shell": shell, "script": script})
    call.say(script)
