"""Going on with a run: what it has must be whole, and what is asked for must be the same."""

from typing import Any

import numpy as np

from acquisition.store import Run, RunInfo
from acquisition.writer import RunWriter
from configs.errors import AcquisitionError


def check_same(run: Run, wanted: RunInfo) -> None:
    """Raise ``AcquisitionError`` with a list of all that differs between two runs.

    Devices are compared by what they say they are; software is not compared, nor are limits
    and deadlines, which may be other ones every time.
    """
    stored, other = _flat(run.info), _flat(wanted)
    missing = "nothing"
    differences = [
        f"{key}: {stored.get(key, missing)} there, {other.get(key, missing)} now"
        for key in sorted(stored.keys() | other.keys())
        if stored.get(key, missing) != other.get(key, missing)
    ]
    if differences:
        raise AcquisitionError(
            f"{run.path}: expected the plan and instrument of that run, got other ones:"
            f" {'; '.join(differences)}; bring them back, or scan into another --out"
        )


def forget_damaged(run: Run, writer: RunWriter) -> list[int]:
    """Compare every image with its checksum; those that differ are to be taken again.

    Returns
    -------
    list of int
        Their scan indices.
    """
    columns = run.info.plan.columns
    damaged: list[int] = []
    for row in np.unique(np.flatnonzero(writer.points.valid) // columns):
        damaged += run.damaged(int(row), writer.points)
    writer.points.forget(damaged)
    return damaged


def _flat(info: RunInfo) -> dict[str, Any]:
    values = info.model_dump(mode="json", exclude={"provenance", "format"})
    for name in ("limits", "timing"):
        del values["instrument"][name]
    devices = {role: device.name for role, device in info.provenance.devices.items()}
    return dict(_leaves("", values | {"device": devices}))


def _leaves(prefix: str, values: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += _leaves(f"{prefix}{key}.", value)
        else:
            found.append((f"{prefix}{key}", value))
    return found
