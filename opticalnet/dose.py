"""How much light the sample gets."""

from typing import Final

from acquisition.plan import ScanPlan
from configs.instrument import InstrumentConfig
from configs.optics import Optics
from simulation.forward import ForwardModel

_PLANCK_J_S: Final = 6.62607015e-34
_LIGHT_M_PER_S: Final = 299_792_458.0


def photon_energy_j(optics: Optics) -> float:
    """Return the energy of a photon, h c / lambda."""
    return _PLANCK_J_S * _LIGHT_M_PER_S / optics.wavelength_nm * 1e9


def beam_power_w(instrument: InstrumentConfig, plan: ScanPlan) -> float:
    """Return the power of the beam on the sample, from what the camera sees of an open one."""
    camera, optics = instrument.camera, instrument.optics
    share = ForwardModel(optics, plan.pitch_nm).open_peak()
    electrons_per_s = 1000 * camera.open_peak_e_per_ms / share
    return electrons_per_s / camera.sensor.quantum_efficiency * photon_energy_j(optics)
