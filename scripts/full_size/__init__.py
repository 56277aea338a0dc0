"""Full-size networks with random weights, through export and TensorRT's builder; no card needed."""
