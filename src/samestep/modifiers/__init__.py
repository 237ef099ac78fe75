"""Parts that change what an optimizer does: one page each."""
