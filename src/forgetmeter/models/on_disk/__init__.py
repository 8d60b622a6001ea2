"""What a checkpoint's files contain, without loading the model."""
