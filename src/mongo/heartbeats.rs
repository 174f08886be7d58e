//! What the driver's heartbeats say about the servers. An error of a command only says that no server could be
//! selected; the heartbeat's error says why.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, ServerAddress};

use super::classify;

/// The longest wait for the first heartbeats. Nothing depends on it but how soon a faulty certificate is reported.
const FIRST_HEARTBEATS: Duration = Duration::from_secs(2);

/// The latest heartbeat of each server.
#[derive(Default)]
pub(super) struct Heartbeats {
    servers: Mutex<Servers>,
    changed: Condvar,
}

#[derive(Default)]
struct Servers {
    /// The servers whose latest heartbeat failed, with the fault if a certificate is the cause.
    failed: HashMap<ServerAddress, Option<String>>,
    /// How many servers the first heartbeats are awaited of. A load balancer gets none.
    awaited: usize,
    has_any_answered: bool,
}

impl Heartbeats {
    /// Watches the servers of the client that these options will make.
    pub(super) fn watch(options: &mut ClientOptions) -> Arc<Self> {
        let heartbeats = Arc::new(Self::default());
        if options.load_balanced != Some(true) {
            heartbeats.servers().awaited = options.hosts.len();
        }
        let told = Arc::clone(&heartbeats);
        options.sdam_event_handler = Some(EventHandler::callback(move |event| told.note(event)));
        heartbeats
    }

    fn note(&self, event: SdamEvent) {
        let mut servers = self.servers();
        match event {
            SdamEvent::ServerHeartbeatSucceeded(event) => {
                servers.has_any_answered = true;
                servers.failed.remove(&event.server_address);
            }
            SdamEvent::ServerHeartbeatFailed(event) => {
                let fault = classify::certificate_fault(&event.failure);
                servers.failed.insert(event.server_address, fault);
            }
            SdamEvent::ServerClosed(event) => {
                servers.failed.remove(&event.address);
            }
            _ => return,
        }
        drop(servers);
        self.changed.notify_all();
    }

    /// The fault of a certificate, if such faults are the only reason why servers can't be reached. A server that is
    /// away for another reason may be the one that is needed, and may come back.
    pub(super) fn certificate_fault(&self) -> Option<String> {
        self.servers().certificate_fault()
    }

    /// The same at the start, when the client has just begun to connect: waits until a server has answered or all have
    /// failed, which is sooner than a command finds no server.
    pub(super) fn first_certificate_fault(&self) -> Option<String> {
        let is_open = |servers: &mut Servers| {
            !servers.has_any_answered && servers.failed.len() < servers.awaited
        };
        let waited = self
            .changed
            .wait_timeout_while(self.servers(), FIRST_HEARTBEATS, is_open);
        let (servers, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if servers.has_any_answered {
            return None;
        }
        servers.certificate_fault()
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers {
    fn certificate_fault(&self) -> Option<String> {
        let mut faults = self.failed.values();
        let first = faults.next()?.clone()?;
        faults.all(Option::is_some).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_blamed_only_if_no_server_is_away_for_another_reason() {
        let address = |port| ServerAddress::Tcp {
            host: "host".to_owned(),
            port: Some(port),
        };
        let fault = || Some("expired".to_owned());
        let mut servers = Servers::default();
        assert_eq!(servers.certificate_fault(), None);
        servers.failed.insert(address(1), fault());
        servers.failed.insert(address(2), fault());
        assert_eq!(servers.certificate_fault(), fault());
        servers.failed.insert(address(3), None);
        assert_eq!(servers.certificate_fault(), None);
    }
}
