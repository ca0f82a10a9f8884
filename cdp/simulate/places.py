"""Where people and organizations say they are. The texts are as people write them, so that a country rule meets names
inside other names, abbreviations, cities alone, and nothing at all."""

from __future__ import annotations

from typing import NamedTuple

from cdp.simulate.chance import Weighted


class Place(NamedTuple):
    text: str
    country: str
    """English name; empty where the profile has none."""
    offset_hours: int
    """Of the clock people there live by, in northern summer."""


_PLACES: tuple[tuple[float, str, str, int], ...] = (
    (9, "San Francisco, CA", "United States", -7),
    (6, "Seattle, Washington, United States", "United States", -7),
    (6, "Austin, Texas, United States", "United States", -5),
    (4, "Raleigh, North Carolina, USA", "", -4),
    (3, "Bloomington, Indiana, United States", "United States", -4),
    (2, "Trenton, New Jersey", "", -4),
    (2, "Atlanta, Georgia, USA", "", -4),
    (2, "USA", "", -5),
    (4, "Toronto, Canada", "Canada", -4),
    (2, "Mexico City, Mexico", "Mexico", -6),
    (4, "São Paulo, Brazil", "Brazil", -3),
    (2, "Buenos Aires, Argentina", "Argentina", -3),
    (5, "London, United Kingdom", "United Kingdom", 1),
    (3, "UK", "", 1),
    (1, "Saint Helier, Jersey", "Jersey", 1),
    (6, "Berlin", "", 2),
    (5, "München, Germany", "Germany", 2),
    (4, "Paris, France", "France", 2),
    (3, "Amsterdam, Netherlands", "Netherlands", 2),
    (2, "Warszawa, Poland", "Poland", 2),
    (2, "Brno, Czechia", "Czechia", 2),
    (2, "Bucharest, Romania", "Romania", 3),
    (2, "Kyiv, Ukraine", "Ukraine", 3),
    (2, "Tel Aviv, Israel", "Israel", 3),
    (2, "Istanbul, Turkey", "Turkey", 3),
    (7, "Bengaluru, India", "India", 5),
    (4, "Pune, Maharashtra, India", "India", 5),
    (6, "Beijing, China", "China", 8),
    (4, "Shenzhen, China", "China", 8),
    (3, "Tokyo, Japan", "Japan", 9),
    (2, "Seoul, South Korea", "", 9),
    (1, "Pyongyang, North Korea", "", 9),
    (2, "Singapore", "Singapore", 8),
    (3, "Sydney, Australia", "Australia", 10),
    (1, "Wellington, New Zealand", "New Zealand", 12),
    (2, "Lagos, Nigeria", "Nigeria", 1),
    (1, "Niamey, Niger", "Niger", 1),
    (1, "Muscat, Oman", "Oman", 4),
    (1, "Bamako, Mali", "Mali", 0),
    (1, "Mogadishu, Somalia", "Somalia", 3),
    (1, "Conakry, Guinea", "Guinea", 0),
    (1, "Port Moresby, Papua New Guinea", "Papua New Guinea", 10),
    (1, "Roseau, Dominica", "Dominica", -4),
    (1, "Santo Domingo, Dominican Republic", "Dominican Republic", -4),
    (1, "Juba, South Sudan", "South Sudan", 2),
    (1, "Khartoum, Sudan", "Sudan", 2),
    (2, "Nairobi, Kenya", "Kenya", 3),
    (2, "Cape Town, South Africa", "South Africa", 2),
    (2, "Prague & Vienna", "", 2),
    (2, "the internet", "", 0),
    (8, "", "", 1),
)

PLACES = Weighted([Place(*place[1:]) for place in _PLACES], [place[0] for place in _PLACES])
