"""An example storefront and a crowd, to see the whole thing work on one machine."""
