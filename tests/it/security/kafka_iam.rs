//! Kafka with logins by AWS credentials, as Amazon MSK has them.

use super::http_server::HttpServer;
use super::msk::{DENIED, Msk, REGION, start_credentials_server};
use super::{assert_each_is_refused, assert_secrets_are_hidden, loud, run_command};
use crate::harness::{Content, Fate, MINUTE, Message, Producer, WorkerSetup, World};

#[test]
fn worker_logs_in_by_aws_credentials_and_faults_are_named() {
    let credentials = start_credentials_server();
    let msk = Msk::start("security-iam");
    let world = World::on(msk.servers(), 1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    let role_of_worker = format!("{}/worker", credentials.address);
    let worker = || {
        world
            .worker()
            .set("kafka.bootstrap_servers", &msk.address)
            // On a busy machine an attempt may time out.
            .set("consumer.max_retries", 2)
            .property("kafka.properties", "security.protocol", "SASL_PLAINTEXT")
            .property("kafka.properties", "sasl.mechanism", "AWS_MSK_IAM")
            .variable("AWS_REGION", REGION)
            .variable("AWS_EC2_METADATA_DISABLED", "true")
            .variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", &role_of_worker)
    };
    check_that_faults_are_named(&world, &credentials, &worker());

    let mut running = loud(worker()).start();
    world.wait_committed_to_end(MINUTE);
    assert!(msk.logins() > 0);
    let given = credentials.given();
    // Before the first ones end.
    running.wait_for("the next credentials", MINUTE, |_| {
        (credentials.given() >= given + 2).then_some(())
    });
    producer.fill(10..20, 1);
    producer.send_now(Message::new(
        Content::Null,
        Fate::DeadLettered("empty_payload"),
    ));
    world.wait_committed_to_end(MINUTE);
    running.wait_ready();
    assert_secrets_are_hidden(&mut running);
    world.check();
    for command in ["check --connect", "offsets show", "audit"] {
        run_command(worker(), command);
    }
}

fn check_that_faults_are_named(world: &World, credentials: &HttpServer, worker: &WorkerSetup) {
    let worker = || worker.clone();
    let at = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let cases: [(&str, WorkerSetup, [&str; 2]); 3] = [
        (
            "no credentials",
            worker().variable(at, "http://127.0.0.1:1/role"),
            ["no AWS credentials", "role of its pod"],
        ),
        (
            "a role without the right",
            worker().variable(at, format!("{}/{DENIED}", credentials.address)),
            ["Access denied", "`kafka-cluster:Connect`"],
        ),
        (
            "no region",
            worker().variable("AWS_REGION", ""),
            ["the AWS region isn't known", "AWS_REGION"],
        ),
    ];
    assert_each_is_refused(world, &cases);
}
