"""Waits until running Redis servers are what they are to be together. Called by redis.sh.

    redis-ready.py cluster CA PORT... BUS...
    redis-ready.py sentinel USER_AND_PASSWORD MASTER REPLICA SENTINEL SENTINEL SENTINEL

CA is empty where there is no TLS, the user where there are none. Makes a cluster of nodes that know no other yet: three
masters, the others their replicas.
"""

import socket
import ssl
import sys
import time

SECONDS = 60
SLOTS = 16384
MASTERS = 3


class Server:
    """Speaks RESP2, the little that is needed here."""

    def __init__(self, port, ca="", user=""):
        self.port = port
        connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        if ca:
            connection = ssl.create_default_context(cafile=ca).wrap_socket(connection, server_hostname="127.0.0.1")
        self.lines = connection.makefile("rwb")
        if user:
            self.ask("AUTH", user)

    def ask(self, *words):
        self.lines.write(" ".join(map(str, words)).encode() + b"\r\n")
        self.lines.flush()
        return self.answer()

    def answer(self):
        kind, rest = (line := self.lines.readline().decode().rstrip())[:1], line[1:]
        if kind == "*":
            return [self.answer() for _ in range(int(rest))]
        if kind == "$":
            return self.lines.read(int(rest) + 2)[:-2].decode()
        if kind in ("+", ":"):
            return rest
        sys.exit(f"redis-ready: {self.port} says {line!r}")

    def info(self, *words):
        return dict(line.split(":", 1) for line in self.ask(*words).splitlines() if ":" in line)


def wait(what, done):
    end = time.monotonic() + SECONDS
    while not done():
        if time.monotonic() > end:
            sys.exit(f"redis-ready: {what} not after {SECONDS} s")
        time.sleep(0.05)


def cluster(ca, ports):
    count = len(ports) // 2
    nodes = [Server(port, ca=ca) for port in ports[:count]]
    masters, replicas = nodes[:MASTERS], nodes[MASTERS:]
    if nodes[0].info("CLUSTER INFO")["cluster_known_nodes"] == "1":
        for number, node in enumerate(nodes):
            # Two nodes of the same epoch would have to settle that first.
            node.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(masters):
            first, end = SLOTS * number // MASTERS, SLOTS * (number + 1) // MASTERS
            node.ask("CLUSTER ADDSLOTSRANGE", first, end - 1)
        for port, bus in list(zip(ports, ports[count:]))[1:]:
            nodes[0].ask("CLUSTER MEET 127.0.0.1", port, bus)
        for master, replica in zip(masters, replicas):
            name = master.ask("CLUSTER MYID")
            wait("acquaintance", lambda: name in replica.ask("CLUSTER NODES"))
            replica.ask("CLUSTER REPLICATE", name)

    def agreed(node):
        info = node.info("CLUSTER INFO")
        return (info["cluster_state"] == "ok" and info["cluster_size"] == str(MASTERS)
                and info["cluster_known_nodes"] == str(count))

    wait("a cluster", lambda: all(map(agreed, nodes)))
    wait("replicas", lambda: all(replica.info("INFO replication").get("master_link_status") == "up"
                                 for replica in replicas))

    # Clients are told of a replica after it was given something, if only a ping.
    def listed(node):
        return sum(len(servers) - 1 for _, _, *servers in node.ask("CLUSTER SLOTS"))

    wait("listed replicas", lambda: all(listed(node) == len(replicas) for node in nodes))


def sentinel(user, ports):
    sentinels = [Server(port, user=user) for port in ports[2:]]

    def knows(one):
        answer = one.ask("SENTINEL MASTER main")
        about = dict(zip(answer[::2], answer[1::2]))
        return about["num-slaves"] == "1" and about["num-other-sentinels"] == str(len(sentinels) - 1)

    wait("a master with a replica and its sentinels", lambda: all(map(knows, sentinels)))


if __name__ == "__main__":
    {"cluster": cluster, "sentinel": sentinel}[sys.argv[1]](sys.argv[2], [int(port) for port in sys.argv[3:]])
