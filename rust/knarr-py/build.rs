//! Compiles the pause program (pause.rs) for the target, so that the module carries it: a node then needs neither a registry nor
//! a compiler for its first sandbox. Cargo cannot build it as a crate of its own here: it has no std and its own linker flags.

use std::error::Error;
use std::path::Path;
use std::process::Command;

const FLAGS: [&str; 8] = [
    "--edition=2021",
    "--crate-type=bin",
    "-Copt-level=z",
    "-Cpanic=abort",
    "-Cstrip=symbols",
    "-Ctarget-feature=+crt-static",
    "-Crelocation-model=static",
    "-Clink-args=-nostartfiles -nostdlib -static -Wl,--build-id=none",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=pause.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let mut rustc = Command::new(std::env::var("RUSTC")?);
    rustc.args(FLAGS).arg("--target").arg(std::env::var("TARGET")?);
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let status = rustc.arg("-o").arg(Path::new(&std::env::var("OUT_DIR")?).join("pause")).arg("pause.rs").status()?;
    if status.success() { Ok(()) } else { Err(format!("pause.rs does not compile: {status}").into()) }
}
