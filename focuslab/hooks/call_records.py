"""What a recorded call left, as a line of records.jsonl."""

from typing import Any

from torch import Tensor

from focuslab.hooks.recorder import SiteRecord


def attention_record(record: SiteRecord, half: int, frame_seconds: float) -> dict[str, Any]:
    """One half of what a call left, in JSON's types, with numbers rounded to 6 significant digits.

    frame_seconds: of a time step of the latent, in which lags are counted.
    """
    values = {name: value[half] for name, value in record.values.items()}
    line: dict[str, Any] = {
        "site": record.call.site.name,
        "time": record.call.grid.time,
        "mel_rows": record.call.grid.mel_rows,
    }
    for name, value in values.items():
        kind, _, label = name.partition("/")
        if name in ("mass", "entropy"):
            line[name] = _mean_and_std(value)
        elif name == "rows":
            line[name] = rounded(value)
        elif name == "lag_own":
            edges = [0.0, *(frame_seconds * 2**i for i in range(value.shape[-1]))]
            line["lag"] = {
                "edges": rounded(edges),
                "own": rounded(value),
                "other": rounded(values["lag_other"]),
                "chance": rounded(values["lag_chance"]),
            }
        elif kind == "recall":
            line.setdefault(kind, {})[label] = _mean_and_std(value)
        elif kind == "output_error":
            error = {"all": rounded(values[f"site_error/{label}"]), "heads": rounded(value)}
            line.setdefault(kind, {})[label] = error
        elif name == "sampling":
            pooled, heads = rounded(values["sampling_all"]), rounded(value)
            line[name] = {
                part: {"all": pooled[i], "heads": [head[i] for head in heads]}
                for i, part in enumerate(("own", "other"))
            }
        elif kind == "sampled_error":
            error = {"all": rounded(values[f"sampled_error_all/{label}"]), "heads": rounded(value)}
            line.setdefault(kind, {})[label] = error
        elif kind == "labels":
            line.setdefault(kind, {})[label] = rounded(value)
        elif kind == "patterns":
            chance = rounded(values[f"patterns_chance/{label}"])
            line.setdefault(kind, {})[label] = {**_mean_and_std(value), "chance": chance}
    return line


def _mean_and_std(value: Tensor) -> dict[str, list[float]]:
    return {"mean": rounded(value[:, 0]), "std": rounded(value[:, 1])}


def rounded(value: Tensor | list | float) -> Any:
    """A tensor as nested lists of numbers with 6 significant digits."""
    value = value.tolist() if isinstance(value, Tensor) else value
    return [rounded(part) for part in value] if isinstance(value, list) else float(f"{value:.6g}")
