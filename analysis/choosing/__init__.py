"""Choosing without the private image: what an attacker sees, what it tells, and what choosing by it gives up."""
