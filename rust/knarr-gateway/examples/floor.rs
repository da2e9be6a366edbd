//! The floor of the bench: the same hyper, rustls and mimalloc as the gateway, answering a fixed Pod of 2.2 kB to anything and an
//! idle stream to `?watch=1`. What the gateway costs beyond it is the price of the API; nothing of knarr is in it.
//!
//! Usage: `floor [ADDRESS]` (default 127.0.0.1:0). Prints `listening ADDRESS pid PID` and serves until killed. The certificate is
//! made at start and is its own CA: clients do not verify it.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio_rustls::TlsAcceptor;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A Pod as kubectl would print it, padded by one annotation to 2,200 bytes.
fn pod() -> Bytes {
    let head = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"fixed","namespace":"default","resourceVersion":"1","annotations":{"pad":""#;
    let tail = r#""}},"spec":{"containers":[{"name":"c","image":"pause"}]},"status":{"phase":"Pending"}}"#;
    Bytes::from(format!("{head}{}{tail}", "x".repeat(2200 - head.len() - tail.len())))
}

async fn answer(request: Request<Incoming>, pod: Bytes) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let watch = request.uri().query().is_some_and(|query| query.contains("watch=1"));
    let body = if watch {
        StreamBody::new(futures_util::stream::pending()).boxed()
    } else {
        if request.collect().await.is_err() {
            return Ok(Response::new(Full::new(Bytes::new()).boxed()));
        }
        Full::new(pod).boxed()
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn serve(address: String) -> Result<(), Failure> {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = rustls_pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind(&address).await?;
    writeln!(std::io::stdout(), "listening {} pid {}", listener.local_addr()?, std::process::id())?;
    let pod = pod();
    loop {
        let (tcp, _) = listener.accept().await?;
        let (acceptor, pod) = (acceptor.clone(), pod.clone());
        tokio::spawn(async move {
            tcp.set_nodelay(true)?;
            let io = TokioIo::new(acceptor.accept(tcp).await?);
            let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            builder.http2().timer(TokioTimer::new()).max_concurrent_streams(10_000);
            builder.serve_connection(io, service_fn(move |request| answer(request, pod.clone()))).await
        });
    }
}

fn main() -> Result<(), Failure> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(address))
}
