"""One process at its share of an evaluation."""

import hashlib
from dataclasses import replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from focuslab.errors import InputError
from focuslab.io.audio import encode_wav, read_audio
from focuslab.io.files import write_file
from focuslab.measure.evaluation.config import Share
from focuslab.measure.evaluation.finish import finish, usable
from focuslab.measure.evaluation.items import DENSE, NoiseGroup, noise_seeds, sitting_of
from focuslab.measure.evaluation.job import Job
from focuslab.measure.evaluation.reference import Reference
from focuslab.measure.evaluation.scorer import SCORED, ClipMaker, TimedClip
from focuslab.measure.evaluation.shards import ShardReader, ShardWriter
from focuslab.measure.evaluation.shared import AUDIO, EMBEDDINGS, PENDING, SharedDirectory
from focuslab.metrics.embedders import resample
from focuslab.runs import Progress
from focuslab.runs.arrays import read_safetensors, write_arrays
from focuslab.runs.directory import now

_REPORT_SECONDS = 5.0
_NOWHERE = {"shard": None, "place": None}
"""Of a record without embeddings."""


class Worker:
    """Does the share of one process, an item at a time, and keeps nothing of one but what is on disk."""

    def __init__(self, job: Job, maker: ClipMaker, run: SharedDirectory, share: Share, progress: Progress):
        self.job = job
        self.maker = maker
        self.run = run
        self.share = share
        self.progress = progress
        self.reader = ShardReader(run.path / EMBEDDINGS)
        self.writer = ShardWriter(run.path / EMBEDDINGS, share.rank)
        self.noise = {seed: noise_seeds(job.work.captions, seed) for seed in job.work.seeds}
        self.done = np.zeros(job.work.total, dtype=bool)
        self.scored = np.zeros(job.work.total, dtype=bool)
        self.sitting = sitting_of(job.info.parameters["methods"])
        self.dense_timed = np.zeros(len(job.work.groups), dtype=bool)
        self.recordings_done = np.zeros(len(job.reference.files) if job.reference else 0, dtype=bool)
        self.weight = np.array(
            [job.flops[s, label] for s in job.work.seconds for label in job.work.methods], dtype=float
        )
        self._found_done: bool | None = None
        self.begun: tuple[float, int] | None = None
        self.reported = -np.inf

    def work(self) -> bool:
        """Do this process's share; whether all of the work is done then."""
        self._look()
        if self._found_done is None:
            self._found_done = self._all_done()
        self._report("found done")
        for index in self.share.of(range(len(self.recordings_done))):
            if self.job.reference and not self.recordings_done[index]:
                self._recording(self.job.reference, index)
        for group in self.share.of(self.job.work.groups):
            self._group(group)
        self._look()
        self._report("done", always=True)
        return self._all_done()

    def finish(self) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Once all is done: the summary and the records of what was asked for; None where another process makes them.

        On disk there are then those of everything that was ever asked for.
        """
        with self.run.turn(bool(self._found_done)) as ours:
            return finish(self.run, self.job, self.noise, self.reader) if ours else None

    def _all_done(self) -> bool:
        return bool(self.done.all() and self.recordings_done.all())

    def _look(self) -> None:
        """Take note of what any process has done since the last look."""
        for record in usable(self.run, self.run.new_records(), self.reader, self.job.work, self.noise):
            if record["kind"] == "reference":
                self.recordings_done[record["index"]] = True
            elif self.job.work.holds(record, self.noise):
                item = self.job.work.number_of(record)
                if record["kind"] == "item":
                    self.done[item] = True
                    self.scored[item] = record["status"] == SCORED
                if record["method"] == DENSE and record["sitting"] == self.sitting:
                    self.dense_timed[item // len(self.job.work.methods)] = True

    def _report(self, what: str, always: bool = False) -> None:
        if not always and monotonic() - self.reported < _REPORT_SECONDS:
            return
        self._look()
        self.reported = monotonic()
        count, total = int(self.done.sum()), self.job.work.total
        if self.begun is None:
            self.begun = self.reported, count
        text = f"{count} of {total} items"
        started, before = self.begun
        if count > before:
            text += f", {3600 * (count - before) / (self.reported - started):.0f} an hour"
        by_cell = self.done.reshape(len(self.job.work.seconds), -1, len(self.job.work.methods)).sum(axis=1).ravel()
        weight = self.weight * (total / len(self.weight))
        self.progress(float(self.weight @ by_cell), float(weight.sum()), f"{text}: {what}")

    def _recording(self, reference: Reference, index: int) -> None:
        name = reference.files[index]
        record = {"kind": "reference", "index": index, "file": name, **_NOWHERE, "rank": self.share.rank, "at": now()}
        try:
            samples, rate = read_audio(reference.directory / name)
        except InputError as error:
            reason = str(error).removeprefix(f"{reference.directory}/{name} ")
            self.run.append({**record, "status": "unreadable", "reason": reason})
            return
        wanted = self.maker.sampling_rate
        resampled = resample(samples[None], rate, wanted)[0]
        found = replace(self.job.scorer, metrics=()).score(resampled, wanted)
        if found.status == SCORED and found.arrays:
            record["shard"], record["place"] = self.writer.add(found.arrays)
        self.run.append({**record, "status": found.status, "resampled": rate != wanted})

    def _group(self, group: NoiseGroup) -> None:
        """All items of one noise that are not done yet, dense first."""
        work = self.job.work
        todo = [label for label in work.in_group if not self.done[work.number(group, label)]]
        # Named by its noise, since another list of captions may have another caption at this place.
        pending = self.run.path / PENDING / f"{group.seconds}s-{self.noise[group.seed][group.prompt]}.safetensors"
        if todo:
            text = work.captions[group.prompt].text
            conditioning = self.maker.encode(text)
            caption = self.job.scorer.caption(text)
            dense = self._dense_beside(group, pending, conditioning) if DENSE not in todo else None
            for label in todo:
                made = self._item(group, label, conditioning, caption, dense, pending)
                dense = made if label == DENSE else dense
                self._report(f"{group.seconds:g} s, {label}")
        pending.unlink(missing_ok=True)

    def _dense_beside(self, group: NoiseGroup, pending: Path, conditioning) -> np.ndarray | None:
        """The dense clip of a group whose dense item is done, where the others are to stand beside it. It is made again
        where it is not kept, and where it was timed in another sitting, since a speed-up is of one sitting."""
        if DENSE not in self.job.work.methods:
            return None
        scored = self.scored[self.job.work.number(group, DENSE)]
        if self.dense_timed[group.number]:
            if not (scored and self.job.scorer.needs_dense):
                return None
            if pending.exists():
                return read_safetensors(pending)["dense"]
        made = self._make(group, DENSE, conditioning)
        if not self.dense_timed[group.number]:
            self.run.append({"kind": "timing", **self._about(group, DENSE), **_NOWHERE, **_times(made)})
            self.dense_timed[group.number] = True
        if not scored:
            return None
        if self.job.scorer.needs_dense:
            write_arrays(pending, {"dense": made.samples})
        return made.samples

    def _item(self, group: NoiseGroup, label: str, conditioning, caption, dense, pending: Path) -> np.ndarray | None:
        """Make, score and record one item; its samples if they can be scored."""
        number = self.job.work.number(group, label)
        shard = place = None
        clip = self._make(group, label, conditioning)
        start = perf_counter()
        found = self.job.scorer.score(clip.samples, self.maker.sampling_rate, caption, dense)
        if found.arrays:
            shard, place = self.writer.add(found.arrays)
        if label == DENSE and found.status == SCORED and self.job.scorer.needs_dense and len(self.job.work.methods) > 1:
            write_arrays(pending, {"dense": clip.samples})
        scoring_seconds = perf_counter() - start
        audio = self._keep(group, label, clip.samples) if self.job.info.parameters["keep_audio"] else None
        taken = {**_times(clip), "scoring_seconds": scoring_seconds}
        kept = {"shard": shard, "place": place, "audio": audio, "values": found.values, "along": found.along}
        self.run.append({"kind": "item", **self._about(group, label), "status": found.status, **taken, **kept})
        self.done[number], self.scored[number] = True, found.status == SCORED
        self.dense_timed[group.number] |= label == DENSE
        return clip.samples if found.status == SCORED else None

    def _about(self, group: NoiseGroup, label: str) -> dict[str, Any]:
        """What a record of a clip says beside its numbers."""
        what = {"prompt": group.prompt, "seconds": group.seconds, "method": label, "seed": group.seed}
        noise = self.noise[group.seed][group.prompt]
        return {**what, "noise_seed": noise, "sitting": self.sitting, "rank": self.share.rank, "at": now()}

    def _make(self, group: NoiseGroup, label: str, conditioning: Any) -> TimedClip:
        noise = self.noise[group.seed][group.prompt]
        return self.maker.make(conditioning, group.seconds, label, noise)

    def _keep(self, group: NoiseGroup, label: str, samples: np.ndarray) -> str | None:
        if not np.isfinite(samples).all():
            return None
        # Two labels may look the same without what does not go into a name.
        mark = hashlib.blake2b(label.encode(), digest_size=3).hexdigest()
        folder = f"{''.join(c if c.isalnum() else '-' for c in label)[:60]}-{mark}"
        name = f"{AUDIO}/{group.seconds:g}s/{folder}/{group.prompt:05d}-seed{group.seed}.wav"
        write_file(self.run.path / name, encode_wav(samples, self.maker.sampling_rate))
        return name


def _times(clip: TimedClip) -> dict[str, float]:
    return {
        "step_seconds": float(np.mean(clip.step_seconds)),
        "denoising_seconds": sum(clip.step_seconds),
        "generation_seconds": clip.generation_seconds,
    }
