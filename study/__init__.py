"""How trials run and how they are kept: plan, search (Optuna), farm (Ray Tune), ledger (Parquet)."""
