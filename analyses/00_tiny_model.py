"""What the bundled model can do: sound, text, vocoder, attention, length, speed and size, against its targets.

    python analyses/00_tiny_model.py

Held-out captions and seeds throughout. Writes into --out what was measured of each clip (clips.jsonl; a run that was
stopped is resumed behind it), the captured attention, targets.md, by_length.md, spectrograms of eight generated clips
and the curves of the training.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import matplotlib.pyplot as plt
import numpy as np
import torch

import focuslab
from focuslab.cli.options import report_errors
from focuslab.metrics import clap_score, clipping_share, silence_share, spectral_centroid
from focuslab.metrics.mel import SAMPLE_RATE, log_mel
from focuslab.models.specs import BUNDLED
from focuslab.report.figures.style import save
from focuslab.runs.directory import write_atomically
from focuslab.stats.intervals import bootstrap_interval

TINY = Path(__file__).parent / "tiny_model"
sys.path.insert(0, str(TINY))
import data  # noqa: E402
import render  # noqa: E402
from judge import Judge, kl, mels_given, steps_by_frames  # noqa: E402
from sounds import CLASSES  # noqa: E402

STEPS = 25


def facts(samples: np.ndarray) -> dict[str, float]:
    """Level, brightness, clipping and silence of a sound."""
    clip = samples[None]
    return {
        "rms": float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))),
        "centroid_hertz": float(spectral_centroid(clip, SAMPLE_RATE)[0]),
        "clipped": float(clipping_share(clip)[0]),
        "silent": float(silence_share(clip, SAMPLE_RATE)[0]),
    }


def generated(pipe, judge: Judge, clips: data.Clips, counts: dict[float, int], out: Path, weights: str) -> list[dict]:
    """One record a generated clip; those in clips.jsonl are not made again."""
    file = out / "clips.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    made = {(record["seconds"], record["clip"]) for record in records}
    if any(record["weights"] != weights or "kl" not in record for record in records):
        raise click.ClickException(
            f"{file} was made with other weights or by an earlier version: remove it, or give another --out"
        )
    for seconds, count in counts.items():
        for index in range(count):
            if (seconds, index) in made:
                continue
            caption = clips.captions[index]
            with mels_given(pipe.vocoder) as mels:
                sound = focuslab.generate(pipe, caption, seconds, steps=STEPS, seed=1000 + index)
            in_sound, in_mel = judge.logits(sound.samples), judge.logits_of_mel(mels[0])
            reference = judge.logits(clips.waveform(index).numpy())
            record = {
                "seconds": seconds,
                "clip": index,
                "caption": caption,
                "label": clips.labels[index],
                "named": judge.name(in_sound),
                "named_in_mels": judge.name(in_mel),
                "kl": kl(reference, in_sound),
                "kl_in_mels": kl(reference, in_mel),
                "clap": float(clap_score(judge.audio(sound.samples)[None], judge.text(caption)[None])),
                "wall_seconds": sound.settings["wall_seconds"],
                "weights": weights,
                **facts(sound.samples),
            }
            with file.open("a") as stream:
                stream.write(json.dumps(record) + "\n")
            records.append(record)
            print(f"{seconds:g} s, clip {index}: {caption!r} sounds like {record['named']}", flush=True)
    return records


def describe_weights(model: Path) -> str:
    """Which weights were measured: the steps that each component was trained for."""
    steps = json.loads((model / "training.json").read_text())["steps"]
    return ", ".join(f"{name} {count}" for name, count in sorted(steps.items()))


def real_clips(judge: Judge, clips: data.Clips) -> dict[str, list[float]]:
    """What the judges say of every real held-out clip."""
    samples = [clips.waveform(i).numpy() for i in range(len(clips))]
    audio = _unit(np.stack([judge.audio(s) for s in samples]))
    text = _unit(np.stack([judge.text(caption) for caption in clips.captions]))
    scores = audio @ text.T
    own = np.arange(len(clips))
    other = (own + np.random.default_rng(0).integers(1, len(clips), len(clips))) % len(clips)
    matching = scores.diagonal()
    near = [
        next((j for j in range(i + 1, i + len(clips)) if _differs_in_attributes(clips, i, j % len(clips))), None)
        for i in range(len(clips))
    ]
    return {
        "right": [float(judge.label(s) == label) for s, label in zip(samples, clips.labels, strict=True)],
        "clap": matching.tolist(),
        "above_other_clip": (matching > scores[own, other]).astype(float).tolist(),
        "above_other_attributes": [
            float(matching[i] > scores[i, j % len(clips)]) for i, j in enumerate(near) if j is not None
        ],
    }


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _differs_in_attributes(clips: data.Clips, i: int, j: int) -> bool:
    return clips.labels[i] == clips.labels[j] and clips.attributes[i] != clips.attributes[j]


@torch.no_grad()
def through_vocoder(pipe, judge: Judge, clips: data.Clips) -> tuple[list[float], list[float], list[float]]:
    """Log-mel L1 of each real clip through the vocoder alone, and through the VAE and the vocoder; whether its class is
    still heard behind the vocoder, which bounds what any generated mel spectrogram can be heard as."""
    alone, both, right = [], [], []
    for index in range(len(clips)):
        mel = log_mel(clips.waveform(index)[None])
        made = pipe.vocoder(mel)
        alone.append(float((log_mel(made) - mel).abs().mean()))
        right.append(float(judge.label(made[0].numpy()) == clips.labels[index]))
        if index % 4 == 0:
            decoded = pipe.vae.decode(pipe.vae.encode(mel[:, None]).latent_dist.mode()).sample[:, 0]
            both.append(float((log_mel(pipe.vocoder(decoded)) - mel).abs().mean()))
    return alone, both, right


def attention(pipe, prompts: list[str], out: Path, name: str) -> dict:
    run = focuslab.capture_attention(
        pipe,
        prompts=prompts,
        seconds=(10.0,),
        steps=STEPS,
        statistics=("mass",),
        cross_fractions=(),
        out=out / name,
    )
    return run.summary


def reinitialised(pipe, model: Path):
    """The pipeline with a UNet whose weights were never trained, for a control."""
    torch.manual_seed(0)
    control = focuslab.load(str(model))
    control.set_progress_bar_config(disable=True)
    control.unet = type(pipe.unet).from_config(pipe.unet.config).eval()
    return control


def with_interval(values: list[float]) -> str:
    low, high = bootstrap_interval(np.asarray(values))
    return f"{statistics.fmean(values):.3f} ({low:.3f} to {high:.3f}, n = {len(values)})"


def targets_of(records, real, vocoder, trained, control, load_seconds, size) -> Iterator[tuple[str, str, str, bool]]:
    """(what, target, measured, met)"""
    ten = [record for record in records if record["seconds"] == 10.0]
    right = [float(record["named"] == record["label"]) for record in ten]
    yield "class of generated 10 s clips recognised", "at least 0.60", with_interval(right), np.mean(right) >= 0.6
    yield (
        "class of real held-out clips recognised",
        "at least 0.90",
        with_interval(real["right"]),
        (np.mean(real["right"]) >= 0.9),
    )
    above = real["above_other_clip"]
    yield "CLAP: own caption above another clip's", "at least 0.90", with_interval(above), np.mean(above) >= 0.9
    yield "vocoder, log-mel L1 of held-out clips", "at most 0.35", with_interval(vocoder), np.mean(vocoder) <= 0.35
    finest = max(row["mel_rows"] for row in trained["sites"])
    blocks = [row for row in trained["blocks"] if row["mel_rows"] == finest]
    best = max(blocks, key=lambda row: row["lift"])
    heads = {row["name"]: row["best_head_lift"] for row in blocks}
    yield (
        f"lift of the best F = {finest} block ({best['name']})",
        "at least 2.5",
        f"{best['lift']:.2f}",
        (best["lift"] >= 2.5),
    )
    yield "lift of the best head in such a block", "at least 6", f"{max(heads.values()):.2f}", max(heads.values()) >= 6
    intervals = sorted((row["lift_low"], row["lift_high"]) for row in trained["blocks"])
    apart = any(a[1] < b[0] for a in intervals for b in intervals)
    yield "blocks differ by more than their intervals", "yes", "yes" if apart else "no", apart
    lifts = [row["lift"] for row in control["blocks"]]
    yield (
        "lift of the control, all blocks",
        "0.95 to 1.05",
        f"{min(lifts):.3f} to {max(lifts):.3f}",
        (min(lifts) >= 0.95 and max(lifts) <= 1.05),
    )
    wall = statistics.median(record["wall_seconds"] for record in ten)
    yield f"a 10 s clip in {STEPS} steps, seconds", "under 20", f"{wall:.1f} (median of {len(ten)})", wall < 20
    yield "loading, seconds", "under 3", f"{load_seconds:.2f}", load_seconds < 3
    yield "size in the package, MB", "at most 25", f"{size / 1e6:.1f}", size <= 25e6


def behind_the_vocoder(records: list[dict]) -> list[str]:
    """What the classifier finds in the generated mels of 10 s clips, and what of it is left in their sound."""
    ten = [record for record in records if record["seconds"] == 10.0]
    sound, mels = ([float(r[key] == r["label"]) for r in ten] for key in ("named", "named_in_mels"))
    more = [a - b for a, b in zip(sound, mels, strict=True)]
    return [
        f"Class of generated 10 s clips recognised in their mels alone: {with_interval(mels)}.",
        f"Behind the vocoder minus in mels alone, paired: {with_interval(more)}.",
        f"KL of class posteriors, held-out recording || generated clip, nats: {with_interval([r['kl'] for r in ten])}.",
        f"The same of the mels alone: {with_interval([r['kl_in_mels'] for r in ten])}.",
    ]


def by_length(records: list[dict], real: dict[str, list[float]]) -> str:
    """The same captions at each length, beside the real clips."""
    head = "| seconds | class recognised | in mels alone | KL | CLAP score | RMS | centroid, Hz | silent |"
    lines = [head, "|" + " --- |" * 8]
    lengths = sorted({record["seconds"] for record in records})
    shared = set.intersection(*({r["clip"] for r in records if r["seconds"] == s} for s in lengths))
    for seconds in lengths:
        rows = [r for r in records if r["seconds"] == seconds and r["clip"] in shared]
        right, mels = (with_interval([float(r[key] == r["label"]) for r in rows]) for key in ("named", "named_in_mels"))
        divergence = with_interval([r["kl"] for r in rows])
        rms, centroid, silent = (statistics.median(r[key] for r in rows) for key in ("rms", "centroid_hertz", "silent"))
        clap = with_interval([r["clap"] for r in rows])
        lines.append(
            f"| {seconds:g} | {right} | {mels} | {divergence} | {clap} | {rms:.3f} | {centroid:.0f} | {silent:.3f} |"
        )
    lines.append(f"| real, 10.24 | {with_interval(real['right'])} | | | {with_interval(real['clap'])} | | | |")
    return "\n".join(lines) + "\n"


def spectrograms(pipe, clips: data.Clips, out: Path) -> None:
    """Eight generated clips above the real clips of the same captions."""
    figure, axes = plt.subplots(4, 4, figsize=(13, 9), sharex=True, sharey=True, layout="constrained")
    for column in range(8):
        top, left = 2 * (column // 4), column % 4
        index = column * len(CLASSES) // 8
        sound = focuslab.generate(pipe, clips.captions[index], 10.0, steps=STEPS, seed=1000 + index)
        pairs = (("generated", sound.samples), ("real", clips.waveform(index).numpy()))
        for row, (kind, samples) in enumerate(pairs):
            axis = axes[top + row, left]
            mel = log_mel(torch.from_numpy(samples)[None])[0].numpy()
            axis.imshow(
                mel.T, origin="lower", aspect="auto", extent=(0, len(mel) / 100, 0, 64), vmin=-9, vmax=1, cmap="magma"
            )
            axis.set_title(clips.captions[index] if row == 0 else "a real clip of this caption", fontsize=8)
            axis.set_ylabel(f"{kind}: mel bin" if left == 0 else "")
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    save(figure, out / "spectrograms")


def curves(out: Path) -> None:
    """What each training minimised and what it reached on held-out clips, from the logs kept in --out/training."""
    logs = sorted((out / "training").glob("*.jsonl"))
    figure, axes = plt.subplots(1, len(logs), figsize=(3.4 * len(logs), 3), layout="constrained", squeeze=False)
    for axis, log in zip(axes[0], logs, strict=True):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        axis.plot([line["step"] for line in lines], [line["loss"] for line in lines], color="0.6", label="loss")
        for key in sorted({key for line in lines for key in line if key.startswith("held_out_")}):
            points = [(line["step"], line[key]) for line in lines if key in line]
            axis.plot(*zip(*points, strict=True), marker=".", label=key.replace("_", " "))
        low = min(min(line["loss"] for line in lines), *(v for line in lines for k, v in line.items() if "held" in k))
        axis.set(title=log.stem, xlabel="step", ylim=(min(0, low), np.percentile([line["loss"] for line in lines], 98)))
        axis.legend(fontsize=6)
    save(figure, out / "training_curves")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default="reports/00_tiny_model", show_default=True)
@click.option(
    "--data", "directory", type=click.Path(path_type=Path), help="Held-out clips by render.py; else rendered."
)
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED, help="A pipeline by train.py export.")
@click.option("--clips", default=90, show_default=True, help="Generated clips of 10 s.")
@click.option("--long-clips", default=12, show_default=True, help="Generated clips of each longer length.")
@click.option("--long-seconds", default="20,40,80", show_default=True, help="The longer lengths.")
@click.option("--prompts", default=12, show_default=True, help="Prompts whose attention is captured.")
@click.option("--real", "real_count", default=240, show_default=True, help="Real held-out clips.")
@report_errors
def main(
    out: Path,
    directory: Path | None,
    model: Path,
    clips: int,
    long_clips: int,
    long_seconds: str,
    prompts: int,
    real_count: int,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    pipe = focuslab.load(str(model))
    load_seconds = time.perf_counter() - started
    pipe.set_progress_bar_config(disable=True)
    size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
    judge = Judge(pipe)
    with tempfile.TemporaryDirectory() as scratch:
        if directory is None:
            directory = Path(scratch)
            for number in range(-(-real_count // render.SHARD)):
                render.render_shard(directory, "test", number, render.SHARD)
        held_out = data.Clips(directory, "test", real_count)
        real = real_clips(judge, held_out)
        vocoder, whole_chain, vocoded_right = through_vocoder(pipe, judge, held_out)
        captions = held_out.captions[:prompts]
        trained = attention(pipe, captions, out, "attention")
        control = attention(reinitialised(pipe, model), captions, out, "attention_untrained")
        counts = {10.0: clips} | {float(seconds): long_clips for seconds in long_seconds.split(",") if seconds}
        records = generated(pipe, judge, held_out, counts, out, describe_weights(model))
        spectrograms(pipe, held_out, out)
    curves(out)
    lines = ["| what | target | measured | |", "| --- | --- | --- | --- |"]
    for what, target, measured, met in targets_of(records, real, vocoder, trained, control, load_seconds, size):
        lines.append(f"| {what} | {target} | {measured} | {'met' if met else 'missed'} |")
    lines += [
        "",
        f"Class of real clips recognised behind mel and vocoder: {with_interval(vocoded_right)}.",
        f"Log-mel L1 through VAE and vocoder: {with_interval(whole_chain)}.",
        f"CLAP: own caption above one of the same class with other attributes: "
        f"{with_interval(real['above_other_attributes'])}.",
        *behind_the_vocoder(records),
        f"Weights: {describe_weights(model)} steps; the UNet {steps_by_frames(out / 'training' / 'unet.jsonl')}.",
    ]
    write_atomically(out / "targets.md", ("\n".join(lines) + "\n").encode())
    write_atomically(out / "by_length.md", by_length(records, real).encode())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
