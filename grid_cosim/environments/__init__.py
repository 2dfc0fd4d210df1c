"""Environments for learning algorithms, ours and other people's.

`fleet_env.FleetEnv` (PettingZoo) is the fleet behind its limits, `household_env.HouseholdEnv` (Gymnasium) one
household and a price. Both need the extra `[rl]`.
"""
