//! SPDY/3.1 as kubelets, CRI runtimes and kubectl speak it.
//!
//! ```text
//!  socket bytes --> Session::receive --> Vec<Event>         (open, reply, data, reset, pong, go away)
//!  open/reply/data/reset/ping/go_away --> Session::output --> socket bytes
//!
//!  a stream:   open --FIN sent--> half closed (local)  --FIN received--> gone
//!                   --FIN received--> half closed (remote) --FIN sent--> gone        RST at any time: gone
//! ```
//!
//! Windows: the peers in use (moby/spdystream in Go programs) neither send WINDOW_UPDATE nor heed it, so it and SETTINGS are
//! read and passed over, and back-pressure is the socket's: whoever drives a session stops reading while its sinks are full.
//! Source: SPDY protocol draft 3.1; behaviour of spdystream 0.5.

mod frame;
mod session;

pub use frame::{Error, Headers};
pub use session::{Event, Role, Session, StreamId};

/// Bytes of one control frame accepted from a peer; Kubernetes' header blocks are below 200.
pub const CONTROL_FRAME_BYTES_MAX: usize = 64 << 10;
/// Bytes of one decompressed header block: a small frame must not unfold into much memory.
pub const HEADER_BLOCK_BYTES_MAX: usize = 64 << 10;
/// Streams open at once in a session; a port-forward uses two a connection.
pub const STREAMS_MAX: usize = 4_096;
/// Bytes of data in one frame sent: what spdystream's callers write at once, so that streams share the connection fairly.
pub const DATA_FRAME_BYTES_MAX: usize = 32 << 10;

/// RST_STREAM: the stream is not wanted any more.
pub const RESET_CANCEL: u32 = 5;
/// RST_STREAM: a frame named a stream that is not open.
pub const RESET_INVALID_STREAM: u32 = 2;
/// RST_STREAM: the stream was refused before any work was done for it.
pub const RESET_REFUSED_STREAM: u32 = 3;
/// RST_STREAM: the peer broke the protocol on this stream.
pub const RESET_PROTOCOL_ERROR: u32 = 1;
