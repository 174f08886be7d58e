//! The answer to each request. No sockets here.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tiny_http::Method;

use crate::observe::health::Health;
use crate::observe::metrics::MetricsCollector;

pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The type includes the version of the format, because a scraper chooses its parser by it.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const INDEX: &str = "\
kafka-mongo-consumer
/metrics  metrics in Prometheus' text format
/health   200 while the process is alive, 503 if it should be restarted
/ready    200 while the worker can process messages, 503 with the reasons if it can't
";

/// One answer, before it is written to the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// The value of the `Allow` header of a 405.
    pub(super) allow: Option<&'static str>,
    pub(super) body: String,
}

impl Reply {
    fn new(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type,
            allow: None,
            body: body.into(),
        }
    }

    fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body)
            .expect("invariant: our own structs, without maps, are always JSON");
        Self::new(status, JSON, body + "\n")
    }
}

/// Creates the pages from the metrics and the health.
pub(super) struct Routes {
    pub(super) metrics: Arc<MetricsCollector>,
    pub(super) health: Arc<Health>,
}

impl Routes {
    /// A HEAD gets the same reply as a GET; the server leaves out the body.
    pub(super) fn reply(&self, method: &Method, url: &str) -> Reply {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        if !matches!(path, "/" | "/metrics" | "/health" | "/ready") {
            return Reply::new(404, PLAIN, "there is no such page\n");
        }
        if !matches!(method, Method::Get | Method::Head) {
            return Reply {
                allow: Some("GET, HEAD"),
                ..Reply::new(405, PLAIN, "only GET and HEAD are allowed\n")
            };
        }
        match path {
            "/metrics" => Reply::new(200, METRICS, self.metrics.render()),
            "/health" => {
                let liveness = self.health.liveness(Instant::now());
                Reply::json(if liveness.is_alive() { 200 } else { 503 }, &liveness)
            }
            "/ready" => {
                let readiness = self.health.readiness();
                Reply::json(if readiness.ready { 200 } else { 503 }, &readiness)
            }
            _ => Reply::new(200, PLAIN, INDEX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn routes() -> Routes {
        Routes {
            metrics: Arc::new(MetricsCollector::new(8001, &["invalid_json"])),
            health: Arc::new(Health::new(Instant::now(), Duration::from_secs(60))),
        }
    }

    #[test]
    fn each_request_has_its_answer() {
        let routes = routes();
        for (method, url, status, content_type, begins) in [
            (Method::Get, "/", 200, PLAIN, "kafka-mongo-consumer\n"),
            (Method::Head, "/", 200, PLAIN, "kafka-mongo-consumer\n"),
            (Method::Get, "/metrics", 200, METRICS, "# HELP "),
            (Method::Get, "/metrics?name[]=up", 200, METRICS, "# HELP "),
            (Method::Get, "/metrics#top", 200, METRICS, "# HELP "),
            (Method::Get, "/health", 200, JSON, r#"{"status":"alive","#),
            (Method::Get, "/ready", 503, JSON, r#"{"ready":false,"#),
            (Method::Get, "/ready?x", 503, JSON, r#"{"ready":false,"#),
            (Method::Post, "/metrics", 405, PLAIN, ""),
            (Method::Delete, "/", 405, PLAIN, ""),
            (Method::Options, "/health", 405, PLAIN, ""),
            (Method::Get, "/metrics/", 404, PLAIN, ""),
            (Method::Get, "/%6detrics", 404, PLAIN, ""),
            (Method::Get, "", 404, PLAIN, ""),
            (Method::Get, "*", 404, PLAIN, ""),
            (Method::Post, "/elsewhere", 404, PLAIN, ""),
        ] {
            let reply = routes.reply(&method, url);
            let case = format!("{method} {url}: {reply:?}");
            assert_eq!(reply.status, status, "{case}");
            assert_eq!(reply.content_type, content_type, "{case}");
            assert!(reply.body.starts_with(begins), "{case}");
            assert_eq!(reply.allow.is_some(), status == 405, "{case}");
        }
    }

    #[test]
    fn health_is_503_after_a_thread_died() {
        let routes = routes();
        routes.health.thread_died("writer-0");
        assert_eq!(routes.reply(&Method::Get, "/health").status, 503);
    }

    #[test]
    fn ready_is_200_if_health_reports_ready() {
        let routes = routes();
        routes.health.set_kafka_reachable(true);
        routes.health.set_mongodb_available(true);
        routes.health.set_topic_exists(true);
        routes.health.set_assigned_partitions(vec![4]);
        let reply = routes.reply(&Method::Get, "/ready");
        assert_eq!(reply.status, 200);
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["assigned_partitions"], serde_json::json!([4]));
    }
}
