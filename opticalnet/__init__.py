"""OpticalNet: a scanning microscope that sees 180 nm squares with 633 nm light.

>>> import opticalnet
>>> run = opticalnet.acquire("ss", grid=7, out="star.zarr")
>>> network = opticalnet.reconstruct(run.path)
>>> result = opticalnet.invert(run.path, start=network)
>>> print(result.stitched, result.inversion.chi_squared)
>>> result.save_figure("star.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acquisition.frame import Frame, LandmarkVisit
    from acquisition.observer import Observer
    from acquisition.store import Run, RunInfo
    from configs.dataset import DatasetPlan, load_dataset_plan
    from configs.errors import (
        AcquisitionError,
        ConfigError,
        DeviceError,
        DeviceTimeout,
        LimitError,
        OpticalNetError,
        ProtocolError,
        ReconstructionError,
        RunStoreError,
    )
    from configs.optics import Optics
    from opticalnet.acquiring import Acquisition, acquire, resume
    from opticalnet.benchmark_scans import SampleSpec
    from opticalnet.benchmarking import Benchmark, benchmark
    from opticalnet.calibrating import CalibratedInstrument, calibrate
    from opticalnet.data_sets import Simulation, simulate
    from opticalnet.exporting import Export, export
    from opticalnet.inverting import invert
    from opticalnet.light_view import LightView, view_light
    from opticalnet.reconstructing import reconstruct
    from opticalnet.reconstructions import Reconstruction
    from opticalnet.resolving import Resolution, resolve
    from reconstruction.baselines.weights import Baseline, load_baseline
    from reconstruction.calibration import Calibration
    from reconstruction.inversion.inversion import FitStep
    from reconstruction.inversion.inversion_map import InversionMap
    from reconstruction.metrics import Scores
    from reconstruction.resolution import Contrast, RingCorrelation
    from reconstruction.square_map import SquareMap
    from simulation.colour import ColourModel
    from simulation.datasets.fresh_frames import FreshFrames
    from simulation.datasets.paper_folders import export_tiff
    from simulation.datasets.paper_reader import PaperFolder, open_folders
    from simulation.datasets.reader import Dataset, DatasetPart

# Imported on first use: torch and zarr take seconds, `opticalnet --help` must not.
_HOME = {
    "Acquisition": "opticalnet.acquiring",
    "AcquisitionError": "configs.errors",
    "Baseline": "reconstruction.baselines.weights",
    "Benchmark": "opticalnet.benchmarking",
    "CalibratedInstrument": "opticalnet.calibrating",
    "Calibration": "reconstruction.calibration",
    "ColourModel": "simulation.colour",
    "ConfigError": "configs.errors",
    "Contrast": "reconstruction.resolution",
    "Dataset": "simulation.datasets.reader",
    "DatasetPart": "simulation.datasets.reader",
    "DatasetPlan": "configs.dataset",
    "DeviceError": "configs.errors",
    "DeviceTimeout": "configs.errors",
    "Export": "opticalnet.exporting",
    "FitStep": "reconstruction.inversion.inversion",
    "Frame": "acquisition.frame",
    "FreshFrames": "simulation.datasets.fresh_frames",
    "InversionMap": "reconstruction.inversion.inversion_map",
    "LandmarkVisit": "acquisition.frame",
    "LightView": "opticalnet.light_view",
    "LimitError": "configs.errors",
    "Observer": "acquisition.observer",
    "OpticalNetError": "configs.errors",
    "Optics": "configs.optics",
    "PaperFolder": "simulation.datasets.paper_reader",
    "ProtocolError": "configs.errors",
    "Reconstruction": "opticalnet.reconstructions",
    "ReconstructionError": "configs.errors",
    "Resolution": "opticalnet.resolving",
    "RingCorrelation": "reconstruction.resolution",
    "Run": "acquisition.store",
    "RunInfo": "acquisition.store",
    "RunStoreError": "configs.errors",
    "SampleSpec": "opticalnet.benchmark_scans",
    "Scores": "reconstruction.metrics",
    "Simulation": "opticalnet.data_sets",
    "SquareMap": "reconstruction.square_map",
    "acquire": "opticalnet.acquiring",
    "benchmark": "opticalnet.benchmarking",
    "calibrate": "opticalnet.calibrating",
    "export": "opticalnet.exporting",
    "export_tiff": "simulation.datasets.paper_folders",
    "invert": "opticalnet.inverting",
    "load_baseline": "reconstruction.baselines.weights",
    "load_dataset_plan": "configs.dataset",
    "open_folders": "simulation.datasets.paper_reader",
    "reconstruct": "opticalnet.reconstructing",
    "resolve": "opticalnet.resolving",
    "resume": "opticalnet.acquiring",
    "simulate": "opticalnet.data_sets",
    "view_light": "opticalnet.light_view",
}

__all__ = [
    "Acquisition",
    "AcquisitionError",
    "Baseline",
    "Benchmark",
    "CalibratedInstrument",
    "Calibration",
    "ColourModel",
    "ConfigError",
    "Contrast",
    "Dataset",
    "DatasetPart",
    "DatasetPlan",
    "DeviceError",
    "DeviceTimeout",
    "Export",
    "FitStep",
    "Frame",
    "FreshFrames",
    "InversionMap",
    "LandmarkVisit",
    "LightView",
    "LimitError",
    "Observer",
    "OpticalNetError",
    "Optics",
    "PaperFolder",
    "ProtocolError",
    "Reconstruction",
    "ReconstructionError",
    "Resolution",
    "RingCorrelation",
    "Run",
    "RunInfo",
    "RunStoreError",
    "SampleSpec",
    "Scores",
    "Simulation",
    "SquareMap",
    "acquire",
    "benchmark",
    "calibrate",
    "export",
    "export_tiff",
    "invert",
    "load_baseline",
    "load_dataset_plan",
    "open_folders",
    "reconstruct",
    "resolve",
    "resume",
    "simulate",
    "view_light",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
