"""What runs the model and measures it, one file a command."""
