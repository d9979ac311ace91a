"""What scans in these tests begin with."""

import pytest

import acquisition.guard

pytest.register_assert_rewrite("scan_bench")


@pytest.fixture
def info(small_plan, make_info):
    return make_info(small_plan)


@pytest.fixture
def always(monkeypatch):
    """Look at everything before every point, whatever the time."""
    monkeypatch.setattr(acquisition.guard, "_LOOK_EVERY_S", 0.0)
