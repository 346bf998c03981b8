"""Model files and the catalogue of those that are shipped."""
