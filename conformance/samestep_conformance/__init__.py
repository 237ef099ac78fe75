"""The checks that every optimizer and every backend of samestep must pass."""
