"""What a run needs before anything starts: a folder, certificates, files, ports, templates."""

import os
import socket
import string
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))

# The subject of every certificate here; `localhost` is the name people use.
NAMES = (
    "subjectAltName=DNS:localhost,DNS:login.localhost,DNS:wiki.localhost,DNS:git.localhost,"
    "DNS:tickets.localhost,DNS:tunnel.bench,IP:127.0.0.1,IP:10.99.0.1,IP:10.99.0.2"
)


class Material:
    """The folder of one run."""

    def __init__(self, folder, bulk):
        self.folder = folder
        self.files = os.path.join(folder, "files")
        self.bulk = bulk
        os.makedirs(self.files, exist_ok=True)
        self.authority = self.path("authority.pem")
        self.chain = self.path("chain.pem")
        self.key = self.path("key.pem")
        self.pem = self.path("both.pem")
        self.pkcs12 = self.path("identity.p12")
        self._certificates()
        for name, size in {"1k": 1024, "1m": 1 << 20, "bulk": bulk << 20}.items():
            with open(os.path.join(self.files, name), "wb") as file:
                # A hole: nothing is read from a disk.
                file.truncate(size)

    def path(self, name):
        return os.path.join(self.folder, name)

    def _certificates(self):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        root, request = self.path("authority.key"), self.path("request.pem")
        openssl("req", "-x509", *key, "-keyout", root, "-out", self.authority,
                "-days", "30", "-subj", "/CN=bench authority")
        openssl("req", *key, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        extensions = self.path("extensions")
        with open(extensions, "w") as file:
            file.write(NAMES + "\n")
        openssl("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", root,
                "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out", self.chain)
        openssl("pkcs12", "-export", "-in", self.chain, "-inkey", self.key,
                "-certfile", self.authority, "-passout", "pass:bench", "-out", self.pkcs12)
        with open(self.pem, "w") as file:
            for part in (self.chain, self.key):
                with open(part) as source:
                    file.write(source.read())

    def write(self, template, folder, values):
        """Fills a template in; gives the path of the file."""
        with open(os.path.join(HERE, "templates", template)) as file:
            text = string.Template(file.read()).substitute(values)
        path = os.path.join(folder, template)
        with open(path, "w") as file:
            file.write(text)
        return path


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def free_ports(count):
    """Ports that nobody listens at, all of them different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
