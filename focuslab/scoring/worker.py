"""One process at its share of an evaluation."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from focuslab.audio import encode_wav, read_audio
from focuslab.errors import InputError
from focuslab.files import failed, write_atomically
from focuslab.quality.embedders import resample
from focuslab.records import Progress
from focuslab.scoring.items import DENSE, Group, noise_seeds
from focuslab.scoring.job import Job
from focuslab.scoring.launch import Share
from focuslab.scoring.scorer import SCORED
from focuslab.scoring.shards import ShardReader, ShardWriter
from focuslab.scoring.shared import AUDIO, EMBEDDINGS, PENDING, SharedDirectory
from focuslab.scoring.sounds import Made, Sounds
from focuslab.scoring.summary import evaluation_summary, reference_name
from focuslab.store import now, read_safetensors, write_arrays

_REPORT_SECONDS = 5.0


class Worker:
    """Does the share of one process, an item at a time, and keeps nothing of one but what is on disk."""

    def __init__(self, job: Job, sounds: Sounds, run: SharedDirectory, share: Share, progress: Progress):
        self.job = job
        self.sounds = sounds
        self.run = run
        self.share = share
        self.progress = progress
        self.reader = ShardReader(run.path / EMBEDDINGS)
        self.writer = ShardWriter(run.path / EMBEDDINGS, share.rank)
        self.noise = {seed: noise_seeds(job.work.captions, seed) for seed in job.work.seeds}
        self.done = np.zeros(job.work.total, dtype=bool)
        self.scored = np.zeros(job.work.total, dtype=bool)
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
            if not self.recordings_done[index]:
                self._recording(index)
        for group in self.share.of(self.job.work.groups):
            self._group(group)
        self._look()
        self._report("done", always=True)
        return self._all_done()

    def finish(self) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Once all is done: the summary and all records, both on disk; None where another process makes them."""
        with self.run.turn(self._found_done) as ours:
            if not ours:
                return None
            work = self.job.work
            records = {}
            for record in self._valid(self.run.all_records()):
                if record["kind"] == "reference":
                    records[-1, record["index"]] = record
                else:
                    records[0, work.number_of(record)] = record
            merged = [records[key] for key in sorted(records)]
            summary = evaluation_summary(self.run.info, merged, work, self.reader)
            summary["skipped"] = list(self.job.skipped)
            self.run.merge(merged)
            self.run.write_summary(summary)
            self.run.note(ended=self.run.info.ended or now())
            return summary, merged

    def _valid(self, records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Those whose embeddings are there, of this job's own work: the directory may hold that of a longer list of
        captions, or of another one that began in the same way, which was stopped."""
        there = self.reader.names()
        for record in records:
            if record["shard"] is not None and record["shard"] not in there:
                continue
            if record["kind"] == "reference" or self._is_of_work(record):
                yield record

    def _is_of_work(self, record: dict[str, Any]) -> bool:
        noise, prompt = self.noise.get(record["seed"], ()), record["prompt"]
        return (
            record["seconds"] in self.job.work.seconds
            and prompt < len(noise)
            # It is made of the caption's text.
            and record["noise_seed"] == noise[prompt]
        )

    def _all_done(self) -> bool:
        return bool(self.done.all() and self.recordings_done.all())

    def _look(self) -> None:
        """Take note of what any process has done since the last look."""
        for record in self._valid(self.run.new_records()):
            if record["kind"] == "reference":
                self.recordings_done[record["index"]] = True
            else:
                item = self.job.work.number_of(record)
                self.done[item] = True
                self.scored[item] = record["status"] == SCORED

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

    def _recording(self, index: int) -> None:
        name = self.job.reference.files[index]
        record = {
            "kind": "reference",
            "index": index,
            "file": name,
            "shard": None,
            "rank": self.share.rank,
            "at": now(),
        }
        try:
            samples, rate = read_audio(self.job.reference.directory / name)
        except InputError as error:
            reason = str(error).removeprefix(f"{self.job.reference.directory}/{name} ")
            self.run.append({**record, "status": "unreadable", "reason": reason})
            return
        wanted = self.sounds.sampling_rate
        resampled = resample(samples[None], rate, wanted)[0]
        found = replace(self.job.scorer, metrics=()).score(resampled, wanted)
        if found.status == SCORED and found.arrays:
            record["shard"] = self.writer.add(reference_name(index), found.arrays)
        self.run.append({**record, "status": found.status, "resampled": rate != wanted})

    def _group(self, group: Group) -> None:
        """All items of one noise that are not done yet, dense first."""
        work = self.job.work
        todo = [label for label in work.in_group if not self.done[work.number(group, label)]]
        # Named by its noise, since another list of captions may have another caption at this place.
        pending = self.run.path / PENDING / f"{group.seconds}s-{self.noise[group.seed][group.prompt]}.safetensors"
        if todo:
            text = work.captions[group.prompt].text
            conditioning = self.sounds.encode(text)
            caption = self.job.scorer.caption(text)
            dense = self._kept_dense(group, pending, conditioning) if DENSE not in todo else None
            for label in todo:
                made = self._item(group, label, conditioning, caption, dense, pending)
                dense = made if label == DENSE else dense
                self._report(f"{group.seconds:g} s, {label}")
        pending.unlink(missing_ok=True)

    def _kept_dense(self, group: Group, pending: Path, conditioning) -> np.ndarray | None:
        """The dense sound of a group that was begun before and stopped, where the others are to stand beside it."""
        work = self.job.work
        if not self._waits(group) or not self.scored[work.number(group, DENSE)]:
            return None
        if pending.exists():
            return read_safetensors(pending)["dense"]
        return self._make(group, DENSE, conditioning).samples

    def _waits(self, group: Group) -> bool:
        """Whether other items of a group need its dense sound."""
        return self.job.scorer.needs_dense and DENSE in self.job.work.methods and len(self.job.work.methods) > 1

    def _item(self, group: Group, label: str, conditioning, caption, dense, pending: Path) -> np.ndarray | None:
        """Make, score and record one item; its samples if they can be scored."""
        number = self.job.work.number(group, label)
        sound = self._make(group, label, conditioning)
        start = perf_counter()
        found = self.job.scorer.score(sound.samples, self.sounds.sampling_rate, caption, dense)
        shard = self.writer.add(self.job.work.name(number), found.arrays) if found.arrays else None
        if label == DENSE and found.status == SCORED and self._waits(group):
            write_arrays(pending, {"dense": sound.samples})
        scoring_seconds = perf_counter() - start
        audio = self._keep(group, label, sound.samples) if self.job.info.parameters["keep_audio"] else None
        self.run.append(
            {
                "kind": "item",
                "prompt": group.prompt,
                "seconds": group.seconds,
                "method": label,
                "seed": group.seed,
                "noise_seed": self.noise[group.seed][group.prompt],
                "status": found.status,
                "step_seconds": float(np.mean(sound.step_seconds)),
                "denoising_seconds": sum(sound.step_seconds),
                "generation_seconds": sound.generation_seconds,
                "scoring_seconds": scoring_seconds,
                "shard": shard,
                "audio": audio,
                "values": found.values,
                "rank": self.share.rank,
                "at": now(),
            }
        )
        self.done[number], self.scored[number] = True, found.status == SCORED
        return sound.samples if found.status == SCORED else None

    def _make(self, group: Group, label: str, conditioning: Any) -> Made:
        noise = self.noise[group.seed][group.prompt]
        return self.sounds.make(conditioning, group.seconds, label, noise)

    def _keep(self, group: Group, label: str, samples: np.ndarray) -> str | None:
        if not np.isfinite(samples).all():
            return None
        folder = f"{self.job.work.methods.index(label)}-{''.join(c if c.isalnum() else '-' for c in label)[:60]}"
        name = f"{AUDIO}/{group.seconds:g}s/{folder}/{group.prompt:05d}-seed{group.seed}.wav"
        path = self.run.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, encode_wav(samples, self.sounds.sampling_rate))
        except OSError as error:
            raise failed(path, error) from None
        return name
