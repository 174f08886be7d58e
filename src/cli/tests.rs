use std::path::Path;

use clap::CommandFactory;

use super::*;

#[test]
fn clap_accepts_the_definitions() {
    <Cli as CommandFactory>::command().debug_assert();
}

#[test]
fn config_can_be_given_before_and_after_the_command() {
    for (arguments, config, command) in [
        (vec!["--config", "a.json"], "a.json", Command::Run),
        (vec!["--config", "a.json", "run"], "a.json", Command::Run),
        (
            vec!["--config", "a.json", "print-config"],
            "a.json",
            Command::PrintConfig,
        ),
        (
            vec!["print-config", "--config=a.json"],
            "a.json",
            Command::PrintConfig,
        ),
    ] {
        let cli = Cli::try_parse_from([vec!["kafka-mongo-consumer"], arguments].concat());
        let cli = cli.unwrap();
        assert_eq!(cli.config, Path::new(config));
        assert_eq!(cli.command(), command);
    }
}

#[test]
fn config_defaults_to_the_variable_and_then_to_config_json() {
    let definitions = <Cli as CommandFactory>::command();
    let config = definitions
        .get_arguments()
        .find(|argument| argument.get_id() == "config")
        .unwrap();
    assert_eq!(config.get_default_values(), ["config.json"]);
    assert_eq!(config.get_env().unwrap(), "CONSUMER_CONFIG");
}

fn parse(arguments: &str) -> Result<Command, clap::Error> {
    let arguments = ["kafka-mongo-consumer"]
        .into_iter()
        .chain(arguments.split(' '));
    Cli::try_parse_from(arguments).map(|cli| cli.command())
}

#[test]
fn audit_accepts_one_option_for_its_start() {
    let Ok(Command::Audit(audit)) = parse("audit --from-offsets 0:5,3:17 --json") else {
        panic!("not parsed as an audit");
    };
    let from: Vec<String> = audit
        .from_offsets
        .iter()
        .map(PartitionOffset::to_string)
        .collect();
    assert_eq!(from, ["0:5", "3:17"]);
    assert!(audit.json);
    assert_eq!(audit.repair.kind(), RepairKind::None);
    for (arguments, kind) in [
        ("audit --repair", RepairKind::Real),
        ("audit --repair --dry-run --since 1h", RepairKind::DryRun),
    ] {
        let Ok(Command::Audit(audit)) = parse(arguments) else {
            panic!("not parsed as an audit");
        };
        assert_eq!(audit.repair.kind(), kind);
    }
    assert_eq!(audit.limit_report, 20);
    for invalid in [
        "audit --since 1h --from-beginning",
        "audit --since 1h --from-offsets 0:5",
        "audit --from-beginning --from-offsets 0:5",
        "audit --from-offsets 0",
        "audit --since yesterday",
        "audit --dry-run",
    ] {
        assert_eq!(parse(invalid).unwrap_err().exit_code(), 2, "{invalid}");
    }
}

#[test]
fn replay_requires_a_known_reason() {
    let Ok(Command::DeadLetters(DeadLetters::Replay(replay))) =
        parse("dead-letters replay --reason mongodb_unavailable --limit 5")
    else {
        panic!("not parsed as a replay");
    };
    assert_eq!(replay.reason, Reason::MongodbUnavailable);
    assert_eq!((replay.limit, replay.max_replays), (Some(5), 3));
    for invalid in [
        "dead-letters replay",
        "dead-letters replay --reason mongodb_unavailble",
    ] {
        assert_eq!(parse(invalid).unwrap_err().exit_code(), 2, "{invalid}");
    }
}

#[test]
fn a_reset_has_exactly_one_target() {
    let Ok(Command::Offsets(Offsets::Reset(reset))) =
        parse("offsets reset --to-offset 0:5,3:17 --dry-run")
    else {
        panic!("not parsed as a reset");
    };
    assert_eq!(reset.to_offset.len(), 2);
    assert!(reset.dry_run);
    assert!(parse("offsets reset --to-earliest --partitions 0,2").is_ok());
    for invalid in [
        "offsets reset",
        "offsets reset --to-earliest --to-latest",
        "offsets reset --to-offset 5 --to-datetime 1h",
        "offsets reset --to-latest --partitions -1",
    ] {
        assert_eq!(parse(invalid).unwrap_err().exit_code(), 2, "{invalid}");
    }
}

#[test]
fn a_sample_has_a_size() {
    assert!(parse("check --sample 5 --from-beginning --json").is_ok());
    for invalid in ["check --sample 0", "check --from-beginning"] {
        assert_eq!(parse(invalid).unwrap_err().exit_code(), 2, "{invalid}");
    }
}

#[test]
fn the_help_of_every_command_has_an_example() {
    fn check(command: &clap::Command) {
        for subcommand in command.get_subcommands() {
            let help = subcommand.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.starts_with("Example")),
                "{}",
                subcommand.get_name()
            );
            check(subcommand);
        }
    }
    check(&<Cli as CommandFactory>::command());
}

#[test]
fn usage_errors_exit_with_2() {
    let error = Cli::try_parse_from(["kafka-mongo-consumer", "chekc"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}
