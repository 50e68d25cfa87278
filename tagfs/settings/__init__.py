"""One frozen, validated configuration of a node. Layer: settings; imports only errors.

Every setting has one name in three spellings: ``write_copies`` in the TOML file (``write-copies`` is taken too),
``TAGFS_WRITE_COPIES`` in the environment, ``--write-copies`` as an option (the less common ones are no options). Each
error is one line that names the source, the bad value and what is allowed.
"""

from tagfs.settings.schema import Settings
from tagfs.settings.sources import load
from tagfs.settings.values import Address

__all__ = ["Address", "Settings", "load"]
