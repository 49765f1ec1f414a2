"""What the measurements beside LlamaIndex share: running both sides, figures of several runs, tables."""

import contextlib
import importlib.metadata
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import picture

HERE = Path(__file__).resolve().parent


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def arguments(parser):
    """The options that all measurements have."""
    parser.add_argument("--size", choices=["small", "full", "large"], default="full")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1000, help="nodes in a call of bulk writes, on both sides")
    parser.add_argument("--update", action="store_true", help="puts the tables into docs/performance.md")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "target", help="where stores and corpus are")
    parser.add_argument("--program", metavar="FILE", help="a program that is built already")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also writes every figure")
    return parser


def build():
    """Builds the program with optimisation; answers its path."""
    say("building the program")
    command = ["cargo", "build", "--release", "--locked", "--package", "nodestore-cli",
               "--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    paths = [message.get("executable") for message in map(json.loads, done.stdout.splitlines())
             if message.get("reason") == "compiler-artifact"]
    return next(path for path in reversed(paths) if path)


class Runs:
    """Runs of both sides, each in a new process: on the server at `url`, or on stores of their own in `folder`."""

    def __init__(self, program, folder, size, batch, url=None):
        self.program, self.folder, self.size, self.batch, self.url, self.count = program, folder, size, batch, url, 0

    def write_corpus(self):
        say("writing the corpus")
        subprocess.run([self.program, "bench", "--size", self.size, "--write-corpus", str(self.folder / "corpus")],
                       check=True)

    def ours(self, *options):
        """One run of the program on a new store."""
        self.count += 1
        file = self.folder / "figures.json"
        store = self.url or str(self.folder / f"store-{self.count}")
        command = [self.program, "--store", store, "bench", "--size", self.size, "--batch", str(self.batch),
                   "--json", str(file), *options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NODESTORE_")}
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
        if done.returncode != 0:
            sys.exit(done.stderr.strip() or f"the program ended with {done.returncode}")
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
    return times(value) if value >= 0.01 else "–"


def times(value):
    return f"{value:,.0f} ×" if value >= 10 else f"{value:.2g} ×"


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def heading(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def sync_time(folder):
    """Median milliseconds of a write of 4 KB and its sync."""
    taken = []
    with open(folder / "sync", "wb", buffering=0) as file:
        for _ in range(200):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e3


def machine(folder, load, packages, *more):
    """The line that says what was measured on what; `load` is that of the start."""
    def first(path, start):
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            return None
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(start)), None)

    model = first("/proc/cpuinfo", "model name") or platform.processor()
    memory = first("/proc/meminfo", "MemTotal")
    rust = subprocess.run(["rustc", "--version"], cwd=HERE.parent, capture_output=True, text=True).stdout.split()[1]
    parts = [model]
    if memory:
        parts += [f"{os.cpu_count()} cores", f"{int(memory.split()[0]) / 2**20:.0f} GB"]
    parts += [f"{platform.system()} {platform.release()}", f"Rust {rust}", f"Python {platform.python_version()}"]
    parts += [f"{package} {importlib.metadata.version(package)}" for package in packages]
    print(f"{', '.join([*parts, *more])}; a write of 4 KB and its sync takes {sync_time(folder):.2f} ms; "
          f"load {load[0]:.1f} at the start, {os.getloadavg()[0]:.1f} at the end.")


@contextlib.contextmanager
def report(options, name):
    """Prints what is printed inside, and with --update puts it into docs/performance.md where this measurement's
    tables stand: `name` is what `benches/run` calls it."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        yield
    print(text.getvalue())
    if not options.update:
        return
    begin, end = f"<!-- begin: benches/run {name} --update -->", "<!-- end -->"
    document = HERE.parent / "docs" / "performance.md"
    before, _, rest = document.read_text().partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        sys.exit(f"{document} has no marks {begin} and {end}")
    document.write_text(f"{before}{begin}\n\n{text.getvalue()}\n{end}{after}")
    picture.update()
