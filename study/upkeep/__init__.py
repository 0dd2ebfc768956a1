"""What is done to results while nobody adds to them: check, compact, merge, migrate, rescore."""
