"""Imports go down only (DESIGN section 3), and modules keep to the habits of their house; proven from the source itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import import_rules

ROOT = Path(__file__).parent.parent

# Modules that may be longer than 400 lines: path -> why it is better in one piece.
LONG: dict[str, str] = {}


def test_imports_go_down_only():
    """No module of tagfs imports from a layer above it, or a library that its layer must not know."""
    assert import_rules.wrong_imports(ROOT) == []


def test_every_module_has_a_layer():
    """A new top-level part of tagfs must be placed in the order before it is used."""
    layers = {import_rules.layer_of(ROOT, path) for path in import_rules.sources(ROOT)} - {
        "",
        "plugins",
        "podman_utils",
    }
    assert layers <= {*import_rules.ORDER, *import_rules.NARROW}


def test_modules_have_telling_names():
    """Nothing is called manager, handler, utils, helpers, misc or common."""
    assert import_rules.wrong_names(ROOT) == []


def test_modules_are_small():
    """No module is longer than 400 lines without a reason given here, and no reason outlives its module's length."""
    lengths = import_rules.long_modules(ROOT)
    assert lengths.keys() == LONG.keys(), lengths


def test_every_module_tells_its_job():
    """Each module begins with a docstring."""
    silent = [
        str(path.relative_to(ROOT))
        for path in import_rules.sources(ROOT)
        if not path.read_text(encoding="utf-8").lstrip().startswith(('"""', 'r"""'))
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("tagfs/model/names.py", "import tagfs.storage"),
        ("tagfs/model/names.py", "from tagfs import storage"),
        ("tagfs/model/names.py", "from ..storage import interfaces"),
        ("tagfs/model/names.py", "def late():\n    from tagfs.node import node"),
        ("tagfs/model/names.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import tagfs.front"),
        ("tagfs/model/names.py", "import importlib\nimportlib.import_module('tagfs.wire')"),
        ("tagfs/errors.py", "from tagfs.settings import Settings"),
        ("tagfs/wire/framing.py", "from twisted.internet import defer"),
        ("tagfs/storage/x.py", "import twisted"),
        ("tagfs/cluster/x.py", "def f():\n    import twisted.internet.reactor"),
        ("tagfs/node/x.py", "from tagfs.service import Options"),
        ("tagfs/front/ftp/x.py", "from tagfs.storage.interfaces import ICatalog"),
        ("tagfs/front/ftp/x.py", "from tagfs.cluster import membership"),
        ("tagfs/front/web/x.py", "from tagfs.node.node import Node"),
        ("tagfs/cli/x.py", "def f():\n    import numpy"),
        ("tagfs/cli/x.py", "from tagfs.storage import interfaces"),
        ("tagfs/cli/x.py", "from tagfs.node.roster import roster_of"),
        ("tagfs/client/x.py", "from tagfs.cli import main"),
        ("tagfs/client/x.py", "import twisted"),
        ("tagfs/node/x.py", "from tagfs.client import client"),
        ("podman_utils/x.py", "from tagfs.errors import TagfsError"),
        ("tagfs/__init__.py", "from tagfs.model import names"),
    ],
)
def test_planted_violation_is_caught(tmp_path, path, line):
    """The checker sees each way of importing upwards, wherever the statement stands."""
    for package in ("model", "storage", "wire", "cluster", "node", "front/ftp", "front/web", "cli", "client"):
        (tmp_path / "tagfs" / package).mkdir(parents=True)
    (tmp_path / "podman_utils").mkdir()
    (tmp_path / path).write_text(line + "\n")
    (fault,) = import_rules.wrong_imports(tmp_path)
    assert fault.startswith(path)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("tagfs/storage/x.py", "from tagfs.model.entry import Entry"),
        ("tagfs/front/ftp/x.py", "from tagfs.node.interfaces import INode\nfrom twisted.internet import defer"),
        ("tagfs/model/x.py", "from tagfs import errors\nfrom tagfs import __version__"),
        ("tagfs/service.py", "from tagfs.node.node import Node\nfrom tagfs.storage import stores"),
        ("plugins/x.py", "from twisted.application.service import ServiceMaker"),
    ],
)
def test_sound_import_is_not_accused(tmp_path, path, line):
    """Imports that go down pass."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(line + "\n")
    assert import_rules.wrong_imports(tmp_path) == []


def test_planted_names_and_lengths_are_caught(tmp_path):
    """A module with an empty name, and one that is too long, are found."""
    (tmp_path / "tagfs/node").mkdir(parents=True)
    (tmp_path / "tagfs/node/peer_manager.py").write_text("x = 1\n" * 401)
    (tmp_path / "tagfs/node/peers.py").write_text("x = 1\n" * 400)
    assert import_rules.wrong_names(tmp_path) == ["tagfs/node/peer_manager.py"]
    assert import_rules.long_modules(tmp_path) == {"tagfs/node/peer_manager.py": 401}


@pytest.mark.parametrize("layer", ["errors", "settings", "model", "storage", "wire", "cluster", "client", "cli"])
def test_lower_layers_run_without_twisted(layer):
    """Importing all of a lower layer loads no Twisted, not even by way of a library; the command line no numpy either."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in import_rules.sources(ROOT)
        if import_rules.layer_of(ROOT, path) == layer and path.name != "__main__.py"
    ]
    unwanted = ["twisted", "numpy"] if layer in ("client", "cli") else ["twisted"]
    code = f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
    code += f"sys.exit(', '.join(name for name in {unwanted} if name in sys.modules) or None)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
