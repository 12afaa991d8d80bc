/* ---------------------------------------------------------------------------------------------------------------- */
/* Sequences                                                                                                        */
/* ---------------------------------------------------------------------------------------------------------------- */

create sequence @extschema@.gov_counter_seq as bigint;

comment on sequence @extschema@.gov_counter_seq is 'numbers the counters of budgets; a number is never given to a second budget, nor to the same one with other windows';

create sequence @extschema@.gov_events_id_seq as bigint cache 1;

comment on sequence @extschema@.gov_events_id_seq is 'numbers the ledger; whoever writes to the ledger holds a lock on it until the end of the transaction';

create sequence @extschema@.gov_alerts_id_seq as bigint;

comment on sequence @extschema@.gov_alerts_id_seq is 'numbers the alerts';

create sequence @extschema@.gov_changes_id_seq as bigint;

comment on sequence @extschema@.gov_changes_id_seq is 'numbers the changes';

/* ---------------------------------------------------------------------------------------------------------------- */
/* Tables: what is governed                                                                                         */
/* ---------------------------------------------------------------------------------------------------------------- */

create table @extschema@.gov_entity_types
(
    id text collate "C" not null,
    display_name text collate "C" not null default '',
    description text,
    attribution_keys text[] collate "C" not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    on_unknown text collate "C" not null default 'ignore',
    parent_key text collate "C",

    constraint gov_entity_types_pkey primary key (id),
    constraint gov_entity_types_id_check
        check (length(id) between 1 and 255 and id !~ '[\u0001-\u001f\u007f]'),
    -- Checks run in the order of their names. This one comes after that of the id, from which the name is taken when none is
    -- given.
    constraint gov_entity_types_name_check
        check (length(display_name) between 1 and 255 and display_name !~ '[\u0001-\u001f\u007f]'),
    constraint gov_entity_types_attribution_keys_check
        check (not jsonb_path_exists(
            to_jsonb(attribution_keys),
            'strict $[*] ? (@.type() != "string" || @ == "" || @ like_regex "[\\u0001-\\u001f\\u007f]" || @ like_regex "^.{255}.")')),
    constraint gov_entity_types_on_unknown_check
        check (on_unknown in ('ignore', 'create', 'deny')),
    constraint gov_entity_types_parent_key_check
        check (length(parent_key) between 1 and 255 and parent_key !~ '[\u0001-\u001f\u007f]')
)
using heap;

comment on table @extschema@.gov_entity_types is 'the kinds of things that are governed, such as org, team, user, agent or model; shared by all owners';
comment on column @extschema@.gov_entity_types.id is '1 to 255 characters without control characters; does not change';
comment on column @extschema@.gov_entity_types.display_name is 'for people to read; the id where none is given';
comment on column @extschema@.gov_entity_types.description is 'free text, for people to read';
comment on column @extschema@.gov_entity_types.attribution_keys is 'the dimension keys whose values are ids of entities of this type; stored sorted and distinct';
comment on column @extschema@.gov_entity_types.created_at is 'when the row was made';
comment on column @extschema@.gov_entity_types.updated_at is 'when a value of the row last changed';
comment on column @extschema@.gov_entity_types.on_unknown is 'what a dimension under one of attribution_keys does whose value is no entity of this type: ignore, as if it were not there; create the entity when a use is granted; deny the call. A key belongs to one type at most that does not ignore (since 1.1.0)';
comment on column @extschema@.gov_entity_types.parent_key is 'the dimension that names the parent of an entity that a use creates; null, or none in the call: it is a root (since 1.1.0)';
comment on constraint gov_entity_types_id_check on @extschema@.gov_entity_types is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_entity_types_name_check on @extschema@.gov_entity_types is 'A display name is 1 to 255 characters without control characters.';
comment on constraint gov_entity_types_attribution_keys_check on @extschema@.gov_entity_types is 'An attribution key is 1 to 255 characters without control characters.';
comment on constraint gov_entity_types_on_unknown_check on @extschema@.gov_entity_types is 'What unknown ids do is "ignore", "create" or "deny".';
comment on constraint gov_entity_types_parent_key_check on @extschema@.gov_entity_types is 'A dimension key is 1 to 255 characters without control characters; no parent is null.';

create table @extschema@.gov_capabilities
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
        check (length(id) between 1 and 255 and id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_capabilities_type_check
        check (type = 'METER'),
    constraint gov_capabilities_kind_check
        check (kind in ('feature', 'credit', 'concurrency')),
    constraint gov_capabilities_display_name_check
        check (length(display_name) between 1 and 255 and display_name !~ '[\u0001-\u001f\u007f]'),
    constraint gov_capabilities_unit_check
        check (length(unit) between 1 and 255 and unit !~ '[\u0001-\u001f\u007f]')
)
using heap;

comment on table @extschema@.gov_capabilities is 'what is metered, such as the feature api-calls or the credit ai-credits; shared by all owners';
comment on column @extschema@.gov_capabilities.id is '1 to 255 characters without control characters; does not change';
comment on column @extschema@.gov_capabilities.type is 'METER, the only one there is';
comment on column @extschema@.gov_capabilities.kind is 'feature or credit, which are used up; or concurrency (since 1.1.0), which counts what is under way: a hold takes it, and its end gives it back. To and from concurrency it does not change while there are budgets for it';
comment on column @extschema@.gov_capabilities.display_name is 'for people to read';
comment on column @extschema@.gov_capabilities.unit is 'what an amount counts, for people to read';
comment on column @extschema@.gov_capabilities.created_at is 'when the row was made';
comment on column @extschema@.gov_capabilities.updated_at is 'when a value of the row last changed';
comment on constraint gov_capabilities_id_check on @extschema@.gov_capabilities is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_capabilities_type_check on @extschema@.gov_capabilities is 'The type of a capability is METER.';
comment on constraint gov_capabilities_kind_check on @extschema@.gov_capabilities is 'The kind of a capability is "feature", "credit" or "concurrency".';
comment on constraint gov_capabilities_display_name_check on @extschema@.gov_capabilities is 'A display name is 1 to 255 characters without control characters.';
comment on constraint gov_capabilities_unit_check on @extschema@.gov_capabilities is 'A unit is 1 to 255 characters without control characters.';

create table @extschema@.gov_entities
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
    blocked_at timestamptz,
    blocked_until timestamptz,
    blocked_reason text,
    created_by_use boolean not null default false,

    constraint gov_entities_pkey primary key (owner_id, id),
    constraint gov_entities_type_id_fkey foreign key (type_id) references @extschema@.gov_entity_types (id),
    constraint gov_entities_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_entities_id_check
        check (length(id) between 1 and 255 and id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_entities_type_id_check
        check (length(type_id) between 1 and 255 and type_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_entities_parent_id_check
        check (length(parent_id) between 1 and 255 and parent_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_entities_display_name_check
        check (length(display_name) between 1 and 255 and display_name !~ '[\u0001-\u001f\u007f]'),
    constraint gov_entities_metadata_check
        check (jsonb_typeof(metadata) = 'object'
            and not jsonb_path_exists(metadata, 'strict $.* ? (@.type() != "string")')
            and not jsonb_path_exists(
                metadata,
                'strict $.keyvalue() ? (@.key == "" || @.key like_regex "[\\u0001-\\u001f\\u007f]" || @.key like_regex "^.{255}.")')),
    constraint gov_entities_archived_at_check
        check (isfinite(archived_at)),
    constraint gov_entities_blocked_at_check
        check (isfinite(blocked_at)),
    constraint gov_entities_blocked_until_check
        check (blocked_until is null or isfinite(blocked_until) and blocked_at is not null),
    constraint gov_entities_blocked_reason_check
        check (blocked_reason is null or length(blocked_reason) between 1 and 1000 and blocked_at is not null)
)
using heap;

-- The children of an entity.
create index gov_entities_parent_id_idx on @extschema@.gov_entities (owner_id, parent_id) where parent_id is not null;

-- The entities of a type, which its deletion looks for, and which lists show for an owner, by id.
create index gov_entities_type_id_idx on @extschema@.gov_entities (type_id, owner_id, id);

-- Those that are blocked, which are few.
create index gov_entities_blocked on @extschema@.gov_entities (owner_id, id) where blocked_at is not null;
-- Those of an owner that uses have created, to be counted.
create index gov_entities_created_by_use_idx on @extschema@.gov_entities (owner_id) where created_by_use;

comment on table @extschema@.gov_entities is 'what is governed; entities belong to one owner and form trees';
comment on column @extschema@.gov_entities.owner_id is 'one of the vendor''s customers; does not change';
comment on column @extschema@.gov_entities.id is '1 to 255 characters without control characters, unique within its owner; does not change';
comment on column @extschema@.gov_entities.type_id is 'its entity type';
comment on column @extschema@.gov_entities.parent_id is 'the entity above, of the same owner; null for a root. An entity that has children does not move';
comment on column @extschema@.gov_entities.display_name is 'for people to read';
comment on column @extschema@.gov_entities.metadata is 'a flat object of strings';
comment on column @extschema@.gov_entities.archived_at is 'while not null, the entity''s own budgets are suspended';
comment on column @extschema@.gov_entities.created_at is 'when the row was made';
comment on column @extschema@.gov_entities.updated_at is 'when a value of the row last changed';
comment on column @extschema@.gov_entities.blocked_at is 'when it was blocked; null: it is not. What involves a blocked entity is denied; gov_block() (since 1.1.0)';
comment on column @extschema@.gov_entities.blocked_until is 'when the block ends by itself; null: not before gov_unblock() (since 1.1.0)';
comment on column @extschema@.gov_entities.blocked_reason is 'why, for people to read (since 1.1.0)';
comment on column @extschema@.gov_entities.created_by_use is 'true: a use created it, because on_unknown of its type says so (since 1.1.0)';
comment on constraint gov_entities_type_id_fkey on @extschema@.gov_entities is 'An entity has a type that exists; gov_upsert_entity_types() creates one.';
comment on constraint gov_entities_owner_id_check on @extschema@.gov_entities is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_entities_id_check on @extschema@.gov_entities is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_entities_type_id_check on @extschema@.gov_entities is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_entities_parent_id_check on @extschema@.gov_entities is 'An id is 1 to 255 characters without control characters; a root has no parent (null).';
comment on constraint gov_entities_display_name_check on @extschema@.gov_entities is 'A display name is 1 to 255 characters without control characters.';
comment on constraint gov_entities_metadata_check on @extschema@.gov_entities is 'Metadata is a flat object of strings, with keys of 1 to 255 characters without control characters.';
comment on constraint gov_entities_archived_at_check on @extschema@.gov_entities is 'The time of archiving is finite.';
comment on constraint gov_entities_blocked_at_check on @extschema@.gov_entities is 'The time of blocking is finite.';
comment on constraint gov_entities_blocked_until_check on @extschema@.gov_entities is 'The end of a block is finite, or null for none, and there is a block (blocked_at).';
comment on constraint gov_entities_blocked_reason_check on @extschema@.gov_entities is 'The reason of a block has 1 to 1000 characters, and there is a block (blocked_at).';

create table @extschema@.gov_assignments
(
    id uuid not null default '00000000-0000-0000-0000-000000000000',
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
    counter_id bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    call_limit numeric,
    window_kind text collate "C" not null default 'calendar',
    is_pool boolean not null default false,
    debt_limit numeric not null default 0,
    debt_counter_id bigint,
    carry_unused_max numeric,
    carry_debt boolean not null default false,
    carry_from timestamptz,

    constraint gov_assignments_pkey primary key (id),
    constraint gov_assignments_key unique (owner_id, entity_id, capability_id, scope_entity_ids, name),
    constraint gov_assignments_counter_id_key unique (counter_id),
    constraint gov_assignments_entity_id_fkey
        foreign key (owner_id, entity_id) references @extschema@.gov_entities (owner_id, id),
    constraint gov_assignments_capability_id_fkey
        foreign key (capability_id) references @extschema@.gov_capabilities (id),
    -- The condition that most rows satisfy comes first, because matching a regular expression takes longer than all the rest.
    constraint gov_assignments_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_assignments_entity_id_check
        check (length(entity_id) between 1 and 255 and entity_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_assignments_capability_id_check
        check (length(capability_id) between 1 and 255 and capability_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_assignments_scope_entity_ids_check
        check (cardinality(scope_entity_ids) = 0 or not jsonb_path_exists(
            to_jsonb(scope_entity_ids),
            'strict $[*] ? (@.type() != "string" || @ == "" || @ like_regex "[\\u0001-\\u001f\\u007f]" || @ like_regex "^.{255}.")')),
    constraint gov_assignments_name_check
        check (name = '' or length(name) <= 255 and name !~ '[\u0001-\u001f\u007f]'),
    constraint gov_assignments_usage_limit_check
        check (usage_limit >= 0 and usage_limit < 1000000000000000000),
    constraint gov_assignments_call_limit_check
        check (call_limit >= 0 and call_limit < 1000000000000000000),
    constraint gov_assignments_cadence_check
        check (cadence in ('P1M', 'P1D') or cadence ~ '^P([1-9][0-9]{0,3}[YMWD]|T[1-9][0-9]{0,3}[HMS])$'),
    constraint gov_assignments_window_kind_check
        check (window_kind = 'calendar' or window_kind = any ('{first_use,sliding}') and cadence is not null and anchor_at is null and (window_kind = 'first_use' or cadence ~ '^P([1-9][0-9]*[WD]|T[1-9][0-9]*[HMS])$')),
    constraint gov_assignments_anchor_at_check
        check (isfinite(anchor_at)),
    constraint gov_assignments_timezone_check
        check (timezone = 'UTC' or length(timezone) between 1 and 255 and timezone !~ '[\u0001-\u001f\u007f]'),
    constraint gov_assignments_enforcement_check
        check (enforcement in ('hard', 'soft')),
    constraint gov_assignments_strict_allocation_check
        check (scope_entity_ids = '{}' or not strict_allocation),
    constraint gov_assignments_alert_thresholds_check
        check (cardinality(alert_thresholds) <= 10
            and array_position(alert_thresholds, null) is null
            and 1 <= all (alert_thresholds)
            and 1000000000000000000 > all (alert_thresholds)),
    constraint gov_assignments_is_pool_check
        check (not is_pool
            or usage_limit is null and cadence is null and not strict_allocation),
    constraint gov_assignments_debt_limit_check
        check (debt_limit = 0 or is_pool and debt_limit > 0 and debt_limit < 1000000000000000000),
    constraint gov_assignments_carry_unused_max_check
        check (carry_unused_max is null
            or carry_unused_max >= 0 and carry_unused_max < 1000000000000000000
                and usage_limit is not null and cadence is not null and window_kind = 'calendar'),
    constraint gov_assignments_carry_debt_check
        check (not carry_debt or usage_limit is not null and cadence is not null and window_kind = 'calendar')
)
using heap
-- Room for new versions of rows on their page: a changed limit then seldom makes an entry in each index.
with (fillfactor = 70);

-- The budgets of a capability, which its deletion looks for, and which lists show for an owner, by entity.
create index gov_assignments_capability_id_idx on @extschema@.gov_assignments (capability_id, owner_id, entity_id);

-- The budgets of an owner whose scope names an entity, which the entity's deletion looks for. Owners give their entities the same
-- ids, so the owner is a key too. There is no list of pending entries, because every look-up would read through it.
create index gov_assignments_scope_entity_ids_idx on @extschema@.gov_assignments using gin ((owner_id || scope_entity_ids))
    with (fastupdate = off)
    where scope_entity_ids <> '{}';

-- The strict budgets of an owner, and of an entity: most have none.
create index gov_assignments_strict on @extschema@.gov_assignments (owner_id, entity_id)
    where strict_allocation;

-- The pools of an owner: most have none.
create index gov_assignments_pools on @extschema@.gov_assignments (owner_id, entity_id)
    where is_pool;

create index gov_assignments_carries on @extschema@.gov_assignments (owner_id, entity_id)
    where carry_unused_max is not null or carry_debt;

create unique index gov_assignments_debt_counter on @extschema@.gov_assignments (debt_counter_id)
    where debt_counter_id is not null;

comment on table @extschema@.gov_assignments is 'budgets: how much of a capability an entity may use per window, optionally only in a scope';
comment on column @extschema@.gov_assignments.id is 'drawn by the extension where it is not given or nil';
comment on column @extschema@.gov_assignments.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_assignments.entity_id is 'the entity whose budget it is';
comment on column @extschema@.gov_assignments.capability_id is 'the capability that it limits';
comment on column @extschema@.gov_assignments.scope_entity_ids is 'the budget holds only where all these entities are resolved too; {} = everywhere. Stored sorted and distinct';
comment on column @extschema@.gov_assignments.name is 'tells budgets of one entity, capability and scope apart; may be empty';
comment on column @extschema@.gov_assignments.usage_limit is 'the most that may be used per window, in the capability''s unit, exact to 9 decimals; null = counted, never blocks';
comment on column @extschema@.gov_assignments.cadence is 'the length of a window: one ISO 8601 duration of one unit, 1 to 9999, such as P1M or PT5M; null = never resets';
comment on column @extschema@.gov_assignments.anchor_at is 'where windows are counted from; null = the calendar';
comment on column @extschema@.gov_assignments.timezone is 'a name of pg_timezone_names; years, months, weeks and days are local to it';
comment on column @extschema@.gov_assignments.enforcement is 'hard = denies what would pass the limit, soft = only counts it';
comment on column @extschema@.gov_assignments.strict_allocation is 'true = the limits of the unnamed node-wide budgets of the entity''s children, for the capability and with the same cadence, may not add up to more than usage_limit; archived children do not count. Only for node-wide budgets';
comment on column @extschema@.gov_assignments.locked is 'true = tenants may not change it';
comment on column @extschema@.gov_assignments.alert_thresholds is 'at most 10 percentages of 1 or more; null = the alert policy''s, {} = none. Stored sorted and distinct';
comment on column @extschema@.gov_assignments.counter_id is 'names the counter; drawn by the extension where it is not given or 0, and drawn again when cadence, anchor_at, timezone or window_kind change so that the present window is another, and by gov_recount';
comment on column @extschema@.gov_assignments.created_at is 'when the row was made';
comment on column @extschema@.gov_assignments.updated_at is 'when a value of the row last changed';
comment on column @extschema@.gov_assignments.call_limit is 'the most that one call may use, whatever is left, exact to 9 decimals; null = as much as is left (since 1.1.0)';
comment on column @extschema@.gov_assignments.window_kind is 'where windows begin: calendar = at the anchor, one after the other; first_use = with the first use after the last one ended; sliding = a cadence before the present time (since 1.1.0)';
comment on column @extschema@.gov_assignments.is_pool is 'true: what it may use is what gov_grants grants, and each use draws from grants; it has neither limit nor cadence of its own (since 1.1.0)';
comment on column @extschema@.gov_assignments.debt_limit is 'of a pool: how far consume and reserve may go past what is granted, exact to 9 decimals; ingest and settle are not bounded by it (since 1.1.0)';
comment on column @extschema@.gov_assignments.debt_counter_id is 'of a pool: names the count of what no grant has paid, drawn by the extension (since 1.1.0)';
comment on column @extschema@.gov_assignments.carry_unused_max is 'how much at most a window gets of what the one before has left unused of its own limit, exact to 9 decimals; what was carried is used first and not carried again; null = nothing (since 1.1.0)';
comment on column @extschema@.gov_assignments.carry_debt is 'true: what a window has used past its limit makes the limit of the next one smaller, until it is made up for (since 1.1.0)';
comment on column @extschema@.gov_assignments.carry_from is 'kept by the extension: windows that had ended by then carry nothing over, for the budget''s windows were others; null = none that ended after it was made (since 1.1.0)';
comment on constraint gov_assignments_entity_id_fkey on @extschema@.gov_assignments is 'A budget belongs to an entity of the owner that exists; gov_upsert_entities() creates one.';
comment on constraint gov_assignments_capability_id_fkey on @extschema@.gov_assignments is 'A budget limits a capability that exists; gov_upsert_capabilities() creates one.';
comment on constraint gov_assignments_owner_id_check on @extschema@.gov_assignments is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_entity_id_check on @extschema@.gov_assignments is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_capability_id_check on @extschema@.gov_assignments is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_scope_entity_ids_check on @extschema@.gov_assignments is 'A scope is a list of ids, each of 1 to 255 characters without control characters.';
comment on constraint gov_assignments_name_check on @extschema@.gov_assignments is 'A name is 0 to 255 characters without control characters.';
comment on constraint gov_assignments_usage_limit_check on @extschema@.gov_assignments is 'A limit is a number of 0 or more with at most 18 digits before the point, or null for no limit.';
comment on constraint gov_assignments_call_limit_check on @extschema@.gov_assignments is 'A limit of a call is a number of 0 or more with at most 18 digits before the point, or null for no limit.';
comment on constraint gov_assignments_cadence_check on @extschema@.gov_assignments is 'A cadence is one ISO 8601 duration of one unit, 1 to 9999, such as P1Y, P1M, P30D, P1W, P1D, PT1H, PT5M or PT10S, or null for a budget that never resets.';
comment on constraint gov_assignments_window_kind_check on @extschema@.gov_assignments is 'Windows begin with the "calendar" or with a "first_use", or are "sliding". Those of the last two kinds have a cadence and no anchor; what slides has one of weeks, days, hours, minutes or seconds.';
comment on constraint gov_assignments_anchor_at_check on @extschema@.gov_assignments is 'An anchor is a finite time, or null for the calendar.';
comment on constraint gov_assignments_timezone_check on @extschema@.gov_assignments is 'A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin.';
comment on constraint gov_assignments_enforcement_check on @extschema@.gov_assignments is 'Enforcement is "hard" or "soft".';
comment on constraint gov_assignments_strict_allocation_check on @extschema@.gov_assignments is 'Only a node-wide budget, with no scope, can have strict allocation.';
comment on constraint gov_assignments_alert_thresholds_check on @extschema@.gov_assignments is 'Alert thresholds are at most 10 percentages of 1 or more.';
comment on constraint gov_assignments_is_pool_check on @extschema@.gov_assignments is 'A pool has no limit, cadence or strict allocation: its grants say how much, and until when.';
comment on constraint gov_assignments_debt_limit_check on @extschema@.gov_assignments is 'A debt limit is a number of 0 or more with at most 18 digits before the point; only a pool has one other than 0.';
comment on constraint gov_assignments_carry_unused_max_check on @extschema@.gov_assignments is 'What is carried over is a number of 0 or more with at most 18 digits before the point, or null for nothing; a budget that carries over has a limit, a cadence and calendar windows.';
comment on constraint gov_assignments_carry_debt_check on @extschema@.gov_assignments is 'A budget that carries its debt over has a limit, a cadence and calendar windows.';

create table @extschema@.gov_default_assignments
(
    id uuid not null default '00000000-0000-0000-0000-000000000000',
    owner_id text collate "C",
    type_id text collate "C" not null,
    capability_id text collate "C" not null,
    scope_type_ids text[] collate "C" not null default '{}',
    name text collate "C" not null default '',
    usage_limit numeric,
    cadence text collate "C",
    anchor_at timestamptz,
    anchor_from text collate "C",
    timezone text collate "C" not null default 'UTC',
    enforcement text collate "C" not null default 'hard',
    locked boolean not null default false,
    alert_thresholds numeric[],
    call_limit numeric,
    seed bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    window_kind text collate "C" not null default 'calendar',
    carry_unused_max numeric,
    carry_debt boolean not null default false,
    carry_from timestamptz,

    constraint gov_default_assignments_pkey primary key (id),
    constraint gov_default_assignments_key unique nulls not distinct (owner_id, type_id, capability_id, scope_type_ids, name),
    constraint gov_default_assignments_type_id_fkey
        foreign key (type_id) references @extschema@.gov_entity_types (id),
    constraint gov_default_assignments_capability_id_fkey
        foreign key (capability_id) references @extschema@.gov_capabilities (id),
    constraint gov_default_assignments_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_default_assignments_type_id_check
        check (length(type_id) between 1 and 255 and type_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_default_assignments_capability_id_check
        check (length(capability_id) between 1 and 255 and capability_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_default_assignments_scope_type_ids_check
        check (cardinality(scope_type_ids) = 0
            or array_ndims(scope_type_ids) = 1 and cardinality(scope_type_ids) <= 8
                and array_position(scope_type_ids, null) is null and type_id <> all (scope_type_ids)),
    constraint gov_default_assignments_name_check
        check (name = '' or length(name) <= 255 and name !~ '[\u0001-\u001f\u007f]'),
    constraint gov_default_assignments_usage_limit_check
        check (usage_limit >= 0 and usage_limit < 1000000000000000000),
    constraint gov_default_assignments_call_limit_check
        check (call_limit >= 0 and call_limit < 1000000000000000000),
    constraint gov_default_assignments_cadence_check
        check (cadence in ('P1M', 'P1D') or cadence ~ '^P([1-9][0-9]{0,3}[YMWD]|T[1-9][0-9]{0,3}[HMS])$'),
    constraint gov_default_assignments_window_kind_check
        check (window_kind = 'calendar' or window_kind = any ('{first_use,sliding}') and cadence is not null and anchor_at is null and anchor_from is null and (window_kind = 'first_use' or cadence ~ '^P([1-9][0-9]*[WD]|T[1-9][0-9]*[HMS])$')),
    constraint gov_default_assignments_anchor_at_check
        check (isfinite(anchor_at)),
    constraint gov_default_assignments_anchor_from_check
        check (anchor_from is null
            or anchor_at is null and length(anchor_from) between 1 and 255 and anchor_from !~ '[\u0001-\u001f\u007f]'),
    constraint gov_default_assignments_timezone_check
        check (timezone = 'UTC' or length(timezone) between 1 and 255 and timezone !~ '[\u0001-\u001f\u007f]'),
    constraint gov_default_assignments_enforcement_check
        check (enforcement in ('hard', 'soft')),
    constraint gov_default_assignments_alert_thresholds_check
        check (cardinality(alert_thresholds) <= 10
            and array_position(alert_thresholds, null) is null
            and 1 <= all (alert_thresholds)
            and 1000000000000000000 > all (alert_thresholds)),
    constraint gov_default_assignments_carry_unused_max_check
        check (carry_unused_max is null
            or carry_unused_max >= 0 and carry_unused_max < 1000000000000000000
                and usage_limit is not null and cadence is not null and window_kind = 'calendar'),
    constraint gov_default_assignments_carry_debt_check
        check (not carry_debt or usage_limit is not null and cadence is not null and window_kind = 'calendar')
)
using heap;

comment on table @extschema@.gov_default_assignments is 'budgets that every entity of a type has, each with a count of its own, unless it has an assignment in their place (since 1.1.0)';
comment on column @extschema@.gov_default_assignments.id is 'drawn by the extension where it is not given or nil';
comment on column @extschema@.gov_default_assignments.owner_id is 'one of the vendor''s customers; null = every owner. One''s own goes before everybody''s';
comment on column @extschema@.gov_default_assignments.type_id is 'the type of the entities that have the budget';
comment on column @extschema@.gov_default_assignments.capability_id is 'the capability that it limits';
comment on column @extschema@.gov_default_assignments.scope_type_ids is 'for each combination with resolved entities of these types there is a count of its own; {} = one count per entity. Stored sorted and distinct';
comment on column @extschema@.gov_default_assignments.name is 'tells defaults of one type, capability and scope apart; may be empty';
comment on column @extschema@.gov_default_assignments.usage_limit is 'the most that each entity may use per window, in the capability''s unit, exact to 9 decimals; null = counted, never blocks';
comment on column @extschema@.gov_default_assignments.cadence is 'the length of a window: one ISO 8601 duration of one unit, 1 to 9999, such as P1M or PT5M; null = never resets';
comment on column @extschema@.gov_default_assignments.anchor_at is 'where windows are counted from; null = the calendar, unless anchor_from says something else';
comment on column @extschema@.gov_default_assignments.anchor_from is 'where the anchor of each entity comes from: created_at = when it was made; else the key of its metadata that holds a day of the month (1 to 31), a date or a time. Where it holds nothing of the kind: the calendar';
comment on column @extschema@.gov_default_assignments.timezone is 'a name of pg_timezone_names; years, months, weeks and days are local to it';
comment on column @extschema@.gov_default_assignments.enforcement is 'hard = denies what would pass the limit, soft = only counts it';
comment on column @extschema@.gov_default_assignments.locked is 'true = tenants may not put assignments in its place, nor change or delete those that are there';
comment on column @extschema@.gov_default_assignments.alert_thresholds is 'at most 10 percentages of 1 or more; null = the alert policy''s, {} = none. Stored sorted and distinct';
comment on column @extschema@.gov_default_assignments.call_limit is 'the most that one call may use, whatever is left, exact to 9 decimals; null = as much as is left';
comment on column @extschema@.gov_default_assignments.seed is 'what the counters of the inherited budgets are named after; drawn by the extension, and drawn again when cadence, anchor_at, anchor_from, timezone or window_kind change';
comment on column @extschema@.gov_default_assignments.created_at is 'when the row was made';
comment on column @extschema@.gov_default_assignments.updated_at is 'when a value of the row last changed';
comment on column @extschema@.gov_default_assignments.window_kind is 'where windows begin: calendar = at the anchor, one after the other; first_use = with the first use after the last one ended; sliding = a cadence before the present time';
comment on column @extschema@.gov_default_assignments.carry_unused_max is 'how much at most a window gets of what the one before has left unused of its own limit, exact to 9 decimals; what was carried is used first and not carried again; null = nothing';
comment on column @extschema@.gov_default_assignments.carry_debt is 'true: what a window has used past its limit makes the limit of the next one smaller, until it is made up for';
comment on column @extschema@.gov_default_assignments.carry_from is 'kept by the extension: windows that had ended by then carry nothing over, for the budget''s windows were others; null = none that ended after it was made';
comment on constraint gov_default_assignments_type_id_fkey on @extschema@.gov_default_assignments is 'A default is for entities of a type that exists; gov_upsert_entity_types() creates one.';
comment on constraint gov_default_assignments_capability_id_fkey on @extschema@.gov_default_assignments is 'A default limits a capability that exists; gov_upsert_capabilities() creates one.';
comment on constraint gov_default_assignments_owner_id_check on @extschema@.gov_default_assignments is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_default_assignments_type_id_check on @extschema@.gov_default_assignments is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_default_assignments_capability_id_check on @extschema@.gov_default_assignments is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_default_assignments_scope_type_ids_check on @extschema@.gov_default_assignments is 'The scope of a default is a list of at most 8 types, and its own type is not one of them.';
comment on constraint gov_default_assignments_name_check on @extschema@.gov_default_assignments is 'A name is 0 to 255 characters without control characters.';
comment on constraint gov_default_assignments_usage_limit_check on @extschema@.gov_default_assignments is 'A limit is a number of 0 or more with at most 18 digits before the point, or null for no limit.';
comment on constraint gov_default_assignments_call_limit_check on @extschema@.gov_default_assignments is 'A limit of a call is a number of 0 or more with at most 18 digits before the point, or null for no limit.';
comment on constraint gov_default_assignments_cadence_check on @extschema@.gov_default_assignments is 'A cadence is one ISO 8601 duration of one unit, 1 to 9999, such as P1Y, P1M, P30D, P1W, P1D, PT1H, PT5M or PT10S, or null for a budget that never resets.';
comment on constraint gov_default_assignments_window_kind_check on @extschema@.gov_default_assignments is 'Windows begin with the "calendar" or with a "first_use", or are "sliding". Those of the last two kinds have a cadence and no anchor; what slides has one of weeks, days, hours, minutes or seconds.';
comment on constraint gov_default_assignments_anchor_at_check on @extschema@.gov_default_assignments is 'An anchor is a finite time, or null for the calendar.';
comment on constraint gov_default_assignments_anchor_from_check on @extschema@.gov_default_assignments is 'An anchor is given (anchor_at) or comes from the entity (anchor_from: created_at, or a key of its metadata, of 1 to 255 characters without control characters).';
comment on constraint gov_default_assignments_timezone_check on @extschema@.gov_default_assignments is 'A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin.';
comment on constraint gov_default_assignments_enforcement_check on @extschema@.gov_default_assignments is 'Enforcement is "hard" or "soft".';
comment on constraint gov_default_assignments_alert_thresholds_check on @extschema@.gov_default_assignments is 'Alert thresholds are at most 10 percentages of 1 or more.';
comment on constraint gov_default_assignments_carry_unused_max_check on @extschema@.gov_default_assignments is 'What is carried over is a number of 0 or more with at most 18 digits before the point, or null for nothing; a budget that carries over has a limit, a cadence and calendar windows.';
comment on constraint gov_default_assignments_carry_debt_check on @extschema@.gov_default_assignments is 'A budget that carries its debt over has a limit, a cadence and calendar windows.';

-- What pools may use. Uses draw from grants; how much is in gov_events and gov_grant_usage.
create table @extschema@.gov_grants
(
    id uuid not null default gen_random_uuid(),
    owner_id text collate "C" not null,
    assignment_id uuid not null,
    amount numeric not null,
    priority integer not null default 100,
    effective_at timestamptz not null default now(),
    expires_at timestamptz,
    category text collate "C",
    reference text collate "C",
    voided_at timestamptz,
    entity_id text collate "C" not null default '',
    counter_id bigint not null default 0,
    closed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_grants_pkey primary key (id),
    constraint gov_grants_reference_key unique (owner_id, reference),
    constraint gov_grants_counter_id_key unique (counter_id),
    constraint gov_grants_amount_check
        check (amount > 0 and amount < 1000000000000000000),
    constraint gov_grants_effective_at_check
        check (isfinite(effective_at)),
    constraint gov_grants_expires_at_check
        check (expires_at is null or isfinite(expires_at) and expires_at > effective_at),
    constraint gov_grants_category_check
        check (length(category) between 1 and 255 and category !~ '[\u0001-\u001f\u007f]'),
    constraint gov_grants_reference_check
        check (length(reference) between 1 and 255 and reference !~ '[\u0001-\u001f\u007f]'),
    constraint gov_grants_voided_at_check
        check (isfinite(voided_at))
)
using heap;

-- Those of a pool that may still be drawn from: of those that are used up there may be many.
create index gov_grants_open on @extschema@.gov_grants (assignment_id)
    where closed_at is null;

create index gov_grants_assignment_idx on @extschema@.gov_grants (owner_id, assignment_id);

comment on table @extschema@.gov_grants is 'what pools may use, from when to when; gov_grant_balances shows what is left of each (since 1.1.0)';
comment on column @extschema@.gov_grants.id is 'its id, drawn where it is not given';
comment on column @extschema@.gov_grants.owner_id is 'one of the vendor''s customers; does not change';
comment on column @extschema@.gov_grants.assignment_id is 'the pool; does not change';
comment on column @extschema@.gov_grants.amount is 'what it grants, in the capability''s unit, exact to 9 decimals; does not change';
comment on column @extschema@.gov_grants.priority is 'lower ones are drawn from first';
comment on column @extschema@.gov_grants.effective_at is 'from when on it may be drawn from, and pays debt; does not change';
comment on column @extschema@.gov_grants.expires_at is 'until when, exclusive: what is left then is forfeited; null: it does not expire';
comment on column @extschema@.gov_grants.category is 'such as bought or promotional, for people and reports';
comment on column @extschema@.gov_grants.reference is 'unique per owner, such as the id of a payment: makes a top-up harmless to repeat; null: none; does not change';
comment on column @extschema@.gov_grants.voided_at is 'when what was left of it was taken back; null: it was not; does not change once it is set';
comment on column @extschema@.gov_grants.entity_id is 'the entity whose pool it is, kept by the extension';
comment on column @extschema@.gov_grants.counter_id is 'names the count of what was drawn from it, drawn by the extension';
comment on column @extschema@.gov_grants.closed_at is 'when the worker has found that nothing more can be drawn from it; null: it may be';
comment on column @extschema@.gov_grants.created_at is 'when the row was made';
comment on column @extschema@.gov_grants.updated_at is 'when a value of the row last changed';
comment on constraint gov_grants_reference_key on @extschema@.gov_grants is 'A reference names one grant of an owner.';
comment on constraint gov_grants_amount_check on @extschema@.gov_grants is 'The amount of a grant is a number of more than 0 with at most 18 digits before the point.';
comment on constraint gov_grants_effective_at_check on @extschema@.gov_grants is 'A grant takes effect at a finite time.';
comment on constraint gov_grants_expires_at_check on @extschema@.gov_grants is 'A grant expires after it takes effect, at a finite time, or not at all (null).';
comment on constraint gov_grants_category_check on @extschema@.gov_grants is 'A category is 1 to 255 characters without control characters, or null.';
comment on constraint gov_grants_reference_check on @extschema@.gov_grants is 'A reference is 1 to 255 characters without control characters, or null.';
comment on constraint gov_grants_voided_at_check on @extschema@.gov_grants is 'The time of voiding is finite.';

create table @extschema@.gov_boosts
(
    id uuid not null default gen_random_uuid(),
    owner_id text collate "C" not null,
    entity_id text collate "C" not null,
    capability_id text collate "C" not null,
    scope_entity_ids text[] collate "C" not null default '{}',
    name text collate "C" not null default '',
    amount numeric not null,
    valid_from timestamptz not null default now(),
    valid_until timestamptz,
    reason text,
    created_by text collate "C" not null default session_user,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_boosts_pkey primary key (id),
    constraint gov_boosts_amount_check
        check (amount <> 0 and abs(amount) < 1000000000000000000),
    constraint gov_boosts_valid_from_check
        check (isfinite(valid_from)),
    constraint gov_boosts_valid_until_check
        check (valid_until is null or isfinite(valid_until) and valid_until > valid_from),
    constraint gov_boosts_reason_check
        check (length(reason) between 1 and 1000)
)
using heap;

-- What has not ended of an entity's budgets.
create index gov_boosts_budget_idx on @extschema@.gov_boosts (owner_id, entity_id, valid_until);

comment on table @extschema@.gov_boosts is 'what is added to the limits of budgets for a time, or taken off them; nothing has to run for one to begin or end (since 1.1.0)';
comment on column @extschema@.gov_boosts.id is 'its id, drawn where it is not given';
comment on column @extschema@.gov_boosts.owner_id is 'one of the vendor''s customers; does not change';
comment on column @extschema@.gov_boosts.entity_id is 'the entity whose budget it is of; does not change';
comment on column @extschema@.gov_boosts.capability_id is 'the capability of that budget; does not change';
comment on column @extschema@.gov_boosts.scope_entity_ids is 'the scope of that budget, sorted and distinct; does not change';
comment on column @extschema@.gov_boosts.name is 'the name of that budget; does not change';
comment on column @extschema@.gov_boosts.amount is 'what is added to the limit, in the capability''s unit, exact to 9 decimals; negative: taken off, to no less than 0';
comment on column @extschema@.gov_boosts.valid_from is 'from when on';
comment on column @extschema@.gov_boosts.valid_until is 'until when, exclusive; null: for ever';
comment on column @extschema@.gov_boosts.reason is 'why, for people to read';
comment on column @extschema@.gov_boosts.created_by is 'the role that had logged in';
comment on column @extschema@.gov_boosts.created_at is 'when the row was made';
comment on column @extschema@.gov_boosts.updated_at is 'when a value of the row last changed';
comment on constraint gov_boosts_amount_check on @extschema@.gov_boosts is 'The amount of a boost is a number other than 0 with at most 18 digits before the point.';
comment on constraint gov_boosts_valid_from_check on @extschema@.gov_boosts is 'A boost begins at a finite time.';
comment on constraint gov_boosts_valid_until_check on @extschema@.gov_boosts is 'A boost ends after it begins, at a finite time, or not at all (null).';
comment on constraint gov_boosts_reason_check on @extschema@.gov_boosts is 'The reason of a boost has 1 to 1000 characters.';

create table @extschema@.gov_prices
(
    id uuid not null default gen_random_uuid(),
    owner_id text collate "C",
    capability_id text collate "C" not null,
    quantity text collate "C" not null,
    match jsonb not null default '{}',
    price numeric not null,
    per bigint not null default 1,
    valid_from timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_prices_pkey primary key (id),
    constraint gov_prices_key unique nulls not distinct (owner_id, capability_id, quantity, match, valid_from),
    constraint gov_prices_capability_id_fkey
        foreign key (capability_id) references @extschema@.gov_capabilities (id),
    constraint gov_prices_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_prices_capability_id_check
        check (length(capability_id) between 1 and 255 and capability_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_prices_quantity_check
        check (length(quantity) between 1 and 255 and quantity !~ '[\u0001-\u001f\u007f]'),
    constraint gov_prices_match_check
        check (jsonb_typeof(match) = 'object'
            and length(match::text) <= 1000
            and not jsonb_path_exists(match, 'strict $.* ? (@.type() != "string")')),
    constraint gov_prices_price_check
        check (price >= 0 and price < 1000000000000000000 and scale(price) <= 18),
    constraint gov_prices_per_check
        check (per >= 1),
    constraint gov_prices_valid_from_check
        check (isfinite(valid_from))
)
using heap;

comment on table @extschema@.gov_prices is 'what quantities cost; a row goes on until a later one for the same takes its place (since 1.1.0)';
comment on column @extschema@.gov_prices.id is 'its id, drawn where it is not given';
comment on column @extschema@.gov_prices.owner_id is 'one of the vendor''s customers; null = everybody. One''s own go before everybody''s';
comment on column @extschema@.gov_prices.capability_id is 'the capability that is charged, such as ai-dollars';
comment on column @extschema@.gov_prices.quantity is 'the name of what is priced, such as input, output or cached; 1 to 255 characters without control characters';
comment on column @extschema@.gov_prices.match is 'the dimensions that a call must have, such as {"model": "large"}; {} = any call. Of several that match, that with most keys counts, then the first by its bytes. Stored with strings as values';
comment on column @extschema@.gov_prices.price is 'in the capability''s unit, for as many of the quantity as per says; 0 = free';
comment on column @extschema@.gov_prices.per is 'of how many the price is, such as 1000000';
comment on column @extschema@.gov_prices.valid_from is 'from when on; of rows for the same the latest counts that is not after the time of the use';
comment on column @extschema@.gov_prices.created_at is 'when the row was made';
comment on column @extschema@.gov_prices.updated_at is 'when a value of the row last changed';
comment on constraint gov_prices_capability_id_fkey on @extschema@.gov_prices is 'A price is for a capability that exists; gov_upsert_capabilities() creates one.';
comment on constraint gov_prices_owner_id_check on @extschema@.gov_prices is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_prices_capability_id_check on @extschema@.gov_prices is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_prices_quantity_check on @extschema@.gov_prices is 'The name of a quantity is 1 to 255 characters without control characters.';
comment on constraint gov_prices_match_check on @extschema@.gov_prices is 'What a price matches is a flat object of dimensions, at most 1000 characters long.';
comment on constraint gov_prices_price_check on @extschema@.gov_prices is 'A price is a number of 0 or more with at most 18 digits before the point and 18 after it.';
comment on constraint gov_prices_per_check on @extschema@.gov_prices is 'A price is per 1 or more.';
comment on constraint gov_prices_valid_from_check on @extschema@.gov_prices is 'A price is valid from a finite time on.';

create table @extschema@.gov_increase_requests
(
    id uuid not null default gen_random_uuid(),
    owner_id text collate "C" not null,
    entity_id text collate "C" not null,
    capability_id text collate "C" not null,
    scope_entity_ids text[] collate "C" not null default '{}',
    name text collate "C" not null default '',
    amount numeric not null,
    valid_until timestamptz,
    reason text,
    state text collate "C" not null default 'open',
    requested_by text collate "C" not null default session_user,
    decided_by text collate "C",
    decided_at timestamptz,
    note text,
    boost_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint gov_increase_requests_pkey primary key (id),
    constraint gov_increase_requests_owner_id_check
        check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]'),
    constraint gov_increase_requests_amount_check
        check (amount > 0 and amount < 1000000000000000000),
    constraint gov_increase_requests_valid_until_check
        check (isfinite(valid_until)),
    constraint gov_increase_requests_reason_check
        check (length(reason) between 1 and 1000),
    constraint gov_increase_requests_note_check
        check (length(note) between 1 and 1000),
    constraint gov_increase_requests_state_check
        check (state in ('open', 'approved', 'declined', 'withdrawn'))
)
using heap;

-- What waits for an answer.
create index gov_increase_requests_open on @extschema@.gov_increase_requests (owner_id, entity_id)
    where state = 'open';

-- Those that were answered or withdrawn, for governance.change_retention.
create index gov_increase_requests_decided on @extschema@.gov_increase_requests (decided_at) where state <> 'open';

comment on table @extschema@.gov_increase_requests is 'requests for more, and what was answered; governance.change_retention deletes old answers (since 1.1.0)';
comment on column @extschema@.gov_increase_requests.id is 'its id, drawn where it is not given';
comment on column @extschema@.gov_increase_requests.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_increase_requests.entity_id is 'the entity whose budget it is about';
comment on column @extschema@.gov_increase_requests.capability_id is 'the capability of that budget';
comment on column @extschema@.gov_increase_requests.scope_entity_ids is 'the scope of that budget';
comment on column @extschema@.gov_increase_requests.name is 'the name of that budget';
comment on column @extschema@.gov_increase_requests.amount is 'how much more is asked for, in the capability''s unit, exact to 9 decimals';
comment on column @extschema@.gov_increase_requests.valid_until is 'until when it is asked for; null: for ever';
comment on column @extschema@.gov_increase_requests.reason is 'why, for people to read';
comment on column @extschema@.gov_increase_requests.state is 'open, approved, declined or withdrawn';
comment on column @extschema@.gov_increase_requests.requested_by is 'the role that had logged in';
comment on column @extschema@.gov_increase_requests.decided_by is 'the role that had logged in when it was answered or withdrawn; null while it is open';
comment on column @extschema@.gov_increase_requests.decided_at is 'when that was';
comment on column @extschema@.gov_increase_requests.note is 'what was answered, for people to read';
comment on column @extschema@.gov_increase_requests.boost_id is 'the boost that an approval has made';
comment on column @extschema@.gov_increase_requests.created_at is 'when it was made';
comment on column @extschema@.gov_increase_requests.updated_at is 'when a value of the row last changed';
comment on constraint gov_increase_requests_owner_id_check on @extschema@.gov_increase_requests is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_increase_requests_amount_check on @extschema@.gov_increase_requests is 'What is asked for is a number above 0 with at most 18 digits before the point.';
comment on constraint gov_increase_requests_valid_until_check on @extschema@.gov_increase_requests is 'What is asked for ends at a finite time, or not at all (null).';
comment on constraint gov_increase_requests_reason_check on @extschema@.gov_increase_requests is 'The reason of a request has 1 to 1000 characters.';
comment on constraint gov_increase_requests_note_check on @extschema@.gov_increase_requests is 'The note of an answer has 1 to 1000 characters.';
comment on constraint gov_increase_requests_state_check on @extschema@.gov_increase_requests is 'A request is "open", "approved", "declined" or "withdrawn".';
