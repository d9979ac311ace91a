"""Leaving an instrument safe after a scan, and its drives where they were found."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from acquisition.instrument import make_safe
from acquisition.log import ScanLog
from acquisition.scanner import Scanner
from acquisition.stopping import StopLevel, Stopping
from acquisition.watchdog import Watchdog
from configs.errors import OpticalNetError

_SAFE_WITHIN_S: Final = 5.0


@contextmanager
def left_safe(
    scanner: Scanner, stopping: Stopping, log: ScanLog, watchdog: Watchdog
) -> Iterator[None]:
    """Stop what moves and close the shutter, whatever has happened and happens meanwhile.

    The drives are then parked: where they were found, or as near as their limits allow. In
    an emergency they stay where they were stopped.
    """
    try:
        yield
    except BaseException as error:
        log.info(f"ended by {type(error).__name__}: {error}")
        raise
    finally:
        watchdog.answered()
        focus = ", focus stopped" if scanner.instrument.focus else ""
        shutter = ", shutter closed" if scanner.instrument.shutter else ""
        problems = make_safe(scanner.instrument, _SAFE_WITHIN_S)
        for problem in problems:
            log.warning(problem)
        if not problems:
            log.info(f"stage stopped{focus}{shutter}")
            if stopping.level < StopLevel.EMERGENCY:
                _park(scanner, stopping, log, watchdog)


def _park(scanner: Scanner, stopping: Stopping, log: ScanLog, watchdog: Watchdog) -> None:
    """Bring the drives back; one that fails is told, and whoever asks for an end gets it."""
    try:
        with stopping.breaking(StopLevel(stopping.level + 1)):
            scanner.light(on=False)
            place_um = scanner.go_back()
    except BaseException as error:
        watchdog.answered()
        is_ours = isinstance(error, OpticalNetError)
        why = str(error) if is_ours else type(error).__name__
        problems = make_safe(scanner.instrument, _SAFE_WITHIN_S)
        log.warning(f"not parked: {'; '.join([why, *problems])}")
        if not is_ours:
            raise
    else:
        if place_um is not None:
            where = ", ".join(f"{at_um:.3f}" for at_um in place_um)
            log.info(f"parked at ({where}) um")
