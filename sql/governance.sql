/* ---------------------------------------------------------------------------------------------------------------- */
/* Windows                                                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

create function gov_window(
    cadence text,
    anchor_at timestamptz default null,
    timezone text default 'UTC',
    at timestamptz default now(),
    out window_start timestamptz,
    out window_end timestamptz)
language c
stable
parallel safe
as 'MODULE_PATHNAME', 'gov_window_1_0';

revoke all on function gov_window(text, timestamptz, text, timestamptz) from public;

comment on function gov_window(text, timestamptz, text, timestamptz) is
$$The window of a budget that a point in time falls into.

cadence: how often the budget starts afresh, one ISO 8601 duration of one unit, 1 to 9999, such as P1M, P1W or PT1H; null
    never resets; anchor_at: where a window starts, with its local time of day; null for Monday 2001-01-01 00:00 local
    time, so that P1M is the calendar month; timezone: a name of pg_timezone_names; at: the point in time
result: window_start and window_end (exclusive); nulls for a null cadence
errors: 22023 malformed cadence, unknown time zone, infinite anchor_at or at, at too near the ends of the calendar;
    22004 null timezone or at$$;
