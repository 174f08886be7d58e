//! A MongoDB with TLS and access control.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bson::{Document, doc};
use mongodb::sync::Client;
use rustls::ServerConnection;

use super::PASSWORD;
use crate::harness::{Authority, Only, OwnServers, SHORT, Servers, Signal, World, until};

pub struct SecureMongodb {
    own: OwnServers,
    pub authority: Authority,
    folder: PathBuf,
}

impl SecureMongodb {
    pub fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let authority = Authority::new(&folder, "authority");
        let server = authority.server("mongod");
        let settings = folder.join("mongod.yaml");
        let text = format!(
            "net:\n  tls:\n    mode: preferTLS\n    certificateKeyFile: {}\n    CAFile: {}\n    \
             allowConnectionsWithoutCertificates: true\nsecurity:\n  authorization: enabled\n",
            server.file.display(),
            authority.file.display(),
        );
        fs::write(&settings, text).unwrap();
        let options = ["--settings", settings.to_str().unwrap()];
        let own = OwnServers::start_with(name, Only::Mongodb, &options);
        let started = Self {
            own,
            authority,
            folder,
        };
        // Until there is a user, everybody of this host may create one.
        let create = doc! { "createUser": "root", "pwd": PASSWORD, "roles": ["root"] };
        let client = Client::with_uri_str(started.own.address()).unwrap();
        client.database("admin").run_command(create).run().unwrap();
        started
    }

    /// The test's own access is that of the superuser.
    pub fn servers(&self) -> Servers {
        Servers {
            mongodb: format!("mongodb://root:{PASSWORD}@{}", self.host()),
            ..self.own.servers()
        }
    }

    pub fn host(&self) -> &str {
        self.own.address().trim_start_matches("mongodb://")
    }

    /// The options of a URI that trusts this server's authority.
    pub fn trust(&self) -> String {
        format!("tls=true&tlsCAFile={}", self.authority.file.display())
    }

    /// Starts the server again with a certificate of another authority.
    pub fn restart_with_a_foreign_certificate(&self) {
        self.own.signal("mongodb", Signal::Kill);
        // Otherwise the restart may find the dying one still there, and start none.
        until("mongod has ended", SHORT, || {
            TcpStream::connect(self.host()).is_err().then_some(())
        });
        let foreign = Authority::new(&self.folder.join("foreign"), "foreign").server("mongod");
        fs::copy(foreign.file, self.folder.join("mongod.both.pem")).unwrap();
        self.own.restart();
    }

    /// Nobody is logged in as this user any more, and nobody can log in.
    pub fn drop_user(&self, user: &str) {
        self.drop_user_of("admin", user);
    }

    /// The same for a user who logs in with a certificate.
    pub fn drop_certificate_user(&self, user: &str) {
        self.drop_user_of("$external", user);
    }

    fn drop_user_of(&self, database: &str, user: &str) {
        let client = Client::with_uri_str(&self.servers().mongodb).unwrap();
        let command = doc! { "dropUser": user };
        client
            .database(database)
            .run_command(command)
            .run()
            .unwrap();
    }

    /// Creates a user who may do `on_collection` and `on_database` in the world's database. A user of `$external` logs
    /// in with a certificate.
    pub fn create_user(
        &self,
        world: &World,
        user: &str,
        on_collection: &[&str],
        on_database: &[&str],
    ) {
        let privilege = |collection: &str, actions: &[&str]| {
            doc! {
                "resource": { "db": &world.database, "collection": collection },
                "actions": actions.to_vec(),
            }
        };
        let privileges = [("messages", on_collection), ("", on_database)]
            .into_iter()
            .filter(|(_, actions)| !actions.is_empty())
            .map(|(collection, actions)| privilege(collection, actions))
            .collect::<Vec<_>>();
        let role = format!("{}-{user}", world.database);
        let run = |database: &str, command: Document| {
            let client = Client::with_uri_str(&self.servers().mongodb).unwrap();
            client
                .database(database)
                .run_command(command)
                .run()
                .unwrap();
        };
        run(
            "admin",
            doc! {
                "createRole": &role,
                "privileges": privileges,
                "roles": [],
            },
        );
        let roles = vec![doc! { "role": &role, "db": "admin" }];
        if user.contains('=') {
            run("$external", doc! { "createUser": user, "roles": roles });
        } else {
            run(
                "admin",
                doc! { "createUser": user, "pwd": PASSWORD, "roles": roles },
            );
        }
    }
}

/// Listens with an expired certificate of this authority, until the process of the tests ends. mongod doesn't start with
/// such a one; it has one when it runs for long enough. Returns `host:port`.
pub fn listen_with_an_expired_certificate(authority: &Authority) -> String {
    let identity = authority.expired_server("expired");
    let config = identity.server_config();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::Builder::new()
        .spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                // The client ends the handshake.
                let _ = connection.complete_io(&mut client);
            }
        })
        .unwrap();
    address.to_string()
}
