"""What the integration tests show on other servers, for scripts/check-versions.

    versions.py built                          the test program's path, from the JSON lines that cargo prints
    versions.py refusal SERVER FOLDER          the worker's words into FOLDER/SERVER.json, if it can't use the server at all, by
                                               what `check --connect --json` prints; else exit code 1
    versions.py tests SERVER IT                the names of the tests of the core for this server, one a line
    versions.py result SERVER FOLDER IT SECONDS
                                               what FOLDER/SERVER.log says of each test, into FOLDER/SERVER.json
    versions.py table FOLDER SERVER...         prints the tables
    versions.py publish FOLDER DOCUMENT SERVER...
                                               writes the tables into the document, between its markers
"""

import datetime
import json
import re
import subprocess
import sys
from pathlib import Path

# The core: a feature, which kind of server it is about, and the beginnings of the names of the tests that show it. A test
# belongs to the first feature that names it.
KAFKA, MONGODB = "kafka", "mongodb"
FEATURES = [
    ("messages are stored, once and unchanged", {KAFKA, MONGODB}, ["storing::"]),
    ("dead letters, with the original and the reason", {KAFKA, MONGODB}, ["rejections::"]),
    ("the worker is killed again and again", {KAFKA, MONGODB}, ["crashes::"]),
    (
        "`group.protocol: consumer`: the worker, and `audit` and `offsets reset` beside it",
        {KAFKA},
        [
            "rebalancing::workers_join_and_leave_a_group_of_the_new_protocol",
            "operator_audit::audit_beside_a_worker",
            "operator_offsets::a_running_worker",
        ],
    ),
    ("rebalances: cooperative, eager, static members, new partitions", {KAFKA}, ["rebalancing::"]),
    ("where reading begins; retention; a topic that is missing", {KAFKA}, ["positions::"]),
    ("topics that are deleted and recreated", {KAFKA}, ["recreated_topics::"]),
    ("transactions, compaction, compression, large messages", {KAFKA}, ["topics::"]),
    ("Kafka is killed or frozen; partitions without a leader", {KAFKA}, ["faults::broker_away::", "faults::leaderless::"]),
    ("dead letter topics that are slow, compacted or too small", {KAFKA}, ["faults::dead_letter_topic::", "faults::slow_"]),
    (
        "TLS, SASL and access control of Kafka",
        {KAFKA},
        ["security::kafka::", "operator_refusals::", "faults::dead_letter_rights::"],
    ),
    ("`offsets show` and `reset`", {KAFKA}, ["operator_offsets::"]),
    (
        "conflicts of ids, unique indexes, validators, collations",
        {MONGODB},
        ["write_rejections::", "faults::mixed_batches::", "faults::unknown_codes::"],
    ),
    ("the index; collections and databases that don't fit", {MONGODB}, ["starting::", "refusals::"]),
    ("MongoDB is killed, frozen or blocked", {MONGODB}, ["faults::mongod_"]),
    ("errors of commands, made by a fail point", {MONGODB}, ["faults::command_errors::"]),
    (
        "replica sets: failover, sessions, write concerns",
        {MONGODB},
        ["faults::failover::", "faults::sessions::", "faults::write_concern::"],
    ),
    ("TLS, passwords, certificates and privileges of MongoDB", {MONGODB}, ["security::mongodb::"]),
    ("a stop under load, in an outage, in the start", {MONGODB}, ["stopping::"]),
    ("`check --connect` and `check --sample`", {KAFKA, MONGODB}, ["operator_check::", "operator_sample::"]),
    ("`dead-letters list`, `show` and `replay`", {KAFKA, MONGODB}, ["operator_dead_letters::"]),
    ("`audit`", {KAFKA, MONGODB}, ["operator_audit::", "operator_repair::"]),
]

# A test could not be tried: scripts/lib/no_mongod says this where a test starts a mongod and the server under test is none;
# or the server refused a command of the test itself, such as to create the collection that the test needs; or a server that
# the test starts for itself didn't start, such as for an option that its version doesn't know.
NO_MONGOD = "not tested: there is no mongod"
NOT_PREPARED = ("called `Result::unwrap()` on an `Err` value: Error { kind: Command(", 'scripts/services ["up"]')
BEGIN, END = "<!-- tested: begin -->", "<!-- tested: end -->"
LABELS = {"kafka": "Kafka", "mongodb": "MongoDB", "ferretdb": "FerretDB"}


def kind_of(server):
    return KAFKA if server.startswith("kafka-") else MONGODB


def label(server):
    kind, version = server.split("-", 1)
    return f"{LABELS[kind]} {version}"


def built(lines):
    for line in lines:
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "it" and message["executable"]:
            return message["executable"]
    raise SystemExit("cargo built no integration tests")


def refusal(server, folder, lines):
    """Whether the worker says that it can't use the server."""
    checks = json.loads(lines)["checks"]
    asked = "kafka.brokers" if kind_of(server) == KAFKA else "mongodb.server"
    found = next(check for check in checks if check["check"] == asked)
    if found["status"] != "failed":
        return False
    result = {"date": datetime.date.today().isoformat(), "refused": re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", found["text"])}
    Path(folder, f"{server}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"{server}: the worker can't use it: {found['text']}", file=sys.stderr)
    return True


def core_of(kind, it):
    """The tests of the core for a kind of server, by feature. A feature without a test is a mistake in this file."""
    listed = subprocess.run([it, "--list"], capture_output=True, text=True, check=True).stdout
    names = [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]
    taken, core = set(), {}
    for feature, kinds, beginnings in FEATURES:
        found = [name for name in names if name.startswith(tuple(beginnings)) and name not in taken]
        if not found:
            raise SystemExit(f"no test shows: {feature}")
        taken.update(found)
        if kind in kinds:
            core[feature] = found
    return core


def outcomes(log, names):
    """Passed, failed, not tested, or unfinished: what a log says of each test. And why, if it isn't for want of a mongod."""
    said = dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)\b", log, re.MULTILINE))
    sections = re.split(r"^---- (\S+) stdout ----$", log, flags=re.MULTILINE)
    texts = dict(zip(sections[1::2], sections[2::2]))
    found, words = {}, {}
    for name in names:
        text = texts.get(name, "")
        panic = re.search(r"^thread '[^']*'[^\n]* panicked at [^\n]*\n(.*?)(?:\n|$)", text, re.MULTILINE)
        word = panic.group(1)[:300] if panic else "it did not end"
        if said.get(name) == "ok":
            found[name] = "passed"
        elif NO_MONGOD in text:
            found[name] = "not tested"
        elif word.startswith(NOT_PREPARED):
            found[name], words[name] = "not tested", word
        else:
            found[name], words[name] = "failed" if name in said else "unfinished", word
    return found, words


def write_result(server, folder, it, seconds):
    core = core_of(kind_of(server), it)
    names = [name for tests in core.values() for name in tests]
    log = Path(folder, f"{server}.log").read_text(errors="replace")
    found, words = outcomes(log, names)
    result = {
        "date": datetime.date.today().isoformat(),
        "seconds": int(seconds),
        "features": {feature: {name: found[name] for name in tests} for feature, tests in core.items()},
        "words": words,
    }
    Path(folder, f"{server}.json").write_text(json.dumps(result, indent=2) + "\n")
    for name, text in words.items():
        print(f"  {found[name]}: {name}: {text}", file=sys.stderr)
    kinds = list(found.values())
    counts = [f"{kinds.count(outcome)} {outcome}" for outcome in ("passed", "failed", "not tested", "unfinished")]
    print(f"{server}: {', '.join(counts)}, in {seconds} s", file=sys.stderr)
    # A server on which nothing at all works was hardly reached.
    if "passed" not in found.values():
        raise SystemExit(f"{server}: no test passed")


def read_results(folder, servers):
    paths = {server: Path(folder, f"{server}.json") for server in servers}
    return {server: json.loads(path.read_text()) for server, path in paths.items() if path.exists()}


def cell(tests):
    """How a feature fares on a server."""
    found = list(tests.values())
    passed, untried = found.count("passed"), found.count("not tested")
    failed = len(found) - passed - untried
    if passed == len(found):
        return "yes"
    if failed == len(found):
        return "no"
    if untried == len(found):
        return "not tested"
    counts = ((passed, "passed"), (failed, "failed"), (untried, "not tested"))
    return ", ".join(f"{count} {outcome}" for count, outcome in counts if count)


def table(kind, results):
    columns = [server for server in results if kind_of(server) == kind and "features" in results[server]]
    if not columns:
        return []
    lines = [f"| feature | tests | {' | '.join(map(label, columns))} |", "|---|---|" + "---|" * len(columns)]
    for feature, kinds, _ in FEATURES:
        if kind in kinds:
            per_server = [results[server]["features"].get(feature, {}) for server in columns]
            count = max(map(len, per_server))
            lines.append(f"| {feature} | {count} | {' | '.join(map(cell, per_server))} |")
    return lines


def failures(results):
    lines = []
    for server, result in results.items():
        outcomes_by_name = {name: outcome for tests in result.get("features", {}).values() for name, outcome in tests.items()}
        for outcomes_wanted, title in (
            (("failed", "unfinished"), "Failed on {}:"),
            (("not tested",), "Not tested on {}, because it lacks what these tests prepare:"),
        ):
            names = [name for name in result.get("words", []) if outcomes_by_name[name] in outcomes_wanted]
            if names:
                lines += ["", title.format(label(server)), *(f"- `{name}`" for name in names)]
    return lines


def text_of(folder, servers):
    results = read_results(folder, servers)
    dates = sorted(result["date"] for result in results.values())
    parts = []
    for kind, other in ((KAFKA, "MongoDB 6.0.5"), (MONGODB, "Kafka 4.1.1")):
        lines = table(kind, results)
        if lines:
            parts += [f"Beside {other}:", "", *lines, ""]
    if dates:
        when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        parts.append(f"Tested on {when}. *yes*: all tests passed. *no*: none did.")
    refusals = []
    for server, result in results.items():
        if "refused" in result:
            refusals += ["", f"The worker can't use {label(server)}. `check --connect` says:", "```", result["refused"], "```"]
    return "\n".join(parts + refusals + failures(results)) + "\n"


def publish(folder, document, servers):
    missing = [server for server in servers if server not in read_results(folder, servers)]
    if missing:
        raise SystemExit(f"no result yet: {', '.join(missing)}")
    path = Path(document)
    before, rest = path.read_text().split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{text_of(folder, servers)}{END}{after}")


def main(command, *arguments):
    match command, arguments:
        case "built", ():
            print(built(sys.stdin))
        case "refusal", (server, folder):
            raise SystemExit(0 if refusal(server, folder, sys.stdin.read()) else 1)
        case "tests", (server, it):
            for tests in core_of(kind_of(server), it).values():
                print("\n".join(tests))
        case "result", (server, folder, it, seconds):
            write_result(server, folder, it, seconds)
        case "table", (folder, *servers):
            print(text_of(folder, servers), end="")
        case "publish", (folder, document, *servers):
            publish(folder, document, servers)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
