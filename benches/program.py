"""The whole measurement of the program: `benches/run program [--size SIZE] [--rounds N] [--json FILE]`.

Builds the program, then
 1. runs every workload of `nodestore bench` on a new embedded store, twice, to see whether the figures agree;
 2. runs those that the bare engine can do too, beside it;
 3. runs the same corpus through LlamaIndex's stores in memory, in turns with ours, each group of workloads in a new
    process on either side.
Prints the tables of docs/performance.md, and with --update puts them there. Stores and corpus lie in a temporary folder below `target`,
or below --folder: its disk counts. Measure on a quiet machine.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
GROUPS = {"documents": "D1,D2,D3,D4", "chat": "C1,C2,C3", "vectors": "V1,V2,V3"}
# The tables stand between these in docs/performance.md.
BEGIN, END = "<!-- begin: benches/run program --update -->", "<!-- end -->"
# A bulk write is followed by one persist, which may be counted with it.
WITH_PERSIST = {("D1", "add"), ("V1", "add"), ("D4", "delete")}


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def build():
    """Builds the program with optimisation; answers its path."""
    command = ["cargo", "build", "--release", "--locked", "--package", "nodestore-cli",
               "--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    paths = [message.get("executable") for message in map(json.loads, done.stdout.splitlines())
             if message.get("reason") == "compiler-artifact"]
    return next(path for path in reversed(paths) if path)


class Runs:
    def __init__(self, program, folder, size, batch):
        self.program, self.folder, self.size, self.batch, self.count = program, folder, size, batch, 0

    def ours(self, *options):
        """One run of the program on a new store."""
        self.count += 1
        file = self.folder / "figures.json"
        command = [self.program, "--store", str(self.folder / f"store-{self.count}"), "bench", "--size", self.size,
                   "--batch", str(self.batch), "--json", str(file), *options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NODESTORE_")}
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, check=True)
        return json.loads(file.read_text())

    def peer(self, group, *options):
        """One run of the Python peer."""
        command = [sys.executable, str(HERE / "llamaindex.py"), str(self.folder / "corpus"), group,
                   "--batch", str(self.batch), *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)


class Figures:
    """Figures by workload and part, of several runs."""

    def __init__(self):
        self.runs = {}

    def add(self, report):
        for figure in report["figures"]:
            self.runs.setdefault((figure["workload"], figure["part"]), []).append(figure)

    def values(self, key, name):
        return [figure[name] for figure in self.runs.get(key, []) if figure.get(name) is not None]

    def median(self, key, name):
        values = self.values(key, name)
        return statistics.median(values) if values else None

    def seconds(self, key):
        rates = [figure["items"] / figure["per_second"] for figure in self.runs.get(key, [])]
        return statistics.median(rates) if rates else None


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def milliseconds(value):
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def megabytes(value):
    return "–" if value is None else f"{value / 1e6:,.0f}"


def ratio(ours, theirs):
    """How many times as fast; nothing where the two do not do the same at all (a list in memory, a disk)."""
    value = ours / theirs if ours and theirs else 0
    if value < 0.01:
        return "–"
    return f"{value:,.0f} ×" if value >= 10 else f"{value:.2g} ×"


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def heading(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def sync_time(folder):
    """Median milliseconds of a write of 4 KB and its sync."""
    times = []
    with open(folder / "sync", "wb", buffering=0) as file:
        for _ in range(200):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def machine(folder, load):
    def first(path, start):
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            return None
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(start)), None)

    model = first("/proc/cpuinfo", "model name") or platform.processor()
    memory = first("/proc/meminfo", "MemTotal")
    rust = subprocess.run(["rustc", "--version"], cwd=HERE.parent, capture_output=True, text=True).stdout.split()[1]
    print(f"{model}, {os.cpu_count()} cores, {int(memory.split()[0]) / 2**20:.0f} GB, " if memory else f"{model}, ", end="")
    print(f"{platform.system()} {platform.release()}, Rust {rust}, Python {platform.python_version()}, ", end="")
    print(f"llama-index-core {importlib.metadata.version('llama-index-core')}, ", end="")
    print(f"numpy {importlib.metadata.version('numpy')}; a write of 4 KB and its sync takes {sync_time(folder):.2f} ms; ",
          end="")
    print(f"load {load[0]:.1f} at the start, {os.getloadavg()[0]:.1f} at the end.")


def print_ours(first, second):
    print("\n### Every workload\n")
    heading("", "", "per second", "again", "p50 ms", "p90", "p99", "p99.9", "max", "CPU s", "peak MB")
    again = {(figure["workload"], figure["part"]): figure for figure in second["figures"]}
    for figure in first["figures"]:
        latency = figure["latency_ms"]
        other = again[figure["workload"], figure["part"]]["per_second"]
        row(figure["workload"], figure["part"], f"{number(figure['per_second'])} {figure['unit']}",
            f"{other / figure['per_second'] - 1:+.0%}",
            *(milliseconds(latency[name]) for name in ("p50", "p90", "p99", "p99.9", "max")),
            f"{figure['cpu_seconds']:.2f}", megabytes(figure["peak_memory_bytes"]))
    differences = sorted(abs(again[figure["workload"], figure["part"]]["per_second"] / figure["per_second"] - 1)
                         for figure in first["figures"])
    print(f"\n{len(differences)} figures of two runs: half of them differ by at most {differences[len(differences) // 2]:.0%}, "
          f"the worst by {differences[-1]:.0%}.")


def print_driver(report):
    print(f"\n### Beside {report['reference']}, bare\n")
    heading("", "", "ours per second", f"{report['reference']} per second", "ours / bare", "CPU ours / bare")
    bare = {(figure["workload"], figure["part"]): figure for figure in report["figures"] if figure["side"] != "store"}
    for figure in report["figures"]:
        other = bare.get((figure["workload"], figure["part"]))
        if figure["side"] == "store" and other:
            row(figure["workload"], figure["part"], number(figure["per_second"]), number(other["per_second"]),
                f"{figure['per_second'] / other['per_second']:.2f}",
                f"{figure['cpu_seconds'] / other['cpu_seconds']:.2f}")


def print_goals(ours, memory, always):
    """10 times as fast at D1 and V2, a tenth of the memory."""
    add, query = ("D1", "add"), ("V2", "query")
    speed = {"D1, ours durable, Python in memory": ratio(ours.median(add, "per_second"), memory.median(add, "per_second")),
             "D1, both safe after every call": ratio(ours.median(add, "per_second"), always.median(add, "per_second")),
             "V2": ratio(ours.median(query, "per_second"), memory.median(query, "per_second"))}
    for name, value in speed.items():
        print(f"- {name}: {value} its speed (goal 10 ×)")
    for names in ("D", "V"):
        def most(figures):
            peaks = [figure["peak_memory_bytes"] for (workload, _), runs in figures.runs.items() for figure in runs
                     if workload.startswith(names) and figure["peak_memory_bytes"]]  # noqa: B023
            return max(peaks, default=None)

        mine, theirs = most(ours), max(filter(None, (most(memory), most(always))), default=None)
        print(f"- most memory, {names}: {megabytes(mine)} MB and {megabytes(theirs)} MB, {ratio(theirs, mine)} "
              "(goal 10 ×)")


def print_python(ours, memory, always):
    print("\n### Beside LlamaIndex's stores in memory\n")
    heading("", "", "ours, durable", "Python, in memory", "", "Python, persisted once", "", "Python, after every call", "")
    for key in memory.runs:
        if key not in ours.runs:
            continue
        mine, theirs = ours.median(key, "per_second"), memory.median(key, "per_second")
        once = None
        if key in WITH_PERSIST:
            items = memory.runs[key][0]["items"]
            once = items / (memory.seconds(key) + memory.median((key[0], "persist"), "seconds"))
        each = always.median(key, "per_second")
        row(*key, number(mine), number(theirs), ratio(mine, theirs), number(once), ratio(mine, once), number(each),
            ratio(mine, each))
    print()
    heading("", "", "CPU s ours", "Python in memory", "", "after every call", "", "peak MB ours", "Python", "")
    for key in memory.runs:
        if key not in ours.runs:
            continue
        cpu, cpus = ours.median(key, "cpu_seconds"), memory.median(key, "cpu_seconds")
        peak, peaks = ours.median(key, "peak_memory_bytes"), memory.median(key, "peak_memory_bytes")
        safe = always.median(key, "cpu_seconds")
        row(*key, f"{cpu:.3f}", f"{cpus:.3f}", ratio(cpus, cpu), "–" if safe is None else f"{safe:.1f}", ratio(safe, cpu),
            megabytes(peak), megabytes(peaks), ratio(peaks, peak))
    differing = [key for key, runs in memory.runs.items()
                 if {figure["answers"] for figure in runs + ours.runs.get(key, [])} != {runs[0]["answers"]}
                 and key in ours.runs]
    print("\nBoth sides answer every query with the same ids." if not differing else f"\nANSWERS DIFFER: {differing}")
    return not differing


def update(report):
    """Puts the report between the marks of the document."""
    document = HERE.parent / "docs" / "performance.md"
    text = document.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        sys.exit(f"{document} has no marks {BEGIN} and {END}")
    document.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "full", "large"], default="full")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1000, help="nodes in a call of bulk writes, on both sides")
    parser.add_argument("--update", action="store_true", help="puts the tables into docs/performance.md")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "target", help="where stores and corpus are")
    parser.add_argument("--program", metavar="FILE", help="a program that is built already")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also writes every figure")
    options = parser.parse_args()
    load = os.getloadavg()
    if not options.program:
        say("building the program")
    program = options.program or build()
    rounds = ["--repeat", str(options.rounds)]
    start = time.monotonic()
    options.folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        folder = Path(folder).resolve()
        runs = Runs(program, folder, options.size, options.batch)
        twice = []
        for name in ("first", "second"):
            say(f"all workloads, {name} time")
            twice.append(runs.ours(*rounds))
        say("beside the bare engine")
        driver = runs.ours("--reference", "driver", "--workload", "D1,D2,C1,C2,K1,K2", *rounds)
        say("writing the corpus")
        subprocess.run([program, "bench", "--size", options.size, "--write-corpus", str(folder / "corpus")], check=True)
        ours, memory, always, started = Figures(), Figures(), Figures(), []
        for round in range(options.rounds):
            for group, workloads in GROUPS.items():
                say(f"beside LlamaIndex, round {round + 1} of {options.rounds}: {group}")

                def us():
                    ours.add(runs.ours("--workload", workloads))  # noqa: B023

                def they():
                    report = runs.peer(group)  # noqa: B023
                    started.append(report["started_memory_bytes"])
                    memory.add(report)

                for side in (us, they) if round % 2 == 0 else (they, us):
                    side()
                # Persisting all vectors after every call takes a minute, and hundreds of times as long as ours: once.
                if group == "documents" or (group == "vectors" and round == 0):
                    always.add(runs.peer(group, "--persist"))
        report = io.StringIO()
        with contextlib.redirect_stdout(report):
            machine(folder, load)
            print(f"\nSize {options.size}, batches of {options.batch}, {options.rounds} rounds, "
                  f"{(time.monotonic() - start) / 60:.0f} minutes.")
            print_ours(*twice)
            print_driver(driver)
            agree = print_python(ours, memory, always)
            if started and started[0]:
                print(f"Python takes {megabytes(statistics.median(started))} MB with llama-index-core imported and "
                      "nothing stored.")
            print()
            print_goals(ours, memory, always)
        print(report.getvalue())
        if options.update:
            update(report.getvalue())
        if options.json:
            figures = {"ours": twice, "driver": driver, "beside_python": list(ours.runs.values()),
                       "python": list(memory.runs.values()), "python_persisting": list(always.runs.values())}
            options.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(0 if agree else 1)


main()
