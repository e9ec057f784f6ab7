"""Scripts that are read as text and run on devices, by whatever Python is there."""
