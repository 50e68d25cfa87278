"""``python -m podman_utils`` is the command tagfs-podman."""

from podman_utils.main import main

main()
