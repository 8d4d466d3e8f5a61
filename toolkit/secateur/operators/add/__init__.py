"""ADD and SUB of sources with scales of their own."""
