"""A TLS server with one of these faults, by OpenSSL's own doing; `right` has none.

`name`: it has no certificate for the name; `old`: TLS 1.1 at most; `cipher`: no cipher suite that is left;
`failed`: it fails within. Takes a port of this host, its certificate and its key, and logs `listening`.
"""

import socket
import ssl
import sys

fault, port, chain, key = sys.argv[1:]


def settings():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    if fault == "old":
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if fault == "cipher":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-SHA")
    alerts = {
        "name": ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME,
        "failed": ssl.ALERT_DESCRIPTION_INTERNAL_ERROR,
    }
    if fault in alerts:
        context.sni_callback = lambda *_: alerts[fault]
    return context


context = settings()
listener = socket.create_server(("127.0.0.1", int(port)))
print("listening", file=sys.stderr, flush=True)
while True:
    connection, _ = listener.accept()
    try:
        connection.settimeout(10)
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)
    except OSError:
        connection.close()
