"""Checks a release bundle and its log without any code of this repository: usage BUNDLE LOG VKEY-FILE SIGNER-FILE.

Written from the specifications (C2SP signed-note, tlog-checkpoint, tlog-proof, tlog-tiles; RFC 9162; DSSE; in-toto). Needs
`cryptography`; where `securesystemslib` (DSSE) or `aics-tlog` (C2SP logs) is installed, it checks the same files too.
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

bundle_path, log, vkey_path, signer_path = map(pathlib.Path, sys.argv[1:])
bundle = json.loads(bundle_path.read_text())
part = {name: base64.b64decode(bundle[name], validate=True) for name in ("entry", "manifest", "reference_values", "sbom", "provenance")}


def sha(data):
    return hashlib.sha256(data).digest()


def mth(leaves):
    """RFC 9162 2.1.1, over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def path(m, leaves):
    """RFC 9162 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return path(m, leaves[:k]) + [mth(leaves[k:])] if m < k else path(m - k, leaves[k:]) + [mth(leaves[:k])]


def subproof(m, leaves, whole=True):
    """RFC 9162 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m <= k:
        return subproof(m, leaves[:k], whole) + [mth(leaves[k:])]
    return subproof(m - k, leaves[k:], False) + [mth(leaves[:k])]


# The key, and the note under it.
name, key_hash, key = vkey_path.read_text().strip().split("+", 2)
key = base64.b64decode(key, validate=True)
assert key[0] == 1 and len(key) == 33
assert sha(name.encode() + b"\n" + key)[:4].hex() == key_hash
proof, note = bundle["log_proof"].split("\n\n", 1)
assert note.encode() == (log / "checkpoint").read_bytes(), "the bundle has the log's newest checkpoint"
text, signature = note.rsplit("\n\n", 1)
mark, signer_name, signature = signature.removesuffix("\n").split(" ")
signature = base64.b64decode(signature, validate=True)
assert (mark, signer_name, signature[:4].hex()) == ("\u2014", name, key_hash)
Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], (text + "\n").encode())
origin, size, root = text.split("\n")
size, root = int(size), base64.b64decode(root, validate=True)
assert origin == name

# The log: fewer than 256 entries, so one partial tile of each kind.
data, entries = (log / f"tile/entries/000.p/{size}").read_bytes(), []
while data:
    end = 2 + int.from_bytes(data[:2], "big")
    entries.append(data[2:end])
    data = data[end:]
leaves = [sha(b"\x00" + entry) for entry in entries]
assert len(leaves) == size and (log / f"tile/0/000.p/{size}").read_bytes() == b"".join(leaves)
assert mth(leaves) == root
header, index, *hashes = proof.split("\n")
index = int(index.removeprefix("index "))
assert header == "c2sp.org/tlog-proof@v1"
assert entries[index] == part["entry"]
assert [base64.b64decode(text, validate=True) for text in hashes] == path(index, leaves)
for growth in bundle["consistency"]:
    assert [bytes.fromhex(text) for text in growth["hashes"]] == subproof(growth["from"], leaves)
assert [growth["from"] for growth in bundle["consistency"]] == list(range(1, size))

# What was logged, and who signed it.
entry = json.loads(part["entry"])
assert json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() == part["entry"]
for name_of_part in ("manifest", "reference_values", "sbom", "provenance"):
    assert entry[f"{name_of_part}_sha256"] == sha(part[name_of_part]).hex()
envelope = json.loads(part["provenance"])
payload = base64.b64decode(envelope["payload"], validate=True)
kind = envelope["payloadType"]
assert kind == "application/vnd.in-toto+json"
signer = bytes.fromhex(signer_path.read_text().strip())
pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
Ed25519PublicKey.from_public_bytes(signer).verify(base64.b64decode(envelope["signatures"][0]["sig"]), pae)
statement = json.loads(payload)
assert statement["_type"] == "https://in-toto.io/Statement/v1"
assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
manifest = json.loads(part["manifest"])
expected = {name: artifact["sha256"] for name, artifact in manifest["artifacts"].items()}
expected["manifest.json"] = entry["manifest_sha256"]
expected["reference-values.corim"] = entry["reference_values_sha256"]
expected["sbom.cdx.json"] = entry["sbom_sha256"]
assert {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]} == expected

others = []
try:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    keyid = envelope["signatures"][0]["keyid"]
    key = SSlibKey(keyid, "ed25519", "ed25519", {"public": signer.hex()})
    Envelope.from_dict(envelope).verify([key], 1)
    others.append("securesystemslib")
except ImportError:
    pass
try:
    import aics_tlog

    reader = aics_tlog.FileSystemTileReader(log)
    head = aics_tlog.verify_checkpoint(aics_tlog.parse_note(note.encode()), aics_tlog.parse_vkey(vkey_path.read_text().strip()))
    assert head.ok and (head.origin, head.size, head.root) == (name, size, root), head
    aics_tlog.audit_tiles(reader, size, root)
    assert aics_tlog.inclusion_proof_from_tiles(reader, index, size) == path(index, leaves)
    for old in range(1, size):
        assert aics_tlog.consistency_proof_from_tiles(reader, old, size) == subproof(old, leaves)
    others.append("aics-tlog")
except ImportError:
    pass
print(f"PASS {size} entries, {len(bundle['consistency'])} proofs of growth, {len(expected)} files {' '.join(others)}")
