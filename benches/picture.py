"""The picture of docs/performance.md: `benches/run picture [--check]`.

Draws docs/performance.svg from the tables in that page which compare us with LlamaIndex, every row of them: how many times
as fast we are, by the median, and by the slowest and the fastest round where the table has them. What measures and puts
its tables into the page draws it anew. With --check nothing is written, and a picture of other figures is an error.
"""

import math
import re
import sys
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, PICTURE = DOCS / "performance.md", DOCS / "performance.svg"

# What is compared, by the name of its measurement, in two columns.
PANELS = [["program", "backend mongodb", "backend cassandra"], ["backend redis", "backend dynamodb"]]
TITLES = {
    "program": ("Embedded", "on disk, theirs in memory"),
    "backend mongodb": ("MongoDB", "one server, a replica set of one"),
    "backend redis": ("Redis", "Redis Stack"),
    "backend dynamodb": ("DynamoDB", "DynamoDB Local"),
    "backend cassandra": ("Cassandra", "one node"),
}
GROUPS = {"D": "documents", "C": "chats", "V": "vectors", "R": "reader"}

# Of the drawing, in pixels.
COLUMN, LABELS, PLOT, ROW, HEAD, TOP, MARGIN = 436, 164, 216, 18, 56, 62, 16

STYLE = """
    .paper { fill: #fff; }
    text { font: 12px system-ui, sans-serif; fill: #24292f; }
    .title { font-size: 16px; font-weight: 600; }
    .name { font-size: 14px; font-weight: 600; }
    .small { font-size: 11px; font-weight: 400; fill: #57606a; }
    .faster { fill: #2f6fb7; }
    .slower { fill: #c2661b; }
    .grid { stroke: #d8dee4; }
    .one { stroke: #57606a; }
    .rounds { stroke: #24292f; stroke-width: 1.5; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; }
      text { fill: #e6edf3; }
      .small { fill: #9ba6b2; }
      .faster { fill: #4f94e0; }
      .slower { fill: #e08a45; }
      .grid { stroke: #2b323b; }
      .one { stroke: #9ba6b2; }
      .rounds { stroke: #e6edf3; }
    }
"""


def measured(page, name):
    """The rows of a measurement that both sides have: label, ratio as it stands there, and the rounds' extremes."""
    part = re.search(rf"<!-- begin: benches/run {re.escape(name)} --update -->\n(.*?)<!-- end -->", page, re.DOTALL)
    if not part:
        sys.exit(f"{PAGE} has no tables of `benches/run {name}`")
    lines = part[1].splitlines()
    start = next((place for place, line in enumerate(lines) if line.startswith("|  |  | ours, ")), None)
    if start is None:
        sys.exit(f"{PAGE} compares nothing in the tables of `benches/run {name}`")
    rows = []
    for line in lines[start + 2:]:
        if not line.startswith("|"):
            break
        workload, what, _, _, ratio, rounds = [cell.strip() for cell in line.split("|")[1:7]]
        if ratio == "–":
            continue
        extremes = [value(part) for part in rounds.split("–")] if rounds.count("×") == 2 else None
        rows.append((f"{GROUPS[workload[0]]}: {what}", ratio, extremes))
    return rows


def value(ratio):
    return float(ratio.replace("×", "").replace(",", ""))


class Scale:
    """A logarithmic axis that has all ratios."""

    def __init__(self, panels):
        ratios = [one for rows in panels.values() for _, ratio, extremes in rows for one in (value(ratio), *(extremes or ()))]
        self.low, self.high = math.log10(min(*ratios, 1) / 1.2), math.log10(max(*ratios, 1) * 1.2)

    def x(self, ratio):
        return PLOT * (math.log10(ratio) - self.low) / (self.high - self.low)

    def ticks(self):
        return [10**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]


def panel(name, rows, scale):
    """One store, drawn from (0, 0) on."""
    title, about = TITLES[name]
    bottom = HEAD + len(rows) * ROW
    yield f'<text class="name" y="16">{escape(title)} <tspan class="small">{escape(about)}</tspan></text>'
    for tick in scale.ticks():
        x = LABELS + scale.x(tick)
        yield f'<text class="small" x="{x:.1f}" y="{HEAD - 18}" text-anchor="middle">{tick:g} ×</text>'
        kind = "one" if tick == 1 else "grid"
        yield f'<path class="{kind}" d="M{x:.1f} {HEAD - 12}V{bottom}"/>'
    one = scale.x(1)
    for place, (label, ratio, extremes) in enumerate(rows):
        y, end = HEAD + place * ROW, scale.x(value(ratio))
        kind = "faster" if value(ratio) >= 1 else "slower"
        yield f'<text x="{LABELS - 8}" y="{y + 9}" text-anchor="end">{escape(label)}</text>'
        yield f'<rect class="{kind}" x="{LABELS + min(one, end):.1f}" y="{y - 1}" width="{abs(end - one):.1f}" height="12"/>'
        right = max(one, end)
        if extremes:
            least, most = (scale.x(extreme) for extreme in extremes)
            yield f'<path class="rounds" d="M{LABELS + least:.1f} {y + 5}H{LABELS + most:.1f}"/>'
            right = max(right, most)
        yield f'<text x="{LABELS + right + 5:.1f}" y="{y + 9}">{escape(ratio)}</text>'


def draw(page):
    panels = {name: measured(page, name) for names in PANELS for name in names}
    scale = Scale(panels)
    lines, bottom = [], 0
    for column, names in enumerate(PANELS):
        y = TOP
        for name in names:
            lines += [f'<g transform="translate({MARGIN + column * COLUMN} {y})">', *panel(name, panels[name], scale), "</g>"]
            y += HEAD + len(panels[name]) * ROW + MARGIN
        bottom = max(bottom, y)
    width = 2 * COLUMN + MARGIN
    title = "How many times as fast as LlamaIndex's Python packages"
    explained = ("Same work on the same server, in turns; embedded: ours on disk, theirs in memory. Bar: median; line: slowest to "
                 "fastest round; logarithmic. Orange: slower.")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom}" role="img" aria-label="{escape(title)}">',
        f"<!-- Made by benches/picture.py from performance.md. -->\n<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{bottom}"/>',
        f'<text class="title" x="{MARGIN}" y="28">{escape(title)}</text>',
        f'<text class="small" x="{MARGIN}" y="48">{escape(explained)}</text>',
        *lines, "</svg>\n"])


def update(check=False):
    """Draws the picture; with `check` only looks whether it is that of the page."""
    drawn = draw(PAGE.read_text())
    if check:
        if not PICTURE.exists() or PICTURE.read_text() != drawn:
            sys.exit(f"{PICTURE.relative_to(DOCS.parent)} shows other figures than {PAGE.name}: benches/run picture draws it anew")
        return
    PICTURE.write_text(drawn)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    update(check=bool(sys.argv[1:]))
