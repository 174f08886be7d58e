//! What the driver's heartbeats say about the servers. An error of a command only says that no server could be
//! selected; the heartbeat's error says why.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::Document;
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, ServerAddress};

use super::classify;

/// The longest wait for the first heartbeats. Nothing depends on it but how soon a fault is reported.
const FIRST_HEARTBEATS: Duration = Duration::from_secs(2);

/// The latest heartbeat of each server.
#[derive(Default)]
pub(super) struct Heartbeats {
    servers: Mutex<Servers>,
    /// The replica set that the URI names.
    replica_set: Option<String>,
    changed: Condvar,
}

#[derive(Default)]
struct Servers(HashMap<ServerAddress, Heartbeat>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Heartbeat {
    Awaited,
    Answered,
    /// What an operator must mend.
    Fault(String),
    /// The server accepted the connection and closed it.
    Closed,
    Failed,
}

impl Heartbeats {
    /// Watches the servers of the client that these options will make.
    pub(super) fn watch(options: &mut ClientOptions) -> Arc<Self> {
        let heartbeats = Arc::new(Self {
            replica_set: options.repl_set_name.clone(),
            ..Self::default()
        });
        // A load balancer gets no heartbeats.
        if options.load_balanced != Some(true) {
            for address in &options.hosts {
                heartbeats
                    .servers()
                    .0
                    .insert(address.clone(), Heartbeat::Awaited);
            }
            let told = Arc::clone(&heartbeats);
            let note = EventHandler::callback(move |event| told.note(event));
            options.sdam_event_handler = Some(note);
        }
        heartbeats
    }

    fn note(&self, event: SdamEvent) {
        let mut servers = self.servers();
        match event {
            SdamEvent::ServerOpening(event) => {
                servers.0.entry(event.address).or_insert(Heartbeat::Awaited);
            }
            SdamEvent::ServerClosed(event) => {
                // Also one of another replica set is closed, and stays the reason why there is none.
                let is_fault = |heartbeat: &Heartbeat| matches!(heartbeat, Heartbeat::Fault(_));
                if !servers.0.get(&event.address).is_some_and(is_fault) {
                    servers.0.remove(&event.address);
                }
            }
            SdamEvent::ServerHeartbeatSucceeded(event) => {
                let heartbeat = match self.replica_set_fault(&event.reply) {
                    Some(fault) => Heartbeat::Fault(fault),
                    None => Heartbeat::Answered,
                };
                servers.0.insert(event.server_address, heartbeat);
            }
            SdamEvent::ServerHeartbeatFailed(event) => {
                let heartbeat = match classify::certificate_fault(&event.failure) {
                    Some(fault) => Heartbeat::Fault(fault),
                    None if classify::is_closed_connection(&event.failure) => Heartbeat::Closed,
                    None => Heartbeat::Failed,
                };
                servers.0.insert(event.server_address, heartbeat);
            }
            _ => return,
        }
        drop(servers);
        self.changed.notify_all();
    }

    /// What is wrong if the server is no member of the replica set that the URI names: the driver then doesn't use it.
    fn replica_set_fault(&self, hello: &Document) -> Option<String> {
        let wanted = self.replica_set.as_deref()?;
        let found = match hello.get_str("setName") {
            Ok(name) if name == wanted => return None,
            Ok(name) => format!("a member of `{name}`"),
            // It isn't set up yet, or is still starting.
            Err(_) if hello.get_bool("isreplicaset").unwrap_or(false) => return None,
            Err(_) => "a member of none".to_owned(),
        };
        Some(format!(
            "`mongodb.uri` says `replicaSet={wanted}`, but the server is {found}; name the right one, or remove it from \
             the URI"
        ))
    }

    /// What an operator must mend, if such faults are the only reason why no server can be used. A server that is away
    /// for another reason may be the one that is needed, and may come back.
    pub(super) fn fault(&self) -> Option<String> {
        self.servers().fault()
    }

    /// The same at the start, when the client has just begun to connect: waits until a server has answered or all have
    /// failed, which is sooner than a command finds no server.
    pub(super) fn first_fault(&self) -> Option<String> {
        let is_open = |servers: &mut Servers| {
            servers.has_any(&Heartbeat::Awaited) && !servers.has_any(&Heartbeat::Answered)
        };
        let waited = self
            .changed
            .wait_timeout_while(self.servers(), FIRST_HEARTBEATS, is_open);
        let (servers, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if servers.has_any(&Heartbeat::Answered) {
            return None;
        }
        servers.fault()
    }

    /// Whether all servers close each connection at once. They may be crashing, or want another kind of connection.
    pub(super) fn are_all_closed(&self) -> bool {
        let servers = self.servers();
        let mut found = servers.0.values();
        !servers.0.is_empty() && found.all(|heartbeat| *heartbeat == Heartbeat::Closed)
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers {
    fn has_any(&self, heartbeat: &Heartbeat) -> bool {
        self.0.values().any(|found| found == heartbeat)
    }

    fn fault(&self) -> Option<String> {
        let is_away = |heartbeat: &Heartbeat| {
            matches!(
                heartbeat,
                Heartbeat::Awaited | Heartbeat::Closed | Heartbeat::Failed
            )
        };
        if self.0.values().any(is_away) {
            return None;
        }
        self.0.values().find_map(|heartbeat| match heartbeat {
            Heartbeat::Fault(fault) => Some(fault.clone()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn a_fault_is_blamed_only_if_no_server_is_away_for_another_reason() {
        let expired = || Heartbeat::Fault("expired".to_owned());
        for (heartbeats, is_blamed) in [
            (vec![], false),
            (vec![Heartbeat::Answered], false),
            (vec![expired(), expired()], true),
            (vec![expired(), Heartbeat::Answered], true),
            (vec![expired(), Heartbeat::Failed], false),
            (vec![expired(), Heartbeat::Closed], false),
            (vec![expired(), Heartbeat::Awaited], false),
        ] {
            let address = |port| ServerAddress::Tcp {
                host: "host".to_owned(),
                port: Some(port),
            };
            let servers = heartbeats.iter().cloned().zip(1..);
            let servers = servers.map(|(heartbeat, port)| (address(port), heartbeat));
            let fault = Servers(servers.collect()).fault();
            assert_eq!(fault.is_some(), is_blamed, "{heartbeats:?}");
        }
    }

    #[test]
    fn a_server_outside_of_the_named_replica_set_is_a_fault() {
        let heartbeats = |replica_set: Option<&str>| Heartbeats {
            replica_set: replica_set.map(str::to_owned),
            ..Heartbeats::default()
        };
        for (named, hello, is_fault) in [
            (None, doc! {}, false),
            (None, doc! { "setName": "a" }, false),
            (Some("a"), doc! { "setName": "a" }, false),
            (Some("a"), doc! { "setName": "b" }, true),
            (Some("a"), doc! { "isWritablePrimary": true }, true),
            (Some("a"), doc! { "isreplicaset": true }, false),
        ] {
            let fault = heartbeats(named).replica_set_fault(&hello);
            assert_eq!(fault.is_some(), is_fault, "{named:?} {hello}");
        }
    }
}
