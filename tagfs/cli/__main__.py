"""``python -m tagfs.cli``: the same as ``tagfs``."""

from tagfs.cli.main import main

main(prog_name="tagfs")
