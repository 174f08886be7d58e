//! A Kafka with the logins of Amazon MSK, and the service that gives out AWS credentials. Everything about the login is played
//! by a proxy in front of a real Kafka: it checks the token as Amazon does, and passes on whatever comes after.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::PASSWORD;
use super::http_server::{HttpServer, OK, Request, serve};
use crate::harness::{Only, OwnServers, Servers};

pub const REGION: &str = "eu-west-1";

/// How long credentials are valid.
const VALID_FOR: Duration = Duration::from_secs(12);

/// A role without rights.
pub const DENIED: &str = "denied";

const SESSION: &str = "a/session+token="; // One of `super::SECRETS`.

/// Gives out credentials as the agents of ECS and EKS do: those of the role that the path names.
pub fn start_credentials_server() -> HttpServer {
    serve(credentials)
}

fn credentials(request: &Request) -> (&'static str, String) {
    let role = request.line.split(' ').nth(1).unwrap_or_default();
    let end = Timestamp::now() + VALID_FOR;
    let body = format!(
        r#"{{"AccessKeyId":"{}","SecretAccessKey":"{PASSWORD}","Token":"{SESSION}","Expiration":"{end:.0}"}}"#,
        role.trim_start_matches('/')
    );
    (OK, body)
}

/// A Kafka behind a proxy that logs clients in.
pub struct Msk {
    own: OwnServers,
    pub address: String,
    logins: Arc<AtomicUsize>,
}

impl Msk {
    pub fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // A free port, unless another process takes it before Kafka does.
        let behind = TcpListener::bind("127.0.0.1:0").unwrap();
        let broker = behind.local_addr().unwrap().to_string();
        drop(behind);
        let text = [
            format!("listeners=@PORTS@,MSK://{broker},@CONTROLLER@"),
            format!("advertised.listeners=@PORTS@,MSK://{address}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MSK:PLAINTEXT"
                .to_owned(),
        ];
        let settings = folder.join("kafka.properties");
        fs::write(&settings, text.join("\n")).unwrap();
        let options = ["--settings", settings.to_str().unwrap()];
        let own = OwnServers::start_with(name, Only::Kafka, &options);
        let logins = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&logins);
        spawn(move || {
            for client in listener.incoming() {
                if let (Ok(client), Ok(broker)) = (client, TcpStream::connect(&broker)) {
                    let counter = Arc::clone(&counter);
                    spawn(move || pass(&client, &broker, &counter));
                }
            }
            Ok(())
        });
        Self {
            own,
            address,
            logins,
        }
    }

    pub fn servers(&self) -> Servers {
        self.own.servers()
    }

    /// How many connections have logged in.
    pub fn logins(&self) -> usize {
        self.logins.load(Ordering::Relaxed)
    }
}

/// An error of the thread shows as a closed connection.
fn spawn(run: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let thread = Builder::new().name("msk".to_owned());
    thread.spawn(run).unwrap();
}

/// Serves one connection.
fn pass(client: &TcpStream, broker: &TcpStream, logins: &AtomicUsize) -> io::Result<()> {
    let result = log_in(client, broker).and_then(|()| {
        logins.fetch_add(1, Ordering::Relaxed);
        let (from, to) = (broker.try_clone()?, client.try_clone()?);
        spawn(move || relay(&from, &to));
        relay(client, broker)
    });
    let _ = client.shutdown(Shutdown::Both);
    let _ = broker.shutdown(Shutdown::Both);
    result
}

fn relay(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}

/// Kafka's number of a request.
const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;
/// The number of an error.
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// Answers the requests of a login. Others, before it, are the broker's.
fn log_in(client: &TcpStream, broker: &TcpStream) -> io::Result<()> {
    loop {
        let request = frame(client)?;
        let number = |place: usize| i16::from_be_bytes([request[place], request[place + 1]]);
        let mut answer = request[4..8].to_vec();
        match number(0) {
            SASL_HANDSHAKE => {
                answer.extend(0_i16.to_be_bytes());
                answer.extend(1_i32.to_be_bytes());
                put_text(&mut answer, "OAUTHBEARER");
                put_frame(client, &answer)?;
            }
            SASL_AUTHENTICATE => {
                // The header ends with the client's id. Then comes the login behind its length.
                let login = 10 + usize::try_from(number(8)).unwrap() + 4;
                let verdict = judge(&request[login..]);
                match &verdict {
                    Ok(()) => {
                        answer.extend(0_i16.to_be_bytes());
                        answer.extend((-1_i16).to_be_bytes());
                    }
                    Err(why) => {
                        answer.extend(SASL_AUTHENTICATION_FAILED.to_be_bytes());
                        put_text(&mut answer, why);
                    }
                }
                // No bytes for the client.
                answer.extend(0_i32.to_be_bytes());
                if number(2) > 0 {
                    // The login doesn't end.
                    answer.extend(0_i64.to_be_bytes());
                }
                put_frame(client, &answer)?;
                return verdict.map_err(io::Error::other);
            }
            _ => {
                put_frame(broker, &request)?;
                put_frame(client, &frame(broker)?)?;
            }
        }
    }
}

fn frame(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn put_frame(mut stream: &TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = i32::try_from(frame.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes(), frame].concat())
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// Whether Amazon would let a client in with this first message of `OAUTHBEARER`. The token in it is the address of a request
/// that the client has signed, and that Amazon makes in its name.
fn judge(message: &[u8]) -> Result<(), String> {
    let message = str::from_utf8(message).map_err(|error| error.to_string())?;
    let token = message
        .split('\x01')
        .find_map(|part| part.strip_prefix("auth=Bearer "))
        .ok_or("no token")?;
    let url = BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|error| error.to_string())?;
    let url = String::from_utf8(url).map_err(|error| error.to_string())?;
    let host = format!("kafka.{REGION}.amazonaws.com");
    let query = url
        .strip_prefix(&format!("https://{host}/?"))
        .ok_or("another host")?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let parameters: Vec<(String, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    let find = |name: &str| {
        let mut parameters = parameters.iter();
        let found = parameters.find(|(parameter, _)| parameter == name);
        let (_, value) = found.ok_or_else(|| format!("no {name}"))?;
        Ok::<_, String>(value.as_str())
    };
    let date = find("X-Amz-Date")?;
    let scope = format!("{}/{REGION}/kafka-cluster/aws4_request", &date[..8]);
    let expected = [
        ("Action", "kafka-cluster:Connect".to_owned()),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("X-Amz-Expires", "900".to_owned()),
        ("X-Amz-SignedHeaders", "host".to_owned()),
        ("X-Amz-Security-Token", SESSION.to_owned()),
    ];
    for (name, value) in expected {
        if find(name)? != value {
            return Err(format!("a wrong {name}"));
        }
    }
    let credential = find("X-Amz-Credential")?;
    let (role, signed_scope) = credential.split_once('/').ok_or("no scope")?;
    if signed_scope != scope {
        return Err("a wrong scope".to_owned());
    }
    // The client adds its name after it has signed.
    find("User-Agent")?;
    let signed = |name: &str| name != "X-Amz-Signature" && name != "User-Agent";
    let mut lines: Vec<String> = parameters
        .iter()
        .filter(|(name, _)| signed(name))
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    lines.sort();
    let request = format!(
        "GET\n/\n{}\nhost:{host}\n\nhost\n{}",
        lines.join("&"),
        hex(&Sha256::digest(b""))
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(request))
    );
    let secret = format!("AWS4{PASSWORD}").into_bytes();
    let key = scope.split('/').fold(secret, |key, part| sign(&key, part));
    if find("X-Amz-Signature")? != hex(&sign(&key, &text)) {
        return Err("a wrong signature".to_owned());
    }
    if role == DENIED {
        return Err("[0a1b2c3d]: Access denied".to_owned());
    }
    Ok(())
}

/// As Amazon's signatures have it.
fn encode(text: &str) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text, ENCODED).to_string()
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
