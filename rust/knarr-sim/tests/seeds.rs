//! Thousands of lives, one power loss at every point of some of them, the seeds of bugs found before, known bugs put back, and
//! determinism.

use knarr_sim::{Bug, run, run_losing_power_at, run_with};

#[test]
fn nothing_acknowledged_is_lost_in_thousands_of_lives() {
    let (mut losses, mut flips, mut snapshots) = (0, 0, 0);
    for seed in 0..4_000 {
        match run(seed) {
            Ok(report) => {
                losses += report.losses;
                flips += report.flips;
                snapshots += report.snapshots;
            }
            Err(words) => panic!("{words}"),
        }
    }
    println!("{losses} power losses, {flips} flips refused, {snapshots} snapshots");
    // The faults happened: a world in which nothing goes wrong proves nothing.
    assert!(losses > 8_000 && flips > 2_000 && snapshots > 1_000, "{losses} {flips} {snapshots}");
}

#[test]
fn power_is_lost_at_every_point() {
    let mut points = 0;
    for seed in 0..40 {
        // The recovery from each is cut short too, each time somewhere else: opening takes some twelve operations.
        for at in 1.. {
            match run_losing_power_at(seed, at, 1 + at % 13) {
                Ok(true) => points += 1,
                Ok(false) => break,
                Err(words) => panic!("{words}"),
            }
        }
    }
    println!("{points} points");
    assert!(points > 2_000, "{points}");
}

#[test]
fn seeds_of_found_bugs_hold() {
    let text = include_str!("../../../tests/sim/seeds.toml");
    let seeds: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("seed = ")?.parse().ok()).collect();
    for seed in seeds {
        assert_eq!(run(seed).err(), None);
    }
}

#[test]
fn a_seed_gives_the_same_life_twice() {
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn known_bugs_are_found_again() {
    for bug in [Bug::LyingSync, Bug::EarlyAnswer] {
        let found = (0..100)
            .filter(|seed| std::panic::catch_unwind(|| run_with(*seed, bug)).is_ok_and(|end| end.is_err()))
            .count();
        assert!(found > 20, "{bug:?} was found in {found} of 100 lives");
    }
}
