"""Commands made of several measurements."""
