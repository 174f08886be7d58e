//! MongoDB with TLS, logins and access control.

use std::fs;

use super::mongodb_server::{SecureMongodb, listen_with_an_expired_certificate};
use super::{PASSWORD, assert_refused, assert_secrets_are_hidden, loud, run_command};
use crate::harness::{Authority, MINUTE, Producer, World, metric};

/// What docs/SECURITY.md lists.
const ON_COLLECTION: [&str; 4] = ["find", "insert", "listIndexes", "createIndex"];
const ON_DATABASE: [&str; 1] = ["listCollections"];

fn check_that_it_stores(world: &World, uri: &str) {
    let mut worker = loud(world.worker().set("mongodb.uri", uri)).start();
    world.wait_committed_to_end(MINUTE);
    assert_secrets_are_hidden(&mut worker);
    world.check();
}

#[test]
fn worker_logs_in_over_tls_with_the_least_privileges_and_faults_are_named() {
    let server = SecureMongodb::start("security-mongodb");
    let (host, trust) = (server.host(), server.trust());
    let world = World::on(server.servers(), 1);
    Producer::new(&world).fill(0..10, 1);
    server.create_user(&world, "worker", &ON_COLLECTION, &ON_DATABASE);
    let options = format!("{trust}&serverSelectionTimeoutMS=20000");
    let login = format!("worker:{PASSWORD}@");
    let expired = listen_with_an_expired_certificate(&server.authority);
    let (_, port) = host.split_once(':').unwrap();
    for (case, uri, words) in [
        (
            "unknown authority",
            format!("mongodb://{login}{host}/?tls=true"),
            ["certificate", "`tlsCAFile`"],
        ),
        (
            "wrong host name",
            format!("mongodb://{login}localhost:{port}/?{options}"),
            ["certificate", "name MongoDB's hosts in `mongodb.uri`"],
        ),
        (
            "expired",
            format!("mongodb://{login}{expired}/?{options}"),
            ["expired", "valid now"],
        ),
        (
            "wrong password",
            format!("mongodb://worker:wrong@{host}/?{options}"),
            ["MongoDB refused us", "AuthenticationFailed"],
        ),
    ] {
        let finished = world.worker().set("mongodb.uri", uri).run();
        assert_refused(case, &world, &finished, 4, &words);
        assert!(finished.errors.contains("MongoDB"), "{case}");
    }
    for missing in ON_COLLECTION.iter().chain(&ON_DATABASE) {
        // Of its own, because an index that exists isn't created.
        let world = World::on(server.servers(), 1);
        if !missing.ends_with("Index") && !missing.ends_with("Indexes") {
            Producer::new(&world).fill(0..10, 1);
        }
        let without = |all: &[&'static str]| -> Vec<&str> {
            let others = all.iter().copied().filter(|action| action != missing);
            others.collect()
        };
        let user = format!("no-{missing}");
        server.create_user(
            &world,
            &user,
            &without(&ON_COLLECTION),
            &without(&ON_DATABASE),
        );
        let uri = format!("mongodb://{user}:{PASSWORD}@{host}/?{options}");
        let finished = world.worker().set("mongodb.uri", uri).run();
        let right = format!("the privilege `{missing}` on `{}", world.database);
        assert_refused(missing, &world, &finished, 4, &["MongoDB", &right]);
    }
    let uri = format!("mongodb://{login}{host}/?{options}");
    check_that_it_stores(&world, &uri);

    let run = |uri: &str, command| run_command(world.worker().set("mongodb.uri", uri), command);
    run(&uri, "check --connect");
    server.create_user(&world, "auditor", &["find"], &[]);
    let uri = format!("mongodb://auditor:{PASSWORD}@{host}/?{options}");
    for command in ["audit", "check --sample 10 --from-beginning"] {
        run(&uri, command);
    }
    let of_mender = ["find", "insert", "listIndexes"];
    server.create_user(&world, "mender", &of_mender, &ON_DATABASE);
    let uri = format!("mongodb://mender:{PASSWORD}@{host}/?{options}");
    for command in [
        "audit --repair",
        "dead-letters replay --reason invalid_json",
    ] {
        run(&uri, command);
    }

    // The index exists, so nobody has to create it.
    let unique = r#"[{"key": {"message_id": 1}, "unique": true}]"#;
    let setup = |uri: &str| {
        let setup = world.worker().set("mongodb.indexes", unique);
        setup.set("mongodb.uri", uri)
    };
    let worker = format!("mongodb://{login}{host}/?{options}");
    for (first, uri) in [(10, &worker), (20, &uri)] {
        Producer::new(&world).fill(first..first + 10, 1);
        let mut worker = setup(uri).start();
        world.wait_committed_to_end(MINUTE);
        worker.stop();
        worker.assert_no_errors();
    }
    run_command(setup(&uri), "audit --repair");
}

/// It closes the connection in the handshake, as it does where it demands TLS and gets none. That may be a crash as well, so
/// it is an outage.
#[test]
fn a_mongodb_that_closes_connections_at_once_is_an_outage_with_advice() {
    let world = World::new(1);
    let uri = format!(
        "{}/?tls=true&serverSelectionTimeoutMS=500",
        world.servers.mongodb
    );
    let mut worker = world
        .worker()
        .set("mongodb.uri", &uri)
        .set("mongodb.on_unavailable", "pause")
        .set("consumer.retry_backoff_ms", 100)
        .start();
    let line = worker.wait_for_log("MongoDB could not be reached, trying again", MINUTE);
    for words in [
        "closes each connection",
        "`tls=true`",
        "`tlsCertificateKeyFile`",
    ] {
        assert!(line.msg.contains(words), "{}", line.msg);
    }
    worker.stop();
    let finished = world
        .worker()
        .set("mongodb.uri", &uri)
        .argument("check")
        .argument("--connect")
        .run();
    assert_ne!(finished.code, Some(0));
    assert!(
        finished.output.contains("closes each connection"),
        "{}",
        finished.output
    );
}

#[test]
fn a_new_password_in_the_file_is_used_while_the_worker_runs() {
    let server = SecureMongodb::start("security-renewal");
    let world = World::on(server.servers(), 1);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    for user in ["before", "after"] {
        server.create_user(&world, user, &ON_COLLECTION, &ON_DATABASE);
    }
    let file = world.path("uri");
    let write = |login: &str| {
        let (host, trust) = (server.host(), server.trust());
        fs::write(&file, format!("mongodb://{login}@{host}/?{trust}")).unwrap();
    };
    write(&format!("before:{PASSWORD}"));
    let mut worker = world
        .worker()
        .unset("mongodb.uri")
        .variable("CONSUMER__MONGODB__URI_FILE", file.display())
        .set("consumer.reload_interval_ms", 100)
        .start();
    world.wait_committed_to_end(MINUTE);

    // A file that is half of the new one must not be used.
    write("after:wrong");
    let line = worker.wait_for_log("the configuration can't be reloaded", MINUTE);
    assert!(line.msg.contains("AuthenticationFailed"), "{}", line.msg);
    producer.fill(10..20, 1);
    world.wait_committed_to_end(MINUTE);

    write(&format!("after:{PASSWORD}"));
    worker.wait_for_log("stopped, to begin anew", MINUTE);
    worker.wait_ready();
    server.drop_user("before");
    producer.fill(20..30, 1);
    world.wait_committed_to_end(MINUTE);
    let metrics = worker.metrics();
    assert_eq!(metrics.sum(metric::STORED), 10);
    assert_eq!(metrics.sum(metric::REPLAYED), 0);
    assert_eq!(metrics.sum(metric::LAST_RELOAD_SUCCESSFUL), 1);
    assert_eq!(
        worker.times_logged("the configuration can't be reloaded"),
        1
    );
    assert_secrets_are_hidden(&mut worker);
    world.check();
}

/// The certificates have the same paths as before, as those that a platform renews.
#[test]
fn new_certificates_in_the_files_are_used_while_the_worker_runs() {
    let server = SecureMongodb::start("security-renewed-certificates");
    let world = World::on(server.servers(), 1);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    for name in ["before", "after"] {
        let user = format!("CN={name},O=clients");
        server.create_user(&world, &user, &ON_COLLECTION, &ON_DATABASE);
    }
    let (client, authority) = (world.path("client.pem"), world.path("authority.pem"));
    fs::copy(&server.authority.file, &authority).unwrap();
    fs::copy(server.authority.client("before").file, &client).unwrap();
    let uri = format!(
        "mongodb://{}/?tls=true&tlsCAFile={}&tlsCertificateKeyFile={}&authMechanism=MONGODB-X509",
        server.host(),
        authority.display(),
        client.display(),
    );
    let mut worker = world
        .worker()
        .set("mongodb.uri", uri)
        .set("consumer.reload_interval_ms", 100)
        .start();
    world.wait_committed_to_end(MINUTE);

    // An authority that hasn't signed the server's certificate: it must not be used.
    let foreign = Authority::new(&world.path("foreign"), "foreign");
    fs::copy(&foreign.file, &authority).unwrap();
    let line = worker.wait_for_log("the configuration can't be reloaded", MINUTE);
    assert!(line.msg.contains("certificate"), "{}", line.msg);
    producer.fill(10..20, 1);
    world.wait_committed_to_end(MINUTE);

    fs::copy(server.authority.client("after").file, &client).unwrap();
    fs::copy(&server.authority.file, &authority).unwrap();
    worker.wait_for_log("stopped, to begin anew", MINUTE);
    worker.wait_ready();
    server.drop_certificate_user("CN=before,O=clients");
    producer.fill(20..30, 1);
    world.wait_committed_to_end(MINUTE);
    let metrics = worker.metrics();
    assert_eq!(metrics.sum(metric::STORED), 10);
    assert_eq!(metrics.sum(metric::REPLAYED), 0);
    worker.stop();
    world.check();
}

#[test]
fn worker_logs_in_with_a_certificate_and_a_replaced_server_certificate_stops_it() {
    let server = SecureMongodb::start("security-certificates");
    let world = World::on(server.servers(), 1);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    let client = server.authority.client("worker");
    server.create_user(&world, "CN=worker,O=clients", &ON_COLLECTION, &ON_DATABASE);
    let uri = format!(
        "mongodb://{}/?{}&tlsCertificateKeyFile={}&authMechanism=MONGODB-X509&serverSelectionTimeoutMS=1000",
        server.host(),
        server.trust(),
        client.file.display(),
    );
    let mut worker = world
        .worker()
        .set("mongodb.uri", uri)
        .set("consumer.retry_backoff_ms", 100)
        .start();
    world.wait_committed_to_end(MINUTE);
    let committed = world.committed();

    server.restart_with_a_foreign_certificate();
    producer.fill(10..20, 1);
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(4));
    let stopped = worker.logged("stopped: MongoDB refused us").msg;
    for word in ["certificate", "`tlsCAFile`"] {
        assert!(stopped.contains(word), "{stopped}");
    }
    assert_eq!(world.dead_letters().len(), 0);
    assert_eq!(world.committed(), committed);
}
