"""Stories: what happens in a project, told as the activities its connectors would report.

A story is a function of a scene. It answers its activities in any order; those of a later day come with their time.
"""

from __future__ import annotations

from collections.abc import Callable

from cdp.simulate.chance import Weighted
from cdp.simulate.event import Event
from cdp.simulate.stories.changesets import changeset
from cdp.simulate.stories.commits import commit
from cdp.simulate.stories.discussions import discussion, fork, issue, star
from cdp.simulate.stories.pull_requests import github_pull_request, gitlab_merge_request
from cdp.simulate.stories.scene import Scene
from cdp.simulate.stories.talk import talk

Story = Callable[[Scene], list[Event]]

# Weights count stories, not activities: a pull request has about eight of them.
STORIES: dict[str, Weighted[Story]] = {
    "github": Weighted((commit, github_pull_request, issue, star, fork, discussion, talk), (52, 14, 17, 30, 7, 2, 16)),
    "gitlab": Weighted((commit, gitlab_merge_request, issue, star, fork, talk), (52, 14, 15, 14, 5, 16)),
    "gerrit": Weighted((commit, changeset, talk), (40, 16, 26)),
}

__all__ = ["STORIES", "Scene"]
