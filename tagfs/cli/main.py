"""The `tagfs` command: the list of its commands and what they share. Layer: cli."""

from __future__ import annotations

import sys

import click

from tagfs import __version__
from tagfs.cli.command import MainGroup, global_options
from tagfs.cli.failure import FAILED, INTERRUPTED
from tagfs.cli.session import debugging
from tagfs.cli.streams import fill_standard_streams

COMMANDS = {
    "add": "storing:add",
    "import": "importing:import_",
    "list": "finding:list_",
    "count": "finding:count",
    "tags": "finding:tags",
    "info": "finding:info",
    "get": "fetching:get",
    "cat": "fetching:cat",
    "export": "exporting:export",
    "backup": "exporting:backup",
    "add-tags": "tagging:add_tags",
    "delete-tags": "tagging:delete_tags",
    "rename-tag": "tagging:rename_tag",
    "rename": "tagging:rename",
    "delete": "trash:delete",
    "restore": "trash:restore",
    "purge": "trash:purge",
    "save": "searches:save",
    "saved": "searches:saved",
    "unsave": "searches:unsave",
    "nodes": "cluster:nodes",
    "node": "cluster:node",
    "cluster": "cluster_settings:cluster",
    "user": "users:user",
    "cluster-key": "cluster:cluster_key",
    "shell": "shell:shell",
    "doctor": "doctor:doctor",
    "completion": "completion:completion",
}
"""Name to module and attribute, in the order of the help."""


@click.group(
    cls=MainGroup,
    lazy={name: f"tagfs.cli.commands.{place}" for name, place in COMMANDS.items()},
    params=global_options(environment=True),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="tagfs", message="%(prog)s %(version)s")
def cli() -> None:
    """Store files, tag them, and ask for them by tags.

    A QUERY is words with and, or, not and parentheses: beach and (2023 or 2024) and not blurry. Values compare (year >=
    2020), * stands for anything (hol*), and there are fields: name:*.jpg size:>10M added:2026-11 untagged.

    Exit codes: 0 done; 1 nothing matched, or it failed; 2 wrong usage.
    """


def main(prog_name: str | None = None) -> None:
    """The entry point."""
    if (wrong := fill_standard_streams()) is not None:
        click.echo(f"tagfs: {wrong}", err=True)
        sys.exit(FAILED)
    try:
        code = cli.main(prog_name=prog_name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        click.echo("tagfs: interrupted", err=True)
        code = INTERRUPTED
    except Exception as error:
        if debugging():
            raise
        click.echo(f"tagfs: internal error: {type(error).__name__}: {error} (TAGFS_DEBUG=1 shows where)", err=True)
        code = FAILED
    sys.exit(code if isinstance(code, int) else 0)
