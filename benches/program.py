"""The whole measurement of the program: `benches/run program [--size SIZE] [--rounds N] [--json FILE]`.

Builds the program, then
 1. runs every workload of `nodestore bench` on a new embedded store, twice, to see whether the figures agree;
 2. runs those that the bare engine can do too, beside it;
 3. runs the same corpus through LlamaIndex's stores in memory, in turns with ours, each group of workloads in a new
    process on either side.
Prints the tables of docs/performance.md, and with --update puts them there. Stores and corpus lie in a temporary
folder below `target`, or below --folder: its disk counts. Measure on a quiet machine.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from common import (Figures, Runs, arguments, build, heading, machine, megabytes, milliseconds, number, ratio, report,
                    row, say)
from stores import Memory

# A bulk write is followed by one persist, which may be counted with it.
WITH_PERSIST = {("D1", "add"), ("V1", "add"), ("D4", "delete")}


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


def main():
    options = arguments(argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)).parse_args()
    load = os.getloadavg()
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
        runs.write_corpus()
        ours, memory, always, started = Figures(), Figures(), Figures(), []
        for round in range(options.rounds):
            for group, workloads in Memory.WORKLOADS.items():
                say(f"beside LlamaIndex, round {round + 1} of {options.rounds}: {group}")

                def us():
                    ours.add(runs.ours("--workload", workloads))  # noqa: B023

                def they():
                    figures = runs.peer(group)  # noqa: B023
                    started.append(figures["started_memory_bytes"])
                    memory.add(figures)

                for side in (us, they) if round % 2 == 0 else (they, us):
                    side()
                # Persisting all vectors after every call takes a minute, and hundreds of times as long as ours: once.
                if group == "documents" or (group == "vectors" and round == 0):
                    always.add(runs.peer(group, "--persist"))
        with report(options, "program"):
            machine(folder, load, Memory.PACKAGES)
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
        if options.json:
            figures = {"ours": twice, "driver": driver, "beside_python": list(ours.runs.values()),
                       "python": list(memory.runs.values()), "python_persisting": list(always.runs.values())}
            options.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(0 if agree else 1)


main()
