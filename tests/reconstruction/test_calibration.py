"""How well an instrument explains frames, and what of it can be fitted."""

import pytest
import torch

from configs.optics import FocusedBeam, Optics
from reconstruction.calibration import KnownFrames, calibrate
from reconstruction.instrument_quantities import Instrument, quantities
from reconstruction.inversion.photons import Photons
from simulation.forward import ForwardModel

FRAMES, ELECTRONS = 60, 2e5


@pytest.fixture(scope="module")
def frames():
    """Frames of random squares, whose power and whose pixels' response are not nominal."""
    random = torch.Generator().manual_seed(0)
    model = ForwardModel(Optics(), dtype=torch.float64)
    squares = (torch.rand(FRAMES, model.cells, model.cells, generator=random) < 0.4).double()
    light = model.frames(squares).flatten(1) * ELECTRONS
    power = 1 + 0.04 * torch.randn(FRAMES, 1, generator=random)
    response = 1 + 0.01 * torch.randn(light.shape[1], generator=random)
    seen = torch.poisson(light * power * response, generator=random)
    seen += 1.6 * torch.randn(seen.shape, generator=random)
    nothing = torch.zeros(FRAMES, dtype=torch.long)
    photons = Photons(nothing, nothing, torch.zeros(FRAMES, 2), seen, 1.6**2)
    return KnownFrames(photons, lambda one: one.amplitudes(squares), 180.0)


def test_power_and_response_are_not_held_against_an_instrument(frames):
    right = Instrument(Optics(), ELECTRONS, 0.0)
    assert frames.chi_squared(right) == pytest.approx(1, abs=0.01)
    for wrong in (
        Instrument(Optics(defocus_wavelengths=10.3), ELECTRONS, 0.0),
        Instrument(Optics(), ELECTRONS, 1.0),
    ):
        assert frames.chi_squared(wrong) > 1.03


def test_an_aperture_of_all_that_air_lets_through_has_slopes(frames):
    here = Instrument(Optics(collection_na=1.0), ELECTRONS, 0.5)
    fitted = quantities(here.optics, aberrations=False)
    light_e, slope = frames.expansion(here, fitted)
    assert slope.shape == (len(fitted), FRAMES, light_e.shape[1])
    assert torch.isfinite(slope).all()
    by_name = {quantity.name: one for quantity, one in zip(fitted, slope, strict=True)}
    torch.testing.assert_close(by_name["brightness"], light_e, rtol=1e-6, atol=1e-9)
    assert by_name["stray light"] == pytest.approx(1)


def test_an_aberration_of_a_focused_beam_is_found():
    beam = FocusedBeam(kind="focused", vectorial=False)
    start = Instrument(Optics(beam=beam), ELECTRONS, 0.5)
    (coma,) = (
        quantity
        for quantity in quantities(start.optics, aberrations=True)
        if quantity.name == "coma along y, of the beam"
    )
    right = coma.moved(start, 0.05)
    assert right.optics.beam.zernike_waves[6] == coma.read(right) == pytest.approx(0.05)
    random = torch.Generator().manual_seed(0)
    model = ForwardModel(right.optics, cells=11, dtype=torch.float64)
    squares = (torch.rand(FRAMES, 11, 11, generator=random) < 0.4).double()
    seen = torch.poisson(model.frames(squares).flatten(1) * ELECTRONS + 0.5, generator=random)
    seen += 1.6 * torch.randn(seen.shape, generator=random)
    nothing = torch.zeros(FRAMES, dtype=torch.long)
    photons = Photons(nothing, nothing, torch.zeros(FRAMES, 2), seen, 1.6**2)

    def amplitudes(one):
        around = (one.cells - 11) // 2
        return one.amplitudes(torch.nn.functional.pad(squares, (around,) * 4))

    found = calibrate(KnownFrames(photons, amplitudes, 180.0), start, [coma])
    (told,) = found.quantities
    assert told.error < 0.01
    assert abs(told.after - 0.05) < 3 * told.error
    assert found.chi_squared_before > 1.03 > found.chi_squared_after
