"""Training on a bare machine: torch and numpy are enough, nothing is fetched, all cores compose the corpus.

    python -m models.training.standalone TRAIN.json [--seconds SECONDS]
    python -m models.training.standalone TRAIN.json --convert FOLDER

trains the autoencoder on the composed corpus, or the diffusion on a dataset that `python -m
jobs.studies.pack_dataset` has packed, and goes on where it stopped when it is started again. Where there is no
safetensors, weights are plain files of `torch.save`; the second form, on a machine that has it, turns them into a
folder that `score` reads.
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
from models.training.data.sounds import VERSION, compose_sounds, lengths_of
from models.training.factory import Training, autoencoder_training, check_codec, device_of, diffusion_training
from models.training.weights import convert_plain


class Lines:
    """Tells losses on standard error; see `models.training.trainer.Watcher`."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        losses = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        say(f"step {step} of {self.steps}: {losses}")

    def sample(self, step: int) -> None:
        """Nobody listens here."""


class TimeUp(Exception):
    """The call's time is over; what is done is kept."""


def training_of(config: TrainConfig) -> Training:
    """A loop that is ready to run, its corpus composed, in the time that the loop has.

    Raises:
        TimeUp: the corpus is not whole yet; the next call goes on with it.
        TrainingError: it wants more than a bare machine has, or something cannot be used.
    """
    if config.workers > 1:
        raise TrainingError(f"a bare machine trains with one worker, got {config.workers}")

    def watching(network: nn.Module, autoencoder: nn.Module | None) -> Lines:
        return Lines(config.loop.steps)

    if config.stage is TrainedStage.DIFFUSION:
        segments = PackedSegments(Path(config.dataset))
        check_codec(config, segments.settings.get("codec"))
        facts = {"dataset": segments.settings, "segments": len(segments), "contents": segments.contents}
        return diffusion_training(config, segments, segments.seconds, facts, watching=watching)
    if config.stage is TrainedStage.AUTOENCODER and config.dataset == CORPUS:
        device_of(config)  # before minutes of composing
        rate = config.network.lengths.sample_rate
        began, limit = time.monotonic(), config.loop.seconds

        def composed(done: int, total: int) -> None:
            _composed(done, total)
            if 0 < limit <= time.monotonic() - began and done < total:
                raise TimeUp(f"{done} of {total} pieces composed")

        sounds = compose_sounds(config.clips, config.out / CORPUS, rate, progress=composed)
        seconds, corpus = lengths_of(sounds, rate), {"corpus": [config.clips, VERSION]}
        return autoencoder_training(config, sounds, seconds, corpus, watching=watching)
    raise TrainingError(
        "a bare machine trains the autoencoder on the composed corpus or the diffusion on a packed dataset, "
        f"got {config.stage} on {config.dataset}"
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the last step is done or the time is up, 2 with one line when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m models.training.standalone")
    parser.add_argument("config", type=Path, help="a JSON file, as `diff-v2m train` reads it")
    parser.add_argument("--seconds", type=float, help="train for at most so long, keep a checkpoint and end")
    parser.add_argument("--convert", type=Path, metavar="FOLDER", help="write the plain weights there, to be loaded")
    asked = parser.parse_args(arguments)
    try:
        config = TrainConfig.from_file(asked.config)
        if asked.convert is not None:
            convert_plain(config.weights, asked.convert)
            say(f"weights in {asked.convert}")
            return 0
        if asked.seconds is not None:
            config = replace(config, loop=replace(config.loop, seconds=asked.seconds))
        began = time.monotonic()
        training = training_of(config)
        training.trainer.spend(time.monotonic() - began)
        if training.trainer.run():
            training.finish()
            say(f"{config.loop.steps} steps done; weights in {config.weights}")
        else:
            say(f"{training.trainer.step} of {config.loop.steps} steps done; the same command goes on from here")
    except TimeUp as so_far:
        say(f"{so_far}; the same command goes on from here")
    except TrainingError as fault:
        say(f"error: {fault}")
        return 2
    return 0


def _composed(done: int, total: int) -> None:
    if done % 10 == 0 or done == total:
        say(f"{done} of {total} pieces composed")


if __name__ == "__main__":
    sys.exit(main())
