//! Newtypes, limits and the seams to the outside world.
