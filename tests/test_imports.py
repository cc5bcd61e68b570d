"""What importing costs: torch only where it is needed, and only in one direction."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "focuslab"

LAYERS = {
    **dict.fromkeys(("errors", "fields", "files", "json_text", "arguments", "grid"), 0),
    **dict.fromkeys(("records", "store", "environment", "captions", "prompts", "audio"), 0),
    "attention": 1,
    "analyzers": 1,
    "report": 1,
    **dict.fromkeys(("candidates", "trials", "confirmation", "selection", "plan_files"), 2),
    "models": 2,
    "quality": 3,
    "instrument": 3,
    "methods": 4,
    "scoring": 4,
    "capture": 5,
    "profiling": 5,
    "generation": 5,
    "evaluation": 5,
    **dict.fromkeys(("sensitivity", "proof", "recommendation"), 5),
    "demonstration": 6,
    "cli": 7,
    "__main__": 8,
}
"""Imports run downward only."""
WHEN_USED = {("records", "report"), ("records", "methods")}
"""But for these: a run shows itself as a table, and a plan applies itself, importing then what that takes."""


@pytest.mark.parametrize(
    "statement",
    [
        "import focuslab",
        "import focuslab; dir(focuslab); focuslab.__version__; focuslab.ProfileRun, focuslab.AttentionRun",
        "import focuslab; focuslab.Plan.from_json",
        "import focuslab; focuslab.report",
        "import focuslab.analyzers.cost",
        "import focuslab.selection, focuslab.plan_files; import focuslab; focuslab.SensitivityRun, focuslab.ProofRun",
        "import focuslab; focuslab.quality.frechet_distance; import focuslab.quality.clap, focuslab.quality.audioset",
        "import focuslab.report.figure1, focuslab.report.tables",
        "import focuslab.report.frontier, focuslab.report.site_map, focuslab.report.choice_table",
        "import focuslab.cli.report, focuslab.report.page.html, focuslab.report.frames",
        "import focuslab.cli.profile, focuslab.cli.generate, focuslab.cli.capture_attn, focuslab.cli.evaluate",
        "import focuslab.store, focuslab.records, focuslab.grid, focuslab.environment",
    ],
)
def test_no_torch_is_imported(statement):
    code = f"{statement}\nimport sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [["--help"], [], ["profile", "--help"], ["capture-attn", "--help"], ["evaluate", "--help"], ["--version"]],
)
def test_help_imports_no_torch(arguments):
    code = (
        "import sys\nfrom focuslab.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_public_names_exist_and_unknown_ones_do_not():
    import focuslab

    for name in focuslab.__all__:
        assert getattr(focuslab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        focuslab.nothing  # noqa: B018


def imported(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("focuslab."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("focuslab."))


def test_imports_run_downward():
    upward = []
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for other in imported(path):
            if LAYERS[other] > LAYERS[own] and (own, other) not in WHEN_USED:
                upward.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert upward == []
