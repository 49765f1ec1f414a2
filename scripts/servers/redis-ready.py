"""Waits until running Redis servers are what they are to be together. Called by redis.sh.

    redis-ready.py cluster PORT PORT PORT BUS BUS BUS
    redis-ready.py sentinel MASTER REPLICA SENTINEL SENTINEL SENTINEL

Makes a cluster of nodes that know no other yet.
"""

import socket
import sys
import time

SECONDS = 60
SLOTS = 16384


class Server:
    """Speaks RESP2, the little that is needed here."""

    def __init__(self, port):
        self.port = port
        self.lines = socket.create_connection(("127.0.0.1", port), timeout=SECONDS).makefile("rwb")

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


def cluster(ports):
    count = len(ports) // 2
    nodes = [Server(port) for port in ports[:count]]
    if nodes[0].info("CLUSTER INFO")["cluster_known_nodes"] == "1":
        for number, node in enumerate(nodes):
            first, end = SLOTS * number // count, SLOTS * (number + 1) // count
            node.ask("CLUSTER ADDSLOTSRANGE", first, end - 1)
            # Two nodes of the same epoch would have to settle that first.
            node.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for port, bus in list(zip(ports, ports[count:]))[1:]:
            nodes[0].ask("CLUSTER MEET 127.0.0.1", port, bus)

    def agreed(node):
        info = node.info("CLUSTER INFO")
        return info["cluster_state"] == "ok" and info["cluster_size"] == info["cluster_known_nodes"] == str(count)

    wait("a cluster", lambda: all(map(agreed, nodes)))


def sentinel(ports):
    sentinels = [Server(port) for port in ports[2:]]

    def knows(one):
        answer = one.ask("SENTINEL MASTER main")
        about = dict(zip(answer[::2], answer[1::2]))
        return about["num-slaves"] == "1" and about["num-other-sentinels"] == str(len(sentinels) - 1)

    wait("a master with a replica and its sentinels", lambda: all(map(knows, sentinels)))


if __name__ == "__main__":
    {"cluster": cluster, "sentinel": sentinel}[sys.argv[1]]([int(port) for port in sys.argv[2:]])
