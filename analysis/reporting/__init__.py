"""One file that says what a study found: gathered, laid out, and safe to mail."""
