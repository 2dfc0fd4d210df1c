"""`python -m grid_cosim`, the same as `grid-cosim`."""

from grid_cosim.cli import main

if __name__ == "__main__":
    main()
