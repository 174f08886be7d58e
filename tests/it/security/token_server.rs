//! A server that gives out tokens as an identity provider does (the grant of client credentials).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use jiff::Timestamp;

use super::PASSWORD;

/// How long a token is valid. The client fetches the next one before.
const VALID_FOR: Duration = Duration::from_secs(10);

/// The client whose tokens are of the future, so that a broker refuses them.
pub const FUTURE: &str = "future";

pub struct TokenServer {
    pub url: String,
    given: Arc<AtomicUsize>,
}

impl TokenServer {
    #[expect(clippy::disallowed_methods, reason = "the thread ends with the tests")]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let given = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&given);
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&stream.unwrap(), &counter);
            }
        });
        Self { url, given }
    }

    /// How many tokens it has given out.
    pub fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: &TcpStream, given: &AtomicUsize) {
    let mut reader = BufReader::new(stream);
    let (mut length, mut client) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => client = client_of(value),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, body) = match client {
        Some(client) => {
            given.fetch_add(1, Ordering::Relaxed);
            let token = token(&client);
            let seconds = VALID_FOR.as_secs();
            let body = format!(
                r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#
            );
            ("200 OK", body)
        }
        None => (
            "401 Unauthorized",
            r#"{"error":"invalid_client"}"#.to_owned(),
        ),
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}

/// The client that shows the right secret.
fn client_of(authorization: &str) -> Option<String> {
    let shown = BASE64_STANDARD
        .decode(authorization.strip_prefix("Basic ")?)
        .ok()?;
    let shown = String::from_utf8(shown).ok()?;
    let (client, secret) = shown.split_once(':')?;
    (secret == PASSWORD).then(|| client.to_owned())
}

/// A token without a signature.
fn token(client: &str) -> String {
    let from = if client == FUTURE { 3600 } else { 0 };
    let from = Timestamp::now().as_second() + from;
    let until = from + i64::try_from(VALID_FOR.as_secs()).unwrap();
    let claims = format!(r#"{{"sub":"{client}","iat":{from},"exp":{until}}}"#);
    let [header, claims] =
        [r#"{"alg":"none"}"#, &claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.")
}
