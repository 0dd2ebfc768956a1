"""What is fast, and how it is known."""
