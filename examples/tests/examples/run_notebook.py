"""Runs the code cells of a notebook, one after the other: run_notebook.py NOTEBOOK"""

import json
import sys


def main(path):
    with open(path, encoding="utf-8") as file:
        cells = json.load(file)["cells"]
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {cell['id']}", "exec"), names)


if __name__ == "__main__":
    main(*sys.argv[1:])
