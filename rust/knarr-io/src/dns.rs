//! Cluster DNS on sockets: datagrams and streams in, answers of [`knarr_dns`] out, everything else asked of upstream servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use knarr_dns::{Answer, Index, Transport, answer, joined};
use parking_lot::RwLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Queries that wait for an upstream at a time; beyond them new ones are dropped, and their clients ask again.
const FORWARDED_MAX: usize = 512;
/// Streams open at a time.
const STREAMS_MAX: usize = 256;
/// How long an upstream is waited for before the next one is asked.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may keep a stream open without asking (RFC 7766, 6.2.3: of the order of seconds).
const STREAM_IDLE: Duration = Duration::from_secs(10);
const MESSAGE_BYTES_MAX: usize = 65_535;

/// What every socket shares.
struct Shared {
    index: RwLock<Index>,
    zone: String,
    upstreams: RwLock<Vec<SocketAddr>>,
    spin: AtomicU32,
    answered: AtomicU64,
    forwarded: AtomicU64,
    forwarding: Semaphore,
    streams: Semaphore,
}

/// A DNS server that runs until it is dropped.
pub struct DnsServer {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

impl DnsServer {
    /// A server for names below `zone` ("cluster.local") that listens nowhere yet.
    pub fn new(zone: &str) -> Self {
        let shared = Shared {
            index: RwLock::new(Index::default()),
            zone: zone.to_ascii_lowercase(),
            upstreams: RwLock::new(Vec::new()),
            spin: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            forwarded: AtomicU64::new(0),
            forwarding: Semaphore::new(FORWARDED_MAX),
            streams: Semaphore::new(STREAMS_MAX),
        };
        DnsServer { shared: Arc::new(shared), stop: watch::channel(false).0 }
    }

    /// Listen on an address, for datagrams and streams. Must be called within a tokio runtime.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<()> {
        let datagrams = UdpSocket::bind(address).await?;
        let streams = TcpListener::bind(datagrams.local_addr()?).await?;
        tokio::spawn(stopped(self.stop.subscribe(), serve_datagrams(self.shared.clone(), Arc::new(datagrams))));
        tokio::spawn(stopped(self.stop.subscribe(), serve_streams(self.shared.clone(), streams)));
        Ok(())
    }

    /// Where names outside the zone are asked, in this order.
    pub fn set_upstreams(&self, upstreams: Vec<SocketAddr>) {
        *self.shared.upstreams.write() = upstreams;
    }

    /// Change the index; answers see all of the change or nothing.
    pub fn update(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.shared.index.write());
    }

    /// (answered here, asked upstream), since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.answered.load(Ordering::Relaxed), self.shared.forwarded.load(Ordering::Relaxed))
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Run `work` until the server is dropped.
async fn stopped(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn serve_datagrams(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0u8; 4096];
    loop {
        // a client that went away is reported here as an error of the next receive: it concerns nobody else
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let query = &buffer[..length];
        match shared.answer(query, Transport::Udp) {
            Answer::Reply(reply) => drop(socket.send_to(&reply, from).await),
            Answer::Drop => {}
            wanting => {
                let query = query.to_vec();
                let (shared, socket) = (shared.clone(), socket.clone());
                tokio::spawn(async move {
                    if let Some(reply) = shared.complete(wanting, &query, Transport::Udp).await {
                        drop(socket.send_to(&reply, from).await);
                    }
                });
            }
        }
    }
}

async fn serve_streams(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: some will close
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let Ok(_open) = shared.streams.try_acquire() else { return };
            serve_stream(&shared, stream).await.ok();
        });
    }
}

async fn serve_stream(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    while let Ok(query) = timeout(STREAM_IDLE, read_message(&mut stream)).await {
        let query = query?;
        let reply = match shared.answer(&query, Transport::Tcp) {
            Answer::Reply(reply) => Some(reply),
            Answer::Drop => None,
            wanting => shared.complete(wanting, &query, Transport::Tcp).await,
        };
        let Some(reply) = reply else { break };
        write_message(&mut stream, &reply).await?;
    }
    Ok(())
}

impl Shared {
    fn answer(&self, query: &[u8], transport: Transport) -> Answer {
        let spin = self.spin.fetch_add(1, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
        answer(&self.index.read(), &self.zone, query, transport, spin)
    }

    /// What an upstream has to say first.
    async fn complete(&self, wanting: Answer, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
        let _slot = self.forwarding.try_acquire().ok()?;
        match wanting {
            Answer::Chase { reply, question } => match self.ask_upstream(&question, transport).await {
                Some(more) => Some(joined(&reply, &more)),
                None => Some(reply),
            },
            _ => match self.ask_upstream(query, transport).await {
                Some(reply) => Some(reply),
                None => server_failure(query),
            },
        }
    }

    async fn ask_upstream(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let upstreams = self.upstreams.read().clone();
        for upstream in upstreams {
            let asked = timeout(UPSTREAM_TIMEOUT, ask(upstream, query, transport)).await;
            if let Ok(Ok(reply)) = asked {
                return Some(reply);
            }
        }
        None
    }
}

/// Ask one server, by the transport that the client chose, so that truncation means the same on both sides.
async fn ask(upstream: SocketAddr, query: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
    if transport == Transport::Tcp {
        let mut stream = TcpStream::connect(upstream).await?;
        write_message(&mut stream, query).await?;
        return read_message(&mut stream).await;
    }
    let any = if upstream.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?; // a fresh port for each query: answers are hard to forge
    socket.connect(upstream).await?;
    socket.send(query).await?;
    let mut buffer = vec![0u8; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // the answer has the question's id, and it is an answer
        if length >= 12 && buffer[..2] == query[..2] && buffer[2] & 0x80 != 0 {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    let mut message = vec![0u8; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a DNS message has at most 65,535 bytes"));
    }
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&(message.len() as u16).to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// SERVFAIL to a query: its own header and question with the code set.
fn server_failure(query: &[u8]) -> Option<Vec<u8>> {
    let mut reply = query.get(..12)?.to_vec();
    reply[2] |= 0x80;
    reply[3] = 0x80 | 2;
    reply[4..12].fill(0);
    Some(reply)
}
