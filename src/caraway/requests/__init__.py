"""AWS requests as values: what is asked, and the type of the answer."""
