"""Run the command line as ``python -m opticalnet``."""

from opticalnet.cli import main

main()
