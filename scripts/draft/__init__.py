"""Everything that makes the draft model: the rendered world, the training, the export."""
