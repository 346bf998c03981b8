"""The networks: torch only, scriptable, importable without the rest of the library."""
