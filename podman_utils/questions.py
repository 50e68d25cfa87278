"""What is asked of the nodes themselves, by the commands in their image: who they see, and to let one go."""

from __future__ import annotations

import json
from collections.abc import Mapping

from attrs import frozen

from podman_utils.engine import Engine
from podman_utils.errors import EngineFault, Fault
from podman_utils.plan import PASSWORD_FILE

_TAGFS = ("python", "-m", "tagfs.cli", "--server", "127.0.0.1:2121")
_LOGIN = {"TAGFS_USER": "admin", "TAGFS_PASSWORD_FILE": f"/run/secrets/{PASSWORD_FILE}"}
_PYTHONPATH = {"PYTHONPATH": "/app"}
"""Where the code is bound to /app and not installed."""


@frozen
class Sight:
    """What one node says of one node."""

    id: str
    name: str
    state: str


def ask(engine: Engine, container: str, *words: str) -> str:
    """Runs a ``tagfs`` command in a node's container as its admin; what it printed. Fault: it failed, and why."""
    outcome = engine.execute(container, [*_TAGFS, *words], _LOGIN | _PYTHONPATH)
    if outcome.code:
        raise Fault(f"{container}: tagfs {' '.join(words)}: {(outcome.err or outcome.out).strip()}")
    return outcome.out


def seen_by(engine: Engine, container: str) -> list[Sight]:
    """The nodes as one of them sees them, itself included; [] where it cannot be asked (it is about to start, or hangs)."""
    try:
        told = json.loads(ask(engine, container, "--json", "nodes"))
    except (Fault, ValueError):
        return []
    sights = [Sight(str(each["id"]), str(each["name"]), str(each["state"])) for each in told]
    # Who left stays in the list; a successor of the same name is who is meant by it.
    present = {each.name for each in sights if each.state != "left"}
    return [each for each in sights if each.state != "left" or each.name not in present]


_SYNC = """
import os, sys
from tagfs.client import Client
limit = int(sys.argv[1])
password = open(os.environ["TAGFS_PASSWORD_FILE"]).readline().rstrip()
with Client(user="admin", password=password, timeout=limit + 10) as client:
    client.request(f"SYNC {limit}")
"""


def sync(engine: Engine, container: str, limit_s: int) -> None:
    """Waits until a node has all that its live peers had when it was asked. Fault: it has not within the limit."""
    outcome = engine.execute(container, ["python", "-c", _SYNC, str(limit_s)], _LOGIN)
    if outcome.code:
        raise Fault(f"{container}: SYNC {limit_s}: {outcome.err.strip().splitlines()[-1:]}")


_OWED = """
import base64, os, re, urllib.request
password = open(os.environ["TAGFS_PASSWORD_FILE"]).readline().rstrip()
login = base64.b64encode(f"admin:{password}".encode()).decode()
request = urllib.request.Request("http://127.0.0.1:8080/metrics", headers={"Authorization": f"Basic {login}"})
text = urllib.request.urlopen(request, timeout=20).read().decode()
print(int(float(re.search(r"^tagfs_owed_contents(?:{.*})? (.+)$", text, re.MULTILINE)[1])))
"""


def owed(engine: Engine, container: str) -> int:
    """How many contents a node is to hold and does not hold yet. Fault: it cannot be asked."""
    outcome = engine.execute(container, ["python", "-c", _OWED], _LOGIN)
    if outcome.code:
        raise Fault(f"{container}: its metrics do not tell what it owes: {outcome.err.strip().splitlines()[-1:]}")
    return int(outcome.out)


def summary(views: Mapping[str, list[Sight]], name: str) -> tuple[str, str]:
    """The id of a node and its state as the *other* nodes see it; where they differ, who says what."""
    said: dict[str, list[str]] = {}
    found = ""
    for witness, sights in views.items():
        for sight in sights:
            if sight.name == name:
                found = sight.id or found
                if witness != name:
                    said.setdefault(sight.state, []).append(witness)
    if not said:
        return found, "alone" if found else "unknown"
    if len(said) == 1:
        return found, next(iter(said))
    return found, "; ".join(f"{state} ({' '.join(witnesses)})" for state, witnesses in sorted(said.items()))


def password(engine: Engine, container: str) -> str:
    """The password of ``admin``: Podman itself never tells a secret."""
    outcome = engine.execute(container, ["cat", f"/run/secrets/{PASSWORD_FILE}"])
    if outcome.code:
        raise EngineFault(f"{container} has no {PASSWORD_FILE}: {outcome.err.strip()}")
    return outcome.out.strip()
