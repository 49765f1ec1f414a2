"""Makes a replica set of running mongods, waits until it takes writes, and prints its URL.

    mongod-ready.py [--auth] [--tls FOLDER] PORT...

Does nothing to a set that is one already. Called by mongod.sh.
"""

import argparse
import sys
import time

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

SECONDS = 60
# Codes of the server.
UNAUTHORIZED, ALREADY_INITIALIZED, USER_EXISTS = 13, 23, 51003


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--auth", action="store_true")
    parser.add_argument("--tls", metavar="FOLDER")
    parser.add_argument("ports", nargs="+", type=int)
    given = parser.parse_args()

    options = {"serverSelectionTimeoutMS": 20_000}
    if given.tls:
        options |= {"tls": True, "tlsCAFile": f"{given.tls}/ca.crt",
                    "tlsCertificateKeyFile": f"{given.tls}/client.pem"}
    hosts = [f"127.0.0.1:{port}" for port in given.ports]
    initiate(MongoClient(hosts[0], directConnection=True, **options), hosts)
    client = MongoClient(hosts, replicaSet="rs0", **options)
    wait_for_members(client, hosts)
    if given.auth:
        create_users(hosts, options)
    print(url(hosts, given))


def initiate(member, hosts):
    members = [{"_id": number, "host": host, "priority": 2 if number == 0 else 1}
               for number, host in enumerate(hosts)]
    # The defaults are 10 s and 2 s: too long for tests of a failover.
    settings = {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500}
    try:
        member.admin.command("replSetInitiate", {"_id": "rs0", "members": members, "settings": settings})
    except OperationFailure as error:
        # With users, the second start is refused before it is looked at.
        if error.code not in (ALREADY_INITIALIZED, UNAUTHORIZED):
            raise


def wait_for_members(client, hosts):
    """Until there is a primary, and all others follow it."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            client.admin.command("hello")
            if client.primary and len(client.secondaries) == len(hosts) - 1:
                return
        except ConnectionFailure:
            pass
        time.sleep(0.05)
    sys.exit(f"mongod-ready: no primary after {SECONDS} s; nodes: {sorted(client.nodes)}")


def create_users(hosts, options):
    # The first user needs no login, from this machine; it makes the second, whose name is the certificate's.
    create(MongoClient(hosts, replicaSet="rs0", **options).admin, "root", pwd="rootpw",
           mechanisms=["SCRAM-SHA-1", "SCRAM-SHA-256"], roles=["root"])
    if "tls" in options:
        root = MongoClient(hosts, replicaSet="rs0", username="root", password="rootpw", **options)
        create(root["$external"], "CN=client,O=client", roles=[{"role": "root", "db": "admin"}])


def create(database, name, **options):
    try:
        database.command("createUser", name, **options)
    except OperationFailure as error:
        if error.code not in (UNAUTHORIZED, USER_EXISTS):
            raise


def url(hosts, given):
    user = "root:rootpw@" if given.auth else ""
    query = ["replicaSet=rs0"]
    if given.auth:
        query.append("authSource=admin")
    if given.tls:
        query += ["tls=true", f"tlsCAFile={given.tls}/ca.crt"]
    return f"mongodb://{user}{','.join(hosts)}/?{'&'.join(query)}"


if __name__ == "__main__":
    main()
