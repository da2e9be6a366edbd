//! SPDY/3.1 and the channels of the Kubernetes streaming protocols as state machines over bytes.
//!
//! Knows: frames, header compression, streams and their half-closing ([`spdy`]); the channel framing of `v5.channel.k8s.io`,
//! `v4.channel.k8s.io` and the base64 variants ([`channel`]); the Status that ends an exec ([`remotecommand`]).
//! Never knows: sockets, TLS, HTTP, WebSocket framing, tasks, clocks, pods. Bytes go in, events and bytes come out; whoever owns the
//! socket carries them. Nothing a peer sends can panic it or make it hold more than the bounds named in [`spdy`].
//!
//! Start reading at [`spdy::Session`].

pub mod channel;
mod dictionary;
pub mod remotecommand;
pub mod spdy;
