"""What a policy does, shown without doing it: explain one request, test exchanges, compare two policies.

It runs the program that `run` runs, with an observer, in front of doubles: nothing is sent, and nothing is opened.
"""

from ai_gateway_mw.explain.asked import (
    Asked,
    NoRequest,
    NoSuchKey,
    body_of,
    field_of,
    from_curl,
    from_file,
    from_har,
    of_data,
)
from ai_gateway_mw.explain.comparing import Compared, Sample, compared, samples_of
from ai_gateway_mw.explain.course import ActionTaken, Considered, Course, RuleTaken, Sent
from ai_gateway_mw.explain.differences import Change, changes
from ai_gateway_mw.explain.doubles import CANNED_APP, Providers
from ai_gateway_mw.explain.exchanges import exchanges_schema, files_of, load_exchanges, policy_of
from ai_gateway_mw.explain.judging import Difference, Verdict, asked_of, explained, judged
from ai_gateway_mw.explain.lines import lines_of
from ai_gateway_mw.explain.live import Live, StoredKeys
from ai_gateway_mw.explain.rehearsal import Rehearsal

__all__ = [
    "CANNED_APP",
    "ActionTaken",
    "Asked",
    "Change",
    "Compared",
    "Considered",
    "Course",
    "Difference",
    "Live",
    "NoRequest",
    "NoSuchKey",
    "Providers",
    "Rehearsal",
    "RuleTaken",
    "Sample",
    "Sent",
    "StoredKeys",
    "Verdict",
    "asked_of",
    "body_of",
    "changes",
    "compared",
    "exchanges_schema",
    "explained",
    "field_of",
    "files_of",
    "from_curl",
    "from_file",
    "from_har",
    "judged",
    "lines_of",
    "load_exchanges",
    "of_data",
    "policy_of",
    "samples_of",
]
