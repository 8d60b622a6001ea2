"""What methods learn from activations: the inputs of layers and blocks on calibration texts."""
