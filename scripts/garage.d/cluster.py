"""Three Garage nodes on the loopback, replication 3, everything synced; and before them one address that goes on to whichever node answers."""

import re
import secrets
import shutil
import signal
import socket
import threading
import time

import s3
from processes import Failed, Process, free_ports, run

COMMAND_SECONDS = 60
READY_SECONDS = 60
REPAIR_SECONDS = 120
# Garage fetches a block that a node lacks twice this after it has heard of it, and no command brings that forward. Its own value is 300.
RPC_SECONDS = 10
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
            f'rpc_timeout_msec = {RPC_SECONDS * 1_000}\n'
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
        self.credentials = {}

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

    def pause(self, at):
        """SIGSTOP: it takes connections, and answers nothing."""
        self.nodes[at].process.child.send_signal(signal.SIGSTOP)

    def resume(self, at):
        """SIGCONT, and until the others have it again."""
        self.nodes[at].process.child.send_signal(signal.SIGCONT)
        self.wait_until_whole()

    def _wait(self, what, holds, seconds=READY_SECONDS):
        """Until something of the cluster holds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for node in self.nodes:
                node.process.check()
            try:
                if holds():
                    return
            except Failed:
                # A node that has just started answers nothing, or that all is lost.
                pass
            time.sleep(0.3)
        raise Failed(f"waited {seconds} s in vain: {what}")

    def wait_until_whole(self):
        """Until each node reaches all others. `garage health` says so of a dead connection, too, that nobody has used since. A node that is
        lost is tried again only every 30 s, and until then nothing is written to it and nothing repaired on it."""
        self._wait("every node reaches all others",
                   lambda: all(self.command("stats", "--all-nodes", node=at).count("Node ID:") == 3 for at in range(3)))

    def found(self):
        """Nodes, layout, bucket, and the credentials of a writer and a reader."""
        for at in range(3):
            self.start(at)
        for at in range(3):
            self._wait("nodes answer", lambda at=at: self.command("status", node=at))
        ids = [self.command("node", "id", "-q", node=at).strip() for at in range(3)]
        for one in ids[1:]:
            self.command("node", "connect", one)
        for one in ids:
            self.command("layout", "assign", "-z", "here", "-c", "1G", one.split("@")[0])
        self.command("layout", "apply", "--version", "1")
        self.wait_until_whole()
        self.command("bucket", "create", BUCKET)
        for name, rights in (("writer", ("--read", "--write")), ("reader", ("--read",))):
            said = self.command("key", "create", name)
            found = [re.search(rf"{word}:\s*(\S+)", said) for word in ("Key ID", "Secret key")]
            if None in found:
                raise Failed("garage key create says something else than it did in 2.5")
            self.credentials[name] = tuple(match.group(1) for match in found)
            self.command("bucket", "allow", *rights, BUCKET, "--key", self.credentials[name][0])
        # Bound here, not in the thread: whoever looks for free ports next must find this one taken.
        door = socket.create_server(("127.0.0.1", self.front))
        threading.Thread(target=self._front, args=(door,), daemon=True).start()

    def keys(self):
        """The name of every object in the bucket."""
        return s3.keys(self.nodes[0].s3, REGION, self.credentials["writer"], BUCKET)

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
        """Starts a wiped node and repairs the cluster; returns the node's blocks, and seconds. Fails if a node lacks a block that was there
        before."""
        begun = time.monotonic()
        before = set.union(*(self._blocks(other) for other in range(3)))
        self.start(at)
        self.repair()
        lacking = [block for block in before - set.intersection(*(self._blocks(other) for other in range(3))) if self._needed(block)]
        if lacking:
            raise Failed(f"the cluster is said to be whole, and {len(lacking)} of {len(before)} blocks are not on every node")
        return {"blocks": len(self._blocks(at)), "healed_in_seconds": round(time.monotonic() - begun)}

    def repair(self):
        """What docs/operating.md tells an operator to do, step by step."""
        self.wait_until_whole()
        for what in ("tables", "blocks"):
            self.command("repair", "--all-nodes", "--yes", what)
            self._wait(f"{what} are repaired", self._at_rest, REPAIR_SECONDS)
        time.sleep(2 * RPC_SECONDS)
        self._wait("blocks are fetched", self._at_rest, REPAIR_SECONDS)

    def _at_rest(self):
        """Whether no node has anything to do, nor a block that it could not fetch, three times in a row."""
        for _look in range(3):
            for node in range(3):
                for command in (("worker", "list", "--busy"), ("block", "list-errors")):
                    # A line of heads alone.
                    if len(self.command(*command, node=node).strip().splitlines()) > 1:
                        return False
            time.sleep(1)
        return True

    def _blocks(self, at):
        """Names of the blocks that a node has on its disk."""
        return {path.stem for path in (self.nodes[at].folder / "data").rglob("*") if re.fullmatch("[0-9a-f]{64}", path.stem)}

    def _needed(self, block):
        """Whether a node counts references to a block: others are removed later."""
        return any(re.search(r"Refcount:\s*[1-9]", self.command("block", "info", block, node=at)) for at in range(3))

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
            for one in (stream, behind):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
