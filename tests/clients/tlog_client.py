#!/usr/bin/env python3
"""A verifier of logged receipts, and a log that tests witnesses, written from specifications alone.

usage: tlog_client.py receipt BUNDLE.JSON [--witness VKEY]... [--needed K]
       tlog_client.py key --origin NAME --seed HEX32
       tlog_client.py witness --url http://HOST:PORT --witness VKEY --origin NAME --seed HEX32

`receipt` makes the checks of section 6.2 of docs/protocol.md on a bundle's receipt, attestation.keyset and log_proof, but
not whether the keyset was attested, and spoils digest and cosignatures to see them fail. `witness` is a log that begins:
the witness knows the key that `key` prints, and no head of it. From c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature,
tlog-proof, tlog-witness and RFC 9162. Prints `PASS name` per check and stops with `FAIL name reason` at the first that does
not hold. Needs `cryptography`.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519, COSIGNATURE = 0x01, 0x04  # signature types of signed-note
NUMBER, HASH, CLOCK_SECONDS_MAX = "(0|[1-9][0-9]{0,18})", "[A-Za-z0-9+/]{43}=", 60


def require(name: str, condition: object, reason: object = "") -> None:
    """Say that a check passed, or stop."""
    print(f"PASS {name}" if condition else f"FAIL {name} {reason!r}")
    if not condition:
        sys.exit(1)


def sha256(value: bytes) -> bytes:
    """A hash."""
    return hashlib.sha256(value).digest()


def canonical(value: object) -> str:
    """RFC 8785 for what ACI documents hold: ASCII names, strings, integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def to_base64(value: bytes) -> str:
    """RFC 4648, section 4."""
    return base64.b64encode(value).decode()


def flips(value: bytes) -> list[bytes]:
    """All that differ from a value in one bit."""
    return [(int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big") for bit in range(8 * len(value))]


def parse_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """A signed note: its text, and of each signature the name and what was in base64."""
    text, separator, lines = note.rpartition("\n\n")
    found = [re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/]{8,}={0,2})", line) for line in lines[:-1].split("\n")]
    if not separator or lines[-1:] != "\n" or None in found or any(c < " " and c != "\n" for c in note):
        raise ValueError(f"no signed note: {note}")
    return text + "\n", [(match[1], base64.b64decode(match[2])) for match in found]


class Key(NamedTuple):
    """An Ed25519 key of signed notes, with its name and signature type."""

    name: str
    kind: int
    public: bytes

    def key_id(self) -> bytes:
        """What stands before its signatures."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public)[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id().hex()}+{to_base64(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, vkey: str) -> "Key":
        """A witness's key, or ValueError."""
        name, _, material = vkey.split("+", 2)
        if str(key := cls(name, COSIGNATURE, base64.b64decode(material)[1:])) != vkey or len(key.public) != 32:
            raise ValueError(f"no key of a witness: {vkey}")
        return key

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether this is its signature of a text."""
        if self.kind == COSIGNATURE:
            seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            text = f"cosignature/v1\ntime {seconds}\n{text}"
            if seconds >= 1 << 63:
                return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True

    def signatures(self, note: str) -> list[bytes]:
        """Its signatures of a note; one that does not verify spoils the note."""
        text, found = parse_note(note)
        own = [blob[4:] for name, blob in found if (name, blob[:4]) == (self.name, self.key_id())]
        if not all(self.verifies(text, signature) for signature in own):
            require(f"signature.{self.name}", False, note)
        return own


def half(size: int) -> int:
    """RFC 9162, 2.1.1: the largest power of two below a size, 0 for 1."""
    return 1 << (size - 1).bit_length() >> 1


def climb(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162, 2.1.3.1, from the end: the root to which a path of the right length leads."""
    if index >= size or (size == 1) != (not path):
        require("inclusion", False, "the path is not of the right length")
    if size == 1:
        return leaf
    at, path, other = half(size), path[:-1], path[-1]
    nodes = (climb(leaf, index, at, path), other) if index < at else (other, climb(leaf, index - at, size - at, path))
    return sha256(b"\x01" + b"".join(nodes))


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, from hashes of leaves."""
    at = half(len(leaves))
    return sha256(b"\x01" + tree_root(leaves[:at]) + tree_root(leaves[at:])) if at else leaves[0]


def growth(old: int, leaves: list[bytes], known: bool = True) -> list[bytes]:
    """RFC 9162, 2.1.4.1: that a tree grew out of its first `old` leaves."""
    if old == len(leaves):
        return [] if known else [tree_root(leaves)]
    left, right = leaves[: (at := half(len(leaves)))], leaves[at:]
    return [*growth(old, left, known), tree_root(right)] if old <= at else [*growth(old - at, right, False), tree_root(left)]


def check_receipt(bundle: dict, witnesses: list[Key], needed: int | None) -> None:
    """Section 6.2, what a client that was given a proof checks."""
    receipt, keyset = bundle["receipt"], bundle["attestation"]["keyset"]
    require("receipt.keyset", receipt["workload_keyset_digest"] == f"sha256:{sha256(canonical(keyset).encode()).hex()}")
    keys = [key for key in keyset["receipt_signing_keys"] if (key["key_id"], key["algo"]) == (receipt["key_id"], "ed25519")]
    require("receipt.key", len(keys) == 1, receipt["key_id"])
    public = bytes.fromhex(keys[0]["public_key"])
    unsigned = canonical({name: receipt[name] for name in receipt if name != "signature"})
    require("receipt.signature", Key("", ED25519, public).verifies(unsigned, bytes.fromhex(receipt["signature"])))
    form, _, head = bundle["log_proof"].partition("\n\n")
    proof = re.fullmatch(rf"c2sp\.org/tlog-proof@v1\n(?:extra \S+\n)?index {NUMBER}((?:\n{HASH})*)", form)
    require("proof.form", proof, form)
    text = parse_note(head)[0]
    checkpoint = re.fullmatch(rf"([A-Za-z0-9._/-]+)\n{NUMBER}\n({HASH})\nround [0-9a-f]{{64}}\n", text)
    require("head.form", checkpoint, text)
    require("head.signature", Key(checkpoint[1], ED25519, public).signatures(head), head)
    path, root = list(map(base64.b64decode, proof[2].split())), base64.b64decode(checkpoint[3])
    digest, tag = sha256(canonical(receipt).encode()), b"cloister/receipt-log/receipt/v1"
    prefix = b"\x00" + len(tag).to_bytes(4, "big") + tag + len(digest).to_bytes(4, "big")
    roots = [climb(sha256(prefix + value), int(proof[1]), int(checkpoint[2]), path) for value in (digest, *flips(digest))]
    require("inclusion", roots[0] == root, form)
    require("can_fail.inclusion", root not in roots[1:])
    cosigned = {witness: signatures for witness in witnesses if (signatures := witness.signatures(head))}
    for witness, signatures in cosigned.items():
        require(f"witness.{witness.name}", signatures)
        wrongs = [wrong for right in signatures for wrong in flips(right)]
        require(f"can_fail.{witness.name}", not any(witness.verifies(text, wrong) for wrong in wrongs))
    count = len({witness.public for witness in cosigned})
    require("witnesses", count >= (len(witnesses) if needed is None else needed), count)


def log_key(name: str, private: Ed25519PrivateKey) -> Key:
    """The key of a log."""
    return Key(name, ED25519, private.public_key().public_bytes_raw())


def request(old: object, proof: list[bytes], head: str) -> str:
    """The body of add-checkpoint."""
    return "\n".join([f"old {old}", *map(to_base64, proof), "", head])


class Log:
    """A log, and the witness that it tests."""

    def __init__(self, origin: str, seed: str, url: str = "", witness: Key | None = None) -> None:
        self.own = (origin, Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)))
        self.stranger = (origin, Ed25519PrivateKey.from_private_bytes(sha256(bytes.fromhex(seed))))
        self.leaves, self.others = ([sha256(b"\x00%s %d" % (word, at)) for at in range(21)] for word in (b"entry", b"other"))
        self.address, self.witness = url.removeprefix("http://").rstrip("/"), witness

    def head(self, leaves: list[bytes], *extensions: str, origin: str = "", by: tuple = ()) -> str:
        """A checkpoint, signed by keys under names, or just by the log's."""
        text = "\n".join([origin or self.own[0], str(len(leaves)), to_base64(tree_root(leaves)), *extensions, ""])
        blobs = [(name, log_key(name, private).key_id() + private.sign(text.encode())) for name, private in by or [self.own]]
        return f"{text}\n" + "".join(f"— {name} {to_base64(blob)}\n" for name, blob in blobs)

    def post(self, body: str) -> tuple[int, str | None, str]:
        """Status, content type and body of the answer, which may come before all was sent."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/add-checkpoint", body.encode())
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"], answer.read().decode()

    def cosigns(self, name: str, old: int, proof: list[bytes], head: str) -> None:
        """The witness cosigns this text, now."""
        status, _, lines = self.post(request(old, proof, head))
        over_this = status == 200 and parse_note(head + lines)[0] == parse_note(head)[0]
        ages = over_this and [time.time() - int.from_bytes(found[:8], "big") for found in self.witness.signatures(head + lines)]
        require(name, ages and all(abs(age) <= CLOCK_SECONDS_MAX for age in ages), (status, lines, ages))

    def refuses(self, name: str, statuses: set[int], body: str, size: int | None = None) -> None:
        """The witness answers with this status, and where it is to say a size, with this one."""
        status, kind, text = self.post(body)
        said = size is None or (kind, text) == ("text/x.tlog.size", f"{size}\n")
        require(name, status in statuses and said, (status, kind, text))


def check_growth(log: Log) -> None:
    """A log that begins, and what the witness says of its size; it is at 8 then."""
    three, eight = log.leaves[:3], log.leaves[:8]
    log.refuses("first.proof_not_empty", {400, 422}, request(0, [tree_root(three)], log.head(three)))
    log.refuses("first.old_not_zero", {409}, request(2, growth(2, three), log.head(three)), 0)
    log.cosigns("first", 0, [], log.head(three))
    log.cosigns("again", 3, [], log.head(three))
    log.refuses("again.from_zero", {409}, request(0, [], log.head(three)), 3)
    log.cosigns("growth", 3, growth(3, eight), log.head(eight))
    log.refuses("smaller", {409}, request(3, [], log.head(three)), 8)
    log.refuses("smaller.growth", {409}, request(3, growth(3, eight[:5]), log.head(eight[:5])), 8)


def check_refusals(log: Log) -> None:
    """What a witness at 8 does not cosign."""
    eight, head, full, proof = log.leaves[:8], log.head(log.leaves[:8]), log.head(log.leaves), growth(8, log.leaves)
    log.refuses("other_root", {409}, request(8, [], log.head(log.others[:8])))
    log.refuses("other_tree", {422}, request(8, growth(8, log.others), log.head(log.others)))
    log.refuses("other_tree.right_proof", {422}, request(8, proof, log.head(log.others)))
    wrongs = {f"flipped.{at}": [*proof[:at], flips(right)[at], *proof[at + 1 :]] for at, right in enumerate(proof)}
    for name, wrong in {**wrongs, "none": [], "short": proof[:-1], "long": [*proof, proof[0]]}.items():
        log.refuses(f"proof.{name}", {422}, request(8, wrong, full))
    log.refuses("proof.64_lines", {400}, request(8, [*proof, *[proof[0]] * (64 - len(proof))], full))
    log.refuses("proof.base64", {400}, request(8, proof, full).replace("\n", "\n*garbage*\n", 1))
    log.refuses("old.larger", {400}, request(9, [], head))
    log.refuses("old.missing", {400}, request(8, proof, full).partition("\n")[2])
    for name, old in {"leading_zero": "08", "zeros": "00", "sign": "+8", "space": " 8", "word": "eight"}.items():
        log.refuses(f"old.{name}", {400}, request(old, proof, full))
    other = ("unknown.example/log", log.own[1])
    log.refuses("unknown_origin", {404}, request(0, [], log.head(eight, origin=other[0], by=(other,))))
    log.refuses("unknown_origin.our_name", {404}, request(0, [], log.head(eight, origin=other[0])))
    log.refuses("stranger", {403}, request(8, [], log.head(eight, by=(log.stranger,))))
    log.refuses("other_name", {403}, request(8, [], log.head(eight, by=(other,))))
    log.refuses("changed_after_signing", {403}, request(8, proof, full.replace("\n21\n", "\n22\n", 1)))


def check_notes(log: Log) -> None:
    """Notes with several signatures and extensions, load, and that refusals changed nothing."""
    eight = log.leaves[:8]
    log.cosigns("two_signatures.ours_first", 8, [], log.head(eight, by=(log.own, log.stranger)))
    log.cosigns("two_signatures.ours_last", 8, [], log.head(eight, by=(log.stranger, log.own)))
    log.cosigns("sixteen_signatures", 8, [], log.head(eight, by=(*[log.stranger] * 15, log.own)))
    large = "".join(f"— pq{at}.example {to_base64(bytes(4900))}\n" for at in range(15))
    log.cosigns("sixteen_large_signatures", 8, [], log.head(eight) + large)
    log.cosigns("extensions", 8, [], log.head(eight, "round 7", "— and another"))
    log.refuses("large", {400, 413}, request(8, [], log.head(eight, by=(log.own, *[log.stranger] * 11_000))))
    log.cosigns("after_refusals", 8, growth(8, log.leaves), log.head(log.leaves))
    forks = [[*log.leaves, sha256(b"fork %d" % at)] for at in range(16)]
    with concurrent.futures.ThreadPoolExecutor(len(forks)) as pool:
        statuses = sorted(status for status, _, _ in pool.map(log.post, [request(21, growth(21, fork), log.head(fork)) for fork in forks]))
    require("forks_at_once", statuses == [200, *[409] * 15], statuses)


def main() -> None:
    """Run the checks and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    receipt, key, witness = (modes.add_parser(name) for name in ("receipt", "key", "witness"))
    receipt.add_argument("bundle", type=Path)
    receipt.add_argument("--witness", action="append", default=[], metavar="VKEY", help="a witness's key; repeatable")
    receipt.add_argument("--needed", type=int, help="how many of them must have cosigned; all, unless given")
    for mode, name in ((key, "origin"), (key, "seed"), (witness, "url"), (witness, "witness"), (witness, "origin"), (witness, "seed")):
        mode.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    try:
        if arguments.mode == "receipt":
            check_receipt(json.loads(arguments.bundle.read_text()), [Key.parse(vkey) for vkey in arguments.witness], arguments.needed)
        elif arguments.mode == "key":
            print(log_key(*Log(arguments.origin, arguments.seed).own))
        else:
            log = Log(arguments.origin, arguments.seed, arguments.url, Key.parse(arguments.witness))
            for check in (check_growth, check_refusals, check_notes):
                check(log)
    except (ValueError, LookupError, TypeError, AttributeError, OSError, http.client.HTTPException) as error:
        require("form", False, error)


if __name__ == "__main__":
    main()
