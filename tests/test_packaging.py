"""However tagfs is installed, twistd lists it from any directory, and the command line and the store plug-ins are there."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = (
    "tagfs",
    "podman_utils",
    "plugins",
    "twisted",
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
)


def run(*command: object, cwd: Path) -> str:
    """The output of a command that must succeed."""
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_source(target: Path) -> Path:
    """A copy of what setup.py packages, so that building leaves nothing in the checkout. The link stays a link."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "dropin.cache")
    target.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, target / part, symlinks=True, ignore=unwanted)
        elif source.exists():
            shutil.copy(source, target / part)
    return target


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a fresh virtual environment that sees the libraries of this one, but not its tagfs."""
    place = tmp_path / "venv"
    venv.create(place, symlinks=True)
    site = run(place / "bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    # A path that comes from a .pth file is not searched for more .pth files, such as that of an editable tagfs.
    Path(site.strip(), "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin/python"


def install(python: Path, cwd: Path, *what: object) -> None:
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-build-isolation",
        "--no-index", "--ignore-installed", *what, cwd=cwd)  # fmt: skip


def check_installed(python: Path, elsewhere: Path, source: Path, *, editable: bool) -> None:
    twistd = "from twisted.scripts.twistd import run; run()"
    code = f"import sys; sys.argv = ['twistd', '--help']; {twistd}"
    assert "    tagfs  " in run(python, "-c", code, cwd=elsewhere)
    origin = Path(run(python, "-c", "import tagfs; print(tagfs.__file__)", cwd=elsewhere).strip())
    assert origin.is_relative_to(source) == editable, origin
    assert (python.parent / "tagfs").exists()
    names = "from importlib.metadata import distribution as d; print(*sorted((e.group, e.name) for e in d('tagfs').entry_points))"
    assert "('tagfs.catalogs', 'sqlite')" in run(python, "-c", names, cwd=elsewhere)


@pytest.mark.parametrize("editable", [False, True], ids=["install", "editable"])
def test_twistd_lists_tagfs_after_install(tmp_path: Path, python: Path, editable: bool) -> None:
    """``pip install .`` and ``pip install -e .`` both make twistd know tagfs, wherever it is called."""
    source = copy_source(tmp_path / "source")
    install(python, tmp_path, *(["-e"] if editable else []), source)
    check_installed(python, tmp_path, source, editable=editable)


def test_source_distribution_is_whole(tmp_path: Path, python: Path) -> None:
    """What a source distribution unpacks to can be installed, plug-in included."""
    source = copy_source(tmp_path / "source")
    code = "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"
    name = run(sys.executable, "-c", code, tmp_path, cwd=source).splitlines()[-1]
    install(python, tmp_path, tmp_path / name)
    check_installed(python, tmp_path, source, editable=False)


def test_plugin_directory_is_no_package() -> None:
    """An __init__.py in plugins/ would hide the plug-ins of other projects; the link is what pip install -e needs."""
    assert (ROOT / "twisted/plugins").is_symlink()
    assert os.readlink(ROOT / "twisted/plugins") == "../plugins"
    assert not list(ROOT.glob("twisted/**/__init__.py"))


def test_plugin_module_is_cheap() -> None:
    """Every twistd command imports the plug-in: it must not load tagfs."""
    code = "import sys; sys.path.insert(0, 'plugins'); import tagfs_plugin; sys.exit('tagfs' in sys.modules)"
    run(sys.executable, "-c", code, cwd=ROOT)
