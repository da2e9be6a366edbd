"""The parts of the Deployment controller: rows and arithmetic (rollout.py), status and conditions (status.py)."""
