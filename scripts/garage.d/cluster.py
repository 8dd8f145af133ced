"""Three Garage nodes on the loopback, replication 3, everything synced; and before them one address that goes on to whichever node answers."""

import re
import secrets
import shutil
import socket
import threading
import time
import urllib.request

from processes import Failed, Process, free_ports, run

COMMAND_SECONDS = 60
READY_SECONDS = 60
HEAL_SECONDS = 300
BUCKET = "alpr"
REGION = "garage"


class Node:
    """One node with its folders."""

    def __init__(self, number, folder, ports, secret):
        self.number = number
        self.folder = folder / f"node-{number}"
        self.rpc, self.s3, self.admin = ports
        self.config = self.folder / "garage.toml"
        self.process = None
        (self.folder / "meta").mkdir(parents=True)
        (self.folder / "data").mkdir()
        self.config.write_text(
            f'metadata_dir = "{self.folder}/meta"\ndata_dir = "{self.folder}/data"\ndb_engine = "lmdb"\n'
            f'metadata_fsync = true\ndata_fsync = true\nreplication_factor = 3\n'
            f'rpc_bind_addr = "127.0.0.1:{self.rpc}"\nrpc_public_addr = "127.0.0.1:{self.rpc}"\nrpc_secret = "{secret}"\n\n'
            f'[s3_api]\ns3_region = "{REGION}"\napi_bind_addr = "127.0.0.1:{self.s3}"\n\n'
            f'[admin]\napi_bind_addr = "127.0.0.1:{self.admin}"\n')
        self.config.chmod(0o600)


class Cluster:
    """The nodes, a bucket, a key that may write it and one that may read it."""

    def __init__(self, garage, folder):
        self.garage = garage
        self.folder = folder
        ports = free_ports(10)
        secret = secrets.token_hex(32)
        self.front = ports[9]
        self.nodes = [Node(number, folder, ports[3 * at:3 * at + 3], secret) for at, number in enumerate((1, 2, 3))]
        self.starts = 0

    def command(self, *arguments, node=0, timeout=COMMAND_SECONDS):
        """The output of a command of `garage`, asked at a node."""
        return run([self.garage, "-c", self.nodes[node].config, *arguments], f"garage {arguments[0]}", timeout=timeout)[1]

    def start(self, at):
        """Starts node `at` (from 0)."""
        self.starts += 1
        node = self.nodes[at]
        node.process = Process(f"garage-{node.number}-{self.starts}", [self.garage, "-c", node.config, "server"], self.folder)

    def kill(self, at):
        """SIGKILL."""
        child = self.nodes[at].process.child
        child.kill()
        child.wait()

    def wait_until_up(self, at, count=3):
        """Until node `at` sees `count` healthy nodes."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            self.nodes[at].process.check()
            try:
                said = self.command("status", node=at)
            except Failed:
                time.sleep(0.3)
                continue
            healthy = said.split("FAILED")[0]
            if len(re.findall(r"^[0-9a-f]{16}\s", healthy, re.MULTILINE)) >= count and (count < 3 or self._all_well()):
                return
            time.sleep(0.3)
        raise Failed(f"node {at + 1} does not see {count} nodes")

    def _all_well(self):
        """Whether each node that runs says that it reaches enough of the others."""
        for node in self.nodes:
            if node.process is not None and node.process.child.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{node.admin}/health", timeout=5):
                        pass
                except OSError:
                    return False
        return True

    def found(self):
        """Nodes, layout, bucket, keys; returns the credentials of writer and reader."""
        for at in range(3):
            self.start(at)
        for at in range(3):
            self.wait_until_up(at, count=1)
        ids = [self.command("node", "id", "-q", node=at).strip() for at in range(3)]
        for one in ids[1:]:
            self.command("node", "connect", one)
        for one in ids:
            self.command("layout", "assign", "-z", "here", "-c", "1G", one.split("@")[0])
        self.command("layout", "apply", "--version", "1")
        for at in range(3):
            self.wait_until_up(at, count=3)
        self.command("bucket", "create", BUCKET)
        keys = {}
        for name, rights in (("writer", ("--read", "--write")), ("reader", ("--read",))):
            said = self.command("key", "create", name)
            found = [re.search(rf"{word}:\s*(\S+)", said) for word in ("Key ID", "Secret key")]
            if None in found:
                raise Failed("garage key create says something else than it did in 2.5")
            keys[name] = tuple(match.group(1) for match in found)
            self.command("bucket", "allow", *rights, BUCKET, "--key", keys[name][0])
        # Bound here, not in the thread: whoever looks for free ports next must find this one taken.
        door = socket.create_server(("127.0.0.1", self.front))
        threading.Thread(target=self._front, args=(door,), daemon=True).start()
        return keys

    def objects(self):
        """Objects in the bucket."""
        match = re.search(r"Objects:\s*(\d+)", self.command("bucket", "info", BUCKET, node=self._alive()))
        if match is None:
            raise Failed("garage bucket info says something else than it did in 2.5")
        return int(match.group(1))

    def wipe(self, at):
        """Kills node `at` and removes all that it stored. Its name and the layout stay, as on a machine with a new disk."""
        self.kill(at)
        node = self.nodes[at]
        shutil.rmtree(node.folder / "data")
        (node.folder / "data").mkdir()
        for entry in (node.folder / "meta").iterdir():
            if not entry.name.startswith(("node_key", "cluster_layout", "peer_list")):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def heal(self, at):
        """Starts a wiped node, asks every node to repair until it has what the others have; returns its blocks, and seconds."""
        self.start(at)
        self.wait_until_up(at)
        # Garage heals slowly on purpose, so as not to disturb; an operator with a new disk wants it done.
        for name, value in (("resync-tranquility", "0"), ("resync-worker-count", "8")):
            self.command("worker", "set", "--all-nodes", name, value, node=at)
        begun = time.monotonic()
        while time.monotonic() - begun < HEAL_SECONDS:
            # Again each time: a repair that begins before the others have found the node again sends it nothing.
            for what in ("tables", "versions", "block-refs", "blocks"):
                self.command("repair", "--all-nodes", "--yes", what, node=at)
            time.sleep(4)
            # Epochs close meanwhile: what came last may be on its way.
            known, others = self._known(at), [self._known(other) for other in range(3) if other != at]
            if known + 4 >= max(others) and all(self._idle(at) for _look in range(3)):
                return {"blocks": self._blocks(at), "healed_in_seconds": round(time.monotonic() - begun)}
        raise Failed(f"the wiped node knows {self._known(at)} objects after {HEAL_SECONDS} s, the others "
                     f"{[self._known(other) for other in range(3) if other != at]}")

    def _idle(self, at):
        """Whether a node has nothing to fetch, and failed at nothing."""
        time.sleep(1)
        lines = [self.command("worker", "list", "--busy", node=at), self.command("block", "list-errors", node=at)]
        return all(len(said.strip().splitlines()) <= 1 for said in lines)

    def _known(self, at):
        """Objects that a node knows of."""
        match = re.search(r"^\s+object\s+(\d+)", self.command("stats", node=at), re.MULTILINE)
        if match is None:
            raise Failed("garage stats says something else than it did in 2.5")
        return int(match.group(1))

    def _blocks(self, at):
        """Blocks that a node has on its disk."""
        return sum(path.is_file() for path in (self.nodes[at].folder / "data").rglob("*") if "garage-marker" not in path.name)

    def _alive(self):
        return next(at for at, node in enumerate(self.nodes) if node.process.child.poll() is None)

    def stop(self):
        """SIGTERM to all."""
        for node in self.nodes:
            if node.process is not None:
                node.process.stop()

    # -- what an operator puts before the nodes: a balancer of connections

    def _front(self, door):
        turn = 0
        while True:
            stream, _ = door.accept()
            turn += 1
            threading.Thread(target=self._pass, args=(stream, turn), daemon=True).start()

    def _pass(self, stream, turn):
        for at in range(3):
            try:
                behind = socket.create_connection(("127.0.0.1", self.nodes[(turn + at) % 3].s3), timeout=2)
            except OSError:
                continue
            behind.settimeout(None)
            threading.Thread(target=_copy, args=(behind, stream), daemon=True).start()
            _copy(stream, behind)
            return
        stream.close()


def _copy(source, sink):
    try:
        while chunk := source.recv(65_536):
            sink.sendall(chunk)
    except OSError:
        pass
    for one in (source, sink):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()
