//! The real disk and clock, and the threads that drive the cores.
//!
//! Knows: files, threads, time. Never knows: Kubernetes, or what is decided; cores do that. Start reading at [`LocalStore`].

mod clock;
mod disk;
pub mod dns;
mod driver;
mod rng;
pub mod scheduler;
mod store;

pub use clock::SystemClock;
pub use disk::DirectoryDisk;
pub use rng::SystemRng;
pub use store::{LocalStore, OpenError, Options, Stats};
