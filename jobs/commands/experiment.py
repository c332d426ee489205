"""The commands `experiment NAME`: measurements whose tables stand in the documents, and pictures of results.

A study is imported when its command runs, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jobs.exits import exit_on_error
from jobs.options import SettingsError

experiment_app = typer.Typer(
    help="Repeat the measurements that stand in the documents, and draw results.", no_args_is_help=True
)

NOTHING_KEPT = "nothing is kept"
Models = Annotated[
    list[str],
    typer.Argument(help="Presets, which get a composed video, or paths of checkpoints, which get random features."),
]
LabeledFilms = Annotated[
    Path, typer.Argument(help="Folder with the labeled films; jobs/studies/cuts/README.md names them.")
]
Photographs = Annotated[Path, typer.Argument(help="Folder of photographs (png, jpg) for the composed films.")]
Picture = Annotated[Path, typer.Argument(help="PNG file that takes the picture.")]


@experiment_app.command("ablation")
def ablation_command(
    dataset: Annotated[Path, typer.Argument(help="A dataset of `prepare` with latents.")],
    out: Annotated[Path, typer.Option(help="Folder for the trainings, the held-out clips and ablation.md.")] = Path(
        "ablation"
    ),
    codec: Annotated[
        str, typer.Option(help="Preset or checkpoint whose autoencoder made the dataset's latents.")
    ] = "tiny",
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")] = 400,
    clips: Annotated[int, typer.Option(min=2, help="Held-out clips; each is compared with the others.")] = 16,
    seeds: Annotated[int, typer.Option(min=1, help="Pieces of music for each clip.")] = 3,
    only: Annotated[
        list[str] | None, typer.Option(help="tokens, positions, curve-1hz, curve or both; all if left out. Repeatable.")
    ] = None,
) -> None:
    """Train the same small network with one way of rhythm conditioning at a time, and compare the networks.

    Run it again to go on where it stopped.
    """
    with exit_on_error():
        from jobs.studies.ablation import VARIANTS, ablate

        variants = only or list(VARIANTS)
        ablate(dataset, out, codec=codec, steps=steps, clips=clips, seeds=seeds, only=variants, print_line=typer.echo)


@experiment_app.command("samplers")
def samplers_command(picture: Picture, models: Models) -> None:
    """Measure how near samplers come to the converged solution with how many steps, and draw it."""
    with exit_on_error(NOTHING_KEPT), _os_errors_as_user_errors():
        from jobs.studies.samplers import compare_samplers

        typer.echo(compare_samplers(models, picture))


@experiment_app.command("precision")
def precision_command(models: Models) -> None:
    """Measure what reduced precision costs and gains, stage by stage."""
    with exit_on_error(NOTHING_KEPT):
        from jobs.studies.precision import compare_precisions

        typer.echo(compare_precisions(models))


@experiment_app.command("decode-cost")
def decode_cost_command(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    repeats: Annotated[int, typer.Option(min=1, help="Measured pairs.")] = 7,
) -> None:
    """Measure the processor time of reading a video with its features, against bare decoding."""
    with exit_on_error(NOTHING_KEPT):
        from jobs.studies.decode_cost import measure

        typer.echo(str(measure(video, repeats)))


@experiment_app.command("cuts")
def cuts_command(
    clips: Annotated[
        Path, typer.Argument(help="Folder with the labeled films; jobs/studies/cuts/README.md names them.")
    ],
    pictures: Photographs,
    seeds: Annotated[int, typer.Option(min=1, help="Held-out composed films of each kind.")] = 10,
) -> None:
    """Compare detectors of cuts on labeled real films and on composed ones: recall, precision, timing, cost."""
    with exit_on_error(NOTHING_KEPT):
        from jobs.studies.cuts.compare import compare_cuts

        typer.echo(compare_cuts(clips, pictures, seeds, partial(typer.echo, err=True)), nl=False)


@experiment_app.command("cut-hits")
def cut_hits_command(
    clips: LabeledFilms,
    seeds: Annotated[int, typer.Option(min=1, help="Pieces of music for each film.")] = 3,
) -> None:
    """Measure how many labeled cuts the music hits, if the model sees none, those of a detector, or the labels."""
    with exit_on_error(NOTHING_KEPT):
        from jobs.studies.cuts.hits import measure_hits

        typer.echo(measure_hits(clips, seeds, partial(typer.echo, err=True)), nl=False)


@experiment_app.command("motion")
def motion_command(
    dataset: Annotated[Path, typer.Argument(help="A dataset of `prepare` with latents, of films with people too.")],
    out: Annotated[Path, typer.Option(help="Folder for the trainings, the held-out films and motion.md.")] = Path(
        "motion"
    ),
    codec: Annotated[
        str, typer.Option(help="Preset or checkpoint whose autoencoder made the dataset's latents.")
    ] = "tiny",
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")] = 1000,
    clips: Annotated[int, typer.Option(min=2, help="Held-out films of each kind.")] = 24,
    seeds: Annotated[int, typer.Option(min=1, help="Pieces of music for each film.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option(help="difference, none, flow or camera; all if left out. Repeatable.")
    ] = None,
) -> None:
    """Train predictors that read different views of motion, and compare what their music does with dancers and cuts.

    Run it again to go on where it stopped.
    """
    with exit_on_error(), _os_errors_as_user_errors():
        from jobs.studies.motion.compare import VARIANTS, compare_views

        names, show = only or list(VARIANTS), partial(typer.echo, err=True)
        table = compare_views(
            dataset, out, codec=codec, steps=steps, clips=clips, seeds=seeds, only=names, progress=show
        )
        typer.echo(table, nl=False)


@experiment_app.command("dance")
def dance_command(
    models: Annotated[list[str], typer.Argument(help="Presets, or paths of checkpoints.")],
    work: Annotated[Path, typer.Option(help="Folder for the held-out films and their features.")] = Path("motion"),
    clips: Annotated[int, typer.Option(min=2, help="Held-out films of each kind: with dancers, without people.")] = 24,
    seeds: Annotated[int, typer.Option(min=1, help="Pieces of music for each film.")] = 2,
) -> None:
    """Measure how well the music's beats fall on those of dancers, and its accents on cuts where nobody dances."""
    with exit_on_error(), _os_errors_as_user_errors():
        from jobs.studies.motion.measures import measure_models

        typer.echo(measure_models(models, work, clips, seeds, partial(typer.echo, err=True)), nl=False)


@experiment_app.command("fit-cuts")
def fit_cuts_command(
    pictures: Photographs,
    out: Annotated[Path, typer.Argument(help="JSON file that takes the weights.")],
    seeds: Annotated[int, typer.Option(min=1, help="Composed films of each kind.")] = 40,
) -> None:
    """Fit the network that judges hard cuts on composed films."""
    with exit_on_error(NOTHING_KEPT), _os_errors_as_user_errors():
        from jobs.studies.cuts.fit import fit_cuts

        typer.echo(fit_cuts(pictures, out, seeds=seeds))


@experiment_app.command("original-sound")
def original_sound_command(
    picture: Picture, seeds: Annotated[int, typer.Option(min=1, help="Composed films of each kind.")] = 5
) -> None:
    """Measure how well voices are found in the original sound, and how far music sinks under them; draw one film."""
    with exit_on_error(NOTHING_KEPT), _os_errors_as_user_errors():
        from jobs.studies.original_sound.measure import measure_original_sound

        typer.echo(measure_original_sound(picture, seeds, partial(typer.echo, err=True)), nl=False)


@experiment_app.command("first-soundtrack")
def first_soundtrack_command(
    checkout: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with this product and its .venv; the one that runs if left out. Repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="one, short, long or demo; all if left out. Repeatable.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each; the table shows the median.")] = 3,
) -> None:
    """Measure time and memory of whole commands: one clip, 24 short ones, 24 long ones, the demo; compare checkouts."""
    with exit_on_error(NOTHING_KEPT):
        from jobs.studies.first_soundtrack import CASES, measure_first_soundtrack

        if wrong := sorted(set(only or ()) - set(CASES)):
            raise SettingsError(f"expected {', '.join(CASES)}, got {', '.join(wrong)}")
        folders = checkout or [Path(__file__).parents[2]]
        progress = partial(typer.echo, err=True)
        typer.echo(measure_first_soundtrack(folders, only or list(CASES), runs, progress))


@experiment_app.command("resume")
def resume_command(
    config: Annotated[Path, typer.Argument(help="A JSON file of `train`.")],
    out: Annotated[Path, typer.Option(help="Folder for the trainings and trial.md; earlier ones are removed.")] = Path(
        "trial"
    ),
    steps: Annotated[int, typer.Option(min=4, help="Steps of each training; one is killed half way.")] = 40,
) -> None:
    """Do a training's first steps undisturbed, killed and resumed, and with two workers; compare losses and speed."""
    with exit_on_error(NOTHING_KEPT):
        from jobs.studies.resume import compare_resumed
        from models.training.config import TrainConfig

        typer.echo(compare_resumed(TrainConfig.from_file(config), out.resolve(), steps), nl=False)


@experiment_app.command("pack-dataset")
def pack_dataset_command(
    dataset: Annotated[str, typer.Argument(help="A dataset of `prepare`: a folder or s3://bucket/prefix.")],
    folder: Annotated[Path, typer.Argument(help="Takes the packed dataset.")],
) -> None:
    """Pack a dataset for `python -m models.training.standalone`, on a machine with torch and numpy alone."""
    with exit_on_error(NOTHING_KEPT), _os_errors_as_user_errors():
        from jobs.studies.pack_dataset import pack_dataset
        from pipeline.datasets.dataset import Dataset

        count = pack_dataset(Dataset.open(dataset), folder)
        typer.echo(f"{count} segments in {folder}", err=True)


@experiment_app.command("plot-results")
def plot_results_command(
    folder: Annotated[Path, typer.Argument(help="Results of `score` or `demo`.")], picture: Picture
) -> None:
    """Draw scored videos: the spectrogram of each soundtrack, its onsets, the predicted rhythm and the cuts."""
    with exit_on_error(NOTHING_KEPT), _os_errors_as_user_errors():
        from stages.plots.results import draw_scored

        draw_scored(folder, picture)


@experiment_app.command("plot-losses")
def plot_losses_command(
    picture: Picture,
    trainings: Annotated[
        list[str], typer.Argument(metavar="NAME=FOLDER...", help="Folders of trainings, each with a title.")
    ],
) -> None:
    """Draw the losses of trainings, a panel for each."""
    with exit_on_error(NOTHING_KEPT), _os_errors_as_user_errors():
        from stages.plots.losses import draw_losses

        pairs = [training.partition("=") for training in trainings]
        if wrong := [name for name, _, folder in pairs if not folder]:
            raise SettingsError(f"expected NAME=FOLDER, got {', '.join(wrong)}")
        draw_losses({name: Path(folder) for name, _, folder in pairs}, picture)


@contextmanager
def _os_errors_as_user_errors() -> Iterator[None]:
    """Turns an error of a file that the command names into one line."""
    try:
        yield
    except OSError as error:
        raise SettingsError(str(error)) from error
