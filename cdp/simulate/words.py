"""The words names and texts are made of."""

from __future__ import annotations

from random import Random
from typing import Literal

from cdp.simulate.chance import one_of

Tone = Literal["positive", "neutral", "negative"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    """Between bars; a line ends with one, and an empty phrase is one too."""
    return tuple("".join(line.strip() for line in text.splitlines()).split("|"))


FIRST_NAMES = _words(
    """
    Ada Aiko Alejandra Amara Ana Andrei Anja Arjun Astrid Ayşe Bao Beatriz Björn Camille Chen Chidi Clara Dana
    Daniel Deepa Diego Elena Emeka Emil Erik Farid Fatima Felix Gabriela Grace Hana Hao Hugo Ibrahim Ines Ingrid
    Ivan Jamal Jana Jin Joana Jonas Julia Kamala Karim Kateryna Keiko Kofi Lars Leila Lina Lucas Maja Marek Maria
    Mateo Mei Mihai Mina Nadia Nia Nils Noah Noor Olga Omar Oscar Paula Pedro Priya Rafael Rahul Rania Ravi Rosa
    Sana Sandra Sara Sean Sergio Siobhán Sofia Søren Takumi Tariq Thandi Tomás Tuan Uma Vera Victor Wanjiru Wei Yara
    Yusuf Zoë Zuzana
    """
)
LAST_NAMES = _words(
    """
    Abebe Adeyemi Ahmed Almeida Andersen Bauer Becker Bianchi Brown Castro Chen Costa Cruz Dąbrowski Das Díaz Dubois
    Eze Fernández Fischer Fonseca García Goldberg González Gupta Haddad Hansen Hernández Hoang Horvat Hughes Ito
    Ivanova Jansen Johansson Kamau Kaplan Khan Kim Kováč Kowalski Kumar Lee Lefèvre Li Lindqvist Liu López Martin
    Meyer Miller Mohamed Moreau Müller Murphy Nakamura Ndlovu Nguyen Novák O'Brien Okafor Okoye Öztürk Park Patel
    Pereira Petrov Popescu Rao Ricci Rodríguez Rossi Sato Schmidt Schneider Shah Sharma Silva Singh Smith Sokolov
    Suzuki Tanaka Torres Tran Vasquez Virtanen Vogel Walker Wang Weber Wilson Wong Yamamoto Yılmaz Zhang Zhou
    """
)
ORGANIZATION_WORDS = _words(
    """
    Northwind Bluefjord Redstone Granite Harbor Lumen Quartz Summit Cobalt Meridian Juniper Cedar Falcon Orchid
    Delta Vertex Polar Solstice Beacon Riverbend Ironwood Silverline Copper Aurora Cascade Tidal Ember Willow Nimbus
    Prairie Basalt Kestrel Lantern Mosaic
    """
)
ORGANIZATION_ENDINGS = _words(
    """
    Systems Labs Software Cloud Networks Technologies Bank Robotics University Foundation Research Energy Telecom
    Semiconductors Motors Health
    """
)
INDUSTRIES = (
    "Software",
    "Cloud",
    "Banking",
    "Telecommunications",
    "Semiconductors",
    "Education",
    "Automotive",
    "Energy",
    "",
)
TITLES = (
    "Software Engineer",
    "Senior Software Engineer",
    "Staff Engineer",
    "Site Reliability Engineer",
    "Technical Writer",
    "Developer Advocate",
    "Engineering Manager",
    "Research Assistant",
    "Student",
    "",
)
PROJECT_ADJECTIVES = _words(
    """
    Amber Bold Bright Calm Clear Crimson Deep Early Fair Fleet Gentle Golden Grand Green Hidden Keen Light Little
    Lively Lucid Lunar Mellow Misty Nimble Noble Open Pale Quick Quiet Rapid Royal Sharp Silent Solar Steady Still
    Swift True Vivid Wild
    """
)
PROJECT_NOUNS = _words(
    """
    Anchor Arrow Atlas Bridge Canvas Compass Crane Current Engine Fabric Ferry Forge Gate Glacier Grove Hammer
    Harbor Heron Kernel Kite Ladder Lattice Lens Loom Mesh Mill Nest Orbit Otter Pilot Press Quarry Relay Reef Sail
    Signal Spindle Tower Vault Weaver
    """
)
GROUP_NAMES = (
    "Cloud Foundations",
    "Independent Projects",
    "Edge Computing",
    "Data Commons",
    "Open Networking",
    "Machine Learning",
    "Embedded Systems",
    "Developer Tools",
    "Open Energy",
    "Security Alliance",
    "Open Media",
    "Public Health",
)
REPOSITORY_PARTS = _words(
    """
    core docs cli server operator website examples sdk-python sdk-go charts community infra
    """
)
TEAMS = _words(
    """
    dev users announce general help security releases random contributors
    """
)

_VERBS = _phrases(
    """
    Add|Fix|Remove|Refactor|Document|Test|Speed up|Simplify|Deprecate|Bump|Revert|Handle|Support|Validate|Rename|
    Cache
    """
)
_THINGS = _phrases(
    """
    retry loop|config parser|health endpoint|TLS handshake|scheduler queue|metrics exporter|token refresh|
    CSV reader|memory limit|error message|build cache|integration test|"dry run" flag|UTF-8 names like Zoë|
    watch API|C:\\\\temp paths|release notes|log levels|pagination|leader election|schema migration|rate limiter
    """
)
_PLACES = _phrases(
    """
    in the controller|for arm64|on Windows|when the disk is full|behind a proxy|after an upgrade|in tests|
    for large inputs||||
    """
)

_SENTENCES: dict[Tone, tuple[str, ...]] = {
    "positive": (
        "Thanks a lot, this is great work!",
        "Works perfectly now, much faster than before. 🎉",
        "Really nice improvement, I love how small the change is.",
        "Awesome, happy to see this merged.",
    ),
    "neutral": (
        "The function returns the previous value when the key exists.",
        "See the attached log for the full output.",
        'I ran `make test` and get:\n```\nexpected "a"\n     got "b"\n```',
        "Could you rebase on main?",
        "Which version do you use?",
        "Closes the gap between docs and code.",
        "すこし時間をください。",
    ),
    "negative": (
        "This is broken again and the error message is useless.",
        "The upgrade failed badly, we lost a whole day.",
        "Sadly this crashes every time, it is a terrible regression.",
    ),
}


def headline(rng: Random) -> str:
    text = f"{one_of(rng, _VERBS)} {one_of(rng, _THINGS)} {one_of(rng, _PLACES)}"
    return text.rstrip()


def tone(rng: Random) -> Tone:
    drawn = rng.random()
    return "neutral" if drawn < 0.62 else "positive" if drawn < 0.87 else "negative"


def sentences(rng: Random, tone: Tone) -> str:
    text = one_of(rng, _SENTENCES[tone])
    while rng.random() < 0.35:
        text = f"{text} {one_of(rng, _SENTENCES['neutral'])}"
    return text
