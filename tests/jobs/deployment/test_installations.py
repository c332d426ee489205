"""The ways to install that the README names, each one from nothing: all make the same music.

Each environment takes 6 GB of disk while its test runs, and a first installation downloads about 3 GB.
"""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.deployment.runtime_env import PACKAGES, exact_packages
from tests.support.dockerfile import DOCKERFILE, replay
from tests.support.installations import (
    COMMAND,
    bare_cluster,
    commands_of_readme,
    copy_repository,
    environment,
    make_environment,
    run,
    tracked_files,
)
from tests.support.videos import gray, write_video

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not COMMAND.is_file(), reason="the package is not installed as a command"),
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed"),
]
SECONDS, RATE = 3, 24
HOSTILE = "import pathlib\npathlib.Path({mark!r}).touch()\nraise SystemExit('imported from the current folder')\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is gone after the test, unlike those of pytest, which would keep gigabytes for three sessions."""
    with tempfile.TemporaryDirectory(prefix="installation-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one short clip."""
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "clip.mp4", [gray(30 + 60 * (n // RATE)) for n in range(SECONDS * RATE)], RATE)
    return folder


@pytest.fixture(scope="module")
def expected(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The soundtrack that the installation of the tests makes."""
    out = tmp_path_factory.mktemp("expected")
    run([COMMAND, "score", clips, "--out", out], out, environment())
    return (out / "clip.wav").read_bytes()


def check_scored(out: Path, expected: bytes) -> None:
    """Checks a destination of `clips`: its files are complete, and the music is that of every other installation."""
    samples, rate = soundfile.read(out / "clip.wav", dtype="int16")
    assert samples.shape == (SECONDS * rate, 2)
    assert rate == 44100
    assert np.abs(samples).max() > 300
    assert (out / "clip.wav").read_bytes() == expected
    assert json.loads((out / "clip.json").read_text())["seed"] == 0
    assert (out / "clip.mp4").stat().st_size > 1000


def hostile(folder: Path, *modules: str) -> Path:
    """A folder with modules that leave the mark `imported` beside it."""
    folder.mkdir()
    for module in modules:
        (folder / f"{module}.py").write_text(HOSTILE.format(mark=str(folder.parent / "imported")))
    return folder


def test_uv_run(folder: Path, clips: Path, expected: bytes) -> None:
    assert commands_of_readme("uv run diff-v2m demo")
    source = copy_repository(folder / "source")
    variables = environment()
    make_environment(folder / "probe")  # skips the test where there is no registry
    run(["uv", "run", "diff-v2m", "score", clips, "--out", folder / "scored"], source, variables)
    check_scored(folder / "scored", expected)
    installed = json.loads(run(["uv", "pip", "list", "--format", "json"], source, variables))
    listed = {line.split(" ;")[0] for line in exact_packages() if ";" not in line}
    assert listed <= {f"{package['name'].lower()}=={package['version']}" for package in installed}


def test_pip(folder: Path, clips: Path, expected: bytes) -> None:
    """The wheel that pip builds and installs makes the demo, too."""
    (install,) = commands_of_readme("pip install --no-deps")
    source = copy_repository(folder / "source")
    variables = environment(make_environment(folder / "environment"))
    run(shlex.split(install), source, variables)
    shutil.rmtree(source)
    elsewhere = hostile(folder / "elsewhere", *PACKAGES, "numpy", "torch")
    run(["diff-v2m", "score", clips, "--out", folder / "scored"], elsewhere, variables)
    check_scored(folder / "scored", expected)
    report = json.loads(run(["diff-v2m", "demo", "--json", "--out", folder / "demo"], elsewhere, variables))
    assert (report["done"], report["failed"]) == (3, 0)
    assert not (folder / "imported").exists()


def test_container_recipe(folder: Path, clips: Path, expected: bytes) -> None:
    """Only its steps: whether the base image has what they need, a container alone could tell."""
    source = copy_repository(folder / "source")
    variables = environment(make_environment(folder / "environment"))
    replay(DOCKERFILE, source, folder / "image", variables)
    run(["diff-v2m", "score", clips, "--out", folder / "scored"], folder, variables)
    check_scored(folder / "scored", expected)


def test_ray_with_nothing_but_ray(folder: Path, clips: Path, expected: bytes) -> None:
    """Neither the folder that the job comes from nor the one that the cluster was started in is imported from."""
    assert commands_of_readme("uv run diff-v2m submit --install --address")
    binaries = make_environment(folder / "environment")
    (ray,) = [line for line in exact_packages() if line.startswith("ray==")]
    run(["pip", "install", ray.replace("ray==", "ray[default]==")], folder, environment(binaries))
    here, there = hostile(folder / "here", *PACKAGES, "numpy"), hostile(folder / "there", *PACKAGES)
    with bare_cluster(binaries, there) as cluster:
        variables = environment(AWS_SECRET_ACCESS_KEY="hush", **cluster.variables)
        words = ["submit", "--install", "--address", cluster.address, "--json", "--", clips, "--out", folder / "scored"]
        job = json.loads(run([COMMAND, *words], here, variables))["job"]
        status = [COMMAND, "status", "--address", cluster.address, "--job", job]
        end = time.monotonic() + 1800
        while f"{job}: SUCCEEDED" not in (log := run(status, here, variables)):
            assert time.monotonic() < end, log
            time.sleep(5)
        assert "hush" not in log
    check_scored(folder / "scored", expected)
    assert not (folder / "imported").exists()


def test_the_wheel_holds_the_program_and_its_weights_alone(folder: Path) -> None:
    source = copy_repository(folder / "source")
    make_environment(folder / "probe")  # skips the test where there is no registry
    run(["uv", "build", "--wheel", "--out-dir", folder / "wheels", source], folder, environment())
    (wheel,) = (folder / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path.as_posix() for path in tracked_files() if path.parts[0] in PACKAGES and path.suffix != ".png"}
    assert held == files
    assert len([name for name in held if name.startswith("models/tiny/model-")]) == 3
