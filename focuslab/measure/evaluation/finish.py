"""From the records of all processes to what a finished evaluation keeps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from focuslab.errors import InputError
from focuslab.measure.evaluation.items import Work, noise_seeds
from focuslab.measure.evaluation.job import Job
from focuslab.measure.evaluation.shards import ShardReader
from focuslab.measure.evaluation.shared import SharedDirectory, record_key
from focuslab.measure.evaluation.summary import evaluation_summary
from focuslab.runs import RunInfo
from focuslab.runs.directory import now


def finish(
    run: SharedDirectory, job: Job, noise: Mapping[int, Sequence[int]], reader: ShardReader
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write the records and the summary of everything in the directory, and return those of what the job asked for.

    noise: seed -> `noise_seeds` of the job's captions.
    """
    whole = Work.of(run.info)
    whole_noise = {seed: noise_seeds(whole.captions, seed) for seed in whole.seeds}
    found: dict[tuple, dict[str, Any]] = {}
    for record in usable(run, run.all_records(), reader, job.work, noise):
        if record["kind"] == "reference" or whole.holds(record, whole_noise):
            found[record_key(record)] = record
    every = sorted(found.values(), key=lambda record: _order(record, whole))
    asked = [record for record in every if record["kind"] == "reference" or job.work.holds(record, noise)]
    asked.sort(key=lambda record: _order(record, job.work))

    def summarise(info: RunInfo, records: list[dict[str, Any]], work: Work) -> dict[str, Any]:
        return evaluation_summary(info, records, work, reader, job.training_seconds) | {"skipped": list(job.skipped)}

    summary = summarise(run.asked, asked, job.work)
    is_whole = len(asked) == len(every)
    if is_whole or not run.merged:
        run.merge(every)
        run.write_summary(summary if is_whole else summarise(run.info, every, whole))
        run.note(ended=run.info.ended or now())
    return summary, asked


def usable(
    run: SharedDirectory,
    records: Iterable[dict[str, Any]],
    reader: ShardReader,
    work: Work,
    noise: Mapping[int, Sequence[int]],
) -> Iterator[dict[str, Any]]:
    """Those whose embeddings are there; the others of `work` are made again.

    Raises `InputError` where embeddings are missing of clips outside of `work`: nothing would make these again, and the
    finished run would hold them no longer.
    """
    there = reader.names()
    for record in records:
        if record["shard"] is None or record["shard"] in there:
            yield record
        elif record["kind"] == "item" and not work.holds(record, noise):
            raise InputError(
                f"{run.path} lacks the embeddings {record['shard']} of clips that are not asked for here, such as "
                f"{record['method']} at {record['seconds']:g} s: its table can be shown, but other clips need another "
                "--out"
            )


def _order(record: dict[str, Any], work: Work) -> tuple[int, ...]:
    """Recordings first, then clips in the order of the work, and after a clip what else it took."""
    if record["kind"] == "reference":
        return 0, record["index"]
    return 1, work.number_of(record), record["kind"] == "timing"
