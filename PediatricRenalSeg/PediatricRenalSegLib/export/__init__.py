"""What is written of a result: ``writers`` is the table, each kind of file a module."""
