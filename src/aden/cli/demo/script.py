"""What the demo's callers say."""

INSTRUCTIONS = (
    "You are the telephone assistant of a small hotel by the sea. You speak with guests, so answer "
    "in plain spoken sentences without lists. Breakfast is from seven to ten, the front desk is "
    "open all night, the beach is four minutes away on foot, bicycles are at the side entrance, "
    "and the last shuttle to the station leaves at half past nine in the evening. "
)

_SHORT = (
    "When is breakfast?",
    "Tell me in detail what I can do here on a rainy day.",  # interrupted
    "How far is the beach?",
    "Do you rent out bicycles?",
    "When does the last shuttle leave?",
    "Is somebody at the desk at night?",
    "Can I bring my dog?",
    "What is the weather like tomorrow?",
)
_LONG = (
    "Describe the way to the beach in detail.",
    "Tell me in detail about the history of the house.",
    "Plan a whole day for us in detail, please.",
    "Explain the breakfast in detail.",
)

TURNS = (*_SHORT, *_SHORT[2:], *_LONG, *_SHORT[2:] * 12)
"""More than the budget bears: the conversation ends when it is refused."""

REFUSED_TURNS = 2
"""So many refusals, and the caller hangs up."""
