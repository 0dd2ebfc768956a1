"""How each kind of stage is searched: one file a kind."""
