"""Write what is generated: reports/README.md, and the table of methods in README.md.

python analyses/reports_index.py
"""

import subprocess
from pathlib import Path

from focuslab.methods.base import parameters_of
from focuslab.methods.catalogue import Entry, catalogue

ROOT = Path(__file__).parents[1]
TABLES = "--seconds 10,20,40,80 --steps 10 --limit"
WHAT = {
    "00_tiny_model": (
        "what the bundled model can do",
        "python analyses/00_tiny_model.py --clips 60 --long-clips 4 --long-seconds 20,40,80",
    ),
    "01_cost_against_length": (
        "time, memory and FLOPs of a step of the full-size UNet, by length",
        "python analyses/01_cost_against_length.py",
    ),
    "02_attention_patterns": (
        "where attention of the bundled model goes, and what capturing costs",
        "python analyses/02_attention_patterns.py --prompts 4 --steps 12; the same with --bars",
    ),
    "03_block_selection": (
        "three plans against the paper's fixed choice, predicted and validated",
        "python analyses/03_block_selection.py --steps 10",
    ),
    "04_table1": (
        "quality and speed by method and length, as the paper's Table 1",
        f"python analyses/04_table1.py {TABLES} 30 --plan reports/03_block_selection/plan.json",
    ),
    "05_table2": ("sampled keys alone, as Table 2", f"python analyses/05_table2.py {TABLES} 30,30,30,12"),
    "06_table3": ("the own mel row alone, as Table 3", f"python analyses/06_table3.py {TABLES} 30"),
    "07_weight_and_length": (
        "the weight of sampled keys, and scores scaled with the length",
        f"python analyses/07_weight_and_length.py {TABLES} 30,30,24,12",
    ),
    "sound": (
        "the evaluation that tables 04 to 07 are drawn from, without its embeddings: every clip and method once",
        "the four commands above",
    ),
    "10_linear_attention": (
        "what a fixed number of sampled keys costs, and how far it is from dense",
        "python analyses/10_linear_attention.py --model tiny; the same with --model random:audioldm2 --seconds 80",
    ),
    "13_families": (
        "what attention costs in AudioLDM2, AudioLDM, MusicLDM and Tango, and what sparse attention gains",
        "python analyses/13_families.py",
    ),
    "11_fastest_clip": (
        "schedulers, steps, caches and sparse attention: quality against the time of a clip",
        "python analyses/11_fastest_clip.py",
    ),
    "09_gpu": ("the CUDA path on one card", "PYTHONPATH=. python analyses/09_gpu.py --minutes 8"),
    "demo": ("a picture of the demo's page", "focuslab demo"),
}


def tracked(under: str = ".") -> dict[str, int]:
    """Bytes of every tracked file below a directory of the repository."""
    names = subprocess.run(["git", "ls-files", "-z", under], cwd=ROOT, capture_output=True, check=True).stdout
    return {name: (ROOT / name).stat().st_size for name in names.decode().split("\0") if name}


def index() -> str:
    sizes: dict[str, int] = {}
    for name, size in tracked("reports").items():
        folder = name.split("/")[1]
        sizes[folder] = sizes.get(folder, 0) + size
    rows = [
        f"| [{name}]({name}) | {what} | {sizes[name] / 1e6:.1f} | `{command}` |"
        for name, (what, command) in WHAT.items()
        if name in sizes
    ]
    return "\n".join(
        [
            "# Reports",
            "",
            "[results.md](results.md) says in words what was measured. This page is made by",
            "`python analyses/reports_index.py`. The directories were made with the bundled model's weights of 0.1.0.",
            "",
            "| directory | what it holds | MB | made by |",
            "| --- | --- | --: | --- |",
            *rows,
            "",
        ]
    )


BEGIN, END = "<!-- methods: analyses/reports_index.py writes this table -->", "<!-- end of methods -->"


def methods_table() -> str:
    lines = [BEGIN, "| name | what it computes | prior art | parameters |", "| --- | --- | --- | --- |"]
    # The first name of each: others are names of earlier versions.
    first = {(entry.method, str(entry.parameters)): name for name, entry in reversed(list(catalogue().items()))}
    lines += [_method_row(name, entry) for name, entry in catalogue().items() if name in first.values()]
    return "\n".join([*lines, "| `plan:FILE` | what a plan says for the length | | |", END])


def _method_row(name: str, entry: Entry) -> str:
    papers = ", ".join(f"[{who}]({address})" for who, address in entry.papers.items())
    parameters = ", ".join(f"`{parameter}`" for parameter in parameters_of(name) if name != "dense")
    if entry.parameters:
        parameters = "the others of `litefocus`"
    return f"| [`{name}`](focuslab/methods/{entry.module}.py) | {entry.does} | {papers} | {parameters} |"


def with_methods_table(readme: str) -> str:
    before, rest = readme.split(BEGIN)
    return before + methods_table() + rest.split(END)[1]


if __name__ == "__main__":
    (ROOT / "README.md").write_text(with_methods_table((ROOT / "README.md").read_text()))
    (ROOT / "reports" / "README.md").write_text(index())
