"""Judges the passkey vectors with code that is not ours: py_webauthn, which decodes, compares and verifies.

    python assertions.py VECTORS      VECTORS: the folder spec/vectors/v1

Every good case must be accepted and every bad one refused, but for those that py_webauthn does not look at; of these it says so.
Ends with OK and 0, or with REFUSED and 1.
"""
import json
import pathlib
import sys

from webauthn import verify_authentication_response
from webauthn.helpers import bytes_to_base64url

# It decodes the challenge before it compares, and leaves crossOrigin and the length of what follows the counter to its caller.
NOT_LOOKED_AT = {"bad_passkey_challenge_padded", "bad_passkey_cross_origin"}


def lv16(data):
    parts = []
    while data:
        size = int.from_bytes(data[:2], "big")
        assert len(data) >= 2 + size, "cut short"
        parts.append(data[2 : 2 + size])
        data = data[2 + size :]
    return parts


def accepts(case):
    authenticator, client, signature = lv16(bytes.fromhex(case["assertion"]))
    key = bytes.fromhex(case["cose"])
    name = bytes_to_base64url(key[:16])
    response = {
        "clientDataJSON": bytes_to_base64url(client),
        "authenticatorData": bytes_to_base64url(authenticator),
        "signature": bytes_to_base64url(signature),
    }
    credential = {"id": name, "rawId": name, "type": "public-key", "clientExtensionResults": {}, "response": response}
    try:
        verify_authentication_response(
            credential=credential,
            expected_challenge=bytes.fromhex(case["challenge"]),
            expected_rp_id=case["rp_id"],
            expected_origin=case["origin"],
            credential_public_key=key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as error:  # Whatever it raises, it does not accept.
        return str(error) or type(error).__name__
    return None


def main():
    files = sorted(pathlib.Path(sys.argv[1]).glob("*_passkey_*.json"))
    cases = [(file.stem, step) for file in files for step in json.loads(file.read_text())["steps"]]
    cases = [(name, step) for name, step in cases if step["op"] == "check-passkey"]
    if len(cases) < 18:
        sys.exit("REFUSED: only %d cases" % len(cases))
    for name, step in cases:
        why = accepts(step["in"])
        wanted = "out" in step or name in NOT_LOOKED_AT
        if (why is None) != wanted:
            sys.exit("REFUSED: %s: %s" % (name, why or "accepted"))
        print("%s: %s" % (name, why or "accepted"))
    print("OK")


main()
