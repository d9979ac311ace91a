"""Files and folders that take their place whole, or leave everything as it was."""

import pytest

from configs.drafts import in_place
from configs.errors import RunStoreError


def contents(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_file_takes_the_place_of_a_file(tmp_path):
    path = tmp_path / "new" / "log.csv"
    for text in ("first", "second"):
        with in_place(path) as draft:
            draft.write_text(text)
        assert path.read_text() == text
    assert contents(tmp_path) == {"new", "new/log.csv"}


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    path = tmp_path / "result"
    for name in ("first", "second"):
        with in_place(path) as draft:
            draft.mkdir()
            (draft / name).touch()
    assert contents(tmp_path) == {"result", "result/second"}


def fail(path, error):
    with in_place(path, "make room") as draft:
        draft.write_text("half")
        raise error


def test_what_goes_wrong_leaves_what_was_there(tmp_path):
    path = tmp_path / "new" / "log.csv"
    with pytest.raises(KeyError):
        fail(path, KeyError())
    assert contents(tmp_path) == set()
    path.parent.mkdir()
    path.write_text("first")
    with pytest.raises(RunStoreError, match=r"cannot write .*log\.csv: no room; make room$"):
        fail(path, OSError("no room"))
    assert contents(tmp_path) == {"new", "new/log.csv"}
    assert path.read_text() == "first"


@pytest.mark.parametrize("there", ["file", "folder"])
def test_a_file_and_a_folder_leave_each_other_alone(tmp_path, there):
    path = tmp_path / "mine"
    make = {"file": lambda at: at.write_text("mine"), "folder": lambda at: at.mkdir()}
    make.pop(there)(path)
    (other,) = make.values()
    with pytest.raises(RunStoreError, match="cannot write"), in_place(path) as draft:
        other(draft)
    assert path.is_dir() == (there == "folder")
    assert contents(tmp_path) == {"mine"}
