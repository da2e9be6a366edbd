//! Connections: accept, TLS, then HTTP/1.1 or HTTP/2 as ALPN chose. Shared by the API server and the node's server.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use knarr_base::{BoxFuture, User};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::authn::x509;
use crate::log;
use crate::reply::Reply;
use crate::tls::ServerTls;

/// Streams of one HTTP/2 connection at once: what client-go expects, and a bound on what one client can hold open.
const STREAMS_MAX: u32 = 250;
/// Bytes a peer may send before they are read, of one stream and of one connection: uploads are small, connections many.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes of one stream's answer that HTTP/2 holds unsent, and of an HTTP/1.1 connection's buffers.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// Header bytes of one request: a token and some cookies fit many times.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// A handshake that takes longer is an attack or a dead peer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// An HTTP/1.1 connection without a (whole) request for so long is closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(90);
/// Connections at once: a cluster of 130,000 nodes on three masters, twice over.
const CONNECTIONS_MAX: usize = 100_000;

/// What the client's certificate says.
#[derive(Clone, Debug)]
pub enum PeerCertificate {
    None,
    /// Shown, but not of our CA, expired, or naming nobody.
    Invalid,
    User {
        user: Arc<User>,
        not_after: i64,
    },
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub certificate: PeerCertificate,
}

/// Answers one request.
pub type Handler = Arc<dyn Fn(Arc<Peer>, Request<Incoming>) -> BoxFuture<Reply> + Send + Sync>;

/// A listening socket with keep-alive and no delay on what it accepts. Errors: as bind(2), the address in use for one.
pub fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until `stop` turns true; then takes no more, lets requests in work end, and returns after `grace` at the latest.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerTls>,
    handler: Handler,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let acceptor = TlsAcceptor::from(tls.config.clone());
    let open = Arc::new(AtomicUsize::new(0));
    let (drained, mut all_gone) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: wait for some to close rather than spin.
                log::line("error", "accept failed", &[("error", &error)]);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        let place = Place::new(open.clone(), drained.clone());
        let (acceptor, tls, handler, stop) = (acceptor.clone(), tls.clone(), handler.clone(), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            connection(tcp, address, acceptor, tls, handler, stop, grace).await;
        });
    }
    drop(drained);
    drop(listener);
    // The channel closes when the last connection has dropped its sender.
    let _ = tokio::time::timeout(grace, all_gone.recv()).await;
}

/// Counts one open connection.
struct Place {
    open: Arc<AtomicUsize>,
    _drained: tokio::sync::mpsc::Sender<()>,
}

impl Place {
    fn new(open: Arc<AtomicUsize>, drained: tokio::sync::mpsc::Sender<()>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self { open, _drained: drained }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Kernel probes instead of HTTP/2 pings: an idle connection owns no timer here.
fn keep_alive(tcp: &TcpStream) {
    use std::os::fd::AsRawFd;
    for (level, option, value) in [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 60),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 15),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 4),
    ] {
        let value: libc::c_int = value;
        // SAFETY: the descriptor is open for the borrow's time and the option's value is the int that setsockopt(2) expects.
        #[allow(unsafe_code)]
        unsafe {
            let size = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
            libc::setsockopt(tcp.as_raw_fd(), level, option, std::ptr::from_ref(&value).cast(), size);
        }
    }
}

async fn connection(
    tcp: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    tls: Arc<ServerTls>,
    handler: Handler,
    stop: watch::Receiver<bool>,
    grace: Duration,
) {
    // Neither can fail on a connected socket in a way that matters: the connection then just runs without.
    let _ = tcp.set_nodelay(true);
    keep_alive(&tcp);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await else { return };
    let session = stream.get_ref().1;
    let certificate = match session.peer_certificates() {
        None | Some([]) => PeerCertificate::None,
        Some(chain) if tls.clients.verify(chain) => match chain.first().and_then(|leaf| x509::user(leaf)) {
            Some((mut user, not_after)) => {
                user.groups.push("system:authenticated".to_owned());
                PeerCertificate::User { user: Arc::new(user), not_after }
            }
            None => PeerCertificate::Invalid,
        },
        Some(_) => PeerCertificate::Invalid,
    };
    let h2 = session.alpn_protocol() == Some(b"h2");
    let peer = Arc::new(Peer { address, certificate });
    let service = service_fn(move |request| {
        let answer = handler(peer.clone(), request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let io = TokioIo::new(stream);
    if h2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_header_list_size(HEADER_BYTES_MAX);
        let connection = builder.serve_connection(io, service);
        until_stopped(connection, |connection| connection.graceful_shutdown(), stop, grace).await;
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(SEND_BUFFER_BYTES);
        let connection = builder.serve_connection(io, service).with_upgrades();
        until_stopped(connection, |connection| connection.graceful_shutdown(), stop, grace).await;
    }
}

/// Drives a connection; when the server stops, asks it to end and gives it `grace`. Errors of a connection are its client's.
async fn until_stopped<C, E>(
    connection: C,
    shut_down: impl FnOnce(std::pin::Pin<&mut C>),
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) where
    C: Future<Output = Result<(), E>>,
{
    let mut connection = std::pin::pin!(connection);
    let stopped = tokio::select! {
        _ = &mut connection => false,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    if stopped {
        shut_down(connection.as_mut());
        let _ = tokio::time::timeout(grace, connection).await;
    }
}
