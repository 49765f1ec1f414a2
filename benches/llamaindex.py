"""The workloads of `nodestore bench` on LlamaIndex's stores, one group in one process.

    llamaindex.py CORPUS documents|chat|vectors|reader [--backend NAME --store URL] [--batch N] [--persist]

CORPUS is a folder written by `nodestore bench --write-corpus`. Prints the figures as JSON, with the names that
`nodestore bench --json` gives them. What is made on a server has a name of its own, and is removed at the end.

Without a backend it is the stores in memory. They keep everything there; `persist` writes all of it to a file. Without
--persist the writes are timed in memory, and one `persist` after them has a figure of its own. With --persist only the
writes are done, each call followed by a `persist`: what it takes to lose nothing.
"""

import argparse
import gc
import itertools
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

from llama_index.core.llms import ChatMessage  # noqa: E402
from llama_index.core.storage.docstore.utils import json_to_doc  # noqa: E402
from llama_index.core.vector_stores import ExactMatchFilter, MetadataFilters, VectorStoreQuery  # noqa: E402

import stores  # noqa: E402

# As in the program.
IDS, LISTINGS, DELETED, NODES_IN_DOCUMENT = 100, 5, 10, 20
MESSAGES, READS, APPENDS = 500, 20, 50
HISTORIES = [(10, "append at 10"), (2000, "append at 2,000"), (20_000, "append at 20,000")]
TOP, WIDTH, LOADS = 10, 8, 5

figures = []


def peak_memory():
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def forget_peak_memory():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


class Meter:
    """Times calls; making what they need does not count."""

    def __init__(self, workload, part, unit):
        self.figure = {"workload": workload, "part": part, "unit": unit, "answers": None}
        self.items, self.elapsed, self.apart, self.calls = 0, 0.0, 0.0, []
        gc.collect()
        forget_peak_memory()
        self.cpu = time.process_time()

    def prepare(self, make):
        before = time.thread_time()
        made = make()
        self.apart += time.thread_time() - before
        return made

    def call(self, items, call, *arguments):
        start = time.perf_counter()
        answer = call(*arguments)
        taken = time.perf_counter() - start
        self.items += items
        self.elapsed += taken
        self.calls.append(taken)
        return answer

    def at_once(self, width, call, each):
        def timed(one):
            start = time.perf_counter()
            call(one)
            return time.perf_counter() - start

        start = time.perf_counter()
        with ThreadPoolExecutor(width) as pool:
            self.calls += pool.map(timed, each)
        self.elapsed += time.perf_counter() - start
        self.items += len(each)

    def finish(self):
        calls = sorted(self.calls)
        at = lambda share: calls[min(len(calls) - 1, int(share * len(calls)))] * 1e3  # noqa: E731
        figures.append(self.figure | {
            "items": self.items,
            "calls": len(calls),
            "per_second": self.items / self.elapsed,
            "seconds": self.elapsed,
            "latency_ms": {"p50": statistics.median(calls) * 1e3, "p90": at(.9), "p99": at(.99), "max": calls[-1] * 1e3},
            "cpu_seconds": time.process_time() - self.cpu - self.apart,
            "peak_memory_bytes": peak_memory(),
        })


def lines(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def nodes(corpus, embedded):
    for line in lines(corpus / "nodes.jsonl"):
        if not embedded:
            line["__data__"]["embedding"] = None
        yield json_to_doc(line)


def batches(items, size):
    return iter(lambda: list(itertools.islice(items, size)), [])


class Run:
    """One group on one kind of stores."""

    def __init__(self, options, made, folder):
        self.made, self.folder, self.corpus, self.batch = made, folder, options.corpus, options.batch
        self.always = options.persist
        self.in_memory = isinstance(made, stores.Memory)
        self.wanted = () if self.always else made.WORKLOADS[options.group].split(",")

    def write(self, workload, part, unit, given, call, persist):
        """A bulk write. In memory: with one persist after it, or with a persist after every call."""
        meter = Meter(workload, part, unit)
        given = batches(given, self.batch)
        while batch := meter.prepare(lambda: next(given, [])):
            if self.always:
                meter.call(len(batch), lambda: (call(batch), persist()))
            else:
                meter.call(len(batch), call, batch)
        meter.finish()
        if not self.always:
            self.write_out(workload, unit, persist)

    def write_out(self, workload, unit, persist):
        if self.in_memory:
            meter = Meter(workload, "persist", unit)
            meter.call(1, persist)
            meter.finish()


def documents(run):
    store = run.made.documents()

    def persist():
        store.persist(str(run.folder / "docstore.json"))

    ids, sources = [], {}

    def given():
        for node in nodes(run.corpus, embedded=False):
            ids.append(node.node_id)
            sources.setdefault(node.ref_doc_id)
            yield node

    run.write("D1", "add", "nodes", given(), store.add_documents, persist)
    if "D2" in run.wanted:
        meter = Meter("D2", "read by id", "nodes")
        for some in batches(iter(ids), IDS):
            found = meter.call(len(some), store.get_nodes, some)
            assert meter.prepare(lambda: [node.node_id for node in found]) == some  # noqa: B023
        meter.finish()
    if "D3" in run.wanted:
        meter = Meter("D3", "list hashes", "hashes")
        for _ in range(LISTINGS):
            assert len(meter.call(len(ids), store.get_all_document_hashes)) == len(ids)
        meter.finish()
        meter = Meter("D3", "list sources", "documents")
        for _ in range(LISTINGS):
            assert len(meter.call(len(sources), store.get_all_ref_doc_info)) == len(sources)
        meter.finish()
    if "D4" in run.wanted:
        meter = Meter("D4", "delete", "documents")
        deleted = list(sources)[::DELETED]
        for source in deleted:
            meter.call(1, store.delete_ref_doc, source)
        meter.finish()
        assert len(store.get_all_document_hashes()) == len(ids) - NODES_IN_DOCUMENT * len(deleted)
        run.write_out("D4", "documents", persist)


def chat(run):
    if run.always:
        # In 0.14.25 the serializer of SimpleChatStore raises with the pydantic that comes with it.
        sys.exit("SimpleChatStore.persist is not measured")
    store = run.made.chat()

    def messages(start, end):
        # Read anew: what waits to be written is not the store's memory.
        given = itertools.islice(lines(run.corpus / "messages.jsonl"), start, end)
        return [ChatMessage(**line) for line in given]

    session = run.made.session("session")
    meter = Meter("C1", "append", "messages")
    for message in meter.prepare(lambda: messages(0, MESSAGES)):
        meter.call(1, store.add_message, session, message)
    meter.finish()
    meter = Meter("C2", "read back", "messages")
    for _ in range(READS):
        assert len(meter.call(MESSAGES, store.get_messages, session)) == MESSAGES
    meter.finish()
    for length, part in HISTORIES:
        if length > run.made.LONGEST:
            continue
        session = run.made.session(f"session-{length}")
        store.set_messages(session, messages(0, length))
        meter = Meter("C3", part, "messages")
        for message in meter.prepare(lambda: messages(length, length + APPENDS)):  # noqa: B023
            meter.call(1, store.add_message, session, message)
        meter.finish()
        assert len(store.get_messages(session)) == length + APPENDS


def vectors(run):
    store = run.made.vectors()

    def add(batch):
        assert len(store.add(batch)) == len(batch)

    def persist():
        store.persist(str(run.folder / "default__vector_store.json"))

    run.write("V1", "add", "nodes", map(run.made.node, nodes(run.corpus, embedded=True)), add, persist)
    queries = list(lines(run.corpus / "queries.jsonl"))

    def filtered(line):
        return MetadataFilters(filters=[ExactMatchFilter(key="group", value=line["group"])])

    for workload, single, many, filters in [
        ("V2", "query", "query, 8 at once", lambda _: None),
        ("V3", "filter", "filter, 8 at once", filtered),
    ]:
        if workload not in run.wanted:
            continue
        made = [VectorStoreQuery(query_embedding=line["embedding"], similarity_top_k=TOP, filters=filters(line))
                for line in queries]
        meter = Meter(workload, single, "queries")
        answers = 0xCBF29CE484222325
        for query in made:
            answer = meter.call(1, store.query, query)
            for byte in meter.prepare(lambda: "".join(f"{id}\n" for id in run.made.ids(answer)).encode()):  # noqa: B023
                answers = (answers ^ byte) * 0x100000001B3 % (1 << 64)
        meter.figure["answers"] = f"{answers:016x}"
        meter.finish()
        meter = Meter(workload, many, "queries")
        meter.at_once(WIDTH, store.query, made)
        meter.finish()


def reader(run):
    count, load = run.made.reader(batches(nodes(run.corpus, embedded=False), run.batch))
    meter = Meter("R1", "read all", "documents")
    for _ in range(LOADS):
        assert len(meter.call(count, load)) == count
    meter.finish()


def main():
    groups = {"documents": documents, "chat": chat, "vectors": vectors, "reader": reader}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("group", choices=groups)
    parser.add_argument("--backend", choices=stores.KINDS, default="memory")
    parser.add_argument("--store", metavar="URL")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--persist", action="store_true")
    options = parser.parse_args()
    started = peak_memory()
    made = stores.KINDS[options.backend](options.store, f"bench{secrets.token_hex(6)}", options.batch)
    with tempfile.TemporaryDirectory(dir=options.corpus) as folder:
        try:
            groups[options.group](Run(options, made, Path(folder)))
        finally:
            made.clear()
    print(json.dumps({"started_memory_bytes": started, "figures": figures}))


main()
