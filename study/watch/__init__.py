"""Where a study stands, for its driver, for other terminals, and for other tools."""
