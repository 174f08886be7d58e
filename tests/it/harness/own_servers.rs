//! Servers that belong to one test, for tests that kill or freeze servers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::process::{Signal, signal};
use super::servers::Servers;

/// Which servers a test starts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    Kafka,
    /// A Kafka with access control: a topic without a rule is open to all.
    KafkaWithAcls,
    Mongodb,
    /// A MongoDB replica set of three members.
    ReplicaSet,
}

/// Running servers. Dropping this stops them and deletes their data.
pub struct OwnServers {
    instance: String,
    only: Only,
    /// More options of `scripts/services up`.
    options: Vec<String>,
    address: String,
}

impl OwnServers {
    /// Starts servers on empty data. Each test uses another instance name.
    pub fn start(name: &str, only: Only) -> Self {
        Self::start_with(name, only, &[])
    }

    /// The same, with more options of `scripts/services up`.
    pub fn start_with(name: &str, only: Only, options: &[&str]) -> Self {
        let mut own = Self {
            instance: name.to_owned(),
            only,
            options: options.iter().copied().map(str::to_owned).collect(),
            address: String::new(),
        };
        // Two tests that start servers at the same moment may choose the same free port. Another attempt chooses anew.
        if own.try_up(&["--fresh"]).is_err() {
            own.up(&["--fresh"]);
        }
        own.address = own.ask_address();
        own
    }

    /// The addresses of these servers, and for the other kind that of the shared server.
    pub fn servers(&self) -> Servers {
        let mut servers = Servers::of_the_run();
        match self.only {
            Only::Kafka | Only::KafkaWithAcls => servers.kafka.clone_from(&self.address),
            Only::Mongodb | Only::ReplicaSet => servers.mongodb.clone_from(&self.address),
        }
        servers
    }

    /// The address of these servers.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process id of a server: `kafka`, `mongodb`, or in a replica set `mongodb-1` to `mongodb-3`.
    pub fn process(&self, server: &str) -> u32 {
        let output = self.script(&["pid", server], &[]);
        output.trim().parse().unwrap()
    }

    pub fn signal(&self, server: &str, name: Signal) {
        signal(self.process(server), name);
    }

    /// Starts killed servers again, on the same ports and data.
    pub fn restart(&self) {
        self.up(&[]);
    }

    fn up(&self, options: &[&str]) {
        self.try_up(options).unwrap();
    }

    /// The error is what the script says.
    fn try_up(&self, options: &[&str]) -> Result<String, String> {
        let mut options = options.to_vec();
        match self.only {
            Only::Kafka | Only::Mongodb => {}
            Only::KafkaWithAcls => options.push("--acls"),
            Only::ReplicaSet => options.push("--replica-set"),
        }
        options.extend(self.options.iter().map(String::as_str));
        self.try_script(&["up"], &options)
    }

    fn ask_address(&self) -> String {
        let text = self.script(&["env"], &[]);
        // export NAME='address'
        text.split('\'').nth(1).unwrap().to_owned()
    }

    fn script(&self, command: &[&str], options: &[&str]) -> String {
        self.try_script(command, options).unwrap()
    }

    fn try_script(&self, command: &[&str], options: &[&str]) -> Result<String, String> {
        let output = self.command(command, options).output().unwrap();
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout).unwrap());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("scripts/services {command:?} {options:?}: {said}"))
    }

    fn command(&self, command: &[&str], options: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
        let only = match self.only {
            Only::Kafka | Only::KafkaWithAcls => "kafka",
            Only::Mongodb | Only::ReplicaSet => "mongodb",
        };
        let mut process = Command::new(script);
        process
            .args(command)
            .args(["--instance", &self.instance, "--only", only])
            .args(options)
            // These variables name the shared servers.
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .env_remove("MONGODB_URI")
            .env_remove("KAFKA_PORT")
            .env_remove("MONGODB_PORT")
            .stdin(Stdio::null());
        process
    }
}

impl Drop for OwnServers {
    fn drop(&mut self) {
        let options: &[&str] = if thread::panicking() {
            &[]
        } else {
            &["--wipe"]
        };
        // A panic here would hide the panic of the test.
        match self.command(&["down"], options).output() {
            Ok(output) if output.status.success() => {}
            other => eprintln!("the servers of {} may still run: {other:?}", self.instance),
        }
    }
}
