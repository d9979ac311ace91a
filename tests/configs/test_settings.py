"""Settings: strict, frozen, and back from TOML as they went in."""

import pytest
from pydantic import ValidationError

from configs.errors import ConfigError
from configs.geometry import SampleGeometry
from configs.instrument import InstrumentConfig, Travel
from configs.optics import Optics
from configs.toml import (
    load_instrument,
    parse_instrument,
    presets,
    save_instrument,
)

MINIMAL = 'name = "bench"\n'


def test_presets_are_the_documented_ones():
    assert presets() == [
        "lab-example",
        "micromanager-demo",
        "simulated",
        "simulated-still",
    ]


@pytest.mark.parametrize("name", presets())
def test_presets_survive_a_round_trip(name, tmp_path):
    instrument = load_instrument(name)
    save_instrument(instrument, tmp_path / "copy.toml")
    assert load_instrument(str(tmp_path / "copy.toml")) == instrument


def test_values_are_frozen():
    with pytest.raises(ValidationError):
        Optics().wavelength_nm = 532.0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[optics]\nwavelenght_nm = 633.0", "unknown key optics.wavelenght_nm"),
        ('[optics]\nwavelength_nm = "633"', "optics.wavelength_nm"),
        ("[optics]\nwavelength_nm = -633.0", "optics.wavelength_nm"),
        ("[optics]\nwavelength_nm = nan", "optics.wavelength_nm"),
        ("[optics]\nroi_px = 255", "multiple of binning"),
        ("[optics]\nroi_px = 256.5", "optics.roi_px"),
        ("[optics]\ncollection_na = 1.2", "collection_na must be at most medium_index"),
        ('[camera]\nkind = "webcam"', "'simulated', 'micromanager'"),
        ('[stage]\nkind = "gcs"', "stage.gcs.port is missing"),
        ('[stage]\nkind = "gcs"\nport = "COM3"', "needs a simulated stage"),
        ('[focus]\nkind = "piezo"', "'simulated', 'micromanager'"),
        ('[focus]\nkind = "simulated"\nrange_um = [9.0, 1.0]', "focus.simulated.range_um"),
        ('[focus]\nkind = "simulated"\nrange_um = [1.0, 1.0]', "[lowest, highest]"),
        ('[focus]\nkind = "micromanager"\nlibrary = "x"\ndevice = "y"', "range_um is missing"),
        (
            '[focus]\nkind = "micromanager"\nlibrary = "x"\ndevice = "y"\nrange_um = [0.0, 9]',
            "a simulated focus drive goes with a simulated camera",
        ),
        ("[timing]\nfocus_tolerance_nm = 0.0", "timing.focus_tolerance_nm"),
        ("[environment]\nlaser_noise = 1.5", "environment.laser_noise"),
        ("[environment]\nvibration_nm = -1.0", "environment.vibration_nm"),
        ("[environment]\nfocus_drift_nm_per_min = inf", "environment.focus_drift_nm_per_min"),
        ("[environment]\ndust_specks = 2.5", "environment.dust_specks"),
        ("[environment]\ndust_radius_px = 0.0", "environment.dust_radius_px"),
        ("[environment]\ndust_depth = -0.1", "environment.dust_depth"),
        ("[environment]\nfocus_drift = 0.0", "unknown key environment.focus_drift"),
        ("[travel]\nx_um = [5.0, 5.0]", "[lowest, highest]"),
        ("[travel]\nx_um = [5.0]", "travel.x_um"),
        ("[timing]\nattempts = 0", "timing.attempts"),
        (
            '[camera]\nkind = "micromanager"\nlibrary = "A"\ndevice = "B"\n[environment]',
            "simulated camera only",
        ),
        ("[optics", "valid TOML"),
    ],
)
def test_errors_name_file_key_and_expectation(text, named):
    with pytest.raises(ConfigError) as error:
        parse_instrument(MINIMAL + text, "bench.toml")
    assert str(error.value).startswith("bench.toml: ")
    assert named in str(error.value)
    assert "\n" not in str(error.value).split("valid TOML")[0]


def test_unknown_instruments_list_the_known():
    with pytest.raises(ConfigError, match="micromanager-demo, simulated, simulated-still"):
        load_instrument("zeiss")
    with pytest.raises(ConfigError, match="cannot read"):
        load_instrument("nowhere.toml")


def test_a_simulated_stage_has_a_centre():
    assert Travel(x_um=(0.0, 100.0), y_um=(20.0, 40.0)).centre_um == (50.0, 30.0)
    assert InstrumentConfig(name="x").travel.centre_um == (100.0, 100.0)


@pytest.mark.parametrize("directions", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_squares_and_stage_positions_are_inverse(directions):
    frame = SampleGeometry(64, 32, 180.0, (100.0, 50.0), directions)
    for row, column in [(0, 0), (63, 31), (12.5, -3.25)]:
        assert frame.square(*frame.stage_um(row, column)) == pytest.approx((row, column))


def test_down_is_plus_y_and_right_is_plus_x():
    frame = SampleGeometry(64, 64, 180.0, (100.0, 100.0))
    x_um, y_um = frame.stage_um(31.5, 31.5)
    assert (x_um, y_um) == (100.0, 100.0)
    assert frame.stage_um(31.5, 32.5) == pytest.approx((100.18, 100.0))
    assert frame.stage_um(32.5, 31.5) == pytest.approx((100.0, 100.18))
    turned = SampleGeometry(64, 64, 180.0, (100.0, 100.0), (-1, 1))
    assert turned.stage_um(31.5, 32.5) == pytest.approx((99.82, 100.0))


def test_an_instrument_includes_another_file(tmp_path, monkeypatch):
    (tmp_path / "bench.toml").write_text(
        'name = "bench"\ninclude = "found.toml"\n[optics]\nbinning = 2\n'
    )
    (tmp_path / "found.toml").write_text(
        "[optics]\npixel_nm = 40.5\n[optics.beam]\nfwhm_nm = 9.0\n"
    )
    with pytest.raises(ConfigError, match="kind"):
        load_instrument(str(tmp_path / "bench.toml"))
    (tmp_path / "found.toml").write_text("[optics]\npixel_nm = 40.5\n")
    monkeypatch.chdir(tmp_path.parent)  # it lies beside the file, not where one is
    optics = load_instrument(f"{tmp_path.name}/bench.toml").optics
    assert (optics.pixel_nm, optics.binning) == (40.5, 2)


@pytest.mark.parametrize(
    ("include", "complaint"),
    [
        ('"found.toml"', r"expected optics\.binning only in what it includes, .*found\.toml"),
        ('"gone.toml"', r"include: cannot read .*gone\.toml"),
        ("3", "include: expected the path of a TOML file, got 3"),
    ],
)
def test_what_cannot_be_included(tmp_path, include, complaint):
    file = tmp_path / "bench.toml"
    file.write_text(f'name = "bench"\ninclude = {include}\n[optics]\nbinning = 2\n')
    (tmp_path / "found.toml").write_text("[optics]\nbinning = 4\n")
    with pytest.raises(ConfigError, match=complaint):
        load_instrument(str(file))
