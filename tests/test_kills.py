"""Every command killed at random moments and resumed: what it leaves is that of a run that was never killed."""

import json
import re
import signal
import subprocess
import time
from random import Random

import pytest

from focuslab.io.files import PARTIAL
from tests.commands import start

KILLS = 3
SHORT = ["--model", "random:tiny", "--quiet", "--steps", "2"]
PROFILE = ["--methods", "dense,litefocus", "--repeats", "3"]
RECOMMEND = ["--methods", "litefocus", "--prompt", "a", "--prompt", "b", "--max-error", "0.5"]
COMMANDS = {
    "capture-attn": [*SHORT, "--seconds", "0.64,1.28", "--query", "1:1", "--out", "run"],
    "profile": [*SHORT, "--seconds", "0.64,1.28", *PROFILE, "--out", "run"],
    "evaluate": [*SHORT, "--seconds", "0.64", "--prompts", "captions.txt", "--keep-audio", "--out", "run"],
    "recommend": [*SHORT, "--seconds", "0.64", *RECOMMEND, "--out", "run/plan.json"],
    "generate": [*SHORT, "--seconds", "0.64", "--prompt", "rain", "--force", "--out", "run/x.wav"],
}
TIMES = re.compile("seconds_|_seconds|speedup|bytes|_over_|share|^(at|made|started|ended|sitting|shard|place|cost)$")
"""Fields that no two runs have the same, and where an embedding lies."""
KEYS = ("kind", "prompt", "seconds", "step", "half", "site", "method", "stage", "group", "repeat", "seed")
"""Fields that say what a record is of."""


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if not TIMES.search(key)}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def records_of(folder):
    """File -> its records, in an order of their own."""
    files = sorted(folder.rglob("records.jsonl"))
    parsed = {file: [json.loads(line) for line in file.read_text().splitlines()] for file in files}
    # Which sites are tried together in a recommendation depends on what was timed.
    return {
        file.relative_to(folder): [record for record in records if record["kind"] != "joint"]
        for file, records in parsed.items()
    }


def keys_of(records):
    return sorted(json.dumps([record.get(name) for name in KEYS]) for record in records)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_killed_at_random_moments_leaves_what_an_unkilled_one_does(tmp_path, command):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        (folder / "run").mkdir(parents=True)
        (folder / "captions.txt").write_text("rain\na siren\nbirds\n")

    def run(folder):
        return start(command, *COMMANDS[command], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    begun = time.monotonic()
    process = run(whole)
    assert process.communicate()[1] is not None and process.returncode in (0, 1)
    took = time.monotonic() - begun

    random = Random(command)
    for _ in range(KILLS):
        process = run(killed)
        try:
            process.wait(timeout=took * random.uniform(0.3, 1))
        except subprocess.TimeoutExpired:
            process.send_signal(random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM]))
        said = process.communicate()[1]
        assert b"Traceback" not in said or process.returncode < 0
    process = run(killed)
    said = process.communicate()[1]
    # A plan whose validation misses what was predicted of a machine's speed ends in 1.
    assert process.returncode == 0 or (command == "recommend" and b"missed what was predicted" in said), said

    assert not list(killed.rglob(f"{PARTIAL}*"))
    if command == "recommend":
        # What is chosen, and whether it is validated, depends on what was timed.
        whole, killed = whole / "run/records", killed / "run/records"
    names = {path.relative_to(whole) for path in whole.rglob("*.*") if path.suffix in (".json", ".jsonl", ".wav")}
    assert names <= {path.relative_to(killed) for path in killed.rglob("*")}
    expected, found = records_of(whole), records_of(killed)
    assert command == "generate" or expected
    for file, records in expected.items():
        assert keys_of(records) == keys_of(found[file]) and len(set(keys_of(records))) == len(records), file
        if command in ("capture-attn", "evaluate"):
            values = [sorted(json.dumps(without_times(r), sort_keys=True) for r in rs) for rs in (records, found[file])]
            assert values[0] == values[1]
    for path in whole.rglob("*.wav"):
        other = killed / path.relative_to(whole)
        assert path.read_bytes() == other.read_bytes()
        if command == "generate":
            settings = [json.loads(wav.with_suffix(".json").read_text()) for wav in (path, other)]
            assert without_times(settings[0]) == without_times(settings[1])
