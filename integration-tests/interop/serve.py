"""LlamaIndex's own stores behind JSON lines, for the interop suite.

    serve.py KIND URL

KIND is one of stores.py. Each line of stdin is a request, {"space": NAME, "op": "ROLE.NAME", "args": {…}}, and each has
one line of answer: {"ok": …} or {"error": TEXT}. A space is a store of its own on the server; its roles are made at
their first use. The op `all` performs a list of requests, one after the other, and answers null.
"""

import json
import sys

from roles import ROLES
from stores import KINDS


def perform(kind, url, spaces, request):
    if request["op"] == "all":
        for one in request["args"]["requests"]:
            perform(kind, url, spaces, one)
        return None
    space = request["space"]
    if space not in spaces:
        spaces[space] = kind(url, space)
    role, name = request["op"].split(".")
    answer = getattr(ROLES[role](spaces[space]), name)(**request["args"])
    spaces[space].done()
    return answer


def main(kind, url):
    # Whatever packages print is not an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    spaces = {}
    for line in sys.stdin:
        try:
            answer = {"ok": perform(KINDS[kind], url, spaces, json.loads(line))}
            # URLs and decimals are no JSON: they are shown as texts.
            text = json.dumps(answer, default=str)
        except Exception as error:
            text = json.dumps({"error": f"{type(error).__name__}: {error}"})
        answers.write(text + "\n")
        answers.flush()
    for space in spaces.values():
        space.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
