"""`elicit plan`: what a command needs, said without loading weights."""
