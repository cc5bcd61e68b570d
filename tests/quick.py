"""What makes tests of whole commands quick, and the same on every machine."""

import json

from focuslab.hooks.meta_cost import meta_cost
from focuslab.hooks.recorder import Recorder
from focuslab.methods import Method, Plan
from focuslab.results import ProfileRun


class CountingClock:
    """Every mark is a millisecond after the one before: what calls as many modules takes as long."""

    def __init__(self):
        self._marks = 0

    def mark(self):
        self._marks += 1
        return self._marks

    def synchronize(self):
        pass

    def seconds(self, start, end):
        return (end - start) / 1e3

    def release(self, marks):
        pass


def twice_as_fast(profile):
    """Change the summary in the directory of a profile, so that its methods take half the time at every site."""
    run = ProfileRun.load(profile)
    dense = {row["seconds"]: row for row in run.rows if row["method"] == "dense"}
    for row in run.rows:
        if row["method"] not in ("dense", "bound", "bound:sites=*"):
            times = {m["name"]: m["inclusive_seconds"] for m in dense[row["seconds"]]["modules"]}
            for module in row["modules"]:
                if ".attn" in module["name"]:
                    module["inclusive_seconds"] = times[module["name"]] / 2
            row["step_seconds_median"] = dense[row["seconds"]]["step_seconds_median"] * 0.6
    (profile / "summary.json").write_text(json.dumps({**run.summary, "rows": run.rows}))


_DRY_RUNS = {}


def remember_meta_costs(patch):
    """Let the commands dry-run each method at each shape once: at lengths as in tests that is most of their work.

    Tests of `meta_cost` itself imported it before, and call what is no memory.
    """
    for module in ("measure.loop", "workflows.records"):
        patch.setattr(f"focuslab.{module}.meta_cost", _remembered)


def _remembered(unet, inputs, attach, device="cpu"):
    does = _what_it_does(attach)
    if does is None:
        return meta_cost(unet, inputs, attach, device)
    shapes = tuple((name, tuple(getattr(x, "shape", ()))) for name, x in inputs.items())
    # A UNet on meta tensors is its configuration and its dtype.
    key = type(unet), repr(sorted(unet.config.items())), unet.dtype, shapes, str(device), does
    if key not in _DRY_RUNS:
        _DRY_RUNS[key] = meta_cost(unet, inputs, attach, device)
    return _DRY_RUNS[key]


def _what_it_does(attach):
    """Text that tells what is attached from everything else; None where there is none."""
    if isinstance(attach, Plan):
        return json.dumps(attach.to_json(), sort_keys=True)
    if isinstance(attach, Method):
        return type(attach), repr(attach)
    # `focuslab.measure.capture` attaches a recorder with the names of its sites.
    held = [cell.cell_contents for cell in getattr(attach, "__closure__", None) or ()]
    recorders = [of for of in held if isinstance(of, Recorder)]
    if len(recorders) != 1 or " at 0x" in repr(recorders[0].request):
        return None
    return repr(recorders[0].request), repr([of for of in held if of is not recorders[0]])
