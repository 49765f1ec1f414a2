"""The vector benchmark: exact top-10 on one thread, against a plain read of the memory, faiss and numpy.

    benches/run vectors [--rows N] [--dimensions D] [--rounds R] [--json FILE]

Both sides load the same random unit vectors and take turns, round after round; odd rounds run in reverse order.
A wall time is the median over the rounds of the round's median. The ids of both sides must agree. One thread each.

Speedups are given in wall time and in CPU time. On a quiet machine they agree; on a busy one the CPU time is the one
to look at, as waiting for a core is not in it (waiting for memory is). Goals are judged by the CPU time where the
system tells it (Linux), else by wall time. The exit code is 1 when ids differ, and with --check when a goal is missed.

"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import faiss  # noqa: E402
import numpy as np  # noqa: E402

TOP = 10
BATCH = 32
SINGLE_CALLS = 16
BATCH_CALLS = 3
CARGO = ["cargo", "bench", "--quiet", "--locked", "--package", "nodestore-benches", "--bench", "vectors", "--no-run",
         "--message-format", "json-render-diagnostics"]

# What, better by, compared with, at least. Speedups: the other's time divided by ours.
GOALS = [
    ("single dot", "plain read", 1 / 1.15),
    ("single cosine", "plain read", 1 / 1.15),
    ("single dot", "faiss IndexFlatIP", 1.15),
    ("single cosine", "faiss IndexFlatIP", 1.15),
    ("single euclidean", "faiss IndexFlatL2", None),
    ("single dot", "numpy product + argpartition", None),
    ("batch dot", "numpy batch product + argpartition", 1.4),
    ("batch cosine", "numpy batch product + argpartition", 1.4),
    ("batch dot", "faiss batch IndexFlatIP", None),
]


class Ours:
    """Our program, answering one command at a time."""

    def __init__(self, program, shape):
        self.process = subprocess.Popen(
            [program, "serve", *shape], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def cpu(self):
        """CPU seconds of the program so far; exact, as it sleeps while we ask."""
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9
        except OSError:
            return None

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"our program ended with exit code {self.process.wait()}")
        return json.loads(line)

    def __call__(self, *command):
        before = self.cpu()
        print(*command, file=self.process.stdin, flush=True)
        answer = self.answer()
        wall = answer["ms"]
        cpu = None if before is None else (self.cpu() - before) * 1e3 / len(wall)
        return Figure(statistics.median(wall), cpu), answer.get("ids")


class Figure(NamedTuple):
    """What one call took: the median wall time and the mean CPU time in ms."""

    wall: float
    cpu: float | None


def timed(calls):
    wall, results = [], []
    before = time.process_time()
    for call in calls:
        start = time.perf_counter()
        results.append(call())
        wall.append((time.perf_counter() - start) * 1e3)
    cpu = (time.process_time() - before) * 1e3 / len(wall)
    return Figure(statistics.median(wall), cpu), results


def best(scores):
    """The ids of the TOP best of each row, best first."""
    part = np.argpartition(-scores, TOP, axis=-1)[..., :TOP]
    order = np.argsort(-np.take_along_axis(scores, part, -1), axis=-1)
    return np.take_along_axis(part, order, -1)


def contestants(ours, rows, queries):
    """Name → a function that runs it and gives its figure and ids."""
    inner = faiss.IndexFlatIP(rows.shape[1])
    inner.add(rows)
    euclidean = faiss.IndexFlatL2(rows.shape[1])
    euclidean.add(rows)
    ones = [queries[at:at + 1] for at in range(SINGLE_CALLS)]

    def single(index):
        figure, found = timed([lambda one=one: index.search(one, TOP)[1][0] for one in ones])
        return figure, [ids.tolist() for ids in found]

    def batch(call):
        figure, found = timed([call] * BATCH_CALLS)
        return figure, found[-1].tolist()

    def numpy_single():
        figure, found = timed([lambda one=one: best(rows @ one[0]) for one in ones])
        return figure, [ids.tolist() for ids in found]

    return {
        "plain read": lambda: ours("read", SINGLE_CALLS),
        "single dot": lambda: ours("single", "dot", SINGLE_CALLS),
        "single cosine": lambda: ours("single", "cosine", SINGLE_CALLS),
        "single euclidean": lambda: ours("single", "euclidean", SINGLE_CALLS),
        "faiss IndexFlatIP": lambda: single(inner),
        "faiss IndexFlatL2": lambda: single(euclidean),
        "numpy product + argpartition": numpy_single,
        "batch dot": lambda: ours("batch", "dot", BATCH_CALLS),
        "batch cosine": lambda: ours("batch", "cosine", BATCH_CALLS),
        "numpy batch product + argpartition": lambda: batch(lambda: best(queries @ rows.T)),
        "faiss batch IndexFlatIP": lambda: batch(lambda: inner.search(queries, TOP)[1]),
    }


def disagreements(found, rows, queries):
    """Names whose ids are not those of the exact scores, but for scores nearer than f32 can tell."""
    exact = queries.astype(np.float64) @ rows.T.astype(np.float64)
    wanted = -np.sort(-exact, axis=1)[:, :TOP]
    wrong = []
    for name, ids in found.items():
        got = np.take_along_axis(exact[:len(ids)], np.array(ids), 1)
        if not np.allclose(got, wanted[:len(ids)], rtol=0, atol=1e-6):
            wrong.append(name)
    return wrong


def build():
    """Build our program; its path."""
    lines = subprocess.run(CARGO, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines]
    return next(message["executable"] for message in messages if message.get("executable"))


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                 platform.processor()) if Path("/proc/cpuinfo").exists() else platform.processor()
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()[1]
    return (f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}; Rust {rust}, "
            f"Python {platform.python_version()}, numpy {np.__version__}, faiss {faiss.__version__}")


def main():
    parser = argparse.ArgumentParser(prog="benches/run vectors")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    os.chdir(Path(__file__).resolve().parent.parent)
    if arguments.rows <= TOP:
        sys.exit(f"at least {TOP + 1} rows are needed")

    with tempfile.NamedTemporaryFile(prefix="nodestore-vectors-", dir=os.environ.get("NODESTORE_CACHE_DIR")) as file:
        shape = [file.name, str(arguments.rows), str(arguments.dimensions), str(BATCH)]
        program = build()
        subprocess.run([program, "make", *shape], check=True)
        data = np.fromfile(file.name, dtype="<f4").reshape(-1, arguments.dimensions)
        rows, queries = data[:arguments.rows], data[arguments.rows:]
        ours = Ours(program, shape)
    runs = contestants(ours, rows, queries)

    figures, found, loads = {name: [] for name in runs}, {}, [os.getloadavg()[0]]
    for turn in range(arguments.rounds + 1):
        for name in list(runs)[::-1 if turn % 2 else 1]:
            figure, ids = runs[name]()
            if ids:
                found[name] = ids
            # The first round warms up.
            if turn:
                figures[name].append(figure)
        loads.append(os.getloadavg()[0])
    ours.process.stdin.close()
    ours.process.wait()

    euclidean = {name: ids for name, ids in found.items() if "uclidean" in name or "L2" in name}
    others = {name: ids for name, ids in found.items() if name not in euclidean}
    # Of unit vectors the nearest are those with the greatest product.
    wrong = disagreements(others, rows, queries) + disagreements(euclidean, rows, queries)

    print(f"\nExact top-{TOP} over {arguments.rows:,} x {arguments.dimensions} f32, one thread, {arguments.rounds} "
          f"rounds in turns\n{machine()}; load {min(loads):.1f} to {max(loads):.1f}\n")
    print(f"{'':36}{'wall ms':>10}{'least':>10}{'greatest':>10}{'CPU ms':>10}")
    for name, rounds in figures.items():
        wall, cpu = [figure.wall for figure in rounds], [figure.cpu for figure in rounds]
        shown = "-" if None in cpu else f"{statistics.median(cpu):.2f}"
        per = f" of {BATCH}" if "batch" in name else ""
        print(f"{name + per:36}{statistics.median(wall):>10.2f}{min(wall):>10.2f}{max(wall):>10.2f}{shown:>10}")

    print(f"\n{'ours':18}{'against':36}{'wall':>8}{'CPU':>8}  goal")
    missed, ratios = [], []
    for name, other, goal in GOALS:
        # Round by round, so that a disturbance of one round touches both.
        pairs = list(zip(figures[name], figures[other]))
        wall = statistics.median(theirs.wall / our.wall for our, theirs in pairs)
        cpu = None
        if all(figure.cpu for pair in pairs for figure in pair):
            cpu = statistics.median(theirs.cpu / our.cpu for our, theirs in pairs)
        met = goal is None or (cpu or wall) >= goal
        ratios.append({"ours": name, "against": other, "wall": wall, "cpu": cpu, "goal": goal, "met": met})
        if not met:
            missed.append(name)
        verdict = "" if goal is None else f"{goal:.2f}x {'met' if met else 'MISSED'}"
        print(f"{name:18}{other:36}{wall:>7.2f}x{'' if cpu is None else f'{cpu:.2f}x':>8}  {verdict}")
    print("\nThe ids of all agree." if not wrong else f"\nids differ: {', '.join(wrong)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({
            "machine": machine(), "load": [min(loads), max(loads)], "rows": arguments.rows,
            "dimensions": arguments.dimensions, "rounds": arguments.rounds, "ms": {name: [figure._asdict() for figure in rounds] for name, rounds in figures.items()}, "ratios": ratios,
            "ids_agree": not wrong}, indent=2) + "\n")
    sys.exit(1 if wrong or (missed and arguments.check) else 0)


if __name__ == "__main__":
    main()
