"""Settings as TOML: load, save, presets."""

import tomllib
from importlib import resources
from pathlib import Path

import tomli_w

from configs.errors import ConfigError
from configs.instrument import InstrumentConfig


def presets() -> list[str]:
    """Names of the instruments that ship with OpticalNet."""
    files = resources.files("configs").joinpath("presets").iterdir()
    return sorted(
        file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")
    )


def load_instrument(name_or_path: str) -> InstrumentConfig:
    """Read an instrument: the name of a preset, or the path of a TOML file.

    Raises
    ------
    ConfigError
        Naming the file, the key and what was expected there.
    """
    if name_or_path in presets():
        file = resources.files("configs").joinpath("presets", f"{name_or_path}.toml")
        return parse_instrument(file.read_text(encoding="utf-8"), name_or_path)
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise ConfigError(
            f"instrument: expected one of {', '.join(presets())} or the path of a .toml file,"
            f" got {name_or_path!r}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"instrument: cannot read {path}: {error}; check the path") from error
    return parse_instrument(text, str(path))


def parse_instrument(text: str, source: str) -> InstrumentConfig:
    """Read an instrument from TOML text; ``source`` names it in errors."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: expected valid TOML, got: {error}") from error
    return InstrumentConfig.checked(source, values)


def save_instrument(instrument: InstrumentConfig, path: Path) -> None:
    """Write an instrument, defaults included, so that ``load_instrument`` gives it back."""
    values = instrument.model_dump(mode="json", exclude_none=True)
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
