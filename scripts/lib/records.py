"""Writes what runs have shown into the documents, for scripts/chaos, scripts/peer-faults and scripts/check-demo.

    records.py chaos RECORD DATA DOCUMENT VERSION
                                  adds a run's record to the list DATA, and writes the table of all runs into the document
    records.py results FOLDER
                                  prints the table of the cases
    records.py faults FOLDER DATA DOCUMENT VERSION
                                  writes the results of all cases into DATA, and their table into the document
    records.py demo-table LOG     prints what the demo's time went into
    records.py demo LOG DATA DOCUMENT VERSION
                                  writes it into DATA, and its table into the document

The tables stand between markers in the document. All numbers come from the files.
"""

import datetime
import json
import os
import re
import sys
from pathlib import Path


def grouped(number):
    return f"{number:,}"


def between_markers(document, name, lines):
    """Replaces what stands between the markers of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    path = Path(document)
    text = path.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"{document} must have `{begin}` and `{end}` once each")
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    path.write_text("\n".join([f"{head}{begin}", *lines, f"{end}{tail}"]))


def write_data(path, data):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")


def chaos(record, data, document, version):
    run = json.loads(Path(record).read_text())
    if run["lost"] != 0 or run["stored_twice"] != 0:
        raise SystemExit("a run that lost something or stored something twice has failed; it isn't published")
    run.update(date=datetime.date.today().isoformat(), version=version)
    runs = json.loads(Path(data).read_text()) if Path(data).exists() else []
    runs = [run] + [other for other in runs if (other["seed"], other["version"]) != (run["seed"], version)]
    write_data(data, runs)
    between_markers(document, "chaos", chaos_table(runs))


def chaos_table(runs):
    names = ["produced", "stored", "dead-lettered", "in both places", "lost", "stored twice"]
    lines = [
        f"| date | version | seed | min | workers | {' | '.join(names)} | disturbances |",
        f"|---|---|---|---|---|{'---|' * len(names)}---|",
    ]
    for run in runs:
        counts = [run[key] for key in ("produced", "stored", "dead_lettered", "both", "lost", "stored_twice")]
        disturbances = run["disturbances"]
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(disturbances.items()))
        fields = [
            run["date"],
            run["version"],
            f"{run['seed']}, `{run['on_unavailable']}`",
            run["minutes"],
            run["workers"],
            *map(grouped, counts),
            f"{sum(disturbances.values())}: {kinds}",
        ]
        lines.append(f"| {' | '.join(map(str, fields))} |")
    return lines


# The test writes a file for each case.
CASES = ["Killed", "MongodbAway", "Poison"]


def read_cases(folder):
    files = [Path(folder, f"{name}.json") for name in CASES]
    return {"cases": [json.loads(file.read_text()) for file in files if file.exists()]}


def results(folder):
    print("\n".join(faults_table(read_cases(folder))))


def faults(folder, data, document, version):
    found = read_cases(folder)
    if len(found["cases"]) != len(CASES):
        raise SystemExit("run all cases before they are published")
    found.update(date=datetime.date.today().isoformat(), version=version)
    write_data(data, found)
    of = [f"Run on {found['date']} with version {version}.", ""]
    between_markers(document, "faults", of + faults_table(found))


def faults_table(found):
    lines = [
        "| case | system | | produced | stored | dead-lettered | lost | not read | stored twice | went on |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in found["cases"]:
        for run in case["runs"]:
            counts = [run[key] for key in ("produced", "stored", "dead_lettered", "lost", "unread", "stored_twice")]
            fields = [case["name"], run["system"], run["settings"], *map(grouped, counts), run["end"]]
            lines.append(f"| {' | '.join(fields)} |")
    return lines


def read_demo(log):
    """The parts of the demo that say how long they took, and the whole."""
    text = Path(log).read_text()
    parts = [
        {"part": part, "seconds": int(seconds)}
        for part, seconds in re.findall(r"^[a-z-]+: (.+) took (\d+) s$", text, re.MULTILINE)
    ]
    if not parts or parts[-1]["part"] != "the demo":
        raise SystemExit(f"{log} is no log of a demo that reached its end")
    return {"parts": parts[:-1], "seconds": parts[-1]["seconds"]}


def demo_table(log):
    print("\n".join(demo_lines(read_demo(log))))


def demo(log, data, document, version):
    found = read_demo(log)
    found.update(date=datetime.date.today().isoformat(), version=version, cores=os.cpu_count())
    write_data(data, found)
    of = [f"Run on {found['date']} with version {version} on {found['cores']} cores.", ""]
    between_markers(document, "demo", of + demo_lines(found))


def demo_lines(found):
    rest = found["seconds"] - sum(part["seconds"] for part in found["parts"])
    lines = ["| part | time |", "|---|---|"]
    for part in [*found["parts"], {"part": "the rest: starting and stopping servers, checks", "seconds": rest}]:
        lines.append(f"| {part['part']} | {minutes(part['seconds'])} |")
    return [*lines, f"| **all of it** | **{minutes(found['seconds'])}** |"]


def minutes(seconds):
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"


def main():
    commands = {"chaos": chaos, "demo": demo, "demo-table": demo_table, "faults": faults, "results": results}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
