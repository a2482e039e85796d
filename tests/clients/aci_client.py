#!/usr/bin/env python3
"""A client of the ACI protocol (aci/1), written from its specification alone.

usage: aci_client.py --port PORT --root ROOT.PEM [--exchange EXCHANGE.JSON]

Connects to a service on loopback, asks for its report under a fresh nonce, and makes the checks of
section 9.1 that need no policy; with --exchange also those of section 9.3 on one receipt, from
{"receipt": {...}, "request": "<base64>", "response": "<base64>"}. Prints `PASS id` per check and
stops with `FAIL id reason` at the first that does not hold. Needs `cryptography`.
"""

import argparse
import base64
import hashlib
import http.client
import json
import secrets
import ssl
import sys
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, utils

DAYS_PLAUSIBLE = 31
# AMD's report: what is signed, where REPORT_DATA is, and r and s, little endian, in 72 bytes each.
SIGNED_BYTES, REPORT_DATA, SIGNATURE, COMPONENT = 0x2A0, slice(0x50, 0x90), 0x2A0, 72


class Failure(Exception):
    """A check did not hold."""


def require(name: str, condition: object, reason: object = "") -> None:
    """Say that a check passed, or stop."""
    if not condition:
        raise Failure(f"{name} {reason}")
    print(f"PASS {name}")


def digest(value: bytes) -> str:
    """A digest field."""
    return "sha256:" + hashlib.sha256(value).hexdigest()


def canonical(value: object) -> bytes:
    """RFC 8785 for what ACI documents hold: ASCII names, strings, integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Service:
    """One TLS connection, whose certificate is looked at and not trusted."""

    def __init__(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        self.connection.connect()
        certificate = x509.load_der_x509_certificate(self.connection.sock.getpeercert(binary_form=True))
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.spki_sha256 = hashlib.sha256(spki).hexdigest()

    def get(self, path: str) -> tuple[http.client.HTTPResponse, dict]:
        """A response and its JSON."""
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        return response, json.loads(response.read())


def check_hardware(attestation: dict, root_pem: bytes) -> None:
    """9.1 (1) for sev_snp: the report is signed under the named root and carries report_data, then zeros."""
    require("tee_type", attestation["tee_type"] == "sev_snp", attestation["tee_type"])
    evidence = attestation["evidence"]
    report = base64.b64decode(evidence["report"])
    endorsements = evidence["endorsements"]["sev-snp"]
    root = x509.load_pem_x509_certificate(root_pem)
    intermediate, vek = (x509.load_der_x509_certificate(base64.b64decode(endorsements[name])) for name in ("intermediate", "vek"))
    for child, parent in ((intermediate, root), (vek, intermediate)):
        parent.public_key().verify(
            child.signature, child.tbs_certificate_bytes, padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384()
        )
    r, s = (int.from_bytes(report[at : at + COMPONENT], "little") for at in (SIGNATURE, SIGNATURE + COMPONENT))
    vek.public_key().verify(utils.encode_dss_signature(r, s), report[:SIGNED_BYTES], ec.ECDSA(hashes.SHA384()))
    require("hardware.report_data", report[REPORT_DATA].hex() == attestation["report_data"] + "00" * 32)


def check_identity(service: Service, root_pem: bytes) -> dict:
    """Section 9.1; the keyset."""
    nonce = secrets.token_hex(32)
    response, report = service.get(f"/v1/aci/attestation?nonce={nonce}")
    require("status", response.status == 200, f"{response.status} {report}")
    require("headers", response.headers["x-aci-version"] == "aci/1" == report["api_version"])
    attestation = report["attestation"]
    check_hardware(attestation, root_pem)
    keyset = attestation["workload_keyset"]
    keyset_digest = digest(canonical(keyset))
    require("keyset_digest", keyset_digest == report["workload_keyset_digest"] == response.headers["x-aci-keyset-digest"])
    statement = f'{{"keyset_digest":"{keyset_digest}","nonce":"{nonce}","purpose":"aci.report_data.v1"}}'
    require("statement", hashlib.sha256(statement.encode()).hexdigest() == attestation["report_data"])
    now = time.time()
    require("not_after", now < keyset["not_after"] < now + DAYS_PLAUSIBLE * 86400)
    require("channel", service.spki_sha256 in [key["spki_sha256"] for key in keyset["tls_public_keys"]])
    require("provenance", set(attestation["source_provenance"]) == {"repo_url", "repo_commit", "image_digest", "image_provenance"})
    capabilities = report["service_capabilities"]
    require("capabilities", capabilities == {"supported_e2ee_versions": [], "serving": "direct"}, capabilities)
    return keyset


def check_unchallenged(service: Service, keyset: dict) -> None:
    """3.2: the form without a nonce, and nonces that are none."""
    _, report = service.get("/v1/aci/attestation")
    statement = f'{{"keyset_digest":"{digest(canonical(keyset))}","nonce":null,"purpose":"aci.report_data.v1"}}'
    require("unchallenged", hashlib.sha256(statement.encode()).hexdigest() == report["attestation"]["report_data"])
    for wrong in ("", "0" * 63, "0" * 65, "A" * 64, "g" * 64):
        response, body = service.get(f"/v1/aci/attestation?nonce={wrong}")
        require(f"nonce_refused.{len(wrong)}", (response.status, body["error"]["type"]) == (400, "invalid_request_error"), body)
    response, body = service.get("/v1/aci/receipts/rcpt-of-somebody")
    require("receipt.unauthorized", (response.status, body["error"]["type"]) == (401, "unauthorized"), body)


def check_exchange(keyset: dict, exchange: dict) -> None:
    """Section 9.3."""
    receipt = dict(exchange["receipt"])
    signature = bytes.fromhex(receipt.pop("signature"))
    keys = {key["key_id"]: key for key in keyset["receipt_signing_keys"] if key["algo"] == "ed25519"}
    key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys[receipt["key_id"]]["public_key"]))
    key.verify(signature, canonical(receipt))
    require("receipt.signature", True)
    require("receipt.document", receipt["api_version"] == "aci/1" and receipt["workload_keyset_digest"] == digest(canonical(keyset)))
    events = receipt["event_log"]
    require("receipt.first_event", events[0]["type"] == "request.received")
    hashed = {event["type"]: event.get("body_hash") for event in events}
    for name, kind in (("request", "request.received"), ("response", "response.returned")):
        require(f"receipt.{name}", hashed[kind] == digest(base64.b64decode(exchange[name])), hashed)


def main() -> int:
    """Run the checks and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True, help="the vendor's root, PEM")
    parser.add_argument("--exchange", type=Path, action="append", default=[], help="a receipt with its bodies; repeatable")
    arguments = parser.parse_args()
    try:
        service = Service(arguments.port)
        keyset = check_identity(service, arguments.root.read_bytes())
        check_unchallenged(service, keyset)
        for exchange in arguments.exchange:
            check_exchange(keyset, json.loads(exchange.read_text()))
    except Failure as failure:
        print(f"FAIL {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
