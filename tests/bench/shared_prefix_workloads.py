"""Prompts that begin alike, as token ids: what shared_prefix.py sends. Pure and seeded, so that every server gets the same ones.

A conversation is a list of turns; a turn's prompt is all that was said before, answers included, and new ids. Lanes are clients
in a closed loop: each takes the next turn of the next conversation of its list once it has the answer before.
"""
import math
import random
from dataclasses import dataclass

BLOCK_TOKENS = 16
VOCABULARY = 1000  # ids of prompts lie below it: every model has them
IN_FLIGHT = 8


@dataclass(frozen=True)
class Turn:
    new_ids: tuple
    answer_tokens: int

    @property
    def tokens(self):
        return len(self.new_ids) + self.answer_tokens


@dataclass(frozen=True)
class Workload:
    name: str
    common_tokens: int   # that every conversation begins with
    conversations: list  # of lists of Turns
    lanes: list          # of lists of conversations' indices; the n-th time that one is in its lane is its n-th turn

    @property
    def requests(self):
        return sum(len(turns) for turns in self.conversations)

    @property
    def lengths(self):
        """Of the conversations at their ends, in tokens."""
        return [sum(turn.tokens for turn in turns) for turns in self.conversations]

    @property
    def blocks(self):
        """That hold all conversations at their ends, what is common once."""
        common = self.common_tokens // BLOCK_TOKENS
        return common + sum(-(-length // BLOCK_TOKENS) - common for length in self.lengths)


class Sizes:
    """Counts and lengths of a scale: both shrink by its square root, so that the work shrinks by about the scale."""

    def __init__(self, scale):
        self.factor = math.sqrt(scale)

    def of(self, full, least=1):
        return max(least, round(full * self.factor))


class Ids:
    """Of one conversation, or of what all of them have in common."""

    def __init__(self, name):
        self.random = random.Random(name)

    def some(self, sizes, shortest, longest=None):
        tokens = sizes.of(self.random.randint(shortest, longest or shortest))
        return tuple(self.random.randrange(10, VOCABULARY) for _ in range(tokens))


def system(sizes, _context):
    """One system prompt before many different questions."""
    common, answer = Ids("system").some(sizes, 1024), sizes.of(32, 4)
    questions = [[Turn(common + Ids(f"question {at}").some(sizes, 32, 96), answer)] for at in range(sizes.of(30) * IN_FLIGHT)]
    return Workload("system", len(common), questions, [list(range(lane, len(questions), IN_FLIGHT)) for lane in range(IN_FLIGHT)])


def chats(sizes, _context):
    """Chats of several turns. Between two turns of one, all others of its lane have theirs, in another order each time."""
    common, answer, turns = Ids("assistant").some(sizes, 256), sizes.of(32, 4), 5
    conversations = []
    for at in range(sizes.of(200, IN_FLIGHT)):
        ids = Ids(f"chat {at}")
        opening = common + ids.some(sizes, 64, 128)
        conversations.append([Turn((opening if turn == 0 else ()) + ids.some(sizes, 32, 96), answer) for turn in range(turns)])
    order, lanes = random.Random("order of chats"), []
    for lane in range(IN_FLIGHT):
        own = list(range(lane, len(conversations), IN_FLIGHT))
        lanes.append([chat for _ in range(turns) for chat in order.sample(own, len(own))])
    return Workload("chats", len(common), conversations, lanes)


def agents(sizes, context):
    """A few agents, each with a task of its own whose tools' output makes the prompt longer, until the context is full."""
    common, answer, context = Ids("tools").some(sizes, 512), sizes.of(32, 4), sizes.of(context)
    conversations = []
    for at in range(sizes.of(8, 4)):
        ids = Ids(f"agent {at}")
        steps, next_step = [], Turn(common + ids.some(sizes, 64, 128), answer)
        while sum(step.tokens for step in steps) + next_step.tokens <= context:
            steps.append(next_step)
            next_step = Turn(ids.some(sizes, 64, 256), answer)
        conversations.append(steps)
    return Workload("agents", len(common), conversations, [[at] * len(steps) for at, steps in enumerate(conversations)])


WORKLOADS = {"system": system, "chats": chats, "agents": agents}
