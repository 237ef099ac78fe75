"""Times of samestep beside its peers, measured in turns and given as ratios."""
