"""All SQL of identity, one typed function per statement."""
