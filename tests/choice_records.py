"""Records of a made-up UNet from which a choice can be made: a profile, a sensitivity pass and a capture."""

import math

from focuslab.analysis.cost import profile_summary
from focuslab.analysis.sensitivity import sensitivity_summary
from focuslab.results import AttentionRun, ProfileRun, SensitivityRun
from focuslab.runs import RunInfo
from focuslab.runs.method_spec import MethodSpec
from focuslab.search.budget import Budget
from focuslab.search.candidates import Candidate, candidates_of
from focuslab.search.cost_model import CostModel
from focuslab.search.error_model import fit_error_model
from focuslab.search.experiments import parse_choice
from focuslab.search.frontier import NothingMeetsBudget, choose, frontier
from focuslab.search.summary import choice_summary

BLOCKS = {
    "down_blocks.1": (8, 2),
    "down_blocks.2": (4, 2),
    "mid_block": (2, 1),
    "up_blocks.1": (4, 3),
    "up_blocks.2": (8, 3),
}
"""Block -> (mel rows, sites), coarse in the middle."""
LIFTS = {"down_blocks.1": 4.1, "down_blocks.2": 1.4, "mid_block": 1.02, "up_blocks.1": 1.9, "up_blocks.2": 2.9}
METHODS = ("litefocus", "litefocus:cross_fraction=0.02:cross_weight=unbiased", "same-frequency", "tome")
TIME_SHARES = {METHODS[0]: 0.30, METHODS[1]: 0.22, METHODS[2]: 0.18, METHODS[3]: 0.45}
"""Share of a site's dense time at great length."""
ERRORS = {"dense": 0.0, METHODS[0]: 1.0, METHODS[1]: 0.8, METHODS[2]: 2.5, METHODS[3]: 4.0}
STEPS = (3, 10, 16)
PROMPTS = 2
OTHER_SECONDS = 0.04
"""Of a step, outside of the sites, by second of audio."""


def site_names(block: str) -> tuple[str, ...]:
    _, sites = BLOCKS[block]
    return tuple(f"{block}.attentions.{i}.transformer_blocks.0.attn1" for i in range(sites))


SITES = {name: block for block in BLOCKS for name in site_names(block)}
UNET = {
    "frame_seconds": 0.01,
    "frames_per_latent": 4,
    "latent_mel_rows": 16,
    "sites": {site: {"mel_rows": BLOCKS[block][0], "heads": 1, "head_width": 8} for site, block in SITES.items()},
}
"""As in a plan."""
PAPER = {"down_blocks.1": "litefocus", "up_blocks.2": "litefocus"}
ALL_SITES = dict.fromkeys(BLOCKS, "litefocus")


def dense_site_seconds(site: str, seconds: float) -> float:
    tokens = 25 * seconds * BLOCKS[SITES[site]][0] ** 2 / 8
    return 2e-8 * tokens**2 + 2e-5 * tokens


def site_seconds(site: str, seconds: float, method: str) -> float:
    """A fixed cost beside its share of dense: at short lengths a sparse method is slower than dense."""
    dense = dense_site_seconds(site, seconds)
    return dense if method == "dense" else TIME_SHARES[method] * dense + 0.1


def error(group: str, method: str, step: int, prompt: int, seconds: float) -> float:
    strength = LIFTS[group] / 4 * len(site_names(group)) / 3 * ERRORS[method]
    return 0.01 * strength * (1.4 - 0.05 * step) * (1 + 0.1 * prompt) * (10 / seconds) ** 0.1


def make_info(command: str = "profile", **changes) -> RunInfo:
    given = {
        "command": command,
        "model": {"name": "made-up", "revision": None, "unet_fingerprint": "1234"},
        "parameters": {},
        "machine": {"processor": "none", "threads": 1},
        "versions": {"torch": "0", "diffusers": "0", "focuslab": "0"},
        "device": "cpu",
        "dtype": "float32",
        "seed": 0,
        "prompts": tuple(f"prompt {i}" for i in range(PROMPTS)),
    }
    return RunInfo(**{**given, **changes})


def make_profile(
    seconds=(10.0, 20.0, 40.0, 80.0), methods=METHODS, overhead: float = 0.0, flops: bool = True, **changes
) -> ProfileRun:
    """overhead: seconds of a step that only the instrumented run takes, at every site."""
    records = []
    for length in seconds:
        for method in ("dense", *methods):
            label = method if method == "dense" else f"{method}:sites=*"
            times = {site: site_seconds(site, length, method) for site in SITES}
            whole = sum(times.values()) + OTHER_SECONDS * length
            head = {"seconds": length, "method": label, "repeat": 0}
            sites = 0 if method == "dense" else len(SITES)
            records += [
                {"kind": "expected", **head, "sites": sites, "sparse": bool(sites), "bound": None, "kept_pairs": 0.5}
                | {"flops": {"self_attention": 1e9 * sum(times.values()), "other": 1e9 * OTHER_SECONDS * length}}
                | {"predicted_peak_bytes": 1},
                {"kind": "steps", **head, "step_seconds": [whole]},
            ]
            inside = {site: value + overhead for site, value in times.items()}
            total = sum(inside.values()) + OTHER_SECONDS * length
            modules = [["unet", "other", 1, total, OTHER_SECONDS * length]]
            modules += [[site, "self_attention", 1, value, value] for site, value in inside.items()]
            records.append({"kind": "modules", **head, "step_seconds": [total], "modules": modules})
            if flops:
                counted = [["unet", 1e9 * whole], *([site, 1e9 * value] for site, value in times.items())]
                records.append({"kind": "flops", **head, "modules": counted})
    grids = {f"{s:g}": {site: [1, BLOCKS[block][0]] for site, block in SITES.items()} for s in seconds}
    return ProfileRun(make_info(grids=grids, **changes), profile_summary(records), tuple(records))


def make_flops(seconds: float, methods=METHODS) -> dict[MethodSpec, dict[str, float]]:
    """As of dry runs: what `make_profile` counts at a length."""
    found = {}
    for method in ("dense", *methods):
        times = {site: 1e9 * site_seconds(site, seconds, method) for site in SITES}
        found[MethodSpec.parse(method)] = {"": sum(times.values()) + 1e9 * OTHER_SECONDS * seconds, **times}
    return found


def make_sensitivity(seconds=(10.0, 20.0, 40.0, 80.0), methods=METHODS, steps=STEPS) -> list[dict]:
    return [
        {"kind": "sensitivity", "seconds": length, "group": group, "sites": list(site_names(group)), "method": method}
        | {"prompt": prompt, "step": step, "timestep": 1000 - 50 * step}
        | {"error": error(group, method, step, prompt, length)}
        for length in seconds
        for prompt in range(PROMPTS)
        for step in steps
        for group in BLOCKS
        for method in methods
    ]


def make_joint(seconds: float, choice: dict[str, str], exponent: float = 2.0, factor: float = 1.0) -> list[dict]:
    """The same error for every prompt and step, as if errors compounded with this exponent."""
    means = [
        sum(error(group, method, step, prompt, seconds) for step in STEPS for prompt in range(PROMPTS))
        / (len(STEPS) * PROMPTS)
        for group, method in choice.items()
    ]
    whole = factor * math.fsum(value**exponent for value in means) ** (1 / exponent)
    return [
        {"kind": "joint", "seconds": seconds, "choice": choice, "prompt": prompt, "step": step, "error": whole}
        for prompt in range(PROMPTS)
        for step in STEPS
    ]


def make_pass(seconds=(10.0, 20.0, 80.0), steps=(STEPS, STEPS), **changes):
    """A pass with joint runs; `steps`: of each prompt."""
    records = make_sensitivity(seconds)
    records += [r for s in seconds for choice in (PAPER, ALL_SITES) for r in make_joint(s, choice)]
    recorded = {f"{s:g}": [list(own) for own in steps] for s in seconds}
    parameters = {"seconds": list(seconds), "steps": 20, "recorded_steps": recorded, "unet": UNET}
    info = make_info("sensitivity", **{"parameters": parameters, **changes})
    timed = [{**record, "seconds_elapsed": 0.1} for record in records]
    return SensitivityRun(info, sensitivity_summary(timed), tuple(timed))


def make_capture(seconds=(10.0, 20.0, 40.0, 80.0), cross_weight: float | str = 1.0, **changes) -> AttentionRun:
    rows = [
        {"name": site, "block": block, "seconds": length, "lift": LIFTS[block] + 0.1 * i}
        | {"recall": {"0": 0.2 + 0.01 * i, "0.1": 0.4, "0.02": 0.3}, "output_error": {"0": 0.3, "0.1": 0.1}}
        for length in seconds
        for i, (site, block) in enumerate(SITES.items())
    ]
    info = make_info("capture-attn", parameters={"cross_weight": cross_weight}, **changes)
    return AttentionRun(info, {"schema": "focuslab/attention/1", "sites": rows, "blocks": []})


def make_summary(**budget) -> dict:
    """The summary of a choice from all of these, with the paper's choice and all sites beside it."""
    profile, attention, records = make_profile(), make_capture(), make_sensitivity()
    records += [r for s in (20.0, 80.0) for c in (PAPER, ALL_SITES) for r in make_joint(s, c, 1.7, 1 + s / 1000)]
    cost = CostModel(profile)
    frontiers = make_frontiers(cost, records, attention)
    points = choose_each(frontiers, **budget)
    choices = (("paper", PAPER), ("all sites", ALL_SITES))
    marks = {name: {s: predict(f, choice) for s, f in frontiers.items()} for name, choice in choices}
    return choice_summary(points, frontiers, marks, cost, attention, budget=Budget(**budget))


def make_frontiers(cost, records, attention=None):
    candidates = candidates_of(cost, records, attention)
    error_model = fit_error_model(candidates, records)
    return {s: frontier(own, cost.dense_step(s).seconds, error_model) for s, own in candidates.items()}


def choose_each(frontiers, **budget):
    """The choice at each length, dense where nothing meets the budget."""
    points = {}
    for seconds in sorted(frontiers):
        try:
            points[seconds] = choose(frontiers[seconds], **budget)
        except NothingMeetsBudget:
            points[seconds] = frontiers[seconds].dense
    return points


def predict(found, labels: dict[str, str]):
    return found.predict(parse_choice(labels))


def labels(choice) -> dict[str, str]:
    """Group -> label, of a choice."""
    return {group: str(method) for group, method in choice.items()}


def candidate(group: str, method: str, saved: float, error: float, **more) -> Candidate:
    return Candidate(group, (f"{group}.site",), MethodSpec.parse(method), saved, error, **more)
