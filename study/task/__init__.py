"""Tasks of a person's own: a generator, a victim and folders of pictures, described in a file or by options."""
