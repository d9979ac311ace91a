"""What scans in these tests begin with."""

import pytest

pytest.register_assert_rewrite("scan_bench")


@pytest.fixture
def info(small_plan, make_info):
    return make_info(small_plan)
