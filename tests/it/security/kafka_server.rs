//! A Kafka with TLS, logins and access control. Its plain listener is for the test itself, which may do everything.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::PASSWORD;
use crate::harness::{Authority, Only, OwnServers, Servers, WorkerSetup};

pub struct SecureKafka {
    own: OwnServers,
    pub authority: Authority,
    sasl_port: u16,
    tls_port: u16,
    client_certificate: PathBuf,
    client_key: PathBuf,
}

/// The ways to log in, with the name that Kafka then gives the client.
#[derive(Debug, Clone, Copy)]
pub enum Login {
    Scram,
    Plain,
    /// By a password as well: not a worker's user.
    Operator,
    Certificate,
    /// By a token, from a server that the test plays.
    #[cfg_attr(
        not(feature = "oidc"),
        expect(dead_code, reason = "only a build with this feature has such logins")
    )]
    Token,
}

impl Login {
    pub fn principal(self) -> &'static str {
        match self {
            Self::Scram => "User:scram",
            Self::Plain => "User:plain",
            Self::Operator => "User:operator",
            Self::Certificate => "User:CN=worker,O=clients",
            Self::Token => "User:token",
        }
    }
}

impl SecureKafka {
    pub fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let authority = Authority::new(&folder, "authority");
        let broker = authority.server("broker");
        let client = authority.client("worker");
        let [sasl_port, tls_port] = free_ports();
        let listeners =
            format!("@PORTS@,SASL_SSL://127.0.0.1:{sasl_port},SSL://127.0.0.1:{tls_port}");
        let text = [
            format!("listeners={listeners},@CONTROLLER@"),
            format!("advertised.listeners={listeners}"),
            "listener.security.protocol.map=\
             PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL"
                .to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", broker.file.display()),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", authority.file.display()),
            "listener.name.ssl.ssl.client.auth=required".to_owned(),
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
            format!(
                "listener.name.sasl_ssl.plain.sasl.jaas.config=\
                 org.apache.kafka.common.security.plain.PlainLoginModule required user_plain=\"{PASSWORD}\" \
                 user_operator=\"{PASSWORD}\";"
            ),
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;"
                .to_owned(),
            // It takes tokens without a signature.
            "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\
             org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
                .to_owned(),
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"
                .to_owned(),
            "super.users=User:ANONYMOUS".to_owned(),
        ];
        let settings = folder.join("kafka.properties");
        fs::write(&settings, text.join("\n")).unwrap();
        let user = format!("scram={PASSWORD}");
        let options = ["--settings", settings.to_str().unwrap(), "--scram", &user];
        Self {
            own: OwnServers::start_with(name, Only::Kafka, &options),
            authority,
            sasl_port,
            tls_port,
            client_certificate: client.certificate,
            client_key: client.key,
        }
    }

    pub fn servers(&self) -> Servers {
        self.own.servers()
    }

    /// The worker's settings for a login.
    pub fn log_in(&self, setup: WorkerSetup, login: Login) -> WorkerSetup {
        self.properties_of(login)
            .iter()
            .fold(setup, |setup, (name, value)| {
                setup.property("kafka.properties", name, value)
            })
            .set("kafka.bootstrap_servers", self.at("127.0.0.1", login))
    }

    /// The properties for a login, as a file for the worker has them.
    pub fn properties(&self, login: Login) -> String {
        let properties = self.properties_of(login).into_iter();
        let properties = properties.map(|(name, value)| (name.to_owned(), value.into()));
        Value::Object(properties.collect()).to_string()
    }

    fn properties_of(&self, login: Login) -> Vec<(&'static str, String)> {
        let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let sasl = |mechanism: &str, user: &str| {
            vec![
                ("security.protocol", "SASL_SSL".to_owned()),
                ("sasl.mechanism", mechanism.to_owned()),
                ("sasl.username", user.to_owned()),
                ("sasl.password", PASSWORD.to_owned()),
            ]
        };
        let mut properties = match login {
            Login::Token => vec![
                ("security.protocol", "SASL_SSL".to_owned()),
                ("sasl.mechanism", "OAUTHBEARER".to_owned()),
                ("sasl.oauthbearer.method", "oidc".to_owned()),
                ("sasl.oauthbearer.client.id", "token".to_owned()),
                ("sasl.oauthbearer.client.secret", PASSWORD.to_owned()),
            ],
            Login::Scram => sasl("SCRAM-SHA-512", "scram"),
            Login::Plain => sasl("PLAIN", "plain"),
            Login::Operator => sasl("PLAIN", "operator"),
            Login::Certificate => vec![
                ("security.protocol", "SSL".to_owned()),
                ("ssl.certificate.location", path(&self.client_certificate)),
                ("ssl.key.location", path(&self.client_key)),
            ],
        };
        properties.push(("ssl.ca.location", path(&self.authority.file)));
        properties
    }

    /// The address of the listener for a login. The broker's certificate names 127.0.0.1 alone.
    pub fn at(&self, host: &str, login: Login) -> String {
        let port = match login {
            Login::Scram | Login::Plain | Login::Operator | Login::Token => self.sasl_port,
            Login::Certificate => self.tls_port,
        };
        format!("{host}:{port}")
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
