"""completion: the script that makes a shell complete commands and tags. Layer: cli."""

from __future__ import annotations

import click

from tagfs.cli.command import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and tags.

    For bash: eval "$(tagfs completion bash)" in ~/.bashrc.
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    root = context.find_root()
    click.echo(made(root.command, {}, root.info_name or "tagfs", "_TAGFS_COMPLETE").source())
