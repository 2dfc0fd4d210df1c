"""What the README and the documentation claim, measured: cases, and whether each is within its bar.

    python benchmarks/bars.py            # everything, about ten minutes
    python benchmarks/bars.py seeds      # one group: main, seeds, areas, simbench, steps

Every case is a scenario of this repository with overrides; nothing is typed in.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from grid_cosim import kpis, load_scenario, run

SHOWN = {
    "peak_loading_percent": ("peak %", "{:.2f}"),
    "energy_above_limit_percent": ("above %", "{:.4f}"),
    "unserved_energy_percent": ("unserved %", "{:.3f}"),
    "cold_kelvin_hours_per_home": ("cold K·h", "{:.3f}"),
    "deferred_energy_kwh": ("owed kWh", "{:.1f}"),
    "price_spread_eur_per_kwh": ("spread", "{:.4f}"),
    "messages_per_home_per_step": ("messages", "{:.1f}"),
    "flexibility_cost_eur": ("flexibility EUR", "{:.2f}"),
    "total_cost_eur": ("total EUR", "{:.2f}"),
    "wall_time_s": ("wall s", "{:.1f}"),
}
BAR = {
    "peak_loading_percent": 101.0,
    "energy_above_limit_percent": 0.1,
    "unserved_energy_percent": 0.5,
    "cold_kelvin_hours_per_home": 0.1,
}
"""Of `consensus`; cold counts from what `uncontrolled` has."""

COLD = "cold_evening.toml"
ONLY = ["controllers=['consensus']"]


def step(name: str, **settings: object) -> tuple[str, str, list[str]]:
    """A case that differs from the main scenario in its coordination only."""
    return name, COLD, [*ONLY, *(f"coordination.{k}={v}" for k, v in settings.items())]


CASES: dict[str, list[tuple[str, str, list[str]]]] = {
    "main": [("cold evening", COLD, [])],
    "seeds": [
        (f"seed {k}", COLD, [f"seed={k}", "controllers=['uncontrolled', 'consensus']"]) for k in range(2, 11)
    ],
    "areas": [("all 14 areas", COLD, ["feeder.source=schutterwald"])],
    "simbench": [("SimBench rural", "simbench_rural.toml", [])],
    "steps": [
        step("curve, K = 10"),
        step("curve, K = 5", rounds=5),
        step("curve, K = 7", rounds=7),
        step("curve, K = 20", rounds=20),
        step("curve, plain rounds, K = 10", accelerated="false"),
        step("curve, plain rounds, K = 20", accelerated="false", rounds=20),
        step("curve, fresh, K = 10", mixing="fresh"),
        step("curve, fresh, plain, K = 10", mixing="fresh", accelerated="false"),
        step("curve, fresh, plain, K = 5", mixing="fresh", accelerated="false", rounds=5),
        step("curve, K = 10, 30 % of links down", link_outage=0.3),
        step("curve, fresh, K = 10, 30 % of links down", mixing="fresh", link_outage=0.3),
        step("curve, ring, K = 10", graph="ring"),
        step("curve, along the cables, K = 10", graph="cables"),
        step("curve, along the cables, K = 100", graph="cables", rounds=100),
        step("curve, small world, K = 10", graph="small_world"),
        step("newton, K = 10, D = 4", dual_step="newton"),
        step("newton, K = 10, D = 2", dual_step="newton", dual_iterations=2),
        step("newton, K = 20, D = 4", dual_step="newton", rounds=20, dual_iterations=4),
        *(
            step(
                f"gradient, K = {rounds}, D = {iterations}, eta {eta:g}",
                dual_step="gradient",
                rounds=rounds,
                dual_iterations=iterations,
                gradient_step=eta,
            )
            for rounds, iterations, etas in (
                (5, 1, (0.001, 0.01, 0.03)),
                (10, 1, (0.01, 0.03)),
                (5, 20, (0.001, 0.003, 0.01)),
            )
            for eta in etas
        ),
    ],
}


def main(groups: list[str]) -> None:
    """Run the cases and print a line for each controller of each."""
    print(
        "| case | controller | " + " | ".join(label for label, _ in SHOWN.values()) + " | within the bars |"
    )
    print("|---" * (len(SHOWN) + 3) + "|", flush=True)
    for name, scenario, overrides in [case for group in groups for case in CASES[group]]:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            values = kpis(run(load_scenario(scenario, overrides), out=Path(folder) / "run"))
        cold = values.get("uncontrolled", {}).get("cold_kelvin_hours_per_home", 0.0)
        for controller, run_values in values.items():
            within = all(
                run_values[kpi] <= bar + (cold if kpi.startswith("cold") else 0.0) for kpi, bar in BAR.items()
            )
            cells = [fmt.format(run_values[kpi]) for kpi, (_, fmt) in SHOWN.items()]
            verdict = ("yes" if within else "no") if controller == "consensus" else ""
            print(f"| {name} | {controller} | {' | '.join(cells)} | {verdict} |", flush=True)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))
