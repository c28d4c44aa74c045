"""moto behind HTTP/1.1: keep-alive, no request log, a port of the system's choice, and an end with its parent.

usage: moto_server.py HOST PORT. Prints the port it listens on. Ends when its standard input does: a test run that is killed
takes its server along, whatever killed it.
"""

import logging
import os
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


class Handler(MotoRequestHandler):
    # One connection for many requests; without Nagle, as headers and body are two writes.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code="-", size="-"):
        pass


def end_with_parent():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server(
    sys.argv[1],
    int(sys.argv[2]),
    DomainDispatcherApplication(create_backend_app),
    threaded=True,
    request_handler=Handler,
)
threading.Thread(target=end_with_parent, daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
