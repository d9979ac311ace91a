"""What every command says alike: errors, one JSON object, what there is after Ctrl-C."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import Console


def open_console(json: bool) -> "Console":
    """Return where people read along: stderr if a script reads stdout."""
    from rich.console import Console

    return Console(stderr=json, highlight=False)


def print_json(**values: Any) -> None:
    """Print one JSON object on stdout."""
    import json

    sys.stdout.write(json.dumps(values) + "\n")


def fail(message: str, code: int) -> NoReturn:
    """Say in one red line on stderr what is wrong, and leave."""
    from rich.console import Console
    from rich.text import Text

    text = Text(" ".join(f"error: {message}".split()), style="red")
    Console(stderr=True).print(text, soft_wrap=True)
    raise SystemExit(code)


@contextmanager
def interruptible(stopped: Callable[[], str]) -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end a command, with exit code 130 or 143, in order.

    Then it says what there is.
    """

    def terminate(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # one is enough: let it tidy up
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        fail("; ".join([stopped(), *getattr(error, "__notes__", ())]), 130)
    except _Terminated as error:
        fail("; ".join([stopped(), *getattr(error, "__notes__", ())]), 143)
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Terminated(BaseException):
    """SIGTERM has come."""


def listed(names: Sequence[str]) -> str:
    """Say names one after another: "a", "a and b", "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def given(**options: Any) -> dict[str, Any]:
    """Leave out the options that nobody gave."""
    return {name: value for name, value in options.items() if value is not None}


def refuse(options: dict[str, Any], expected: str) -> None:
    """Raise ``ConfigError`` for the first of some options, which go with something else."""
    from configs.errors import ConfigError

    if options:
        name = next(iter(options))
        raise ConfigError(
            f"--{name}: expected {expected} beside it; give one and leave out the other"
        )


def kept(out: str) -> str:
    """Say what there is of a result after Ctrl-C."""
    return f"{out} is there" if Path(out).exists() else "nothing was kept"


def picture_beside(run: Path, name: str) -> Path:
    """Return the path of a picture beside a run, also of one called ``.`` or ``..``."""
    named = run.resolve() if run.name in {"", ".."} else run
    return named.with_name(f"{named.name.removesuffix('.zarr')}.{name}.png")
