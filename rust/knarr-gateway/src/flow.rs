//! Flow control: how many requests are worked on at once, by class; a short queue; then 429.
//!
//! ```text
//!  long-running (watch, log, exec, attach, portforward, proxy): not counted        system:masters: not counted
//!  the cluster's own users (nodes, kube-system's accounts, system:kube-*): a pool of their own, so that no tenant starves them
//!  everybody else: reads and writes in a pool each
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use knarr_authz::MASTERS;
use knarr_base::User;
use knarr_machinery::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct FlowLimits {
    /// Requests in work at once, of each class.
    pub reads: usize,
    pub writes: usize,
    pub system: usize,
    /// Requests of a class waiting for their turn; writes wait together for one fsync, so the queue is long and fast.
    pub queued: usize,
    /// How long one waits before it is sent away.
    pub wait: Duration,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self { reads: 400, writes: 400, system: 1_000, queued: 10_000, wait: Duration::from_secs(15) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Exempt,
    System,
    Read,
    Write,
}

struct Pool {
    permits: Arc<Semaphore>,
    size: usize,
    waiting: AtomicUsize,
}

impl Pool {
    fn new(size: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(size)), size, waiting: AtomicUsize::new(0) }
    }
}

pub struct Flow {
    limits: FlowLimits,
    system: Pool,
    reads: Pool,
    writes: Pool,
    rejected: AtomicUsize,
}

/// A place among the requests in work; dropping it gives it back.
pub struct Permit {
    _place: Option<OwnedSemaphorePermit>,
}

/// Counted out again however the wait ends, also by being dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Flow {
    pub fn new(limits: FlowLimits) -> Self {
        Self {
            limits,
            system: Pool::new(limits.system),
            reads: Pool::new(limits.reads),
            writes: Pool::new(limits.writes),
            rejected: AtomicUsize::new(0),
        }
    }

    pub fn class(user: &User, mutating: bool, long_running: bool) -> Class {
        let member = |wanted: &str| user.groups.iter().any(|group| group == wanted);
        if long_running || member(MASTERS) {
            Class::Exempt
        } else if user.name.starts_with("system:kube-")
            || user.name.starts_with("system:knarr-")
            || member("system:nodes")
            || member("system:serviceaccounts:kube-system")
        {
            Class::System
        } else if mutating {
            Class::Write
        } else {
            Class::Read
        }
    }

    /// Waits for a place. Errors: 429 when the queue is full or the wait was too long.
    pub async fn enter(&self, class: Class) -> Result<Permit, Status> {
        let pool = match class {
            Class::Exempt => return Ok(Permit { _place: None }),
            Class::System => &self.system,
            Class::Read => &self.reads,
            Class::Write => &self.writes,
        };
        if let Ok(place) = pool.permits.clone().try_acquire_owned() {
            return Ok(Permit { _place: Some(place) });
        }
        let refused = || {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            Status::too_many_requests("too many requests, please try again later", 1)
        };
        let before = pool.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&pool.waiting);
        if before >= self.limits.queued {
            return Err(refused());
        }
        match tokio::time::timeout(self.limits.wait, pool.permits.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(Permit { _place: Some(place) }),
            Ok(Err(_)) | Err(_) => Err(refused()),
        }
    }

    /// Requests in work (read-only, mutating, system) and how many were sent away, for /metrics.
    pub fn figures(&self) -> (usize, usize, usize, usize) {
        let used = |pool: &Pool| pool.size - pool.permits.available_permits().min(pool.size);
        (used(&self.reads), used(&self.writes), used(&self.system), self.rejected.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        User { name: name.to_owned(), uid: String::new(), groups, extra: Vec::new() }
    }

    #[tokio::test]
    async fn a_full_class_is_429_and_leaves_the_others_alone() {
        let limits = FlowLimits { reads: 1, writes: 1, system: 1, queued: 1, wait: Duration::from_millis(20) };
        let flow = Flow::new(limits);
        let held = flow.enter(Class::Write).await.expect("a place");
        let status = flow.enter(Class::Write).await.err().expect("no place in time");
        assert_eq!((status.code, status.details.expect("details").retry_after_seconds), (429, 1));
        assert!(flow.enter(Class::System).await.is_ok() && flow.enter(Class::Exempt).await.is_ok());
        assert_eq!(flow.figures(), (0, 1, 0, 1));
        drop(held);
        assert!(flow.enter(Class::Write).await.is_ok());
    }

    #[test]
    fn the_clusters_own_users_have_their_own_pool() {
        assert_eq!(Flow::class(&user("bob", &[]), true, false), Class::Write);
        assert_eq!(Flow::class(&user("bob", &[]), false, true), Class::Exempt);
        assert_eq!(Flow::class(&user("system:node:n", &["system:nodes"]), true, false), Class::System);
        assert_eq!(Flow::class(&user("system:kube-scheduler", &[]), true, false), Class::System);
        assert_eq!(Flow::class(&user("root", &[MASTERS]), true, false), Class::Exempt);
    }
}
