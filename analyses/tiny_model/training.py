"""One training loop for every component: seeded step by step, resumable, logged."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

Losses = Callable[[int, torch.Generator], dict[str, Tensor]]
"""(step, generator) -> named terms; "loss" is what is minimised, the others are only logged."""


@dataclass
class Training:
    """What is trained and how. `model` holds every trained module; rates are those of AdamW.

    The rate rises over `warmup` steps, stays, and falls to a twentieth over the last `decay` share of the steps: so a
    finished training can be gone on with by asking for more steps. Weights are averaged over about 1 / (1 - average)
    steps; the average is what gets exported.
    """

    name: str
    model: nn.Module
    losses: Losses
    steps: int
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 0.25
    average: float = 0.999
    seed: int = 0
    held_out: Callable[[], dict[str, float]] | None = None
    held_out_every: int = 500
    weight_decay: float = 0.01
    log_every: int = 20
    save_every_seconds: float = 120.0
    averaged: dict[str, Tensor] = field(default_factory=dict, repr=False)
    since: int = 0
    """The step that the optimizer's moments begin at, and the rate rises from: 0 but for weights from elsewhere."""

    def run(self, directory: Path) -> None:
        """Train up to `steps`, from the checkpoint in `directory` if there is one; leaves the average in `model`."""
        directory.mkdir(parents=True, exist_ok=True)
        checkpoint = directory / f"{self.name}.safetensors"
        trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(trained.values(), lr=self.rate, betas=(0.9, 0.99), weight_decay=self.weight_decay)
        first, spent = self._restore(checkpoint, trained, optimizer)
        log = directory / f"{self.name}.jsonl"
        _cut_log(log, first)
        started = saved = time.monotonic()
        sums: dict[str, float] = {}
        summed = 0
        self.model.train()
        for step in range(first, self.steps):
            rate = self._rate(step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            # Seeded by the step: a training that was stopped goes on exactly as if it had not been.
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
            torch.manual_seed(self.seed * 1_000_003 + step)
            terms = self.losses(step, generator)
            terms["loss"].backward()
            terms["gradient"] = nn.utils.clip_grad_norm_(trained.values(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            self._fold(trained, step)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            summed += 1
            done = step + 1
            if done % self.log_every == 0:
                line = {name: round(total / summed, 5) for name, total in sums.items()}
                seconds = spent + time.monotonic() - started
                if self.held_out and (done % self.held_out_every == 0 or done == self.steps):
                    line |= {f"held_out_{name}": round(value, 5) for name, value in self._look(trained).items()}
                _append(log, {"step": done, "seconds": round(seconds, 1), "rate": round(rate, 7), **line})
                sums, summed = {}, 0
            if done == self.steps or time.monotonic() - saved > self.save_every_seconds:
                self._save(checkpoint, trained, optimizer, done, spent + time.monotonic() - started)
                saved = time.monotonic()
        self._take_average(trained)
        self.model.eval()

    def _rate(self, step: int) -> float:
        falling = (step - (1 - self.decay) * self.steps) / max(self.decay * self.steps, 1)
        fall = 1.0 if falling <= 0 else 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(falling, 1.0)))
        return self.rate * min((step - self.since + 1) / self.warmup, 1.0) * fall

    def _fold(self, trained: dict[str, nn.Parameter], step: int) -> None:
        keep = min(self.average, (1 + step) / (10 + step))
        with torch.no_grad():
            names = list(trained)
            if not self.averaged:
                self.averaged = {name: p.detach().clone() for name, p in trained.items()}
            torch._foreach_lerp_([self.averaged[n] for n in names], [trained[n].detach() for n in names], 1 - keep)

    def _look(self, trained: dict[str, nn.Parameter]) -> dict[str, float]:
        """The held-out figures of the averaged weights."""
        current = {name: p.detach().clone() for name, p in trained.items()}
        self._take_average(trained)
        self.model.eval()
        with torch.no_grad():
            figures = self.held_out()
            for name, p in trained.items():
                p.copy_(current[name])
        self.model.train()
        return figures

    def _take_average(self, trained: dict[str, nn.Parameter]) -> None:
        with torch.no_grad():
            for name, p in trained.items():
                p.copy_(self.averaged[name])

    def _save(self, file: Path, trained, optimizer, step: int, seconds: float) -> None:
        tensors = {}
        for name, p in trained.items():
            tensors[f"weight/{name}"] = p.detach()
            tensors[f"average/{name}"] = self.averaged[name]
            for moment in ("exp_avg", "exp_avg_sq"):
                # None for what never had a gradient, such as a temperature that no loss reads.
                tensors[f"{moment}/{name}"] = optimizer.state[p].get(moment, torch.zeros_like(p))
        for name, buffer in self.model.named_buffers():
            tensors[f"buffer/{name}"] = buffer.detach()
        _write(file, tensors, {"step": str(step), "seconds": str(seconds), "since": str(self.since)})

    def _restore(self, file: Path, trained, optimizer) -> tuple[int, float]:
        if not file.exists():
            return 0, 0.0
        with safe_open(file, "pt") as saved, torch.no_grad():
            about = saved.metadata()
            step, seconds, self.since = int(about["step"]), float(about["seconds"]), int(about["since"])
            for name, p in trained.items():
                p.copy_(saved.get_tensor(f"weight/{name}"))
                self.averaged[name] = saved.get_tensor(f"average/{name}")
                optimizer.state[p] = {
                    "step": torch.tensor(float(step - self.since)),
                    "exp_avg": saved.get_tensor(f"exp_avg/{name}"),
                    "exp_avg_sq": saved.get_tensor(f"exp_avg_sq/{name}"),
                }
            for name, buffer in self.model.named_buffers():
                buffer.copy_(saved.get_tensor(f"buffer/{name}"))
        print(f"{self.name}: going on from step {step} of {self.steps}", flush=True)
        return step, seconds


def write_start(model: nn.Module, file: Path, step: int) -> None:
    """Write the weights of `model` as the checkpoint of a training that has come to `step`, with moments of zero."""
    tensors = {f"buffer/{name}": buffer for name, buffer in model.named_buffers()}
    for name, p in model.named_parameters():
        if p.requires_grad:
            tensors |= {f"{kind}/{name}": p.detach() for kind in ("weight", "average")}
            tensors |= {f"{moment}/{name}": torch.zeros_like(p) for moment in ("exp_avg", "exp_avg_sq")}
    _write(file, tensors, {"step": str(step), "seconds": "0.0", "since": str(step)})


def load_averaged(model: nn.Module, file: Path) -> int:
    """Put the averaged weights of a checkpoint into `model`, which is then ready for use; returns the step."""
    if not file.exists():
        raise SystemExit(f"{file} is missing: train it first (train.py {file.stem})")
    with safe_open(file, "pt") as saved, torch.no_grad():
        for name, p in model.named_parameters():
            if f"average/{name}" in saved.keys():
                p.copy_(saved.get_tensor(f"average/{name}"))
        for name, buffer in model.named_buffers():
            buffer.copy_(saved.get_tensor(f"buffer/{name}"))
        model.eval().requires_grad_(False)
        return int(saved.metadata()["step"])


def _write(file: Path, tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, partial, about)
    partial.replace(file)


def read_log(file: Path) -> Iterator[dict]:
    for line in file.read_text().splitlines():
        yield json.loads(line)


def _append(file: Path, line: dict) -> None:
    print(f"{file.stem}: {json.dumps(line)}", flush=True)
    with file.open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def _cut_log(file: Path, step: int) -> None:
    """Drop the lines after the checkpoint: they are measured again."""
    if file.exists():
        kept = [json.dumps(line) for line in read_log(file) if line["step"] <= step]
        file.write_text("".join(line + "\n" for line in kept))
