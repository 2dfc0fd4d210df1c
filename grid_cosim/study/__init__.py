"""Studies: the claims of the method, each put to the test by many runs, with a page that says what came out.

    from grid_cosim.study import run_study
    run_study("steps", out="runs/claims", jobs=-1)

Where the cases run is joblib's: `with joblib.parallel_config(backend="dask"): run_study(...)`.
"""

from grid_cosim.study.page import write_page
from grid_cosim.study.running import run_study
from grid_cosim.study.study import STUDIES
from grid_cosim.study.tables import StudyResults

__all__ = ["STUDIES", "StudyResults", "run_study", "write_page"]
