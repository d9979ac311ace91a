"""What the paper reports: facts to stand beside measured ones, never mixed with them.

OpticalNet: An Optical Imaging Dataset and Benchmark Beyond the Diffraction Limit (CVPR 2025).
Its simulator, noise, star and glyph are others than ours, and it gives no constant
prediction.
"""

from collections.abc import Mapping
from typing import Final

SOURCE: Final = "OpticalNet, CVPR 2025"
EPOCHS: Final = 500
"""Of its trainings."""
Percent = tuple[float, float, float]
"""Accuracy, F1, Jaccard index, the last two means of both classes."""

SIMULATION: Final[Mapping[str, Mapping[str, Percent]]] = {
    "ResUNet-a": {
        "Block": (72.10, 65.23, 65.94),
        "Light": (72.73, 69.30, 65.02),
        "Star": (62.13, 52.20, 44.81),
    },
    "AttU-Net": {
        "Block": (75.34, 67.21, 67.59),
        "Light": (73.34, 69.18, 65.10),
        "Star": (61.65, 54.77, 47.30),
    },
    "ResNet-18": {
        "Block": (81.51, 78.31, 68.94),
        "Light": (75.33, 76.47, 72.65),
        "Star": (69.19, 63.99, 52.72),
    },
    "ResNet-34": {
        "Block": (83.48, 79.44, 69.73),
        "Light": (75.62, 76.86, 72.12),
        "Star": (66.12, 60.28, 51.94),
    },
    "Transformer": {
        "Block": (84.77, 79.51, 71.30),
        "Light": (75.00, 77.62, 73.82),
        "Star": (69.43, 62.79, 53.19),
    },
}
"""Table 2: targets of 3 x 3 squares."""
EXPERIMENT: Final[Mapping[int, Mapping[str, float]]] = {
    3: {"Block": 80.31, "Light": 74.71, "Star": 55.81},
    5: {"Block": 80.17, "Light": 77.98, "Star": 53.50},
    7: {"Block": 79.95, "Light": 78.11, "Star": 52.70},
}
"""Table 3: accuracy of the transformer on measured frames, by the side of the target."""
