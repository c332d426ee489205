"""Speech detection by Silero VAD, whose weights come with its package."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.mixing.sound import Sound

SAMPLE_RATE = 16000
CHUNK = 512
"""Samples that the network takes at once."""
STEP_S = CHUNK / SAMPLE_RATE
"""Seconds between two probabilities."""


class SpeechDetector:
    """Tells where in a sound somebody speaks. The network runs on the processor, for one sound at a time."""

    def __init__(self) -> None:
        import torch

        # The package itself is not imported: it would set the number of torch's threads for the whole process.
        found = importlib.util.find_spec("silero_vad")
        assert found is not None
        assert found.origin is not None
        weights = Path(found.origin).with_name("data") / "silero_vad.jit"
        self._network: Any = torch.jit.load(str(weights), map_location="cpu").eval()

    def __call__(self, sound: Sound) -> npt.NDArray[np.float32]:
        """Returns the probability of speech, 0..1, every `STEP_S` seconds."""
        import torch

        self._network.reset_states()
        rest, found = np.zeros(0, np.float32), list[float]()
        with torch.inference_mode():
            for part in _mono_parts(sound):
                samples = np.concatenate((rest, part))
                whole = len(samples) // CHUNK * CHUNK
                for chunk in samples[:whole].reshape(-1, CHUNK):
                    found.append(float(self._network(torch.from_numpy(chunk.copy())[None], SAMPLE_RATE)))
                rest = samples[whole:]
        return np.asarray(found, np.float32)


def _mono_parts(sound: Sound) -> Iterator[npt.NDArray[np.float32]]:
    """Yields the mean of a sound's channels at 16 kHz, in parts that fit together."""
    from scipy.signal import resample_poly

    common = math.gcd(sound.sample_rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // common, sound.sample_rate // common
    margin = down * -(-40 // up) * 4  # longer than the filter, and a whole number of samples at both rates
    size = down * max(1, (1 << 17) // down)
    for start in range(0, sound.samples, size):
        samples = sound.read(start - margin, start + size + margin).mean(1)
        first = margin // down * up
        stop = first + min(size, sound.samples - start) * up // down
        yield resample_poly(samples, up, down)[first:stop].astype(np.float32)
