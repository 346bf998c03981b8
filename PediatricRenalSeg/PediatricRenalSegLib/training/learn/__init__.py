"""The three networks learn from a store and become a model file."""
