"""What may vary in a study, in plain Python."""
