"""The scan: move, settle, verify, expose, hand over.

A point that cannot be taken is tried again, then marked invalid; its neighbours
keep their places. Whatever ends the scan, the stage is stopped and every finished
point is on disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from acquisition.drift import DriftWatch
from acquisition.interrupt import Interrupt, deferred_interrupt
from acquisition.observer import Observer
from acquisition.scanner import Instrument, Scanner, ScanSummary
from acquisition.store import RunInfo
from acquisition.writer import RunWriter
from configs.errors import DeviceError
from drivers.protocols import XYStage


def scan(
    info: RunInfo, instrument: Instrument, writer: RunWriter | None, observer: Observer
) -> ScanSummary:
    """Take every point of a plan.

    Parameters
    ----------
    info, instrument
        What to scan, and with what.
    writer
        Where frames are kept; ``None`` rehearses.
    observer
        Sees every frame.

    Raises
    ------
    LimitError
        If any point lies outside the travel limits; nothing has moved then.
    AcquisitionError
        If the instrument fails for good, or a pause ends the scan.
    KeyboardInterrupt
        On Ctrl-C, between two points; a second Ctrl-C does not wait for that.
    """
    plan, optics = info.plan, info.instrument.optics
    plan.check_travel(instrument.stage.limits)
    observer.begin(info)
    with (
        deferred_interrupt() as interrupt,
        _left_safe(instrument.stage, writer, observer, interrupt),
    ):
        instrument.camera.configure(optics.image_px, optics.binning, plan.exposure_ms)
        scanner = Scanner(info, instrument, observer, interrupt)
        watch = None
        if plan.landmark is not None:
            watch = DriftWatch(plan.landmark, scanner, writer, observer)
        for row, line in enumerate(plan.lines()):
            if watch is not None:
                watch.before(row)
            for point in line:
                frame = scanner.take(point)
                if writer is not None:
                    writer.add(frame)
                observer.frame(frame)
        return scanner.summary()


@contextmanager
def _left_safe(
    stage: XYStage, writer: RunWriter | None, observer: Observer, interrupt: Interrupt
) -> Iterator[None]:
    """Stop the stage and write what was taken, whatever Ctrl-C says meanwhile."""
    try:
        yield
    finally:
        with interrupt.ignored():
            try:
                stage.stop()
            except DeviceError as error:
                observer.warning(f"the stage may still be moving: {error}")
            if writer is not None:
                writer.flush()
