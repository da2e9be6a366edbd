//! /livez, /readyz and /healthz, with their checks by name.

use parking_lot::RwLock;

use crate::path::{is_true, query_pairs};
use crate::reply::{Reply, text};

/// Named checks: parts of the server say whether they are ready. Alive is whoever answers.
#[derive(Default)]
pub struct Health {
    checks: RwLock<Vec<(String, bool)>>,
}

impl Health {
    /// Sets a check of /readyz (and /healthz); a check not set yet does not exist.
    pub fn set(&self, name: &str, passed: bool) {
        let mut checks = self.checks.write();
        match checks.iter_mut().find(|(known, _)| known == name) {
            Some(check) => check.1 = passed,
            None => checks.push((name.to_owned(), passed)),
        }
    }

    /// The answer for `/readyz`, `/readyz/NAME` and the like; None when `path` is no health path.
    pub fn answer(&self, path: &str, query: &str) -> Option<Reply> {
        let (endpoint, name) = path.trim_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
        if !matches!(endpoint, "livez" | "readyz" | "healthz") {
            return None;
        }
        let mut checks = vec![("ping".to_owned(), true)];
        if endpoint != "livez" {
            checks.extend(self.checks.read().iter().cloned());
        }
        if !name.is_empty() {
            let (_, passed) = checks.iter().find(|(known, _)| known == name)?;
            return Some(if *passed {
                text(200, "ok")
            } else {
                text(500, format!("internal server error: {name} failed\n"))
            });
        }
        let mut excluded = Vec::new();
        let mut verbose = false;
        for (key, value) in query_pairs(query) {
            match key.as_ref() {
                "exclude" => excluded.push(value.into_owned()),
                "verbose" => verbose = value.is_empty() || is_true(&value),
                _ => {}
            }
        }
        let mut lines = String::new();
        let mut healthy = true;
        for (name, passed) in &checks {
            if excluded.contains(name) {
                lines.push_str(&format!("[+]{name} excluded: ok\n"));
            } else if *passed {
                lines.push_str(&format!("[+]{name} ok\n"));
            } else {
                lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                healthy = false;
            }
        }
        Some(match (healthy, verbose) {
            (true, false) => text(200, "ok"),
            (true, true) => text(200, format!("{lines}{endpoint} check passed\n")),
            (false, _) => text(500, format!("{lines}{endpoint} check failed\n")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(health: &Health, path: &str, query: &str) -> u16 {
        health.answer(path, query).map_or(0, |reply| reply.status().as_u16())
    }

    #[test]
    fn ready_is_all_checks_and_alive_is_none_of_them() {
        let health = Health::default();
        health.set("store", true);
        health.set("kinds", false);
        assert_eq!(code(&health, "/readyz", ""), 500);
        assert_eq!(code(&health, "/readyz", "exclude=kinds&verbose"), 200);
        assert_eq!(code(&health, "/readyz/store", ""), 200);
        assert_eq!(code(&health, "/readyz/kinds", ""), 500);
        assert_eq!(code(&health, "/readyz/other", ""), 0);
        assert_eq!(code(&health, "/livez", ""), 200);
        health.set("kinds", true);
        assert_eq!(code(&health, "/healthz/", ""), 200);
        assert_eq!(code(&health, "/metrics", ""), 0);
    }
}
