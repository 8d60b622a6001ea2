"""What texts may share with others in a batch, tried on the model itself."""
