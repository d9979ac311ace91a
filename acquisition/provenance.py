"""Where a run comes from: who measured what with which software, simulated or not."""

import uuid
from datetime import UTC, datetime
from typing import Self

from configs.software import versions
from configs.value import Value
from drivers.protocols import Identity, Origin

_PACKAGES = ("opticalnet", "numpy", "torch", "zarr", "pymmcore-plus")


class DeviceOrigin(Value):
    """What a device said it is, and whether it is real."""

    name: str
    origin: Origin


class Provenance(Value):
    """How a run came about; stored with it."""

    run_id: str
    created: str
    """UTC, ISO 8601."""
    software: dict[str, str]
    devices: dict[str, DeviceOrigin]

    @classmethod
    def now(cls, devices: dict[str, Identity]) -> Self:
        """Describe a run that begins now on these devices."""
        return cls(
            run_id=uuid.uuid4().hex,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            software=versions(_PACKAGES),
            devices={
                role: DeviceOrigin(name=device.name, origin=device.origin)
                for role, device in devices.items()
            },
        )

    @property
    def simulated(self) -> list[str]:
        """Roles of the devices that are not real."""
        return [role for role, device in self.devices.items() if device.origin == "simulated"]
