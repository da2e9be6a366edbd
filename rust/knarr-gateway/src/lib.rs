//! TLS, HTTP, authentication, flow control, streams and proxying.
