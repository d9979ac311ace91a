"""How much light the sample gets."""

from typing import Final

from acquisition.store import RunInfo
from configs.optics import Optics
from simulation.forward import ForwardModel

_PLANCK_J_S: Final = 6.62607015e-34
_LIGHT_M_PER_S: Final = 299_792_458.0


def photon_energy_nj(optics: Optics) -> float:
    """Return the energy of a photon, h c / lambda."""
    return _PLANCK_J_S * _LIGHT_M_PER_S / optics.wavelength_nm * 1e18


def photons_per_point(info: RunInfo) -> float:
    """Return the photons that reach the sample during one exposure."""
    share = ForwardModel(info.instrument.optics, info.plan.pitch_nm).open_peak()
    return info.open_peak_e / info.instrument.camera.sensor.quantum_efficiency / share
