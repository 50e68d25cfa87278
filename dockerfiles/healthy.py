#!/usr/bin/env python3
"""Ends with 0 where GET /healthz of this container's service answers 200, else with 1 and the answer."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=4)
try:
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    text = answer.read(4096).decode(errors="replace").strip()
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"no answer from /healthz: {error}")
sys.stdout.write(text + "\n")
sys.exit(0 if answer.status == 200 else 1)
