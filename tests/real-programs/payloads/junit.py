"""Prints one line per test of a JUnit report, sorted: its name and what became of it."""
import sys
import xml.etree.ElementTree as tree

lines = []
for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
    verdict = ",".join(sorted(child.tag for child in case if child.tag not in ("system-out", "system-err"))) or "ok"
    lines.append(f"{case.get('name')} {case.get('result', '')} {verdict}")
if len(lines) < 1000:
    sys.exit(f"only {len(lines)} tests in {sys.argv[1]}: the modules did not run")
print(*sorted(lines), sep="\n")
