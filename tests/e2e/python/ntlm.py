"""An HTTP/1.1 application that signs TCP connections in by NTLM or Negotiate. Prints its port."""

import base64
import http.server
import os
import socketserver
import tempfile

import spnego

users = tempfile.NamedTemporaryFile("w", suffix=".users")
users.write("APP:alice:userpw\nAPP:bob:bobpw\n")
users.flush()
os.environ["NTLM_USER_FILE"] = users.name


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.context = None
        self.user = None

    def log_message(self, *_):
        pass

    def answer(self, status, text, challenges=()):
        body = text.encode()
        self.send_response(status)
        for challenge in challenges:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if self.user and not scheme:
            return self.answer(200, f"user={self.user} ")
        if scheme not in ("NTLM", "Negotiate"):
            return self.answer(401, "sign in ", ["Negotiate", "NTLM"])
        try:
            if self.context is None:
                self.context = spnego.server(
                    protocol="ntlm" if scheme == "NTLM" else "negotiate",
                    options=spnego.NegotiateOptions.use_ntlm,
                )
            out = self.context.step(base64.b64decode(token))
        except Exception as error:
            self.context = None
            return self.answer(401, f"bad: {type(error).__name__} ", ["NTLM"])
        if self.context.complete:
            self.user, self.context = self.context.client_principal, None
            return self.answer(200, f"user={self.user} ")
        token = base64.b64encode(out or b"").decode()
        return self.answer(401, "", [f"{scheme} {token}"])


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
