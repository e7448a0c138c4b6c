"""Fewer changes of a case that still show the same."""


def fewest_changes(case, outcome, server):
    """The case without the changes that it does not need: one after another is left out, as long as any can be."""
    left = True
    while left:
        left = False
        for i in reversed(range(len(case.changes))):
            fewer = case._replace(changes=case.changes[:i] + case.changes[i + 1:])
            found = server.one(fewer)
            if (found.bucket, found.where) == (outcome.bucket, outcome.where):
                case, left = fewer, True
    return case
