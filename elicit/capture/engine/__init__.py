"""The lane engine: written-out blocks, trunks, and the lanes that leave them."""
