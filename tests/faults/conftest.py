"""What is wrong is told in full, in the helpers too."""
