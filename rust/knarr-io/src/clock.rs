//! The machine's clocks.

use knarr_base::{Clock, Instant, WallTime};

/// CLOCK_BOOTTIME, which goes on while the machine is suspended, so that a lease does not outlive a pause; and CLOCK_REALTIME.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[allow(unsafe_code)]
fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call; both clocks exist on every Linux since 2.6.39.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "the clock can be read");
    time
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        let time = read(libc::CLOCK_BOOTTIME);
        Instant(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
    }

    fn wall(&self) -> WallTime {
        let time = read(libc::CLOCK_REALTIME);
        WallTime(time.tv_sec * 1_000_000 + time.tv_nsec / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_is_about_now() {
        let before = SystemClock.now();
        assert!(SystemClock.now() >= before);
        let system =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_micros();
        assert!(i128::from(SystemClock.wall().0).abs_diff(system as i128) < 10_000_000);
    }
}
