"""The verbs, a function each, whose signature is the command line."""
