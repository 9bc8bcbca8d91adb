"""The first process of a machine that tests of documents run on: its service manager, and the
application that people want to reach.

It reads the units that are installed there and does as much of them as examples/service has and a
namespace allows: folders, account, capabilities, umask, readiness, sockets, paths, reload, stop. What a unit
forbids beyond that is for tests/operations. It ends, and the machine with it, when its standard input does.
"""

import http.server
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading

FOLDERS = {
    "StateDirectory": "/var/lib",
    "LogsDirectory": "/var/log",
    "RuntimeDirectory": "/run",
    "ConfigurationDirectory": "/etc",
}
IS_ROOT = bool(os.environ.get("IS_ROOT"))


class Failed(Exception):
    pass


class Wiki(http.server.BaseHTTPRequestHandler):
    """Knows one page."""

    def do_GET(self):
        page = b"This is the wiki.\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


def unit(name):
    """The lines of a unit, as pairs; `name@some.service` is `name@.service` for `some`."""
    stem, _, kind = name.rpartition(".")
    stem, at, instance = stem.partition("@")
    for folder in "/etc/systemd/system", "/usr/lib/systemd/system":
        file = f"{folder}/{stem}{at}.{kind}"
        if os.path.exists(file):
            with open(file) as text:
                lines = [line.strip().replace("%i", instance) for line in text]
            return [tuple(line.split("=", 1)) for line in lines if "=" in line and line[0] not in "#;"]
    raise Failed(f"Unit {name} not found.")


def values(lines, key):
    return [value for name, value in lines if name == key]


def seconds(lines, key):
    return int(values(lines, key)[0].removesuffix("s"))


class Service:
    def __init__(self, name):
        self.name = name
        self.process = None

    def start(self, sockets):
        if self.process and self.process.poll() is None:
            return
        lines = unit(self.name)
        for file in values(lines, "ConditionPathExists"):
            if not os.path.exists(file):
                raise Failed(f"{self.name}: {file} is not there, so nothing was started")
        account = pwd.getpwnam(values(lines, "User")[0])
        for key, parent in FOLDERS.items():
            for folder in " ".join(values(lines, key)).split():
                path = f"{parent}/{folder}"
                mode = int(values(lines, f"{key}Mode")[0], 8)
                # A configuration stays root's.
                owner = (0, 0) if key == "ConfigurationDirectory" else account[2:4]
                if not os.path.isdir(path):
                    os.makedirs(path)
                    os.chmod(path, mode)
                    os.chown(path, *owner)
                elif key != "ConfigurationDirectory":
                    for at, _, files in os.walk(path):
                        for one in [at, *(f"{at}/{file}" for file in files)]:
                            os.lchown(one, *owner)
        notify = f"/run/notify.{self.name}"
        if os.path.exists(notify):
            os.unlink(notify)
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.bind(notify)
        os.chmod(notify, 0o666)
        environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": notify}
        redirected = ""
        if sockets:
            environment["LISTEN_FDS"] = str(len(sockets))
            redirected = " ".join(f"{at}<&{one.fileno()}" for at, one in enumerate(sockets, 3))
        umask = values(lines, "UMask")[0]
        script = f'umask {umask}; export LISTEN_PID=$$; exec "$@" {redirected}'
        with open(f"/var/log/{self.name}", "ab") as journal:
            self.process = subprocess.Popen(
                ["bash", "-c", script, "bash", *self.as_account(lines), *values(lines, "ExecStart")[-1].split()],
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
                env=environment,
                pass_fds=[one.fileno() for one in sockets],
            )
        left = seconds(lines, "TimeoutStartSec") if values(lines, "TimeoutStartSec") else 90
        told.settimeout(0.05)
        for _ in range(left * 20):
            try:
                if b"READY=1" in told.recv(4096).split(b"\n"):
                    # The rest is nobody's to read, and does not block a sender.
                    self.told = told
                    told.setblocking(False)
                    threading.Thread(target=drain, args=(told,), daemon=True).start()
                    return
            except TimeoutError:
                if self.process.poll() is not None:
                    raise Failed(f"{self.name} ended with {self.process.returncode}:\n{self.journal()}")
        raise Failed(f"{self.name} was not ready in time:\n{self.journal()}")

    def as_account(self, lines):
        """Words before a command that give it the account and the capabilities of the unit, no others."""
        user, group = values(lines, "User")[0], values(lines, "Group")[0]
        kept = [f"+{one[4:].lower()}" for one in " ".join(values(lines, "AmbientCapabilities")).split()]
        kept = ",".join(["-all", *kept])
        groups = "--init-groups" if IS_ROOT else "--keep-groups"
        words = ["setpriv", "--reuid", user, "--regid", group, groups, "--no-new-privs"]
        return [*words, "--inh-caps", kept, "--ambient-caps", kept, "--bounding-set", kept, "--"]

    def reload(self):
        if not self.process or self.process.poll() is not None:
            raise Failed(f"{self.name} does not run")
        lines = unit(self.name)
        command = values(lines, "ExecReload")[-1].replace("$MAINPID", str(self.process.pid)).split()
        done = subprocess.run([*self.as_account(lines), *command], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{self.name}: {command}: {done.returncode}: {done.stdout}{done.stderr}")

    def stop(self):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds(unit(self.name), "TimeoutStopSec"))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed(f"{self.name} did not stop in time:\n{self.journal()}") from None
        self.process = None
        if code != 0:
            raise Failed(f"{self.name} ended with {code}:\n{self.journal()}")

    def journal(self):
        with open(f"/var/log/{self.name}") as journal:
            return journal.read()[-4000:]


def drain(told):
    told.setblocking(True)
    while True:
        told.recv(4096)


def print_of(path):
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


class PathUnit:
    """Starts a service when a file appears, changes or goes. What is there at first is no change."""

    def __init__(self, manager, name):
        lines = unit(name)
        self.manager = manager
        self.path, self.service = values(lines, "PathChanged")[0], values(lines, "Unit")[0]
        self.seen = print_of(self.path)
        self.ended = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while not self.ended.wait(0.05):
            now = print_of(self.path)
            if now == self.seen:
                continue
            self.seen = now
            with self.manager.turn:
                try:
                    self.manager.start(self.service)
                except (Failed, OSError) as error:
                    sys.stderr.write(f"{self.path} has changed: {error}\n")


class Manager:
    def __init__(self):
        self.services = {}
        self.sockets = {}
        self.paths = {}
        # Whoever wants something done takes turns.
        self.turn = threading.RLock()

    def service(self, name):
        unit(name)
        return self.services.setdefault(name, Service(name))

    def start(self, name):
        if name.endswith(".path"):
            if name not in self.paths:
                self.paths[name] = PathUnit(self, name)
            return
        if not name.endswith(".socket"):
            self.service(name).start(self.sockets.get(name.replace(".service", ".socket"), []))
            return
        if name in self.sockets:
            return
        lines = unit(name)
        service = self.services.get(name.replace(".socket", ".service"))
        if service and service.process:
            raise Failed(f"{name}: {service.name} is active already, refusing")
        opened = []
        for port in values(lines, "ListenStream"):
            address = ("::", int(port))
            one = socket.create_server(
                address, family=socket.AF_INET6, dualstack_ipv6=True, backlog=int(values(lines, "Backlog")[0])
            )
            opened.append(one)
        self.sockets[name] = opened

    def stop(self, name):
        if name.endswith(".path"):
            if name in self.paths:
                self.paths.pop(name).ended.set()
        elif name.endswith(".socket"):
            for one in self.sockets.pop(name, []):
                one.close()
        else:
            self.service(name).stop()

    def links(self, name):
        wanted = values(unit(name), "WantedBy")
        if not wanted:
            raise Failed(f"{name} has no [Install]")
        return [f"/etc/systemd/system/{target}.wants/{name}" for target in wanted]

    def enable(self, name):
        for link in self.links(name):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            if not os.path.lexists(link):
                os.symlink(f"/usr/lib/systemd/system/{name}", link)

    def ask(self, words):
        verb, *words = [word for word in words if word != "--quiet"]
        now = "--now" in words
        signals = [word.removeprefix("--signal=") for word in words if word.startswith("--signal=")]
        names = [word for word in words if not word.startswith("--")]
        kinds = (".service", ".socket", ".path")
        names = [name if name.endswith(kinds) else f"{name}.service" for name in names]
        if verb == "daemon-reload":
            return
        if not names:
            raise Failed(f"systemctl {verb}: of what?")
        for name in names:
            # No preset forbids anything.
            if verb in ("enable", "preset"):
                self.enable(name)
                if now:
                    self.start(name)
            elif verb == "is-enabled":
                if not all(os.path.lexists(link) for link in self.links(name)):
                    raise Failed("disabled")
            elif verb == "start":
                self.start(name)
            elif verb == "stop":
                self.stop(name)
            elif verb == "restart":
                self.stop(name)
                self.start(name)
            elif verb == "reload":
                self.service(name).reload()
            elif verb == "kill":
                self.service(name).process.send_signal(getattr(signal, f"SIG{signals[0]}"))
            else:
                raise Failed(f"systemctl {verb} is not known on this machine")


def serve(manager):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("/run/manager")
    listener.listen()
    print("ready", flush=True)
    while True:
        asked, _ = listener.accept()
        with asked:
            words = json.loads(b"".join(iter(lambda: asked.recv(65536), b"")))
            try:
                with manager.turn:
                    manager.ask(words)
                answer = {"code": 0, "said": ""}
            except (Failed, OSError, KeyError, IndexError) as error:
                answer = {"code": 1, "said": f"systemctl {' '.join(words)}: {error}\n"}
            asked.sendall(json.dumps(answer).encode())


wiki = http.server.ThreadingHTTPServer(("10.1.2.3", 8888), Wiki)
threading.Thread(target=wiki.serve_forever, daemon=True).start()
threading.Thread(target=serve, args=(Manager(),), daemon=True).start()
sys.stdin.read()
os._exit(0)
