"""What is compared: which programs stand between the client and the application, and how."""

import os
import ssl
import subprocess
import urllib.error
import urllib.request

import visitor
from material import free_ports
from processes import Failed, Process, until


class Net:
    """Where things are: all of it on loopback, or the two sides in namespaces of their own with a
    link between them."""

    def __init__(self, public=None, private=None, gateway="127.0.0.1", inner="127.0.0.1"):
        self.public = public
        self.private = private
        self.gateway = gateway
        self.inner = inner


LOOPBACK = Net()


class Application:
    """The web server behind all of them."""

    def __init__(self, material, net=LOOPBACK):
        port, sink = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.port = port
        folder = material.path("backend")
        os.makedirs(folder, exist_ok=True)
        values = {"folder": folder, "backend": self.address, "files": material.files,
                  "sink": f"127.0.0.1:{sink}"}
        config = material.write("backend.nginx.conf", folder, values)
        here = os.path.dirname(os.path.abspath(__file__))
        log = os.path.join(folder, "log")
        sink = ["python3", os.path.join(here, "sink.py"), str(sink), material.files]
        commands = [sink, ["nginx", "-c", config]]
        self.processes = [Process(command, log, net.private) for command in commands]
        until("the application", lambda: answers(f"http://{self.address}/1k", net.public is None),
              self.processes)

    def stop(self):
        for process in self.processes:
            process.stop()


def answers(url, reachable=True):
    """Whether a URL answers 200; where it cannot be reached from here, its user will wait for it."""
    if not reachable:
        return True
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


class Stack:
    """One way to the application. Subclasses start what is in between."""

    scheme = "https"
    # Which hops there are, for the report.
    hops = ""

    def __init__(self, material, application, net=LOOPBACK):
        self.material = material
        self.application = application
        self.net = net
        self.folder = material.path(self.name)
        self.processes = []
        os.makedirs(self.folder, exist_ok=True)
        self.port, behind, inner, tunnel = free_ports(4)
        self.values = {
            "folder": self.folder,
            "front": f"127.0.0.1:{self.port}",
            "behind": f"127.0.0.1:{behind}",
            "behind_scheme": "http",
            "inner": f"{net.inner}:{inner}",
            "tunnel": f"{net.gateway}:{tunnel}",
            "backend": application.address,
            "authority": material.authority,
            "chain": material.chain,
            "key": material.key,
            "pem": material.pem,
            "pkcs12": material.pkcs12,
        }

    def url(self, path):
        return f"{self.scheme}://localhost:{self.port}{path}"

    def start(self):
        try:
            self.launch()
            self.ready()
        except BaseException:
            self.stop()
            raise
        return self

    def fields(self):
        """What a load generator sends besides."""
        return []

    def ready(self):
        if self.net.public is None:
            until(f"{self.name} to answer", lambda: answers(self.url("/1k")), self.processes)
            return
        curl = ["ip", "netns", "exec", self.net.public, "curl", "-skf", "-m", "5",
                "-o", os.devnull, self.url("/1k")]
        until(f"{self.name} to answer", lambda: subprocess.run(curl).returncode == 0,
              self.processes)

    def config(self, template):
        return self.material.write(template, self.folder, self.values)

    def run(self, command, namespace=None):
        log = os.path.join(self.folder, f"{len(self.processes)}.log")
        # What a run before this one said is not this one's.
        open(log, "w").close()
        self.processes.append(Process(command, log, namespace))

    def stop(self):
        while self.processes:
            self.processes.pop().stop()

    def cpu(self):
        return sum(process.cpu() for process in self.processes)

    def memory(self):
        return sum(process.memory() for process in self.processes)


class Direct(Stack):
    name = "direct"
    hops = "client → application, no TLS"
    scheme = "http"

    def launch(self):
        self.port = self.application.port


class NginxNginx(Stack):
    name = "nginx-nginx"
    hops = "nginx → TLS 1.3, keep-alive → nginx"

    def launch(self):
        self.values |= {"behind": self.values["inner"], "behind_scheme": "https"}
        self.run(["nginx", "-c", self.config("inner.nginx.conf")], self.net.private)
        self.run(["nginx", "-c", self.config("front.nginx.conf")], self.net.public)


class Haproxy(Stack):
    name = "haproxy"
    hops = "one hop, no tunnel"

    def launch(self):
        self.run(["haproxy", "-q", "-f", self.config("haproxy.cfg")])


class NginxRathole(Stack):
    name = "nginx-rathole"
    hops = "nginx → rathole server ⇐ TLS ⇐ rathole client"
    program = "rathole"

    def launch(self):
        self.run([self.program, "-s", self.config("rathole-server.toml")], self.net.public)
        self.run([self.program, "-c", self.config("rathole-client.toml")], self.net.private)
        self.run(["nginx", "-c", self.config("front.nginx.conf")], self.net.public)


class Appproxy(Stack):
    name = "appproxy"
    hops = "gateway ⇐ TLS 1.3 ⇐ connector"
    program = "appproxy"
    # Beside those of the configuration.
    arguments = []
    template = "gateway.yaml"
    # Where it listens besides.
    also = []

    def launch(self):
        # Enrolled anew at each start: the ports are others.
        for name in os.listdir(self.folder):
            if name.startswith("gateway.db"):
                os.remove(os.path.join(self.folder, name))
        state = os.path.join(self.folder, "connector")
        for name in os.listdir(state) if os.path.isdir(state) else []:
            os.remove(os.path.join(state, name))
        listen = [self.values["front"], *self.also]
        if self.net.gateway != "127.0.0.1":
            listen.append(f"{self.net.gateway}:{self.port}")
        self.values |= {
            "listen": "[" + ", ".join(f'"{address}"' for address in listen) + "]",
            "front_port": self.port,
            "tunnel_port": self.port,
            "gateway_ip": self.net.gateway,
            "backend_ip": "127.0.0.1",
            "backend_port": self.application.port,
            # Across a long way what docs/connectors.md has for one, otherwise what is usual.
            "connections": "2..8" if self.net.public is None else "4..8",
        }
        gateway, connector = self.config(self.template), self.config("connector.yaml")
        self.run([self.program, "gateway", *self.arguments, "--config", gateway], self.net.public)
        self.listens()
        self.enrol(gateway, connector)
        self.run([self.program, "connector", *self.arguments, "--config", connector],
                 self.net.private)

    def listens(self):
        log = self.processes[0].log

        def says_so():
            with open(log) as file:
                return "gateway ready" in file.read()

        until("the gateway to listen", says_so, self.processes)

    def enrol(self, gateway, connector):
        token = os.path.join(self.folder, "token")
        create = ["gateway", "token", "create", "--group", "default", "--config", gateway]
        register = ["connector", "register", "--token-file", token, "--config", connector]
        inside = ["ip", "netns", "exec", self.net.private] if self.net.private else []
        with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            done = subprocess.run([self.program, *create], stdout=out, stderr=subprocess.PIPE)
        if done.returncode == 0:
            done = subprocess.run([*inside, self.program, *register], capture_output=True)
        os.remove(token)
        if done.returncode != 0:
            raise Failed(f"the connector was not enrolled:\n{done.stderr.decode(errors='replace')}")


class Quiet(Appproxy):
    """The same without its line for each request, which the peers do not write either."""

    name = "appproxy-quiet"
    hops = "the same, without its access log"
    arguments = ["--log-level", "warn"]

    def listens(self):
        until("the gateway to listen", lambda: self.is_open(), self.processes)

    def is_open(self):
        # Without a connector it answers with an error, which is an answer.
        command = ["curl", "-sk", "-m", "2", "-o", os.devnull, self.url("/1k")]
        inside = ["ip", "netns", "exec", self.net.public] if self.net.public else []
        return subprocess.run(inside + command).returncode == 0


class OneWorker(Appproxy):
    """The same with one thread in each program: what passes from core to core costs more than it
    brings where there are few of them."""

    name = "appproxy-one-worker"
    hops = "the same, `workers: 1`"

    def config(self, template):
        path = super().config(template)
        with open(path, "a") as file:
            file.write("workers: 1\n")
        return path


class Signs:
    """What signs people in: the load is one person's, who has signed in before."""

    cookie = None

    def provider(self):
        (port,) = free_ports(1)
        self.values |= {"issuer": f"http://127.0.0.1:{port}", "front_port": self.port}
        here = os.path.dirname(os.path.abspath(__file__))
        self.own = Process(["python3", os.path.join(here, "provider.py"), str(port), self.folder],
                           os.path.join(self.folder, "provider.log"))
        metadata = self.values["issuer"] + "/.well-known/openid-configuration"
        until("the provider to answer", lambda: answers(metadata), [self.own])

    def ready(self):
        def signed_in():
            try:
                self.cookie = visitor.cookies(self.url("/1k"))
            except (OSError, Failed) as error:
                self.said = error
                return False
            return bool(self.cookie)

        try:
            until(f"somebody to sign in at {self.name}", signed_in, self.processes)
        except Failed as failed:
            raise Failed(f"{failed}\nthe last attempt: {getattr(self, 'said', 'no cookie')}")

    def fields(self):
        return ["-H", f"Cookie: {self.cookie}"]

    def stop(self):
        super().stop()
        if own := getattr(self, "own", None):
            own.stop()


class SignedIn(Signs, Appproxy):
    name = "appproxy-signed-in"
    hops = "the same, by the session of a person"
    template = "signed-in.yaml"

    def launch(self):
        self.provider()
        super().launch()


class Apache(Signs, Stack):
    name = "apache-openidc"
    hops = "Apache with mod_auth_openidc, one hop, no tunnel, by the session of a person"

    def launch(self):
        self.provider()
        self.values |= {"modules": "/usr/lib/apache2/modules"}
        self.run(["apache2", "-DFOREGROUND", "-f", self.config("apache.conf")])


USUAL = [Direct, NginxNginx, Haproxy, NginxRathole, Appproxy, Quiet, SignedIn, Apache]
ALL = [*USUAL, OneWorker]
# Only small requests are asked of these.
SIGNED = (SignedIn, Apache)
ANCHOR = NginxNginx.name
