"""Median times of Python verifiers on evidence named on standard input (JSON), one `<platform> <name> <seconds>` a line.

`snp` and `gpu` are verified here with `cryptography`: certificate chain and report signature, and nothing else. `tdx` is
`dcap_qvl`'s own verification.
"""

import base64
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cryptography
import dcap_qvl
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA384

ROUNDS = 101


def median_seconds(work: Callable[[], object]) -> float:
    """Median time of one call."""
    work()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def require_rsa(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """RSASSA-PSS with SHA-384 and 48 bytes of salt."""
    issuer.public_key().verify(
        certificate.signature,
        certificate.tbs_certificate_bytes,
        padding.PSS(padding.MGF1(SHA384()), 48),
        SHA384(),
    )


def require_p384(key: ec.EllipticCurvePublicKey, message: bytes, r: bytes, s: bytes) -> None:
    """ECDSA with SHA-384; r and s are big-endian."""
    signature = utils.encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    key.verify(signature, message, ec.ECDSA(SHA384()))


def verify_snp(report: bytes, vek_der: bytes, intermediate_der: bytes, root_der: bytes) -> None:
    """Key by intermediate, intermediate by root, root by itself, report by key."""
    vek, intermediate, root = map(x509.load_der_x509_certificate, (vek_der, intermediate_der, root_der))
    require_rsa(root, root)
    require_rsa(intermediate, root)
    require_rsa(vek, intermediate)
    r, s = report[0x2A0 : 0x2A0 + 72][::-1], report[0x2A0 + 72 : 0x2A0 + 144][::-1]
    require_p384(vek.public_key(), report[:0x2A0], r, s)


def verify_gpu(report: bytes, chain_pem: bytes) -> None:
    """Each certificate by the next, report by the first."""
    chain = x509.load_pem_x509_certificates(chain_pem)
    for certificate, issuer in zip(chain, chain[1:]):
        issuer.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(SHA384()))
    require_p384(chain[0].public_key(), report[:-96], report[-96:-48], report[-48:])


def main() -> None:
    """Print every median."""
    # AMD gives every endorsement key the serial number 0, which the library announces it will refuse one day.
    warnings.simplefilter("ignore")
    wanted = json.load(sys.stdin)
    vectors = Path(wanted["vectors"])
    library = f"cryptography {cryptography.__version__} (Python)"

    snp = [bytes.fromhex(wanted["snp"][name]) for name in ("report", "vek", "intermediate", "root")]
    print(f"snp {library}: 3 RSA, 1 P-384, no policy {median_seconds(lambda: verify_snp(*snp))}")

    folder, at = vectors / wanted["tdx"]["case"], wanted["tdx"]["at"]
    quote = (folder / "quote.bin").read_bytes()
    collateral = dcap_qvl.QuoteCollateralV3.from_json((folder / "collateral.json").read_text())
    print(f"tdx dcap_qvl 0.7.0 (Python) {median_seconds(lambda: dcap_qvl.verify(quote, collateral, at))}")

    evidence = json.loads((vectors / wanted["gpu"] / "evidence.json").read_text())
    report, chain = (base64.b64decode(evidence[name]) for name in ("evidence", "certificate"))
    print(f"gpu {library}: 4 P-384 and report, no policy {median_seconds(lambda: verify_gpu(report, chain))}")


if __name__ == "__main__":
    main()
