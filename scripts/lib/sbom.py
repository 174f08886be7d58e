"""Completes the bill of materials that cargo-cyclonedx has made: sbom.py SBOM TREE FOLDER, for scripts/sbom.

cargo-cyclonedx also lists crates that only a feature which is switched off would bring, because cargo's metadata has them.
`cargo tree` doesn't: what isn't in TREE, its output, is left out. FOLDER, where the bill was made, is left out of the names.
"""

import json
import sys


def compiled_crates(tree):
    """The crates of cargo's tree, as pairs of name and version. A line is `name vVERSION ...`."""
    crates = set()
    with open(tree, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if words:
                crates.add((words[0], words[1].removeprefix("v")))
    return crates


def main(sbom, tree, folder):
    with open(sbom, encoding="utf-8") as file:
        text = file.read().replace(f"path+file://{folder}", "path+file:///build")
    bill = json.loads(text)
    compiled = compiled_crates(tree)
    listed = {(component["name"], component["version"]) for component in bill["components"]}
    worker = bill["metadata"]["component"]
    missing = compiled - listed - {(worker["name"], worker["version"])}
    if missing:
        sys.exit(f"the bill lacks crates that are compiled: {sorted(missing)}")

    kept = [item for item in bill["components"] if (item["name"], item["version"]) in compiled]
    known = {item["bom-ref"] for item in kept} | {worker["bom-ref"]}
    bill["components"] = kept
    bill["dependencies"] = [
        {**entry, "dependsOn": [name for name in entry.get("dependsOn", []) if name in known]}
        for entry in bill["dependencies"]
        if entry["ref"] in known
    ]
    json.dump(bill, sys.stdout, indent=2, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
