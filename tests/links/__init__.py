"""What tests of links need: bad lines, raw clients, patience."""
