//! The tokens, one for all clients of this process. A thread of its own gets the next one, because the credentials may come
//! from another machine, and the thread that needs the token is one that polls.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};
use std::{env, fs, iter};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_msk_iam_sasl_signer::generate_auth_token_from_credentials_provider;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use jiff::{SignedDuration, Timestamp};
use log::warn;
use rdkafka::client::OAuthToken;
use tokio::runtime;
use tokio::time::timeout;

/// How long a client without a valid token waits for a fetch. librdkafka asks again 10 s after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long one fetch may take.
const LONGEST_FETCH: Duration = Duration::from_secs(20);

/// How long a client may keep a token of which the next one is on its way.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// A token that ends sooner doesn't count as valid.
const LEAST_LEFT: SignedDuration = SignedDuration::from_secs(3);

/// The current token. `region` is the cluster's, if its brokers' names tell it.
pub(super) fn current(region: Option<&str>) -> Result<OAuthToken, String> {
    static TOKENS: Mutex<Tokens> = Mutex::new(Tokens {
        latest: None,
        fetch: None,
        failure: None,
    });
    let mut tokens = TOKENS.lock().unwrap_or_else(PoisonError::into_inner);
    let token = tokens.current(region)?;
    let now = Timestamp::now();
    let end = if now < token.renew {
        token.expires
    } else {
        // The client asks again when four fifths of this are over, and the next one may have come by then.
        token.expires.min(now + ASK_AGAIN)
    };
    Ok(OAuthToken {
        token: token.text.clone(),
        // Amazon takes the name from the token.
        principal_name: env!("CARGO_PKG_NAME").to_owned(),
        lifetime_ms: end.as_millisecond(),
    })
}

struct Token {
    /// The region that was asked for.
    region: Option<String>,
    text: String,
    expires: Timestamp,
    /// From this time on, the next one is fetched.
    renew: Timestamp,
}

struct Tokens {
    latest: Option<Token>,
    fetch: Option<Fetch>,
    /// Why the last fetch failed.
    failure: Option<String>,
}

/// A fetch that is under way.
struct Fetch {
    started: Instant,
    result: Receiver<Result<Token, String>>,
}

impl Tokens {
    /// A valid token. While one is valid, this doesn't wait, even if the next one can't be had.
    fn current(&mut self, region: Option<&str>) -> Result<&Token, String> {
        self.receive(Duration::ZERO);
        self.latest
            .take_if(|token| token.region.as_deref() != region);
        let now = Timestamp::now();
        let is_valid =
            |token: &Token| token.region.as_deref() == region && now + LEAST_LEFT < token.expires;
        if self.latest.as_ref().is_none_or(|token| now >= token.renew) && self.fetch.is_none() {
            self.fetch = Some(Fetch::start(region.map(str::to_owned))?);
        }
        if !self.latest.as_ref().is_some_and(is_valid)
            && let Some(fetch) = &self.fetch
        {
            // Several clients may wait for the same fetch, one after another.
            self.receive(LONGEST_WAIT.saturating_sub(fetch.started.elapsed()));
        }
        let why = match (&self.failure, &self.latest) {
            (Some(failure), _) => failure,
            (None, Some(_)) => "the AWS credentials have expired, and no new ones have come yet",
            (None, None) => "no AWS credentials have come yet",
        };
        let latest = self.latest.as_ref().filter(|token| is_valid(token));
        latest.ok_or_else(|| why.to_owned())
    }

    /// Takes what the fetch brings within this time.
    fn receive(&mut self, limit: Duration) {
        let Some(fetch) = &self.fetch else {
            return;
        };
        let result = match fetch.result.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => {
                Err("the thread that fetches tokens has ended".to_owned())
            }
        };
        self.fetch = None;
        match result {
            Ok(token) => {
                self.latest = Some(token);
                self.failure = None;
            }
            Err(why) => {
                warn!("can't get a token for Kafka's brokers: {why}");
                self.failure = Some(why);
            }
        }
    }
}

impl Fetch {
    fn start(region: Option<String>) -> Result<Self, String> {
        let (sender, result) = bounded(1);
        let work = move || {
            let _ = sender.send(fetch(region));
        };
        let thread = Builder::new().name("iam-token".to_owned()).spawn(work);
        thread.map_err(|error| format!("can't start a thread: {error}"))?;
        Ok(Self {
            started: Instant::now(),
            result,
        })
    }
}

fn fetch(region: Option<String>) -> Result<Token, String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let signed = Box::pin(sign(region));
    let token = runtime.block_on(async { timeout(LONGEST_FETCH, signed).await });
    // Not by a drop, which would wait for a question to a name server.
    runtime.shutdown_background();
    token.unwrap_or_else(|_| {
        let seconds = LONGEST_FETCH.as_secs();
        Err(format!(
            "no AWS credentials came within {seconds} s; see whether the place is reachable where this process gets \
             them, such as AWS STS"
        ))
    })
}

/// Signs a token with the credentials that this process gets: from its environment, or from the role of its pod, task or
/// instance.
async fn sign(asked_region: Option<String>) -> Result<Token, String> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = asked_region.clone() {
        loader = loader.region(Region::new(region));
    }
    let config = loader.load().await;
    let region = config.region().filter(|region| !region.as_ref().is_empty());
    let region = region.ok_or(
        "the AWS region isn't known: set the variable AWS_REGION, or write the names that Amazon gives the \
         brokers into `kafka.bootstrap_servers`",
    )?;
    let provider = config
        .credentials_provider()
        .ok_or("no source of AWS credentials")?;
    let credentials = provider.provide_credentials().await.map_err(|error| {
        format!(
            "no AWS credentials: {}; give this process some by environment variables, or by the role of its pod, \
             task or instance",
            with_causes(&error)
        )
    })?;
    let credentials_end = credentials.expiry();
    let provider = SharedCredentialsProvider::new(credentials);
    let (text, expires) = generate_auth_token_from_credentials_provider(region.clone(), provider)
        .await
        .map_err(|error| with_causes(&error))?;
    let expires = Timestamp::from_millisecond(expires).map_err(|error| error.to_string())?;
    // A token ends together with the credentials that signed it.
    let credentials_end = credentials_end.and_then(|end| Timestamp::try_from(end).ok());
    let expires = credentials_end.map_or(expires, |end| end.min(expires));
    let now = Timestamp::now();
    Ok(Token {
        region: asked_region,
        text,
        expires,
        renew: now + now.duration_until(expires) / 2,
    })
}

/// An error with all its causes.
fn with_causes(error: &dyn Error) -> String {
    let errors = iter::successors(Some(error), |error| (*error).source());
    let texts: Vec<String> = errors.map(ToString::to_string).collect();
    without_secrets(texts.join(": "), |name| env::var_os(name))
}

/// The library quotes the password for the service with the credentials, if it has characters that a header can't have.
fn without_secrets(text: String, variable: impl Fn(&str) -> Option<OsString>) -> String {
    let in_file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    let in_file = in_file.and_then(|path| fs::read(path).ok());
    let in_variable = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(OsString::into_vec);
    let secrets = [in_file, in_variable].into_iter().flatten();
    secrets
        .map(|secret| String::from_utf8_lossy(&secret).into_owned())
        .filter(|secret| !secret.is_empty())
        .fold(text, |text, secret| text.replace(&secret, "***"))
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::Sender;

    use super::*;

    type Answer = Sender<Result<Token, String>>;

    /// A token that ends in so many seconds. It isn't to be renewed before: no test asks AWS.
    fn token(text: &str, seconds: i64) -> Token {
        let expires = Timestamp::now() + SignedDuration::from_secs(seconds);
        Token {
            region: None,
            text: text.to_owned(),
            expires,
            renew: expires,
        }
    }

    /// A fetch is under way, for so long.
    fn tokens(latest: Option<Token>, age: Duration) -> (Tokens, Answer) {
        let (sender, result) = bounded(1);
        let started = Instant::now().checked_sub(age).unwrap();
        let tokens = Tokens {
            latest,
            fetch: Some(Fetch { started, result }),
            failure: None,
        };
        (tokens, sender)
    }

    #[test]
    fn a_valid_token_is_given_until_the_next_one_has_come() {
        let (mut tokens, answer) = tokens(Some(token("first", 60)), Duration::ZERO);
        assert_eq!(tokens.current(None).unwrap().text, "first");
        answer.send(Ok(token("second", 900))).unwrap();
        assert_eq!(tokens.current(None).unwrap().text, "second");
    }

    #[test]
    fn a_failure_matters_once_no_token_is_valid() {
        let (mut valid, answer) = tokens(Some(token("first", 60)), Duration::ZERO);
        answer.send(Err("no answer of AWS STS".to_owned())).unwrap();
        assert_eq!(valid.current(None).unwrap().text, "first");

        let (mut expired, answer) = tokens(Some(token("first", 1)), LONGEST_WAIT);
        expired.failure = Some("no answer of AWS STS".to_owned());
        let why = expired.current(None).err().unwrap();
        assert_eq!(why, "no answer of AWS STS");
        answer.send(Ok(token("second", 900))).unwrap();
        assert_eq!(expired.current(None).unwrap().text, "second");
    }

    #[test]
    fn a_password_that_the_library_quotes_is_not_shown() {
        let text = || "`hunter2\n` could not be used as a header value".to_owned();
        let shown = without_secrets(text(), |name| {
            (name == "AWS_CONTAINER_AUTHORIZATION_TOKEN").then(|| "hunter2\n".into())
        });
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(without_secrets(text(), |_| None), text());
    }
}
