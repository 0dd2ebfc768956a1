"""What a client does to a gradient before it is shared, and what an attacker may do in answer."""
