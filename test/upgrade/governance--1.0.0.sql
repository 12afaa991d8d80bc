/*
 * governance: budgets for AI usage.
 *
 * The one source of the install script. Its parts, in order: sequences, tables, owners, triggers, helpers of the catalog
 * functions, catalog functions, run time, operation, what pg_dump takes along, who may do what, privileges.
 *
 * Two conventions hold throughout:
 * - Ids and names are collate "C": every order of text is byte order.
 * - A check constraint uses built-in functions only. It runs with the rights of whoever writes the row, and nothing of
 *   this extension is granted to PUBLIC. What needs more than built-ins is judged by a trigger in C or by a trigger
 *   function with the owner's rights. The comment on a constraint is the rule in words; the catalog functions quote it.
 */
\echo Use "CREATE EXTENSION governance" to load this file. \quit

/* ---------------------------------------------------------------------------------------------------------------- */
/* Sequences                                                                                                        */
/* ---------------------------------------------------------------------------------------------------------------- */

create sequence gov_counter_seq as bigint;

comment on sequence gov_counter_seq is 'numbers the counters of budgets; one number is never used for two windows'' worth of rules';

create sequence gov_events_id_seq as bigint cache 1;

comment on sequence gov_events_id_seq is 'numbers the ledger; whoever writes to the ledger holds a lock on it until the end of the transaction';

create sequence gov_alerts_id_seq as bigint;

comment on sequence gov_alerts_id_seq is 'numbers the alerts';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Tables: what is governed                                                                                         */
/* ---------------------------------------------------------------------------------------------------------------- */

create table gov_entity_types
(
    id text collate "C" not null,
    display_name text collate "C" not null,
    description text,
    attribution_keys text[] collate "C" not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_entity_types_pkey primary key (id),
    constraint gov_entity_types_id_check
        check (length(id) between 1 and 255 and id !~ '[[:cntrl:]]'),
    -- Judged after the id, which it is taken from when it is not given: checks run in the order of their names.
    constraint gov_entity_types_name_check
        check (length(display_name) between 1 and 255 and display_name !~ '[[:cntrl:]]'),
    constraint gov_entity_types_attribution_keys_check
        check (not jsonb_path_exists(
            to_jsonb(attribution_keys),
            'strict $[*] ? (@.type() != "string" || @ == "" || @ like_regex "[\\u0001-\\u001f\\u007f]" || @ like_regex "^.{255}.")'))
);

comment on table gov_entity_types is 'the kinds of things that are governed, such as org, team, user, agent or model; shared by all owners';
comment on column gov_entity_types.id is '1 to 255 characters without control characters; does not change';
comment on column gov_entity_types.display_name is 'the id unless another name is given';
comment on column gov_entity_types.attribution_keys is 'the dimension keys whose values are ids of entities of this type; stored sorted and distinct';
comment on column gov_entity_types.updated_at is 'when a value of the row last changed';
comment on constraint gov_entity_types_id_check on gov_entity_types is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_entity_types_name_check on gov_entity_types is 'A display name is 1 to 255 characters without control characters.';
comment on constraint gov_entity_types_attribution_keys_check on gov_entity_types is 'An attribution key is 1 to 255 characters without control characters.';

create table gov_capabilities
(
    id text collate "C" not null,
    type text collate "C" not null default 'METER',
    kind text collate "C" not null default 'feature',
    display_name text collate "C",
    unit text collate "C",
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_capabilities_pkey primary key (id),
    constraint gov_capabilities_id_check
        check (length(id) between 1 and 255 and id !~ '[[:cntrl:]]'),
    constraint gov_capabilities_type_check
        check (type = 'METER'),
    constraint gov_capabilities_kind_check
        check (kind in ('feature', 'credit')),
    constraint gov_capabilities_display_name_check
        check (length(display_name) between 1 and 255 and display_name !~ '[[:cntrl:]]'),
    constraint gov_capabilities_unit_check
        check (length(unit) between 1 and 255 and unit !~ '[[:cntrl:]]')
);

comment on table gov_capabilities is 'what is metered, such as the feature api-calls or the credit ai-credits; shared by all owners';
comment on column gov_capabilities.id is '1 to 255 characters without control characters; does not change';
comment on column gov_capabilities.type is 'METER, the only one there is';
comment on column gov_capabilities.kind is 'feature or credit';
comment on column gov_capabilities.unit is 'what an amount counts, for people to read';
comment on column gov_capabilities.updated_at is 'when a value of the row last changed';
comment on constraint gov_capabilities_id_check on gov_capabilities is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_capabilities_type_check on gov_capabilities is 'The type of a capability is METER.';
comment on constraint gov_capabilities_kind_check on gov_capabilities is 'The kind of a capability is "feature" or "credit".';
comment on constraint gov_capabilities_display_name_check on gov_capabilities is 'A display name is 1 to 255 characters without control characters.';
comment on constraint gov_capabilities_unit_check on gov_capabilities is 'A unit is 1 to 255 characters without control characters.';

create table gov_entities
(
    owner_id text collate "C" not null,
    id text collate "C" not null,
    type_id text collate "C" not null,
    parent_id text collate "C",
    display_name text collate "C",
    metadata jsonb not null default '{}',
    archived_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_entities_pkey primary key (owner_id, id),
    constraint gov_entities_type_id_fkey foreign key (type_id) references gov_entity_types (id),
    constraint gov_entities_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[[:cntrl:]]'),
    constraint gov_entities_id_check
        check (length(id) between 1 and 255 and id !~ '[[:cntrl:]]'),
    constraint gov_entities_parent_id_check
        check (length(parent_id) between 1 and 255 and parent_id !~ '[[:cntrl:]]'),
    constraint gov_entities_display_name_check
        check (length(display_name) between 1 and 255 and display_name !~ '[[:cntrl:]]'),
    constraint gov_entities_metadata_check
        check (jsonb_typeof(metadata) = 'object'
            and not jsonb_path_exists(metadata, 'strict $.* ? (@.type() != "string")')
            and not jsonb_path_exists(
                metadata,
                'strict $.keyvalue() ? (@.key == "" || @.key like_regex "[\\u0001-\\u001f\\u007f]" || @.key like_regex "^.{255}.")')),
    constraint gov_entities_archived_at_check
        check (isfinite(archived_at))
);

-- The children of an entity.
create index gov_entities_parent_id_idx on gov_entities (owner_id, parent_id) where parent_id is not null;

-- The entities of a type: its deletion asks for them.
create index gov_entities_type_id_idx on gov_entities (type_id, owner_id);

comment on table gov_entities is 'what is governed; entities belong to one owner and form trees';
comment on column gov_entities.owner_id is 'one of the vendor''s customers; does not change';
comment on column gov_entities.id is '1 to 255 characters without control characters, unique within its owner; does not change';
comment on column gov_entities.parent_id is 'the entity above, of the same owner; null for a root. An entity that has children does not move';
comment on column gov_entities.metadata is 'a flat object of strings';
comment on column gov_entities.archived_at is 'while not null, the entity''s own budgets are suspended';
comment on column gov_entities.updated_at is 'when a value of the row last changed';
comment on constraint gov_entities_type_id_fkey on gov_entities is 'An entity has a type that exists; gov_upsert_entity_types() creates one.';
comment on constraint gov_entities_owner_id_check on gov_entities is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_entities_id_check on gov_entities is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_entities_parent_id_check on gov_entities is 'An id is 1 to 255 characters without control characters; a root has no parent (null).';
comment on constraint gov_entities_display_name_check on gov_entities is 'A display name is 1 to 255 characters without control characters.';
comment on constraint gov_entities_metadata_check on gov_entities is 'Metadata is a flat object of strings, with keys of 1 to 255 characters without control characters.';
comment on constraint gov_entities_archived_at_check on gov_entities is 'The time of archiving is finite.';

create table gov_assignments
(
    id uuid not null default gen_random_uuid(),
    owner_id text collate "C" not null,
    entity_id text collate "C" not null,
    capability_id text collate "C" not null,
    scope_entity_ids text[] collate "C" not null default '{}',
    name text collate "C" not null default '',
    usage_limit numeric,
    cadence text collate "C",
    anchor_at timestamptz,
    timezone text collate "C" not null default 'UTC',
    enforcement text collate "C" not null default 'hard',
    strict_allocation boolean not null default false,
    locked boolean not null default false,
    alert_thresholds numeric[],
    counter_id bigint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_assignments_pkey primary key (id),
    constraint gov_assignments_key unique (owner_id, entity_id, capability_id, scope_entity_ids, name),
    constraint gov_assignments_counter_id_key unique (counter_id),
    constraint gov_assignments_entity_id_fkey
        foreign key (owner_id, entity_id) references gov_entities (owner_id, id),
    constraint gov_assignments_capability_id_fkey
        foreign key (capability_id) references gov_capabilities (id),
    constraint gov_assignments_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[[:cntrl:]]'),
    constraint gov_assignments_entity_id_check
        check (length(entity_id) between 1 and 255 and entity_id !~ '[[:cntrl:]]'),
    constraint gov_assignments_capability_id_check
        check (length(capability_id) between 1 and 255 and capability_id !~ '[[:cntrl:]]'),
    constraint gov_assignments_scope_entity_ids_check
        check (not jsonb_path_exists(
            to_jsonb(scope_entity_ids),
            'strict $[*] ? (@.type() != "string" || @ == "" || @ like_regex "[\\u0001-\\u001f\\u007f]" || @ like_regex "^.{255}.")')),
    constraint gov_assignments_name_check
        check (length(name) <= 255 and name !~ '[[:cntrl:]]'),
    constraint gov_assignments_usage_limit_check
        check (usage_limit >= 0 and usage_limit < 1000000000000000000),
    constraint gov_assignments_cadence_check
        check (cadence ~ '^P([1-9][0-9]{0,3}[YMWD]|T[1-9][0-9]{0,3}[HMS])$'),
    constraint gov_assignments_anchor_at_check
        check (isfinite(anchor_at)),
    constraint gov_assignments_timezone_check
        check (length(timezone) between 1 and 255 and timezone !~ '[[:cntrl:]]'),
    constraint gov_assignments_enforcement_check
        check (enforcement in ('hard', 'soft')),
    constraint gov_assignments_strict_allocation_check
        check (scope_entity_ids = '{}' or not strict_allocation),
    constraint gov_assignments_alert_thresholds_check
        check (cardinality(alert_thresholds) <= 10
            and array_position(alert_thresholds, null) is null
            and 1 <= all (alert_thresholds)
            and 1000000000000000000 > all (alert_thresholds))
);

-- The budgets of a capability: its deletion asks for them.
create index gov_assignments_capability_id_idx on gov_assignments (capability_id, owner_id);

-- The budgets whose scope names an entity: the entity's deletion asks for them.
create index gov_assignments_scope_entity_ids_idx on gov_assignments using gin (scope_entity_ids)
    where scope_entity_ids <> '{}';

-- The strict budgets of an owner, and of an entity: most have none.
create index gov_assignments_strict on gov_assignments (owner_id, entity_id)
    where strict_allocation;

comment on table gov_assignments is 'budgets: how much of a capability an entity may use per window, optionally only in a scope';
comment on column gov_assignments.scope_entity_ids is 'the budget holds only where all these entities are resolved too; {} = everywhere. Stored sorted and distinct';
comment on column gov_assignments.name is 'tells budgets of one entity, capability and scope apart; may be empty';
comment on column gov_assignments.usage_limit is 'the most that may be used per window, in the capability''s unit, exact to 9 decimals; null = counted, never blocks';
comment on column gov_assignments.cadence is 'the length of a window: one ISO 8601 duration of one unit, 1 to 9999, such as P1M or PT5M; null = never resets';
comment on column gov_assignments.anchor_at is 'where windows are counted from; null = the calendar';
comment on column gov_assignments.timezone is 'a name of pg_timezone_names; years, months, weeks and days are local to it';
comment on column gov_assignments.enforcement is 'hard = denies what would pass the limit, soft = only counts it';
comment on column gov_assignments.strict_allocation is 'true = the limits of the unnamed node-wide budgets of the entity''s children, for the capability and with the same cadence, may not add up to more than usage_limit; archived children do not count. Only for node-wide budgets';
comment on column gov_assignments.locked is 'true = tenants may not change it';
comment on column gov_assignments.alert_thresholds is 'at most 10 percentages of 1 or more; null = the alert policy''s, {} = none. Stored sorted and distinct';
comment on column gov_assignments.counter_id is 'names the counter; drawn by the extension, and drawn again when cadence, anchor_at or timezone change';
comment on column gov_assignments.updated_at is 'when a value of the row last changed';
comment on constraint gov_assignments_entity_id_fkey on gov_assignments is 'A budget belongs to an entity of the owner that exists; gov_upsert_entities() creates one.';
comment on constraint gov_assignments_capability_id_fkey on gov_assignments is 'A budget limits a capability that exists; gov_upsert_capabilities() creates one.';
comment on constraint gov_assignments_owner_id_check on gov_assignments is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_entity_id_check on gov_assignments is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_capability_id_check on gov_assignments is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_scope_entity_ids_check on gov_assignments is 'A scope is a list of ids, each of 1 to 255 characters without control characters.';
comment on constraint gov_assignments_name_check on gov_assignments is 'A name is 0 to 255 characters without control characters.';
comment on constraint gov_assignments_usage_limit_check on gov_assignments is 'A limit is a number of 0 or more with at most 18 digits before the point, or null for no limit.';
comment on constraint gov_assignments_cadence_check on gov_assignments is 'A cadence is one ISO 8601 duration of one unit, 1 to 9999, such as P1Y, P1M, P30D, P1W, P1D, PT1H, PT5M or PT10S, or null for a budget that never resets.';
comment on constraint gov_assignments_anchor_at_check on gov_assignments is 'An anchor is a finite time, or null for the calendar.';
comment on constraint gov_assignments_timezone_check on gov_assignments is 'A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin.';
comment on constraint gov_assignments_enforcement_check on gov_assignments is 'Enforcement is "hard" or "soft".';
comment on constraint gov_assignments_strict_allocation_check on gov_assignments is 'Only a node-wide budget, with no scope, can have strict allocation.';
comment on constraint gov_assignments_alert_thresholds_check on gov_assignments is 'Alert thresholds are at most 10 percentages of 1 or more.';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Tables: what was used                                                                                            */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Written by the engine only. It has no foreign keys and no check constraints: its insert is the price of every call.
create table gov_events
(
    id bigint not null default nextval('gov_events_id_seq'),
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

    constraint gov_events_pkey primary key (id)
);

create unique index gov_events_key on gov_events (owner_id, idempotency_key)
    where idempotency_key is not null;

-- An owner's part of the tail that is not rolled up yet.
create index gov_events_owner_id_idx on gov_events (owner_id, id);

-- Events come nearly in the order of their time, so that an index of block ranges will do, and costs a call next to nothing.
create index gov_events_occurred_at_idx on gov_events using brin (occurred_at);

comment on table gov_events is 'the ledger: one row per recorded use, append-only';
comment on column gov_events.amount is 'in the capability''s unit, exact to 9 decimals; negative for a correction';
comment on column gov_events.entity_ids is 'the resolved set: every entity named or resolved with its ancestors, in order of first appearance';
comment on column gov_events.dimensions is 'the dimensions of the call, also those that resolved to nothing';
comment on column gov_events.idempotency_key is 'unique per owner over events and holds';
comment on column gov_events.request_hash is 'SHA-256 of the call, to tell a repeated call from another one with the same key; null without a key';
comment on column gov_events.caller is 'governance.caller, or else application_name, of the session that recorded it';
comment on column gov_events.occurred_at is 'decides the window that the use falls into';
comment on column gov_events.counter_ids is 'the counters that it was charged to';
comment on column gov_events.window_starts is 'for each of counter_ids the start of the window charged';
comment on column gov_events.window_ends is 'for each of counter_ids the end of the window charged, exclusive';

create table gov_usage
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

    constraint gov_usage_pkey primary key (counter_id, window_start)
);

create index gov_usage_assignment_id_idx on gov_usage (owner_id, assignment_id);

comment on table gov_usage is 'what each budget had used per window up to the rollup''s watermark; earlier windows stay';
comment on column gov_usage.counter_id is 'the counter of the budget at that time; it changes with cadence, anchor and timezone';
comment on column gov_usage.window_start is '-infinity for a budget that never resets';
comment on column gov_usage.window_end is 'exclusive; infinity for a budget that never resets';
comment on column gov_usage.pruned_amount is 'the part of amount whose ledger rows retention has deleted';
comment on column gov_usage.pruned_count is 'the part of event_count whose ledger rows retention has deleted';

create table gov_usage_hourly
(
    owner_id text collate "C" not null,
    capability_id text collate "C" not null,
    entity_id text collate "C" not null,
    hour timestamptz not null,
    amount numeric not null,
    event_count bigint not null
);

-- One row per owner, capability, entity and hour. The ids can be 255 characters of 4 bytes each: together they would not
-- fit into a row of an index. None contains a control character, so that none can look like another pair.
create unique index gov_usage_hourly_key on gov_usage_hourly
    (owner_id, hour, md5(capability_id || chr(1) || entity_id));

-- Without, a publication FOR ALL TABLES would refuse the rollup's updates.
alter table gov_usage_hourly replica identity full;

comment on table gov_usage_hourly is 'what each entity and its descendants used per hour, up to the rollup''s watermark';
comment on column gov_usage_hourly.entity_id is 'empty for events that resolved to nothing';
comment on column gov_usage_hourly.hour is 'the start of the hour of occurred_at, in UTC';

create table gov_reservations
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

    constraint gov_reservations_pkey primary key (id),
    constraint gov_reservations_state_check
        check (state in ('open', 'settled', 'released', 'expired'))
);

create unique index gov_reservations_key on gov_reservations (owner_id, idempotency_key)
    where idempotency_key is not null;

create index gov_reservations_expires_at_idx on gov_reservations (expires_at)
    where state = 'open';

create index gov_reservations_updated_at_idx on gov_reservations (updated_at)
    where state <> 'open';

create index gov_reservations_open on gov_reservations (owner_id, expires_at)
    where state = 'open';

comment on table gov_reservations is 'holds: amounts kept free on budgets until they are settled, released or expired';
comment on column gov_reservations.caller is 'governance.caller, or else application_name, of the session that made it';
comment on column gov_reservations.state is 'open, settled, released or expired';
comment on column gov_reservations.expires_at is 'when it stops counting, unless it is extended';
comment on column gov_reservations.settled_amount is 'the true amount, once settled';
comment on column gov_reservations.event_id is 'the ledger row that settling wrote';
comment on column gov_reservations.request_hash is 'SHA-256 of the call, to tell a repeated call from another one with the same key; null without a key';
comment on column gov_reservations.entity_ids is 'as the call named them; settling resolves them anew';
comment on column gov_reservations.idempotency_key is 'unique per owner over events and holds';
comment on column gov_reservations.assignment_ids is 'the budgets that it is held against';
comment on column gov_reservations.updated_at is 'when the row last changed';

create table gov_alerts
(
    id bigint not null default nextval('gov_alerts_id_seq'),
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
);

create index gov_alerts_owner_id_idx on gov_alerts (owner_id, id);

comment on table gov_alerts is 'one row per budget, window and threshold that usage crossed';
comment on column gov_alerts.threshold is 'per cent of the limit';
comment on column gov_alerts.usage is 'the usage right after the crossing';
comment on column gov_alerts.usage_limit is 'the limit at the crossing';
comment on column gov_alerts.event_id is 'the ledger row that crossed; null when it was the limit or the thresholds that changed';

create table gov_alert_policies
(
    owner_id text collate "C",
    thresholds numeric[] not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_alert_policies_key unique nulls not distinct (owner_id),
    constraint gov_alert_policies_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[[:cntrl:]]'),
    constraint gov_alert_policies_thresholds_check
        check (cardinality(thresholds) <= 10
            and array_position(thresholds, null) is null
            and 1 <= all (thresholds)
            and 1000000000000000000 > all (thresholds))
);

alter table gov_alert_policies replica identity full;

comment on table gov_alert_policies is 'the alert thresholds of budgets that have none of their own';
comment on column gov_alert_policies.owner_id is 'null = the default of every owner';
comment on column gov_alert_policies.thresholds is 'at most 10 percentages of 1 or more; {} = none. Stored sorted and distinct';
comment on constraint gov_alert_policies_owner_id_check on gov_alert_policies is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_alert_policies_thresholds_check on gov_alert_policies is 'Alert thresholds are at most 10 percentages of 1 or more.';

-- One row, created by the first rollup: a row that this script inserted would collide with the restored one.
create table gov_rollup_state
(
    id smallint not null default 1,
    watermark bigint not null,
    updated_at timestamptz not null,

    constraint gov_rollup_state_pkey primary key (id),
    constraint gov_rollup_state_id_check check (id = 1)
);

comment on table gov_rollup_state is 'how far the ledger is rolled up';
comment on column gov_rollup_state.watermark is 'events up to this id are in gov_usage and gov_usage_hourly, later ones are not';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Owners: what a session may see and change (src/owner.c, src/policy.c)                                            */
/* ---------------------------------------------------------------------------------------------------------------- */

create function _gov_owner_support(internal)
returns internal
language c
strict
as 'MODULE_PATHNAME', 'gov_owner_support_1_0';

comment on function _gov_owner_support(internal) is 'internal: tells the planner what the two functions below come to in this session';

create function gov_pinned_owner()
returns text
language c
stable
parallel safe
as 'MODULE_PATHNAME', 'gov_pinned_owner_1_0';

comment on function gov_pinned_owner() is
$$The owner that the session is pinned to by governance.owner.

result: the owner, null when the session is not pinned$$;

create function gov_owner_visible(owner_id text)
returns boolean
language c
stable
parallel safe
support _gov_owner_support
as 'MODULE_PATHNAME', 'gov_owner_visible_1_0';

comment on function gov_owner_visible(text) is
$$Whether the session may see an owner: the row-level security policy of the tables, and of yours that have a column for the owner.

owner_id: one of the vendor's customers
result: in a pinned session whether it is the one pinned to; otherwise whether the role may see every owner (profiles reader and
    admin)$$;

create function gov_owner_changeable(owner_id text)
returns boolean
language c
stable
parallel safe
support _gov_owner_support
as 'MODULE_PATHNAME', 'gov_owner_changeable_1_0';

comment on function gov_owner_changeable(text) is
$$Whether the session may change what belongs to an owner, as far as its privileges go: the policy of changes.

owner_id: one of the vendor's customers; null: what all owners share
result: in a pinned session whether it is the one pinned to; otherwise whether the role may change every owner (profile admin)$$;

create function _gov_require_owner(owner_id text)
returns boolean
language c
stable
as 'MODULE_PATHNAME', 'gov_require_owner_1_0';

comment on function _gov_require_owner(text) is 'internal: true; refuses a null owner (22004) and one that the session may not see (42501)';

create function _gov_require_unpinned(call text)
returns boolean
language c
stable
strict
as 'MODULE_PATHNAME', 'gov_require_unpinned_1_0';

comment on function _gov_require_unpinned(text) is 'internal: true; refuses a call that concerns every owner in a session pinned to one (42501)';

create function _gov_read_every_owner()
returns boolean
language sql
immutable
parallel safe
return true;

comment on function _gov_read_every_owner() is 'internal: EXECUTE on it is the right to see every owner in a session that is not pinned';

create function _gov_change_every_owner()
returns boolean
language sql
immutable
parallel safe
return true;

comment on function _gov_change_every_owner() is
    'internal: EXECUTE on it is the right to change every owner in a session that is not pinned, and locked budgets in any';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Triggers that keep rows in form                                                                                  */
/*                                                                                                                  */
/* They and the rules of the hierarchy below do not fire for logical apply: the publisher has applied them already. */
/* ---------------------------------------------------------------------------------------------------------------- */

create function _gov_sorted(items text[])
returns text[]
language sql
immutable
parallel safe
strict
return array(select distinct item collate "C" from unnest(items) item order by 1);

comment on function _gov_sorted(text[]) is 'internal: the distinct items in byte order';

create function _gov_sorted(items numeric[])
returns numeric[]
language sql
immutable
parallel safe
strict
return array(select distinct trim_scale(round(item, 9)) from unnest(items) item order by 1);

comment on function _gov_sorted(numeric[]) is 'internal: the distinct items in order, rounded to 9 decimals and without trailing zeros';

create function gov_is_timezone(name text)
returns boolean
language c
stable
strict
parallel safe
as 'MODULE_PATHNAME', 'gov_is_timezone_1_0';

comment on function gov_is_timezone(text) is
$$Whether a name is a time zone that a budget can have.

name: compared with the names of pg_timezone_names; abbreviations and POSIX specifications are none
result: boolean; null for null$$;

create function gov_refuse_key_change()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = format('key columns of "%s" do not change', tg_table_name),
        detail = format('Key columns: %s.', tg_argv[0]),
        hint = 'Insert a row with the new key and delete the old one.',
        schema = tg_table_schema,
        table = tg_table_name;
end
$$;

comment on function gov_refuse_key_change() is 'trigger: refuses a change of key columns (55000); its argument names them';

-- updated_at takes the clock's time, not the transaction's, so that it moves with every change.

create function gov_keep_entity_type()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, @extschema@, pg_temp
as $$
begin
    new.display_name := coalesce(new.display_name, new.id);
    new.attribution_keys := _gov_sorted(new.attribution_keys);

    if tg_op = 'UPDATE' then
        new.created_at := old.created_at;
        new.updated_at := old.updated_at;
        if new is distinct from old then
            new.updated_at := clock_timestamp();
        end if;
    end if;
    return new;
end
$$;

comment on function gov_keep_entity_type() is 'trigger: fills in the display name, sorts attribution keys, keeps the times';

create function gov_keep_row()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    new.created_at := old.created_at;
    new.updated_at := old.updated_at;
    if new is distinct from old then
        new.updated_at := clock_timestamp();
    end if;
    return new;
end
$$;

comment on function gov_keep_row() is 'trigger: keeps the times of a row that is updated';

create function _gov_require_window(budget gov_assignments)
returns void
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
begin
    perform gov_window(budget.cadence, budget.anchor_at, budget.timezone);
exception
    when invalid_parameter_value then
        raise exception using
            errcode = 'check_violation',
            message = 'the present window is out of range',
            detail = format('No window of cadence %s that is counted from %s holds the present time.',
                budget.cadence, budget.anchor_at),
            hint = 'Choose an anchor_at nearer to now, or a shorter cadence.',
            schema = '@extschema@',
            table = 'gov_assignments',
            column = 'anchor_at',
            constraint = 'gov_assignments_anchor_at_check';
end
$$;

comment on function _gov_require_window(gov_assignments) is 'internal: refuses a budget that has no present window (23514)';

create function gov_keep_assignment()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, @extschema@, pg_temp
as $$
begin
    new.scope_entity_ids := _gov_sorted(new.scope_entity_ids);
    new.usage_limit := trim_scale(round(new.usage_limit, 9));
    new.alert_thresholds := _gov_sorted(new.alert_thresholds);

    if tg_op = 'INSERT' or new.timezone is distinct from old.timezone then
        if not gov_is_timezone(new.timezone) then
            raise exception using
                errcode = 'check_violation',
                message = format('time zone "%s" is not recognized', new.timezone),
                hint = 'A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'timezone',
                constraint = 'gov_assignments_timezone_check';
        end if;
    end if;

    if new.cadence is not null
        and isfinite(new.anchor_at)
        and (tg_op = 'INSERT'
            or (new.cadence, new.anchor_at, new.timezone) is distinct from (old.cadence, old.anchor_at, old.timezone))
    then
        perform _gov_require_window(new);
    end if;

    if tg_op = 'INSERT' then
        if new.counter_id is null then
            new.counter_id := nextval('gov_counter_seq');
        elsif gov_pinned_owner() is not null then
            -- A number that is still to be drawn would be taken from another owner's budget.
            raise exception using
                errcode = 'insufficient_privilege',
                message = 'permission denied for column "counter_id"',
                detail = 'The session is pinned to one owner by governance.owner, and counters are numbered over all.',
                hint = 'Leave counter_id out: the extension draws it.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'counter_id';
        elsif exists (select from gov_counter_seq q where q.is_called and q.last_value >= new.counter_id) then
            -- A restore gives a budget the counter that it had. One that was drawn here has counted for another budget, or
            -- for one that is gone, and its usage with it.
            raise exception using
                errcode = 'object_not_in_prerequisite_state',
                message = format('counter_id %s has been drawn before', new.counter_id),
                hint = 'Leave counter_id out: the extension draws it. To restore rows, set session_replication_role to replica.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'counter_id';
        end if;
        return new;
    end if;

    if new.counter_id is distinct from old.counter_id then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'column "counter_id" of "gov_assignments" is kept by the extension',
            hint = 'Change cadence, anchor_at or timezone to start the usage of a budget afresh.',
            schema = tg_table_schema,
            table = tg_table_name,
            column = 'counter_id';
    end if;
    if (new.cadence, new.anchor_at, new.timezone) is distinct from (old.cadence, old.anchor_at, old.timezone) then
        new.counter_id := nextval('gov_counter_seq');
    end if;
    new.created_at := old.created_at;
    new.updated_at := old.updated_at;
    if new is distinct from old then
        new.updated_at := clock_timestamp();
    end if;
    return new;
end
$$;

comment on function gov_keep_assignment() is
    'trigger: sorts scope and thresholds, rounds numbers to 9 decimals, judges the time zone, draws the counter, keeps the times';

create function gov_keep_alert_policy()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, @extschema@, pg_temp
as $$
begin
    new.thresholds := _gov_sorted(new.thresholds);

    if tg_op = 'UPDATE' then
        new.created_at := old.created_at;
        new.updated_at := old.updated_at;
        if new is distinct from old then
            new.updated_at := clock_timestamp();
        end if;
    end if;
    return new;
end
$$;

comment on function gov_keep_alert_policy() is 'trigger: sorts the thresholds, rounds them to 9 decimals, keeps the times';

create function gov_forget_budget()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_forget_budget_1_0';

comment on function gov_forget_budget() is 'trigger: deletes the usage and alerts of a budget that was deleted';

-- BEFORE triggers fire by name: …_keep puts a row in form before …_key compares it.

create trigger gov_entity_types_keep
    before insert or update on gov_entity_types
    for each row
    execute function gov_keep_entity_type();

create trigger gov_entity_types_key
    before update on gov_entity_types
    for each row
    when (new.id is distinct from old.id)
    execute function gov_refuse_key_change('id');

create trigger gov_capabilities_keep
    before update on gov_capabilities
    for each row
    execute function gov_keep_row();

create trigger gov_capabilities_key
    before update on gov_capabilities
    for each row
    when (new.id is distinct from old.id)
    execute function gov_refuse_key_change('id');

create trigger gov_entities_keep
    before update on gov_entities
    for each row
    execute function gov_keep_row();

create trigger gov_entities_key
    before update on gov_entities
    for each row
    when ((new.owner_id, new.id) is distinct from (old.owner_id, old.id))
    execute function gov_refuse_key_change('owner_id, id');

create trigger gov_assignments_keep
    before insert or update on gov_assignments
    for each row
    execute function gov_keep_assignment();

create trigger gov_assignments_key
    before update on gov_assignments
    for each row
    when ((new.id, new.owner_id, new.entity_id, new.capability_id, new.scope_entity_ids, new.name)
        is distinct from (old.id, old.owner_id, old.entity_id, old.capability_id, old.scope_entity_ids, old.name))
    execute function gov_refuse_key_change('id, owner_id, entity_id, capability_id, scope_entity_ids, name');

create trigger gov_assignments_forget
    after delete on gov_assignments
    for each row
    execute function gov_forget_budget();

create trigger gov_assignments_forget_all
    after truncate on gov_assignments
    for each statement
    execute function gov_forget_budget();

create trigger gov_alert_policies_keep
    before insert or update on gov_alert_policies
    for each row
    execute function gov_keep_alert_policy();

create trigger gov_alert_policies_key
    before update on gov_alert_policies
    for each row
    when (new.owner_id is distinct from old.owner_id)
    execute function gov_refuse_key_change('owner_id');

/* ---------------------------------------------------------------------------------------------------------------- */
/* Triggers for the rules of the hierarchy (src/hierarchy.c) and of strict budgets (src/allocation.c)               */
/* ---------------------------------------------------------------------------------------------------------------- */

create function gov_entity_moves()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_moves_1_0';

comment on function gov_entity_moves() is
    'trigger: refuses a change of the parent of an entity that had children before the statement (55000)';

create function gov_entity_placed()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_placed_1_0';

comment on function gov_entity_placed() is
    'trigger: the parent is an entity of the same owner (23503), above it is no cycle (23514) and at most 64 entities in all (54000)';

create function gov_entity_removed()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_removed_1_0';

comment on function gov_entity_removed() is
    'trigger: an entity that has children or is named by a scope is not deleted (23503)';

create function gov_assignment_placed()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_placed_1_0';

comment on function gov_assignment_placed() is
    'trigger: a scope names entities of the same owner (23503), an entity has at most 256 budgets per capability (54000)';

create trigger gov_entities_moves
    before update on gov_entities
    for each row
    when (new.parent_id is distinct from old.parent_id)
    execute function gov_entity_moves();

create trigger gov_entities_placed
    after insert on gov_entities
    for each row
    when (new.parent_id is not null)
    execute function gov_entity_placed();

create trigger gov_entities_placed_anew
    after update on gov_entities
    for each row
    when (new.parent_id is distinct from old.parent_id)
    execute function gov_entity_placed();

create trigger gov_entities_removed
    after delete on gov_entities
    for each row
    execute function gov_entity_removed();

create trigger gov_assignments_placed
    after insert on gov_assignments
    for each row
    execute function gov_assignment_placed();

-- They judge whole statements, after all triggers for rows.

create function gov_assignment_allocated()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_assignment_allocated_1_0';

comment on function gov_assignment_allocated() is
    'trigger: the limits of an entity''s children do not add up to more than its strict budget, after limits were set (23514)';

create function gov_entity_allocated()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_entity_allocated_1_0';

comment on function gov_entity_allocated() is
    'trigger: the same after entities were moved or taken back from the archive (23514)';

create trigger gov_assignments_allocated
    after insert on gov_assignments
    referencing new table as written
    for each statement
    execute function gov_assignment_allocated();

create trigger gov_assignments_allocated_anew
    after update on gov_assignments
    referencing old table as replaced new table as written
    for each statement
    execute function gov_assignment_allocated();

create trigger gov_entities_allocated_anew
    after update on gov_entities
    referencing old table as replaced new table as written
    for each statement
    execute function gov_entity_allocated();

/* ---------------------------------------------------------------------------------------------------------------- */
/* Triggers of the engine (src/invalidate.c)                                                                        */
/*                                                                                                                  */
/* They fire for logical apply too: the cache of this server must follow whatever changes its tables.               */
/* ---------------------------------------------------------------------------------------------------------------- */

create function gov_note_change()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_note_change_1_0';

comment on function gov_note_change() is 'trigger: notes a changed catalog row, so that the commit drops it from the cache';

create function gov_note_truncate()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_note_truncate_1_0';

comment on function gov_note_truncate() is 'trigger: notes a truncated table, so that the end of the transaction drops the cache';

create function gov_ledger_guard()
returns trigger
language c
as 'MODULE_PATHNAME', 'gov_ledger_guard_1_0';

comment on function gov_ledger_guard() is 'trigger: refuses what would rewrite the ledger (42501)';

create trigger gov_entity_types_note
    after insert or update or delete on gov_entity_types
    for each row
    execute function gov_note_change();

create trigger gov_entity_types_note_truncate
    after truncate on gov_entity_types
    for each statement
    execute function gov_note_truncate();

create trigger gov_capabilities_note
    after insert or update or delete on gov_capabilities
    for each row
    execute function gov_note_change();

create trigger gov_capabilities_note_truncate
    after truncate on gov_capabilities
    for each statement
    execute function gov_note_truncate();

create trigger gov_entities_note
    after insert or update or delete on gov_entities
    for each row
    execute function gov_note_change();

create trigger gov_entities_note_truncate
    after truncate on gov_entities
    for each statement
    execute function gov_note_truncate();

create trigger gov_assignments_note
    after insert or update or delete on gov_assignments
    for each row
    execute function gov_note_change();

create trigger gov_alert_policies_note
    after insert or update or delete on gov_alert_policies
    for each row
    execute function gov_note_change();

create trigger gov_alert_policies_note_truncate
    after truncate on gov_alert_policies
    for each statement
    execute function gov_note_truncate();

create trigger gov_assignments_note_truncate
    after truncate on gov_assignments
    for each statement
    execute function gov_note_truncate();

create trigger gov_events_note_truncate
    after truncate on gov_events
    for each statement
    execute function gov_note_truncate();

create trigger gov_usage_note_truncate
    after truncate on gov_usage
    for each statement
    execute function gov_note_truncate();

create trigger gov_reservations_note_truncate
    after truncate on gov_reservations
    for each statement
    execute function gov_note_truncate();

create trigger gov_events_guard
    before update or delete or truncate on gov_events
    for each statement
    execute function gov_ledger_guard();

create trigger gov_reservations_guard
    before update or delete or truncate on gov_reservations
    for each statement
    execute function gov_ledger_guard();

alter table gov_entity_types enable always trigger gov_entity_types_note;
alter table gov_entity_types enable always trigger gov_entity_types_note_truncate;
alter table gov_capabilities enable always trigger gov_capabilities_note;
alter table gov_capabilities enable always trigger gov_capabilities_note_truncate;
alter table gov_entities enable always trigger gov_entities_note;
alter table gov_entities enable always trigger gov_entities_note_truncate;
alter table gov_assignments enable always trigger gov_assignments_forget;
alter table gov_assignments enable always trigger gov_assignments_forget_all;
alter table gov_assignments enable always trigger gov_assignments_note;
alter table gov_alert_policies enable always trigger gov_alert_policies_note;
alter table gov_alert_policies enable always trigger gov_alert_policies_note_truncate;
alter table gov_assignments enable always trigger gov_assignments_note_truncate;
alter table gov_events enable always trigger gov_events_note_truncate;
alter table gov_usage enable always trigger gov_usage_note_truncate;
alter table gov_reservations enable always trigger gov_reservations_note_truncate;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Helpers of the catalog functions                                                                                 */
/*                                                                                                                  */
/* They are called by the functions below under their search_path and with the caller's rights.                     */
/* ---------------------------------------------------------------------------------------------------------------- */

create function _gov_texts(items jsonb)
returns text[]
language sql
immutable
parallel safe
strict
return array(select jsonb_array_elements_text(items));

comment on function _gov_texts(jsonb) is 'internal: a JSON array of strings as text[]';

create function _gov_has_form(value jsonb, form text)
returns boolean
language sql
immutable
parallel safe
strict
return case form
    when 'a string' then jsonb_typeof(value) = 'string'
    when 'a string or null' then jsonb_typeof(value) in ('string', 'null')
    when 'a number or null' then jsonb_typeof(value) in ('number', 'null')
    when 'true or false' then jsonb_typeof(value) = 'boolean'
    when 'an array of strings' then jsonb_typeof(value) = 'array'
        and not jsonb_path_exists(value, 'strict $[*] ? (@.type() != "string")', silent => true)
    when 'an array of numbers or null' then jsonb_typeof(value) = 'null' or jsonb_typeof(value) = 'array'
        and not jsonb_path_exists(value, 'strict $[*] ? (@.type() != "number")', silent => true)
    when 'an object of strings' then jsonb_typeof(value) = 'object'
        and not jsonb_path_exists(value, 'strict $.* ? (@.type() != "string")', silent => true)
end;

comment on function _gov_has_form(jsonb, text) is 'internal: whether a JSON value has the form that the words name';

create function _gov_form_example(form text)
returns text
language sql
immutable
parallel safe
strict
return case form
    when 'a string' then '"..."'
    when 'a string or null' then '"..." or null'
    when 'a number or null' then '1000 or null'
    when 'true or false' then 'true'
    when 'an array of strings' then '["...", "..."]'
    when 'an array of numbers or null' then '[80, 100] or null'
    when 'an object of strings' then '{"...": "..."}'
end;

comment on function _gov_form_example(text) is 'internal: what a JSON value of the form looks like';

create function _gov_items(payload jsonb, wrapper text, forms jsonb, max_items int default 100)
returns table (n int, item jsonb)
language plpgsql
immutable
as $$
declare
    items jsonb := payload;
    key text;
    value jsonb;
begin
    if payload is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', wrapper),
            hint = format('Write [{...}, ...] or {"%s": [{...}, ...]}.', wrapper);
    end if;

    if jsonb_typeof(payload) = 'object' then
        for key in select k from jsonb_object_keys(payload) k where k <> wrapper loop
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('unknown key "%s" beside "%s"', key, wrapper),
                hint = format('Write [{...}, ...] or {"%s": [{...}, ...]}.', wrapper);
        end loop;
        items := payload -> wrapper;
    end if;
    if jsonb_typeof(items) is distinct from 'array' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" must be an array of objects', wrapper),
            hint = format('Write [{...}, ...] or {"%s": [{...}, ...]}.', wrapper);
    end if;
    if jsonb_array_length(items) = 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" must not be empty', wrapper),
            hint = format('Give 1 to %s items.', max_items);
    end if;
    if jsonb_array_length(items) > max_items then
        raise exception using
            errcode = 'program_limit_exceeded',
            message = format('"%s" has too many items', wrapper),
            detail = format('There are %s, at most %s are allowed.', jsonb_array_length(items), max_items),
            hint = 'Split them over several calls.';
    end if;

    for n, item in select o.ordinality, o.value from jsonb_array_elements(items) with ordinality o loop
        if jsonb_typeof(item) <> 'object' then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('item %s of "%s" must be an object', n, wrapper),
                hint = format('Its keys are %s.', (select string_agg(k, ', ') from jsonb_object_keys(forms) k));
        end if;
        for key, value in select e.key, e.value from jsonb_each(item) e loop
            if not forms ? key then
                raise exception using
                    errcode = 'invalid_parameter_value',
                    message = format('unknown key "%s" in item %s of "%s"', key, n, wrapper),
                    hint = format('Its keys are %s.', (select string_agg(k, ', ') from jsonb_object_keys(forms) k));
            end if;
            if not _gov_has_form(value, forms ->> key) then
                raise exception using
                    errcode = 'invalid_parameter_value',
                    message = format('"%s" in item %s of "%s" must be %s', key, n, wrapper, forms ->> key),
                    detail = format('It is %s.', left(value::text, 100)),
                    hint = format('Write "%s": %s.', key, _gov_form_example(forms ->> key));
            end if;
        end loop;
        return next;
    end loop;
end
$$;

comment on function _gov_items(jsonb, text, jsonb, int) is
    'internal: the numbered items of a payload, an array or an object that wraps one; every key must be known and of its form (22004, 22023, 54000)';

create function _gov_one_key(item jsonb, n int, keys text[], is_required boolean)
returns text
language plpgsql
immutable
as $$
declare
    present constant text[] := array(select k from unnest(keys) k where item ? k);
begin
    if cardinality(present) > 1 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('item %s has both "%s" and "%s"', n, present[1], present[2]),
            hint = format('Give one of %s.', array_to_string(keys, ', '));
    end if;
    if cardinality(present) = 0 and is_required then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" is missing in item %s', keys[1], n),
            hint = case cardinality(keys)
                when 1 then format('Give every item its "%s".', keys[1])
                else format('Give one of %s.', array_to_string(keys, ', '))
            end;
    end if;
    return item ->> present[1];
end
$$;

comment on function _gov_one_key(jsonb, int, text[], boolean) is
    'internal: the value of the one of the keys that an item has; null if it has none (22023 for two, or for none when required)';

create function _gov_time(item jsonb, n int, key text)
returns timestamptz
language plpgsql
stable
as $$
declare
    value constant text := item ->> key;
begin
    if value !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?$' then
        raise invalid_datetime_format;
    end if;
    if value ~ '[T ].*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$' then
        return value::timestamptz;
    end if;
    return value::timestamp at time zone 'UTC';
exception
    when data_exception then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" in item %s must be an ISO 8601 time or null', key, n),
            detail = format('It is "%s".', left(value, 100)),
            hint = 'Write a time such as "2025-01-31T00:00:00Z".';
end
$$;

comment on function _gov_time(jsonb, int, text) is
    'internal: the ISO 8601 time at a key of an item, UTC when it names no zone; null for null (22023)';

create function _gov_json(moment timestamptz)
returns jsonb
language sql
stable
parallel safe
return to_jsonb(to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'));

comment on function _gov_json(timestamptz) is 'internal: a time as ISO 8601 in UTC with milliseconds';

create function _gov_exact_json(moment timestamptz)
returns jsonb
language sql
stable
parallel safe
return case
    when moment = date_trunc('milliseconds', moment) then _gov_json(moment)
    else to_jsonb(to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
end;

comment on function _gov_exact_json(timestamptz) is
    'internal: a time as ISO 8601 in UTC that means the same when it is read again: with microseconds where there are any';

create function _gov_raise_broken_rule(relation regclass, constraint_name text, failing_row text)
returns void
language plpgsql
stable
as $$
declare
    column_name text;
    is_reference boolean;
    rule text;
begin
    -- The last column of a reference is what it is about; before it comes the owner.
    select a.attname, c.contype = 'f', obj_description(c.oid, 'pg_constraint')
    into column_name, is_reference, rule
    from pg_constraint c
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[cardinality(c.conkey)]
    where c.conrelid = relation
        and c.conname = constraint_name
        and c.contype in ('c', 'f');

    -- What is no rule of a column, such as a cycle, stays what it is.
    if rule is null then
        return;
    end if;

    -- The owner is an argument of the function, the others are keys of its items.
    if column_name <> 'owner_id' then
        column_name := replace(initcap(replace(column_name, '_', ' ')), ' ', '');
        column_name := lower(left(column_name, 1)) || substr(column_name, 2);
    end if;
    raise exception using
        errcode = case when is_reference then 'foreign_key_violation' else 'invalid_parameter_value' end,
        message = format(case when is_reference then '"%s" does not exist' else 'invalid value for "%s"' end, column_name),
        detail = failing_row,
        hint = rule,
        table = relation::text,
        constraint = constraint_name;
end
$$;

comment on function _gov_raise_broken_rule(regclass, text, text) is
    'internal: reports a broken check constraint as a bad argument (22023) and a broken reference (23503) in the words of the comment on it; returns for what has none';

create function _gov_raise_seen_twice()
returns void
language plpgsql
as $$
begin
    raise exception using
        errcode = 'serialization_failure',
        message = 'could not serialize access due to concurrent delete',
        detail = 'The transaction has inserted anew what others have deleted, and still sees that too.',
        hint = 'Retry the transaction.';
end
$$;

comment on function _gov_raise_seen_twice() is
    'internal: what an upsert says that meets a row twice (40001), as it can above READ COMMITTED';

create function _gov_lock_hierarchy(owner_id text, is_move boolean)
returns void
language c
strict
as 'MODULE_PATHNAME', 'gov_lock_hierarchy_1_0';

comment on function _gov_lock_hierarchy(text, boolean) is
    'internal: takes an owner''s lock on the shape of its trees to the end of the transaction, shared to place entities, alone to move them';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Pages of lists                                                                                                   */
/*                                                                                                                  */
/* A cursor is the key of a row, written as a JSON array that starts with the name of the list, in base64.          */
/* ---------------------------------------------------------------------------------------------------------------- */

create function _gov_cursor(list text, key jsonb)
returns text
language sql
immutable
parallel safe
strict
return translate(encode(convert_to((jsonb_build_array(list) || key)::text, 'UTF8'), 'base64'), e'\n', '');

comment on function _gov_cursor(text, jsonb) is 'internal: the cursor of a row, given its key as a JSON array';

create function _gov_cursor_key(list text, forms text[], argument text, cursor text)
returns jsonb
language plpgsql
immutable
as $$
declare
    key jsonb;
begin
    key := convert_from(decode(cursor, 'base64'), 'UTF8')::jsonb;
    if jsonb_typeof(key) = 'array' and jsonb_array_length(key) = cardinality(forms) + 1 and key ->> 0 = list then
        key := key - 0;
        if (select bool_and(_gov_has_form(key -> (f.n::int - 1), f.form)) from unnest(forms) with ordinality f (form, n)) then
            return key;
        end if;
    end if;
    raise invalid_parameter_value;
exception
    when data_exception or untranslatable_character then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" is not a cursor of this list', argument),
            hint = 'Give "next" or "prev" of the "pagination" of an earlier page, or nothing for the first page.';
end
$$;

comment on function _gov_cursor_key(text, text[], text, text) is 'internal: the key that a cursor of a list stands for, as a JSON array (22023)';

create function _gov_list
(
    list text,
    source text,
    keys text[],
    forms text[],
    document text,
    owner_id text,
    filters jsonb,
    after text,
    before text,
    page_size int
)
returns jsonb
language plpgsql
stable
as $$
declare
    columns constant text := array_to_string(keys, ', ');
    cursor_values constant text := (
        select string_agg(
            case when f.form = 'a string' then format('$3 ->> %s', f.n - 1) else format('_gov_texts($3 -> %s)', f.n - 1) end,
            ', ' order by f.n)
        from unnest(forms) with ordinality f (form, n));
    is_backward constant boolean := before is not null;
    start jsonb;
    documents jsonb[];
    row_keys jsonb[];
    has_next boolean := false;
    has_prev boolean := false;
begin
    if page_size is null or page_size not between 1 and 100 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = '"page_size" must be between 1 and 100',
            hint = 'Give a number of that range, or leave it out for 20.';
    end if;
    if after is not null and before is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = '"after" and "before" exclude each other',
            hint = 'Give "after" for the next page or "before" for the preceding one.';
    end if;
    if after is not null then
        start := _gov_cursor_key(list, forms, 'after', after);
    elsif before is not null then
        start := _gov_cursor_key(list, forms, 'before', before);
    end if;

    -- The page, read away from the cursor.
    execute format(
        'select array_agg(p.document), array_agg(p.key)
         from (select %1$s as document, jsonb_build_array(%2$s) as key
               from %3$s
                   and ($3 is null or (%2$s) %4$s (%5$s))
               order by %6$s
               limit $4) p',
        document,
        columns,
        source,
        case when is_backward then '<' else '>' end,
        cursor_values,
        (select string_agg(k.key || case when is_backward then ' desc' else '' end, ', ' order by k.n)
         from unnest(keys) with ordinality k (key, n)))
    into documents, row_keys
    using owner_id, filters, start, page_size;

    if documents is null then
        return jsonb_build_object('data', '[]'::jsonb, 'pagination', jsonb_build_object('next', null, 'prev', null));
    end if;
    if is_backward then
        documents := array(select d.document from unnest(documents) with ordinality d (document, n) order by d.n desc);
        row_keys := array(select k.key from unnest(row_keys) with ordinality k (key, n) order by k.n desc);
    end if;

    -- Whether there is more on either side.
    execute format('select exists (select from %s and (%s) > (%s))', source, columns, cursor_values)
    into has_next
    using owner_id, filters, row_keys[cardinality(row_keys)];

    execute format('select exists (select from %s and (%s) < (%s))', source, columns, cursor_values)
    into has_prev
    using owner_id, filters, row_keys[1];

    return jsonb_build_object(
        'data', to_jsonb(documents),
        'pagination', jsonb_build_object(
            'next', case when has_next then _gov_cursor(list, row_keys[cardinality(row_keys)]) end,
            'prev', case when has_prev then _gov_cursor(list, row_keys[1]) end));
end
$$;

comment on function _gov_list(text, text, text[], text[], text, text, jsonb, text, text, int) is
    'internal: a page of a list. source is a FROM and WHERE clause over $1 = owner and $2 = filters, keys are the columns of its order, forms those of their values, document what a row becomes';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Catalog functions                                                                                                */
/*                                                                                                                  */
/* An upsert joins the items of one key into one patch, in order, and writes them all in one statement: only so may */
/* they refer to each other in any order, and the rules see the trees as they were before the call. What a patch    */
/* makes of a row is said once, by _gov_patched(), and asked again of the locked row when another session was first. */
/* Keys are written in order, so that concurrent calls do not deadlock.                                             */
/* ---------------------------------------------------------------------------------------------------------------- */

/* Entity types */

create function _gov_json(stored gov_entity_types)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'displayName', stored.display_name,
    'description', stored.description,
    'attributionKeys', stored.attribution_keys,
    'createdAt', _gov_json(stored.created_at),
    'updatedAt', _gov_json(stored.updated_at));

comment on function _gov_json(gov_entity_types) is 'internal: an entity type as the catalog functions return it';

create function _gov_refuse_made_id(id text, display_name text, stored_name text)
returns void
language plpgsql
immutable
as $$
begin
    if display_name <> stored_name then
        raise exception using
            errcode = 'unique_violation',
            message = format('the id "%s" made from "%s" is taken by the entity type "%s"', id, display_name, stored_name),
            hint = 'Give the item an "id" of its own, or this id to change that type.',
            table = 'gov_entity_types',
            constraint = 'gov_entity_types_pkey';
    end if;
end
$$;

comment on function _gov_refuse_made_id(text, text, text) is 'internal: refuses an id made from a display name other than the stored one (23505)';

create function _gov_patched(stored gov_entity_types, item jsonb)
returns gov_entity_types
language plpgsql
immutable
as $$
begin
    if item ? 'madeFrom' then
        perform _gov_refuse_made_id(stored.id, item ->> 'madeFrom', stored.display_name);
    end if;

    stored.id := item ->> 'id';
    if item ? 'displayName' then
        stored.display_name := nullif(item ->> 'displayName', '');
    end if;
    stored.display_name := coalesce(stored.display_name, stored.id);
    if item ? 'description' then
        stored.description := nullif(item ->> 'description', '');
    end if;
    if item ? 'attributionKeys' then
        stored.attribution_keys := _gov_sorted(_gov_texts(item -> 'attributionKeys'));
    end if;
    stored.attribution_keys := coalesce(stored.attribution_keys, '{}');
    return stored;
end
$$;

comment on function _gov_patched(gov_entity_types, jsonb) is 'internal: what an item makes of an entity type, stored or new (null)';

create function _gov_made_id(item jsonb, n int)
returns text
language plpgsql
immutable
as $$
declare
    made constant text := trim(both '-' from regexp_replace(lower(item ->> 'displayName' collate "C"), '[^a-z0-9]+', '-', 'g'));
begin
    if made is null or made = '' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('item %s has neither an "id" nor a "displayName" to make one from', n),
            hint = 'Give an "id", or a "displayName" with at least one of a-z and 0-9.';
    end if;
    return made;
end
$$;

comment on function _gov_made_id(jsonb, int) is 'internal: the id made from the display name of an entity type (22023)';

create function gov_upsert_entity_types(types jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
#variable_conflict use_column
declare
    forms constant jsonb := '{
        "id": "a string",
        "displayName": "a string or null",
        "description": "a string or null",
        "attributionKeys": "an array of strings"}';
    wanted jsonb := '{}';
    ids text[] := '{}';
    item jsonb;
    earlier jsonb;
    n int;
    id text;
    broken text;
    failing_row text;
begin
    perform _gov_require_unpinned('gov_upsert_entity_types()');

    for n, item in select i.n, i.item from _gov_items($1, 'types', forms) i loop
        id := coalesce(item ->> 'id', _gov_made_id(item, n));
        earlier := coalesce(wanted -> id, '{}');

        -- A made id must not rename: neither a type of this call nor, as _gov_patched() sees to, a stored one.
        if not item ? 'id' then
            if earlier ? 'displayName' then
                perform _gov_refuse_made_id(id, item ->> 'displayName', coalesce(nullif(earlier ->> 'displayName', ''), id));
            else
                item := item || jsonb_build_object('madeFrom', item ->> 'displayName');
            end if;
        end if;

        wanted := wanted || jsonb_build_object(id, earlier || item || jsonb_build_object('id', id));
        ids := ids || id;
    end loop;

    insert into gov_entity_types as t (id, display_name, description, attribution_keys)
    select p.id, p.display_name, p.description, p.attribution_keys
    from jsonb_each(wanted) w
    left join gov_entity_types s on s.id = w.key
    cross join lateral _gov_patched(s, w.value) p
    order by p.id collate "C"
    on conflict (id) do update
        set (display_name, description, attribution_keys) = (
            select p.display_name, p.description, p.attribution_keys
            from _gov_patched(t, wanted -> t.id) p)
        where t is distinct from _gov_patched(t, wanted -> t.id);

    return (
        select jsonb_agg(_gov_json(t) order by i.n)
        from unnest(ids) with ordinality i (id, n)
        join gov_entity_types t on t.id = i.id);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform _gov_raise_broken_rule('gov_entity_types', broken, failing_row);
        raise;
    when cardinality_violation then
        perform _gov_raise_seen_twice();
end
$$;

comment on function gov_upsert_entity_types(jsonb) is
$$Creates entity types and changes existing ones.

types: an array of 1 to 100 objects, or {"types": [...]}, with the keys
    id (absent: made from displayName, "AI agent" becomes "ai-agent"), displayName (null or "": the id),
    description (null or "": none), attributionKeys (an array of dimension keys); omitted keys keep their value
result: the stored types as an array in the order given, with createdAt and updatedAt
errors: 22004 null; 22023 malformed, unknown key, no item, no id to be made; 23505 made id of a type with another name;
    42501 in a session pinned to an owner; 54000 more than 100 items$$;

create function gov_get_entity_type(id text)
returns jsonb
language sql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
    select _gov_json(t)
    from gov_entity_types t
    where t.id = $1
$$;

comment on function gov_get_entity_type(text) is
$$An entity type.

id: of the type
result: the type as an object, null when there is none$$;

create function gov_list_entity_types
(
    after text default null,
    before text default null,
    page_size int default 20
)
returns jsonb
language sql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
    select _gov_list(
        'entityTypes',
        'gov_entity_types r where true',
        '{r.id}',
        '{a string}',
        '_gov_json(r)',
        null,
        '{}',
        after,
        before,
        page_size)
$$;

comment on function gov_list_entity_types(text, text, int) is
$$A page of the entity types, by id.

after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 22023 page_size out of range, both cursors, not a cursor of this list$$;

/* Capabilities */

create function _gov_json(stored gov_capabilities)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'type', stored.type,
    'kind', stored.kind,
    'displayName', stored.display_name,
    'unit', stored.unit,
    'createdAt', _gov_json(stored.created_at),
    'updatedAt', _gov_json(stored.updated_at));

comment on function _gov_json(gov_capabilities) is 'internal: a capability as the catalog functions return it';

create function _gov_patched(stored gov_capabilities, item jsonb)
returns gov_capabilities
language plpgsql
immutable
as $$
begin
    stored.id := item ->> 'id';
    stored.type := coalesce(item ->> 'type', stored.type, 'METER');
    stored.kind := coalesce(item ->> 'kind', stored.kind, 'feature');
    if item ? 'displayName' then
        stored.display_name := nullif(item ->> 'displayName', '');
    end if;
    if item ? 'unit' then
        stored.unit := nullif(item ->> 'unit', '');
    end if;
    return stored;
end
$$;

comment on function _gov_patched(gov_capabilities, jsonb) is 'internal: what an item makes of a capability, stored or new (null)';

create function gov_upsert_capabilities(capabilities jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
#variable_conflict use_column
declare
    forms constant jsonb := '{
        "id": "a string",
        "type": "a string",
        "kind": "a string",
        "displayName": "a string or null",
        "unit": "a string or null"}';
    wanted jsonb := '{}';
    ids text[] := '{}';
    item jsonb;
    n int;
    id text;
    broken text;
    failing_row text;
begin
    perform _gov_require_unpinned('gov_upsert_capabilities()');

    for n, item in select i.n, i.item from _gov_items($1, 'capabilities', forms) i loop
        id := _gov_one_key(item, n, '{id}', true);
        wanted := wanted || jsonb_build_object(id, coalesce(wanted -> id, '{}') || item);
        ids := ids || id;
    end loop;

    insert into gov_capabilities as t (id, type, kind, display_name, unit)
    select p.id, p.type, p.kind, p.display_name, p.unit
    from jsonb_each(wanted) w
    left join gov_capabilities s on s.id = w.key
    cross join lateral _gov_patched(s, w.value) p
    order by p.id collate "C"
    on conflict (id) do update
        set (type, kind, display_name, unit) = (
            select p.type, p.kind, p.display_name, p.unit
            from _gov_patched(t, wanted -> t.id) p)
        where t is distinct from _gov_patched(t, wanted -> t.id);

    return (
        select jsonb_agg(_gov_json(t) order by i.n)
        from unnest(ids) with ordinality i (id, n)
        join gov_capabilities t on t.id = i.id);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform _gov_raise_broken_rule('gov_capabilities', broken, failing_row);
        raise;
    when cardinality_violation then
        perform _gov_raise_seen_twice();
end
$$;

comment on function gov_upsert_capabilities(jsonb) is
$$Creates capabilities and changes existing ones.

capabilities: an array of 1 to 100 objects, or {"capabilities": [...]}, with the keys
    id (required), type ("METER"), kind ("feature", the default, or "credit"), displayName (null or "": none),
    unit (null or "": none); omitted keys keep their value
result: the stored capabilities as an array in the order given, with createdAt and updatedAt
errors: 22004 null; 22023 malformed, unknown key, no item; 42501 in a session pinned to an owner; 54000 more
    than 100 items$$;

create function gov_get_capability(id text)
returns jsonb
language sql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
    select _gov_json(c)
    from gov_capabilities c
    where c.id = $1
$$;

comment on function gov_get_capability(text) is
$$A capability.

id: of the capability
result: the capability as an object, null when there is none$$;

create function gov_list_capabilities
(
    after text default null,
    before text default null,
    page_size int default 20
)
returns jsonb
language sql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
    select _gov_list(
        'capabilities',
        'gov_capabilities r where true',
        '{r.id}',
        '{a string}',
        '_gov_json(r)',
        null,
        '{}',
        after,
        before,
        page_size)
$$;

comment on function gov_list_capabilities(text, text, int) is
$$A page of the capabilities, by id.

after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 22023 page_size out of range, both cursors, not a cursor of this list$$;

/* Entities */

create function _gov_json(stored gov_entities)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'typeId', stored.type_id,
    'displayName', stored.display_name,
    'metadata', stored.metadata,
    'parentId', stored.parent_id,
    'archivedAt', _gov_json(stored.archived_at),
    'createdAt', _gov_json(stored.created_at),
    'updatedAt', _gov_json(stored.updated_at));

comment on function _gov_json(gov_entities) is 'internal: an entity as the catalog functions return it';

create function _gov_patched(stored gov_entities, item jsonb)
returns gov_entities
language plpgsql
immutable
as $$
begin
    stored.id := item ->> 'id';
    stored.type_id := coalesce(item ->> 'typeId', stored.type_id);
    if item ? 'displayName' then
        stored.display_name := nullif(item ->> 'displayName', '');
    end if;
    if item ? 'parentId' then
        stored.parent_id := item ->> 'parentId';
    end if;

    -- Metadata is merged; an empty value takes its key away.
    stored.metadata := coalesce(stored.metadata, '{}');
    if item ? 'metadata' then
        stored.metadata := (stored.metadata || (item -> 'metadata'))
            - array(select m.key from jsonb_each_text(item -> 'metadata') m where m.value = '');
    end if;
    return stored;
end
$$;

comment on function _gov_patched(gov_entities, jsonb) is 'internal: what an item makes of an entity, stored or new (null)';

create function gov_upsert_entities(owner_id text, entities jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
#variable_conflict use_column
declare
    forms constant jsonb := '{
        "id": "a string",
        "typeRefId": "a string",
        "typeId": "a string",
        "entityTypeId": "a string",
        "displayName": "a string or null",
        "metadata": "an object of strings",
        "parentId": "a string or null"}';
    owner constant text := $1;
    wanted jsonb := '{}';
    ids text[] := '{}';
    item jsonb;
    earlier jsonb;
    n int;
    entity text;
    type text;
    broken text;
    failing_row text;
begin
    perform _gov_require_owner(owner);

    for n, item in select i.n, i.item from _gov_items($2, 'entities', forms) i loop
        entity := _gov_one_key(item, n, '{id}', true);
        earlier := wanted -> entity;
        type := _gov_one_key(
            item,
            n,
            '{typeRefId, typeId, entityTypeId}',
            is_required => earlier is null
                and not exists (select from gov_entities e where e.owner_id = owner and e.id = entity));
        item := item - '{typeRefId, entityTypeId}'::text[];
        if type is not null then
            item := item || jsonb_build_object('typeId', type);
        end if;
        if item ? 'metadata' and earlier ? 'metadata' then
            item := item || jsonb_build_object('metadata', (earlier -> 'metadata') || (item -> 'metadata'));
        end if;

        wanted := wanted || jsonb_build_object(entity, coalesce(earlier, '{}') || item);
        ids := ids || entity;
    end loop;

    -- The strongest lock that the rows will need comes first: taken row by row, two calls would deadlock.
    if exists (select from jsonb_each(wanted) w where w.value ? 'parentId') then
        perform _gov_lock_hierarchy(
            owner,
            is_move => exists (
                select
                from jsonb_each(wanted) w
                join gov_entities e on e.owner_id = owner and e.id = w.key
                where w.value ? 'parentId'
                    and e.parent_id is distinct from w.value ->> 'parentId'));
    end if;

    insert into gov_entities as t (owner_id, id, type_id, parent_id, display_name, metadata)
    select owner, p.id, p.type_id, p.parent_id, p.display_name, p.metadata
    from jsonb_each(wanted) w
    left join gov_entities s on s.owner_id = owner and s.id = w.key
    cross join lateral _gov_patched(s, w.value) p
    order by p.id collate "C"
    on conflict (owner_id, id) do update
        set (type_id, parent_id, display_name, metadata) = (
            select p.type_id, p.parent_id, p.display_name, p.metadata
            from _gov_patched(t, wanted -> t.id) p)
        where t is distinct from _gov_patched(t, wanted -> t.id);

    return (
        select jsonb_agg(_gov_json(t) order by i.n)
        from unnest(ids) with ordinality i (id, n)
        join gov_entities t on t.owner_id = owner and t.id = i.id);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform _gov_raise_broken_rule('gov_entities', broken, failing_row);
        raise;
    when cardinality_violation then
        perform _gov_raise_seen_twice();
end
$$;

comment on function gov_upsert_entities(text, jsonb) is
$$Creates entities of an owner and changes existing ones.

owner_id: one of the vendor's customers
entities: an array of 1 to 100 objects, or {"entities": [...]}, with the keys
    id (required), typeRefId or typeId or entityTypeId (required on create), displayName (null or "": none),
    metadata (an object of strings, merged; "" takes a key away), parentId (null: a root); omitted keys keep their value
result: the stored entities as an array in the order given: id, typeId, displayName, metadata, parentId, archivedAt,
    createdAt, updatedAt
errors: 22004 null; 22023 malformed, unknown key, no item, no type; 23503 unknown type or parent; 23514 a cycle, limits past a strict budget;
    42501 an owner that the session may not see or change; 54000 more than 100 items, more than 64 entities in a chain; 55000 an entity with children would move$$;

create function gov_get_entity(owner_id text, id text)
returns jsonb
language sql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
    select _gov_json(e)
    from gov_entities e
    where ($1 is null or _gov_require_owner($1))
        and e.owner_id = $1
        and e.id = $2
$$;

comment on function gov_get_entity(text, text) is
$$An entity of an owner, also an archived one.

owner_id, id: of the entity
result: the entity as an object, null when there is none
errors: 42501 an owner that the session may not see$$;

create function gov_list_entities
(
    owner_id text,
    after text default null,
    before text default null,
    page_size int default 20,
    type_id text default null,
    include_archived boolean default false
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
begin
    perform _gov_require_owner(owner_id);
    return _gov_list(
        'entities',
        $source$
            gov_entities r
            where r.owner_id = $1
                and ($2 ->> 'typeId' is null or r.type_id = $2 ->> 'typeId')
                and (r.archived_at is null or ($2 ->> 'includeArchived')::boolean)
        $source$,
        '{r.id}',
        '{a string}',
        '_gov_json(r)',
        owner_id,
        jsonb_build_object('typeId', type_id, 'includeArchived', coalesce(include_archived, false)),
        after,
        before,
        page_size);
end
$$;

comment on function gov_list_entities(text, text, text, int, text, boolean) is
$$A page of the entities of an owner, by id.

after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100;
type_id: only those of this type; include_archived: also the archived ones
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 22004 null owner; 42501 an owner that the session may not see; 22023 page_size out of range, both cursors, not a cursor of this list$$;

create function _gov_set_archived(owner text, ids text[], is_archived boolean)
returns void
language plpgsql
as $$
declare
    max_items constant int := 100;
    unknown text;
begin
    perform _gov_require_owner(owner);
    if ids is null or array_position(ids, null) is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = '"ids" must not be or contain null',
            hint = format('Give 1 to %s ids of entities.', max_items);
    end if;
    if cardinality(ids) = 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = '"ids" must not be empty',
            hint = format('Give 1 to %s ids.', max_items);
    end if;
    if cardinality(ids) > max_items then
        raise exception using
            errcode = 'program_limit_exceeded',
            message = '"ids" has too many items',
            detail = format('There are %s, at most %s are allowed.', cardinality(ids), max_items),
            hint = 'Split them over several calls.';
    end if;

    -- Locked in order, so that concurrent calls do not deadlock.
    perform
    from gov_entities e
    where e.owner_id = owner
        and e.id = any (ids)
    order by e.id
    for no key update;

    select i.id
    into unknown
    from unnest(ids) with ordinality i (id, n)
    where not exists (select from gov_entities e where e.owner_id = owner and e.id = i.id)
    order by i.n
    limit 1;
    if found then
        raise exception using
            errcode = 'undefined_object',
            message = format('entity "%s" of owner "%s" does not exist', unknown, owner),
            hint = 'Nothing was changed; gov_list_entities() shows what there is.';
    end if;

    update gov_entities e
    set archived_at = case when is_archived then now() end
    where e.owner_id = owner
        and e.id = any (ids)
        and (e.archived_at is null) = is_archived;
end
$$;

comment on function _gov_set_archived(text, text[], boolean) is 'internal: archives entities or takes them back';

create function gov_archive_entities(owner_id text, ids text[])
returns void
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
begin
    perform _gov_set_archived(owner_id, ids, true);
end
$$;

comment on function gov_archive_entities(text, text[]) is
$$Archives entities: their own budgets are suspended until they are unarchived. Archived ones stay as they are.

owner_id: one of the vendor's customers; ids: of 1 to 100 of its entities
errors: 22004 null; 22023 no id; 42501 an owner that the session may not see or change; 42704 unknown entity, nothing is changed; 54000 more than 100 ids$$;

create function gov_unarchive_entities(owner_id text, ids text[])
returns void
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
begin
    perform _gov_set_archived(owner_id, ids, false);
end
$$;

comment on function gov_unarchive_entities(text, text[]) is
$$Takes archived entities back: their own budgets hold again. Others stay as they are.

owner_id: one of the vendor's customers; ids: of 1 to 100 of its entities
errors: 22004 null; 22023 no id; 23514 limits past a strict budget; 42501 an owner that the session may not see or change; 42704 unknown entity, nothing is changed; 54000 more than 100 ids$$;

/* Assignments */

create function _gov_json(stored gov_assignments, parent_id text)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'entityId', stored.entity_id,
    'capabilityId', stored.capability_id,
    'scopeEntityIds', stored.scope_entity_ids,
    'name', stored.name,
    'usageLimit', stored.usage_limit,
    'cadence', stored.cadence,
    'anchorAt', _gov_exact_json(stored.anchor_at),
    'timezone', stored.timezone,
    'enforcement', stored.enforcement,
    'strictAllocation', stored.strict_allocation,
    'locked', stored.locked,
    'alertThresholds', stored.alert_thresholds,
    'parentId', parent_id,
    'createdAt', _gov_json(stored.created_at),
    'updatedAt', _gov_json(stored.updated_at));

comment on function _gov_json(gov_assignments, text) is 'internal: an assignment as the catalog functions return it';

create function _gov_assignment_key(entity_id text, capability_id text, scope_entity_ids text[], name text)
returns text
language sql
immutable
parallel safe
return jsonb_build_array(entity_id, capability_id, scope_entity_ids, name)::text;

comment on function _gov_assignment_key(text, text, text[], text) is 'internal: the natural key of an assignment of an owner as one text';

create function _gov_patched(stored gov_assignments, item jsonb)
returns gov_assignments
language plpgsql
immutable
as $$
begin
    stored.entity_id := item ->> 'entityId';
    stored.capability_id := item ->> 'capabilityId';
    stored.scope_entity_ids := _gov_texts(item -> 'scopeEntityIds');
    stored.name := item ->> 'name';
    if item ? 'usageLimit' then
        stored.usage_limit := round((item ->> 'usageLimit')::numeric, 9);
    end if;
    if item ? 'cadence' then
        stored.cadence := item ->> 'cadence';
    end if;
    if item ? 'anchorAt' then
        stored.anchor_at := (item ->> 'anchorAt')::timestamptz;
    end if;
    stored.timezone := coalesce(item ->> 'timezone', stored.timezone, 'UTC');
    stored.enforcement := coalesce(item ->> 'enforcement', stored.enforcement, 'hard');
    stored.strict_allocation := coalesce((item ->> 'strictAllocation')::boolean, stored.strict_allocation, false);
    stored.locked := coalesce((item ->> 'locked')::boolean, stored.locked, false);
    if item ? 'alertThresholds' then
        stored.alert_thresholds := case
            when jsonb_typeof(item -> 'alertThresholds') = 'array'
            then _gov_sorted(_gov_texts(item -> 'alertThresholds')::numeric[])
        end;
    end if;
    return stored;
end
$$;

comment on function _gov_patched(gov_assignments, jsonb) is 'internal: what an item makes of an assignment, stored or new (null)';

create function _gov_require_unlocked(owner text, wanted jsonb)
returns void
language plpgsql
stable
as $$
declare
    entity text;
    capability text;
begin
    select w.value ->> 'entityId', w.value ->> 'capabilityId'
    into entity, capability
    from jsonb_each(wanted) w
    where (w.value ->> 'locked')::boolean
        or exists (
            select
            from gov_assignments a
            where a.owner_id = owner
                and a.entity_id = w.value ->> 'entityId'
                and a.capability_id = w.value ->> 'capabilityId'
                and a.scope_entity_ids = _gov_texts(w.value -> 'scopeEntityIds')
                and a.name = w.value ->> 'name'
                and a.locked)
    order by w.key collate "C"
    limit 1;
    if found then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('permission denied for a locked budget of entity "%s" for capability "%s"', entity, capability),
            detail = format('Role "%s" may neither change nor lock it.', current_user),
            hint = 'Leave it out, or ask whoever locks budgets.',
            table = 'gov_assignments';
    end if;
end
$$;

comment on function _gov_require_unlocked(text, jsonb) is 'internal: refuses items that change or make a locked budget (42501)';

create function _gov_assignment_items(payload jsonb, max_items int)
returns table (n int, key text, item jsonb)
language plpgsql
stable
as $$
declare
    forms constant jsonb := '{
        "entityId": "a string",
        "capabilityId": "a string",
        "featureId": "a string",
        "currencyId": "a string",
        "scopeEntityIds": "an array of strings",
        "name": "a string",
        "usageLimit": "a number or null",
        "cadence": "a string or null",
        "anchorAt": "a string or null",
        "timezone": "a string",
        "enforcement": "a string",
        "strictAllocation": "true or false",
        "locked": "true or false",
        "alertThresholds": "an array of numbers or null",
        "parentId": "a string or null"}';
    entity text;
    capability text;
    scope text[];
    label text;
begin
    for n, item in select i.n, i.item from _gov_items(payload, 'assignments', forms, max_items) i loop
        entity := _gov_one_key(item, n, '{entityId}', true);
        capability := _gov_one_key(item, n, '{capabilityId, featureId, currencyId}', true);
        scope := _gov_sorted(_gov_texts(coalesce(item -> 'scopeEntityIds', '[]')));
        label := coalesce(item ->> 'name', '');
        key := _gov_assignment_key(entity, capability, scope, label);
        if item ? 'anchorAt' then
            item := item || jsonb_build_object('anchorAt', _gov_time(item, n, 'anchorAt'));
        end if;
        item := item || jsonb_build_object('capabilityId', capability, 'scopeEntityIds', scope, 'name', label);
        return next;
    end loop;
end
$$;

comment on function _gov_assignment_items(jsonb, int) is
    'internal: the numbered items of a payload of assignments, each with its natural key and with the parts of that in one form (22004, 22023, 54000)';

create function _gov_refuse_incomplete(item jsonb, n int)
returns void
language plpgsql
immutable
as $$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = format('"%s" is missing in item %s, a new assignment', case when item ? 'usageLimit' then 'cadence' else 'usageLimit' end, n),
        hint = 'Give both; null means no limit, and never resets.';
end
$$;

comment on function _gov_refuse_incomplete(jsonb, int) is 'internal: refuses an item that lacks what a new assignment needs (22023)';

create function gov_upsert_assignments(owner_id text, assignments jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
#variable_conflict use_column
declare
    owner constant text := $1;
    wanted jsonb := '{}';
    parents jsonb := '{}';
    keys text[] := '{}';
    item jsonb;
    n int;
    key text;
    broken text;
    failing_row text;
begin
    perform _gov_require_owner(owner);

    for n, key, item in select i.n, i.key, i.item from _gov_assignment_items($2, 100) i loop
        if not wanted ? key and not item ?& '{usageLimit, cadence}'
            and not exists (
                select
                from gov_assignments a
                where a.owner_id = owner
                    and a.entity_id = item ->> 'entityId'
                    and a.capability_id = item ->> 'capabilityId'
                    and a.scope_entity_ids = _gov_texts(item -> 'scopeEntityIds')
                    and a.name = item ->> 'name')
        then
            perform _gov_refuse_incomplete(item, n);
        end if;

        if item ? 'parentId' then
            parents := parents || jsonb_build_object(item ->> 'entityId', item -> 'parentId');
        end if;
        wanted := wanted || jsonb_build_object(key, coalesce(wanted -> key, '{}') || item);
        keys := keys || key;
    end loop;

    -- The policies would refuse the rows, but not say why.
    if parents <> '{}' and not has_column_privilege('gov_entities', 'parent_id', 'update') then
        raise exception using
            errcode = 'insufficient_privilege',
            message = 'permission denied for "parentId"',
            detail = format('Role "%s" may change budgets, and not where entities stand.', current_user),
            hint = 'Leave "parentId" out.';
    end if;
    if not has_function_privilege('_gov_change_every_owner()', 'execute') then
        perform _gov_require_unlocked(owner, wanted);
    end if;

    if parents <> '{}' then
        perform _gov_lock_hierarchy(
            owner,
            is_move => exists (
                select
                from jsonb_each_text(parents) p
                join gov_entities e on e.owner_id = owner and e.id = p.key
                where e.parent_id is distinct from p.value));
    end if;

    -- One statement, so that strict budgets are judged when entities have moved and limits are set. It names the table of
    -- entities only if there is something to move: others need have no right to.
    execute case when parents <> '{}' then $moved$
        with moved as
        (
            update gov_entities e
            set parent_id = p.value
            from jsonb_each_text($3) p
            where e.owner_id = $1
                and e.id = p.key
                and e.parent_id is distinct from p.value
        )
        $moved$ else '' end || $written$
        insert into gov_assignments as t
            (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, timezone,
             enforcement, strict_allocation, locked, alert_thresholds)
        select $1, p.entity_id, p.capability_id, p.scope_entity_ids, p.name, p.usage_limit, p.cadence, p.anchor_at, p.timezone,
            p.enforcement, p.strict_allocation, p.locked, p.alert_thresholds
        from jsonb_each($2) w
        left join gov_assignments s
            on s.owner_id = $1
            and s.entity_id = w.value ->> 'entityId'
            and s.capability_id = w.value ->> 'capabilityId'
            and s.scope_entity_ids = _gov_texts(w.value -> 'scopeEntityIds')
            and s.name = w.value ->> 'name'
        cross join lateral _gov_patched(s, w.value) p
        order by w.key collate "C"
        on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update
            set (usage_limit, cadence, anchor_at, timezone, enforcement, strict_allocation, locked, alert_thresholds) = (
                select p.usage_limit, p.cadence, p.anchor_at, p.timezone, p.enforcement, p.strict_allocation, p.locked,
                    p.alert_thresholds
                from _gov_patched(t, $2 -> _gov_assignment_key(t.entity_id, t.capability_id, t.scope_entity_ids, t.name)) p)
            where t is distinct from
                _gov_patched(t, $2 -> _gov_assignment_key(t.entity_id, t.capability_id, t.scope_entity_ids, t.name))
        $written$
    using owner, wanted, parents;

    return (
        select jsonb_agg(_gov_json(t, e.parent_id) order by k.n)
        from unnest(keys) with ordinality k (key, n)
        cross join lateral (select wanted -> k.key as item) w
        join gov_assignments t
            on t.owner_id = owner
            and t.entity_id = w.item ->> 'entityId'
            and t.capability_id = w.item ->> 'capabilityId'
            and t.scope_entity_ids = _gov_texts(w.item -> 'scopeEntityIds')
            and t.name = w.item ->> 'name'
        join gov_entities e on e.owner_id = t.owner_id and e.id = t.entity_id);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform _gov_raise_broken_rule('gov_assignments', broken, coalesce(nullif(failing_row, ''), sqlerrm));
        perform _gov_raise_broken_rule('gov_entities', broken, failing_row);
        raise;
    when cardinality_violation then
        perform _gov_raise_seen_twice();
end
$$;

comment on function gov_upsert_assignments(text, jsonb) is
$$Creates budgets of an owner's entities and changes existing ones, which entity, capability, scope and name identify.

owner_id: one of the vendor's customers
assignments: an array of 1 to 100 objects, or {"assignments": [...]}, with the keys
    entityId (required), one of capabilityId, featureId and currencyId (required), scopeEntityIds (default []: everywhere),
    name (default ""), usageLimit (per window, in the capability's unit; null: no limit), cadence (such as "P1M"; null: never
    resets), anchorAt (ISO 8601; null: the calendar), timezone (default "UTC"), enforcement ("hard", the default, or "soft"),
    strictAllocation (default false; true: the children's limits may not add up to more), locked (default false),
    alertThresholds (per cent; null: the alert policy's), parentId (of the entity; null: a root); usageLimit and cadence are required on create; omitted keys keep their value
result: the stored budgets as an array in the order given, with id, parentId, createdAt and updatedAt
errors: 22004 null; 22023 malformed, unknown key, no item, a required key missing; 23503 unknown entity, capability, scope
    entity or parent; 42501 an owner that the session may not see or change, a locked budget or a parentId from a tenant; 23514 a cycle, limits past a strict budget; 54000 more than 100 items, more than 256 budgets per entity and capability, more than
    64 entities in a chain; 55000 an entity with children would move$$;

create function gov_list_assignments
(
    owner_id text,
    after text default null,
    before text default null,
    page_size int default 20,
    entity_id text default null,
    capability_id text default null
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
begin
    perform _gov_require_owner(owner_id);
    return _gov_list(
        'assignments',
        $source$
            gov_assignments r
            where r.owner_id = $1
                and ($2 ->> 'entityId' is null or r.entity_id = $2 ->> 'entityId')
                and ($2 ->> 'capabilityId' is null or r.capability_id = $2 ->> 'capabilityId')
        $source$,
        '{r.entity_id, r.capability_id, r.scope_entity_ids, r.name}',
        '{a string, a string, an array of strings, a string}',
        '_gov_json(r, (select e.parent_id from gov_entities e where e.owner_id = r.owner_id and e.id = r.entity_id))',
        owner_id,
        jsonb_build_object('entityId', entity_id, 'capabilityId', capability_id),
        after,
        before,
        page_size);
end
$$;

comment on function gov_list_assignments(text, text, text, int, text, text) is
$$A page of the budgets of an owner, by entity, capability, scope and name.

after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100;
entity_id: only those of this entity; capability_id: only those of this capability
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 22004 null owner; 42501 an owner that the session may not see; 22023 page_size out of range, both cursors, not a cursor of this list$$;

/* Owners */

create function gov_delete_owner(owner_id text)
returns void
language c
as 'MODULE_PATHNAME', 'gov_delete_owner_1_0';

comment on function gov_delete_owner(text) is
$$Deletes everything of one owner, the ledger and the holds included. An owner without rows is no error.

owner_id: one of the vendor's customers. A use or a hold whose transaction is still open at the call is not seen and
    stays: stop the owner's traffic first, or call again.
errors: 22004 null; 42501 another owner than governance.owner$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Windows                                                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

create function gov_window
(
    cadence text,
    anchor_at timestamptz default null,
    timezone text default 'UTC',
    at timestamptz default now(),
    out window_start timestamptz,
    out window_end timestamptz
)
language c
stable
parallel safe
as 'MODULE_PATHNAME', 'gov_window_1_0';

comment on function gov_window(text, timestamptz, text, timestamptz) is
$$The window of a budget that a point in time falls into.

cadence: how often the budget starts afresh, one ISO 8601 duration of one unit, 1 to 9999, such as P1M, P1W or PT1H; null
    never resets; anchor_at: where a window starts, with its local time of day; null for Monday 2001-01-01 00:00 local
    time, so that P1M is the calendar month; timezone: a name of pg_timezone_names; at: the point in time
result: window_start and window_end (exclusive); nulls for a null cadence
errors: 22023 malformed cadence, unknown time zone, infinite anchor_at or at, at too near the ends of the calendar;
    22004 null timezone or at$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Run time                                                                                                         */
/*                                                                                                                  */
/* Volatile and parallel unsafe, in C, without a SET clause: a setting alone would cost a fifth of the throughput.  */
/* ---------------------------------------------------------------------------------------------------------------- */

create function gov_check
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    out is_granted boolean,
    out denied_reason text,
    out remaining numeric,
    out retry_at timestamptz,
    out chains jsonb
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_check_1_0';

comment on function gov_check(text, text, numeric, jsonb, text[]) is
$$Whether so much may be used. Changes nothing.

owner_id: one of the vendor's customers; capability_id: what is used; amount: how much, in the capability's unit, 0 or more,
    rounded to 9 decimals; dimensions: a flat object of strings, numbers and booleans; a value names an entity when its key is
    an attribution key of the entity's type; entity_ids: entities by id. At most 1,000 entities may be named
result: is_granted; denied_reason: null, RequestedUsageExceedingLimit, BudgetExceeded, Ungoverned or Unavailable; remaining: the
    least headroom of the hard budgets, null without any; retry_at: the latest window end of the budgets that deny, null when
    granted or when one never resets; chains: per entity named an array of budgets up to the root
errors: 22004 null owner_id, capability_id, amount or element of entity_ids; 22023 negative or infinite amount, malformed
    dimensions, malformed owner_id; 22003 amount out of range; 42704 unknown capability; 42501 not the session's owner; 54000 too
    many entities; GV002 ungoverned, if governance.on_ungoverned says so; 53400 cache full and 55000 library not preloaded,
    unless governance.on_unavailable says otherwise$$;

create function gov_allowed
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null
)
returns boolean
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_allowed_1_0';

comment on function gov_allowed(text, text, numeric, jsonb, text[]) is
$$Whether so much may be used: is_granted of gov_check alone, the fastest gate.

arguments and errors: those of gov_check
result: boolean$$;

create function gov_headroom
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    out chain integer,
    out entity_id text,
    out scope_entity_ids text[],
    out name text,
    out usage_limit numeric,
    out current_usage numeric,
    out reserved_usage numeric,
    out remaining numeric,
    out is_granted boolean,
    out is_over_limit boolean,
    out enforcement text,
    out cadence text,
    out usage_period_start timestamptz,
    out usage_period_end timestamptz
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_headroom_1_0';

comment on function gov_headroom(text, text, numeric, jsonb, text[]) is
$$The chains of gov_check as rows, one per budget and chain.

arguments and errors: those of gov_check
result: chain: its number from 1; then the columns of a node of chains; remaining is null without a limit, the usage period
    null for a budget that never resets$$;

create function gov_ingest
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    occurred_at timestamptz default null,
    out event_id bigint,
    out is_duplicate boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_ingest_1_0';

comment on function gov_ingest(text, text, numeric, jsonb, text[], text, timestamptz) is
$$Records what was used, whatever the limits, and counts it on every budget of its set at once.

owner_id, capability_id, dimensions, entity_ids: those of gov_check; amount: how much, in the capability's unit, negative for a
    correction; idempotency_key: 1 to 255 characters, unique per owner over events and holds; occurred_at: decides the window;
    null for now, at most five minutes ahead (stored as now)
result: event_id: the id in gov_events; is_duplicate: true when the key had been used for the same call, which is then not
    recorded again
errors: those of gov_check but for negative amounts and GV002; 23505 the key was used for another call; 22023 occurred_at too
    far ahead or infinite, malformed idempotency_key; 25006 in a read-only transaction and on a standby; 55P03 budgets could not
    be loaded in time; 55000 library not preloaded and 53400 cache full, whatever governance.on_unavailable says$$;

create function gov_consume
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    out is_granted boolean,
    out denied_reason text,
    out remaining numeric,
    out retry_at timestamptz,
    out event_id bigint,
    out is_duplicate boolean,
    out chains jsonb
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_consume_1_0';

comment on function gov_consume(text, text, numeric, jsonb, text[], text) is
$$Checks and records in one atomic step: no two calls ever pass on the same headroom. A denied one records nothing.

owner_id, capability_id, amount, dimensions, entity_ids: those of gov_check; idempotency_key: that of gov_ingest; a denied call
    uses no key
result: is_granted, denied_reason, remaining, retry_at and chains as of gov_check, after the use if it was granted; event_id: the
    id in gov_events, null when denied; is_duplicate: true when the key had been used for the same call, which is then granted and
    not recorded again
errors: those of gov_check; 23505 the key was used for another call; 22023 malformed idempotency_key; 25006 in a read-only
    transaction and on a standby; 55P03 budgets could not be loaded in time; 55000 library not preloaded and 53400 cache full,
    whatever governance.on_unavailable says$$;

create function gov_require
(
    owner_id text,
    capability_id text,
    amount numeric default 1,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null
)
returns bigint
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_require_1_0';

comment on function gov_require(text, text, numeric, jsonb, text[], text) is
$$gov_consume for those who want a denial to be an error.

arguments: those of gov_consume
result: the id in gov_events
errors: those of gov_consume; GV001 denied: the message has the reason, the detail the failing budgets as the nodes of chains$$;

create function gov_reserve
(
    owner_id text,
    capability_id text,
    amount numeric,
    dimensions jsonb default null,
    entity_ids text[] default null,
    idempotency_key text default null,
    ttl interval default '5 minutes',
    out is_granted boolean,
    out denied_reason text,
    out remaining numeric,
    out retry_at timestamptz,
    out reservation_id uuid,
    out expires_at timestamptz,
    out is_duplicate boolean,
    out state text,
    out chains jsonb
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_reserve_1_0';

comment on function gov_reserve(text, text, numeric, jsonb, text[], text, interval) is
$$Holds an amount against every budget of its set, for a call whose true cost is known only later, until gov_settle, gov_release or
the end of its ttl. A denied one holds nothing.

owner_id, capability_id, amount, dimensions, entity_ids: those of gov_check; idempotency_key: that of gov_ingest, in the same name
    space; a denied call uses no key; ttl: how long from now on, more than nothing; not part of what makes a call
    the same
result: is_granted, denied_reason, remaining, retry_at and chains as of gov_check, after the hold if it was granted;
    reservation_id, expires_at, state: of the hold, null when denied; is_duplicate: true when the key had been used for the same
    call, which is then granted, and whose hold is returned as it is now (open, settled, released or expired)
errors: those of gov_consume; 22004 null ttl; 22023 ttl not positive or longer than 100,000 years$$;

create function gov_settle
(
    reservation_id uuid,
    amount numeric default null,
    out event_id bigint,
    out is_duplicate boolean
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_settle_1_0';

comment on function gov_settle(uuid, numeric) is
$$Ends a hold and records what it came to, whatever the limits, in one step: what gov_ingest would record now with the hold's
capability, dimensions and entity_ids. A hold that has expired is recorded all the same.

reservation_id: of gov_reserve; amount: the true amount, 0 or more, less or more than held; null for the amount held
result: event_id: the id in gov_events; is_duplicate: true when the hold had been settled before, which is then left as it is,
    whatever the amount
errors: 22004 null reservation_id; 42704 unknown hold, or another owner's than governance.owner; 55000 the hold was released, or
    library not preloaded; 22003, 22023 bad amount; 42704 the capability does not exist any more; 25006, 55P03, 53400 as of gov_ingest;
    40001 under REPEATABLE READ and SERIALIZABLE: retry$$;

create function gov_release(reservation_id uuid)
returns boolean
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_release_1_0';

comment on function gov_release(uuid) is
$$Ends a hold of which nothing was used.

reservation_id: of gov_reserve
result: true if the hold was open; false if it was settled, released or expired before
errors: 22004 null reservation_id; 42704 unknown hold, or another owner's than governance.owner; 25006, 55P03, 55000, 53400 as of
    gov_ingest; 40001 under REPEATABLE READ and SERIALIZABLE: retry$$;

create function gov_extend(reservation_id uuid, ttl interval)
returns timestamptz
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_extend_1_0';

comment on function gov_extend(uuid, interval) is
$$Gives an open hold another time, later or earlier.

reservation_id: of gov_reserve; ttl: how long from now on, more than nothing
result: when the hold now expires
errors: 22004 null argument; 22023 ttl not positive or longer than 100,000 years; 42704 unknown hold, or another owner's than
    governance.owner; 55000 the hold is not open, or past its time, or library not preloaded; 25006 in a read-only transaction and
    on a standby; 40001 under REPEATABLE READ and SERIALIZABLE: retry$$;

create function gov_now()
returns timestamptz
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_now_1_0';

comment on function gov_now() is
    'the engine''s clock: the server''s, shifted by governance.clock_offset';

create view gov_holds with (security_invoker = true) as
select
    r.id,
    r.owner_id,
    r.capability_id,
    r.amount,
    r.entity_ids,
    r.dimensions,
    r.caller,
    r.idempotency_key,
    r.created_at,
    r.expires_at,
    c.now - r.created_at as age,
    r.expires_at - c.now as time_left,
    r.assignment_ids,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'assignmentId', a.id,
            'entityId', a.entity_id,
            'scopeEntityIds', a.scope_entity_ids,
            'name', a.name) order by u.n), '[]')
        from unnest(r.assignment_ids) with ordinality as u (id, n)
        join gov_assignments a on a.id = u.id
    ) as budgets
from (select gov_now() as now offset 0) c
join gov_reservations r on r.expires_at > c.now
where r.state = 'open';

comment on view gov_holds is 'the holds that count: open ones whose time has not passed, with the budgets that they are held against';
comment on column gov_holds.age is 'since it was made';
comment on column gov_holds.time_left is 'until it expires';
comment on column gov_holds.assignment_ids is 'the budgets that it is held against, also those deleted since';
comment on column gov_holds.budgets is 'those that there still are: assignmentId, entityId, scopeEntityIds, name';

create function gov_ingest_many
(
    owner_id text,
    events jsonb,
    out "position" integer,
    out event_id bigint,
    out is_duplicate boolean,
    out error text
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_ingest_many_1_0';

comment on function gov_ingest_many(text, jsonb) is
$$Records 1 to 1,000 events in one call; a bad one gets its error, the rest are recorded.

owner_id: one of the vendor's customers; events: an array of objects with the keys capabilityId, amount (1 if absent), dimensions,
    entityIds, idempotencyKey, occurredAt, which mean what the arguments of gov_ingest do
result: a row per event, in order: position from 1, event_id and is_duplicate as of gov_ingest, error: null or what is wrong
errors: 22004 null argument; 22023 events is no array or is empty, malformed owner_id; 54000 more than 1,000 events; what is not
    an event's fault (25006, 55000, 53400, 55P03, 40001, 57014) ends the call$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Alerts (src/alert.c raises them)                                                                                 */
/* ---------------------------------------------------------------------------------------------------------------- */

create function gov_set_alert_policy(owner_id text, thresholds numeric[])
returns void
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
#variable_conflict use_column
declare
    broken text;
    failing_row text;
begin
    if gov_set_alert_policy.owner_id is null then
        perform _gov_require_unpinned('gov_set_alert_policy() for every owner');
    else
        perform _gov_require_owner(gov_set_alert_policy.owner_id);
    end if;
    if array_position(gov_set_alert_policy.thresholds, null) is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "thresholds" must not contain null',
            hint = 'Write it like ''{80,100,120}''; {} for no alerts.';
    end if;

    if gov_set_alert_policy.thresholds is null then
        delete from gov_alert_policies p
        where p.owner_id is not distinct from gov_set_alert_policy.owner_id;
        return;
    end if;
    insert into gov_alert_policies as p (owner_id, thresholds)
    values (gov_set_alert_policy.owner_id, gov_set_alert_policy.thresholds)
    on conflict (owner_id) do update
    set thresholds = excluded.thresholds
    where p.thresholds <> excluded.thresholds;
exception
    when check_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform _gov_raise_broken_rule('gov_alert_policies', broken, failing_row);
        raise;
end
$$;

comment on function gov_set_alert_policy(text, numeric[]) is
$$Sets the alert thresholds of an owner's budgets that have none of their own. In force when the transaction commits.

owner_id: one of the vendor's customers; null: every owner that has no policy
thresholds: at most 10 percentages of 1 or more of a budget's limit, in any order; {}: no alerts; null: no policy, so that the
    default of every owner is in force again
errors: 22004 a null threshold; 22023 more than 10, one below 1 or of more than 18 digits, malformed owner_id; 42501 an owner that
    the session may not change, and every owner in a session pinned to one$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Reports                                                                                                          */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Where a report's bucket begins that a time falls into: counted from Monday 2001-01-01 00:00 local, as windows are; months,
-- days and weeks are local calendar arithmetic, what is shorter is elapsed time.
create function _gov_bucket_start(bucket interval, at timestamptz)
returns timestamptz
language sql
stable
as $$
    select case
        when extract(epoch from bucket - date_trunc('day', bucket)) > 0 or bucket < interval '1 day' then
            date_bin(bucket, at, timestamp '2001-01-01'::timestamptz)
        when extract(day from bucket) > 0 then
            date_bin(bucket, at::timestamp, timestamp '2001-01-01')::timestamptz
        else
            (
                select (timestamp '2001-01-01' + make_interval(months => (floor(m.since / m.wanted) * m.wanted)::int))::timestamptz
                from (
                    select
                        (extract(year from at::timestamp) - 2001) * 12 + extract(month from at::timestamp) - 1 as since,
                        extract(year from bucket) * 12 + extract(month from bucket) as wanted
                ) m
            )
    end
$$;

comment on function _gov_bucket_start(interval, timestamptz) is 'internal: the start of the bucket of gov_attribution that a time falls into';

create function gov_attribution
(
    owner_id text,
    capability_id text,
    group_by text[],
    from_time timestamptz,
    to_time timestamptz,
    bucket interval default null
)
returns table
(
    group_key jsonb,
    bucket_start timestamptz,
    amount numeric,
    event_count bigint
)
language plpgsql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
declare
    missing text := case
        when owner_id is null then 'owner_id'
        when capability_id is null then 'capability_id'
        when group_by is null or array_position(group_by, null) is not null then 'group_by'
        when from_time is null then 'from_time'
        when to_time is null then 'to_time'
    end;
    units int := (extract(year from bucket) * 12 + extract(month from bucket) <> 0)::int
        + (extract(day from bucket) <> 0)::int
        + (extract(epoch from bucket - date_trunc('day', bucket)) <> 0)::int;
    name text;
    column_name text;
    number int := 0;
    joins text := '';
    pairs text := '';
begin
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', missing),
            hint = format('Pass a value for "%s".', missing);
    end if;
    if bucket is not null and (bucket <= interval '0' or units <> 1) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "bucket" must be a positive interval of months, of days, or of time',
            hint = 'Write it like interval ''1 day'', ''1 month'' or ''6 hours''.';
    end if;
    perform _gov_require_owner(owner_id);

    -- One column for each name: the event's entities of that type, each in a row of its own, or the value of the dimension.
    foreach name in array (select coalesce(array_agg(distinct g.name), '{}') from unnest(group_by) g (name)) loop
        number := number + 1;
        column_name := format('k%s.value', number);
        joins := joins || case
            when exists (select from gov_entity_types t where t.id = name) then
                format($join$
                    left join lateral (
                        select to_jsonb(n.id) as value
                        from unnest(e.entity_ids) x (id)
                        cross join lateral (
                            select m.id
                            from gov_entities m
                            where m.owner_id = e.owner_id
                                and m.id = x.id
                                and m.type_id = %1$L
                            offset 0
                        ) n
                    ) k%2$s on true$join$, name, number)
            else
                format(' cross join lateral (select e.dimensions -> %1$L as value) k%2$s', name, number)
        end;
        pairs := pairs || format(', %L, %s', name, column_name);
    end loop;

    return query execute format($query$
        select
            jsonb_build_object(%1$s) as group_key,
            case when $5 is not null then _gov_bucket_start($5, e.occurred_at) end as bucket_start,
            trim_scale(sum(e.amount)) as amount,
            count(*) as event_count
        from gov_events e
        %2$s
        where e.owner_id = $1
            and e.capability_id = $2
            and e.occurred_at >= $3
            and e.occurred_at < $4
        group by 1, 2
        order by 2, 1
        $query$, substr(pairs, 3), joins)
    using owner_id, capability_id, from_time, to_time, bucket;
end
$$;

comment on function gov_attribution(text, text, text[], timestamptz, timestamptz, interval) is
$$Who and what used how much: the ledger's sums by any mix of entity types and dimensions, and by time.

owner_id, capability_id: what is summed; group_by: each name is an entity type or else the key of a dimension, {} for one sum;
    from_time, to_time: by occurred_at, from_time included, to_time not; bucket: months, days or time, such as interval '1 day', begun
    in the session's time zone, weeks on Monday; null for no buckets
result: a row per group and bucket, by bucket: group_key: an object with a key for each name, null for what an event lacks; an event
    with two entities of one type counts under each; bucket_start: null without buckets; amount; event_count
errors: 22004 null argument or name; 22023 bucket not positive or of more than one unit; 42501 an owner that the session may not see$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Reporting                                                                                                        */
/* ---------------------------------------------------------------------------------------------------------------- */

-- One owner's budgets at a point in time. An owner has one or a hundred thousand, and the planner of a query, or of one for all
-- owners, would take it for the average: joined row by row, as few are, many take minutes. So they are joined here, by hashing,
-- and what belongs to the owner is found by an index whatever the tables' statistics say. For whom policies hold, no index is
-- asked for an expression such as coalesce(), which the planner takes for leaky: they are computed beforehand.
create function _gov_budgets_of(owner text, at timestamptz)
returns table
(
    entity_id text,
    display_name text,
    type_id text,
    parent_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    usage_limit numeric,
    current_usage numeric,
    reserved_usage numeric,
    remaining numeric,
    allocated numeric,
    utilization numeric,
    cadence text,
    usage_period_start timestamptz,
    usage_period_end timestamptz,
    enforcement text,
    locked boolean,
    strict_allocation boolean
)
language plpgsql
stable
rows 100
cost 1000
set search_path = pg_catalog, @extschema@, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_hashagg = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_sort = off
set enable_seqscan = off
set jit = off
as $$
begin
    return query
    with recursive entity as materialized
    (
        select
            e.id,
            e.type_id,
            e.parent_id,
            e.display_name,
            e.archived_at is not null as is_archived
        from gov_entities e
        where e.owner_id = owner
    ),
    -- The archived entities, with the nearest above that is not.
    hidden (id, shown_id) as
    (
        select e.id, e.parent_id
        from entity e
        left join entity p on p.id = e.parent_id
        where e.is_archived
            and p.is_archived is not true
        union all
        select e.id, h.shown_id
        from hidden h
        join entity e on e.parent_id = h.id
        where e.is_archived
    ),
    -- The present windows: most budgets of an owner have one of a few.
    turn as materialized
    (
        select
            d.cadence,
            d.anchor_at,
            d.timezone,
            w.window_start,
            w.window_end,
            coalesce(w.window_start, '-infinity') as counted_from
        from (
            select
                coalesce(a.cadence, '') as cadence,
                coalesce(a.anchor_at, '-infinity') as anchor_at,
                a.timezone
            from gov_assignments a
            where a.owner_id = owner
            group by 1, 2, 3
        ) d
        cross join lateral gov_window(nullif(d.cadence, ''), nullif(d.anchor_at, '-infinity'), d.timezone, at) w
    ),
    -- What is not rolled up yet.
    counted as
    (
        select
            c.counter_id,
            c.window_start,
            sum(c.amount) as amount
        from (
            select x.counter_id, x.window_start, e.amount
            from gov_events e
            cross join lateral unnest(e.counter_ids, e.window_starts) as x (counter_id, window_start)
            where e.owner_id = owner
                and (e.owner_id, e.id) > (owner, (select coalesce(max(r.watermark), 0) from gov_rollup_state r))
        ) c
        group by c.counter_id, c.window_start
    ),
    held as
    (
        select
            x.assignment_id,
            sum(r.amount) as amount
        from gov_reservations r
        cross join lateral unnest(r.assignment_ids) as x (assignment_id)
        where r.owner_id = owner
            and r.state = 'open'
            and (r.owner_id, r.expires_at) > (owner, at)
        group by x.assignment_id
    ),
    -- What children are given.
    given as
    (
        select
            e.parent_id,
            b.capability_id,
            coalesce(b.cadence, '') as cadence,
            sum(b.usage_limit) as amount
        from gov_assignments b
        join entity e on e.id = b.entity_id
        where b.owner_id = owner
            and b.scope_entity_ids = '{}'
            and b.name = ''
            and not e.is_archived
        group by e.parent_id, b.capability_id, coalesce(b.cadence, '')
    )
    select
        b.entity_id,
        e.display_name,
        e.type_id,
        case when h.id is null then e.parent_id else h.shown_id end,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        b.usage_limit,
        trim_scale(s.used),
        trim_scale(s.held),
        trim_scale(b.usage_limit - s.used - s.held),
        case when b.scope_entity_ids = '{}' then trim_scale(coalesce(g.amount, 0)) end,
        case when b.usage_limit = 0 then 1 else trim_scale(s.used / b.usage_limit) end,
        b.cadence,
        w.window_start,
        w.window_end,
        b.enforcement,
        b.locked,
        b.strict_allocation
    from gov_assignments b
    join entity e on e.id = b.entity_id and not e.is_archived
    join turn w
        on w.cadence = coalesce(b.cadence, '')
        and w.anchor_at = coalesce(b.anchor_at, '-infinity')
        and w.timezone = b.timezone
    left join hidden h on h.id = e.parent_id
    left join lateral
    (
        select n.amount
        from gov_usage n
        where n.counter_id = b.counter_id
            and n.window_start = w.counted_from
        offset 0
    ) u on true
    left join counted c on c.counter_id = b.counter_id and c.window_start = w.counted_from
    left join held r on r.assignment_id = b.id
    left join given g
        on g.parent_id = b.entity_id
        and g.capability_id = b.capability_id
        and g.cadence = coalesce(b.cadence, '')
    cross join lateral
    (
        select coalesce(u.amount, 0) + coalesce(c.amount, 0) as used, coalesce(r.amount, 0) as held
    ) s
    where b.owner_id = owner;
end
$$;

comment on function _gov_budgets_of(text, timestamptz) is 'internal: the rows of gov_budgets and gov_allocations of one owner, as far as the caller may see them';

create view gov_budgets with (security_invoker = true) as
select
    o.owner_id,
    b.entity_id collate "C" as entity_id,
    b.display_name collate "C" as display_name,
    b.type_id collate "C" as type_id,
    b.parent_id collate "C" as parent_id,
    b.capability_id collate "C" as capability_id,
    b.scope_entity_ids collate "C" as scope_entity_ids,
    b.name collate "C" as name,
    b.usage_limit,
    b.current_usage,
    b.reserved_usage,
    b.remaining,
    b.allocated,
    b.utilization,
    b.cadence collate "C" as cadence,
    b.usage_period_start,
    b.usage_period_end,
    b.enforcement collate "C" as enforcement,
    b.locked
from (select gov_now() as now offset 0) c
cross join (select distinct a.owner_id from gov_assignments a) o
cross join lateral _gov_budgets_of(o.owner_id, c.now) b;

comment on view gov_budgets is 'the budgets of entities that are not archived, with what is used and held of them right now';
comment on column gov_budgets.display_name is 'the entity''s';
comment on column gov_budgets.type_id is 'the entity''s';
comment on column gov_budgets.parent_id is 'the nearest entity above that is not archived; null for a root';
comment on column gov_budgets.usage_limit is 'null = no limit';
comment on column gov_budgets.current_usage is 'used in the present window, committed or by this transaction';
comment on column gov_budgets.reserved_usage is 'held by open holds whose time has not passed';
comment on column gov_budgets.remaining is 'limit - usage - held, negative when over the limit; null without a limit';
comment on column gov_budgets.allocated is
    'the sum of the limits of the children''s unnamed node-wide budgets of this capability and cadence, archived children left out; null on scoped budgets';
comment on column gov_budgets.utilization is 'usage / limit, not capped; 1 for a limit of 0, null without a limit';
comment on column gov_budgets.usage_period_start is 'the start of the present window; null for a budget that never resets';
comment on column gov_budgets.usage_period_end is 'its end, exclusive; null for a budget that never resets';

create view gov_allocations with (security_invoker = true) as
select
    o.owner_id,
    b.entity_id collate "C" as entity_id,
    b.capability_id collate "C" as capability_id,
    b.name collate "C" as name,
    b.cadence collate "C" as cadence,
    b.usage_limit,
    b.allocated,
    trim_scale(b.usage_limit - b.allocated) as unallocated,
    b.strict_allocation
from (select gov_now() as now offset 0) c
cross join (select distinct a.owner_id from gov_assignments a) o
cross join lateral _gov_budgets_of(o.owner_id, c.now) b
where b.scope_entity_ids = '{}';

comment on view gov_allocations is 'the node-wide budgets of entities that are not archived, with what is left to allocate to children';
comment on column gov_allocations.usage_limit is 'null = no limit';
comment on column gov_allocations.allocated is
    'the sum of the limits of the children''s unnamed node-wide budgets of this capability and cadence, archived children left out';
comment on column gov_allocations.unallocated is 'limit - allocated, negative when more is allocated than there is; null without a limit';
comment on column gov_allocations.strict_allocation is 'true = no more may be allocated than the limit';

create function gov_tree
(
    owner_id text,
    capability_ids text[] default null,
    under_entity_id text default null
)
returns table
(
    entity_id text,
    display_name text,
    type_id text,
    parent_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    usage_limit numeric,
    current_usage numeric,
    reserved_usage numeric,
    remaining numeric,
    allocated numeric,
    utilization numeric,
    cadence text,
    usage_period_start timestamptz,
    usage_period_end timestamptz,
    enforcement text,
    locked boolean,
    depth integer,
    path text[]
)
language plpgsql
stable
set search_path = pg_catalog, @extschema@, pg_temp
set plan_cache_mode = force_generic_plan
set enable_hashjoin = on
set enable_hashagg = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_seqscan = off
set jit = off
as $$
begin
    perform _gov_require_owner(owner_id);
    if array_position(capability_ids, null) is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "capability_ids" must not contain null',
            hint = 'Leave it out for one row per entity.';
    end if;

    -- An archived entity hands its own place on to its children. Ids contain no control characters, so that keys of ids that
    -- each follow a chr(1) sort depth-first.
    return query
    with recursive entity as materialized
    (
        select
            e.id,
            e.type_id,
            e.parent_id,
            e.display_name,
            e.archived_at is not null as is_archived
        from gov_entities e
        where e.owner_id = gov_tree.owner_id
    ),
    place as
    (
        select
            e.id,
            e.display_name,
            e.type_id,
            e.is_archived,
            null::text collate "C" as shown_id,
            case when e.is_archived then '{}' else array[e.id] end as path,
            case when e.is_archived then '' else chr(1) || e.id end as sort_key,
            under_entity_id is null or e.id = under_entity_id as is_wanted
        from entity e
        where e.parent_id is null
        union all
        select
            e.id,
            e.display_name,
            e.type_id,
            e.is_archived,
            case when p.is_archived then p.shown_id else p.id end,
            case when e.is_archived then p.path else p.path || e.id end,
            case when e.is_archived then p.sort_key else p.sort_key || chr(1) || e.id end,
            p.is_wanted or e.id = under_entity_id
        from place p
        join entity e on e.parent_id = p.id
    )
    select
        p.id,
        p.display_name,
        p.type_id,
        p.shown_id,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        b.usage_limit,
        b.current_usage,
        b.reserved_usage,
        b.remaining,
        b.allocated,
        b.utilization,
        b.cadence,
        b.usage_period_start,
        b.usage_period_end,
        b.enforcement,
        b.locked,
        cardinality(p.path) - 1,
        p.path
    from place p
    left join
    (
        select x.*
        from _gov_budgets_of(owner_id, gov_now()) x
        where capability_ids is not null
            and x.capability_id = any (capability_ids)
    ) b on b.entity_id = p.id
    where p.is_wanted
        and not p.is_archived
        and (capability_ids is null or b.entity_id is not null)
    order by p.sort_key, b.capability_id collate "C", cardinality(b.scope_entity_ids), b.scope_entity_ids collate "C", b.name collate "C";
end
$$;

comment on function gov_tree(text, text[], text) is
$$An owner's entities, and their budgets, as a tree: depth-first, children by id. Archived entities are left out; their children
stand below the nearest entity above that is not archived.

owner_id: one of the vendor's customers; capability_ids: whose budgets to show; null for one row per entity, without budgets;
    under_entity_id: only this entity and what is below it
result: the columns of gov_budgets but for owner_id; depth: 0 for a root; path: the ids from the root down to the entity. One row per
    budget, an entity's by capability, scope size, scope and name; unknown ids: no rows
errors: 22004 null owner_id or element of capability_ids; 42501 an owner that the session may not see$$;

create function _gov_short(n numeric)
returns text
language plpgsql
immutable
parallel safe
strict
set search_path = pg_catalog, pg_temp
as $$
declare
    digits int := length(trunc(abs(n))::text);
    thousands int := (digits - 1) / 3;
    short numeric := round(n / 1000::numeric ^ thousands, 2 - (digits - 1) % 3);
begin
    if abs(n) < 1 then
        short := round(n, 3);
        return case when short = 0 and n <> 0 then '~0' else trim_scale(short)::text end;
    end if;
    if abs(short) >= 1000 then
        thousands := thousands + 1;
        short := short / 1000;
    end if;
    return trim_scale(short)::text || substr('kMGTPEZY', thousands, (thousands > 0)::int);
end
$$;

comment on function _gov_short(numeric) is 'internal: a number in at most 6 characters and 3 digits, such as 412k or -1.25M; ~0 for one that is nearly nothing';

create function _gov_cut(line text, width int, ellipsis text)
returns text
language sql
immutable
parallel safe
return case when length(line) > width then left(line, width - length(ellipsis)) || ellipsis else line end;

comment on function _gov_cut(text, int, text) is 'internal: a text in at most so many characters';

create function _gov_bar(used numeric, held numeric, usage_limit numeric, marks text[])
returns text
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    width int := 20 - length(marks[1]) - length(marks[5]);
    used_cells int := case
        when usage_limit is null then 0
        when used >= usage_limit then width
        when used > 0 then greatest(floor(width * used / usage_limit), 1)
        else 0
    end;
    held_cells int := case
        when held > 0 and used_cells < width then
            least(greatest(floor(width * (used + held) / usage_limit) - used_cells, 1), width - used_cells)
        else 0
    end;
begin
    if usage_limit is null then
        return rpad('no limit', 20);
    end if;
    return marks[1] || repeat(marks[2], used_cells) || repeat(marks[3], held_cells) || repeat(marks[4], width - used_cells - held_cells)
        || marks[5];
end
$$;

comment on function _gov_bar(numeric, numeric, numeric, text[]) is
    'internal: 20 characters that show how much of a limit is used and held; what is used or held shows, however little it is';

create function _gov_cadence_words(cadence text)
returns text
language sql
immutable
parallel safe
return case
    when cadence is null then ''
    when cadence ~ '^PT?1[A-Z]$' then
        case cadence
            when 'P1Y' then '/year'
            when 'P1M' then '/month'
            when 'P1W' then '/week'
            when 'P1D' then '/day'
            when 'PT1H' then '/hour'
            when 'PT1M' then '/minute'
            else '/second'
        end
    else
        '/' || substring(cadence from '[0-9]+')
            || case when cadence ~ '^PT.*M$' then 'min' when cadence ~ 'M$' then 'mo' else lower(right(cadence, 1)) end
end;

comment on function _gov_cadence_words(text) is 'internal: a cadence in the words of a label, such as /month or /30d; nothing for a budget that never resets';

create function gov_report
(
    owner_id text,
    capability_id text default null,
    under_entity_id text default null,
    max_depth integer default null
)
returns setof text
language plpgsql
stable
set search_path = pg_catalog, @extschema@, pg_temp
set jit = off
as $$
declare
    -- psql adds one character.
    width constant int := 98;
    label_width constant int := 30;
    deepest constant int := 5;
    is_utf8 boolean := getdatabaseencoding() = 'UTF8' and pg_client_encoding() = 'UTF8';
    marks text[] := case when is_utf8 then '{"",█,▒,·,""}' else '{[,#,=,.,]}' end;
    ellipsis text := case when is_utf8 then '…' else '...' end;
    through text := case when is_utf8 then '│  ' else '|  ' end;
    branch text := case when is_utf8 then '├─ ' else '|- ' end;
    corner text := case when is_utf8 then '└─ ' else '`- ' end;
    now timestamptz := gov_now();
    stems text[] := '{""}';
    stem text;
    place bigint := 0;
    item record;
begin
    perform _gov_require_owner(owner_id);
    if max_depth < 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "max_depth" must not be negative',
            hint = 'Pass 0 for the roots alone, 1 for their children too, and so on; null for all.';
    end if;
    for item in
        with placed as
        (
            select t.*, t.depth - min(t.depth) over () as level
            from gov_tree(gov_report.owner_id, null, gov_report.under_entity_id) with ordinality
                t (entity_id, display_name, type_id, parent_id, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, depth, path, n)
        ),
        shown as
        (
            select
                t.n,
                t.entity_id,
                coalesce(t.display_name, t.entity_id) as title,
                t.type_id,
                t.level as depth,
                coalesce(lead(t.depth) over (order by t.n) > t.depth, false) as has_children,
                row_number() over (partition by t.parent_id order by t.n desc) = 1 as is_last
            from placed t
            where max_depth is null
                or t.level <= max_depth
        )
        select
            s.*,
            b.capability_id is not null as has_budget,
            b.capability_id || _gov_cadence_words(b.cadence) || coalesce(' ' || nullif(b.name, ''), '')
                || coalesce(' on ' || nullif(array_to_string(b.scope_entity_ids, ', '), ''), '') as label,
            b.usage_limit,
            b.current_usage,
            b.reserved_usage,
            b.utilization,
            b.usage_limit - b.allocated as unallocated,
            b.allocated > 0 as has_allocated,
            b.usage_period_end,
            b.enforcement
        from shown s
        left join (select * from _gov_budgets_of(gov_report.owner_id, now) x
            where gov_report.capability_id is null or x.capability_id = gov_report.capability_id) b on b.entity_id = s.entity_id
        order by s.n, b.capability_id collate "C", cardinality(b.scope_entity_ids), b.scope_entity_ids collate "C", b.name collate "C"
    loop
        if place = 0 then
            return next rtrim(rpad(_gov_cut(owner_id, label_width, ellipsis), label_width + 1)
                || format('used %s held %s left %s', marks[2], marks[3], marks[4])
                || '       %    used of limit   resets unalloc');
        end if;

        -- A new entity. Below the deepest level its depth is written out.
        if item.n <> place then
            place := item.n;
            if item.depth > deepest then
                return next _gov_cut(format('%s%s: %s (%s)', stems[deepest + 2], item.depth, item.title, item.type_id), width, ellipsis);
            else
                stem := stems[item.depth + 1];
                return next _gov_cut(stem || case when item.depth = 0 then '' when item.is_last then corner else branch end
                    || format('%s (%s)', item.title, item.type_id), width, ellipsis);
                stems[item.depth + 2] := stem || case when item.depth = 0 then '' when item.is_last then '   ' else through end;
            end if;
        end if;

        if item.has_budget then
            stem := stems[least(item.depth, deepest) + 2]
                || case when item.has_children and item.depth <= deepest then through else '   ' end;
            return next rtrim(rpad(_gov_cut(stem || item.label, label_width, ellipsis), label_width + 1)
                || _gov_bar(item.current_usage, item.reserved_usage, item.usage_limit, marks)
                || lpad(case
                    when item.utilization is null then ''
                    when item.utilization > 99.99 then '>9999%'
                    when item.utilization < -9.99 then '<-999%'
                    else floor(100 * item.utilization) || '%'
                end, 7)
                || case when item.current_usage > item.usage_limit then '! ' else '  ' end
                || lpad(_gov_short(item.current_usage), 6)
                || rpad(coalesce(' of ' || _gov_short(item.usage_limit), ''), 11)
                || rpad(case
                    when item.usage_period_end is null then 'never'
                    when item.usage_period_end < now + interval '1 day' then to_char(item.usage_period_end, 'HH24:MI')
                    when item.usage_period_end < now + interval '1 year' then to_char(item.usage_period_end, 'FMDD Mon')
                    when item.usage_period_end < '10000-01-01' then to_char(item.usage_period_end, 'Mon YYYY')
                    else to_char(item.usage_period_end, 'YYYY')
                end, 8)
                || lpad(case when item.has_allocated then coalesce(_gov_short(item.unallocated), '') else '' end, 7)
                || case item.enforcement when 'soft' then ' soft' else '' end);
        end if;
    end loop;
    if place = 0 then
        return next _gov_cut(owner_id, width - 16, ellipsis) || ': no entities';
    end if;
end
$$;

comment on function gov_report(text, text, text, integer) is
$$An owner's budgets as a picture, for a terminal of 100 columns: the tree of its entities, below each its budgets with bars.

owner_id: one of the vendor's customers; capability_id: only budgets of this capability; under_entity_id: only this entity and what
    is below it; max_depth: only so many levels below the topmost, null for all
result: lines of at most 98 characters, a heading first. A budget's line: the capability, the length of its window, name and scope;
    a bar of what is used and held, drawn in ASCII unless database and client use UTF8; the share that is used, ! when the limit
    is passed; amounts of 3 digits; when the window ends, in the session's time zone; what is left to allocate when children
    have budgets; soft
errors: 22004 null owner_id; 22023 negative max_depth; 42501 an owner that the session may not see$$;

create function gov_query
(
    owner_id text,
    capability_ids text[] default null,
    sort_by text default 'utilization',
    sort_order text default 'desc',
    scope text default 'all',
    min_utilization numeric default null,
    type_ids text[] default null,
    search text default null,
    under_entity_id text default null,
    page_size int default 20,
    after text default null
)
returns jsonb
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_query_1_0';

comment on function gov_query(text, text[], text, text, text, numeric, text[], text, text, int, text) is
$$A page of an owner's entities and budgets with their usage, as it is now. Archived entities are left out, and their children
shown under the nearest that is not.

owner_id: one of the vendor's customers; capability_ids: the budgets of these, a row for each; null: a row for each entity,
    with null for all that is a budget's; sort_by: utilization, currentUsage, usageLimit, scopeSize, id or createdAt (the
    entity's); sort_order: asc or desc; rows without the value come last, equal ones by entity, capability, scope size, scope
    and name; scope: all, nodeWide or scoped budgets; an entity counts as node-wide; min_utilization: 0.8 for 80 % and more;
    type_ids: entities of these types; search: part of the entity's id or display name, upper case or lower;
    under_entity_id: that entity and all below it; page_size: 1 to 100; after: "next" of the page before, with the same
    arguments
result: {"data": [...], "pagination": {"next": cursor or null}}, each row with entityId, displayName, typeId, parentId,
    capabilityId, scopeEntityIds, name, usageLimit, currentUsage, reservedUsage, remaining, allocated, utilization, cadence,
    usagePeriodStart, usagePeriodEnd, enforcement and locked. utilization = usage / limit, 1 for a limit of 0; allocated: the
    limits of the children's unnamed node-wide budgets of the same capability and cadence, null for scoped budgets
errors: 22004 null owner_id, sort_by, sort_order, scope, page_size or element of an array; 22023 unknown sort_by, sort_order or
    scope, page_size out of range, after not a cursor of this query; 42501 not the session's owner$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Backtest (src/backtest.c, src/api_backtest.c)                                                                    */
/* ---------------------------------------------------------------------------------------------------------------- */

-- What a column may hold is said once, by the constraints of the table; here they are asked about rows that are not stored.
create function _gov_require_storable(owner text, budgets gov_assignments[])
returns void
language plpgsql
as $$
declare
    broken text;
    expression text;
    failing text;
    missing text;
begin
    select b.timezone
    into failing
    from unnest(budgets) b
    where not gov_is_timezone(b.timezone)
    limit 1;
    if found then
        perform _gov_raise_broken_rule('gov_assignments', 'gov_assignments_timezone_check', format('time zone "%s" is not recognized', failing));
    end if;

    for broken, expression in
        select c.conname, pg_get_expr(c.conbin, c.conrelid)
        from pg_constraint c
        where c.conrelid = 'gov_assignments'::regclass and c.contype = 'c'
        order by c.conname collate "C"
    loop
        execute format('select b::text from unnest($1) b where not (%s) limit 1', expression)
        into failing
        using budgets;
        if failing is not null then
            perform _gov_raise_broken_rule('gov_assignments', broken, format('Failing row contains %s.', failing));
        end if;
    end loop;

    select b.entity_id
    into missing
    from unnest(budgets) b
    where not exists (select from gov_entities e where e.owner_id = owner and e.id = b.entity_id)
    limit 1;
    if found then
        perform _gov_raise_broken_rule('gov_assignments', 'gov_assignments_entity_id_fkey',
            format('Key (owner_id, entity_id)=(%s, %s) is not present in table "gov_entities".', owner, missing));
    end if;

    select b.capability_id
    into missing
    from unnest(budgets) b
    where not exists (select from gov_capabilities c where c.id = b.capability_id)
    limit 1;
    if found then
        perform _gov_raise_broken_rule('gov_assignments', 'gov_assignments_capability_id_fkey',
            format('Key (capability_id)=(%s) is not present in table "gov_capabilities".', missing));
    end if;

    select s.id
    into missing
    from unnest(budgets) b
    cross join lateral unnest(b.scope_entity_ids) s (id)
    where not exists (select from gov_entities e where e.owner_id = owner and e.id = s.id)
    limit 1;
    if found then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format('scope entity "%s" does not exist', missing),
            detail = format('Owner "%s" has no such entity.', owner),
            hint = 'A scope names entities of the same owner.',
            table = 'gov_assignments',
            constraint = 'gov_assignments_scope_entity_ids_fkey';
    end if;
end
$$;

comment on function _gov_require_storable(text, gov_assignments[]) is
    'internal: refuses budgets that an upsert would refuse for what they hold (22023) or refer to (23503)';

create function _gov_proposed(owner text, payload jsonb)
returns gov_assignments[]
language plpgsql
stable
as $$
declare
    -- Budgets that stack must be tried together, so all that a large customer has fit into one call.
    max_items constant int := 10000;
    budgets gov_assignments[];
    incomplete int;
begin
    -- Apart, so that the context of an error is short.
    perform i.n from _gov_assignment_items(payload, max_items) i;

    with wanted as
    (
        select
            i.key,
            min(i.n) as n,
            jsonb_object_agg(v.key, v.value order by i.n) as item,
            (array_agg(i.item ?& '{usageLimit, cadence}' order by i.n))[1] as is_complete
        from _gov_assignment_items(payload, max_items) i
        cross join lateral jsonb_each(i.item) v
        group by i.key
    )
    select
        array_agg(p order by p.entity_id, p.capability_id, cardinality(p.scope_entity_ids), p.scope_entity_ids, p.name),
        min(w.n) filter (where s.id is null and not w.is_complete)
    into budgets, incomplete
    from wanted w
    left join gov_assignments s
        on s.owner_id = owner
        and s.entity_id = w.item ->> 'entityId'
        and s.capability_id = w.item ->> 'capabilityId'
        and s.scope_entity_ids = _gov_texts(w.item -> 'scopeEntityIds')
        and s.name = w.item ->> 'name'
    cross join lateral _gov_patched(s, w.item) p;

    if incomplete is not null then
        perform _gov_refuse_incomplete(i.item, i.n)
        from _gov_assignment_items(payload, max_items) i
        where i.n = incomplete;
    end if;
    perform _gov_require_storable(owner, budgets);
    return budgets;
end
$$;

comment on function _gov_proposed(text, jsonb) is
    'internal: the budgets that gov_upsert_assignments would store, in natural order, without storing them (22004, 22023, 23503, 54000)';

create function _gov_replay
(
    owner_id text,
    budgets gov_assignments[],
    suspended_from timestamptz[],
    from_time timestamptz,
    to_time timestamptz,
    out n int,
    out denied_count bigint,
    out denied_amount numeric,
    out first_denied_at timestamptz
)
returns setof record
language c
stable
strict
as 'MODULE_PATHNAME', 'gov_replay_1_0';

comment on function _gov_replay(text, gov_assignments[], timestamptz[], timestamptz, timestamptz) is
    'internal: what budgets would have denied of an owner''s ledger between two times; n is a budget''s place, suspended_from from when on each has no say (22003, 22008, 22023, 42501)';

create function gov_backtest
(
    owner_id text,
    assignments jsonb,
    from_time timestamptz,
    to_time timestamptz
)
returns table
(
    entity_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    denied_count bigint,
    denied_amount numeric,
    first_denied_at timestamptz
)
language plpgsql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
#variable_conflict use_column
declare
    owner constant text := $1;
    missing constant text := case when $3 is null then 'from_time' when $4 is null then 'to_time' end;
    budgets gov_assignments[];
    suspended_from timestamptz[];
begin
    perform _gov_require_owner(owner);
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', missing),
            hint = 'Write a point in time, or -infinity and infinity for the whole ledger.';
    end if;

    budgets := _gov_proposed(owner, $2);
    suspended_from := array(
        select e.archived_at
        from unnest(budgets) with ordinality b
        join gov_entities e on e.owner_id = owner and e.id = b.entity_id
        order by b.ordinality);

    return query
    select b.entity_id, b.capability_id, b.scope_entity_ids, b.name, r.denied_count, r.denied_amount, r.first_denied_at
    from _gov_replay(owner, budgets, suspended_from, $3, $4) r
    join unnest(budgets) with ordinality b on b.ordinality = r.n
    order by r.n;
end
$$;

comment on function gov_backtest(text, jsonb, timestamptz, timestamptz) is
$$What budgets would have denied: replays an owner's ledger, by occurred_at and id, against proposed budgets. Changes nothing.

owner_id: one of the vendor's customers; assignments: what one would give gov_upsert_assignments, but up to 10,000 objects; tried
    are the budgets that it would store, and no others; locked, alertThresholds, strictAllocation and parentId make no difference;
    from_time, to_time: by occurred_at, from_time included, to_time not
result: a row per budget, by entity, capability, scope size, scope and name: denied_count and denied_amount: the uses that it would
    have denied, and their sum in the capability's unit; first_denied_at: the occurred_at of the first, null without any. A use that
    any budget denies is counted by none, and denied by each that lacks room for it; a correction (a negative amount) is counted and
    never denied. Usage starts at 0 at from_time; an archived entity's budgets have no say from its archiving on
errors: 22004 null argument; 22023 and 23503 as of gov_upsert_assignments; 54000 more than 10,000 objects; 42501 an owner that the
    session may not see; 22003 a sum out of range; 22008 a window out of range$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Operation                                                                                                        */
/* ---------------------------------------------------------------------------------------------------------------- */

create function gov_cached_counters
(
    out counter_id bigint,
    out window_start timestamptz,
    out window_end timestamptz,
    out amount numeric,
    out held numeric,
    out is_pinned boolean
)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_cached_counters_1_0';

comment on function gov_cached_counters() is
$$The counters of this database that are in shared memory, in a pinned session those of its owner.

result: counter_id: of gov_assignments; the present window; amount: usage, committed and in flight; held: open holds; is_pinned:
    a transaction has changes in flight$$;

create function gov_engine_facts(out name text, out value numeric)
returns setof record
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_engine_facts_1_0';

comment on function gov_engine_facts() is
    'what the engine counts in shared memory, for all databases of the server since its start, but for worker_pid: gov_stats has it. Refused in a session pinned to an owner (42501)';

-- A transaction that has drawn an id of the ledger holds the first lock until it ends, one that has deleted a budget the second.
create view gov_rollup_waits with (security_invoker = true) as
select distinct
    l.pid
from pg_locks l
where l.locktype = 'relation'
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
    and (l.relation, l.mode) in (
        ('gov_events_id_seq'::regclass, 'RowExclusiveLock'),
        ('gov_rollup_state'::regclass, 'ShareLock'))
    and l.granted
    and l.pid <> pg_backend_pid();

comment on view gov_rollup_waits is 'the processes whose open transactions the rollup of the ledger has to let pass';

create view gov_stats with (security_invoker = true) as
with state as
(
    select (select coalesce(max(r.watermark), 0) from gov_rollup_state r) as watermark
),
tail as
(
    select
        count(*) as event_count,
        min(e.recorded_at) as oldest
    from state s
    join gov_events e on e.id > s.watermark
)
select
    f.name,
    f.value,
    null::text as detail
from gov_engine_facts() f
union all
select 'rollup_watermark', s.watermark, 'the last ledger id that is rolled up'
from state s
union all
select 'rollup_lag_events', t.event_count, null
from tail t
union all
select 'rollup_lag_seconds', coalesce(greatest(round(extract(epoch from gov_now() - t.oldest), 3), 0), 0), null
from tail t
union all
select 'rollup_waits_for', count(*), string_agg('process ' || w.pid, ', ' order by w.pid)
from gov_rollup_waits w;

comment on view gov_stats is
    'how the engine does, one row per fact; cache and event counts are the server''s since its start, the rollup''s this database''s';
comment on column gov_stats.name is 'what is counted';
comment on column gov_stats.value is 'how much: events, bytes (…_bytes), seconds (…_seconds) or a number of processes';
comment on column gov_stats.detail is 'more about the value, such as the processes that are waited for';

create function gov_maintain
(
    out expired bigint,
    out rolled_up bigint,
    out pruned bigint,
    out events_left bigint,
    out waits_for text
)
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_maintain_1_0';

comment on function gov_maintain() is
$$Does what the background worker does, as far as it can without waiting. Call it in a transaction of its own: until that ends,
no budget can be deleted.

result: expired: holds whose time had passed; rolled_up: events moved into gov_usage and gov_usage_hourly; pruned: events and ended
    holds deleted because of governance.event_retention; events_left: committed events that are not rolled up yet; waits_for: what
    they wait for, null when nothing is left
errors: 42501 in a session pinned to an owner; 25006 in a read-only transaction and on a standby; 40001 under REPEATABLE READ and SERIALIZABLE: retry$$;

create function gov_drop_cache()
returns void
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_drop_cache_1_0';

comment on function gov_drop_cache() is
    'drops what may be dropped from the shared cache, and makes every session read the rest of the catalog again; gov_refresh calls it. Refused in a session pinned to an owner (42501)';

create function gov_refresh()
returns void
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
declare
    broken record;
begin
    perform _gov_require_unpinned('gov_refresh()');

    for broken in
        select t.tgrelid::regclass as relation, t.tgname
        from pg_trigger t
        join pg_proc p on p.oid = t.tgfoid
        where p.pronamespace = '@extschema@'::regnamespace
            and p.proname in ('gov_note_change', 'gov_note_truncate', 'gov_forget_budget')
            and t.tgenabled <> 'A'
    loop
        execute format('alter table %s enable always trigger %I', broken.relation, broken.tgname);
    end loop;
    perform gov_drop_cache();
end
$$;

comment on function gov_refresh() is
$$Drops the cache and repairs the triggers that keep it current. Needed only after DML on the tables with triggers disabled, or
after ALTER TABLE ... ENABLE TRIGGER ALL.

errors: 42501 when a trigger needs repair and the caller does not own the table, and in a session pinned to an owner$$;

create function gov_verify(owner_id text default null)
returns table
(
    owner_id text,
    assignment_id uuid,
    entity_id text,
    capability_id text,
    scope_entity_ids text[],
    name text,
    window_start timestamptz,
    counted_by text,
    counted numeric,
    recorded numeric
)
language sql
volatile
parallel unsafe
set search_path = pg_catalog, @extschema@, pg_temp
as $$
    with state as
    (
        select (select coalesce(max(r.watermark), 0) from gov_rollup_state r) as watermark
    ),
    budget as
    (
        select a.*
        from gov_assignments a
        where gov_owner_visible(a.owner_id)
            and (gov_verify.owner_id is null or _gov_require_owner(gov_verify.owner_id))
            and (gov_verify.owner_id is null or a.owner_id = gov_verify.owner_id)
    ),
    ledger as materialized
    (
        select
            x.counter_id,
            x.window_start,
            sum(e.amount) as amount,
            coalesce(sum(e.amount) filter (where e.id <= s.watermark), 0) as rolled_amount,
            count(*) filter (where e.id <= s.watermark) as rolled_count
        from state s
        cross join gov_events e
        cross join lateral unnest(e.counter_ids, e.window_starts) as x (counter_id, window_start)
        where gov_verify.owner_id is null
            or e.owner_id = gov_verify.owner_id
        group by x.counter_id, x.window_start
    ),
    open_hold as materialized
    (
        select
            x.assignment_id,
            sum(r.amount) as amount
        from gov_reservations r
        cross join lateral unnest(r.assignment_ids) as x (assignment_id)
        where r.state = 'open'
            and (gov_verify.owner_id is null or r.owner_id = gov_verify.owner_id)
        group by x.assignment_id
    ),
    rolled as
    (
        select
            counter_id,
            window_start,
            coalesce(u.amount, 0) as counted,
            coalesce(u.event_count, 0) as counted_events,
            coalesce(l.rolled_amount, 0) + coalesce(u.pruned_amount, 0) as recorded,
            coalesce(l.rolled_count, 0) + coalesce(u.pruned_count, 0) as recorded_events
        from ledger l
        full join gov_usage u using (counter_id, window_start)
    ),
    difference as
    (
        select
            b.id,
            r.window_start,
            'rollup' as counted_by,
            r.counted,
            r.recorded
        from budget b
        join rolled r on r.counter_id = b.counter_id
        where r.counted <> r.recorded
            or r.counted_events <> r.recorded_events
        union all
        select
            b.id,
            c.window_start,
            'cache',
            c.amount,
            coalesce(l.amount, 0) + coalesce(u.pruned_amount, 0)
        from budget b
        join gov_cached_counters() c on c.counter_id = b.counter_id
        left join ledger l on l.counter_id = c.counter_id and l.window_start = c.window_start
        left join gov_usage u on u.counter_id = c.counter_id and u.window_start = c.window_start and u.owner_id = b.owner_id
        where not c.is_pinned
            and c.amount <> coalesce(l.amount, 0) + coalesce(u.pruned_amount, 0)
        union all
        select
            b.id,
            c.window_start,
            'holds',
            c.held,
            coalesce(h.amount, 0)
        from budget b
        join gov_cached_counters() c on c.counter_id = b.counter_id
        left join open_hold h on h.assignment_id = b.id
        where not c.is_pinned
            and c.held <> coalesce(h.amount, 0)
    )
    select
        b.owner_id,
        b.id,
        b.entity_id,
        b.capability_id,
        b.scope_entity_ids,
        b.name,
        d.window_start,
        d.counted_by,
        d.counted,
        d.recorded
    from difference d
    join budget b on b.id = d.id
    order by b.owner_id, b.entity_id, b.capability_id, b.scope_entity_ids, b.name, d.window_start, d.counted_by
$$;

comment on function gov_verify(text) is
$$Compares every count with the ledger. Exact when no call is under way, in a READ COMMITTED transaction; counters with changes
in flight are left out.

owner_id: only the budgets of this owner; null for all that the session may see
result: a row per budget, window and count that differs, none when all is well; counted_by: rollup (gov_usage), cache (shared
    memory) or holds; counted: the count; recorded: what the ledger, or gov_reservations, says
errors: 42501 an owner that the session may not see$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* What pg_dump takes along                                                                                         */
/* ---------------------------------------------------------------------------------------------------------------- */

select pg_extension_config_dump('gov_counter_seq', '');
select pg_extension_config_dump('gov_events_id_seq', '');
select pg_extension_config_dump('gov_alerts_id_seq', '');
select pg_extension_config_dump('gov_entity_types', '');
select pg_extension_config_dump('gov_capabilities', '');
select pg_extension_config_dump('gov_entities', '');
select pg_extension_config_dump('gov_assignments', '');
select pg_extension_config_dump('gov_events', '');
select pg_extension_config_dump('gov_usage', '');
select pg_extension_config_dump('gov_usage_hourly', '');
select pg_extension_config_dump('gov_reservations', '');
select pg_extension_config_dump('gov_alerts', '');
select pg_extension_config_dump('gov_alert_policies', '');
select pg_extension_config_dump('gov_rollup_state', '');

/* ---------------------------------------------------------------------------------------------------------------- */
/* Who may do what: rows                                                                                            */
/*                                                                                                                  */
/* The policies hold for whoever is neither a superuser, nor has BYPASSRLS, nor owns the tables. They say which     */
/* rows; the privileges of a role say what it may do with them. What has no policy for a command is not to be done: */
/* the ledger, the usage, the holds and the alerts are written by the engine, as their owner.                       */
/* ---------------------------------------------------------------------------------------------------------------- */

alter table gov_entity_types enable row level security;
alter table gov_capabilities enable row level security;
alter table gov_entities enable row level security;
alter table gov_assignments enable row level security;
alter table gov_events enable row level security;
alter table gov_usage enable row level security;
alter table gov_usage_hourly enable row level security;
alter table gov_reservations enable row level security;
alter table gov_alerts enable row level security;
alter table gov_alert_policies enable row level security;

create policy gov_entities_select on gov_entities for select using (gov_owner_visible(owner_id));
create policy gov_assignments_select on gov_assignments for select using (gov_owner_visible(owner_id));
create policy gov_events_select on gov_events for select using (gov_owner_visible(owner_id));
create policy gov_usage_select on gov_usage for select using (gov_owner_visible(owner_id));
create policy gov_usage_hourly_select on gov_usage_hourly for select using (gov_owner_visible(owner_id));
create policy gov_reservations_select on gov_reservations for select using (gov_owner_visible(owner_id));
create policy gov_alerts_select on gov_alerts for select using (gov_owner_visible(owner_id));

create policy gov_entities_insert on gov_entities for insert with check (gov_owner_changeable(owner_id));
create policy gov_entities_update on gov_entities for update using (gov_owner_changeable(owner_id));
create policy gov_entities_delete on gov_entities for delete using (gov_owner_changeable(owner_id));

-- The functions' OIDs are constants here: no search_path puts another in their place.

create policy gov_assignments_insert on gov_assignments for insert
    with check (gov_owner_changeable(owner_id)
        and (not locked or has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute')));

create policy gov_assignments_update on gov_assignments for update
    using (gov_owner_changeable(owner_id)
        and (not locked or has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute')));

create policy gov_assignments_delete on gov_assignments for delete
    using (gov_owner_changeable(owner_id)
        and (not locked or has_function_privilege('@extschema@._gov_change_every_owner()'::regprocedure, 'execute')));

-- What all owners share is seen by whoever sees any, and changed in sessions that are not pinned.

create policy gov_entity_types_select on gov_entity_types for select
    using (gov_pinned_owner() is not null or gov_owner_visible(null));

create policy gov_entity_types_insert on gov_entity_types for insert with check (gov_owner_changeable(null));
create policy gov_entity_types_update on gov_entity_types for update using (gov_owner_changeable(null));
create policy gov_entity_types_delete on gov_entity_types for delete using (gov_owner_changeable(null));

create policy gov_capabilities_select on gov_capabilities for select
    using (gov_pinned_owner() is not null or gov_owner_visible(null));

create policy gov_capabilities_insert on gov_capabilities for insert with check (gov_owner_changeable(null));
create policy gov_capabilities_update on gov_capabilities for update using (gov_owner_changeable(null));
create policy gov_capabilities_delete on gov_capabilities for delete using (gov_owner_changeable(null));

create policy gov_alert_policies_select on gov_alert_policies for select
    using (gov_owner_visible(owner_id) or owner_id is null and gov_pinned_owner() is not null);

create policy gov_alert_policies_insert on gov_alert_policies for insert with check (gov_owner_changeable(owner_id));
create policy gov_alert_policies_update on gov_alert_policies for update using (gov_owner_changeable(owner_id));
create policy gov_alert_policies_delete on gov_alert_policies for delete using (gov_owner_changeable(owner_id));

/* ---------------------------------------------------------------------------------------------------------------- */
/* Who may do what: profiles                                                                                        */
/*                                                                                                                  */
/* A profile is a list of privileges, nothing else: what a role may do is what its grants say. A function that no   */
/* list names is for the admin alone. A helper in SQL that runs with its caller's rights can do nothing that its    */
/* caller could not do without it, and goes with whatever functions call it.                                        */
/*                                                                                                                  */
/* A tenant gets columns, not tables, to insert into and to update: it draws no counter and chooses no id, so that  */
/* it can neither take nor find those of others.                                                                    */
/* ---------------------------------------------------------------------------------------------------------------- */

create function _gov_profile_rights()
returns table (profile text, kind text, object text, privileges text)
language sql
stable
set search_path = pg_catalog, @extschema@, pg_temp
as $$
    with member as
    (
        select d.classid, d.objid
        from pg_extension e
        join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
        where e.extname = 'governance'
    ),
    listed_function (name, profiles) as
    (
        values
            ('gov_check', '{app, reader}'::text[]),
            ('gov_allowed', '{app, reader}'),
            ('gov_headroom', '{app, reader}'),
            ('gov_consume', '{app}'),
            ('gov_require', '{app}'),
            ('gov_ingest', '{app}'),
            ('gov_ingest_many', '{app}'),
            ('gov_reserve', '{app}'),
            ('gov_settle', '{app}'),
            ('gov_release', '{app}'),
            ('gov_extend', '{app}'),
            ('gov_window', '{app, reader, tenant}'),
            ('gov_is_timezone', '{app, reader, tenant}'),
            ('gov_now', '{app, reader, tenant}'),
            ('gov_pinned_owner', '{app, reader, tenant}'),
            ('gov_owner_visible', '{reader, tenant}'),
            ('gov_owner_changeable', '{tenant}'),
            ('gov_get_entity_type', '{reader, tenant}'),
            ('gov_get_capability', '{reader, tenant}'),
            ('gov_get_entity', '{reader, tenant}'),
            ('gov_list_entity_types', '{reader, tenant}'),
            ('gov_list_capabilities', '{reader, tenant}'),
            ('gov_list_entities', '{reader, tenant}'),
            ('gov_list_assignments', '{reader, tenant}'),
            ('gov_query', '{reader, tenant}'),
            ('gov_tree', '{reader, tenant}'),
            ('gov_report', '{reader, tenant}'),
            ('gov_attribution', '{reader, tenant}'),
            ('gov_backtest', '{reader, tenant}'),
            ('_gov_replay', '{reader, tenant}'),
            ('gov_upsert_assignments', '{tenant}'),
            ('gov_set_alert_policy', '{tenant}'),
            ('gov_verify', '{reader}'),
            ('gov_cached_counters', '{reader}'),
            ('gov_engine_facts', '{reader}'),
            ('_gov_require_owner', '{reader, tenant}'),
            ('_gov_require_unpinned', '{tenant}'),
            ('_gov_read_every_owner', '{reader}'),
            ('_gov_change_every_owner', '{}')
    ),
    function_profiles as
    (
        select
            p.oid::regprocedure::text as object,
            case
                when l.name is not null then l.profiles
                when p.proname ~ '^_gov_' and g.lanname in ('sql', 'plpgsql') and not p.prosecdef then '{reader, tenant}'
                else '{}'
            end || '{admin}'::text[] as profiles
        from member m
        join pg_proc p on m.classid = 'pg_proc'::regclass and p.oid = m.objid
        join pg_language g on g.oid = p.prolang
        left join listed_function l on l.name = p.proname
        where p.prorettype not in ('trigger'::regtype, 'internal'::regtype)
    ),
    listed_table (name, profiles, privileges) as
    (
        values
            ('gov_entity_types', '{reader, tenant}'::text[], 'select'),
            ('gov_entity_types', '{admin}', 'select, insert, update, delete'),
            ('gov_capabilities', '{reader, tenant}', 'select'),
            ('gov_capabilities', '{admin}', 'select, insert, update, delete'),
            ('gov_entities', '{reader, tenant}', 'select'),
            ('gov_entities', '{admin}', 'select, insert, update, delete'),
            ('gov_assignments', '{reader, tenant}', 'select'),
            ('gov_assignments', '{tenant}', 'insert (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, '
                'anchor_at, timezone, enforcement, strict_allocation, locked, alert_thresholds)'),
            ('gov_assignments', '{tenant}', 'update (usage_limit, cadence, anchor_at, timezone, enforcement, strict_allocation, '
                'locked, alert_thresholds)'),
            ('gov_assignments', '{tenant}', 'delete'),
            ('gov_assignments', '{admin}', 'select, insert, update, delete'),
            ('gov_alert_policies', '{reader, tenant}', 'select'),
            ('gov_alert_policies', '{tenant}', 'insert (owner_id, thresholds)'),
            ('gov_alert_policies', '{tenant}', 'update (thresholds)'),
            ('gov_alert_policies', '{tenant}', 'delete'),
            ('gov_alert_policies', '{admin}', 'select, insert, update, delete'),
            ('gov_events', '{reader, tenant, admin}', 'select'),
            ('gov_usage', '{reader, tenant, admin}', 'select'),
            ('gov_usage_hourly', '{reader, tenant, admin}', 'select'),
            ('gov_reservations', '{reader, tenant, admin}', 'select'),
            ('gov_alerts', '{reader, tenant, admin}', 'select'),
            ('gov_holds', '{reader, tenant, admin}', 'select'),
            ('gov_budgets', '{reader, tenant, admin}', 'select'),
            ('gov_allocations', '{reader, tenant, admin}', 'select'),
            ('gov_rollup_state', '{reader, tenant, admin}', 'select'),
            ('gov_rollup_waits', '{reader, admin}', 'select'),
            ('gov_stats', '{reader, admin}', 'select')
    )
    select u.profile, 'function', f.object, 'execute'
    from function_profiles f
    cross join lateral unnest(f.profiles) u (profile)
    union all
    select u.profile, 'table', c.oid::regclass::text, l.privileges
    from member m
    join pg_class c on m.classid = 'pg_class'::regclass and c.oid = m.objid
    join listed_table l on l.name = c.relname
    cross join lateral unnest(l.profiles) u (profile)
$$;

comment on function _gov_profile_rights() is 'internal: what gov_grant grants for each profile';

create function _gov_begin_grant(call text, role name)
returns void
language plpgsql
as $$
declare
    is_owner boolean;
begin
    perform _gov_require_unpinned(call);
    if role is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "role" must not be null',
            hint = 'Pass a value for "role".';
    end if;
    if not exists (select from pg_roles r where r.rolname = role) then
        raise exception using
            errcode = 'undefined_object',
            message = format('role "%s" does not exist', role),
            hint = 'Create it with CREATE ROLE.';
    end if;

    -- Whoever has a privilege and may not grant it gets a warning from GRANT, and no error.
    select pg_has_role(e.extowner, 'usage')
    into is_owner
    from pg_extension e
    where e.extname = 'governance';
    if not is_owner then
        raise exception using
            errcode = 'insufficient_privilege',
            message = format('permission denied for %s', call),
            detail = format('Role "%s" does not own the extension.', current_user),
            hint = 'Run it as the owner of the extension or a superuser.';
    end if;

    -- Two at a time would update the same rows of the catalogs. Nobody who is granted something can take this lock.
    lock table gov_entity_types in share update exclusive mode;
end
$$;

comment on function _gov_begin_grant(text, name) is
    'internal: refuses who may not grant (42501) and a role that is null (22004) or does not exist (42704), and waits for others who grant';

create function gov_grant(role name, profile text)
returns void
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
declare
    item record;
begin
    perform _gov_begin_grant('gov_grant()', role);
    if profile is null or profile not in ('app', 'reader', 'admin', 'tenant') then
        raise exception using
            errcode = case when profile is null then 'null_value_not_allowed' else 'invalid_parameter_value' end,
            message = case when profile is null then 'argument "profile" must not be null' else format('unknown profile "%s"', profile) end,
            hint = 'The profiles are app, reader, admin and tenant.';
    end if;
    if profile = 'tenant' and exists (select from pg_roles r where r.rolname = role and (r.rolsuper or r.rolbypassrls or r.rolreplication)) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('role "%s" cannot be a tenant', role),
            detail = 'It is a superuser or has BYPASSRLS or REPLICATION, and sees every owner whatever it is granted.',
            hint = format('Run ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOREPLICATION.', role);
    end if;

    if not has_schema_privilege(role, '@extschema@'::regnamespace, 'usage') then
        execute format('grant usage on schema %s to %I', '@extschema@'::regnamespace, role);
    end if;
    for item in select r.kind, r.object, r.privileges from _gov_profile_rights() r where r.profile = gov_grant.profile loop
        execute format('grant %s on %s %s to %I', item.privileges, item.kind, item.object, role);
    end loop;

    if profile = 'tenant' and not exists (
        select
        from pg_roles r
        join pg_db_role_setting s on s.setrole = r.oid
        cross join lateral unnest(s.setconfig) c (setting)
        where r.rolname = role
            and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
            and c.setting ~ '^governance\.owner=.')
    then
        raise notice using
            message = format('role "%s" is not pinned to an owner and sees nothing yet', role),
            hint = format('Run ALTER ROLE %I SET governance.owner = ''...''.', role);
    end if;
end
$$;

comment on function gov_grant(name, text) is
$$Gives a role the privileges of a profile; those of several add up.

role: as in pg_roles; profile: app (the run-time calls), reader (checks, queries, views), admin (everything) or tenant (queries, and
    the unlocked budgets and the alert policy of the owner that the role is pinned to)
errors: 22004 null; 22023 unknown profile, or a tenant that row-level security does not hold; 42501 not the extension's owner, or
    in a session pinned to an owner; 42704 unknown role$$;

create function gov_revoke(role name)
returns void
language plpgsql
set search_path = pg_catalog, @extschema@, pg_temp
as $$
declare
    item record;
begin
    perform _gov_begin_grant('gov_revoke()', role);

    for item in
        select
            case when d.classid = 'pg_proc'::regclass then 'function' else 'table' end as kind,
            case when d.classid = 'pg_proc'::regclass then d.objid::regprocedure::text else d.objid::regclass::text end as object
        from pg_extension e
        join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
        left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
        where e.extname = 'governance'
            and (d.classid = 'pg_proc'::regclass or c.relkind in ('r', 'v', 'S'))
    loop
        execute format('revoke all on %s %s from %I', item.kind, item.object, role);
    end loop;
    if '@extschema@'::regnamespace is distinct from to_regnamespace('public') then
        execute format('revoke usage on schema %s from %I', '@extschema@'::regnamespace, role);
    end if;
end
$$;

comment on function gov_revoke(name) is
$$Takes every privilege on what belongs to the extension away from a role, whatever gave it. What the role has as a member of
others stays.

role: as in pg_roles
errors: 22004 null; 42501 not the extension's owner, or in a session pinned to an owner; 42704 unknown role$$;

/* ---------------------------------------------------------------------------------------------------------------- */
/* Privileges                                                                                                       */
/* ---------------------------------------------------------------------------------------------------------------- */

-- Nothing is for everybody. The loop goes over what the extension has, so that nothing can be forgotten here.
do $$
declare
    object record;
begin
    for object in
        select
            case d.classid when 'pg_proc'::regclass then 'routine' else case c.relkind when 'S' then 'sequence' else 'table' end end as kind,
            case d.classid when 'pg_proc'::regclass then d.objid::regprocedure::text else d.objid::regclass::text end as name
        from pg_depend d
        join pg_extension e on e.oid = d.refobjid
        left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
        where d.refclassid = 'pg_extension'::regclass
            and d.deptype = 'e'
            and e.extname = 'governance'
            and (d.classid = 'pg_proc'::regclass or c.relkind in ('r', 'v', 'S'))
    loop
        execute format('revoke all on %s %s from public', object.kind, object.name);
    end loop;
end
$$;
