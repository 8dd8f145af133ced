"""Checks the receipts of a saved log with sigstore-python, which verifies what PyPI publishes: the log's signature under the checkpoint,
and the way from the leaf to its root. It knows neither witnesses nor consistency; the Go program next door does.

    python receipts.py DIR

The functions it calls are private to sigstore, so the version is pinned.
"""

import base64
import pathlib
import re
import sys
import types

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import SignedCheckpoint
from sigstore.errors import VerificationError


class Refused(Exception):
    """The first fault."""


class OneKey:
    """A keyring of one key, in the form that sigstore's signed note asks for."""

    def __init__(self, vkey):
        self.name, key_id, text = vkey.split("+", 2)
        key = base64.b64decode(text, validate=True)
        if len(key) != 33 or key[0] != 0x01:
            raise Refused("a log key that is not Ed25519")
        self.key_id = bytes.fromhex(key_id)
        self.key = Ed25519PublicKey.from_public_bytes(key[1:])

    def verify(self, *, key_id, signature, data):
        try:
            self.key.verify(signature, data)
        except InvalidSignature as error:
            raise VerificationError("the log did not sign this checkpoint") from error


def trusted_logs(text):
    """The logs of a trust file by origin."""
    lines = (re.split(r"[ \t]+", line) for line in text.split("\n"))
    return {key.name: key for key in (OneKey(words[1]) for words in lines if words[0] == "log")}


def parse_receipt(text, leaf):
    """Index, hashes and note of a receipt."""
    head, border, note = text.partition("\n\n")
    magic, *lines = head.split("\n")
    if not border or magic != "c2sp.org/tlog-proof@v1":
        raise Refused("not a receipt")
    if lines and lines[0].startswith("extra "):
        if base64.b64decode(lines.pop(0)[6:], validate=True) != leaf:
            raise Refused("it came with another leaf")
    index = re.fullmatch(r"index (0|[1-9][0-9]{0,14})", lines.pop(0) if lines else "")
    if not index:
        raise Refused("no index")
    return int(index[1]), [base64.b64decode(line, validate=True) for line in lines], note


def check(leaf, index, hashes, note, logs):
    """The two checks of sigstore."""
    key = logs.get(note.partition("\n")[0])
    if key is None:
        raise Refused("a checkpoint of an unknown log")
    signed = SignedCheckpoint.from_text(note)
    signed.signed_note.verify(key, key.key_id.ljust(32, b"\0"))
    proof = types.SimpleNamespace(
        log_index=index,
        tree_size=signed.checkpoint.log_size,
        root_hash=bytes.fromhex(signed.checkpoint.log_hash),
        hashes=hashes,
    )
    verify_merkle_inclusion(
        types.SimpleNamespace(_inner=types.SimpleNamespace(canonicalized_body=leaf, inclusion_proof=proof))
    )


def main(folder):
    logs = trusted_logs((folder / "policy").read_text(encoding="utf-8"))
    files = sorted(folder.glob("receipts/*.tlog-proof"))
    if not files:
        raise Refused("no receipts")
    for file in files:
        try:
            leaf = file.with_suffix(".leaf").read_bytes()
            index, hashes, note = parse_receipt(file.read_text(encoding="utf-8"), leaf)
            check(leaf, index, hashes, note, logs)
        except (Refused, VerificationError, ValueError, OSError) as error:
            raise Refused(f"{file.name}: {error}") from error
        # Nothing is worth checking by a check that cannot fail.
        try:
            check(leaf + b"\n", index, hashes, note, logs)
        except VerificationError:
            continue
        raise Refused(f"{file.name}: the check accepts another leaf")
    print(f"{len(files)} receipts are good\nOK")


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]))
    except (Refused, OSError, ValueError) as fault:
        print(f"REFUSED: {fault}", file=sys.stderr)
        sys.exit(1)
