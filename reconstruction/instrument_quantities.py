"""What can be fitted of an instrument: each quantity as a number that is zero at the start."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from configs.optics import FocusedBeam, GaussianBeam, Optics

APERTURE: Final = "optics.collection_na"
BRIGHTNESS: Final = "brightness"
_ABERRATIONS: Final = {
    "astigmatism, 0 deg": 6,
    "astigmatism, 45 deg": 5,
    "coma along y": 7,
    "coma along x": 8,
    "spherical": 11,
}
"""Noll's indices; 4, defocus, is in the distance."""
_EXPECTED_WAVES: Final = 0.1


@dataclass(frozen=True, slots=True)
class Instrument:
    """What an instrument is taken for.

    Attributes
    ----------
    optics
        The light.
    electrons
        Photo-electrons of the whole beam in a frame.
    stray_e
        Light that is everywhere, per pixel.
    """

    optics: Optics
    electrons: float
    stray_e: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is fitted, as a number that is zero at the start.

    Attributes
    ----------
    name, unit
        For people; a path within ``[optics]`` where there is one.
    expected
        Standard deviation that it may have between instruments.
    is_relative
        Whether the number is the logarithm of a ratio.
    read
        Its value.
    moved
        Another instrument, in which it is larger by a number: relative for positive ones.
    """

    name: str
    unit: str
    expected: float
    is_relative: bool
    read: Callable[[Instrument], float]
    moved: Callable[[Instrument, float], Instrument]

    def distance(self, start: Instrument, instrument: Instrument) -> float:
        """Return the number that leads from one instrument to another."""
        here, there = self.read(start), self.read(instrument)
        return math.log(there / here) if self.is_relative else there - here


def light_quantities(optics: Optics, *, aberrations: bool) -> list[Quantity]:
    """Return what can be told of the light when the sample is unknown too."""
    geometry = {APERTURE, "optics.pixel_nm", BRIGHTNESS}
    everything = quantities(optics, aberrations=aberrations)
    return [quantity for quantity in everything if quantity.name not in geometry]


def quantities(optics: Optics, *, aberrations: bool) -> list[Quantity]:
    """Return what can be fitted of an instrument with such optics."""
    chosen = [
        _of_optics("defocus_wavelengths", "wavelengths", 0.1),
        _of_optics("collection_na", "", 0.05),
        _of_optics("pixel_nm", "nm", 0.05),
        Quantity(
            BRIGHTNESS,
            "e of the beam",
            0.3,
            True,
            lambda one: one.electrons,
            lambda one, by: replace(one, electrons=one.electrons * math.exp(by)),
        ),
        Quantity(
            "stray light",
            "e per pixel",
            5.0,
            False,
            lambda one: one.stray_e,
            lambda one, by: replace(one, stray_e=one.stray_e + by),
        ),
    ]
    if isinstance(optics.beam, GaussianBeam):
        chosen.insert(0, _of_beam("fwhm_nm", "nm", 0.2))
    else:
        chosen.insert(0, _of_beam("filling", "", 0.2))
    if aberrations:
        chosen += [_aberration(name, noll) for name, noll in _ABERRATIONS.items()]
        if isinstance(optics.beam, FocusedBeam):
            chosen += [_beam_aberration(name, noll) for name, noll in _ABERRATIONS.items()]
    return chosen


def _of_optics(name: str, unit: str, expected: float) -> Quantity:
    def moved(one: Instrument, by: float) -> Instrument:
        value = getattr(one.optics, name) * math.exp(by)
        return replace(one, optics=one.optics.changed(**{name: value}))

    return Quantity(
        f"optics.{name}",
        unit,
        expected,
        True,
        lambda one: float(getattr(one.optics, name)),
        moved,
    )


def _of_beam(name: str, unit: str, expected: float) -> Quantity:
    def moved(one: Instrument, by: float) -> Instrument:
        beam = one.optics.beam
        changed = beam.changed(**{name: getattr(beam, name) * math.exp(by)})
        return replace(one, optics=one.optics.changed(beam=changed))

    return Quantity(
        f"optics.beam.{name}",
        unit,
        expected,
        True,
        lambda one: float(getattr(one.optics.beam, name)),
        moved,
    )


def _aberration(name: str, noll: int) -> Quantity:
    """Return a term of the collecting objective."""

    def waves(optics: Optics) -> tuple[float, ...]:
        return optics.collection_zernike_waves

    def changed(optics: Optics, waves: tuple[float, ...]) -> Optics:
        return optics.changed(collection_zernike_waves=waves)

    return _term(name, noll, waves, changed)


def _beam_aberration(name: str, noll: int) -> Quantity:
    """Return a term of the objective that focuses the beam."""

    def waves(optics: Optics) -> tuple[float, ...]:
        assert isinstance(optics.beam, FocusedBeam)
        return optics.beam.zernike_waves

    def changed(optics: Optics, waves: tuple[float, ...]) -> Optics:
        return optics.changed(beam=optics.beam.changed(zernike_waves=waves))

    return _term(f"{name}, of the beam", noll, waves, changed)


def _term(
    name: str,
    noll: int,
    waves_of: Callable[[Optics], tuple[float, ...]],
    changed: Callable[[Optics, tuple[float, ...]], Optics],
) -> Quantity:
    """Return one of the Zernike terms that optics have somewhere."""

    def read(one: Instrument) -> float:
        waves = waves_of(one.optics)
        return waves[noll - 1] if len(waves) >= noll else 0.0

    def moved(one: Instrument, by: float) -> Instrument:
        waves = list(waves_of(one.optics))
        waves += [0.0] * (noll - len(waves))
        waves[noll - 1] += by
        return replace(one, optics=changed(one.optics, tuple(waves)))

    return Quantity(name, "waves rms", _EXPECTED_WAVES, False, read, moved)
