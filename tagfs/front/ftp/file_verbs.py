"""All verbs of FTP, but for those it shares with the tag protocol (HELP, NOOP, QUIT). Layer: front."""

from __future__ import annotations

from tagfs.front.ftp import (
    file_verbs_hash,
    file_verbs_list,
    file_verbs_login,
    file_verbs_names,
    file_verbs_retrieve,
    file_verbs_setup,
    file_verbs_store,
)

VERBS = (
    *file_verbs_login.VERBS,
    *file_verbs_setup.VERBS,
    *file_verbs_names.VERBS,
    *file_verbs_list.VERBS,
    *file_verbs_retrieve.VERBS,
    *file_verbs_store.VERBS,
    *file_verbs_hash.VERBS,
)
