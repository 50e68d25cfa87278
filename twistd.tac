"""A node of tagfs for ``twistd -ny twistd.tac``: the same service as ``twistd -n tagfs``, without options.

It is configured by the TOML file that TAGFS_CONFIG names, and by TAGFS_DATA, TAGFS_FTP and so on.
"""

import sys
from pathlib import Path

from twisted.application.service import Application

# twistd does not put the directory of this file on the path; so a checkout needs no installation.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tagfs.service import Options, makeService

options = Options()
options.parseOptions([])  # where a setting is wrong, this ends the process with one line

application = Application("tagfs")
makeService(options).setServiceParent(application)
