"""Data sets from the Hugging Face hub, named ``hf://owner/name``."""

from pathlib import Path
from typing import Final

from configs.errors import ConfigError, RunStoreError

PREFIX: Final = "hf://"


def download(name: str, patterns: list[str]) -> Path:
    """Download a data set, or what is not there yet of it.

    Parameters
    ----------
    name
        ``hf://owner/name``, for example ``hf://Deep-See/OpticalNet``.
    patterns
        Files that are wanted, such as ``test/*``.

    Returns
    -------
    Path
        The folder in the hub's cache.

    Raises
    ------
    ConfigError
        If the name is none, or not on the hub, or the extra ``hub`` is not installed.
    RunStoreError
        If the hub cannot be reached, or stops half-way.
    """
    repository = name.removeprefix(PREFIX)
    if repository.count("/") != 1:
        raise ConfigError(f"data set: expected {PREFIX}owner/name, got {name}")
    try:
        from httpx2 import HTTPError
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise ConfigError(
            f"{name}: expected the package huggingface_hub, got: {error};"
            ' pip install "opticalnet[hub]"'
        ) from error
    try:
        folder = snapshot_download(repository, repo_type="dataset", allow_patterns=patterns)
    except errors.GatedRepoError as error:
        raise ConfigError(
            f"{name}: expected access, but its owner grants it on request only;"
            " ask for it on its page, then run: hf auth login"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ConfigError(
            f"{name}: no such data set on the hub;"
            " check the spelling, or run hf auth login if it is private"
        ) from error
    except (HTTPError, errors.XetDownloadError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise RunStoreError(
            f"{name}: cannot download: {reason}; check the network and try again:"
            " what is there already is kept"
        ) from error
    return Path(folder)
