"""NCRONTAB, the schedule of timer triggers: six fields with seconds first (or five), in UTC."""

from croniter import CroniterError, croniter  # type: ignore[import-untyped]  # it ships no types


def check(schedule: str) -> None:
    """Raise ValueError with what is wrong and what to write.

    >>> check("*/5 * * * * *")
    >>> check("00:05:00")
    Traceback (most recent call last):
    ValueError: schedule '00:05:00' has 1 fields: write second minute hour day month day-of-week
    """
    fields = len(schedule.split())
    if fields not in (5, 6):
        raise ValueError(f"schedule {schedule!r} has {fields} fields: write second minute hour day month day-of-week")
    try:
        croniter(schedule, 0.0, second_at_beginning=True, day_or=False)
    except (CroniterError, ValueError, TypeError) as error:
        raise ValueError(f"schedule {schedule!r}: {error}; every fifth second is '*/5 * * * * *'") from error


def following(schedule: str, now: float) -> float:
    """The first occurrence after `now`, epoch seconds. Day and day of week must both match, as in NCRONTAB.

    >>> following("*/5 * * * * *", 12.2)
    15.0
    """
    found: float = croniter(schedule, now, second_at_beginning=True, day_or=False).get_next(float)
    return found
