//! The real disk, network and clock, and the threads that drive the cores.
