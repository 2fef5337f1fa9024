"""What stands in front of the processes of a split house: which path leads to which module."""
