"""Packaging of tagfs. The plugin directory is reached through the link twisted/plugins (docs/tools/twisted.md says why)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "tagfs/__init__.py").read_text()).group(1)

setup(
    name="tagfs",
    version=VERSION,
    description="A distributed tag-based file system: store, tag and query files by FTP, HTTP or netcat",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[*find_packages(include=["tagfs", "tagfs.*", "podman_utils"]), "twisted.plugins"],
    package_dir={"": "."},
    include_package_data=True,
    package_data={"tagfs.front.web": ["assets/*"]},
    install_requires=[
        "twisted[tls]>=24.11",
        "zope.interface>=6",
        "click>=8.1",
        "attrs>=23",
        "msgpack>=1.0.5",
        "blake3>=1.0",
        "pyroaring>=1.0",
        "numpy>=1.26",
        "cryptography>=42",
        "ifaddr>=0.2",
        "orjson>=3.9",
        "multipart>=1.2",
        "prometheus-client>=0.20",
        "pillow>=10.1",
    ],
    extras_require={
        "podman": ["podman>=5"],
        "test": [
            "pytest>=8.4",
            "pytest-twisted>=1.14",
            "hypothesis>=6",
            "mypy>=1.11",
            "mypy-zope>=1.0",
            "ruff>=0.6",
            "towncrier>=24",
            "coverage>=7",
            "schemathesis>=4",
            "playwright>=1.40",
            "setuptools>=77",
            "psycopg[binary]>=3.1",
            "podman>=5",
        ],
        "benchmarks": ["psycopg[binary]>=3.1", "pyftpdlib>=2", "redis>=5"],
    },
    entry_points={
        "console_scripts": ["tagfs = tagfs.cli.main:main", "tagfs-podman = podman_utils.main:main"],
        "tagfs.catalogs": [
            "sqlite = tagfs.storage.catalog:open_catalog",
            "memory = tagfs.storage.memory:open_catalog",
        ],
        "tagfs.blobs": [
            "file = tagfs.storage.blobs:open_blobs",
            "memory = tagfs.storage.memory_blobs:open_blobs",
        ],
        "tagfs.extractors": [
            "folders = tagfs.cli.extractors.folders:FolderTags",
            "svg = tagfs.cli.extractors.svg:SvgSubjects",
        ],
    },
)
