"""`python -m grid_cosim.cli`."""

from grid_cosim.cli import main

main()
