/* ---------------------------------------------------------------------------------------------------------------- */
/* Logs: the ledger, the usage and the alerts as clients can read them                                              */
/*                                                                                                                  */
/* The window of a budget that never resets has neither start nor end: -infinity and infinity in the tables, which  */
/* most clients cannot read (psycopg, pgx, lib/pq, JDBC, postgres.js), and null here.                               */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_finite(times timestamptz[])
returns timestamptz[]
language sql
immutable
parallel safe
strict
return case
    when '-infinity' = any (times) or 'infinity' = any (times) then
        array(select case when isfinite(t.at) then t.at end from unnest(times) with ordinality t (at, place) order by t.place)
    else times
end;

comment on function @extschema@._gov_finite(timestamptz[]) is 'internal: the times, with null in place of -infinity and infinity';

create view @extschema@.gov_event_log with (security_invoker = true) as
select
    e.id,
    e.owner_id,
    e.capability_id,
    e.amount,
    case when exists (select from @extschema@.gov_forgotten) then @extschema@._gov_shown_ids(e.owner_id, e.id, e.entity_ids) else e.entity_ids end as entity_ids,
    case when exists (select from @extschema@.gov_forgotten) then @extschema@._gov_shown_dimensions(e.owner_id, e.id, e.dimensions) else e.dimensions end as dimensions,
    e.idempotency_key,
    e.request_hash,
    e.caller,
    e.occurred_at,
    e.recorded_at,
    e.counter_ids,
    @extschema@._gov_finite(e.window_starts) as window_starts,
    @extschema@._gov_finite(e.window_ends) as window_ends,
    e.reverses,
    e.call_event_ids,
    e.quantities,
    e.prices,
    e.draws
from @extschema@.gov_events e;

comment on view @extschema@.gov_event_log is 'gov_events, with null for the windows'' ends of budgets that never reset';
comment on column @extschema@.gov_event_log.id is 'as in gov_events';
comment on column @extschema@.gov_event_log.owner_id is 'as in gov_events';
comment on column @extschema@.gov_event_log.capability_id is 'as in gov_events';
comment on column @extschema@.gov_event_log.amount is 'as in gov_events';
comment on column @extschema@.gov_event_log.entity_ids is 'as in gov_events';
comment on column @extschema@.gov_event_log.dimensions is 'as in gov_events';
comment on column @extschema@.gov_event_log.idempotency_key is 'as in gov_events';
comment on column @extschema@.gov_event_log.request_hash is 'as in gov_events';
comment on column @extschema@.gov_event_log.caller is 'as in gov_events';
comment on column @extschema@.gov_event_log.occurred_at is 'as in gov_events';
comment on column @extschema@.gov_event_log.recorded_at is 'as in gov_events';
comment on column @extschema@.gov_event_log.counter_ids is 'as in gov_events';
comment on column @extschema@.gov_event_log.window_starts is 'for each of counter_ids the start of the window charged; null for a budget that never resets';
comment on column @extschema@.gov_event_log.window_ends is 'for each of counter_ids the end of the window charged, exclusive; null for a budget that never resets';
comment on column @extschema@.gov_event_log.reverses is 'as in gov_events (since 1.1.0)';
comment on column @extschema@.gov_event_log.call_event_ids is 'as in gov_events (since 1.1.0)';
comment on column @extschema@.gov_event_log.quantities is 'as in gov_events (since 1.1.0)';
comment on column @extschema@.gov_event_log.prices is 'as in gov_events (since 1.1.0)';
comment on column @extschema@.gov_event_log.draws is 'as in gov_events; gov_event_draws says it by grants (since 1.1.0)';

create view @extschema@.gov_usage_log with (security_invoker = true) as
select
    u.owner_id,
    u.assignment_id,
    u.counter_id,
    case when isfinite(u.window_start) then u.window_start end as window_start,
    case when isfinite(u.window_end) then u.window_end end as window_end,
    u.amount,
    u.event_count,
    u.pruned_amount,
    u.pruned_count,
    u.merged_windows,
    case when isfinite(u.leaves_at) then u.leaves_at end as leaves_at
from @extschema@.gov_usage u;

comment on view @extschema@.gov_usage_log is 'gov_usage, with null for the window of a budget that never resets';
comment on column @extschema@.gov_usage_log.owner_id is 'as in gov_usage';
comment on column @extschema@.gov_usage_log.assignment_id is 'as in gov_usage';
comment on column @extschema@.gov_usage_log.counter_id is 'as in gov_usage';
comment on column @extschema@.gov_usage_log.amount is 'as in gov_usage';
comment on column @extschema@.gov_usage_log.event_count is 'as in gov_usage';
comment on column @extschema@.gov_usage_log.pruned_amount is 'as in gov_usage';
comment on column @extschema@.gov_usage_log.pruned_count is 'as in gov_usage';
comment on column @extschema@.gov_usage_log.merged_windows is 'as in gov_usage';
comment on column @extschema@.gov_usage_log.leaves_at is 'of a grain of a window that slides: when it stops to count; null for all others, and once it has (since 1.1.0)';
comment on column @extschema@.gov_usage_log.window_start is 'null for a budget that never resets';
comment on column @extschema@.gov_usage_log.window_end is 'exclusive; null for a budget that never resets; where windows were merged, the end of the last';

create view @extschema@.gov_alert_log with (security_invoker = true) as
select
    a.id,
    a.owner_id,
    a.assignment_id,
    a.threshold,
    case when isfinite(a.window_start) then a.window_start end as window_start,
    a.usage,
    a.usage_limit,
    a.event_id,
    a.raised_at
from @extschema@.gov_alerts a;

comment on view @extschema@.gov_alert_log is 'gov_alerts, with null for the window of a budget that never resets';
comment on column @extschema@.gov_alert_log.id is 'as in gov_alerts';
comment on column @extschema@.gov_alert_log.owner_id is 'as in gov_alerts';
comment on column @extschema@.gov_alert_log.assignment_id is 'as in gov_alerts';
comment on column @extschema@.gov_alert_log.threshold is 'as in gov_alerts';
comment on column @extschema@.gov_alert_log.usage is 'as in gov_alerts';
comment on column @extschema@.gov_alert_log.usage_limit is 'as in gov_alerts';
comment on column @extschema@.gov_alert_log.event_id is 'as in gov_alerts';
comment on column @extschema@.gov_alert_log.raised_at is 'as in gov_alerts';
comment on column @extschema@.gov_alert_log.window_start is 'null for a budget that never resets';
