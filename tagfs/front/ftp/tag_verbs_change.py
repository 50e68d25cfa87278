"""Changes of tags, names, the trash and saved searches. Layer: front."""

from __future__ import annotations

from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.tag_verbs_content import copies_text
from tagfs.front.ftp.verb import Run, Verb
from tagfs.node.interfaces import Changed
from tagfs.wire import tag_commands
from tagfs.wire.tag_rows import plain


async def add_tags(exchange: Exchange) -> None:
    """``ADD-TAGS query | tag …``"""
    query, tags = tag_commands.read_retag(exchange.argument)
    _changed(exchange, await exchange.node.add_tags(exchange.principal, query, tags), "changed")


async def delete_tags(exchange: Exchange) -> None:
    """``DELETE-TAGS query | tag …``"""
    query, tags = tag_commands.read_retag(exchange.argument)
    _changed(exchange, await exchange.node.delete_tags(exchange.principal, query, tags), "changed")


async def delete(exchange: Exchange) -> None:
    """``DELETE query``"""
    query = tag_commands.read_selection(exchange.argument)
    _changed(exchange, await exchange.node.delete(exchange.principal, query), "deleted")


async def restore(exchange: Exchange) -> None:
    """``RESTORE query``"""
    query = tag_commands.read_selection(exchange.argument)
    _changed(exchange, await exchange.node.restore(exchange.principal, query), "restored")


async def purge(exchange: Exchange) -> None:
    """``PURGE query``"""
    query = tag_commands.read_selection(exchange.argument)
    _changed(exchange, await exchange.node.purge(exchange.principal, query), "purged")


async def rename(exchange: Exchange) -> None:
    """``RENAME id | name``"""
    identifier, name = tag_commands.read_rename(exchange.argument)
    _changed(exchange, await exchange.node.rename(exchange.principal, identifier, name), "changed")


async def rename_tag(exchange: Exchange) -> None:
    """``RENAME-TAG old | new``"""
    old, new = tag_commands.read_rename_tag(exchange.argument)
    _changed(exchange, await exchange.node.rename_tag(exchange.principal, old, new), "changed")


async def delete_tag(exchange: Exchange) -> None:
    """``DELETE-TAG tag``"""
    tag = tag_commands.read_tag(exchange.argument)
    _changed(exchange, await exchange.node.delete_tag(exchange.principal, tag), "changed")


async def save(exchange: Exchange) -> None:
    """``SAVE name | query``"""
    name, query = tag_commands.read_save(exchange.argument)
    await exchange.node.save_search(exchange.principal, name, query)
    exchange.reply(250, "saved")


async def saved(exchange: Exchange) -> None:
    """``SAVED``"""
    searches = await exchange.node.saved_searches(exchange.principal)
    exchange.open(214, "name, query")
    for name, query in searches:
        exchange.row(f"{plain(name)}\t{plain(query)}")
    exchange.reply(214, f"total={len(searches)}")


async def unsave(exchange: Exchange) -> None:
    """``UNSAVE name``"""
    await exchange.node.unsave_search(exchange.principal, tag_commands.read_search(exchange.argument))
    exchange.reply(250, "forgotten")


def _changed(exchange: Exchange, changed: Changed, word: str) -> None:
    exchange.reply(250, f"{changed.changed} {word} {copies_text(changed.copies)}")


def _change(name: str, run: Run, usage: str, summary: str) -> Verb:
    """A change: what has begun comes to its end though nobody may hear of it."""
    return Verb(name, run, usage, summary, finishes=True)


VERBS = (
    _change("ADD-TAGS", add_tags, "ADD-TAGS query | tag …", "gives tags to the entries that match"),
    _change("DELETE-TAGS", delete_tags, "DELETE-TAGS query | tag …", "takes tags from the entries that match"),
    _change("DELETE", delete, "DELETE query", "moves the entries that match to the trash"),
    _change("RESTORE", restore, "RESTORE query", "takes the entries that match out of the trash"),
    _change("PURGE", purge, "PURGE query", "forgets the entries in the trash that match, for ever"),
    _change("RENAME", rename, "RENAME id | name", "gives one entry another name"),
    _change("RENAME-TAG", rename_tag, "RENAME-TAG old | new", "renames a tag, or merges it into one that exists"),
    _change("DELETE-TAG", delete_tag, "DELETE-TAG tag", "takes a tag from every entry"),
    _change("SAVE", save, "SAVE name | query", "saves a search"),
    Verb("SAVED", saved, "SAVED", "lists the saved searches"),
    _change("UNSAVE", unsave, "UNSAVE name", "forgets a saved search"),
)
