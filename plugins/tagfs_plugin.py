"""Lists tagfs among the services that twistd can run. No more than that: every twistd command imports this file."""

from twisted.application.service import ServiceMaker

tagfs = ServiceMaker("tagfs", "tagfs.service", "a node of the tag-based distributed file system", "tagfs")
