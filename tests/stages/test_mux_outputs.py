"""Formats, rates, parts and tracks of a result, as other programs see them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stages.audio.formats import FORMATS, OutputSettings, resampled
from tests.stages.test_mux import paths, score, shades
from tests.support.rows import media, sound_columns
from tests.support.sounds import write_clicking
from tests.support.videos import ffmpeg, write_video


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("name", list(FORMATS))
def test_every_format_holds_the_same_music(tmp_path: Path, name: str, rate: int) -> None:
    """Its level, pitch, length and rate, read by libsndfile and by ffmpeg."""
    video = write_video(tmp_path / "clip.mp4", shades(2))
    row = score(tmp_path, video, 2.0, outputs=OutputSettings((name,), rate))
    file, names = Path(row["outputs"][1]["path"]), [output["name"] for output in row["outputs"]]
    assert names == ["clip.mp4", f"clip{FORMATS[name].suffix}", "clip.json"]
    info = soundfile.info(file)
    assert (info.samplerate, info.channels, info.subtype) == (rate, 2, FORMATS[name].subtype)
    sound = soundfile.read(file)[0][:, 0]
    assert len(sound) == pytest.approx(2 * rate, abs=2000 if name == "mp3" else 0)
    middle = sound[rate // 2 : rate // 2 + rate]
    assert np.abs(middle).max() == pytest.approx(8000 / 32768, rel=0.02)
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 440
    with av.open(str(file)) as again:
        assert again.streams.audio[0].codec_context.sample_rate == rate


def test_a_rate_holds_for_the_video_too_and_moves_nothing(tmp_path: Path) -> None:
    pulse = np.zeros((3 * 44100, 2), np.int16)
    pulse[44100] = 20000
    again = resampled(pulse, 44100, 48000)
    assert len(again) == 3 * 48000
    assert np.argmax(np.abs(again[:, 0])) == 48000
    video = write_video(tmp_path / "a.mov", shades(1))
    files = paths(score(tmp_path, video, 1.0, outputs=OutputSettings(("wav",), 48000)))
    with av.open(str(files[".mov"])) as file:
        assert file.streams.audio[0].codec_context.sample_rate == 48000


def test_the_parts_add_up_and_the_music_is_kept(tmp_path: Path) -> None:
    music = sound_columns(2.0)["waveform"]
    original = (music // 2)[::-1]
    values = {"music": music * 2, "mix": music + original, "original_sound": original, "original_track": 1}
    video = write_clicking(tmp_path / "clip.mp4", 2)
    row = score(tmp_path, video, 2.0, outputs=OutputSettings(stems=True), original="kept", **values)
    files = {output["name"]: output["path"] for output in row["outputs"]}
    assert set(files) == {
        "clip.mp4", "clip.wav", "clip.json", f"kept/{row['item_id']}.arrow", "clip.mix.flac", "clip.original.flac",
    }  # fmt: skip
    sounds = [soundfile.read(files[f"clip{end}"], dtype="int16")[0] for end in (".wav", ".original.flac", ".mix.flac")]
    np.testing.assert_array_equal(sounds[0] + sounds[1], sounds[2])


@pytest.mark.parametrize(
    ("name", "own", "copied"),
    [("a.mp4", "aac", True), ("b.mkv", "flac", True), ("c.mov", "pcm_s16le", True), ("d.mp4", "wmav2", False)],
)
def test_a_track_is_added_behind_those_of_the_video(tmp_path: Path, name: str, own: str, copied: bool) -> None:
    """They are copied where the container can hold them; their languages and the track that is played stay."""
    clicking = write_clicking(tmp_path / f"clicking.{'mov' if own.startswith('pcm') else 'mkv'}", 2, [1.0], codec=own)
    video = clicking.with_stem("source")
    names = ("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=fra")
    ffmpeg("-i", clicking, "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", *names, video)
    outputs = OutputSettings(music_track="add")
    row = score(tmp_path, video, 2.0, output=name, outputs=outputs, media=media(has_audio=True))
    assert row["error"] is None
    with av.open(row["outputs"][0]["path"]) as file, av.open(str(video)) as source:
        tracks = file.streams.audio
        assert [track.metadata.get("language") for track in tracks[:2]] == ["ger", "fra"]
        assert len(tracks) == 3
        assert tracks[2].metadata.get("title", tracks[2].metadata.get("handler_name")) == "Music"
        default = av.stream.Disposition.default
        assert [bool(track.disposition & default) for track in tracks][0::2] == [True, False]
        before, after = ([bytes(p) for p in f.demux(audio=0) if p.size] for f in (source, file))
        assert (before == after) == copied
