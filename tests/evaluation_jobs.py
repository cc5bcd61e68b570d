"""Evaluations without a model: sounds of noise, embedders of a few sums."""

import hashlib
import time
from dataclasses import dataclass

import numpy as np
import pytest

from focuslab.io.captions import Caption
from focuslab.measure.evaluation.config import Share, parse_metrics
from focuslab.measure.evaluation.items import Work
from focuslab.measure.evaluation.job import Job
from focuslab.measure.evaluation.reference import find_reference
from focuslab.measure.evaluation.scorer import Scorer, TimedClip
from focuslab.measure.evaluation.shared import SharedDirectory
from focuslab.measure.evaluation.worker import Worker
from focuslab.metrics.embedders import Embedder
from focuslab.results import EvaluationRun
from focuslab.runs import RunInfo

RATE = 16_000
METHODS = ("dense", "litefocus", "tome")
SLOWER = {"dense": 4.0, "litefocus": 2.0, "tome": 1.0}


class NoiseSounds:
    """Noise of its seed, and of its method on top. broken: (prompt, seconds, method) -> "nan" or "silent"."""

    sampling_rate = RATE

    def __init__(self, captions, broken=None, pause=0.0):
        self._broken = {(captions[p].text, s, m): how for (p, s, m), how in (broken or {}).items()}
        self._pause = pause
        self.made = []

    def encode(self, text):
        return text

    def make(self, caption, seconds, label, noise_seed):
        time.sleep(self._pause)
        self.made.append((caption, seconds, label))
        shape = round(seconds * RATE)
        samples = np.random.default_rng(noise_seed).standard_normal(shape) * 0.1
        samples += np.random.default_rng([noise_seed, len(label)]).standard_normal(shape) * 0.02 * (label != "dense")
        how = self._broken.get((caption, seconds, label))
        if how is not None:
            samples = np.full(shape, np.nan) if how == "nan" else np.zeros(shape)
        steps = [seconds * SLOWER.get(label, 1.0) * (1 + noise_seed % 7 / 100)] * 2
        return TimedClip(samples.astype(np.float32), steps, sum(steps) + 1)


@dataclass(frozen=True, eq=False)
class Bands(Embedder):
    """Magnitudes of a few bands, as a row of length 1 or as logits."""

    unit: bool = True

    def _embed(self, windows):
        rows = []
        for window in windows:
            magnitudes = np.abs(np.fft.rfft(window, 256))[1:]
            rows.append(
                np.log1p(magnitudes[: 128 // self.dimension * self.dimension].reshape(self.dimension, -1).sum(1))
            )
        rows = np.array(rows, dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if self.unit else rows

    def embed_text(self, texts):
        seeds = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") for text in texts]
        return np.stack([np.random.default_rng(seed).standard_normal(self.dimension) for seed in seeds]).astype(
            np.float32
        )


CLAP = Bands("clap", "bands", RATE, 1600, 4)
TAGGER = Bands("ast", "classes", RATE, 2400, 5, unit=False)


def job(captions=6, seconds=(0.2, 0.4), methods=METHODS, seeds=(0,), metrics=("fad", "kl", "clap", "fidelity"), **more):
    """captions: how many, or which. more: reference (a directory), keep_audio."""
    if isinstance(captions, int):
        captions = tuple(Caption(f"caption {number}", (f"id{number}", f"Yid{number}")) for number in range(captions))
    work = Work(tuple(captions), tuple(seconds), tuple(methods), tuple(seeds))
    scorer = Scorer(parse_metrics(metrics), CLAP, TAGGER)
    reference = find_reference(more["reference"], captions, 2) if "reference" in more else None
    info = RunInfo(
        command="evaluate",
        model={"name": "noise"},
        parameters={
            "seconds": list(seconds),
            "methods": dict(methods) if isinstance(methods, dict) else {label: label for label in methods},
            "seeds": list(seeds),
            "steps": 2,
            "metrics": list(scorer.metrics),
            "embedders": scorer.describe(),
            "reference": reference.to_json() if reference else None,
            "keep_audio": more.get("keep_audio", False),
        },
        machine={"processor": "none", "threads": 1},
        versions={"torch": "2"},
        device="cpu",
        dtype="float32",
        seed=seeds[0],
        prompts=tuple(caption.text for caption in captions),
    )
    flops = {(s, label): 1 for s in seconds for label in methods}
    return Job(work, {}, scorer, reference, flops, info)


def run(given, out, share=None, progress=None, **sounds):
    """Do a share of a job; the run if it finished the whole, and the sounds that were made."""
    share = share or Share()
    maker = NoiseSounds(given.work.captions, **sounds)
    with SharedDirectory(out, given.info, share.rank) as directory:
        worker = Worker(given, maker, directory, share, progress or (lambda *_: None))
        finished = worker.finish() if worker.work() else None
        if finished is None:
            return None, maker.made
    summary, records = finished
    return EvaluationRun(directory.asked, summary, tuple(records), out), maker.made


class Stop(BaseException):
    """Ends a run as Ctrl-C does."""


def run_until(given, out, after):
    """Do a job alone until it has made `after` sounds, and stop it before the next."""
    make, made = NoiseSounds.make, []

    def stopping(self, *arguments):
        if len(made) == after:
            raise Stop
        made.append(arguments)
        return make(self, *arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(NoiseSounds, "make", stopping)
        run(given, out)


def numbers(summary):
    """What of a summary does not depend on how long anything took."""
    keep = ("seconds", "method", "n", "excluded", "metrics")
    return [{key: row[key] for key in keep} for row in summary["rows"]], summary["items"]
