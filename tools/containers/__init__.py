"""A container engine of one's own, for as long as a program runs, and images for it where no registry is reached."""
