//! The examples of docs/SECURITY.md.

use std::fs;
use std::path::Path;

use crate::harness::{Authority, Servers, World};

/// Where the examples expect certificates.
const FOLDER: &str = "/etc/kafka-mongo-consumer";

#[test]
fn every_example_of_the_documentation_is_a_valid_configuration() {
    let world = World::bare(Servers::of_the_run());
    let folder = world.path("etc");
    let authority = Authority::new(&folder, "ca");
    let client = authority.client("client");
    fs::copy(client.certificate, folder.join("client.pem")).unwrap();
    fs::copy(client.key, folder.join("client.key")).unwrap();
    fs::copy(client.file, folder.join("client-with-key.pem")).unwrap();

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SECURITY.md");
    let text = fs::read_to_string(file).unwrap();
    let blocks = text.split("```json\n").skip(1);
    let examples = blocks.map(|block| block.split("```").next().unwrap());
    let mut count = 0;
    for example in examples {
        // The build has to know these logins.
        if example.contains("oauthbearer") && !cfg!(feature = "oidc")
            || example.contains("AWS_MSK_IAM") && !cfg!(feature = "aws")
        {
            continue;
        }
        let config = world.path(&format!("example-{count}.json"));
        let folder = folder.to_str().unwrap();
        assert!(example.contains(FOLDER), "{example}");
        fs::write(&config, example.replace(FOLDER, folder)).unwrap();
        let checked = world
            .worker()
            .unset("kafka.bootstrap_servers")
            .unset("mongodb.uri")
            .config_file(&config)
            .argument("check")
            .run();
        assert_eq!(checked.code, Some(0), "{example}: {}", checked.errors);
        count += 1;
    }
    let of_features = u8::from(cfg!(feature = "oidc")) + u8::from(cfg!(feature = "aws"));
    assert_eq!(count, 3 + of_features);
}
