"""Child processes, ports and folders. Nothing is started that does not end with this process."""

import ctypes
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

STOP_SECONDS = 50
READY_SECONDS = 60


class Failed(Exception):
    """A step did not work; the text names what and where, and holds no plate."""


def die_with_parent():
    # PR_SET_PDEATHSIG: an interrupted or killed run leaves no keeper behind.
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)


def free_ports(count):
    """Ports of the loopback that nobody listens at now, below those that outgoing connections take."""
    sockets = []
    for port in range(18000 + os.getpid() % 1800, 20000):
        one = socket.socket()
        try:
            one.bind(("127.0.0.1", port))
            sockets.append(one)
        except OSError:
            one.close()
        if len(sockets) == count:
            break
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run(command, what, allowed=(0,), stdin=None, timeout=None):
    """Runs a command to its end; returns exit code and standard output."""
    try:
        done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True, timeout=timeout,
                              check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: no end after {timeout} s") from None
    if done.returncode not in allowed:
        raise Failed(f"{what}: exit {done.returncode}\n{_tail(done.stderr)}\n{_problem(done.stdout)}")
    return done.returncode, done.stdout


class Process:
    """A role that runs until it is told to stop."""

    def __init__(self, name, command, folder):
        self.name = name
        self.output = folder / f"{name}.output"
        with open(self.output, "ab") as output:
            self.child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=output, preexec_fn=die_with_parent)

    def check(self):
        """Fails if it has ended by itself."""
        code = self.child.poll()
        if code is not None:
            raise Failed(f"{self.name} ended with exit code {code}\n{_tail(self.output.read_text(errors='replace'))}")

    def wait_until_ready(self, url, certificate):
        """Waits for 200 on `/readyz`, under the certificate that its owner made."""
        deadline = time.monotonic() + READY_SECONDS
        said = "no answer"
        while time.monotonic() < deadline:
            self.check()
            try:
                get(f"{url}/readyz", certificate)
                return
            except (OSError, urllib.error.URLError) as error:
                body = error.read(2_000).decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else ""
                said = f"{type(error).__name__} {body}".strip()
            time.sleep(0.1)
        raise Failed(f"{self.name} is not ready after {READY_SECONDS} s: {said}\n"
                     f"{_tail(self.output.read_text(errors='replace'))}")

    def stop(self):
        """SIGTERM, and the exit code within the 45 s that a role may take; then SIGKILL and None."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return None

    def peak_mib(self):
        """Most memory it ever had, MiB."""
        try:
            status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return 0.0
        return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def get(url, certificate):
    """Body of a GET under a pinned self-signed certificate."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        return answer.read()


def bytes_in(path):
    """Bytes of the files under a folder (or of one file), as long as they are."""
    path = pathlib.Path(path)
    if path.is_file():
        return path.stat().st_size
    total = 0
    for folder, _folders, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                # A spool that was closed meanwhile.
                continue
    return total


def _problem(said):
    # With --json a failure is a problem document, which holds no plate; anything else is not repeated.
    return _tail(said) if '"urn:lockplate:problem:' in said else ""


def _tail(text, lines=15):
    return "\n".join("    " + line for line in text.strip().splitlines()[-lines:])
