"""Show budgets; carry out what an operator orders."""

import argparse
from collections.abc import Sequence

from aden.cli.budgets import shapes
from aden.cli.budgets.orders import VERBS, order_of
from aden.cli.budgets.state import notes_of, standings
from aden.cli.ledgers import ledger_here, ledger_to_read, say
from aden.ledger import Ledger
from aden.ledger.operator import AuditEntry


def add_budgets(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command's arguments."""
    # Suppressed, so that a verb does not take back what was said before it.
    shared, shows = _shared_arguments(argparse.SUPPRESS)
    budgets = commands.add_parser(
        "budgets",
        parents=_shared_arguments(None),
        help="how budgets stand; reset, raise, freeze, confirm",
    )
    verbs = budgets.add_subparsers(dest="verb", metavar="verb")
    verbs.add_parser("show", parents=[shared, shows], help="how each budget stands (the default)")
    verbs.add_parser("holds", parents=[shared], help="what is open, and what is unconfirmed")
    verbs.add_parser("audit", parents=[shared], help="who ordered what, when and why")
    for verb, meaning in _ORDERS.items():
        order = verbs.add_parser(verb, parents=[shared], help=meaning)
        order.add_argument("--why", required=True, help="the reason, for the audit table")
        order.add_argument("--who", help="default: the user of this process")
        order.add_argument("operation" if verb == "confirm" else "budget")
    verbs.choices["reset"].add_argument("--window", help="default: the present one")
    verbs.choices["raise"].add_argument(
        "--to", required=True, help="the new limit, in the budget's unit; 'policy' takes it back"
    )
    verbs.choices["confirm"].add_argument(
        "--amount", action="append", help="BUDGET=AMOUNT that it really cost; may be repeated"
    )
    budgets.set_defaults(run=run_budgets)


def _shared_arguments(
    default: str | None,
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The arguments of every verb, and those of the verbs that show.

    For each parser with another default anew: one is kept with the argument, which parents share.
    """
    shared = argparse.ArgumentParser(add_help=False, argument_default=default)
    shared.add_argument("--ledger", help="default: ADEN_LEDGER, or this user's ledger file")
    shared.add_argument("--json", action="store_true", help="for programs")
    shows = argparse.ArgumentParser(add_help=False, argument_default=default)
    shows.add_argument("--all", action="store_true", help="also windows that are over")
    return shared, shows


_ORDERS = {
    "reset": "begin a budget's window anew",
    "raise": "let a budget bear more than its policy says",
    "freeze": "refuse all that costs on a budget",
    "unfreeze": "let it go on",
    "confirm": "settle what a dead process left unconfirmed",
}
assert tuple(_ORDERS) == VERBS


def run_budgets(chosen: argparse.Namespace) -> int:
    """Carry the command out; 1 where there was nothing to confirm.

    Raises:
        ConfigurationError: The budget, an amount or the ledger is wrong.
    """
    nothing = None
    if chosen.verb in VERBS:
        ledger = ledger_here(chosen.ledger)
    else:
        ledger, nothing = ledger_to_read(chosen.ledger)
    try:
        if chosen.verb in VERBS:
            return _carry_out(ledger, chosen)
        if nothing is not None:
            say(nothing, aside=chosen.json)
        print(_shown(ledger, chosen))
        return 0
    finally:
        ledger.close()


def _carry_out(ledger: Ledger, chosen: argparse.Namespace) -> int:
    done = [ledger.order(order) for order in order_of(ledger, chosen)]
    if not done or not all(done):
        where = "`aden budgets holds`" if chosen.verb == "confirm" else "`aden budgets show --all`"
        named = chosen.operation if chosen.verb == "confirm" else chosen.budget
        print(f"there is nothing to {chosen.verb} of {named}: see {where}")
        return 1
    if chosen.verb == "confirm":
        done_now = [each for each in ledger.audit() if each.operation == chosen.operation]
        print(_audit(ledger, chosen, done_now))
    else:
        mine = [each for each in standings(ledger) if each.budget == chosen.budget and each.current]
        print(shapes.as_json(mine) if chosen.json else shapes.table(mine))
    return 0


def _shown(ledger: Ledger, chosen: argparse.Namespace) -> str:
    if chosen.verb == "holds":
        held = ledger.holds()
        return (
            shapes.holds_json(held) if chosen.json else shapes.holds_table(held, notes_of(ledger))
        )
    if chosen.verb == "audit":
        return _audit(ledger, chosen, tuple(ledger.audit()))
    found = [each for each in standings(ledger) if each.current or chosen.all]
    return shapes.as_json(found) if chosen.json else shapes.table(found)


def _audit(ledger: Ledger, chosen: argparse.Namespace, done: Sequence[AuditEntry]) -> str:
    return shapes.audit_json(done) if chosen.json else shapes.audit_table(done, notes_of(ledger))
