"""The cost of a network's steps: `python -m models.bench [SIZE ...] [--batch N ...] [--dtype NAME] [--compile]`.

Needs only torch and numpy. A step is one guided velocity for clips as long as a window. It is measured in two ways, in
turns: fast, with everything that `models.networks.guidance` saves, and plainly, with both halves through the whole
network; with `--compile` also with compiled blocks. Rates are compared with products of large matrices in the same run.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.config import ModelConfig, PredictorConfig
from models.diffv2m import DiffV2M
from models.networks.conditions import Conditions, TokenSet
from models.weights.presets import PRESETS

RELEASED = Path(__file__).with_name("released.json")
"""Configuration of the released model."""
SIZES = ("tiny", "middle", "full")
DTYPES = ("float32", "bfloat16", "float16")
GUIDANCE, TIME, TURNS = 3.0, 0.6, 5
RELEASED_STEPS = 250
"""Number of steps of the released script, which are plain ones."""


def config_of(size: str) -> ModelConfig:
    """Configuration of a size: `tiny` as shipped, `full` as released, `middle` with half of its width and depth."""
    if size == "tiny":
        return PRESETS["tiny"].config
    config = ModelConfig.from_file(RELEASED)
    if size == "full":
        return config
    return replace(config, width=config.width // 2, depth=config.depth // 2, heads=config.heads // 2)


@dataclass(frozen=True)
class StepCost:
    """Cost of a step for one size and batch.

    Attributes:
        plain, fast: seconds per step, the least of several turns.
        compiled: seconds per fast step with compiled blocks, and seconds of the first call, if they were measured.
        teraflops: floating point operations per second of a fast step, in 10^12.
        share: `teraflops` as a share of the rate of matrix products.
        error: greatest difference between the two ways, in standard deviations.
        memory: greatest memory in MiB: of the GPU in a fast step, or of the process so far.
    """

    size: str
    fusion: str
    batch: int
    dtype: str
    plain: float
    fast: float
    compiled: tuple[float, float] | None
    teraflops: float
    share: float
    error: float
    memory: float

    @property
    def gain(self) -> float:
        return self.plain / self.fast


@dataclass(frozen=True)
class Decoding:
    """Cost of decoding: seconds of audio per second, and greatest memory in MiB of the GPU or of the process."""

    size: str
    speed: float
    memory: float


def clips_per_hour(step: float, steps: int, batch: int, seconds: float, decoding: Decoding | None) -> float:
    """Number of clips as long as a window that one device samples and decodes in an hour.

    Args:
        step: seconds per step of a batch.
        steps: number of steps of one sampling.
        seconds: length of a window.
        decoding: cost of decoding; only sampling is counted if left out.
    """
    return 3600 / (steps * step / batch + (seconds / decoding.speed if decoding else 0.0))


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Rate of products of square matrices in TFLOP/s, the best of several."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / min(_timed(device, lambda: a @ b) for _ in range(TURNS)) / 1e12


def random_conditions(config: ModelConfig, batch: int, device: torch.device) -> Conditions:
    """Random conditions of the right shapes, the same every time."""
    chance = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=chance).to(device)

    def tokens(steps: int) -> TokenSet:
        return TokenSet(normal(steps, config.cond_dim), torch.ones(batch, steps, dtype=torch.bool, device=device))

    curve = None
    if config.curve is not None:
        steps = -(-config.lengths.window_latents // config.curve.stride)
        curve = normal(2 * config.curve.channels, steps)
    return Conditions(
        semantic=tokens(config.steps + 2),
        rhythm=tokens(config.steps + 2),
        color=tokens(config.steps),
        global_cond=normal(config.cond_dim * len(config.global_ids)),
        curve=curve,
        key=torch.ones(batch, dtype=torch.long, device=device) if config.key else None,
    )


def with_null_half(conditions: Conditions) -> Conditions:
    """Conditions followed by guidance's null half: zero tokens, no curve and no key."""

    def both(x: Tensor) -> Tensor:
        return torch.cat((x, torch.zeros_like(x)))

    def tokens(found: TokenSet) -> TokenSet:
        return TokenSet(both(found.tokens), torch.cat((found.mask, found.mask)))

    return Conditions(
        semantic=tokens(conditions.semantic),
        rhythm=tokens(conditions.rhythm),
        color=tokens(conditions.color),
        global_cond=torch.cat((conditions.global_cond, conditions.global_cond)),
        curve=None if conditions.curve is None else both(conditions.curve),
        key=None if conditions.key is None else both(conditions.key),
    )


@torch.inference_mode()
def measure(
    size: str, batch: int, device: torch.device, dtype: torch.dtype, rate: float, compiling: bool = False
) -> StepCost:
    """Cost of steps of a network with random weights; `rate` is that of matrix products, in TFLOP/s."""
    config = replace(config_of(size), predictor=PredictorConfig(64, 1))
    torch.manual_seed(0)
    with device:
        model = DiffV2M(config, parts=("dit",)).eval().requires_grad_(False).to_precision(dtype)
    x = torch.randn(batch, config.latent_channels, config.lengths.window_latents).to(device)
    ways = _ways(model, random_conditions(config, batch, device), x)
    expected = ways["plain"]()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    found = ways["fast"]()
    memory = _memory(device)
    if compiling:
        compiled = _ways(copy.deepcopy(model).compile_blocks(), random_conditions(config, batch, device), x)["fast"]
        ways, warm_up = ways | {"compiled": compiled}, _timed(device, compiled)
    turns = [[_timed(device, way) for way in ways.values()] for _ in range(TURNS)]
    slow, quick, *rest = (min(each) for each in zip(*turns, strict=True))
    work = _work(model, config, device) * batch
    return StepCost(
        size=size,
        fusion=config.fusion,
        batch=batch,
        dtype=str(dtype).removeprefix("torch."),
        plain=slow,
        fast=quick,
        compiled=(rest[0], warm_up) if rest else None,
        teraflops=work / quick / 1e12,
        share=work / quick / 1e12 / rate,
        error=float((found - expected).float().abs().max() / expected.float().std()),
        memory=memory,
    )


def reference_velocity(model: DiffV2M, conditions: Conditions, guidance: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Guidance as in the released code, with both halves through the whole network: `(x, t [clips])` -> velocity."""
    doubled = with_null_half(conditions)

    @torch.inference_mode()
    def velocity(x: Tensor, t: Tensor) -> Tensor:
        conditioned, null = model.dit(
            torch.cat((x, x)), torch.cat((t, t)), model.dit.precompute(doubled, x.shape[-1])
        ).chunk(2)
        return null + guidance * (conditioned - null)

    return velocity


def _ways(model: DiffV2M, conditions: Conditions, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The two ways to compute a step for `x` [batch, channels, frames]."""
    plain, guided = (
        reference_velocity(model, conditions, GUIDANCE),
        model.make_guided(conditions, x.shape[-1], GUIDANCE, (TIME,)),
    )
    return {"plain": lambda: plain(x, x.new_full((len(x),), TIME)), "fast": lambda: guided(x, TIME)}


def _work(model: DiffV2M, config: ModelConfig, device: torch.device) -> float:
    """Number of floating point operations of a fast step for one clip; attention is counted as plain products."""
    guided = model.make_guided(random_conditions(config, 1, device), config.lengths.window_latents, GUIDANCE, (TIME,))
    x = torch.zeros(1, config.latent_channels, config.lengths.window_latents, device=device)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        guided(x, TIME)
    return float(counter.get_total_flops())


@torch.inference_mode()
def measure_decoding(size: str, device: torch.device, dtype: torch.dtype, seconds: int = 30) -> Decoding | None:
    """Cost of decoding one clip in chunks as in a run; None where the released autoencoder's library is missing."""
    config = config_of(size)
    torch.manual_seed(0)
    try:
        model = DiffV2M(replace(config, predictor=PredictorConfig(64, 1)), parts=("autoencoder",)).to(device).eval()
    except ImportError:
        return None
    model.autoencoder.fuse()
    model.to_precision(dtype)
    latents = torch.randn(1, config.latent_channels, config.lengths.latents_of(seconds)).to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    spent = min(_timed(device, lambda: model.decode(latents, 128)) for _ in range(2))
    return Decoding(size, seconds / spent, _memory(device))


def _timed(device: torch.device, work: Callable[[], object]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def machine_info(device: torch.device) -> dict[str, str]:
    """Names and values that say for which machine the figures hold."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": name,
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def bench(
    sizes: Sequence[str],
    batches: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
    emit: Callable[[str], None] = lambda line: None,
    *,
    compiling: bool = False,
) -> dict[str, Any]:
    """Measure everything; `emit` gets a line for people as soon as each figure is known.

    Returns:
        All figures, as they are written as JSON.
    """
    rate, facts = matrix_rate(device, dtype), machine_info(device)
    emit(", ".join(f"{name} {value}" for name, value in facts.items()))
    emit(f"products of matrices: {rate:.2f} TFLOP/s in {str(dtype).removeprefix('torch.')}")
    found, decodings = list[StepCost](), list[Decoding]()
    for size in sizes:
        decoding = measure_decoding(size, device, dtype)
        if decoding is None:
            emit(f"{size}: decoding is not measured, stable-audio-tools is not installed; clips an hour are without it")
        else:
            decodings.append(decoding)
            emit(f"{size}: decodes {decoding.speed:.1f} s of sound a second; {decoding.memory:.0f} MiB")
        config = config_of(size)
        default, window = config.sampling.steps, float(config.steps)
        for batch in batches:
            found.append(steps := measure(size, batch, device, dtype, rate, compiling))
            emit(
                f"{size} ({steps.fusion}), batch {batch}: plain {steps.plain:.3f} s, fast {steps.fast:.3f} s, "
                f"{steps.gain:.2f} times; {steps.teraflops:.3f} TFLOP/s, {steps.share:.0%} of products; "
                f"error {steps.error:.0e}; {steps.memory:.0f} MiB"
            )
            fast, released = (
                clips_per_hour(step, count, batch, window, decoding)
                for step, count in ((steps.fast, default), (steps.plain, RELEASED_STEPS))
            )
            emit(
                f"  {fast:.0f} clips of {window:.0f} s an hour with {default} steps; "
                f"plainly, with {RELEASED_STEPS}, {released:.0f}"
            )
            if steps.compiled:
                seconds, warm_up = steps.compiled
                emit(
                    f"  compiled: {seconds:.3f} s, {steps.fast / seconds:.2f} times, after {warm_up:.0f} s at the start"
                )
    return {
        "machine": facts,
        "products": rate,
        "decoding": [asdict(d) for d in decodings],
        "steps": [asdict(s) | {"gain": s.gain} for s in found],
    }


def device_of(name: str) -> torch.device:
    """Device of a name; `auto` is a GPU where there is one."""
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.bench", description="What a network's steps cost here.")
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help=f"of {', '.join(SIZES)}; all but full if left out")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="clips of a step")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--compile", action="store_true", help="measure compiled blocks, too")
    parser.add_argument("--json", type=Path, help="takes the figures")
    asked = parser.parse_args(arguments)
    if wrong := sorted(set(asked.sizes) - set(SIZES)):
        parser.error(f"expected sizes of {', '.join(SIZES)}, got {', '.join(wrong)}")
    report = bench(
        asked.sizes or SIZES[:2], asked.batch, device_of(asked.device), getattr(torch, asked.dtype),
        lambda line: print(line, flush=True), compiling=asked.compile,
    )  # fmt: skip
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
