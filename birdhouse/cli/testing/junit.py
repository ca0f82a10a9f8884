"""The outcomes as JUnit XML, which most CI systems show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from birdhouse.cli.testing.run import Outcome

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Sequence[Outcome], details: Sequence[str], suite: str) -> bytes:
    """`details` has a text for each outcome, empty for those that passed."""
    failures = sum(not outcome.passed for outcome in outcomes)
    root = ElementTree.Element("testsuites")
    element = ElementTree.SubElement(
        root,
        "testsuite",
        name=suite,
        tests=str(len(outcomes)),
        failures=str(failures),
        errors="0",
        skipped="0",
        time=f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    )
    for outcome, detail in zip(outcomes, details, strict=True):
        file = outcome.case.file
        case = ElementTree.SubElement(
            element, "testcase", classname=file.stem, name=outcome.case.name, time=f"{outcome.seconds:.3f}"
        )
        if not outcome.passed:
            failure = ElementTree.SubElement(case, "failure", message=_clean(outcome.message))
            failure.text = _clean(detail)
        if outcome.note:
            ElementTree.SubElement(case, "system-out").text = _clean(outcome.note)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("�", text)
