"""From counted requests to a verdict. Pure: the standard library, msgspec and numpy."""
