"""./run and ./test prepare their environment once, together, whole, and say what is wrong where they cannot."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
# What stands in for pip: the environment is real, what is installed in it is one script and a marker of the time.
STAND_IN = """
import os, sys, time
sys.argv[0] = {script!r}
sys.path.insert(0, os.path.dirname({script!r}))
import environment
def install(place, root, extras):
    with open(root / "builds", "a") as log:
        log.write(f"{{os.getpid()}}\\n")
    (place / "bin/tool").write_text(f"#!{{place}}/bin/python\\nprint('tool runs')\\n")
    (place / "bin/tool").chmod(0o755)
    while (root / "hold").exists():
        time.sleep(0.01)
environment.install = install
environment.check = lambda place: None
real_create = environment.venv.create
environment.venv.create = lambda place, **how: real_create(place, **how | {{'with_pip': False}})
try:
    environment.main(*sys.argv[1:])
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with just what the bootstrap needs; it has a space in its path."""
    root = tmp_path / "check out"
    root.mkdir()
    shutil.copytree(ROOT / "bootstrap", root / "bootstrap", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "run", "test"):
        shutil.copy(ROOT / name, root / name)
    (root / "stand_in.py").write_text(STAND_IN.format(script=str(root / "bootstrap/environment.py")))
    return root


def start(checkout: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, checkout / "stand_in.py", ".venv", "", *(arguments or ("sysconfig",))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


def builds(checkout: Path) -> int:
    log = checkout / "builds"
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_for_build(checkout: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while builds(checkout) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_built_once_and_scripts_work(checkout: Path) -> None:
    """The first run builds, the second does not; a script names the interpreter at its final place."""
    code, output = finish(start(checkout))
    assert code == 0, output
    assert "Preparing .venv" in output
    code, output = finish(start(checkout))
    assert code == 0, output
    assert "Preparing" not in output
    assert builds(checkout) == 1
    tool = checkout / ".venv/bin/tool"
    assert tool.read_text().startswith(f"#!{checkout}/.venv/bin/python")
    assert ".venv.building" not in (checkout / ".venv/bin/activate").read_text()
    # A path with a space cannot stand in a first line; pip writes such scripts otherwise. The interpreter itself works:
    done = subprocess.run([checkout / ".venv/bin/python", tool], capture_output=True, text=True, check=True)
    assert done.stdout == "tool runs\n"
    assert not list(checkout.glob(".venv.building*")) + list(checkout.glob(".venv.old*"))


def test_changed_requirements_build_anew(checkout: Path) -> None:
    """Another setup.py, or another place of the checkout, needs another environment."""
    assert finish(start(checkout))[0] == 0
    with (checkout / "setup.py").open("a") as setup:
        setup.write("# one more requirement\n")
    assert finish(start(checkout))[0] == 0
    assert builds(checkout) == 2


def test_copied_checkout_builds_anew(checkout: Path, environment: ModuleType) -> None:
    """An environment that came along with a copied tree is not used: it has the paths of the old one inside."""
    place = checkout / ".venv"
    elsewhere = checkout.with_name("elsewhere") / ".venv"
    assert environment.stamp(ROOT, place, "") != environment.stamp(ROOT, elsewhere, "")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_build_is_repaired(checkout: Path, how: signal.Signals) -> None:
    """Whatever stops a build, nothing half-made is taken for whole, and the next run builds it."""
    (checkout / "hold").touch()
    process = start(checkout)
    wait_for_build(checkout, 1)
    process.send_signal(how)
    code, output = finish(process)
    assert code != 0
    assert "Traceback" not in output
    assert not (checkout / ".venv").exists()
    (checkout / "hold").unlink()
    code, output = finish(start(checkout))
    assert code == 0, output
    assert builds(checkout) == 2
    assert not list(checkout.glob(".venv.building*"))


def test_interrupted_between_the_renames_is_repaired(checkout: Path) -> None:
    """Where the old environment was moved away and the new one not yet in place, the next run builds one."""
    assert finish(start(checkout))[0] == 0
    (checkout / ".venv").rename(checkout / ".venv.old")
    assert finish(start(checkout))[0] == 0
    assert not (checkout / ".venv.old").exists()


def test_two_runs_build_together(checkout: Path) -> None:
    """A second run waits for the first, says so, and uses what that built."""
    (checkout / "hold").touch()
    first = start(checkout)
    wait_for_build(checkout, 1)
    second = start(checkout)
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    (checkout / "hold").unlink()
    assert finish(first)[0] == 0
    assert finish(second)[0] == 0
    assert builds(checkout) == 1


def test_environment_in_use_is_not_replaced(checkout: Path) -> None:
    """With changed requirements, an environment that a node runs from stays whole; the user is told."""
    (checkout / "waits.py").write_text("import sys; print('up', flush=True); sys.stdin.read()\n")
    command = [sys.executable, checkout / "stand_in.py", ".venv", "", "waits"]
    node = subprocess.Popen(command, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert node.stdout is not None
    assert node.stdout.readline() == "up\n"
    with (checkout / "setup.py").open("a") as setup:
        setup.write("# changed\n")
    code, output = finish(start(checkout))
    assert code == 1
    assert "is in use. Stop what runs from it first" in output
    node.communicate("", timeout=30)
    assert finish(start(checkout))[0] == 0


def test_failed_install_is_explained(checkout: Path) -> None:
    """pip's own words, then one line, exit code 1, and no environment."""
    text = (checkout / "stand_in.py").read_text()
    (checkout / "stand_in.py").write_text(text.replace("environment.install = install\n", ""))
    (checkout / "setup.py").write_text("raise SystemExit('no such requirement')\n")
    code, output = finish(start(checkout))
    assert code == 1
    assert "tagfs: " in output
    assert not (checkout / ".venv").exists()


@pytest.fixture
def environment() -> ModuleType:
    """bootstrap/environment.py as a module."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / "bootstrap/environment.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_unwritable_checkout_is_explained(checkout: Path, environment: ModuleType) -> None:
    """Someone who may not write there learns in one line that the first run must."""
    error = PermissionError(13, "Permission denied", str(checkout / ".venv.lock"))
    text = environment.explain(error, checkout)
    assert f"{checkout} must be writable for you" in text
    assert "must be writable" not in environment.explain(OSError(28, "No space left on device"), checkout)


def shell(checkout: Path, script: str, path: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", checkout / script], env={"PATH": path} | environ, capture_output=True, text=True, timeout=60
    )


def commands(directory: Path, **scripts: str) -> str:
    """A PATH with just these commands, and with what the scripts need of the system."""
    directory.mkdir()
    for name in ("dirname", "sh"):
        found = shutil.which(name)
        assert found
        (directory / name).symlink_to(found)
    for name, text in scripts.items():
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)
    return str(directory)


@pytest.fixture
def hidden_python(checkout: Path) -> Path:
    """A checkout whose bootstrap does not look for the system's own Python."""
    script = checkout / "bootstrap/python.sh"
    script.write_text(script.read_text().replace("python3 /usr/bin/python3;", "python3;"))
    return checkout


@pytest.mark.parametrize("script", ["run", "test"])
def test_without_python_a_user_gets_the_line(hidden_python: Path, script: str) -> None:
    """An ordinary user gets the one command that is needed, and exit code 2; nothing is tried."""
    path = commands(hidden_python / "bin", **{"apt-get": "echo ran >&2; exit 1", "id": "echo 1000"})
    done = shell(hidden_python, script, path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "tagfs needs Python 3.11 or later with venv: sudo apt-get install python3 python3-venv"
    ]


def test_without_apt_the_need_is_named(hidden_python: Path) -> None:
    """On another system there is no such line to give: the need is named, exit code 2."""
    done = shell(hidden_python, "run", commands(hidden_python / "bin"))
    assert done.returncode == 2
    assert "tagfs needs Python 3.11 or later with its venv and ensurepip modules" in done.stderr


def test_root_gets_python_installed(hidden_python: Path) -> None:
    """Root sees the command, apt runs it, and what it brought is used."""
    real = f'exec "{sys.executable}" "$@"'
    install = f"""echo "apt-get $*" >&2
case "$*" in *install*) printf '#!/bin/sh\\n%s\\n' '{real}' > "${{0%/*}}/python3"; /bin/chmod +x "${{0%/*}}/python3";; esac"""
    path = commands(hidden_python / "bin", **{"apt-get": install, "id": "echo 0"})
    (hidden_python / "bootstrap/environment.py").write_text("import sys; print('started with', sys.argv[1:])")
    done = shell(hidden_python, "run", path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert (
        lines[0]
        == "Installing Python: apt-get update && apt-get install -y --no-install-recommends python3 python3-venv"
    )
    assert "apt-get -q update" in lines
    assert "apt-get -q install -y --no-install-recommends python3 python3-venv" in lines
    assert done.stdout == "started with ['.venv', '', 'tagfs.quickstart']\n"


@pytest.mark.parametrize(
    ("python3", "said"),
    [
        ('case "$1" in -c) exit 1;; *) echo Python 3.9.2;; esac', "packages have only Python 3.9.2"),
        ("exit 127", "packages have only"),
    ],
)
def test_too_old_a_system_is_named(hidden_python: Path, python3: str, said: str) -> None:
    """Where apt brings nothing new enough, that is said, exit code 2."""
    path = commands(hidden_python / "bin", **{"apt-get": "exit 0", "id": "echo 0", "python3": python3})
    done = shell(hidden_python, "run", path)
    assert done.returncode == 2
    assert said in done.stderr


def test_failing_apt_stops(hidden_python: Path) -> None:
    """When apt fails, the run ends with exit code 2 and says that apt said why."""
    path = commands(hidden_python / "bin", **{"apt-get": "echo no network >&2; exit 100", "id": "echo 0"})
    done = shell(hidden_python, "run", path)
    assert done.returncode == 2
    assert "no network" in done.stderr
    assert "apt-get failed" in done.stderr


def test_scripts_are_plain_sh() -> None:
    """The scripts are executable, and dash reads them."""
    for script in ("run", "test"):
        assert os.access(ROOT / script, os.X_OK)
    for script in ("run", "test", "bootstrap/python.sh"):
        subprocess.run(["/bin/sh", "-n", ROOT / script], check=True)
