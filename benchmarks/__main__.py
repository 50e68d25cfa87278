"""The command: ``python -m benchmarks [SUITE…] [--entries N] [--json FILE]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import evolve

from benchmarks import contents, ftp, ingest, listings, nodes, queries, replicas, resources, web
from benchmarks.measuring import Report, figure
from benchmarks.node import fill

SUITES: dict[str, tuple[str, Callable[[Report, Path, int], None] | None]] = {
    # what it measures, and how on the data set; those that need none are in WITHOUT_DATA
    "queries": ("counts, first pages and facets, beside PostgreSQL and Redis", queries.run),
    "resources": ("start, memory, streams, responsiveness", resources.run),
    "listings": ("FTP listings of all entries in one directory, and what others notice of them", listings.run),
    "ingest": ("durable writes per second", ingest.run),
    "web": ("searches, downloads and uploads by HTTP, beside twisted.web and nginx", web.run),
    "ftp-large": ("1 GiB over FTP, plain and under TLS, beside vsftpd and pyftpdlib", None),
    "ftp-beside": ("FIND beside two downloads of 1 GiB", None),
    "ftp-small": ("10,000 small files over FTP by one session, beside vsftpd and pyftpdlib", None),
    "ftp-crowd": ("10,000 small files over FTP by ten sessions, beside vsftpd and pyftpdlib", None),
    "ftp-sessions": ("1,000 FTP sessions at once", None),
    "nodes": ("requests and pieces between nodes, beside a plain socket", None),
    "contents": ("a large content to another node, durable there, beside a plain socket", None),
    "replicas": ("acknowledged writes of three nodes beside one; how soon five nodes show a change", None),
}
WITHOUT_DATA: dict[str, Callable[[Report], None]] = {
    "ftp-large": ftp.large,
    "ftp-beside": ftp.beside,
    "ftp-small": ftp.small,
    "ftp-crowd": ftp.crowd,
    "ftp-sessions": ftp.sessions,
    "nodes": nodes.run,
    "contents": contents.run,
    "replicas": replicas.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs suites; exit code 1 where a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    listed = "; ".join(f"{name}: {what}" for name, (what, _) in SUITES.items())
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"all by default; ftp for all of ftp-*. {listed}")
    parser.add_argument("--entries", type=int, default=1_000_000, help="size of the data set")
    parser.add_argument("--data", type=Path, help="keep the data set in this directory, and use it again")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    meant = {name: [suite for suite in SUITES if _is_in(suite, name)] for name in options.suites}
    unknown = [name for name, suites in meant.items() if not suites]
    if unknown:
        parser.error(f"there is no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    chosen = [suite for suites in meant.values() for suite in suites] or list(SUITES)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="tagfs-bench-") as temporary:
        data = options.data or Path(temporary, "data")
        if any(SUITES[name][1] for name in chosen) and not data.exists():
            took = fill(data, options.entries)
            report.head("The data set")
            row = figure("merge into the catalog, batches of 2,000", "tagfs", "/s", [options.entries / took])
            report.add(evolve(row, samples=options.entries))
        for name in chosen:
            suite = SUITES[name][1]
            if suite is None:
                WITHOUT_DATA[name](report)
            else:
                suite(report, data, options.entries)
    if options.json:
        report.save(options.json)
    for row in report.missed:
        print(f"missed: {row.what} ({row.on}): {row.goal}", file=sys.stderr)
    return 1 if report.missed else 0


def _is_in(suite: str, name: str) -> bool:
    """Whether a suite is the one of that name, or a part of it."""
    return suite == name or suite.startswith(f"{name}-")


if __name__ == "__main__":
    sys.exit(main())
