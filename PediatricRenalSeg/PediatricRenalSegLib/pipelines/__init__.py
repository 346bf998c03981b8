"""Methods: from a CT to labels and doubt on its grid. ``base`` is the contract, each method a file."""
