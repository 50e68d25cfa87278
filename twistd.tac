"""A node of tagfs for ``twistd -ny twistd.tac``: the same service as ``twistd -n tagfs``, without options.

It is configured by the TOML file that TAGFS_CONFIG names, and by TAGFS_DATA, TAGFS_FTP and so on.
"""

import sys
from pathlib import Path

from twisted.application.service import Application
from twisted.python.usage import UsageError

# twistd does not put the directory of this file on the path; so a checkout needs no installation.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tagfs.errors import StartError
from tagfs.service import Options, makeService

try:
    options = Options()
    options.parseOptions([])
    application = Application("tagfs")
    makeService(options).setServiceParent(application)
except (StartError, UsageError) as error:
    sys.exit(f"tagfs: {error}")  # one line: twistd would print a traceback
