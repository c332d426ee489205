"""Training on a machine that has only torch and numpy; nothing is downloaded, and all cores compose the corpus.

    python -m models.training.standalone TRAIN.json [--seconds SECONDS]
    python -m models.training.standalone TRAIN.json --convert FOLDER

The first form trains the autoencoder on the composed corpus, or the diffusion on a dataset that `diff-v2m experiment
pack-dataset` has packed; it resumes where it stopped when it is started again. Where safetensors is not installed, it
writes weights as plain files of `torch.save`. The second form, on a machine with safetensors, converts them to a folder
that `score` reads.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from models.training.checkpoints import TrainingError
from models.training.config import CORPUS, TrainConfig, TrainedStage
from models.training.data.packed import PackedSegments
from models.training.data.sounds import CORPUS_VERSION, compose_sounds, durations_of
from models.training.factory import (
    Training,
    build_autoencoder_training,
    build_diffusion_training,
    check_latents_codec,
    training_device,
)
from models.training.plain_weights import convert_plain_weights


class LossPrinter:
    """Prints losses to standard error; see `models.training.trainer.TrainingListener`."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_losses(self, step: int, values: Mapping[str, float]) -> None:
        losses = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        say(f"step {step} of {self.steps}: {losses}")

    def on_sample(self, step: int) -> None:
        """Does nothing: samples need packages that may be missing here."""


class TimeLimitReachedError(Exception):
    """Raised when the time limit of the call is reached; the work that is done is kept."""


def build_training(config: TrainConfig) -> Training:
    """Builds a training loop, and composes its corpus first, within the time limit of the loop.

    Raises:
        TimeLimitReachedError: the corpus is not complete yet; the next call goes on with it.
        TrainingError: the training needs more than this machine has, or something cannot be used.
    """
    if config.workers > 1:
        raise TrainingError(f"a bare machine trains with one worker, got {config.workers}")

    def make_listener(network: nn.Module, autoencoder: nn.Module | None) -> LossPrinter:
        return LossPrinter(config.loop.steps)

    if config.stage is TrainedStage.DIFFUSION:
        segments = PackedSegments(Path(config.dataset))
        check_latents_codec(config, segments.settings.get("codec"))
        identity = {"dataset": segments.settings, "segments": len(segments), "contents": segments.contents}
        return build_diffusion_training(config, segments, segments.seconds, identity, make_listener=make_listener)
    if config.stage is TrainedStage.AUTOENCODER and config.dataset == CORPUS:
        training_device(config)  # fails before minutes of composing
        rate = config.network.lengths.sample_rate
        began, limit = time.monotonic(), config.loop.seconds

        def on_progress(done: int, total: int) -> None:
            if done % 10 == 0 or done == total:
                say(f"{done} of {total} pieces composed")
            if 0 < limit <= time.monotonic() - began and done < total:
                raise TimeLimitReachedError(f"{done} of {total} pieces composed")

        sounds = compose_sounds(config.clips, config.out / CORPUS, rate, on_progress=on_progress)
        seconds, identity = durations_of(sounds, rate), {"corpus": [config.clips, CORPUS_VERSION]}
        return build_autoencoder_training(config, sounds, seconds, identity, make_listener=make_listener)
    raise TrainingError(
        "a bare machine trains the autoencoder on the composed corpus or the diffusion on a packed dataset, "
        f"got {config.stage} on {config.dataset}"
    )


def say(line: str) -> None:
    """Prints a line to standard error."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when the last step is done or the time limit is reached, 2 with one line of error otherwise."""
    parser = argparse.ArgumentParser(prog="python -m models.training.standalone")
    parser.add_argument("config", type=Path, help="a JSON file, as `diff-v2m train` reads it")
    parser.add_argument("--seconds", type=float, help="train for at most so long, keep a checkpoint and end")
    parser.add_argument("--convert", type=Path, metavar="FOLDER", help="write the plain weights there, to be loaded")
    options = parser.parse_args(arguments)
    try:
        config = TrainConfig.from_file(options.config)
        if options.convert is not None:
            convert_plain_weights(config.weights, options.convert)
            say(f"weights in {options.convert}")
            return 0
        if options.seconds is not None:
            config = replace(config, loop=replace(config.loop, seconds=options.seconds))
        began = time.monotonic()
        training = build_training(config)
        training.trainer.deduct_time(time.monotonic() - began)
        if training.trainer.run():
            training.finish()
            say(f"{config.loop.steps} steps done; weights in {config.weights}")
        else:
            say(f"{training.trainer.step} of {config.loop.steps} steps done; the same command goes on from here")
    except TimeLimitReachedError as progress:
        say(f"{progress}; the same command goes on from here")
    except TrainingError as error:
        say(f"error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
