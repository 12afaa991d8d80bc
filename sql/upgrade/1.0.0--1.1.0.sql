/*
 * governance 1.0.0 to 1.1.0.
 *
 * What is stored changes here. Below it the Makefile joins the files of the install script that only define code and
 * rights (numbers 20 and up), each object created or replaced: so code is the same after an upgrade and after an install,
 * whatever it was before.
 */
\echo Use "ALTER EXTENSION governance UPDATE" to load this file. \quit

set local search_path = pg_catalog, pg_temp;

/*
 * 1.0.0 was installed with its own schema on the search path, so that functions and operators that somebody had put there
 * could get into what it made: a constraint, a default, an index, a policy, a view, a trigger. An upgrade that mended
 * that silently would hide a break-in.
 *
 * What users have made is theirs, whatever it uses: views on our tables, which anybody may make, and triggers, policies,
 * constraints and indexes with names that ours do not have.
 */
do $$
declare
    foreign_objects text;
begin
    with recursive member (classid, objid) as
    (
        select d.classid, d.objid
        from pg_depend d
        join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
        where e.extname = 'governance'
            and d.deptype = 'e'
        union
        -- What belongs to a member: its constraints, defaults, indexes, policies, rules and triggers.
        select d.classid, d.objid
        from member m
        join pg_depend d on d.refclassid = m.classid and d.refobjid = m.objid
        where case d.classid
            when 'pg_rewrite'::regclass then exists (select from pg_rewrite r where r.oid = d.objid and m.classid = 'pg_class'::regclass and r.ev_class = m.objid)
            when 'pg_policy'::regclass then exists (select from pg_policy p where p.oid = d.objid and m.classid = 'pg_class'::regclass and p.polrelid = m.objid and p.polname ~ '^gov_')
            when 'pg_trigger'::regclass then exists (select from pg_trigger t where t.oid = d.objid and m.classid = 'pg_class'::regclass and t.tgrelid = m.objid and t.tgname ~ '^gov_')
            when 'pg_constraint'::regclass then d.deptype in ('a', 'i') and exists (select from pg_constraint c where c.oid = d.objid and c.conname ~ '^gov_')
            when 'pg_class'::regclass then d.deptype in ('a', 'i') and exists (select from pg_class c where c.oid = d.objid and (c.relkind <> 'i' or c.relname ~ '^gov_'))
            else d.deptype in ('a', 'i')
        end
    )
    select string_agg(distinct format(
            '%s uses %s',
            pg_describe_object(m.classid, m.objid, 0),
            pg_describe_object(d.refclassid, d.refobjid, 0)), '; ')
    into foreign_objects
    from member m
    join pg_depend d on d.classid = m.classid and d.objid = m.objid
    where d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)
        and d.deptype = 'n'
        and not exists (select from member o where o.classid = d.refclassid and o.objid = d.refobjid)
        and not exists (
            select
            from pg_proc p
            where d.refclassid = 'pg_proc'::regclass
                and p.oid = d.refobjid
                and p.pronamespace = 'pg_catalog'::regnamespace);
    if foreign_objects is not null then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'objects of extension "governance" use functions or operators that are not its own',
            detail = foreign_objects,
            hint = 'Whoever put them into the schema of the extension could run code as its owner. Look at what they have done, then dump the data, drop the extension and them, and restore.';
    end if;
end
$$;

-- The engine reads rows' headers as heap has them; 1.0.0 took whatever default_table_access_method said.
do $$
declare
    wrong regclass;
begin
    select c.oid
    into wrong
    from pg_depend d
    join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
    join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
    join pg_am m on m.oid = c.relam
    where e.extname = 'governance'
        and d.deptype = 'e'
        and c.relkind = 'r'
        and m.amname <> 'heap'
    limit 1;
    if found then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('table %s has an access method that governance does not work with', wrong),
            hint = format('Run ALTER TABLE %s SET ACCESS METHOD heap, then ALTER EXTENSION governance UPDATE.', wrong);
    end if;
end
$$;

-- What was recorded since the last VACUUM is not summarized, and is read whole whatever time is asked for. First, because it
-- takes the time of reading that, and the locks that calls wait for are not taken yet.
alter index @extschema@.gov_events_occurred_at_idx set (autosummarize = on);

select brin_summarize_new_values('@extschema@.gov_events_occurred_at_idx'::regclass);

alter table @extschema@.gov_entities
    add constraint gov_entities_type_id_check check (length(type_id) between 1 and 255 and type_id !~ '[\u0001-\u001f\u007f]');

comment on constraint gov_entities_type_id_check on @extschema@.gov_entities is 'An id is 1 to 255 characters without control characters.';

-- A control character is U+0001 to U+001F or U+007F, in any encoding: [[:cntrl:]] counts bytes of others among them.

alter table @extschema@.gov_entity_types
    drop constraint gov_entity_types_id_check,
    drop constraint gov_entity_types_name_check,
    add constraint gov_entity_types_id_check check (length(id) between 1 and 255 and id !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_entity_types_name_check check (length(display_name) between 1 and 255 and display_name !~ '[\u0001-\u001f\u007f]');

alter table @extschema@.gov_capabilities
    drop constraint gov_capabilities_id_check,
    drop constraint gov_capabilities_display_name_check,
    drop constraint gov_capabilities_unit_check,
    drop constraint gov_capabilities_kind_check,
    add constraint gov_capabilities_kind_check check (kind in ('feature', 'credit', 'concurrency')),
    add constraint gov_capabilities_id_check check (length(id) between 1 and 255 and id !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_capabilities_display_name_check check (length(display_name) between 1 and 255 and display_name !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_capabilities_unit_check check (length(unit) between 1 and 255 and unit !~ '[\u0001-\u001f\u007f]');

alter table @extschema@.gov_entities
    drop constraint gov_entities_owner_id_check,
    drop constraint gov_entities_id_check,
    drop constraint gov_entities_parent_id_check,
    drop constraint gov_entities_display_name_check,
    add constraint gov_entities_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_entities_id_check check (length(id) between 1 and 255 and id !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_entities_parent_id_check check (length(parent_id) between 1 and 255 and parent_id !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_entities_display_name_check check (length(display_name) between 1 and 255 and display_name !~ '[\u0001-\u001f\u007f]');

alter table @extschema@.gov_assignments
    drop constraint gov_assignments_owner_id_check,
    drop constraint gov_assignments_entity_id_check,
    drop constraint gov_assignments_capability_id_check,
    drop constraint gov_assignments_name_check,
    drop constraint gov_assignments_timezone_check,
    add constraint gov_assignments_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_assignments_entity_id_check check (length(entity_id) between 1 and 255 and entity_id !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_assignments_capability_id_check check (length(capability_id) between 1 and 255 and capability_id !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_assignments_name_check check (name = '' or length(name) <= 255 and name !~ '[\u0001-\u001f\u007f]'),
    add constraint gov_assignments_timezone_check check (timezone = 'UTC' or length(timezone) between 1 and 255 and timezone !~ '[\u0001-\u001f\u007f]');

alter table @extschema@.gov_alert_policies
    drop constraint gov_alert_policies_owner_id_check,
    add constraint gov_alert_policies_owner_id_check check (length(owner_id) between 1 and 255 and owner_id !~ '[\u0001-\u001f\u007f]');

comment on constraint gov_entity_types_id_check on @extschema@.gov_entity_types is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_entity_types_name_check on @extschema@.gov_entity_types is 'A display name is 1 to 255 characters without control characters.';
comment on column @extschema@.gov_capabilities.kind is 'feature or credit, which are used up; or concurrency (since 1.1.0), which counts what is under way: a hold takes it, and its end gives it back. To and from concurrency it does not change while there are budgets for it';
comment on constraint gov_capabilities_kind_check on @extschema@.gov_capabilities is 'The kind of a capability is "feature", "credit" or "concurrency".';
comment on constraint gov_capabilities_id_check on @extschema@.gov_capabilities is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_capabilities_display_name_check on @extschema@.gov_capabilities is 'A display name is 1 to 255 characters without control characters.';
comment on constraint gov_capabilities_unit_check on @extschema@.gov_capabilities is 'A unit is 1 to 255 characters without control characters.';
comment on constraint gov_entities_owner_id_check on @extschema@.gov_entities is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_entities_id_check on @extschema@.gov_entities is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_entities_parent_id_check on @extschema@.gov_entities is 'An id is 1 to 255 characters without control characters; a root has no parent (null).';
comment on constraint gov_entities_display_name_check on @extschema@.gov_entities is 'A display name is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_owner_id_check on @extschema@.gov_assignments is 'An owner is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_entity_id_check on @extschema@.gov_assignments is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_capability_id_check on @extschema@.gov_assignments is 'An id is 1 to 255 characters without control characters.';
comment on constraint gov_assignments_name_check on @extschema@.gov_assignments is 'A name is 0 to 255 characters without control characters.';
comment on constraint gov_assignments_timezone_check on @extschema@.gov_assignments is 'A time zone is a name of pg_timezone_names, such as UTC or Europe/Berlin.';
comment on constraint gov_alert_policies_owner_id_check on @extschema@.gov_alert_policies is 'An owner is 1 to 255 characters without control characters.';

create index gov_reservations_ended_idx on @extschema@.gov_reservations (owner_id)
    where state <> 'open';

alter table @extschema@.gov_rollup_state
    add column events_deleted_until bigint not null default 0,
    add column events_looked_until bigint not null default 0,
    add column events_pass_at timestamptz,
    add column events_kept bigint not null default 0,
    add column events_kept_so_far bigint not null default 0,
    add column holds_kept bigint not null default 0,
    add column alerts_kept bigint not null default 0,
    add column events_deleted_to timestamptz;

-- 1.0 has not noted what it has deleted: in the order of ids, so nothing that was recorded after the first event that is left.
update @extschema@.gov_rollup_state
set events_deleted_to = coalesce(
    (select e.recorded_at + interval '5 minutes' from @extschema@.gov_events e order by e.id limit 1), updated_at)
where exists (select from @extschema@.gov_usage u where u.pruned_count > 0);

comment on column @extschema@.gov_rollup_state.events_deleted_until is 'governance.event_retention has left no event up to this id (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_deleted_to is 'the latest occurred_at of the events that governance.event_retention has deleted; null: none (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_looked_until is 'how far the present pass of governance.event_retention has come (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_pass_at is 'when that pass began; null before the first (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_kept is 'due events that stay because a foreign key refers to them, as the last pass found (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.events_kept_so_far is 'those that the present pass has found (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.holds_kept is 'holds past governance.event_retention that stay because a foreign key refers to them (since 1.1.0)';
comment on column @extschema@.gov_rollup_state.alerts_kept is 'alerts past governance.alert_retention that stay because a foreign key refers to them (since 1.1.0)';

drop index @extschema@.gov_assignments_scope_entity_ids_idx;

create index gov_assignments_scope_entity_ids_idx on @extschema@.gov_assignments using gin ((owner_id || scope_entity_ids))
    with (fastupdate = off)
    where scope_entity_ids <> '{}';

-- Lists of one type or capability read a page of it.
drop index @extschema@.gov_entities_type_id_idx;

create index gov_entities_type_id_idx on @extschema@.gov_entities (type_id, owner_id, id);

drop index @extschema@.gov_assignments_capability_id_idx;

create index gov_assignments_capability_id_idx on @extschema@.gov_assignments (capability_id, owner_id, entity_id);

-- What most rows have comes first in them.
alter table @extschema@.gov_assignments
    drop constraint gov_assignments_scope_entity_ids_check,
    drop constraint gov_assignments_cadence_check,
    add constraint gov_assignments_scope_entity_ids_check
        check (cardinality(scope_entity_ids) = 0 or not jsonb_path_exists(
            to_jsonb(scope_entity_ids),
            'strict $[*] ? (@.type() != "string" || @ == "" || @ like_regex "[\\u0001-\\u001f\\u007f]" || @ like_regex "^.{255}.")')),
    add constraint gov_assignments_cadence_check
        check (cadence in ('P1M', 'P1D') or cadence ~ '^P([1-9][0-9]{0,3}[YMWD]|T[1-9][0-9]{0,3}[HMS])$');

comment on constraint gov_assignments_scope_entity_ids_check on @extschema@.gov_assignments is 'A scope is a list of ids, each of 1 to 255 characters without control characters.';
comment on constraint gov_assignments_cadence_check on @extschema@.gov_assignments is 'A cadence is one ISO 8601 duration of one unit, 1 to 9999, such as P1Y, P1M, P30D, P1W, P1D, PT1H, PT5M or PT10S, or null for a budget that never resets.';

-- gov_keep_assignment draws it.
alter table @extschema@.gov_assignments alter column id set default '00000000-0000-0000-0000-000000000000';

comment on column @extschema@.gov_assignments.id is 'drawn by the extension where it is not given or nil';

-- gov_assignments_added judges whole statements.
drop trigger gov_assignments_placed on @extschema@.gov_assignments;

-- What it judged is judged in C.
drop function @extschema@._gov_require_window(@extschema@.gov_assignments);

alter table @extschema@.gov_assignments set (fillfactor = 70);

-- Clients that know the types of columns insert what has neither a default nor may be null.
alter table @extschema@.gov_assignments alter counter_id set default 0;

comment on column @extschema@.gov_assignments.counter_id is 'names the counter; drawn by the extension where it is not given or 0, and drawn again when cadence, anchor_at, timezone or window_kind change so that the present window is another, and by gov_recount';

alter table @extschema@.gov_entity_types alter display_name set default '';

comment on column @extschema@.gov_entity_types.display_name is 'for people to read; the id where none is given';

-- The open holds of a budget.
create index gov_reservations_assignment_ids_idx on @extschema@.gov_reservations using gin (assignment_ids)
    with (fastupdate = off)
    where state >= 'open' and state <= 'open';

-- What is there is rewritten as it is updated, or by VACUUM FULL.
alter table @extschema@.gov_usage set (fillfactor = 45);

alter table @extschema@.gov_usage
    add column merged_windows bigint,
    add column leaves_at timestamptz;

create index gov_usage_unmerged on @extschema@.gov_usage (window_end, counter_id) where merged_windows is null;

create index gov_usage_merged on @extschema@.gov_usage (window_end, counter_id) where merged_windows is not null;

create index gov_usage_grains on @extschema@.gov_usage (leaves_at, counter_id) where leaves_at > '-infinity';

comment on table @extschema@.gov_usage is 'what each budget had used per window up to the rollup''s watermark; earlier windows stay, short ones merged into days';
comment on column @extschema@.gov_usage.counter_id is 'the counter of the budget at that time; it changes where cadence, anchor or timezone make the present window another, and when it is recounted';
comment on column @extschema@.gov_usage.window_end is 'exclusive; infinity for a budget that never resets; where windows were merged, the end of the last';
comment on column @extschema@.gov_usage.merged_windows is 'of how many rows this one was made, for windows that started on one day; 1: it was looked at and stays as it is; null: it may still be merged (since 1.1.0)';
comment on column @extschema@.gov_usage.leaves_at is 'of a grain of a window that slides: when it stops to count; -infinity: it has, and the row is of all such grains that started on one day; null: of another budget (since 1.1.0)';

-- Reversals. The column stands behind those that users have added, so the engine knows it by its name.
alter table @extschema@.gov_events
    add column reverses bigint;

create index gov_events_reverses_idx on @extschema@.gov_events (reverses)
    where reverses is not null;

comment on column @extschema@.gov_events.reverses is 'the event of which it gives something back, whose entities, dimensions and time it has; null for all others; gov_reverse() (since 1.1.0)';

-- Several capabilities in one call: likewise.
alter table @extschema@.gov_events
    add column call_event_ids bigint[],
    add column quantities jsonb,
    add column prices jsonb;

alter table @extschema@.gov_reservations
    add column amounts jsonb,
    add column assignment_amounts numeric[],
    add column settled_amounts jsonb,
    add column event_ids jsonb,
    add column quantities jsonb;

comment on column @extschema@.gov_events.call_event_ids is 'the events that one call of several capabilities has recorded, this one included, in byte order of their capabilities; the first has the key; null for a use of one (since 1.1.0)';
comment on column @extschema@.gov_events.quantities is 'of a use that was given by quantities: how much of each; null for all others (since 1.1.0)';
comment on column @extschema@.gov_events.prices is 'of a use that was given by quantities: the price that each had, such as {"input": {"per": 1000000, "price": 2.5}} (since 1.1.0)';
comment on column @extschema@.gov_reservations.amounts is 'of a hold of several capabilities: the amount held of each; capability_id and amount are those of the first in byte order; null for a hold of one (since 1.1.0)';
comment on column @extschema@.gov_reservations.assignment_amounts is 'of a hold of several capabilities: what is held against each of assignment_ids; null: amount (since 1.1.0)';
comment on column @extschema@.gov_reservations.settled_amounts is 'of a hold that gov_settle_all() has settled: the true amount of each capability (since 1.1.0)';
comment on column @extschema@.gov_reservations.event_ids is 'of a hold that gov_settle_all() has settled: the ledger row of each capability (since 1.1.0)';
comment on column @extschema@.gov_reservations.quantities is 'of a hold by quantities: by capability how much of each; null for all others (since 1.1.0)';

-- Comments that say it better than those of 1.0.0.
comment on sequence @extschema@.gov_counter_seq is 'numbers the counters of budgets; a number is never given to a second budget, nor to the same one with other windows';
comment on column @extschema@.gov_events.entity_ids is 'the resolved set: every entity that the call named, with all their ancestors, in order of first appearance';
comment on column @extschema@.gov_events.dimensions is 'the dimensions of the call, including those that name no entity';
comment on column @extschema@.gov_alerts.event_id is 'the ledger row that crossed it; null when a changed limit or threshold did';

-- Blocks, and the most that one call may use.
alter table @extschema@.gov_entities
    add column blocked_at timestamptz,
    add column blocked_until timestamptz,
    add column blocked_reason text,
    add constraint gov_entities_blocked_at_check check (isfinite(blocked_at)),
    add constraint gov_entities_blocked_until_check check (blocked_until is null or isfinite(blocked_until) and blocked_at is not null),
    add constraint gov_entities_blocked_reason_check check (blocked_reason is null or length(blocked_reason) between 1 and 1000 and blocked_at is not null);

create index gov_entities_blocked on @extschema@.gov_entities (owner_id, id) where blocked_at is not null;

-- They have more columns, and more arguments, now. What becomes of the former ones is said where privileges are.
alter function @extschema@.gov_tree(text, text[], text) rename to gov_tree_1_0;
alter function @extschema@.gov_headroom(text, text, numeric, jsonb, text[]) rename to gov_headroom_1_0;
alter function @extschema@._gov_replay(text, @extschema@.gov_assignments[], timestamptz[], timestamptz, timestamptz) rename to _gov_replay_1_0;

comment on column @extschema@.gov_entities.blocked_at is 'when it was blocked; null: it is not. What involves a blocked entity is denied; gov_block() (since 1.1.0)';
comment on column @extschema@.gov_entities.blocked_until is 'when the block ends by itself; null: not before gov_unblock() (since 1.1.0)';
comment on column @extschema@.gov_entities.blocked_reason is 'why, for people to read (since 1.1.0)';
comment on constraint gov_entities_blocked_at_check on @extschema@.gov_entities is 'The time of blocking is finite.';
comment on constraint gov_entities_blocked_until_check on @extschema@.gov_entities is 'The end of a block is finite, or null for none, and there is a block (blocked_at).';
comment on constraint gov_entities_blocked_reason_check on @extschema@.gov_entities is 'The reason of a block has 1 to 1000 characters, and there is a block (blocked_at).';

-- What an unknown id does, and which entities a use has created. A column with a default is not added where a function uses the
-- row type of the table; these two are made anew, and later that of assignments.
drop function @extschema@._gov_json(@extschema@.gov_entity_types);
drop function @extschema@._gov_json(@extschema@.gov_entities);

alter table @extschema@.gov_entity_types
    add column on_unknown text collate "C" not null default 'ignore',
    add column parent_key text collate "C",
    add constraint gov_entity_types_on_unknown_check check (on_unknown in ('ignore', 'create', 'deny')),
    add constraint gov_entity_types_parent_key_check check (length(parent_key) between 1 and 255 and parent_key !~ '[\u0001-\u001f\u007f]');

comment on column @extschema@.gov_entity_types.on_unknown is 'what a dimension under one of attribution_keys does whose value is no entity of this type: ignore, as if it were not there; create the entity when a use is granted; deny the call. A key belongs to one type at most that does not ignore (since 1.1.0)';
comment on column @extschema@.gov_entity_types.parent_key is 'the dimension that names the parent of an entity that a use creates; null, or none in the call: it is a root (since 1.1.0)';
comment on constraint gov_entity_types_on_unknown_check on @extschema@.gov_entity_types is 'What unknown ids do is "ignore", "create" or "deny".';
comment on constraint gov_entity_types_parent_key_check on @extschema@.gov_entity_types is 'A dimension key is 1 to 255 characters without control characters; no parent is null.';

alter table @extschema@.gov_entities
    add column created_by_use boolean not null default false;

create index gov_entities_created_by_use_idx on @extschema@.gov_entities (owner_id) where created_by_use;

comment on column @extschema@.gov_entities.created_by_use is 'true: a use created it, because on_unknown of its type says so (since 1.1.0)';

drop function @extschema@._gov_json(@extschema@.gov_assignments, text);

alter table @extschema@.gov_assignments
    add column call_limit numeric,
    add column window_kind text collate "C" not null default 'calendar',
    add constraint gov_assignments_call_limit_check check (call_limit >= 0 and call_limit < 1000000000000000000),
    add constraint gov_assignments_window_kind_check
        check (window_kind = 'calendar' or window_kind = any ('{first_use,sliding}') and cadence is not null and anchor_at is null and (window_kind = 'first_use' or cadence ~ '^P([1-9][0-9]*[WD]|T[1-9][0-9]*[HMS])$'));

comment on column @extschema@.gov_assignments.call_limit is 'the most that one call may use, whatever is left, exact to 9 decimals; null = as much as is left (since 1.1.0)';
comment on column @extschema@.gov_assignments.window_kind is 'where windows begin: calendar = at the anchor, one after the other; first_use = with the first use after the last one ended; sliding = a cadence before the present time (since 1.1.0)';
comment on constraint gov_assignments_window_kind_check on @extschema@.gov_assignments is 'Windows begin with the "calendar" or with a "first_use", or are "sliding". Those of the last two kinds have a cadence and no anchor; what slides has one of weeks, days, hours, minutes or seconds.';
comment on constraint gov_assignments_call_limit_check on @extschema@.gov_assignments is 'A limit of a call is a number of 0 or more with at most 18 digits before the point, or null for no limit.';

-- Pools.
alter table @extschema@.gov_assignments
    add column is_pool boolean not null default false,
    add column debt_limit numeric not null default 0,
    add column debt_counter_id bigint,
    add constraint gov_assignments_is_pool_check
        check (not is_pool
            or usage_limit is null and cadence is null and not strict_allocation),
    add constraint gov_assignments_debt_limit_check
        check (debt_limit = 0 or is_pool and debt_limit > 0 and debt_limit < 1000000000000000000);

create index gov_assignments_pools on @extschema@.gov_assignments (owner_id, entity_id)
    where is_pool;

create unique index gov_assignments_debt_counter on @extschema@.gov_assignments (debt_counter_id)
    where debt_counter_id is not null;

comment on column @extschema@.gov_assignments.is_pool is 'true: what it may use is what gov_grants grants, and each use draws from grants; it has neither limit nor cadence of its own (since 1.1.0)';
comment on column @extschema@.gov_assignments.debt_limit is 'of a pool: how far consume and reserve may go past what is granted, exact to 9 decimals; ingest and settle are not bounded by it (since 1.1.0)';
comment on column @extschema@.gov_assignments.debt_counter_id is 'of a pool: names the count of what no grant has paid, drawn by the extension (since 1.1.0)';
comment on constraint gov_assignments_is_pool_check on @extschema@.gov_assignments is 'A pool has no limit, cadence or strict allocation: its grants say how much, and until when.';
comment on constraint gov_assignments_debt_limit_check on @extschema@.gov_assignments is 'A debt limit is a number of 0 or more with at most 18 digits before the point; only a pool has one other than 0.';

-- Carrying over.
alter table @extschema@.gov_assignments
    add column carry_unused_max numeric,
    add column carry_debt boolean not null default false,
    add column carry_from timestamptz,
    add constraint gov_assignments_carry_unused_max_check
        check (carry_unused_max is null
            or carry_unused_max >= 0 and carry_unused_max < 1000000000000000000
                and usage_limit is not null and cadence is not null and window_kind = 'calendar'),
    add constraint gov_assignments_carry_debt_check
        check (not carry_debt or usage_limit is not null and cadence is not null and window_kind = 'calendar');

create index gov_assignments_carries on @extschema@.gov_assignments (owner_id, entity_id)
    where carry_unused_max is not null or carry_debt;

comment on column @extschema@.gov_assignments.carry_unused_max is 'how much at most a window gets of what the one before has left unused of its own limit, exact to 9 decimals; what was carried is used first and not carried again; null = nothing (since 1.1.0)';
comment on column @extschema@.gov_assignments.carry_debt is 'true: what a window has used past its limit makes the limit of the next one smaller, until it is made up for (since 1.1.0)';
comment on column @extschema@.gov_assignments.carry_from is 'kept by the extension: windows that had ended by then carry nothing over, for the budget''s windows were others; null = none that ended after it was made (since 1.1.0)';
comment on constraint gov_assignments_carry_unused_max_check on @extschema@.gov_assignments is 'What is carried over is a number of 0 or more with at most 18 digits before the point, or null for nothing; a budget that carries over has a limit, a cadence and calendar windows.';
comment on constraint gov_assignments_carry_debt_check on @extschema@.gov_assignments is 'A budget that carries its debt over has a limit, a cadence and calendar windows.';

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

alter table @extschema@.gov_events
    add column draws numeric[];

comment on column @extschema@.gov_events.draws is 'what it drew from grants of pools: rows of a counter (gov_grants.counter_id, or debt_counter_id of a pool) and an amount. What pays an earlier debt stands before what it drew itself; null: it was charged to no pool. gov_event_draws shows it (since 1.1.0)';

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

-- What quantities cost.
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

-- Budgets that every entity of a type has.
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

-- gov_usage_hourly becomes a view, by the parts below. Its table goes on under another name, with its rows, its rights, and what
-- users have put on it: all of them are of whole hours, and none is rewritten.
alter table @extschema@.gov_usage_hourly rename to gov_usage_by_time;

-- PostgreSQL 18 names what is not null after its table.
do $$
declare
    named name;
begin
    for named in
        select c.conname
        from pg_constraint c
        where c.conrelid = '@extschema@.gov_usage_by_time'::regclass
            and c.contype = 'n'
            and c.conname ~ '^gov_usage_hourly_'
    loop
        execute format('alter table %s.gov_usage_by_time rename constraint %I to %I', '@extschema@', named, replace(named, 'gov_usage_hourly_', 'gov_usage_by_time_'));
    end loop;
end
$$;

alter table @extschema@.gov_usage_by_time
    add column minute smallint,
    add column grain_minutes smallint;

alter table @extschema@.gov_usage_by_time set (fillfactor = 45);

drop index @extschema@.gov_usage_hourly_key;

create unique index gov_usage_by_time_key on @extschema@.gov_usage_by_time
    (owner_id, hour, md5(capability_id || chr(1) || entity_id), coalesce(minute, '0'::smallint));

drop policy gov_usage_hourly_select on @extschema@.gov_usage_by_time;

comment on table @extschema@.gov_usage_by_time is 'what each entity and its descendants used per hour, or part of an hour, up to the rollup''s watermark (since 1.1.0)';
comment on column @extschema@.gov_usage_by_time.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_usage_by_time.capability_id is 'the capability that was used';
comment on column @extschema@.gov_usage_by_time.amount is 'what was used in that time, in the capability''s unit';
comment on column @extschema@.gov_usage_by_time.event_count is 'how many events that were';
comment on column @extschema@.gov_usage_by_time.minute is 'null: the row is of the whole hour; else how many minutes after the start of the hour its time begins';
comment on column @extschema@.gov_usage_by_time.grain_minutes is 'null: the row is of the whole hour; else how long its time is, governance.usage_grain when it was written, or longer. Where the setting has changed, a shorter row may lie within a longer one; each event is counted in one of them';
comment on column @extschema@.gov_rollup_state.watermark is 'events up to this id are in gov_usage and gov_usage_by_time, later ones are not';

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

-- Columns that 1.0.0 said nothing about.
comment on column @extschema@.gov_entity_types.description is 'free text, for people to read';
comment on column @extschema@.gov_entity_types.created_at is 'when the row was made';
comment on column @extschema@.gov_capabilities.display_name is 'for people to read';
comment on column @extschema@.gov_capabilities.created_at is 'when the row was made';
comment on column @extschema@.gov_entities.type_id is 'its entity type';
comment on column @extschema@.gov_entities.display_name is 'for people to read';
comment on column @extschema@.gov_entities.created_at is 'when the row was made';
comment on column @extschema@.gov_assignments.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_assignments.entity_id is 'the entity whose budget it is';
comment on column @extschema@.gov_assignments.capability_id is 'the capability that it limits';
comment on column @extschema@.gov_assignments.created_at is 'when the row was made';
comment on column @extschema@.gov_events.id is 'its id; ids are drawn in order and committed in any';
comment on column @extschema@.gov_events.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_events.capability_id is 'the capability that was used';
comment on column @extschema@.gov_events.recorded_at is 'when it was recorded, by the clock of the engine';
comment on column @extschema@.gov_usage.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_usage.assignment_id is 'the budget';
comment on column @extschema@.gov_usage.amount is 'what was used in the window, in the capability''s unit';
comment on column @extschema@.gov_usage.event_count is 'how many events that were';
comment on column @extschema@.gov_reservations.id is 'its id, the reservation_id of the calls';
comment on column @extschema@.gov_reservations.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_reservations.capability_id is 'the capability of which it holds an amount';
comment on column @extschema@.gov_reservations.amount is 'the amount held, in the capability''s unit';
comment on column @extschema@.gov_reservations.dimensions is 'the dimensions of the call';
comment on column @extschema@.gov_reservations.created_at is 'when the row was made';
comment on column @extschema@.gov_alerts.id is 'its id; ids are drawn in order and committed in any';
comment on column @extschema@.gov_alerts.owner_id is 'one of the vendor''s customers';
comment on column @extschema@.gov_alerts.assignment_id is 'the budget';
comment on column @extschema@.gov_alerts.window_start is 'the start of the window in which it was crossed; -infinity for a budget that never resets; of a pool, when the newest of its live grants took effect';
comment on column @extschema@.gov_alerts.raised_at is 'when the alert was raised';
comment on column @extschema@.gov_alert_policies.created_at is 'when the row was made';
comment on column @extschema@.gov_alert_policies.updated_at is 'when the row last changed';
comment on column @extschema@.gov_rollup_state.id is '1: there is one row';
comment on column @extschema@.gov_rollup_state.updated_at is 'when the row last changed';

-- Who changed what, from now on.
create sequence @extschema@.gov_changes_id_seq as bigint;

comment on sequence @extschema@.gov_changes_id_seq is 'numbers the changes';

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

-- Written by the engine only (src/rules/history_limit.c), and only when a limit changes: the present one is in gov_assignments.
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

-- A limit is as old as the last change of its row, at least: what it was before then nobody has written down.
insert into @extschema@.gov_limit_history (assignment_id, replaced_at, owner_id, is_known)
select a.id, a.updated_at, a.owner_id, false
from @extschema@.gov_assignments a
where a.updated_at <> a.created_at;

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
