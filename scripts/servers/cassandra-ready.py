"""Waits until Cassandra nodes answer and know each other. Called by cassandra.sh.

    cassandra-ready.py USER_AND_PASSWORD FOLDER_OF_TLS PORT...

The first two are empty where there are none.
"""

import socket
import ssl
import struct
import sys
import time

SECONDS = 120
STARTUP, READY, AUTHENTICATE, QUERY, RESULT, AUTH_RESPONSE, AUTH_SUCCESS = 1, 2, 3, 7, 8, 15, 16
ONE, ROWS = 1, 2


class Node:
    """Speaks version 4 of the native protocol, the little that is needed here."""

    def __init__(self, port, user, tls):
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        if tls:
            context = ssl.create_default_context(cafile=f"{tls}/ca.crt")
            context.load_cert_chain(f"{tls}/client.pem")
            self.connection = context.wrap_socket(self.connection, server_hostname="localhost")
        version = [text.encode() for text in ("CQL_VERSION", "3.0.0")]
        code, _ = self.ask(STARTUP, struct.pack(">H", 1) + b"".join(struct.pack(">H", len(text)) + text for text in version))
        if code == AUTHENTICATE:
            token = b"".join(b"\0" + word.encode() for word in user.split())
            code, answer = self.ask(AUTH_RESPONSE, struct.pack(">i", len(token)) + token)
            assert code == AUTH_SUCCESS, answer
        else:
            assert code == READY, code

    def ask(self, code, body):
        self.connection.sendall(struct.pack(">BBhBI", 4, 0, 0, code, len(body)) + body)
        _, _, _, code, length = struct.unpack(">BBhBI", self.read(9))
        return code, self.read(length)

    def read(self, length):
        data = b""
        while len(data) < length:
            data += self.connection.recv(length - len(data)) or sys.exit("cassandra-ready: the connection was closed")
        return data

    def peers(self):
        """How many other nodes it tells its clients of."""
        text = b"SELECT native_port FROM system.peers_v2"
        code, answer = self.ask(QUERY, struct.pack(">I", len(text)) + text + struct.pack(">HB", ONE, 0))
        assert code == RESULT and struct.unpack(">i", answer[:4])[0] == ROWS, answer
        # Kind, flags, number of columns; keyspace, table and column, each a text; the column's type; the number of rows.
        place = 12
        for _ in range(3):
            place += 2 + struct.unpack_from(">H", answer, place)[0]
        return struct.unpack_from(">i", answer, place + 2)[0]


def ready(port, user, tls, others):
    try:
        return Node(port, user, tls).peers() == others
    except (OSError, AssertionError):
        return False


if __name__ == "__main__":
    user, tls, *ports = sys.argv[1:]
    end = time.monotonic() + SECONDS
    for port in map(int, ports):
        while not ready(port, user, tls, len(ports) - 1):
            if time.monotonic() > end:
                sys.exit(f"cassandra-ready: {port} is not ready after {SECONDS} s")
            time.sleep(0.1)
