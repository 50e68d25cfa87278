"""Where settings come from: TOML file < environment < options. Layer: settings."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attrs import fields

from tagfs.errors import StartError
from tagfs.settings.schema import Settings
from tagfs.settings.values import Parser, path

_PARSERS: Mapping[str, Parser] = {setting.name: setting.metadata["parse"] for setting in fields(Settings)}
_PATHS = frozenset(name for name, parse in _PARSERS.items() if parse is path)


class _Given(NamedTuple):
    """A value that a source gave, how to name that source in an error, and where its relative paths begin."""

    source: str
    value: object
    base: Path = Path()


def _fail(source: str, value: object, allowed: str) -> StartError:
    texts = value if isinstance(value, list) else [value]  # an option that may be repeated comes as a list
    shown = repr(", ".join(map(str, texts))) if all(isinstance(text, str) for text in texts) else repr(value)
    return StartError(f"{source}: {shown} is not allowed here; allowed is {allowed}")


def _from_toml(file: Path) -> dict[str, _Given]:
    """What the file says. Relative paths in it are relative to the file."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"{file}: cannot read the configuration: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"{file}: is not TOML: {error}") from error
    given = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in _PARSERS:
            close = difflib.get_close_matches(name, _PARSERS, 1)
            hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(_PARSERS)}"
            raise StartError(f"{file}: {key if key.isprintable() else repr(key)}: no such setting; {hint}")
        if name in given:
            raise StartError(f"{file}: {key}: is there twice, with - and with _")
        given[name] = _Given(f"{file}: {key}", value, file.absolute().parent)
    return given


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    """What the environment says. An empty variable counts as unset, and an unknown TAGFS_ one may be the client's."""
    named = ((name, f"TAGFS_{name.upper()}") for name in _PARSERS)
    return {name: _Given(variable, environ[variable]) for name, variable in named if environ.get(variable)}


def _from_options(options: Mapping[str, object]) -> dict[str, _Given]:
    """What the command line says. None, an empty list and an unset flag count as not given."""
    named = ((option.replace("-", "_"), value) for option, value in options.items())
    return {
        name: _Given("--" + name.replace("_", "-"), value)
        for name, value in named
        if name in _PARSERS and value not in (None, False, [])  # twistd's unset flag, 0, equals False
    }


def _check_together(settings: Settings, given: Mapping[str, _Given]) -> None:
    """What cannot be seen from one value alone."""
    for name in ("join", "merge"):
        if name in given and getattr(settings, name) and settings.cluster_key is None:
            raise StartError(f"{given[name].source}: needs --cluster-key, without which a node stays alone")
    if settings.cluster_key is not None and settings.node is None:
        raise StartError(
            f"{given['node'].source}: off does not go with a cluster key: other nodes could not reach this one"
        )
    if settings.write_copies is not None and settings.write_copies > settings.copies:
        raise _fail(
            given["write_copies"].source, str(settings.write_copies), f"at most the {settings.copies} of copies"
        )
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        source = (given.get("tls_certificate") or given["tls_key"]).source
        raise StartError(f"{source}: tls_certificate and tls_key go together")


def load(options: Mapping[str, object], environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """The settings of this start.

    ``options`` are those of the command line by name (``write-copies`` or ``write_copies``; others are ignored),
    ``config`` is the TOML file: by default what the option ``config``, else ``TAGFS_CONFIG`` names, else none. Reads
    that file and nothing else. Raises StartError.
    """
    file = config or options.get("config") or environ.get("TAGFS_CONFIG")
    given = _from_toml(Path(str(file)).expanduser()) if file else {}
    given |= _from_environment(environ) | _from_options(options)
    values: dict[str, Any] = {"data": Path("tagfs-data").absolute()}
    for name, (source, value, base) in given.items():
        try:
            parsed = _PARSERS[name](value)
        except ValueError as error:
            raise _fail(source, value, str(error)) from error
        values[name] = (base / parsed).absolute() if name in _PATHS else parsed
    settings = Settings(**values)
    _check_together(settings, given)
    return settings
