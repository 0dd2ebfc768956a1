"""Searching a recorded pool: `python -m study.replay TABLE`. No attack is run, no Ray and no torch are needed."""
