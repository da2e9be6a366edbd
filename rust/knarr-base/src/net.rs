//! What a core may believe about the network between members: nothing arrives for certain, in order, or once.

use crate::MemberId;

/// Carries encoded messages to other members. A message may be lost, delayed, repeated or overtaken; it is never altered (the
/// transport checks that), and it never blocks the sender.
pub trait Net: Send {
    /// Sends `message` to `to`, as far as that is possible.
    fn send(&mut self, to: MemberId, message: Vec<u8>);
}

/// The network of a group of one: there is nobody to talk to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Net for Nobody {
    fn send(&mut self, _to: MemberId, _message: Vec<u8>) {}
}
