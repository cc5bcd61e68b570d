"""Run directories of every kind, as the commands write them, for the page that is made of them."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from focuslab.analysis.attention import attention_summary
from focuslab.analysis.validation import validation_summary
from focuslab.io.audio import encode_wav
from focuslab.methods import Plan
from focuslab.runs import RECOMMENDATION_SCHEMA, RunInfo
from focuslab.runs.arrays import write_arrays
from focuslab.runs.directory import to_json_bytes
from focuslab.runs.plan import PlanEntry
from focuslab.search.quality import best_in_quality
from focuslab.search.summary import choice_evidence
from tests import attention_records, choice_records, evaluation_records

RATE = 16_000
STARTED = {"started": "2026-11-23T10:00:00+00:00", "ended": "2026-11-23T10:20:00+00:00"}
HOSTILE = (
    "<script>document.title = 'run'</script>",
    "\"double\" 'single' & <b>bold</b> </title></style></script> {{ 7 * 7 }} <!-- -->",
    "rain \N{CLOUD WITH RAIN} and a \N{FAMILY} of \N{DROPLET}, $x^2$ \\alpha",
    "\N{HEBREW LETTER GIMEL}\N{HEBREW LETTER SHIN}\N{HEBREW LETTER FINAL MEM} \N{RIGHT-TO-LEFT OVERRIDE}abc",
    "long " * 2000,
)
"""Captions that are text and nothing else."""
PLACE = {"machine": {"processor": "a processor", "threads": 2}, "versions": {"torch": "2", "focuslab": "0.1"}}


def write_all(root: Path, prompts=("rain on a tin roof", "a fast siren"), model: str = "made-up") -> Path:
    """A directory with one run of each kind, all of one model."""
    write_profile(root / "profile", model)
    write_capture(root / "capture", model)
    write_plan(root / "plan", model)
    write_evaluation(root / "evaluation", prompts, model)
    write_sounds(root / "sounds", prompts, model)
    return root


def write_run(directory: Path, info: RunInfo, summary: dict, records=(), model: str = "made-up") -> Path:
    directory.mkdir(parents=True)
    info = dataclasses.replace(info, model={**info.model, "name": model}, **PLACE, **STARTED)
    (directory / "run.json").write_bytes(to_json_bytes(info.to_json()))
    (directory / "summary.json").write_bytes(to_json_bytes(summary))
    if records:
        (directory / "records.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return directory


def write_profile(directory: Path, model: str = "made-up", seconds=(10.0, 20.0, 40.0, 80.0)) -> Path:
    info = choice_records.make_info(parameters={"seconds": list(seconds), "steps": 1, "repeats": 3})
    return write_run(directory, info, profile_summary(seconds), model=model)


def profile_summary(seconds=(10.0, 20.0, 40.0, 80.0)) -> dict:
    """Dense, litefocus and naive; naive stops after the second length. Speed-ups and shares fit the times."""
    rows = []
    for i, length in enumerate(seconds):
        dense = 0.02 * length ** (1 + 0.1 * i)
        for method, speed, own in (("dense", 1, 0.3), ("litefocus", 1.1 + 0.2 * i, 0.2), ("naive", 0.6, 0.5)):
            if method == "naive" and i > 1:
                continue
            shares = {"self_attention": own + 0.1 * i, "cross_attention": 0.05, "feed_forward": 0.2 - 0.04 * i}
            shares["resnet"] = 0.15
            shares["other"] = 1 - sum(shares.values())
            bound = dense / (1.3 + 0.4 * i)
            sparse = method == "litefocus"
            ideal = bound + 0.2125 * (dense - bound) if sparse else None
            modules = [(f"block.{k}", kind, share) for k, (kind, share) in enumerate(shares.items())]
            rows.append(
                {
                    "seconds": length,
                    "method": method,
                    "sites": 20 if sparse else 0,
                    "step_seconds_median": dense / speed,
                    "step_seconds_p10": 0.97 * dense / speed,
                    "step_seconds_p90": 1.05 * dense / speed,
                    "step_seconds": [dense / speed] * 3,
                    "speedup_vs_dense": speed,
                    "peak_bytes": int(2e9 + 1e7 * length),
                    "predicted_peak_bytes": int(2e9),
                    "flops_per_step": int(1e11 * length / speed),
                    "kept_pairs": 0.2125 if sparse else None,
                    "bound_seconds": bound if sparse else None,
                    "ideal_seconds": ideal,
                    "share_of_ideal": ideal * speed / dense if sparse else None,
                    "generation_seconds_projected": 200 * dense / speed,
                    "kind_share": shares,
                    "kind_flop_share": shares,
                    "modules": [
                        {"name": n, "kind": k, "calls": 1, "inclusive_seconds": s * dense / speed}
                        | {"exclusive_seconds": s * dense / speed, "flops": 10**9}
                        for n, k, s in modules
                    ],
                }
            )
    stages = [
        {
            "seconds": seconds[0],
            "stage": "prompt_encoding",
            "stage_seconds_median": None,
            "note": "not measured: absent",
        },
        {"seconds": seconds[0], "stage": "vae_decoder", "stage_seconds_median": 1.5, "note": None},
    ]
    return {
        "schema": "focuslab/profile/1",
        "rows": rows,
        "stages": stages,
        "instrumented_over_plain": 1.01,
        "projected_steps": 200,
    }


def write_capture(directory: Path, model: str = "made-up", seconds=(10.0, 20.0), prompts: int = 3) -> Path:
    info = attention_records.make_info(prompts=prompts, seconds=seconds)
    records = attention_records.make_records(info)
    write_run(directory, info, attention_summary(info, records), model=model)
    write_arrays(directory / "arrays" / "0-10.safetensors", attention_records.make_arrays(info))
    return directory


def write_plan(directory: Path, model: str = "made-up") -> Path:
    """directory/plan.json, with its recommendation and proof in directory/plan, as `focuslab recommend` lays them."""
    choice, info = choice_records.make_summary(), choice_records.make_info("recommend")
    proof = make_proof(choice)
    heard = best_in_quality(evaluation_records.summary())
    quality = {
        "quality": {f"{seconds:g}": best.to_json() for seconds, best in heard.items()},
        "objective": dict.fromkeys((f"{seconds:g}" for seconds in heard), "fidelity"),
    }
    write_run(
        directory / "plan",
        info,
        {"schema": RECOMMENDATION_SCHEMA, "choice": choice, "proof": proof, "notes": [], **quality},
        model=model,
    )
    write_run(directory / "plan" / "proof", choice_records.make_info("proof"), proof, model=model)
    names = {site["name"]: site["mel_rows"] for site in choice["lengths"][0]["sites"]}
    unet = {
        "frame_seconds": 0.01,
        "frames_per_latent": 4,
        "latent_mel_rows": 16,
        "sites": {name: {"mel_rows": rows, "heads": 2, "head_width": 16} for name, rows in names.items()},
    }
    chosen = {s["name"]: s["method"] for s in choice["lengths"][-1]["sites"] if s["method"]}
    sites = {name: {"method": method.partition(":")[0], "cross_fraction": 0.02} for name, method in chosen.items()}
    plan = Plan(
        model,
        unet,
        (PlanEntry(0, 15.0), PlanEntry(15.0, None, sites)),
        {"choice": choice_evidence(choice), "measured": {"steps": 20, "rows": proof["rows"]}, **quality},
    )
    plan.write(directory / "plan.json")
    return directory


def make_proof(choice: dict) -> dict:
    """A plan that is as fast as predicted and whose error at the longest length is not."""
    predictions = {row["seconds"]: row["points"] for row in choice["lengths"]}
    timings, records = [], []
    for seconds, points in predictions.items():
        dense = points["dense"]["step_seconds"]
        for method, point in points.items():
            median = dense / point["speedup"]
            timings.append({"seconds": seconds, "method": method, "step_seconds_median": median})
            timings[-1] |= {"step_seconds_p10": 0.95 * median, "step_seconds_p90": 1.05 * median}
            for prompt in range(3) if method != "dense" else ():
                off = 3 if seconds == max(predictions) else 1
                place = {"seconds": seconds, "prompt": prompt, "method": method}
                error = off * point["error"] * (1 + 0.02 * prompt)
                records.append({"kind": "error", **place, "step": 0, "error": error})
                heard = {"log_mel_l1": 0.2 + 0.02 * prompt, "rms_ratio": 1.01, "centroid_ratio": 0.98}
                records.append({"kind": "sound", **place, **heard})
    return validation_summary(records, timings, predictions, steps=20)


def write_evaluation(directory: Path, prompts, model: str = "made-up", lengths=(10.0, 40.0)) -> Path:
    """With sounds of each prompt at one length, dense and sparse."""
    summary = evaluation_records.summary(lengths)
    info = evaluation_records.info(prompts=tuple(prompts), parameters={"steps": 20, "seeds": [0]})
    records = []
    for prompt in range(len(prompts)):
        for i, method in enumerate(("dense", "litefocus", "tome")):
            audio = f"audio/10s/{i}-{method}/{prompt:05}-seed0.wav"
            record = {"kind": "item", "prompt": prompt, "seconds": 10.0, "method": method, "seed": 0}
            record |= {"status": "scored", "audio": audio, "denoising_seconds": 2.0 - 0.5 * i}
            records.append(record | {"values": {"log_mel_l1": 0.1 * i}})
    write_run(directory, info, summary, records, model=model)
    for i, record in enumerate(records):
        write_wav(directory / record["audio"], 200 + 40 * i, 1.0)
    return directory


def write_sounds(directory: Path, prompts, model: str = "made-up", seconds: float = 2.0) -> Path:
    """As `focuslab generate` writes them: dense and sparse of each prompt."""
    for i, prompt in enumerate(prompts):
        for method in ("Dense(sites=None)", "LiteFocus(sites=None, cross_fraction=0.1)"):
            path = directory / f"{i}-{method.partition('(')[0].lower()}.wav"
            write_wav(path, 300 + 50 * i, seconds)
            settings = {
                "schema": "focuslab/generation/1",
                "model": {"name": model},
                "prompt": prompt,
                "seconds": seconds,
                "steps": 20,
                "guidance_scale": 3.5,
                "seed": 0,
                "method": method,
                "sampling_rate": RATE,
                "wall_seconds": 3.0,
                "device": "cpu",
                "dtype": "float32",
                **PLACE,
            }
            path.with_suffix(".json").write_bytes(to_json_bytes(settings))
    return directory


def write_wav(path: Path, hertz: float, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * RATE)) / RATE
    path.write_bytes(encode_wav(0.4 * np.sin(2 * np.pi * hertz * time * (1 + 0.2 * time)), RATE))
