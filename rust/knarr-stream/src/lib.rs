//! SPDY and WebSocket channels as state machines over bytes.
