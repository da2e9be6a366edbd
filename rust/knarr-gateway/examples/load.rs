//! Measures a server from outside: CPU per request, resident bytes per idle watch. For `floor` and `serve` alike.
//!
//! Usage: `load ADDRESS PID FOLDER|- get|watch COUNT PATH`. FOLDER holds `admin.conf` of `serve`; `-`: no client certificate. Server CPU and
//! memory are read from /proc/PID.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A load client on the same machine: whom it talks to is not in question.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn tls(folder: &str) -> Result<rustls::ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let mut config = if folder == "-" {
        builder.with_no_client_auth()
    } else {
        use base64::Engine;
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(format!("{folder}/admin.conf"))?)?;
        let part = |key: &str| -> Result<Vec<u8>, Failure> {
            let text = config["users"][0]["user"][key].as_str().ok_or("admin.conf has no client certificate")?;
            Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
        };
        let chain = vec![CertificateDer::from_pem_slice(&part("client-certificate-data")?)?];
        builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&part("client-key-data")?)?)?
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn connect(address: SocketAddr, config: Arc<rustls::ClientConfig>) -> Result<SendRequest<Empty<Bytes>>, Failure> {
    let tcp = tokio::net::TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let stream = tokio_rustls::TlsConnector::from(config).connect(ServerName::try_from("localhost")?, tcp).await?;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// User and system CPU in microseconds, resident bytes.
fn process(pid: &str) -> Result<(u64, u64), Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok((ticks * 10_000, fields[21].parse::<u64>()? * 4096))
}

async fn run(arguments: Vec<String>) -> Result<(), Failure> {
    let [address, pid, folder, what, count, path] = arguments.as_slice() else {
        return Err("usage: load ADDRESS PID FOLDER|- get|watch COUNT PATH".into());
    };
    let (address, count): (SocketAddr, usize) = (address.parse()?, count.parse()?);
    let config = Arc::new(tls(folder)?);
    let request = || Request::get(format!("https://localhost{path}")).body(Empty::<Bytes>::new());
    if what == "watch" {
        let mut held = Vec::new();
        let mut connections = Vec::new();
        // One watch on each connection first, so that connections are not counted as watches.
        for _ in 0..count.div_ceil(240) {
            let mut sender = connect(address, config.clone()).await?;
            held.push(sender.send_request(request()?).await?);
            connections.push(sender);
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let (_, before) = process(pid)?;
        for at in 0..count {
            let at = at % connections.len();
            held.push(connections[at].send_request(request()?).await?);
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let (cpu, after) = process(pid)?;
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let (idle, _) = process(pid)?;
        println!(
            "{count} watches on {} connections: {} bytes each; resident {} MB; idle CPU {} us in 5 s",
            connections.len(),
            after.saturating_sub(before) / count as u64,
            after >> 20,
            idle - cpu
        );
        return Ok(());
    }
    let workers = 16;
    let (before, _) = process(pid)?;
    let started = std::time::Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..workers {
        let mut sender = connect(address, config.clone()).await?;
        let uri = format!("https://localhost{path}");
        tasks.push(tokio::spawn(async move {
            for _ in 0..count / workers {
                let response = sender.send_request(Request::get(&uri).body(Empty::<Bytes>::new())?).await?;
                if !response.status().is_success() {
                    return Err(Failure::from(format!("{uri}: {}", response.status())));
                }
                response.into_body().collect().await?;
            }
            Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let took = started.elapsed();
    let (after, resident) = process(pid)?;
    println!(
        "{count} requests: {:.0}/s; server CPU {:.1} us each; resident {} MB",
        count as f64 / took.as_secs_f64(),
        (after - before) as f64 / count as f64,
        resident >> 20
    );
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments = std::env::args().skip(1).collect();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(arguments))
}
