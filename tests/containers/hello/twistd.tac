"""The smallest service that keeps to the contract of dockerfiles/distributed_python.dockerfile: greets, and counts in /data."""

import os
from pathlib import Path

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.web.resource import Resource
from twisted.web.server import Site


class Greeting(Resource):
    """Says hello to GREET, and how often it was asked; the count is in the volume."""

    isLeaf = True

    def render_GET(self, request):
        count = Path("/data/count")
        number = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(number))
        return f"hello {os.environ.get('GREET', 'world')}, for the {number}. time\n".encode()


class Health(Resource):
    isLeaf = True

    def render_GET(self, request):
        return b"well\n"


root = Resource()
root.putChild(b"", Greeting())
root.putChild(b"healthz", Health())
application = Application("hello")
StreamServerEndpointService(serverFromString(reactor, "tcp:8080"), Site(root)).setServiceParent(application)
