"""The command line in this process, as a function."""

import json
from typing import Any

from click.testing import CliRunner, Result

from tagfs.cli.main import cli


class Tagfs:
    """``tagfs`` as a function: arguments in, result out. Anything but a clean end is a bug."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, *arguments: object, code: int = 0, typed: str | bytes | None = None, **environ: str) -> Result:
        environment = {"TAGFS_SERVER": f"127.0.0.1:{self.port}", "TAGFS_DEBUG": "", **environ}
        result = CliRunner().invoke(cli, [str(a) for a in arguments], input=typed, env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"exit {result.exit_code}: {result.output}"
        return result

    def json(self, *arguments: object, code: int = 0) -> Any:
        """What a command prints with --json."""
        return json.loads(self("--json", *arguments, code=code).stdout)

    def names(self, query: str = "") -> list[str]:
        """Names of the entries that match, sorted."""
        rows = self.json("list", *([query] if query else []), code=0)["entries"] if self.has(query) else []
        return sorted(row["name"] for row in rows)

    def has(self, query: str) -> bool:
        """Whether anything matches."""
        found = CliRunner().invoke(
            cli, ["count", *([query] if query else [])], env={"TAGFS_SERVER": f"127.0.0.1:{self.port}"}
        )
        return found.exit_code == 0
