"""Files that this project needs and does not ship: what they are, whether they are there, how to get them."""
