"""How well a drift is known from the light of a landmark, against the photons of a visit.

    python benchmarks/landmark_precision.py [--places 12]

Places of random squares under a spot of 600 nm, in focus and 100 nm out of it. Each is
learnt from a dither of 5 x 5 positions 30 nm apart, each with the light of a visit or four
times as much, and then visited at random within 45 nm of its middle, 8 frames at a
time; and 150 to 300 nm away, which no model of 60 nm can measure and every one should
notice. Pixels, read noise, stray light and laser noise are those of the simulated
instrument.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from timing import sorted_seconds

from acquisition.landmark_model import LandmarkModel, Shift
from acquisition.landmark_promise import expected_sd_um
from configs.instrument import Environment, SimulatedCameraConfig
from configs.optics import GaussianBeam, Optics
from simulation.defocus import FocusSeries
from simulation.sensor import SensorModel

Float64 = NDArray[np.float64]
Images = NDArray[np.uint16]

PHOTO_ELECTRONS = (2e5, 5e5, 2e6, 2e7)
PROTOTYPE_NM = {2e5: "17.7", 2e6: "2.5; 17 and chi² 4.8 out of focus"}
FRAMES = 8
EXPOSURE_MS = 10.0
VISITS = 8
INSIDE_UM = 0.045
DEFOCUS_NM = 100.0
MAX_CHI_SQUARED = 1.5
STEPS_UM = 0.03 * np.arange(-2, 3)
GRID_UM = np.stack(np.meshgrid(STEPS_UM, STEPS_UM), axis=-1).reshape(-1, 2)
CAMERA, ENVIRONMENT = SimulatedCameraConfig(), Environment()
SQUARES, SQUARE_UM, DENSITY = 27, 0.18, 0.35


class Place:
    """Random squares under a beam, seen by a camera of their own."""

    def __init__(self, focus: FocusSeries, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        squares = self.random.random((SQUARES, SQUARES)) < DENSITY
        self._focus, self._squares = focus, torch.from_numpy(squares).float()
        self._noise = torch.Generator().manual_seed(seed)
        model = focus.at(0.0)
        self._sensor = SensorModel(
            CAMERA.sensor, CAMERA.maps, model.optics.image_px, self._noise
        )
        self._full_e = CAMERA.open_peak_e_per_ms * EXPOSURE_MS / model.open_peak()

    def light(self, at_um: Float64, focus_nm: float = 0.0) -> Float64:
        """Photo-electrons per default frame with the beam at (n, 2): (n, y, x)."""
        model = self._focus.at(focus_nm)
        squares = np.rint(at_um / SQUARE_UM).astype(int)
        corners = (SQUARES - model.cells) // 2 + squares
        windows = [
            self._squares[top : top + model.cells, left : left + model.cells]
            for left, top in corners
        ]
        displaced = torch.from_numpy(squares * SQUARE_UM - at_um).float()
        frames: Float64 = model.frames(torch.stack(windows), displaced).double().numpy()
        return frames * self._full_e

    def shoot(self, light: Float64, frames: int, power: float) -> Images:
        """Frames of light, (n, y, x), that is so much of the default: (n, frames, y, x)."""
        flicker = self.random.standard_normal((len(light), frames, 1, 1))
        stray = ENVIRONMENT.background_e_per_ms * EXPOSURE_MS
        electrons = light[:, None] * (1 + ENVIRONMENT.laser_noise * flicker) + stray
        adu = self._sensor.expose(
            torch.from_numpy(power * electrons).float(), EXPOSURE_MS * power, self._noise
        )
        return adu.numpy().astype(np.uint16)


@dataclass(frozen=True, slots=True)
class Seen:
    """Visits in and out of focus, and too far away, with where they were, (n, 2)."""

    at_um: Float64
    sharp: list[Shift]
    blurred: list[Shift]
    far: list[Shift]


def visits(place: Place, electrons: float, dither: int) -> Seen:
    """Learn a place, and visit it."""
    power = electrons / (FRAMES * place.light(np.zeros((1, 2))).sum())
    images = place.shoot(place.light(GRID_UM), dither * FRAMES, power)
    model = LandmarkModel.fit(images, GRID_UM, CAMERA.sensor)
    at_um = place.random.uniform(-INSIDE_UM, INSIDE_UM, (VISITS, 2))
    angle = place.random.uniform(0, 2 * np.pi, VISITS)
    away_um = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    away_um *= place.random.uniform(0.15, 0.30, (VISITS, 1))

    def found(light: Float64) -> list[Shift]:
        return [model.estimate(visit) for visit in place.shoot(light, FRAMES, power)]

    return Seen(
        at_um,
        found(place.light(at_um)),
        found(place.light(at_um, DEFOCUS_NM)),
        found(place.light(away_um)),
    )


def rms_nm(errors: list[Float64]) -> float:
    """Root mean square per axis of errors in um."""
    return 1000 * float(np.sqrt(np.mean(np.square(errors))))


def errors_um(found: list[Shift], at_um: Float64) -> list[Float64]:
    """By how much shifts are off, (2,) each."""
    return [shift.shift_um - at for shift, at in zip(found, at_um, strict=True)]


def row(places: list[Place], electrons: float, dither: int) -> str:
    """Return a row of the table."""
    seen = [visits(place, electrons, dither) for place in places]
    errors = [error for one in seen for error in errors_um(one.sharp, one.at_um)]
    blurred = [error for one in seen for error in errors_um(one.blurred, one.at_um)]
    stated = [np.array(shift.sd_um) for one in seen for shift in one.sharp]
    chi = np.median([shift.chi_squared for one in seen for shift in one.sharp])
    blurred_chi = np.median([shift.chi_squared for one in seen for shift in one.blurred])
    far = [shift for one in seen for shift in one.far]
    unseen = sum(shift.is_inside and shift.chi_squared < MAX_CHI_SQUARED for shift in far)
    prototype = PROTOTYPE_NM.get(electrons, "") if dither == 1 else ""
    return (
        f"| {electrons:.0e} | {dither} | {rms_nm(errors):.2f} | {rms_nm(stated):.2f}"
        f" | {chi:.2f} | {rms_nm(blurred):.1f} | {blurred_chi:.2f} | {unseen} of {len(far)}"
        f" | {prototype} |"
    )


def print_default(focus: FocusSeries, count: int) -> None:
    """Print what a visit with the default exposure has, and how long the work takes."""
    light, bound, chosen = [], [], []
    for seed in range(count):
        nine = [Place(focus, 1000 + 9 * seed + one) for one in range(9)]
        promised = []
        for place in nine:
            at_um = np.array([(0.0, 0.0), (0.06, 0.0), (0.0, 0.06)])
            here, beside, below = place.shoot(place.light(at_um), FRAMES, 1.0)
            promised.append(
                max(expected_sd_um(here, beside, below, 0.06, FRAMES, CAMERA.sensor))
            )
            light.append(FRAMES * place.light(np.zeros((1, 2))).sum())
        bound += promised
        best = nine[int(np.argmin(promised))]
        images = best.shoot(best.light(GRID_UM), FRAMES, 1.0)
        model = LandmarkModel.fit(images, GRID_UM, CAMERA.sensor)
        chosen.append(max(model.precision_um(FRAMES)))
    visit = best.shoot(best.light(np.array([(0.01, 0.02)])), FRAMES, 1.0)[0]
    fit_s = sorted_seconds(lambda: LandmarkModel.fit(images, GRID_UM, CAMERA.sensor), 5)[0]
    estimate_s = sorted_seconds(lambda: model.estimate(visit), 5)[0]
    low, middle, high = np.percentile(light, [5, 50, 95])
    rows = {
        "photo-electrons, 5th, 50th, 95th percentile of places": f"{low:.1e}, {middle:.1e},"
        f" {high:.1e}",
        "worst axis of a random place, expected sd": f"{1000 * np.median(bound):.2f} nm",
        "worst axis of the best of nine, sd of its model": f"{1000 * np.median(chosen):.2f} nm",
        f"fit of 25 x {FRAMES} frames": f"{1000 * fit_s:.0f} ms",
        f"estimate from {FRAMES} frames": f"{1000 * estimate_s:.0f} ms",
    }
    print(f"\n| {FRAMES} default frames, default spot | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--places", type=int, default=12)
    count = parser.parse_args().places
    optics = Optics()
    focus = FocusSeries(optics.model_copy(update={"beam": GaussianBeam(fwhm_nm=600.0)}), 180.0)
    print(
        "| photo-electrons | dither / visit | rms error, nm | stated sd | chi² |"
        f" {DEFOCUS_NM:.0f} nm defocus: rms | chi² | 150-300 nm away, unnoticed | prototype |"
    )
    print("|---" * 9 + "|")
    for dither in (1, 4):
        for electrons in PHOTO_ELECTRONS:
            places = [Place(focus, seed) for seed in range(count)]
            print(row(places, electrons, dither), flush=True)
    print_default(FocusSeries(optics, 180.0), count)


if __name__ == "__main__":
    main()
