"""The story of ``secateur verify``: what is proven, who acts, how late, in what order; it measures by ``verify``."""
