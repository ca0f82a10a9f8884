"""Issues and discussions of a code host, with and without an answer, and the signs of interest: stars and forks."""

from __future__ import annotations

from cdp.moments import iso
from cdp.simulate.chance import few
from cdp.simulate.event import Event
from cdp.simulate.stories.scene import Scene

_UNANSWERED = 0.3
_CLOSED = 0.6
_UNSTARRED = 0.06


def issue(scene: Scene) -> list[Event]:
    author = scene.actor()
    opened_at = last = scene.today(author)
    key = scene.node_id("I_kwD") if scene.project.host == "github" else scene.number()
    title = scene.headline()
    url = f"{scene.repository.url}/issues/{scene.rng.getrandbits(15)}"
    opening = scene.event("issues-opened", author, opened_at, key, title=title, url=url, **scene.text_of())
    found = [opening]
    answers = 0 if scene.chance(_UNANSWERED) else 1 + few(scene.rng, 1.0, 12)
    for number in range(answers):
        speaker = scene.somebody_else(author) if number == 0 or scene.chance(0.6) else author
        if speaker is None:
            continue
        last = scene.later(speaker, last, 11)
        found.append(
            scene.event(
                "issue-comment",
                speaker,
                last,
                scene.node_id("IC_"),
                parent=opening,
                source_parent_id=key,
                title=title,
                url=url,
                **scene.text_of(),
            )
        )
    if scene.chance(_CLOSED):
        closer = scene.somebody_else(author) or author
        last = scene.later(closer, last, 40)
        source_id = f"gen-CE_{key}_{closer.login}_{iso(last)}"
        found.append(
            scene.event(
                "issues-closed", closer, last, source_id, parent=opening, source_parent_id=key, title=title, url=url
            )
        )
    return found


def discussion(scene: Scene) -> list[Event]:
    author = scene.actor()
    key = scene.node_id("D_kwD")
    started = scene.event(
        "discussion-started", author, scene.today(author), key, title=scene.headline(), **scene.text_of()
    )
    found, last, accepted = [started], started.seconds, scene.chance(0.4)
    for _ in range(few(scene.rng, 1.5, 10)):
        speaker = scene.actor()
        last = scene.later(speaker, last, 9)
        text = scene.text_of(isAnswer=accepted)
        accepted = False
        found.append(
            scene.event(
                "discussion-comment",
                speaker,
                last,
                scene.node_id("DC_"),
                parent=started,
                source_parent_id=key,
                title=started.title,
                **text,
            )
        )
    return found


def star(scene: Scene) -> list[Event]:
    person = scene.actor()
    found = [scene.event("star", person, scene.today(person), scene.node_id("S_"))]
    if scene.project.host == "github" and scene.chance(_UNSTARRED):
        seconds = scene.later(person, found[0].seconds, 100)
        found.append(scene.event("unstar", person, seconds, scene.node_id("U_")))
    return found


def fork(scene: Scene) -> list[Event]:
    person = scene.actor()
    return [scene.event("fork", person, scene.today(person), scene.node_id("F_"))]
