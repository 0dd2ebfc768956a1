"""A study on a Ray cluster elsewhere: how it is sent there, and templates of clusters."""
