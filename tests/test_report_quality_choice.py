"""What an evaluation found best, as a table."""

from focuslab.search.quality import best_in_quality
from focuslab.tables.validation import heard_best, quality_choice_tables
from tests.evaluation_records import SPEED, VALUES, summary


def evidence(objective, **given):
    found = best_in_quality(summary(**given))
    return {
        "quality": {f"{s:g}": choice.to_json() for s, choice in found.items()},
        "objective": {f"{s:g}": aim for s, aim in zip(found, objective, strict=True)},
    }


def columns(given):
    (table,) = quality_choice_tables(given)
    return {c.head_text: list(map(str, c.cells)) for c in table.columns}, table.notes


def test_each_cell_is_the_number_it_came_from():
    cells, notes = columns(evidence(("fidelity", "quality")))
    assert cells == {
        "length [s]": ["10", "40"],
        "best": ["litefocus", "litefocus"],
        "kernel": ["0.3", "0.31"],
        "minus dense (low..high)": ["-0.1 (-0.108..-0.0925)", "-0.1 (-0.108..-0.0923)"],
        "log-mel L1 (low..high)": ["0.31 (0.294..0.326)", "0.32 (0.304..0.336)"],
        "speed-up vs dense": ["1.50x", "1.50x"],
        "decided by": ["quality", "quality"],
        "its equals": ["0", "0"],
        "in the plan": ["no", "yes"],
    }
    assert notes[0] == "kernel: lower is better." and notes[-1].startswith(
        "Where it is not in the plan, the plan was chosen for fidelity"
    )
    assert notes[-2].startswith("Where it is in the plan, the choice called plan")
    assert heard_best(evidence(("fidelity", "quality")), 10.0) is None
    assert heard_best(evidence(("fidelity", "quality")), 40.0) == "litefocus"
    assert heard_best({}, 40.0) is None


def test_notes_name_equals_and_significantly_worse_metrics():
    cells, notes = columns(evidence(("quality",), lengths=(40.0,), width=1.2, speed={**SPEED, "tome": 1.8}))
    assert cells["best"] == ["tome"] and cells["decided by"] == ["speed"] and cells["its equals"] == ["2"]
    assert notes[1].endswith("Of all these the fastest is taken.") and len(notes) == 3
    values = {**VALUES, "litefocus": {**VALUES["litefocus"], "clap": 0.10}}
    _, notes = columns(evidence(("quality",), lengths=(40.0,), values=values))
    assert "At 40 s litefocus is significantly worse than dense in CLAP score." in notes


def test_shares_are_in_percent_and_dense_has_no_difference():
    values = {name: {"clap": VALUES[name]["clap"]} for name in ("dense", "tome")}
    cells, _ = columns(evidence(("quality",), lengths=(40.0,), values=values))
    assert cells["CLAP score [%]"] == ["16"] and cells["minus dense [% points]"] == ["-"]
    assert cells["log-mel L1"] == ["-"]


def test_without_an_evaluation_there_is_no_table():
    assert quality_choice_tables({}) == quality_choice_tables({"quality": None, "objective": None}) == []
