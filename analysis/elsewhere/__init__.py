"""Whether settings hold elsewhere: on other domains, other images, in other studies."""
