"""What a data set is, as a value and as TOML."""

import hashlib

import pytest

from configs.dataset import DatasetPlan, dataset_presets, load_dataset_plan
from configs.errors import ConfigError

ONE_PART = "name = 'x'\n[[parts]]\nsplit = 'train'\nname = 'a'\nsample = { kind = 'block' }\n"


@pytest.mark.parametrize("name", dataset_presets())
def test_every_preset_survives_json(name):
    plan = load_dataset_plan(name)
    assert DatasetPlan.model_validate_json(plan.model_dump_json()) == plan


def test_a_file_of_the_user(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        "seed = 7\nmargin = 2\nexposure_ms = 5.0\n" + ONE_PART + "scans = 4\n"
        "[instrument]\nname = 'own'\n[instrument.optics]\ndefocus_wavelengths = 8.0\n"
    )
    plan = load_dataset_plan(str(path))
    assert (plan.seed, plan.margin, plan.parts[0].scans) == (7, 2, 4)
    assert plan.instrument.optics.defocus_wavelengths == 8.0
    assert plan.parts[0].frames is None


def mask_plan(folder, more=""):
    path = folder / "own.toml"
    mask = f"kind = 'mask', path = 'cross.png'{more}"
    path.write_text(ONE_PART.replace("kind = 'block'", mask))
    return str(path)


def test_files_of_samples_lie_beside_the_plan_and_are_pinned(tmp_path):
    (tmp_path / "cross.png").write_bytes(b"a cross")
    (part,) = load_dataset_plan(mask_plan(tmp_path)).parts
    assert part.sample.path == str(tmp_path / "cross.png")
    assert part.sample.sha256 == hashlib.sha256(b"a cross").hexdigest()
    pinned = mask_plan(tmp_path, f", sha256 = '{part.sample.sha256}'")
    assert load_dataset_plan(pinned).parts == (part,)


def test_a_file_that_has_changed_or_gone_is_noticed(tmp_path):
    wanted, found = (hashlib.sha256(text).hexdigest() for text in (b"old", b"new"))
    pinned = mask_plan(tmp_path, f", sha256 = '{wanted}'")
    with pytest.raises(ConfigError, match=r"cannot read .*cross\.png: .*; check the path"):
        load_dataset_plan(pinned)
    (tmp_path / "cross.png").write_bytes(b"new")
    with pytest.raises(ConfigError) as raised:
        load_dataset_plan(pinned)
    assert f"expected a file with SHA-256 {wanted}, got {found}; bring" in str(raised.value)
    assert "\n" not in str(raised.value)


WRONG = {
    "unknown key": ("sed = 1\n" + ONE_PART, "unknown key sed"),
    "unknown sample": (ONE_PART.replace("'block'", "'blob'"), "parts.0.sample"),
    "negative seed": ("seed = -1\n" + ONE_PART, "seed"),
    "no parts": ("name = 'x'\nparts = []\n", "parts"),
    "no scan": (ONE_PART + "scans = 0\n", "parts.0.scans"),
    "no frame": (ONE_PART + "frames = 0\n", "parts.0.frames"),
    "a path for a name": (ONE_PART.replace("'a'", "'../a'"), "parts.0.name"),
    "wrong split": (
        ONE_PART.replace("'train'", "'valid'"),
        "should be 'train' or 'test', got 'valid'",
    ),
    "the same part twice": (ONE_PART + ONE_PART.partition("\n")[2], "got train/a twice"),
    "NaN": ("exposure_ms = nan\n" + ONE_PART, "exposure_ms"),
    "NA above the index": (
        ONE_PART + "[instrument]\nname = 'x'\noptics = { collection_na = 1.2 }\n",
        "collection_na must be at most medium_index",
    ),
    "no TOML": ("name = \n", "expected valid TOML"),
    "a real camera": (
        ONE_PART + "[instrument]\nname = 'x'\nstage = { kind = 'gcs', port = 'simulated' }\n",
        "instrument.stage must be simulated, got gcs",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named(tmp_path, kind):
    text, said = WRONG[kind]
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_dataset_plan(str(path))
    assert str(path) in str(raised.value)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "said"), [("papre", "one of paper"), ("no.toml", "no.toml")])
def test_what_is_not_there(name, said):
    with pytest.raises(ConfigError, match=said):
        load_dataset_plan(name)
