//! The gateway alone over a store in memory, for measuring and for trying clients: a few kinds without rules, a CA of its own.
//!
//! Usage: `serve FOLDER [ADDRESS]` writes `admin.conf` (a kubeconfig) into FOLDER, prints `listening ADDRESS pid PID` and serves until
//! killed.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use knarr_gateway::flow::FlowLimits;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: serve FOLDER [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let world = support::World::start(&address, FlowLimits::default());
        let admin = world.pki.client("kubernetes-admin", &["system:masters"]);
        let encoded = |text: &str| STANDARD.encode(text);
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://{}", world.address), "certificate-authority-data": encoded(&world.pki.ca)}}],
            "users": [{"name": "u", "user": {
                "client-certificate-data": encoded(&admin.certificate), "client-key-data": encoded(&admin.key)}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(format!("{folder}/admin.conf"), config.to_string())?;
        writeln!(std::io::stdout(), "listening {} pid {}", world.address, std::process::id())?;
        std::future::pending::<()>().await;
        Ok(())
    })
}
