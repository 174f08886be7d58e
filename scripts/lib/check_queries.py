"""Compares deploy/ with a worker. scripts/check-deploy calls it; it needs nothing but Python.

  texts                 each alert has tests, each alert and link a section in the runbook, and the runbook quotes
                        lines of the log that exist
  live PROMETHEUS URL   each rule and each panel works on what a worker under load shows at URL
  down PROMETHEUS       the alerts notice that the worker was killed
  answers URL           whether URL answers with 200
"""

import glob
import json
import math
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ALERTS = "deploy/prometheus/alerts.yml"
TESTS = "deploy/prometheus/alerts_test.yml"
DASHBOARD = "deploy/grafana/dashboards/kafka-mongo-consumer.json"
RUNBOOK = "docs/RUNBOOK.md"

# How long the scrapes and evaluations may take until everything has data.
PATIENCE = 40
# What Grafana puts in place of its own variables. All of the rest are matched by regular expressions.
GRAFANA = {"__rate_interval": "8s", "__range": "1h", "__range_s": "3600", "__interval": "2s"}
# The worker gets some faulty messages. It is otherwise well.
EXPECTED_ALERTS = {"KafkaMongoConsumerDeadLetters"}
# Labels that Prometheus itself adds, to a target and to an alert.
OWN_LABELS = {"job", "instance", "le", "alertname", "alertstate", "severity"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def get(url, parameters=()):
    query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
    try:
        with urllib.request.urlopen(url + query, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode()) from error


# --- texts -------------------------------------------------------------------------------------------------


def anchors_of_runbook():
    headings = re.findall(r"^#+ (.*)$", read(RUNBOOK), re.M)
    return {re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


# Quotes of the runbook that begin so are commands and settings. All others of several words are lines of the log.
NO_LOG_LINE = r"kafka-|docker |kubectl |curl |… \\\| grep|dead-letters |offsets |--|mongodb\.|metrics\."


def check_quotes():
    sources = "".join(read(path) for path in sorted(glob.glob("src/**/*.rs", recursive=True)))
    # A text of several lines, as the program has it.
    sources = re.sub(r"\\\n\s*", "", sources).replace('\\"', '"')
    for first, second in re.findall(r"``(.+?)``|`([^`]+)`", read(RUNBOOK).replace("\n", " ")):
        quote = first or second
        if " " not in quote or re.match(NO_LOG_LINE, quote):
            continue
        # An ellipsis stands for what differs; `stopped: ` is put before the reason of an end.
        for part in re.split("…", quote.removeprefix("stopped: ")):
            part = part.strip(" :")
            if len(part) >= 5 and part not in sources:
                yield f"{RUNBOOK} quotes `{part}`, which the worker doesn't say"


def check_texts():
    faults = list(check_quotes())
    anchors = anchors_of_runbook()
    alerts = re.findall(r"- alert: (\w+)", read(ALERTS))
    for alert in sorted(set(alerts)):
        if alert.lower() not in anchors:
            faults.append(f"{RUNBOOK} has no section {alert}")
        checks = re.findall(rf"alertname: {alert}\n\s+exp_alerts:(.*)", read(TESTS))
        if "" not in checks or " []" not in checks:
            faults.append(f"{TESTS} must have {alert} firing and not firing")
    for place in (ALERTS, DASHBOARD, RUNBOOK):
        for anchor in re.findall(r"(?:RUNBOOK\.md|\$\{runbook\}|\]\()#([\w-]+)", read(place)):
            if anchor not in anchors:
                faults.append(f"{place} links to #{anchor}, which {RUNBOOK} does not have")
    if read(ALERTS).count("runbook_url:") != len(alerts):
        faults.append("an alert has no runbook_url")
    return faults


# --- live --------------------------------------------------------------------------------------------------


class Query:
    """An expression, where it stands, and whether it must have data under load."""

    def __init__(self, place, expression, needs_data):
        self.place = place
        self.expression = expression
        self.needs_data = needs_data


class Prometheus:
    def __init__(self, address):
        self.api = address + "/api/v1/"

    def ask(self, path, parameters=()):
        answer = json.loads(get(self.api + path, parameters))
        if answer["status"] != "success" or answer.get("warnings"):
            raise RuntimeError(json.dumps(answer))
        return answer["data"]

    def values(self, expression):
        """The values of an instant query, without NaN."""
        result = self.ask("query", {"query": expression})["result"]
        return [series for series in result if not math.isnan(float(series["value"][1]))]

    def rules(self):
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def active_alerts(self):
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]}


def with_variables(expression):
    for name, value in GRAFANA.items():
        expression = re.sub(rf"\$({name}\b|\{{{name}\}})", value, expression)
    return re.sub(r"\$(\w+|\{\w+\})", ".*", expression)


def queries_of_dashboard(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield Query(f"panel `{panel['title']}`", with_variables(target["expr"]), True)
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield Query(f"annotation `{annotation['name']}`", with_variables(annotation["expr"]), False)


def check_variables(prometheus, dashboard):
    """Variables are asked for with `label_values(selector, label)`."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
        if not prometheus.ask(f"label/{label}/values", {"match[]": with_variables(selector)}):
            yield f"variable `{variable['name']}` has no values"


def outside_of_strings(expression):
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)


def check_names(query, metrics, labels):
    """Whether each metric and each label of the query is one that the worker shows."""
    bare = outside_of_strings(query.expression)
    for name in re.findall(r"(?<![\w:])(?:consumer|process)_\w+(?!\w*:)", bare):
        if name not in metrics:
            yield f"{query.place}: the worker shows no metric `{name}`"
    lists = re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right) *\(([^)]*)\)", bare)
    used = {label.strip() for names in lists for label in names.split(",") if label.strip()}
    for label in sorted(used - labels - OWN_LABELS):
        yield f"{query.place}: the worker shows no label `{label}`"


def check_selectors(query, prometheus):
    """Whether each selector finds a series: an alert that doesn't fire would hide a wrong one."""
    for name, matchers in re.findall(r"(?<![\w:])((?:consumer|process)_\w+|up)\b(?!:)(\{[^}]*\})?", query.expression):
        if not prometheus.values(name + matchers):
            yield f"{query.place}: `{name}{matchers}` finds nothing"


def check_query(query, prometheus):
    try:
        values = prometheus.values(query.expression)
    except RuntimeError as error:
        return [f"{query.place}: {error}"]
    if query.needs_data and not values:
        return [f"{query.place}: no data: {query.expression}"]
    return []


def check_rule(rule, labels):
    if rule["health"] != "ok":
        yield f"rule `{rule['name']}`: {rule['health']} {rule.get('lastError', '')}"
    for text in rule.get("annotations", {}).values():
        for label in re.findall(r"\$labels\.(\w+)", text):
            if label not in labels | OWN_LABELS:
                yield f"rule `{rule['name']}`: its text names the unknown label `{label}`"


def check_live(prometheus, metrics_url):
    dashboard = json.loads(read(DASHBOARD))
    samples = re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", get(metrics_url), re.M)
    metrics = {name for name, _ in samples}
    labels = {label for _, pairs in samples for label in re.findall(r"(\w+)=\"", pairs)}
    rules = prometheus.rules()
    queries = [
        # The query of a recording rule always has data, that of an alert only when it fires.
        Query(f"rule `{rule['name']}`", rule["query"], rule["type"] == "recording" or rule["name"] in EXPECTED_ALERTS)
        for rule in rules
    ]
    queries += queries_of_dashboard(dashboard)
    faults = [fault for rule in rules for fault in check_rule(rule, labels)]
    faults += check_variables(prometheus, dashboard)
    for query in queries:
        faults += check_names(query, metrics, labels)
        faults += check_selectors(query, prometheus)
        faults += check_query(query, prometheus)
    alerts = prometheus.active_alerts()
    if alerts != EXPECTED_ALERTS:
        faults.append(f"these alerts are active: {sorted(alerts)}; expected were {sorted(EXPECTED_ALERTS)}")
    return faults, f"{len(rules)} rules and {len(queries) - len(rules)} queries of the dashboard are right"


def check_down(prometheus):
    missing = {"KafkaMongoConsumerAllDown", "KafkaMongoConsumerDown"} - prometheus.active_alerts()
    return [f"{alert} does not notice it" for alert in sorted(missing)], "the alerts notice it"


def until_right(check):
    """Scrapes and evaluations take their time: tries until nothing is wrong."""
    deadline = time.monotonic() + PATIENCE
    while True:
        faults, success = check()
        if not faults:
            print(success, file=sys.stderr)
            return []
        if time.monotonic() > deadline:
            return faults
        time.sleep(1)


def answers(url):
    try:
        get(url)
    except (OSError, RuntimeError):
        return False
    return True


def main(command, *arguments):
    if command == "answers":
        return 0 if answers(*arguments) else 1
    if command == "texts":
        faults = check_texts()
    elif command == "live":
        prometheus = Prometheus(arguments[0])
        faults = until_right(lambda: check_live(prometheus, arguments[1]))
    elif command == "down":
        prometheus = Prometheus(arguments[0])
        faults = until_right(lambda: check_down(prometheus))
    else:
        sys.exit(__doc__)
    for fault in dict.fromkeys(faults):
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
