//! The sandbox's process: holds a pod's namespaces, ends on SIGTERM or SIGINT, reaps what is orphaned into a shared
//! PID namespace. Static and without std: some 700 kB on disk, a few pages resident, one per pod.
#![no_std]
#![no_main]

#[link(name = "c", kind = "static")]
extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn pause() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(code: i32) -> !;
    fn abort() -> !;
}

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;
const WNOHANG: i32 = 1;

extern "C" fn stop(_: i32) {
    unsafe { _exit(0) }
}

extern "C" fn reap(_: i32) {
    while unsafe { waitpid(-1, core::ptr::null_mut(), WNOHANG) } > 0 {}
}

#[no_mangle]
pub extern "C" fn main() -> i32 {
    unsafe {
        signal(SIGINT, stop);
        signal(SIGTERM, stop);
        signal(SIGCHLD, reap);
        loop {
            pause();
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { abort() }
}
