"""Other label-free methods that the paper compares with."""
