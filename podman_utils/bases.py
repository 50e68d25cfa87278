"""Bases of the images for machines without a registry: small Debians from this machine's own package sources."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from podman_utils import this_machine
from podman_utils.engine import Engine
from podman_utils.errors import Fault

PYTHON_BASE = "localhost/tagfs-podman-python-base"
ROUTER_BASE = "localhost/tagfs-podman-router-base"
LIMIT_S = 600
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_PYTHON_PACKAGES = ("passwd", "python3-venv", "libstdc++6", "iproute2", "ca-certificates")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_BUSYBOX = 'mkdir -p "$1"/bin "$1"/sbin "$1"/usr/bin "$1"/usr/sbin && chroot "$1" /bin/busybox --install -s'


def make_bases(engine: Engine, say: Callable[[str], None]) -> None:
    """Makes the bases that the engine does not have yet. Fault: this is no Debian, or the packages are not there."""
    with tempfile.TemporaryDirectory(prefix="tagfs-podman-") as folder:
        place = Path(folder)
        for name, options in ((PYTHON_BASE, _python_options(place)), (ROUTER_BASE, _router_options())):
            if engine.image_id(name) is not None:
                say(f"{name} is there; remove that image to have a new one")
                continue
            say(f"making {name} of this machine's Debian packages")
            archive = place / "base.tar"
            _debootstrap(options, archive)
            with archive.open("rb") as file:
                say(f"{name}: {engine.import_image(file, name)}")
            archive.unlink()


def _python_options(place: Path) -> list[str]:
    """Debian's essential packages, installed, with Python, and with what pip needs here to reach its index."""
    options = ["--variant=essential", f"--include={','.join(_PYTHON_PACKAGES)}"]
    options += ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={each}" for each in _LEFT_OUT)]
    settings = {"cert": _BUNDLE, **this_machine.pip_settings()}
    pip = place / "pip.conf"
    pip.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
    options.append(f"--customize-hook={_upload(pip, '/etc/pip.conf')}")
    if bundle := this_machine.certificates():
        options.append(f"--customize-hook={_upload(bundle, _BUNDLE)}")
    return options


def _upload(source: Path, target: str) -> str:
    return f"upload {shlex.quote(str(source))} {target}"


def _router_options() -> list[str]:
    """Nothing but busybox, under all its names."""
    return ["--variant=extract", "--include=busybox-static", f"--extract-hook={_BUSYBOX}"]


def _debootstrap(options: list[str], archive: Path) -> None:
    program = shutil.which("mmdebstrap")
    if program is None:
        raise Fault("local bases need mmdebstrap: apt-get install mmdebstrap")
    settings = archive.with_suffix(".apt")
    try:
        settings.write_text(this_machine.apt_options())
        command = [program, "--quiet", *options, f"--aptopt={settings}", this_machine.codename(), str(archive)]
        done = subprocess.run(
            [*command, *map(str, this_machine.apt_sources())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, LookupError, subprocess.SubprocessError) as error:
        raise Fault(f"mmdebstrap cannot make a base: {error}") from error
    if done.returncode:
        raise Fault(f"mmdebstrap failed: {(done.stderr or done.stdout).strip()[-2000:]}")
