//! The servers of a run, and their faults.

use bson::{Bson, Document, doc};
use mongodb::sync::Client;

use super::draw::{How, InsertFault, ServerFault, ServerFaultKind};
use super::timeline::Timeline;
use crate::harness::{Only, OwnServers, Servers, Signal};

pub struct ChaosServers {
    kafka: OwnServers,
    mongodb: OwnServers,
    client: Client,
    /// The current fault, and the tick at which it ends.
    fault: Option<(ServerFaultKind, u64)>,
}

impl ChaosServers {
    pub fn start() -> Self {
        let kafka = OwnServers::start("chaos", Only::Kafka);
        let mongodb = OwnServers::start("chaos", Only::Mongodb);
        let client = Client::with_uri_str(mongodb.address()).unwrap();
        Self {
            kafka,
            mongodb,
            client,
            fault: None,
        }
    }

    pub fn addresses(&self) -> Servers {
        Servers {
            kafka: self.kafka.address().to_owned(),
            mongodb: self.mongodb.address().to_owned(),
        }
    }

    pub fn has_kafka(&self) -> bool {
        !matches!(self.fault, Some((ServerFaultKind::BrokerKilled, _)))
    }

    pub fn has_mongodb(&self) -> bool {
        use ServerFaultKind::{MongodFrozen, MongodKilled};
        !matches!(self.fault, Some((MongodKilled | MongodFrozen, _)))
    }

    /// Begins a fault, unless another one is active.
    pub fn begin_fault(&mut self, fault: ServerFault, tick: u64, timeline: &mut Timeline) {
        if self.fault.is_some() {
            return;
        }
        timeline.fault_begins(fault.kind);
        match fault.kind {
            ServerFaultKind::MongodKilled => self.mongodb.signal("mongodb", Signal::Kill),
            ServerFaultKind::MongodFrozen => self.mongodb.signal("mongodb", Signal::Stop),
            ServerFaultKind::BrokerKilled => self.kafka.signal("kafka", Signal::Kill),
            ServerFaultKind::Inserts(fault, how) => self.set_fail_point(mode(how), data(fault)),
        }
        self.fault = Some((fault.kind, tick + fault.ticks));
    }

    /// Ends the current fault if its time is over.
    pub fn update(&mut self, tick: u64, timeline: &mut Timeline) {
        let Some((kind, until)) = self.fault else {
            return;
        };
        if tick < until {
            return;
        }
        match kind {
            ServerFaultKind::MongodKilled => self.mongodb.restart(),
            ServerFaultKind::MongodFrozen => self.mongodb.signal("mongodb", Signal::Cont),
            ServerFaultKind::BrokerKilled => self.kafka.restart(),
            ServerFaultKind::Inserts(..) => self.set_fail_point("off", doc! {}),
        }
        self.fault = None;
        timeline.fault_ends();
    }

    fn set_fail_point(&self, mode: impl Into<Bson>, data: Document) {
        self.client
            .database("admin")
            .run_command(
                doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data },
            )
            .run()
            .unwrap();
    }
}

fn mode(how: How) -> Bson {
    match how {
        How::All => "alwaysOn".into(),
        How::Next(times) => doc! { "times": times }.into(),
        How::Percent(percent) => {
            doc! { "activationProbability": f64::from(percent) / 100.0 }.into()
        }
    }
}

fn data(fault: InsertFault) -> Document {
    let mut data = match fault {
        InsertFault::Code(code) => doc! { "errorCode": code },
        InsertFault::TornConnection => doc! { "closeConnection": true },
        InsertFault::WriteConcernError => {
            doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } }
        }
        InsertFault::Slow(millis) => {
            let millis = i64::try_from(millis).unwrap();
            doc! { "blockConnection": true, "blockTimeMS": millis }
        }
    };
    data.insert("failCommands", ["insert"].as_slice());
    data
}
