"""Train the small AudioLDM2 that focuslab ships, one component a command, or all of them."""

from pathlib import Path

import click

HERE = Path(__file__).parent
STEPS = {"vae": 3000, "classifier": 1500, "clap": 1500, "text": 500, "vocoder": 10000, "unet": 20000}
ORDER = tuple(STEPS)


@click.command()
@click.argument("what", type=click.Choice([*ORDER, "export", "all"]))
@click.option("--data", type=click.Path(path_type=Path), default=HERE / "data", help="Clips made by render.py.")
@click.option("--work", type=click.Path(path_type=Path), default=HERE / "work", help="Checkpoints and logs.")
@click.option("--out", type=click.Path(path_type=Path), default=HERE.parents[1] / "focuslab" / "models" / "tiny")
@click.option("--steps", type=int, help="Steps in all of the component; a finished training goes on if there are more.")
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path),
    help="A pipeline whose weights stand in for missing checkpoints.",
)
@click.option("--threads", type=int, help="Threads of torch.")
def main(
    what: str, data: Path, work: Path, out: Path, steps: int | None, start: Path | None, threads: int | None
) -> None:
    """Train WHAT, from its last checkpoint in --work on; "all" trains everything in order and exports it to --out."""
    import importlib

    import torch

    import data as clips

    if threads:
        torch.set_num_threads(threads)
    if start:
        importlib.import_module("shipped").write_checkpoints(start, work)
    train, held_out = clips.Clips(data, "train"), clips.Clips(data, "test")
    for name in ORDER if what == "all" else (what,):
        if name == "export":
            break
        extra = (work,) if name in ("text", "unet") else ()
        importlib.import_module(name).job(train, held_out, steps or STEPS[name], *extra).run(work)
    if what in ("export", "all"):
        importlib.import_module("export").export(train, work, out)


if __name__ == "__main__":
    main()
