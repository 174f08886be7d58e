//! The answer to each request. No sockets here.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tiny_http::Method;

use crate::observe::board::StatusBoard;
use crate::observe::health::Readiness;
use crate::observe::status::OutageReplay;

pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The type includes the version of the format, because a scraper chooses its parser by it.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

const HTML: &str = "text/html; charset=utf-8";

/// Shows `/status`, which it asks for every second. All of it is in this one file.
const PAGE: &str = include_str!("page.html");

/// The page may load nothing from elsewhere, and nobody may put it into a frame.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'";

/// One answer, before it is written to the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// A header besides the type, such as `Allow` of a 405.
    pub(super) header: Option<(&'static str, &'static str)>,
    pub(super) body: Cow<'static, str>,
}

impl Reply {
    fn new(status: u16, content_type: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            content_type,
            header: None,
            body: body.into(),
        }
    }

    fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).expect("invariant: our own structs are always JSON");
        Self::new(status, JSON, body + "\n")
    }
}

/// The body of `/ready`.
#[derive(Serialize)]
struct Ready {
    #[serde(flatten)]
    readiness: Readiness,
    /// `null` unless `mongodb.replay_after_outage` is on.
    outage_replay: Option<OutageReplay>,
}

/// Creates the pages.
pub(super) struct Routes {
    pub(super) board: Arc<StatusBoard>,
}

impl Routes {
    /// A HEAD gets the same reply as a GET; the server leaves out the body.
    pub(super) fn reply(&self, method: &Method, url: &str) -> Reply {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        if !matches!(path, "/" | "/status" | "/metrics" | "/health" | "/ready") {
            return Reply::new(404, PLAIN, "there is no such page\n");
        }
        if !matches!(method, Method::Get | Method::Head) {
            return Reply {
                header: Some(("Allow", "GET, HEAD")),
                ..Reply::new(405, PLAIN, "only GET and HEAD are allowed\n")
            };
        }
        match path {
            "/metrics" => {
                let metrics = &self.board.metrics;
                metrics.set_ready(self.board.health.readiness().ready);
                Reply::new(200, METRICS, metrics.render())
            }
            "/health" => {
                let liveness = self.board.health.liveness(Instant::now());
                Reply::json(if liveness.is_alive() { 200 } else { 503 }, &liveness)
            }
            "/ready" => {
                let readiness = self.board.health.readiness();
                let code = if readiness.ready { 200 } else { 503 };
                let outage_replay = self.board.outage_replay();
                let body = Ready {
                    readiness,
                    outage_replay,
                };
                Reply::json(code, &body)
            }
            "/status" => Reply::json(200, &self.board.status()),
            _ => Reply {
                header: Some(("Content-Security-Policy", PAGE_POLICY)),
                ..Reply::new(200, HTML, PAGE)
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::board::Fixed;
    use crate::observe::health::Health;
    use crate::observe::metrics::MetricsCollector;
    use std::time::Duration;

    fn routes() -> Routes {
        let metrics = Arc::new(MetricsCollector::new(8001, &["invalid_json"]));
        let health = Arc::new(Health::new(Instant::now(), Duration::from_secs(60)));
        Routes {
            board: Arc::new(StatusBoard::new(metrics, health, Fixed::default())),
        }
    }

    #[test]
    fn each_request_has_its_answer() {
        let routes = routes();
        for (method, url, status, content_type, begins) in [
            (Method::Get, "/", 200, HTML, "<!doctype html>"),
            (Method::Head, "/?x", 200, HTML, "<!doctype html>"),
            (Method::Get, "/status", 200, JSON, r#"{"format":1,"#),
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
            let allow = reply.header.is_some_and(|(name, _)| name == "Allow");
            assert_eq!(allow, status == 405, "{case}");
        }
    }

    #[test]
    fn health_is_503_after_a_thread_died() {
        let routes = routes();
        routes.board.health.thread_died("writer-0");
        assert_eq!(routes.reply(&Method::Get, "/health").status, 503);
    }

    #[test]
    fn ready_is_200_if_health_reports_ready() {
        let routes = routes();
        routes.board.health.set_kafka_reachable(true);
        routes.board.health.set_mongodb_available(true);
        routes.board.health.set_topic_exists(true);
        routes.board.health.set_assigned_partitions(vec![4]);
        let reply = routes.reply(&Method::Get, "/ready");
        assert_eq!(reply.status, 200);
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["assigned_partitions"], serde_json::json!([4]));
    }
}
