"""A client that knows nothing of evidence: whoever has a certificate of a public authority for the name is the node.

Usage: webpki_client.py PORT NAME ROOT_FILE PATH. Prints one JSON object: the answer's status, the key (SHA-256 of its
SubjectPublicKeyInfo) that the certificate is of, how many certificates were sent, or why the server was not believed.
"""

import hashlib
import http.client
import json
import socket
import ssl
import sys

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def main(port: str, name: str, root: str, path: str) -> dict:
    context = ssl.create_default_context(cafile=root)
    context.set_alpn_protocols(["http/1.1"])
    try:
        tls = context.wrap_socket(socket.create_connection(("127.0.0.1", int(port)), 10), server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return {"refused": error.verify_message}
    connection = http.client.HTTPConnection(name)
    connection.sock = tls
    connection.request("GET", path)
    status = connection.getresponse().status
    certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {
        "status": status,
        "spki_sha256": hashlib.sha256(key).hexdigest(),
        "names": names.get_values_for_type(x509.DNSName),
        "version": tls.version(),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:5])))
