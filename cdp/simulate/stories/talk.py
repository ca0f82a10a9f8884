"""What people say beside the code: chats, mailing lists, trackers, wikis, forums, social media, events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cdp.simulate.chance import Weighted, few
from cdp.simulate.event import Event
from cdp.simulate.scale import PROJECTS_MAX
from cdp.simulate.stories.scene import Scene

REPLIES_MAX = 30
_BY_THE_AUTHOR = frozenset({"member_leave", "attended-event", "page-updated", "blogpost-updated"})


@dataclass(frozen=True, slots=True)
class Kind:
    platform: str
    weight: float
    opening: str
    reply: str = ""
    replies: float = 0.0
    """Mean number."""
    others: tuple[tuple[str, float], ...] = ()
    """More that may follow: (type, share of openings)."""
    reply_hours: float = 2.0


KINDS = (
    Kind("slack", 6, "message", "message", 2, reply_hours=0.3),
    Kind("slack", 1, "channel_joined"),
    Kind("discord", 3, "message", "message", 1, reply_hours=0.2),
    Kind("discord", 2, "thread_started", "thread_message", 2.5, reply_hours=0.5),
    Kind("discord", 0.7, "joined_guild"),
    Kind("groupsio", 4, "message", "message", 2, reply_hours=9),
    Kind("groupsio", 0.6, "member_join", others=(("member_leave", 0.3),), reply_hours=400),
    Kind(
        "jira", 5, "issue-created", "issue-comment-created", 1.5,
        (("issue-assigned", 0.5), ("issue-updated", 0.6), ("issue-comment-updated", 0.15),
         ("issue-attachment-added", 0.1), ("issue-closed", 0.6)),
        20,
    ),
    Kind(
        "confluence", 2, "page-created", "comment-created", 0.4,
        (("page-updated", 0.8), ("attachment-created", 0.12), ("attachment", 0.08), ("comment", 0.08)),
        30,
    ),
    Kind("confluence", 0.5, "blogpost-created", others=(("blogpost-updated", 0.4),), reply_hours=30),
    Kind("stackoverflow", 1.5, "question", "answer", 1.2, reply_hours=20),
    Kind("discourse", 2, "create_topic", "message_in_topic", 3, (("like", 0.8),), 6),
    Kind("discourse", 0.5, "join"),
    Kind("devto", 0.4, "comment"),
    Kind("hackernews", 0.5, "post", "comment", 3, reply_hours=2),
    Kind("reddit", 0.6, "post", "comment", 3, reply_hours=3),
    Kind("linkedin", 0.5, "comment", others=(("reaction", 0.9),)),
    Kind("twitter", 0.8, "mention", others=(("hashtag", 0.4), ("follow", 0.3))),
    Kind("cvent", 0.4, "registered-event", others=(("attended-event", 0.7),), reply_hours=400),
)  # fmt: skip


def talk(scene: Scene) -> list[Event]:
    kind = _menu(scene.project.talk_platforms).draw(scene.rng)
    author = scene.person() or scene.actor()
    channel = scene.project.channel(scene.rng, kind.platform)
    url = channel if channel.startswith("https:") else f"https://{kind.platform}.example/{scene.project.slug}"
    key = scene.node_id("t")
    title = "" if kind.platform in ("slack", "discord") else scene.headline()
    opening = scene.event(
        kind.opening, author, scene.today(author), key,
        platform=kind.platform, channel=channel or url, title=title, url=url, **scene.text_of(),
    )  # fmt: skip
    found, last = [opening], opening.seconds
    follow_ups = [kind.reply] * few(scene.rng, kind.replies, REPLIES_MAX) if kind.reply else []
    follow_ups += [type_ for type_, share in kind.others if scene.chance(share)]
    for type_ in follow_ups:
        is_author = type_ in _BY_THE_AUTHOR or scene.chance(0.25)
        speaker = author if is_author else scene.person() or author
        last = scene.later(speaker, last, kind.reply_hours)
        found.append(
            scene.event(
                type_,
                speaker,
                last,
                scene.node_id("r"),
                platform=kind.platform,
                channel=opening.channel,
                parent=opening,
                source_parent_id=key,
                title=title,
                url=url,
                **scene.text_of(),
            )
        )
    return found


_BY_PLATFORM = {
    platform: [kind for kind in KINDS if kind.platform == platform] for platform in {kind.platform for kind in KINDS}
}


@lru_cache(PROJECTS_MAX)
def _menu(platforms: tuple[str, ...]) -> Weighted[Kind]:
    kinds = [kind for platform in platforms for kind in _BY_PLATFORM[platform]]
    return Weighted(kinds, [kind.weight for kind in kinds])
