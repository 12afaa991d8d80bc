/* ---------------------------------------------------------------------------------------------------------------- */
/* Tables: what was used                                                                                            */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Written by the engine only. It has no foreign keys and no check constraints, because every call pays for the insert.
create table @extschema@.gov_events
(
    id bigint not null default nextval('@extschema@.gov_events_id_seq'),
    owner_id text collate "C" not null,
    capability_id text collate "C" not null,
    amount numeric not null,
    entity_ids text[] collate "C" not null,
    dimensions jsonb not null default '{}',
    idempotency_key text collate "C",
    request_hash bytea,
    caller text not null default '',
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    counter_ids bigint[] not null default '{}',
    window_starts timestamptz[] not null default '{}',
    window_ends timestamptz[] not null default '{}',
    reverses bigint,
    call_event_ids bigint[],
    quantities jsonb,
    prices jsonb,
    draws numeric[],

    constraint gov_events_pkey primary key (id)
)
using heap;

create unique index gov_events_key on @extschema@.gov_events (owner_id, idempotency_key)
    where idempotency_key is not null;

-- An owner's part of the tail that is not rolled up yet.
create index gov_events_owner_id_idx on @extschema@.gov_events (owner_id, id);

-- Events come nearly in the order of their times, so an index of block ranges serves, and costs a call next to nothing.
-- Autovacuum summarizes each range once it is full; a range without a summary is read whole, whatever time is asked for.
create index gov_events_occurred_at_idx on @extschema@.gov_events using brin (occurred_at) with (autosummarize = on);

-- The reversals of an event. No other row has an entry, so that no other call pays for it.
create index gov_events_reverses_idx on @extschema@.gov_events (reverses)
    where reverses is not null;

comment on table @extschema@.gov_events is 'the ledger: one row per recorded use, append-only';
comment on column @extschema@.gov_events.id is 'its id; ids are drawn in order and committed in any';
comment on column @extschema@.gov_events.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_events.capability_id is 'the capability that was used';
comment on column @extschema@.gov_events.amount is 'in the capability''s unit, exact to 9 decimals; negative for a correction';
comment on column @extschema@.gov_events.entity_ids is 'the resolved set: every entity that the call named, with all their ancestors, in order of first appearance';
comment on column @extschema@.gov_events.dimensions is 'the dimensions of the call, including those that name no entity';
comment on column @extschema@.gov_events.idempotency_key is 'unique per owner over events and holds';
comment on column @extschema@.gov_events.request_hash is 'SHA-256 of the call, to tell a repeated call from another one with the same key; null without a key';
comment on column @extschema@.gov_events.caller is 'governance.caller, or else application_name, of the session that recorded it';
comment on column @extschema@.gov_events.occurred_at is 'decides the window that the use falls into';
comment on column @extschema@.gov_events.recorded_at is 'when it was recorded, by the clock of the engine';
comment on column @extschema@.gov_events.counter_ids is 'the counters that it was charged to';
comment on column @extschema@.gov_events.window_starts is 'for each of counter_ids the start of the window charged';
comment on column @extschema@.gov_events.window_ends is 'for each of counter_ids the end of the window charged, exclusive';
comment on column @extschema@.gov_events.reverses is 'the event of which it gives something back, whose entities, dimensions and time it has; null for all others; gov_reverse() (since 1.1.0)';
comment on column @extschema@.gov_events.call_event_ids is 'the events that one call of several capabilities has recorded, this one included, in byte order of their capabilities; the first has the key; null for a use of one (since 1.1.0)';
comment on column @extschema@.gov_events.quantities is 'of a use that was given by quantities: how much of each; null for all others (since 1.1.0)';
comment on column @extschema@.gov_events.prices is 'of a use that was given by quantities: the price that each had, such as {"input": {"per": 1000000, "price": 2.5}} (since 1.1.0)';
comment on column @extschema@.gov_events.draws is 'what it drew from grants of pools: rows of a counter (gov_grants.counter_id, or debt_counter_id of a pool) and an amount. What pays an earlier debt stands before what it drew itself; null: it was charged to no pool. gov_event_draws shows it (since 1.1.0)';

-- A rollup updates many rows of a page at once. Where there is room for another version of each, no index is touched, and the
-- next one takes the room back; with less, every update writes all indexes, and the table grows to many times its size.
create table @extschema@.gov_usage
(
    owner_id text collate "C" not null,
    assignment_id uuid not null,
    counter_id bigint not null,
    window_start timestamptz not null,
    window_end timestamptz not null,
    amount numeric not null,
    event_count bigint not null,
    pruned_amount numeric not null default 0,
    pruned_count bigint not null default 0,
    merged_windows bigint,
    leaves_at timestamptz,

    constraint gov_usage_pkey primary key (counter_id, window_start)
)
using heap
with (fillfactor = 45);

create index gov_usage_assignment_id_idx on @extschema@.gov_usage (owner_id, assignment_id);

-- The windows that are to be merged, and those that are to be deleted after that, each in the order in which they become due. The
-- rollup updates no column of these indexes.
create index gov_usage_unmerged on @extschema@.gov_usage (window_end, counter_id) where merged_windows is null;

create index gov_usage_merged on @extschema@.gov_usage (window_end, counter_id) where merged_windows is not null;

-- Grains of windows that slide, in the order in which they leave.
create index gov_usage_grains on @extschema@.gov_usage (leaves_at, counter_id) where leaves_at > '-infinity';

comment on table @extschema@.gov_usage is 'what each budget had used per window up to the rollup''s watermark; earlier windows stay, short ones merged into days';
comment on column @extschema@.gov_usage.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_usage.assignment_id is 'the budget';
comment on column @extschema@.gov_usage.counter_id is 'the counter of the budget at that time; it changes where cadence, anchor or timezone make the present window another, and when it is recounted';
comment on column @extschema@.gov_usage.window_start is '-infinity for a budget that never resets';
comment on column @extschema@.gov_usage.window_end is 'exclusive; infinity for a budget that never resets; where windows were merged, the end of the last';
comment on column @extschema@.gov_usage.amount is 'what was used in the window, in the capability''s unit';
comment on column @extschema@.gov_usage.event_count is 'how many events that were';
comment on column @extschema@.gov_usage.pruned_amount is 'the part of amount whose ledger rows retention has deleted';
comment on column @extschema@.gov_usage.pruned_count is 'the part of event_count whose ledger rows retention has deleted';
comment on column @extschema@.gov_usage.merged_windows is 'of how many rows this one was made, for windows that started on one day; 1: it was looked at and stays as it is; null: it may still be merged (since 1.1.0)';
comment on column @extschema@.gov_usage.leaves_at is 'of a grain of a window that slides: when it stops to count; -infinity: it has, and the row is of all such grains that started on one day; null: of another budget (since 1.1.0)';

-- Written by the rollup, as gov_usage is.
create table @extschema@.gov_grant_usage
(
    counter_id bigint not null,
    owner_id text collate "C" not null,
    amount numeric not null,
    last_at timestamptz not null,
    pruned_amount numeric not null default 0,

    constraint gov_grant_usage_pkey primary key (counter_id)
)
using heap
with (fillfactor = 45);

create index gov_grant_usage_owner_idx on @extschema@.gov_grant_usage (owner_id);

comment on table @extschema@.gov_grant_usage is 'what was drawn from each grant, and what each pool owes, up to the rollup''s watermark (since 1.1.0)';
comment on column @extschema@.gov_grant_usage.counter_id is 'gov_grants.counter_id, or debt_counter_id of a pool';
comment on column @extschema@.gov_grant_usage.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_grant_usage.amount is 'what was drawn from the grant; or what no grant has paid, below 0 for what was given back and belongs to no grant';
comment on column @extschema@.gov_grant_usage.last_at is 'when the last of it was recorded; of a debt, when it last grew';
comment on column @extschema@.gov_grant_usage.pruned_amount is 'the part of amount whose ledger rows retention has deleted';

-- A row is of one grain: an hour, or the part of it that governance.usage_grain said when it was first rolled up. Grains of
-- different lengths may lie side by side. Their hour is a column of its own, so that gov_usage_hourly finds hours by the index.
-- What tells parts of an hour is null in rows of whole hours, and so takes no room there.
create table @extschema@.gov_usage_by_time
(
    owner_id text collate "C" not null,
    capability_id text collate "C" not null,
    entity_id text collate "C" not null,
    hour timestamptz not null,
    amount numeric not null,
    event_count bigint not null,
    minute smallint,
    grain_minutes smallint
)
using heap
with (fillfactor = 45);

-- One row per owner, capability, entity and start of a grain. The ids can be 255 characters of 4 bytes each: together they would
-- not fit into a row of an index. None contains a control character, so that none can look like another pair.
create unique index gov_usage_by_time_key on @extschema@.gov_usage_by_time
    (owner_id, hour, md5(capability_id || chr(1) || entity_id), coalesce(minute, '0'::smallint));

-- Without a replica identity, a publication FOR ALL TABLES would make the rollup's updates fail.
alter table @extschema@.gov_usage_by_time replica identity full;

comment on table @extschema@.gov_usage_by_time is 'what each entity and its descendants used per hour, or part of an hour, up to the rollup''s watermark (since 1.1.0)';
comment on column @extschema@.gov_usage_by_time.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_usage_by_time.capability_id is 'the capability that was used';
comment on column @extschema@.gov_usage_by_time.entity_id is 'empty for events that resolved to nothing';
comment on column @extschema@.gov_usage_by_time.hour is 'the start of the hour of occurred_at, in UTC';
comment on column @extschema@.gov_usage_by_time.amount is 'what was used in that time, in the capability''s unit';
comment on column @extschema@.gov_usage_by_time.event_count is 'how many events that were';
comment on column @extschema@.gov_usage_by_time.minute is 'null: the row is of the whole hour; else how many minutes after the start of the hour its time begins';
comment on column @extschema@.gov_usage_by_time.grain_minutes is 'null: the row is of the whole hour; else how long its time is, governance.usage_grain when it was written, or longer. Where the setting has changed, a shorter row may lie within a longer one; each event is counted in one of them';

-- Which inherited budgets have been used, so that what has their counters can be told whose they are. Written by the engine only.
-- There is no unique key: whoever uses a budget first writes a row in its own transaction, and who else is first does not wait for
-- it. The worker leaves one of those rows.
create table @extschema@.gov_default_counts
(
    owner_id text collate "C" not null,
    entity_id text collate "C" not null,
    default_id uuid not null,
    scope_entity_ids text[] collate "C" not null default '{}',
    seed bigint not null,
    anchor text collate "C",
    anchor_at timestamptz,
    salt integer not null default 0,
    assignment_id uuid not null,
    counter_id bigint not null,
    retired boolean not null default false,
    is_new boolean not null default true,
    created_at timestamptz not null default now()
)
using heap;

create index gov_default_counts_entity_idx on @extschema@.gov_default_counts (owner_id, entity_id);

create index gov_default_counts_assignment_idx on @extschema@.gov_default_counts (assignment_id);

create index gov_default_counts_counter_idx on @extschema@.gov_default_counts (counter_id);

-- Those whose scope names an entity, which the entity's deletion looks for; as of gov_assignments.
create index gov_default_counts_scope_idx on @extschema@.gov_default_counts using gin ((owner_id || scope_entity_ids))
    with (fastupdate = off)
    where scope_entity_ids <> '{}';

-- Which defaults, as they were at some time, have rows.
create index gov_default_counts_default_idx on @extschema@.gov_default_counts (default_id, seed);

create index gov_default_counts_new on @extschema@.gov_default_counts (counter_id) where is_new;

-- Without a replica identity, a publication FOR ALL TABLES would make the worker's updates fail.
alter table @extschema@.gov_default_counts replica identity full;

comment on table @extschema@.gov_default_counts is 'which budgets that entities have by a default were used: one row each, several until the worker has tidied up; the view gov_used_assignments shows them (since 1.1.0)';
comment on column @extschema@.gov_default_counts.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_default_counts.entity_id is 'the entity whose budget it is';
comment on column @extschema@.gov_default_counts.default_id is 'the default that it has it by; it may be gone';
comment on column @extschema@.gov_default_counts.scope_entity_ids is 'the scope of the budget';
comment on column @extschema@.gov_default_counts.seed is 'that of the default at the time';
comment on column @extschema@.gov_default_counts.anchor is 'what the default''s anchor_from found: microseconds since 1970 for created_at, or the value in the metadata; null for nothing';
comment on column @extschema@.gov_default_counts.anchor_at is 'where its windows are counted from; null = the calendar';
comment on column @extschema@.gov_default_counts.salt is 'how often such a budget of such an entity was retired before';
comment on column @extschema@.gov_default_counts.assignment_id is 'the id of the budget, made of all that but the seed';
comment on column @extschema@.gov_default_counts.counter_id is 'its counter, made of all that, or drawn by gov_recount(); below 0';
comment on column @extschema@.gov_default_counts.retired is 'true: its entity was deleted, or one of its scope, or its count given up; the budget is another one by now';
comment on column @extschema@.gov_default_counts.is_new is 'true: the worker has not looked for other rows of the same budget yet';
comment on column @extschema@.gov_default_counts.created_at is 'when the row was made';

create table @extschema@.gov_reservations
(
    id uuid not null default gen_random_uuid(),
    owner_id text collate "C" not null,
    capability_id text collate "C" not null,
    amount numeric not null,
    entity_ids text[] collate "C" not null,
    dimensions jsonb not null default '{}',
    idempotency_key text collate "C",
    request_hash bytea,
    caller text not null default '',
    state text collate "C" not null default 'open',
    expires_at timestamptz not null,
    settled_amount numeric,
    event_id bigint,
    assignment_ids uuid[] not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    amounts jsonb,
    assignment_amounts numeric[],
    settled_amounts jsonb,
    event_ids jsonb,
    quantities jsonb,

    constraint gov_reservations_pkey primary key (id),
    constraint gov_reservations_state_check
        check (state in ('open', 'settled', 'released', 'expired'))
)
using heap;

create unique index gov_reservations_key on @extschema@.gov_reservations (owner_id, idempotency_key)
    where idempotency_key is not null;

create index gov_reservations_expires_at_idx on @extschema@.gov_reservations (expires_at)
    where state = 'open';

create index gov_reservations_updated_at_idx on @extschema@.gov_reservations (updated_at)
    where state <> 'open';

create index gov_reservations_open on @extschema@.gov_reservations (owner_id, expires_at)
    where state = 'open';

-- An owner's holds that have ended, which the owner's deletion looks for.
create index gov_reservations_ended_idx on @extschema@.gov_reservations (owner_id)
    where state <> 'open';

-- The open holds of a budget. Its condition is written as the engine writes it, and as no other index has it: see load_holds.c.
-- There is no list of pending entries, because every reader would go through it.
create index gov_reservations_assignment_ids_idx on @extschema@.gov_reservations using gin (assignment_ids)
    with (fastupdate = off)
    where state >= 'open' and state <= 'open';

comment on table @extschema@.gov_reservations is 'holds: amounts kept free on budgets until they are settled, released or expired';
comment on column @extschema@.gov_reservations.id is 'its id, the reservation_id of the calls';
comment on column @extschema@.gov_reservations.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_reservations.capability_id is 'the capability of which it holds an amount';
comment on column @extschema@.gov_reservations.amount is 'the amount held, in the capability''s unit';
comment on column @extschema@.gov_reservations.entity_ids is 'as the call named them; settling resolves them anew';
comment on column @extschema@.gov_reservations.dimensions is 'the dimensions of the call';
comment on column @extschema@.gov_reservations.idempotency_key is 'unique per owner over events and holds';
comment on column @extschema@.gov_reservations.request_hash is 'SHA-256 of the call, to tell a repeated call from another one with the same key; null without a key';
comment on column @extschema@.gov_reservations.caller is 'governance.caller, or else application_name, of the session that made it';
comment on column @extschema@.gov_reservations.state is 'open, settled, released or expired';
comment on column @extschema@.gov_reservations.expires_at is 'when it stops counting, unless it is extended';
comment on column @extschema@.gov_reservations.settled_amount is 'the true amount, once settled';
comment on column @extschema@.gov_reservations.event_id is 'the ledger row that settling wrote';
comment on column @extschema@.gov_reservations.assignment_ids is 'the budgets that it is held against';
comment on column @extschema@.gov_reservations.created_at is 'when the row was made';
comment on column @extschema@.gov_reservations.updated_at is 'when the row last changed';
comment on column @extschema@.gov_reservations.amounts is 'of a hold of several capabilities: the amount held of each; capability_id and amount are those of the first in byte order; null for a hold of one (since 1.1.0)';
comment on column @extschema@.gov_reservations.assignment_amounts is 'of a hold of several capabilities: what is held against each of assignment_ids; null: amount (since 1.1.0)';
comment on column @extschema@.gov_reservations.settled_amounts is 'of a hold that gov_settle_all() has settled: the true amount of each capability (since 1.1.0)';
comment on column @extschema@.gov_reservations.event_ids is 'of a hold that gov_settle_all() has settled: the ledger row of each capability (since 1.1.0)';
comment on column @extschema@.gov_reservations.quantities is 'of a hold by quantities: by capability how much of each; null for all others (since 1.1.0)';

create table @extschema@.gov_alerts
(
    id bigint not null default nextval('@extschema@.gov_alerts_id_seq'),
    owner_id text collate "C" not null,
    assignment_id uuid not null,
    threshold numeric not null,
    window_start timestamptz not null,
    usage numeric not null,
    usage_limit numeric not null,
    event_id bigint,
    raised_at timestamptz not null default now(),

    constraint gov_alerts_pkey primary key (id),
    constraint gov_alerts_key unique (assignment_id, window_start, threshold)
)
using heap;

create index gov_alerts_owner_id_idx on @extschema@.gov_alerts (owner_id, id);

comment on table @extschema@.gov_alerts is 'one row per budget, window and threshold that usage crossed';
comment on column @extschema@.gov_alerts.id is 'its id; ids are drawn in order and committed in any';
comment on column @extschema@.gov_alerts.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_alerts.assignment_id is 'the budget';
comment on column @extschema@.gov_alerts.threshold is 'per cent of the limit';
comment on column @extschema@.gov_alerts.window_start is 'the start of the window in which it was crossed; -infinity for a budget that never resets; of a pool, when the newest of its live grants took effect';
comment on column @extschema@.gov_alerts.usage is 'the usage right after the crossing';
comment on column @extschema@.gov_alerts.usage_limit is 'the limit at the crossing';
comment on column @extschema@.gov_alerts.event_id is 'the ledger row that crossed it; null when a changed limit or threshold did';
comment on column @extschema@.gov_alerts.raised_at is 'when the alert was raised';

-- Written by the worker, from what calls count in shared memory.
create table @extschema@.gov_denials
(
    owner_id text collate "C" not null,
    assignment_id uuid,
    entity_id text collate "C",
    capability_id text collate "C" not null,
    reason text collate "C" not null,
    dimension_key text collate "C",
    window_start timestamptz,
    window_end timestamptz,
    is_check boolean not null,
    denied_count bigint not null,
    amount numeric not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    last_caller text not null,
    last_entity_id text collate "C"
)
using heap;

-- One row per what denies, window, reason and kind. The texts together would not fit into a row of an index.
create unique index gov_denials_key on @extschema@.gov_denials
    (owner_id, window_start, md5(coalesce(assignment_id::text, entity_id, '') || chr(1) || capability_id || chr(1) || reason || chr(1) || is_check::text || chr(1) || coalesce('=' || dimension_key, '')))
    nulls not distinct;

create index gov_denials_last_at_idx on @extschema@.gov_denials (last_at);

-- Without, a publication FOR ALL TABLES would refuse the worker's updates.
alter table @extschema@.gov_denials replica identity full;

comment on table @extschema@.gov_denials is 'who was denied what: a row per budget that denied, window, reason and kind of call, or per blocked entity or dimension key and day; at most two seconds behind (since 1.1.0)';
comment on column @extschema@.gov_denials.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_denials.assignment_id is 'the budget that did not allow the calls; null where none decided (Blocked, UnknownEntity, Ungoverned)';
comment on column @extschema@.gov_denials.entity_id is 'the entity of that budget, or the one that was blocked; null for UnknownEntity and Ungoverned, and where the budget was deleted before the row was written';
comment on column @extschema@.gov_denials.capability_id is 'the capability that was asked for';
comment on column @extschema@.gov_denials.reason is 'the denied_reason that the calls got';
comment on column @extschema@.gov_denials.dimension_key is 'for UnknownEntity the dimension whose value was no entity of its type, for Ungoverned the one that could have named an entity that has a budget; one row each, and null where the calls had none';
comment on column @extschema@.gov_denials.window_start is 'of the budget''s window; null for one that never resets; for Blocked, UnknownEntity and Ungoverned that of the day, in UTC';
comment on column @extschema@.gov_denials.window_end is 'exclusive; null for a budget that never resets';
comment on column @extschema@.gov_denials.is_check is 'true: checks (gov_check, gov_allowed, gov_headroom); false: uses and holds';
comment on column @extschema@.gov_denials.denied_count is 'how many calls; one that several budgets denied counts under each of them';
comment on column @extschema@.gov_denials.amount is 'what they asked for, in the capability''s unit';
comment on column @extschema@.gov_denials.first_at is 'when the first of them was denied';
comment on column @extschema@.gov_denials.last_at is 'when the last of them was denied';
comment on column @extschema@.gov_denials.last_caller is 'governance.caller, or else application_name, of the session of the last';
comment on column @extschema@.gov_denials.last_entity_id is 'the entity that the last of them named: entity_id or one below it; for Ungoverned the one that dimension_key named, null if there is none of that name';

create table @extschema@.gov_alert_policies
(
    owner_id text collate "C",
    thresholds numeric[] not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_alert_policies_key unique nulls not distinct (owner_id),
    constraint gov_alert_policies_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_alert_policies_thresholds_check
        check (cardinality(thresholds) <= 10
            and array_position(thresholds, null) is null
            and 1 <= all (thresholds)
            and 1000000000000000000 > all (thresholds))
)
using heap;

alter table @extschema@.gov_alert_policies replica identity full;

comment on table @extschema@.gov_alert_policies is 'the alert thresholds of budgets that have none of their own';
comment on column @extschema@.gov_alert_policies.owner_id is 'null = the default of every owner';
comment on column @extschema@.gov_alert_policies.thresholds is 'at most 10 percentages of 1 or more; {} = none. Stored sorted and distinct';
comment on column @extschema@.gov_alert_policies.created_at is 'when the row was made';
comment on column @extschema@.gov_alert_policies.updated_at is 'when the row last changed';
comment on constraint gov_alert_policies_owner_id_check on @extschema@.gov_alert_policies is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_alert_policies_thresholds_check on @extschema@.gov_alert_policies is 'Alert thresholds are at most 10 percentages of 1 or more.';

-- One row, created by the first rollup: a row that this script inserted would collide with the restored one.
-- Written by the engine only (src/rules/recount.c).
create table @extschema@.gov_recounts
(
    owner_id text collate "C" not null,
    assignment_id uuid not null,
    counter_id bigint not null,
    recounted_at timestamptz not null,
    counted_by text collate "C" not null,
    since timestamptz not null,
    through_id bigint not null,
    capability_id text collate "C" not null,
    cadence text collate "C",
    anchor_at timestamptz,
    timezone text collate "C" not null,
    member_ids text[] collate "C" not null,
    member_sets int[] not null,
    sets int not null,

    constraint gov_recounts_pkey primary key (owner_id, assignment_id, counter_id)
)
using heap;

comment on table @extschema@.gov_recounts is 'by what budgets were counted again, for gov_verify: one row per counter that gov_recount() has drawn (since 1.1.0)';
comment on column @extschema@.gov_recounts.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_recounts.assignment_id is 'the budget';
comment on column @extschema@.gov_recounts.counter_id is 'the counter whose rows of gov_usage were counted';
comment on column @extschema@.gov_recounts.recounted_at is 'when that was, by the clock of the engine';
comment on column @extschema@.gov_recounts.counted_by is 'recorded: what was recorded for its entity and scope; tree: what any entity that was below them then had used';
comment on column @extschema@.gov_recounts.since is 'events count that occurred then or later; -infinity: all';
comment on column @extschema@.gov_recounts.through_id is 'events count up to this id; later ones are charged to the counter';
comment on column @extschema@.gov_recounts.capability_id is 'the capability that they are of';
comment on column @extschema@.gov_recounts.cadence is 'the rule by which windows were told: that of the budget then';
comment on column @extschema@.gov_recounts.anchor_at is 'part of that rule';
comment on column @extschema@.gov_recounts.timezone is 'part of that rule';
comment on column @extschema@.gov_recounts.member_ids is 'entities by which events count, those of them that events had';
comment on column @extschema@.gov_recounts.member_sets is 'for each of member_ids a set that it is in: 1 is the entity of the budget, the others are its scope';
comment on column @extschema@.gov_recounts.sets is 'how many sets there are; an event counts that has a member of each';

create table @extschema@.gov_rollup_state
(
    id smallint not null default 1,
    watermark bigint not null,
    updated_at timestamptz not null,
    events_deleted_until bigint not null default 0,
    events_looked_until bigint not null default 0,
    events_pass_at timestamptz,
    events_kept bigint not null default 0,
    events_kept_so_far bigint not null default 0,
    holds_kept bigint not null default 0,
    alerts_kept bigint not null default 0,
    events_deleted_to timestamptz,

    constraint gov_rollup_state_pkey primary key (id),
    constraint gov_rollup_state_id_check check (id = 1)
)
using heap;

comment on table @extschema@.gov_rollup_state is 'how far the ledger is rolled up';
comment on column @extschema@.gov_rollup_state.id is '1: there is one row';
comment on column @extschema@.gov_rollup_state.watermark is 'events up to this id are in gov_usage and gov_usage_by_time, later ones are not';
comment on column @extschema@.gov_rollup_state.events_deleted_until is 'governance.event_retention has left no event up to this id (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_deleted_to is 'the latest occurred_at of the events that governance.event_retention has deleted; null: none (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_looked_until is 'how far the present pass of governance.event_retention has come (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_pass_at is 'when that pass began; null before the first (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_kept is 'due events that stay because a foreign key refers to them, as the last pass found (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_kept_so_far is 'those that the present pass has found (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.holds_kept is 'holds past governance.event_retention that stay because a foreign key refers to them (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.alerts_kept is 'alerts past governance.alert_retention that stay because a foreign key refers to them (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.updated_at is 'when the row last changed';

-- A row goes when all that it is about is rewritten: until then it has the id.
create table @extschema@.gov_forgotten
(
    owner_id text collate "C" not null,
    entity_id text collate "C" not null,
    replacement text collate "C" not null,
    attribution_keys text[] collate "C" not null default '{}',
    last_event_id bigint not null,
    forgotten_at timestamptz not null,
    events_done_until bigint not null default 0,
    hours_done_until timestamptz not null default '-infinity',

    constraint gov_forgotten_pkey primary key (owner_id, entity_id, forgotten_at)
)
using heap;

comment on table @extschema@.gov_forgotten is 'who is being forgotten: a row per call of gov_forget_entity(), until the worker has rewritten what was recorded (since 1.1.0)';
comment on column @extschema@.gov_forgotten.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_forgotten.entity_id is 'the id that is to be forgotten';
comment on column @extschema@.gov_forgotten.replacement is 'the id that takes its place';
comment on column @extschema@.gov_forgotten.attribution_keys is 'the keys of dimensions that may have named it';
comment on column @extschema@.gov_forgotten.last_event_id is 'up to which event: later ones that name the id are another''s';
comment on column @extschema@.gov_forgotten.forgotten_at is 'when that was asked for, by the clock of the engine';
comment on column @extschema@.gov_forgotten.events_done_until is 'up to which event the ledger is rewritten';
comment on column @extschema@.gov_forgotten.hours_done_until is 'up to which hour gov_usage_by_time is; infinity: all of it';

create table @extschema@.gov_frozen_owners
(
    owner_id text collate "C" not null,
    frozen_at timestamptz not null,
    frozen_by text collate "C" not null,

    constraint gov_frozen_owners_pkey primary key (owner_id)
)
using heap;

comment on table @extschema@.gov_frozen_owners is 'owners that take no writing call and no change of their catalog, as they are being moved to another server or have been: gov_freeze_owner(), gov_thaw_owner() (since 1.1.0)';
comment on column @extschema@.gov_frozen_owners.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_frozen_owners.frozen_at is 'since when';
comment on column @extschema@.gov_frozen_owners.frozen_by is 'the session user who did it';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Tables: who changed what                                                                                         */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Written by the engine only (src/rules/history.c), a hundred thousand rows in a statement: like the ledger it has no checks.
create table @extschema@.gov_changes
(
    id bigint not null default nextval('@extschema@.gov_changes_id_seq'),
    at timestamptz not null,
    owner_id text collate "C",
    table_name text collate "C",
    key jsonb not null default '{}',
    action text collate "C" not null,
    old jsonb,
    new jsonb,
    changed_by text collate "C" not null,
    changed_as text collate "C" not null,
    caller text collate "C" not null default '',
    reason text collate "C",

    constraint gov_changes_pkey primary key (id)
)
using heap;

create index gov_changes_owner_id_idx on @extschema@.gov_changes (owner_id, id);

comment on table @extschema@.gov_changes is 'who changed what in the tables that are managed, and who was granted what: one row per row that was changed (since 1.1.0)';
comment on column @extschema@.gov_changes.id is 'its id; ids are drawn in order and committed in any';
comment on column @extschema@.gov_changes.at is 'when the statement was through, by the clock of the engine';
comment on column @extschema@.gov_changes.owner_id is 'the owner whose row it was; null for what all owners share, for TRUNCATE, for rights, and for an owner that was deleted';
comment on column @extschema@.gov_changes.table_name is 'the table, such as gov_assignments; null for rights and for an owner that was deleted';
comment on column @extschema@.gov_changes.key is 'which row: the values of its key, and of a budget what it is for; of rights the role';
comment on column @extschema@.gov_changes.action is 'INSERT, UPDATE, DELETE, TRUNCATE, RECOUNT, GRANT, REVOKE, DELETE OWNER or FORGET';
comment on column @extschema@.gov_changes.old is 'of an UPDATE the changed columns as they were, of a DELETE the columns that did not have their defaults; neither the key, nor created_at, updated_at and counter_id';
comment on column @extschema@.gov_changes.new is 'of an UPDATE the changed columns as they are, of an INSERT the columns that do not have their defaults, of a GRANT the profile, of a RECOUNT how it was counted; neither the key, nor created_at, updated_at and counter_id';
comment on column @extschema@.gov_changes.changed_by is 'who was logged in (session_user), whatever function made the change';
comment on column @extschema@.gov_changes.changed_as is 'the role that the session had taken with SET ROLE, or else the same; not that of a SECURITY DEFINER function';
comment on column @extschema@.gov_changes.caller is 'governance.caller, or else application_name, of the session';
comment on column @extschema@.gov_changes.reason is 'governance.reason of the session; null when it is empty';

-- Written by the engine only (src/rules/history_limit.c), and only when a limit changes: the present one is in gov_assignments, or
-- gov_default_assignments.
create table @extschema@.gov_limit_history
(
    owner_id text collate "C" not null,
    assignment_id uuid not null,
    replaced_at timestamptz not null,
    usage_limit numeric,
    is_known boolean not null default true,

    constraint gov_limit_history_pkey primary key (owner_id, assignment_id, replaced_at)
)
using heap;

comment on table @extschema@.gov_limit_history is 'the limits that budgets and defaults have had; gov_limit_at() reads it (since 1.1.0)';
comment on column @extschema@.gov_limit_history.owner_id is 'one of the vendor''s customers; empty for a default of everybody''s';
comment on column @extschema@.gov_limit_history.assignment_id is 'the budget, or the default';
comment on column @extschema@.gov_limit_history.replaced_at is 'when another limit took its place, by the clock of the engine';
comment on column @extschema@.gov_limit_history.usage_limit is 'the limit from the earlier row, or from when the budget was made, up to that time; null = no limit';
comment on column @extschema@.gov_limit_history.is_known is 'false: up to that time the limit was not recorded, and usage_limit says nothing';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Tables: owners that came from another server (sql/54-moving.sql)                                                 */
/* ---------------------------------------------------------------------------------------------------------------- */

-- What comes from another server gets numbers that this one has never drawn, whole spans of them: those of events below 0, and so
-- below the watermark, because what they have added to gov_usage comes along; those of counters above all that gov_counter_seq draws.
create sequence @extschema@.gov_imported_events_id_seq as bigint increment by -1 maxvalue -1 cache 1;

comment on sequence @extschema@.gov_imported_events_id_seq is 'numbers the events that came with owners from other servers, downwards; gov_import_owner() draws a span for each owner (since 1.1.0)';

create sequence @extschema@.gov_imported_counter_seq as bigint minvalue 4611686018427387904 cache 1;

comment on sequence @extschema@.gov_imported_counter_seq is 'numbers the counters that came with owners from other servers; gov_import_owner() draws a span for each owner (since 1.1.0)';

create table @extschema@.gov_imports
(
    owner_id text collate "C" not null,
    export_id uuid not null,
    chunks_done bigint not null,
    rows_done bigint not null,
    begun_at timestamptz not null,
    completed_at timestamptz,
    first_event_id bigint not null,
    last_event_id bigint not null,
    event_id_shift bigint not null,
    counter_id_shift bigint not null,
    imported_counter_id_shift bigint not null,
    events_deleted_until bigint not null,
    events_deleted_to timestamptz,
    relations jsonb not null,

    constraint gov_imports_pkey primary key (owner_id)
)
using heap;

comment on table @extschema@.gov_imports is 'the owners that came from another server, by gov_import_owner(), and how far that has come (since 1.1.0)';
comment on column @extschema@.gov_imports.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_imports.export_id is 'which call of gov_export_owner() the chunks are of';
comment on column @extschema@.gov_imports.chunks_done is 'the number of the last chunk that was imported';
comment on column @extschema@.gov_imports.rows_done is 'how many rows were in them';
comment on column @extschema@.gov_imports.begun_at is 'when the first chunk was imported, by the clock of the engine';
comment on column @extschema@.gov_imports.completed_at is 'when the last one was; null: there are more, and the owner cannot be thawed';
comment on column @extschema@.gov_imports.first_event_id is 'the first of the numbers that its events have here, below 0';
comment on column @extschema@.gov_imports.last_event_id is 'the last of them';
comment on column @extschema@.gov_imports.event_id_shift is 'what the ids of its events have here, less what they had there';
comment on column @extschema@.gov_imports.counter_id_shift is 'the same of counters; those of budgets by defaults, which are below 0, stay as they are';
comment on column @extschema@.gov_imports.imported_counter_id_shift is 'the same of counters that had come from another server there, too';
comment on column @extschema@.gov_imports.events_deleted_until is 'governance.event_retention has left none of these events up to this id';
comment on column @extschema@.gov_imports.events_deleted_to is 'the latest occurred_at of the events that governance.event_retention had deleted where the owner came from, and of those of them that it has deleted here; null: none';
comment on column @extschema@.gov_imports.relations is 'the columns that the chunks have, by table';
