"""The light of an instrument: its numbers, its picture, and the command that shows both."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from command_bench import Command, Open, save_mask
from matplotlib.axes import Axes
from PIL import Image

import opticalnet
from configs.errors import ConfigError
from configs.optics import FocusedBeam, GaussianBeam, Optics
from opticalnet.light_figure import draw_light
from opticalnet.light_measures import (
    beam_intensity,
    caught_light,
    component_shares,
    contour_widths,
    mode_strengths,
    noise_floor,
)
from opticalnet.light_view import LightView, view_light
from simulation.beam import focus_field
from simulation.forward import ForwardModel
from simulation.light import Light

AXIS_UM = np.linspace(-1.5, 1.5, 301)
VECTORIAL = FocusedBeam(kind="focused", polarisation_deg=30)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def light_of(beam: GaussianBeam | FocusedBeam) -> Light:
    return Light.of(Optics(beam=beam))


@pytest.mark.parametrize("fwhm_nm", [350.0, 540.0, 900.0])
def test_the_width_of_a_gaussian_beam_is_what_it_was_made_with(fwhm_nm: float) -> None:
    intensity = beam_intensity(light_of(GaussianBeam(fwhm_nm=fwhm_nm)), AXIS_UM)
    assert contour_widths(intensity, AXIS_UM) == pytest.approx((fwhm_nm, fwhm_nm), rel=1e-3)


def test_widths_of_an_ellipse_are_those_of_its_axes() -> None:
    turn = np.exp(-1j * np.radians(25))
    turned = (AXIS_UM + 1j * AXIS_UM[:, None]) * turn
    ellipse = np.exp(-4 * math.log(2) * ((turned.real / 0.7) ** 2 + (turned.imag / 0.4) ** 2))
    assert contour_widths(ellipse, AXIS_UM) == pytest.approx((400, 700), rel=2e-3)


def test_a_vectorial_focus_is_longer_along_its_polarisation() -> None:
    beam = FocusedBeam(kind="focused", filling=2.0)
    intensity = beam_intensity(light_of(beam), AXIS_UM)
    along, across = intensity[150], intensity[:, 150]
    fwhm_nm = [
        2000 * np.interp(0.5, profile[:149:-1] / profile[150], AXIS_UM[:149:-1])
        for profile in (across, along)
    ]
    assert fwhm_nm[1] > 1.2 * fwhm_nm[0]
    assert contour_widths(intensity, AXIS_UM) == pytest.approx(fwhm_nm, rel=5e-3)


def test_shares_of_the_components_are_those_of_the_field_on_the_sample() -> None:
    light = light_of(VECTORIAL)
    x = torch.linspace(-6, 6, 401, dtype=torch.float64)
    power = focus_field(light, x, x).abs().square().sum(dim=(1, 2))
    shares = component_shares(light)
    assert sum(shares) == pytest.approx(1, abs=1e-12)
    assert shares == pytest.approx((power / power.sum()).tolist(), abs=2e-3)
    scalar = FocusedBeam(kind="focused", vectorial=False)
    assert component_shares(light_of(scalar)) == pytest.approx((1.0,))
    assert component_shares(light_of(GaussianBeam())) == (1.0,)


@pytest.mark.parametrize("beam", [GaussianBeam(), VECTORIAL])
def test_modes_share_out_the_light_of_any_mask(beam: GaussianBeam | FocusedBeam) -> None:
    optics = Optics(beam=beam, film_amplitude=0, defocus_wavelengths=2.0)
    model = ForwardModel(optics, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(4, model.cells, model.cells, generator=generator).round()
    in_modes = (model.amplitudes(masks).numpy() * mode_strengths(model)) ** 2
    caught = model.frames(masks).sum(dim=(1, 2)).numpy()
    np.testing.assert_allclose(in_modes.sum(axis=1), caught, rtol=5e-3)


def test_as_many_modes_lie_above_the_noise_as_a_frame_has_information_for() -> None:
    """Count directions in which random squares vary more than a frame leaves open.

    They are the eigenvalues above 1 of the Fisher information of the modes' amplitudes,
    in units of their variance.
    """
    model = ForwardModel(Optics(), dtype=torch.float64)
    electrons = 2000 / model.open_peak()
    variance = 0.18**2 * 0.35 * 0.65
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(8, model.cells, model.cells, generator=generator) < 0.35
    told = []
    for mask in masks:
        amplitudes = model.amplitudes(mask[None])[0]
        frame = model.frames(mask[None])[0].flatten() * electrons
        step = 1e-4
        moved = (amplitudes + step * torch.eye(len(amplitudes))) @ model.field + model.film
        back = (amplitudes - step * torch.eye(len(amplitudes))) @ model.field + model.film
        slope = (images(model, moved) - images(model, back)) * electrons / (2 * step)
        information = (slope / (frame + 0.5)) @ slope.T * variance
        told.append(int((torch.linalg.eigvalsh(information) > 1).sum()))
    above = int((mode_strengths(model) > noise_floor(electrons)).sum())
    assert above == pytest.approx(np.mean(told), rel=0.25)
    assert noise_floor(4 * electrons) == pytest.approx(noise_floor(electrons) / 2)


def images(model: ForwardModel, fields: torch.Tensor) -> torch.Tensor:
    """Integrate fields, (batch, values), over pixels: (batch, pixels)."""
    points = model._taps.shape[1]
    intensity = fields.square().view(len(fields), -1, points, points).sum(dim=1)
    return (model._taps @ intensity @ model._taps.T).flatten(1)


def test_caught_light_of_a_wide_beam_is_what_the_textbook_says() -> None:
    # A film like glass lets the beam's far tails through, too.
    optics = Optics(beam=GaussianBeam(fwhm_nm=2500), film_amplitude=0.999)
    model = ForwardModel(optics, dtype=torch.float64)
    everything = torch.ones(1, model.cells, model.cells)
    side_um, caught = caught_light(model.frames(everything)[0].numpy(), optics)
    waist_um = 2.5 / math.sqrt(2 * math.log(2))
    range_um = math.pi * waist_um**2 / 0.633
    radius_um = waist_um * math.hypot(1, 6.33 / range_um)
    textbook = [math.erf(side / 2 * math.sqrt(2) / radius_um) ** 2 for side in side_um]
    assert side_um[-1] == pytest.approx(64 * 4 * 0.0417)
    assert len(side_um) == 32
    np.testing.assert_allclose(caught, textbook, atol=2e-3)


def test_squares_are_where_they_should_be(place: Path) -> None:
    film = save_mask(place / "film.npy", *["........."] * 9)
    view = view_light(sample=str(film))
    assert view.square == (3, 3)
    middle, right = view.camera.change_e
    likeness = {
        (down, along): np.vdot(np.roll(middle, (down, along), axis=(0, 1)), right)
        for down in range(-6, 7)
        for along in range(-6, 7)
    }
    # Three squares are 3.24 pixels.
    assert max(likeness, key=lambda shift: likeness[shift]) == (0, 3)
    assert view.camera.caught[-1] < 1e-4


def test_cells_make_no_difference(place: Path) -> None:
    rows = ["#..##.#", ".#.#..#", "##..#.#", ".#####.", "#..#..#", "..###..", ".#..#.#"]
    path = save_mask(place / "mask.npy", *rows)
    np.save(place / "fine.npy", np.load(path).repeat(6, axis=0).repeat(6, axis=1))
    (place / "fine.toml").write_text('kind = "mask"\npath = "fine.npy"\ncell_nm = 30.0\n')
    coarse, fine = view_light(sample=str(path)), view_light(sample="fine.toml")
    assert fine.sample.cells_per_square == 6
    brightest = coarse.camera.expected_e.max()
    np.testing.assert_allclose(
        fine.camera.expected_e, coarse.camera.expected_e, atol=1e-3 * brightest
    )
    np.testing.assert_allclose(
        fine.camera.change_e, coarse.camera.change_e, atol=1e-3 * brightest
    )
    np.testing.assert_allclose(on_squares(fine), on_squares(coarse), atol=0.02)


def on_squares(view: LightView) -> np.ndarray:
    """Exit amplitude in the middles of 7 x 7 squares."""
    low, high = view.edges_um
    place = (np.arange(-3, 4) * 0.18 - low) / (high - low) * len(view.exit_amplitude)
    inside = place.astype(int)
    return view.exit_amplitude[np.ix_(inside, inside)]


def test_a_recorded_frame_scatters_as_its_noise_says() -> None:
    camera = view_light("simulated-still").camera
    scatter = (camera.recorded_e - camera.expected_e) / camera.noise_e
    assert np.mean(scatter) == pytest.approx(0, abs=0.05)
    assert np.median(np.abs(scatter)) == pytest.approx(0.6745, rel=0.1)


def test_a_real_instrument_is_shown_with_its_own_light_and_sensor() -> None:
    view = opticalnet.view_light("lab-example")
    assert view.instrument.name == "lab-example"
    assert view.camera.noise_e.min() >= 6.4
    assert view.camera.change_sigma < opticalnet.view_light().camera.change_sigma


@pytest.fixture(scope="module")
def drawn() -> tuple[LightView, dict[str, Axes]]:
    """A view, and the panels of its picture by their titles."""
    view = view_light()
    panels = {panel.get_title(): panel for panel in draw_light(view).axes}
    return view, panels


def shown(panel: Axes) -> np.ndarray:
    """The image in a panel."""
    (image,) = panel.get_images()
    array = image.get_array()
    assert array is not None
    assert not np.ma.is_masked(array)
    return np.asarray(array)


def notes(panel: Axes) -> str:
    return "\n".join(text.get_text() for text in panel.texts)


def test_the_maps_of_the_picture(drawn: tuple[LightView, dict[str, Axes]]) -> None:
    view, panels = drawn
    camera = view.camera
    window_um = view.instrument.optics.window_um
    on_camera = pytest.approx((-window_um / 2, window_um / 2))
    for title, image, edges_um in (
        ("beam, FWHM 540 nm", view.beam.intensity, view.edges_um),
        ("field that leaves the sample", view.exit_amplitude, view.edges_um),
        ("expected frame, without noise", camera.expected_e, on_camera),
        ("recorded frame, 10 ms", camera.recorded_e, on_camera),
        ("square on the axis: open - closed", camera.change_e[0] / camera.noise_e, on_camera),
        (
            "square 3 to the right: open - closed",
            camera.change_e[1] / camera.noise_e,
            on_camera,
        ),
    ):
        np.testing.assert_array_equal(shown(panels[title]), image, title)
        assert panels[title].get_xlim() == edges_um, title
        assert panels[title].get_ylim()[::-1] == edges_um, title  # row down is +y
    assert "58% of the light on 3 x 3 squares" in notes(panels["beam, FWHM 540 nm"])
    place = panels["field that leaves the sample"]
    assert "ss, square (21, 21) on the axis" in notes(place)
    whole = next(inset for inset in place.child_axes if inset.patches)
    np.testing.assert_array_equal(shown(whole), view.sample.coverage)
    (frame,) = whole.patches
    middle = frame.get_window_extent().get_points().mean(axis=0)
    np.testing.assert_allclose(
        whole.transData.inverted().transform(middle), 21 + np.mean(view.edges_um) / 0.18
    )
    for title, sigma in zip(
        ("square on the axis", "square 3 to the right"), camera.change_sigma, strict=True
    ):
        assert f"{sigma:.3g} standard deviations" in notes(panels[f"{title}: open - closed"])


def test_the_graphs_of_the_picture(drawn: tuple[LightView, dict[str, Axes]]) -> None:
    view, panels = drawn
    above = view.modes_above_noise
    modes = panels[f"{above} of {len(view.strength)} modes above the noise"]
    loud, faint, floor = (np.asarray(line.get_ydata()) for line in modes.get_lines())
    np.testing.assert_array_equal(np.concatenate([loud, faint]), view.strength)
    assert len(loud) == above
    assert set(floor) == {view.noise_floor}
    caught = panels["light that the camera catches"]
    for line, light in zip(
        caught.get_lines(), (view.camera.caught_open, view.camera.caught), strict=True
    ):
        np.testing.assert_array_equal(line.get_xdata(), view.camera.caught_side_um)
        np.testing.assert_array_equal(line.get_ydata(), light)
        assert str(line.get_label()).endswith(f": {light[-1]:.1%}")


def test_show_for_people(command: Command, place: Path) -> None:
    outcome = command("simulate", "--show")
    assert (outcome.code, outcome.err) == (0, "")
    first, beam, *_, where = outcome.out.splitlines()
    assert first == "SIMULATED light of simulated on square (21, 21) of ss"
    assert beam.startswith("beam: FWHM 540 nm, 58% of its light")
    assert where == "picture: light.png"
    assert "▀" not in outcome.out
    assert [path.name for path in place.iterdir()] == ["light.png"]
    with Image.open("light.png") as picture:
        assert picture.width > 1500
        assert picture.height > 1000


def test_show_for_a_script(command: Command, place: Path) -> None:
    (place / "own.toml").write_text('name = "own"\n[optics.beam]\nkind = "focused"\n')
    options = ["--instrument", "own.toml", "--sample", "light", "--out", "own.svg"]
    outcome = command("simulate", "--show", "--json", *options)
    assert (outcome.code, outcome.err) == (0, "")
    said = json.loads(outcome.out)
    assert (said.pop("picture"), said.pop("simulated")) == ("own.svg", True)
    assert said == json.loads(json.dumps(view_light("own.toml", "light").as_dict()))
    assert (said["instrument"], said["sample"]) == ("own", "light")
    assert (place / "own.svg").read_text().startswith("<?xml")


def test_show_in_a_terminal(terminal: Open, tmp_path: Path) -> None:
    screen = terminal("simulate", "--show")
    assert screen.finish() == 0
    assert screen.text.count("▀") > 1000
    assert "field that leaves the sample" in screen.text
    assert "picture: light.png" in screen.text
    assert (tmp_path / "light.png").exists()


REFUSED: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "instrument": (["--show", "--instrument", "nope"], ("lab-example", "got 'nope'")),
    "sample": (["--show", "--sample", "star"], ("expected ss, light", "got 'star'")),
    "wide beam": (["--show", "--instrument", "wide.toml"], ("8 um", "take a narrower beam")),
    "glass": (["--show", "--instrument", "glass.toml"], ("film_amplitude", "got 1;")),
    "file as folder": (["--show", "--out", "wide.toml/a.png"], ("cannot write wide.toml/a",)),
    "in the way": (["--show", "--out", "taken.png"], ("cannot write taken.png",)),
    "no ending": (["--show", "--out", "light"], ("light: ", "got no ending; choose")),
    "this folder": (["--show", "--out", "."], ("picture .:", "got no ending; choose")),
    "ending": (["--show", "--out", "set.zarr"], ("set.zarr", "expected .png", "got .zarr")),
    "preset": (["--show", "--preset", "paper"], ("--preset: expected no --show",)),
    "workers": (["--show", "--workers", "2"], ("--workers: expected no --show",)),
    "no show": (["--sample", "ss"], ("--sample: expected --show beside it",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shown_leaves_nothing(command: Command, place: Path, name: str) -> None:
    (place / "wide.toml").write_text(
        'name = "wide"\n[optics.beam]\nkind = "gaussian"\nfwhm_nm = 6000.0\n'
    )
    (place / "glass.toml").write_text('name = "glass"\n[optics]\nfilm_amplitude = 1.0\n')
    (place / "taken.png").mkdir()
    before = sorted(place.iterdir())
    arguments, said = REFUSED[name]
    error = command("simulate", *arguments).error
    for part in said:
        assert part in error
    assert sorted(place.iterdir()) == before


def test_a_picture_without_an_ending_is_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"picture star: .* got no ending; choose"):
        view_light().save_figure("star")
    assert list(place.iterdir()) == []
