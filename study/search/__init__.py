"""The search: an Optuna study that is asked for trials and told what the ledger says of them. No Ray."""
