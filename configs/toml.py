"""Settings as TOML: files and presets, and the instruments among them."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w

from configs.errors import ConfigError
from configs.instrument import InstrumentConfig

_INSTRUMENTS = "presets"


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Read TOML text; ``source`` names it in the ``ConfigError`` about it."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: expected valid TOML, got: {error}") from error


def read_toml(what: str, path: Path) -> dict[str, Any]:
    """Read a TOML file; ``what`` says in the ``ConfigError`` about it what it was to be."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what}: cannot read {path}: {error}; check the path") from error
    return parse_toml(text, str(path))


def presets_in(folder: str) -> list[str]:
    """Names of the TOML files in a folder of this package."""
    files = resources.files("configs").joinpath(folder).iterdir()
    return sorted(
        file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")
    )


def read_preset_or_file(what: str, folder: str, name_or_path: str) -> dict[str, Any]:
    """Read a preset from a folder of this package, or a TOML file of the user."""
    names = presets_in(folder)
    if name_or_path in names:
        file = resources.files("configs").joinpath(folder, f"{name_or_path}.toml")
        return parse_toml(file.read_text(encoding="utf-8"), name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise ConfigError(
            f"{what}: expected one of {', '.join(names)} or the path of a .toml file,"
            f" got {name_or_path!r}"
        )
    return read_toml(what, path)


def presets() -> list[str]:
    """Names of the instruments that ship with OpticalNet."""
    return presets_in(_INSTRUMENTS)


def load_instrument(name_or_path: str) -> InstrumentConfig:
    """Read an instrument: the name of a preset, or the path of a TOML file.

    Its key ``include`` names a file, beside it or by an absolute path, with more of its
    tables, such as those of ``opticalnet calibrate``.

    Raises
    ------
    ConfigError
        Naming the file, the key and what was expected there, also where both files say
        the same key.
    """
    values = read_preset_or_file("instrument", _INSTRUMENTS, name_or_path)
    if (included := values.pop("include", None)) is not None:
        if not isinstance(included, str):
            raise ConfigError(
                f"{name_or_path}: include: expected the path of a TOML file, got {included!r}"
            )
        path = Path(name_or_path).parent / included
        _merge(values, read_toml("include", path), (name_or_path, str(path)), ())
    return InstrumentConfig.checked(name_or_path, values)


def _merge(
    values: dict[str, Any], more: dict[str, Any], files: tuple[str, str], at: tuple[str, ...]
) -> None:
    """Add what another file says."""
    for key, value in more.items():
        if key not in values:
            values[key] = value
        elif isinstance(value, dict) and isinstance(values[key], dict):
            _merge(values[key], value, files, (*at, key))
        else:
            raise ConfigError(
                f"{files[0]}: expected {'.'.join((*at, key))} only in what it includes,"
                f" {files[1]}, or only here, got it in both; remove one"
            )


def parse_instrument(text: str, source: str) -> InstrumentConfig:
    """Read an instrument from TOML text; ``source`` names it in errors."""
    return InstrumentConfig.checked(source, parse_toml(text, source))


def save_instrument(instrument: InstrumentConfig, path: Path) -> None:
    """Write an instrument, defaults included, so that ``load_instrument`` gives it back."""
    values = instrument.model_dump(mode="json", exclude_none=True)
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
