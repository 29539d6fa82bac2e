"""The hold table: every reason has a row, and the rows fit the policy and the state machine."""

import pytest

from rollouts.holds import HOLDS, Ends, Then
from rollouts.policy import HoldLimits
from rollouts.rollout import HoldReason


@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_has_a_row(reason):
    row = HOLDS[reason]
    assert row.person, "a person is told what to type"
    assert (row.then is Then.STAYS) == (row.limit is None), "a limit without a consequence is a lie, and the other way"


@pytest.mark.parametrize("reason", [one for one in HoldReason if HOLDS[one].limit])
def test_every_limit_is_a_knob_of_the_policy(reason):
    assert HOLDS[reason].limit_seconds(HoldLimits()) > 0


def test_what_a_person_must_end_is_what_a_person_must_know():
    assert {reason for reason, row in HOLDS.items() if row.ends is Ends.BY_A_PERSON} == {
        HoldReason.APPROVAL,
        HoldReason.DEADLINE,
        HoldReason.BASELINE_CHANGED,
        HoldReason.CANARY_CHANGED,
        HoldReason.ROLLBACK_ASKED,
        HoldReason.DEPLOYED_TO_LIVE,
    }


def test_silence_alone_never_promotes():
    assert HOLDS[HoldReason.BLIND].then is Then.AS_POLICY_SAYS
    assert HOLDS[HoldReason.UNOBSERVED].then is Then.ROLLS_BACK
    assert not HOLDS[HoldReason.BLIND].proof_resumes


def test_a_hold_that_may_pass_by_itself_in_a_moment_is_told_only_when_it_lasts():
    quiet = {reason for reason, row in HOLDS.items() if row.quiet_intervals != 0}
    assert quiet == {
        HoldReason.BLIND,  # until its limit: telemetry comes late often
        HoldReason.ONE_INSTANCE,
        HoldReason.POOL_UNREADABLE,
        HoldReason.MARKER_UNKNOWN,
        HoldReason.BASELINE_DOWN,
    }
    assert HOLDS[HoldReason.BLIND].quiet_intervals is None


def test_what_hurts_users_is_reminded_of_more_often_and_what_was_wished_less():
    hour = 3600
    often = {reason for reason, row in HOLDS.items() if row.reminder_seconds < hour}
    assert often == {HoldReason.ROLLBACK_ASKED, HoldReason.CANNOT_WRITE, HoldReason.MODE}
    assert {reason for reason, row in HOLDS.items() if row.reminder_seconds > hour} == {HoldReason.OFF}
