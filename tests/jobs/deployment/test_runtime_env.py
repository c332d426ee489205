"""What a job brings along to a cluster that has nothing but Ray."""

from __future__ import annotations

from pathlib import Path

from ray.runtime_env import RuntimeEnv

from jobs.deployment.runtime_env import base_environment, complete_environment, exact_packages


def test_it_holds_the_program_with_its_weights_and_every_package() -> None:
    environment = complete_environment()
    folders = [Path(folder) for folder in environment["py_modules"]]
    assert {folder.name for folder in folders} == {"models", "stages", "pipeline", "jobs"}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    (models,) = [folder for folder in folders if folder.name == "models"]
    assert len(list(models.glob("tiny/model-*.safetensors"))) == 3
    assert environment["pip"]["packages"] == exact_packages()
    assert "--no-deps" in environment["pip"]["pip_install_options"]


def test_ray_takes_it_and_no_variable_travels() -> None:
    taken = RuntimeEnv(**(complete_environment() | {"py_modules": ["gcs://models.zip"]}))
    assert taken["pip"]["packages"] == exact_packages()
    assert taken["config"]["setup_timeout_seconds"] == 3600
    assert (
        set(complete_environment()["env_vars"])
        == set(base_environment()["env_vars"])
        == {"RAY_ENABLE_UV_RUN_RUNTIME_ENV"}
    )
