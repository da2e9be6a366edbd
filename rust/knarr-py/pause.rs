//! The sandbox's process: holds a pod's namespaces, ends on SIGTERM or SIGINT, reaps what is orphaned into a shared
//! PID namespace. No std and no libc: a static program of a few kB, one page or two resident, one of it per pod.
//!
//! Signals are blocked and taken one at a time with rt_sigtimedwait(2) instead of being handled: a handler needs a
//! restorer that libc would bring. Blocked signals reach even the first process of a PID namespace.
#![no_std]
#![no_main]

use core::arch::asm;

const SIGINT: i64 = 2;
const SIGTERM: i64 = 15;
const SIGCHLD: i64 = 17;
const SIG_BLOCK: i64 = 0;
const WNOHANG: i64 = 1;
const SET_BYTES: i64 = 8;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const SIGPROCMASK: i64 = 14;
    pub const SIGTIMEDWAIT: i64 = 128;
    pub const WAIT4: i64 = 61;
    pub const EXIT_GROUP: i64 = 231;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const SIGPROCMASK: i64 = 135;
    pub const SIGTIMEDWAIT: i64 = 137;
    pub const WAIT4: i64 = 260;
    pub const EXIT_GROUP: i64 = 94;
}

#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: i64, a: i64, b: i64, c: i64, d: i64) -> i64 {
    let result: i64;
    asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
         lateout("rcx") _, lateout("r11") _);
    result
}
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: i64, a: i64, b: i64, c: i64, d: i64) -> i64 {
    let result: i64;
    asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d);
    result
}

#[no_mangle]
pub extern "C" fn _start() -> ! {
    let set: u64 = 1 << (SIGINT - 1) | 1 << (SIGTERM - 1) | 1 << (SIGCHLD - 1);
    let address = &set as *const u64 as i64;
    unsafe {
        syscall(number::SIGPROCMASK, SIG_BLOCK, address, 0, SET_BYTES);
        loop {
            match syscall(number::SIGTIMEDWAIT, address, 0, 0, SET_BYTES) {
                SIGINT | SIGTERM => break,
                // SIGCHLD, or an interruption: one signal may stand for several children.
                _ => while syscall(number::WAIT4, -1, 0, WNOHANG, 0) > 0 {},
            }
        }
        loop {
            syscall(number::EXIT_GROUP, 0, 0, 0, 0);
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        unsafe { syscall(number::EXIT_GROUP, 1, 0, 0, 0) };
    }
}
