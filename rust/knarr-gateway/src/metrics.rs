//! What /metrics shows, in kube-apiserver's names where it has them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;

/// Upper bounds in seconds: kube-apiserver's, thinned out.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
/// Series kept; beyond it requests count under no resource. Resources and codes are few unless someone guesses names.
const SERIES_MAX: usize = 4_096;

/// What a request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Labels<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub scope: &'a str,
    pub code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: String,
    code: u16,
}

impl Key {
    fn labels(&self) -> Labels<'_> {
        Labels {
            verb: &self.verb,
            group: &self.group,
            version: &self.version,
            resource: &self.resource,
            subresource: &self.subresource,
            scope: &self.scope,
            code: self.code,
        }
    }
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.labels().hash(state);
    }
}

impl Equivalent<Key> for Labels<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.labels()
    }
}

impl From<Labels<'_>> for Key {
    fn from(labels: Labels<'_>) -> Self {
        Self {
            verb: labels.verb.to_owned(),
            group: labels.group.to_owned(),
            version: labels.version.to_owned(),
            resource: labels.resource.to_owned(),
            subresource: labels.subresource.to_owned(),
            scope: labels.scope.to_owned(),
            code: labels.code,
        }
    }
}

#[derive(Debug, Default)]
struct Series {
    count: AtomicU64,
    nanoseconds: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len()],
}

/// Adds its own lines to /metrics.
pub type Source = Box<dyn Fn(&mut String) + Send + Sync>;

/// All counters of a server.
#[derive(Default)]
pub struct Metrics {
    series: RwLock<HashMap<Key, Arc<Series>, FixedState>>,
    sources: RwLock<Vec<Source>>,
}

impl Metrics {
    /// Counts one answered request; `duration` of a watch is the time until its answer began.
    pub fn request(&self, labels: Labels<'_>, duration: Duration) {
        // The read lock ends with this statement: the arm below writes.
        let known = self.series.read().get(&labels).cloned();
        let series = match known {
            Some(series) => series,
            None => {
                let mut all = self.series.write();
                let full = all.len() >= SERIES_MAX;
                let labels = if full {
                    Labels { group: "", version: "", resource: "", subresource: "", ..labels }
                } else {
                    labels
                };
                all.entry(labels.into()).or_default().clone()
            }
        };
        series.count.fetch_add(1, Ordering::Relaxed);
        series.nanoseconds.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
        let seconds = duration.as_secs_f64();
        if let Some(at) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            series.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets another part of the server speak at /metrics too.
    pub fn add_source(&self, source: Source) {
        self.sources.write().push(source);
    }

    /// The text of /metrics.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(16 << 10);
        let series = self.series.read();
        head(&mut out, "apiserver_request_total", "counter", "Requests by verb, resource and HTTP code.");
        for (key, series) in series.iter() {
            let Key { verb, group, version, resource, subresource, scope, code } = key;
            // Writing to a String cannot fail; the results below are dropped for the same reason.
            let _ = writeln!(
                out,
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\"}} {}",
                series.count.load(Ordering::Relaxed)
            );
        }
        head(
            &mut out,
            "apiserver_request_duration_seconds",
            "histogram",
            "Time until the answer was ready to be sent.",
        );
        for (key, series) in series.iter() {
            let Key { verb, group, version, resource, subresource, scope, code } = key;
            let labels = format!(
                "code=\"{code}\",component=\"apiserver\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
            );
            let name = "apiserver_request_duration_seconds";
            let mut sum = 0;
            for (bound, count) in BUCKETS.iter().zip(&series.buckets) {
                sum += count.load(Ordering::Relaxed);
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {sum}");
            }
            let count = series.count.load(Ordering::Relaxed);
            let seconds = series.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {count}");
        }
        drop(series);
        process(&mut out);
        for source in self.sources.read().iter() {
            source(&mut out);
        }
        out
    }
}

/// HELP and TYPE of a metric.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// CPU and memory of this process, as every Prometheus client shows them. Left out where /proc cannot be read.
fn process(out: &mut String) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The command's name may hold spaces; what follows its closing parenthesis does not.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // utime, stime in ticks of 10 ms; rss in pages of 4 KiB (both fixed on Linux for the platforms we build for).
    let cpu = (number(11) + number(12)) as f64 / 100.0;
    head(out, "process_cpu_seconds_total", "counter", "User and system CPU time.");
    let _ = writeln!(out, "process_cpu_seconds_total {cpu}");
    head(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    let _ = writeln!(out, "process_resident_memory_bytes {}", number(21) * 4096);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_resource_and_code() {
        let metrics = Metrics::default();
        let labels = Labels {
            verb: "GET",
            group: "",
            version: "v1",
            resource: "pods",
            subresource: "",
            scope: "resource",
            code: 200,
        };
        metrics.request(labels, Duration::from_millis(2));
        metrics.request(labels, Duration::from_millis(200));
        metrics.request(Labels { code: 404, ..labels }, Duration::from_millis(2));
        metrics.add_source(Box::new(|out| out.push_str("other 1\n")));
        let text = metrics.render();
        assert!(
            text.contains("resource=\"pods\",scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"} 2\n"),
            "{text}"
        );
        assert!(text.contains("le=\"0.0025\"} 1\n") && text.contains("le=\"0.25\"} 2\n"), "{text}");
        assert!(text.contains("process_resident_memory_bytes ") && text.ends_with("other 1\n"));
    }
}
