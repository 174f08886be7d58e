//! A server that gives out tokens as an identity provider does (the grant of client credentials).

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use jiff::Timestamp;

use super::PASSWORD;
use super::http_server::{HttpServer, OK, Request, serve_as};
use crate::harness::Identity;

/// How long a token is valid. The client fetches the next one before.
const VALID_FOR: Duration = Duration::from_secs(10);

/// The client whose tokens are of the future, so that a broker refuses them.
pub const FUTURE: &str = "future";

pub fn start_token_server(identity: &Identity) -> HttpServer {
    serve_as(Some(identity), answer)
}

fn answer(request: &Request) -> (&'static str, String) {
    let Some(client) = request.header("authorization").and_then(client_of) else {
        let body = r#"{"error":"invalid_client"}"#;
        return ("401 Unauthorized", body.to_owned());
    };
    let token = token(&client);
    let seconds = VALID_FOR.as_secs();
    let body =
        format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#);
    (OK, body)
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
