"""Test the CUDA path and measure it, within a stated number of minutes.

    PYTHONPATH=. python analyses/09_gpu.py --minutes 8

The script runs the tests marked `cuda`, and then measures in the order of importance: steps at the first length, dense
against sparse; a trace of one step; what capturing costs; a whole generation by stage; LiteFocus in a compiled UNet;
then the other lengths, and the other methods compiled. It stops by itself when its time is over and names what it did
not reach. The same command resumes there, and measures again what failed. A part that fails does not stop the others.

It installs nothing and needs no network. It needs Python 3.10, torch 2.6, diffusers 0.42, transformers 5, accelerate,
numpy, scipy, matplotlib, seaborn, soxr, soundfile, tomesd, click, jinja2, safetensors, psutil and sentencepiece, and
pytest and hypothesis for the tests. Compiling needs a C compiler. Everything ends in `--out`: `run.json`,
`records.jsonl`, `README.md`, `tests.txt` and two traces.
"""

import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

import focuslab
from focuslab.cli.options import Numbers, report_errors
from focuslab.models.identity import run_info
from focuslab.runs.directory import RunDirectory, now, write_atomically

sys.path.insert(0, str(Path(__file__).parent / "tables"))
sys.path.insert(0, str(Path(__file__).parent / "gpu"))
from page import readme
from parts import COMPILED, PARTS, Part, Work

LENGTHS = "80,20,10,40,160,320"


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=8.0, show_default=True)
@click.option("--model", default="random:audioldm2", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--dtype", default="auto", show_default=True)
@click.option("--seconds", type=Numbers(), default=LENGTHS, show_default=True, help="The most important one first.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/09_gpu"), show_default=True)
@click.option("--force", is_flag=True, help="Replace another run in --out.")
@report_errors
def main(minutes, model, device, dtype, seconds, out, force) -> None:
    started = time.monotonic()
    deadline = started + 60 * minutes
    pipe = focuslab.load(model, device, dtype)
    pipe.set_progress_bar_config(disable=True)
    info = run_info(pipe, "gpu", {"seconds": list(seconds)}, seed=0, prompts=())
    with RunDirectory(out, info, force=force) as run:
        run.keep(lambda record: "error" not in record)
        work = Work(pipe, out, deadline)
        with stopping_at(deadline):
            for part in missing(seconds, run.records):
                run.append(measured(work, part))
        run.note(ended=now())
    not_reached = [part.title for part in missing(seconds, run.records)]
    write_atomically(out / "README.md", readme(run.info, run.records, not_reached).encode())
    click.echo(f"{(time.monotonic() - started) / 60:.1f} minutes; not reached: {', '.join(not_reached) or 'nothing'}")
    for record in run.records:
        if "error" in record:
            click.echo(f"{part_of(record).title} failed: {record['error'].splitlines()[-1]}")
    click.echo(out / "README.md")


def order(lengths: Sequence[float]) -> Iterator[Part]:
    """Every part, the most important first."""
    first, *others = lengths
    yield Part("tests")
    for kind in ("profile", "trace", "capture", "generation"):
        yield Part(kind, first)
    yield Part("compiled", first, COMPILED[0])
    for seconds in others:
        yield Part("profile", seconds)
    for method in COMPILED[1:]:
        yield Part("compiled", first, method)
    for seconds in others:
        for method in COMPILED:
            yield Part("compiled", seconds, method)


def missing(lengths: Sequence[float], records: Sequence[dict]) -> list[Part]:
    done = {part_of(record) for record in records}
    return [part for part in order(lengths) if part not in done]


def part_of(record: dict) -> Part:
    return Part(record["kind"], record["seconds"], record["method"])


def measured(work: Work, part: Part) -> dict:
    """The record of a part. One that fails is recorded with its traceback, since the next may work."""
    click.echo(f"{part.title} ({work.remaining():.0f} s left)")
    start = time.monotonic()
    record = {"kind": part.kind, "seconds": part.seconds, "method": part.method, "at": now()}
    try:
        record |= PARTS[part.kind](work, part)
    except Exception:
        record["error"] = traceback.format_exc()
    return record | {"wall_seconds": round(time.monotonic() - start, 2)}


class TimeIsOver(BaseException):
    """No `Exception`, so that nothing between the signal and `stopping_at` takes it for a failure."""


@contextmanager
def stopping_at(deadline: float) -> Iterator[None]:
    """Leave the body when the time is over, in the middle of a part if need be."""

    def stop(_number, _frame):
        raise TimeIsOver

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(deadline - time.monotonic(), 1e-3))
    try:
        yield
    except TimeIsOver:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
