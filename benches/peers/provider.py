"""An OpenID provider that says of everybody that it is one person, for the stacks that sign in. As
little as its clients need: RFC 7636 and the client's secret are taken and not checked."""

import base64
import http.server
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.parse


def encoded(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def openssl(*arguments, octets=b""):
    return subprocess.run(["openssl", *arguments], input=octets, check=True,
                          capture_output=True).stdout


class Provider(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    issuer = key = modulus = ""
    nonces = {}

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def json(self, value):
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/.well-known/openid-configuration":
            self.json({
                "issuer": self.issuer,
                "authorization_endpoint": self.issuer + "/authorize",
                "token_endpoint": self.issuer + "/token",
                "jwks_uri": self.issuer + "/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            })
        elif url.path == "/jwks":
            self.json({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "bench",
                                 "n": self.modulus, "e": "AQAB"}]})
        elif url.path == "/authorize":
            code = secrets.token_urlsafe()
            self.nonces[code] = (asked.get("nonce"), asked["client_id"])
            back = urllib.parse.urlencode({"code": code, "state": asked["state"]})
            self.answer(303, Location=f"{asked['redirect_uri']}?{back}")
        else:
            self.answer(404)

    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        nonce, client = self.nonces.pop(dict(urllib.parse.parse_qsl(form))["code"])
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "bench", "aud": client, "iat": now,
                  "exp": now + 3600, "nonce": nonce, "name": "Bench"}
        head = {"alg": "RS256", "kid": "bench", "typ": "JWT"}
        text = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        signature = openssl("dgst", "-sha256", "-sign", self.key, octets=text.encode())
        self.json({"token_type": "Bearer", "access_token": secrets.token_urlsafe(),
                   "expires_in": 3600, "id_token": f"{text}.{encoded(signature)}"})


def main(port, folder):
    Provider.issuer = f"http://127.0.0.1:{port}"
    Provider.key = os.path.join(folder, "provider.key")
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
            "-out", Provider.key)
    modulus = openssl("rsa", "-in", Provider.key, "-noout", "-modulus").decode()
    Provider.modulus = encoded(bytes.fromhex(modulus.strip().split("=")[1]))
    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Provider).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
