"""What importing costs: torch only where it is needed, and only in one direction."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "focuslab"

FLOORS = (
    ("errors",),
    ("checks",),
    ("io", "stats"),
    ("attention", "runs"),
    ("tables",),
    ("results",),
    ("models",),
    ("hooks",),
    ("methods", "metrics"),
    ("analysis",),
    ("search",),
    ("measure",),
    ("report",),
    ("workflows",),
    ("cli",),
    ("__main__",),
)
"""From the bottom: a room imports from lower floors and from itself, never from a room beside it."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


@pytest.mark.parametrize(
    "statement",
    [
        "import focuslab",
        "import focuslab; dir(focuslab); focuslab.__version__; focuslab.ProfileRun, focuslab.AttentionRun",
        "import focuslab; focuslab.report",
        "import focuslab.analysis.cost",
        "import focuslab; focuslab.SensitivityRun, focuslab.ValidationRun",
        "import focuslab; focuslab.metrics.frechet_distance; import focuslab.metrics.clap, focuslab.metrics.audioset",
        "import focuslab.report.figures.figure1, focuslab.tables.profile",
        "import focuslab.report.figures.frontier, focuslab.report.figures.site_map, focuslab.tables.choice",
        "import focuslab.cli.report, focuslab.report.html.write, focuslab.tables.tabular",
        "import focuslab.cli.profile, focuslab.cli.generate, focuslab.cli.capture_attn, focuslab.cli.evaluate",
        "import focuslab.runs.directory, focuslab.runs, focuslab.runs.info",
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


@pytest.mark.parametrize("arguments", [["--help"], ["profile", "--help"], ["--version"]])
def test_help_imports_no_pydantic(arguments):
    code = (
        "import sys\nimport focuslab\nfrom focuslab.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\nsys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_public_names_exist_and_unknown_ones_do_not():
    import focuslab

    for name in focuslab.__all__:
        assert getattr(focuslab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        focuslab.nothing  # noqa: B018


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The modules of focuslab that one imports anywhere, within functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "focuslab":
            within = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in MODULES else node.module for name in within}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "focuslab"}
    return found


IMPORTS = {name: imported(path) - {name} for name, path in MODULES.items()}


NOT_IMPORTED = {"accelerate", "sentencepiece"}
"""Dependencies that diffusers and transformers import where they need them."""
OF = {
    "PIL": "pillow",
    "huggingface_hub": "huggingface-hub",
    "pydantic_core": "pydantic",
    "typing_extensions": "typing-extensions",
}
"""Modules whose distribution has another name."""


def test_the_declared_dependencies_are_those_imported():
    trees = [ast.parse(path.read_text()) for path in MODULES.values()]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    modules = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"focuslab"}
    declared = (PACKAGE.parent / "pyproject.toml").read_text().split("\ndependencies = [")[1].split("]")[0]
    declared = set(re.findall(r'^ *"([\w-]+)', declared, re.MULTILINE))
    assert {OF.get(module, module) for module in modules} == declared - NOT_IMPORTED


def room(module: str) -> str | None:
    return [*module.split("."), None][1]


def test_imports_run_downward():
    upward = [
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        if room(name)
        for other in others
        if room(other) != room(name) and FLOOR[room(other)] >= FLOOR[room(name)]
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle():
    left = {name: set(others) for name, others in IMPORTS.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert sorted(left) == []


def test_rooms_without_torch_import_none():
    code = "\n".join(
        [
            f"import {name}"
            for name in sorted(MODULES)
            if room(name) in ("runs", "tables", "analysis", "search", "report")
        ]
        + ["import sys", "sys.exit('torch' in sys.modules)"]
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
