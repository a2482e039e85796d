#!/usr/bin/env python3
"""RFC 9421 signatures as another program makes and checks them: the package http-message-signatures.

usage: httpsig_client.py {verify,sign} < request.json > answer.json

A request is {"method", "url", "headers", "seed" or "key"}; seed and key are 32 bytes in hex. `verify` answers with the components
that a valid signature covers, or with what is wrong with it; `sign` with the two headers that it would add.
"""

import datetime
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from http_message_signatures.exceptions import HTTPMessageSignaturesException

COMPONENTS = ("@method", "@path", "cloister-tab", "idempotency-key", "content-digest")


class Message:
    """What the package looks at."""

    def __init__(self, request):
        self.method = request["method"]
        self.url = request["url"]
        self.headers = {name.title(): value for name, value in request["headers"].items()}


class Keys(HTTPSignatureKeyResolver):
    """One key, under whatever name."""

    def __init__(self, request):
        self.request = request

    def resolve_public_key(self, key_id):
        if key_id != self.request["key"]:
            raise HTTPMessageSignaturesException("another key")
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key_id))

    def resolve_private_key(self, key_id):
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.request["seed"]))


def verify(request):
    """The components that the request's signature covers."""
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys(request))
    try:
        (result,) = verifier.verify(Message(request))
    except HTTPMessageSignaturesException as error:
        return {"refused": str(error)}
    return {"covered": [name.strip('"') for name in result.covered_components if "@signature-params" not in name]}


def sign(request):
    """The request's signature, by the key of the seed."""
    message = Message(request)
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(request["seed"])).public_key()
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Keys(request))
    created = datetime.datetime.now()
    signer.sign(message, key_id=key.public_bytes_raw().hex(), created=created, label="cloister", covered_component_ids=COMPONENTS)
    return {name: message.headers[name] for name in ("Signature-Input", "Signature")}


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("verify", "sign"):
        sys.exit(__doc__)
    json.dump({"verify": verify, "sign": sign}[sys.argv[1]](json.load(sys.stdin)), sys.stdout)
