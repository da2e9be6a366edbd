//! Replays one seed, or searches many: `cargo run --release -p knarr-sim --example sim -- --seed N` or `-- --seeds N [--from M]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let seeds = match (value("--seed"), value("--seeds")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => value("--from").unwrap_or(0)..value("--from").unwrap_or(0) + count,
        (None, None) => {
            eprintln!("usage: sim --seed N | --seeds COUNT [--from N]");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    let one = seeds.end - seeds.start == 1;
    for seed in seeds {
        match knarr_sim::run(seed) {
            Ok(report) if one => println!("seed {seed}: {report:?}"),
            Ok(_) => {}
            Err(words) => {
                failed = true;
                println!("{words}");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
