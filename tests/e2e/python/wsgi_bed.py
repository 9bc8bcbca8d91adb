"""A WSGI application (PEP 3333) that says what it was told: HTTP_… a line. `wsgi_bed.py PORT`."""

import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def told(environ, start_response):
    lines = [f"{name}={value}\n" for name, value in sorted(environ.items()) if name.startswith("HTTP_")]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["".join(lines).encode("latin-1")]


make_server("127.0.0.1", int(sys.argv[1]), told, handler_class=Quiet).serve_forever()
