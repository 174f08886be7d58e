//! Logins at Amazon MSK by AWS credentials. In `sasl.mechanism` they have the name that Amazon's own clients use. librdkafka
//! doesn't know it: there it is `OAUTHBEARER`, with a token that the worker signs.

#[cfg_attr(not(feature = "aws"), path = "no_tokens.rs")]
mod tokens;

use std::error::Error;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::OAuthToken;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};

pub(super) const MECHANISM: &str = "AWS_MSK_IAM";

/// The property that passes the region on to [`token`]. librdkafka hands it back unread.
const CONFIG: &str = "sasl.oauthbearer.config";

/// The property for the mechanism has two names.
const MECHANISM_PROPERTIES: [&str; 2] = ["sasl.mechanism", "sasl.mechanisms"];

/// Whether a property chooses these logins.
pub(super) fn is_chosen_by(name: &str, value: &str) -> bool {
    MECHANISM_PROPERTIES.contains(&name) && value.eq_ignore_ascii_case(MECHANISM)
}

/// Puts the mechanism into librdkafka's words, if it is this one.
pub(super) fn translate(settings: &mut ClientConfig) {
    for name in MECHANISM_PROPERTIES {
        if settings
            .get(name)
            .is_some_and(|value| is_chosen_by(name, value))
        {
            let servers = settings.get("bootstrap.servers").unwrap_or_default();
            let region = region_of(servers).unwrap_or_default();
            let config = format!("{MECHANISM} {region}");
            settings.set(name, "OAUTHBEARER").set(CONFIG, config);
        }
    }
}

/// Whether a client with these settings, which are [translated](translate), logs in so.
pub(super) fn is_used(settings: &ClientConfig) -> bool {
    let config = settings.get(CONFIG);
    config.is_some_and(|config| config.starts_with(MECHANISM))
}

/// Gives a client the token that it waits for. A client asks for it by an event, which only a poll serves, and without a
/// valid token no question to the brokers has an answer. For a client that has no partition, so that no message can come.
/// Waits for a few seconds at most.
pub(super) fn serve_token<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    let _ = consumer.poll(Duration::ZERO);
}

/// The token that librdkafka asks for, as a client with this `sasl.oauthbearer.config`. Waits for a few seconds at most.
pub(super) fn token(config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
    let Some(region) = config.and_then(|config| config.strip_prefix(MECHANISM)) else {
        return Err("set `sasl.oauthbearer.method` to `oidc`".into());
    };
    let region = Some(region.trim()).filter(|region| !region.is_empty());
    tokens::current(region).map_err(|why| format!("{MECHANISM}: {why}").into())
}

/// What to do where the brokers refuse a token.
pub(super) const REFUSED: &str = "a broker doesn't accept the AWS credentials of this process: allow \
    `kafka-cluster:Connect` on the cluster to their role";

/// Whether this text of the client says that there is no token, and not what a broker says of one.
pub(super) fn is_without_token(reason: &str) -> bool {
    reason.contains(MECHANISM)
}

/// The region in the names that Amazon gives to brokers, such as `b-1.data.a1b2c3.c2.kafka.eu-west-1.amazonaws.com`.
fn region_of(bootstrap_servers: &str) -> Option<&str> {
    bootstrap_servers.split(',').find_map(|server| {
        let (host, _port) = server.trim().rsplit_once(':')?;
        let host = host.strip_suffix(".cn").unwrap_or(host);
        let (cluster, region) = host.strip_suffix(".amazonaws.com")?.rsplit_once('.')?;
        let (_, service) = cluster.rsplit_once('.')?;
        let is_msk = matches!(service, "kafka" | "kafka-serverless");
        is_msk.then_some(region)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_in_the_names_of_the_brokers() {
        for (servers, region) in [
            (
                "b-1.data.a1b2c3.c2.kafka.eu-west-1.amazonaws.com:9098",
                Some("eu-west-1"),
            ),
            (
                "proxy:9098, boot-a1.c1.kafka-serverless.us-east-2.amazonaws.com:9098",
                Some("us-east-2"),
            ),
            (
                "b-1.data.a1b2c3.c2.kafka.cn-north-1.amazonaws.com.cn:9098",
                Some("cn-north-1"),
            ),
            ("kafka.example.net:9098", None),
            ("files.s3.eu-west-1.amazonaws.com:9098", None),
        ] {
            assert_eq!(region_of(servers), region, "{servers}");
        }
    }

    #[test]
    fn the_mechanism_is_put_into_the_words_of_librdkafka() {
        let mut settings = ClientConfig::new();
        settings
            .set(
                "bootstrap.servers",
                "b-1.data.a1b2c3.c2.kafka.eu-west-1.amazonaws.com:9098",
            )
            .set("sasl.mechanism", "AWS_MSK_IAM");
        translate(&mut settings);
        assert!(is_used(&settings));
        assert_eq!(settings.get("sasl.mechanism"), Some("OAUTHBEARER"));
        assert_eq!(settings.get(CONFIG), Some("AWS_MSK_IAM eu-west-1"));

        let mut settings = ClientConfig::new();
        settings.set("sasl.mechanisms", "PLAIN");
        translate(&mut settings);
        assert!(!is_used(&settings));
        assert_eq!(settings.get("sasl.mechanisms"), Some("PLAIN"));
    }

    #[test]
    fn a_client_of_an_identity_provider_is_told_what_to_set() {
        let error = token(None).err().unwrap().to_string();
        assert!(error.contains("`sasl.oauthbearer.method`"), "{error}");
    }
}
