"""The command that shows the light: `opticalnet simulate --show`."""

from typing import TYPE_CHECKING

from opticalnet.console import interruptible, open_console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from opticalnet.light_view import LightView


def show_light(place: dict[str, str], out: str, *, json: bool) -> None:
    """Draw the light into a picture, and sketch it in the terminal.

    Parameters
    ----------
    place
        ``instrument`` and ``sample`` where they were given, as for ``view_light``.
    out
        Where the picture goes.
    json
        Whether a script reads stdout.
    """
    console = open_console(json)
    with interruptible(lambda: "stopped; no picture was kept"):
        from opticalnet.light_view import view_light

        with console.status("light on its way"):
            view = view_light(**place)
            view.save_figure(out)
    if json:
        print_json(picture=out, simulated=True, **view.as_dict())
        return
    _print_light(console, view)
    console.print(f"picture: {out}", markup=False, soft_wrap=True)


def _print_light(console: "Console", view: "LightView") -> None:
    from opticalnet.light_preview import light_preview, light_summary

    summary = light_summary(view)
    if console.is_terminal and console.color_system is not None:
        console.print(light_preview(view, console.width, console.height - len(summary) - 4))
    for line in summary:
        console.print(line, soft_wrap=True, markup=False)
