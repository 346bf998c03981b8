"""What the Slicer module is made of beside its window: worker processes, installation, review, texts."""
