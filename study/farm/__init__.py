"""How Ray runs jobs: workers, early stopping, and what happens when a worker dies. No Optuna."""
