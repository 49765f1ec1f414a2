"""A backend beside its Python packages: `benches/run backend NAME [--store URL] [--size SIZE] [--rounds N] [--json FILE]`.

Runs the workloads of `nodestore bench` and the same corpus through LlamaIndex's stores for that database (stores.py) on
one server, in turns, each group of workloads in a new process and a new namespace on either side. Prints rates,
latencies, processor time and memory of both, the ratios beside the goals, and what misses them; with --update puts it
into docs/performance.md. Both sides must find as many nodes, hashes, messages and ids.

The server is the one that --store or the variable of the tests names; else one is started for the run, as for them.
Measure on a quiet machine.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import (HERE, Figures, Runs, arguments, build, heading, machine, megabytes, milliseconds, number, ratio,
                    report, row, say, times)
from stores import KINDS, Memory

# Of Python's memory.
MEMORY_GOAL = 4
# How a chat append slows down.
GROWTH = ("C3", "append at 10"), ("C3", "append at 2,000")
SERVERS = {name: kind for name, kind in KINDS.items() if kind is not Memory}


@contextlib.contextmanager
def server(kind, url):
    """The URL of the server."""
    variable = kind.VARIABLE
    if url or os.environ.get(variable):
        yield url or os.environ[variable]
        return
    say(f"starting a server, as neither --store nor {variable} names one")
    script, *arguments = kind.SERVER
    command = ["bash", str(HERE.parent / "scripts" / "servers" / script), *arguments]
    # It stops when its standard input ends.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said = {}
        for line in process.stdout:
            if line == "ready\n":
                break
            key, _, value = line.strip().partition("=")
            said[key] = value
        if "url" not in said:
            sys.exit(f"{' '.join(command)} could not start a server; what it printed says why")
        yield said["url"]


class Sides:
    """What both sides did."""

    def __init__(self, kind):
        self.kind, self.ours, self.python, self.started, self.missed = kind, Figures(), Figures(), [], []
        self.unmeasured = {}

    def keys(self):
        return [key for key in self.python.runs if key in self.ours.runs]

    def spread(self, key):
        """The ratio of the medians, and those of the rounds."""
        pairs = zip(self.ours.values(key, "per_second"), self.python.values(key, "per_second"), strict=True)
        rounds = [mine / theirs for mine, theirs in pairs]
        return self.ours.median(key, "per_second") / self.python.median(key, "per_second"), min(rounds), max(rounds)

    def goal(self, what, value, goal):
        """The goal's cell; what misses it is listed below the tables."""
        if goal is None:
            return "–"
        if value < goal:
            self.missed.append(f"{what}: {times(value)} (goal {goal} ×)")
        return f"{goal} ×"

    def print_speed(self):
        heading("", "", "ours, per second", "Python", "ours / Python", "rounds", "goal", "p50 ms ours", "Python")
        for key in self.keys():
            value, least, most = self.spread(key)
            unit = self.ours.runs[key][0]["unit"]
            goal, _ = self.kind.GOALS.get(key, (None, None))
            latency = [statistics.median(latency["p50"] for latency in side.values(key, "latency_ms"))
                       for side in (self.ours, self.python)]
            row(*key, f"{number(self.ours.median(key, 'per_second'))} {unit}",
                number(self.python.median(key, "per_second")), times(value), f"{times(least)} – {times(most)}",
                self.goal(f"{' '.join(key)}, speed", value, goal), *map(milliseconds, latency))

    def print_cost(self):
        heading("", "", "CPU s ours", "Python", "Python / ours", "goal", "peak MB ours", "Python", "Python / ours")
        for key in self.keys():
            _, goal = self.kind.GOALS.get(key, (None, None))
            cpu, cpus = (side.median(key, "cpu_seconds") for side in (self.ours, self.python))
            peak, peaks = (side.median(key, "peak_memory_bytes") for side in (self.ours, self.python))
            less = cpus / cpu if cpu else 0
            row(*key, f"{cpu:.3f}", f"{cpus:.3f}", ratio(cpus, cpu),
                self.goal(f"{' '.join(key)}, processor time", less, goal), megabytes(peak), megabytes(peaks),
                ratio(peaks, peak))
            if peak and peaks:
                self.goal(f"{' '.join(key)}, memory", peaks / peak, MEMORY_GOAL)

    def print_growth(self):
        growth = []
        for side in (self.ours, self.python):
            if all(key in side.runs for key in GROWTH):
                few, many = ([latency["p50"] for latency in side.values(key, "latency_ms")] for key in GROWTH)
                growth.append(statistics.median(many) / statistics.median(few))
        if not growth:
            return
        goal = self.kind.GROWTH
        python = f"{growth[1]:.2f} times" if growth[1:] else "it can not be done"
        print(f"- A chat append takes {growth[0]:.2f} times as long at 2,000 messages as at 10, in Python {python} "
              f"(goal: at most {goal}).")
        if round(growth[0], 2) > goal:
            self.missed.append(f"C3, growth from 10 to 2,000 messages: {growth[0]:.2f} (goal: at most {goal})")

    def differing(self):
        """What the sides did not do or find equally often, or with other answers."""
        def found(figures):
            return {(figure["items"], figure["unit"], figure["answers"] if self.kind.EXACT else None)
                    for figure in figures}

        return [" ".join(key) for key in self.keys()
                if len(found(self.ours.runs[key] + self.python.runs[key])) > 1]


def print_report(sides, kind, options, minutes):
    print(f"\nSize {options.size}, batches of {options.batch}, {options.rounds} rounds, {minutes:.0f} minutes.\n")
    sides.print_speed()
    print()
    sides.print_cost()
    differing = sides.differing()
    print("\n- Both sides found as many of everything." if not differing else f"\n- FOUND DIFFERENT: {differing}")
    sides.print_growth()
    started = list(filter(None, sides.started))
    if started:
        print(f"- Python takes {megabytes(statistics.median(started))} MB with llama-index-core imported and nothing "
              "done.")
    if sides.unmeasured:
        print("- Not measured on our side:", "; ".join(f"{name}: {why}" for name, why in sides.unmeasured.items()))
    print("- All goals are met." if not sides.missed else "- Goals missed:\n  - " + "\n  - ".join(sides.missed))
    return not differing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", choices=SERVERS)
    parser.add_argument("--store", metavar="URL", help="a server that runs already")
    options = arguments(parser).parse_args()
    load = os.getloadavg()
    kind = SERVERS[options.backend]
    program = options.program or build()
    start = time.monotonic()
    options.folder.mkdir(exist_ok=True)
    sides = Sides(kind)
    with (server(kind, options.store) as url,
          tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder):
        folder = Path(folder).resolve()
        runs = Runs(program, folder, options.size, options.batch, kind.ours(url))
        about = kind(url, "", options.batch).about()
        runs.write_corpus()
        for round in range(options.rounds):
            for group, workloads in kind.WORKLOADS.items():
                say(f"round {round + 1} of {options.rounds}: {group}")

                def us():
                    figures = runs.ours("--workload", workloads)  # noqa: B023
                    sides.unmeasured |= figures["not_measured"]
                    sides.ours.add(figures)

                def they():
                    figures = runs.peer(group, "--backend", options.backend, "--store", url)  # noqa: B023
                    sides.started.append(figures["started_memory_bytes"])
                    sides.python.add(figures)

                # Whoever comes first meets other caches: the sides take turns with that too.
                for side in (us, they) if round % 2 == 0 else (they, us):
                    side()
        with report(options, f"backend {options.backend}"):
            machine(folder, load, kind.PACKAGES, about)
            same = print_report(sides, kind, options, (time.monotonic() - start) / 60)
        if options.json:
            figures = {"backend": options.backend, "about": about, "size": options.size, "batch": options.batch,
                       "rounds": options.rounds, "load": [load[0], os.getloadavg()[0]], "missed": sides.missed,
                       "ours": list(sides.ours.runs.values()), "python": list(sides.python.runs.values())}
            options.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(0 if same else 1)


main()
