/* ---------------------------------------------------------------------------------------------------------------- */
/* Reporting                                                                                                        */
/* ---------------------------------------------------------------------------------------------------------------- */

create function @extschema@._gov_short(n numeric)
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

comment on function @extschema@._gov_short(numeric) is 'internal: a number in at most 6 characters and 3 digits, such as 412k or -1.25M; ~0 for one that is nearly nothing';

create function @extschema@._gov_cut(line text, width int, ellipsis text)
returns text
language sql
immutable
parallel safe
return case when length(line) > width then left(line, width - length(ellipsis)) || ellipsis else line end;

comment on function @extschema@._gov_cut(text, int, text) is 'internal: a text in at most so many characters';

create function @extschema@._gov_bar(used numeric, held numeric, usage_limit numeric, marks text[])
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

comment on function @extschema@._gov_bar(numeric, numeric, numeric, text[]) is
    'internal: 20 characters that show how much of a limit is used and held; what is used or held shows, however little it is';

create function @extschema@._gov_cadence_words(cadence text)
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

comment on function @extschema@._gov_cadence_words(text) is 'internal: a cadence in the words of a label, such as /month or /30d; nothing for a budget that never resets';

create function @extschema@._gov_short_time(moment timestamptz, now timestamptz)
returns text
language sql
stable
parallel safe
return case
    when moment is null then 'never'
    when moment < now + interval '1 day' then to_char(moment, 'HH24:MI')
    when moment < now + interval '1 year' then to_char(moment, 'FMDD Mon')
    when moment < '10000-01-01' then to_char(moment, 'Mon YYYY')
    else to_char(moment, 'YYYY')
end;

comment on function @extschema@._gov_short_time(timestamptz, timestamptz) is
    'internal: a time to come in few characters, the fewer of it the further off it is; never for null';

create function @extschema@.gov_report
(
    owner_id text,
    capability_id text default null,
    under_entity_id text default null,
    max_depth integer default null
)
returns setof text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
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
    now timestamptz := @extschema@.gov_now();
    stems text[] := '{""}';
    stem text;
    name text;
    place bigint := 0;
    item record;
begin
    perform @extschema@._gov_require_owner(owner_id);
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
            from @extschema@.gov_tree(gov_report.owner_id, null::text[], gov_report.under_entity_id) with ordinality
                t (entity_id, display_name, type_id, parent_id, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, depth, path, c15,
                    blocked_at, blocked_until, blocked_reason, c16, c17, c18, n)
        ),
        shown as
        (
            select
                t.n,
                t.entity_id,
                coalesce(t.display_name, t.entity_id) as title,
                t.type_id,
                t.blocked_at,
                t.blocked_until,
                t.blocked_reason,
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
            b.capability_id || @extschema@._gov_cadence_words(b.cadence) || coalesce(' ' || nullif(b.name, ''), '')
                || coalesce(' on ' || nullif(array_to_string(b.scope_entity_ids, ', '), ''), '')
                || case when b.carried <> 0 then ' ' || case when b.carried > 0 then '+' else '' end || @extschema@._gov_short(b.carried) else '' end as label,
            b.usage_limit,
            b.current_usage,
            b.reserved_usage,
            b.utilization,
            b.usage_limit - b.allocated as unallocated,
            b.allocated > 0 as has_allocated,
            b.usage_period_end,
            b.enforcement
        from shown s
        left join
        (
            select x.*
            from @extschema@._gov_shown_budgets(
                gov_report.owner_id,
                now,
                case when under_entity_id is not null or max_depth is not null then array(select w.entity_id from shown w) end,
                case when gov_report.capability_id is not null then array[gov_report.capability_id] end) x
        ) b on b.entity_id = s.entity_id
        order by s.n, b.capability_id collate "C", cardinality(b.scope_entity_ids), b.scope_entity_ids collate "C", b.name collate "C"
    loop
        if place = 0 then
            return next rtrim(rpad(@extschema@._gov_cut(owner_id, label_width, ellipsis), label_width + 1)
                || format('used %s held %s left %s', marks[2], marks[3], marks[4])
                || '       %    used of limit   resets unalloc');
        end if;

        -- A new entity. Below the deepest level its depth is written out.
        if item.n <> place then
            place := item.n;
            name := format('%s (%s)', item.title, item.type_id)
                || case when item.blocked_at is not null then ' blocked' else '' end
                || case when item.blocked_until is not null then ' until ' || @extschema@._gov_short_time(item.blocked_until, now) else '' end
                || coalesce(': ' || item.blocked_reason, '');
            if item.depth > deepest then
                return next @extschema@._gov_cut(format('%s%s: %s', stems[deepest + 2], item.depth, name), width, ellipsis);
            else
                stem := stems[item.depth + 1];
                return next @extschema@._gov_cut(stem || case when item.depth = 0 then '' when item.is_last then corner else branch end
                    || name, width, ellipsis);
                stems[item.depth + 2] := stem || case when item.depth = 0 then '' when item.is_last then '   ' else through end;
            end if;
        end if;

        if item.has_budget then
            stem := stems[least(item.depth, deepest) + 2]
                || case when item.has_children and item.depth <= deepest then through else '   ' end;
            return next rtrim(rpad(@extschema@._gov_cut(stem || item.label, label_width, ellipsis), label_width + 1)
                || @extschema@._gov_bar(item.current_usage, item.reserved_usage, item.usage_limit, marks)
                || lpad(case
                    when item.utilization is null then ''
                    when item.utilization > 99.99 then '>9999%'
                    when item.utilization < -9.99 then '<-999%'
                    else floor(100 * item.utilization) || '%'
                end, 7)
                || case when item.current_usage > item.usage_limit then '! ' else '  ' end
                || lpad(@extschema@._gov_short(item.current_usage), 6)
                || rpad(coalesce(' of ' || @extschema@._gov_short(item.usage_limit), ''), 11)
                || rpad(@extschema@._gov_short_time(item.usage_period_end, now), 8)
                || lpad(case when item.has_allocated then coalesce(@extschema@._gov_short(item.unallocated), '') else '' end, 7)
                || case item.enforcement when 'soft' then ' soft' else '' end);
        end if;
    end loop;
    if place = 0 then
        return next @extschema@._gov_cut(owner_id, width - 16, ellipsis) || ': no entities';
    end if;
end
$$;

comment on function @extschema@.gov_report(text, text, text, integer) is
$$An owner's budgets as a picture, for a terminal of 100 columns: the tree of its entities, below each its budgets with bars.

owner_id: one of the vendor's customers; capability_id: only budgets of this capability; under_entity_id: only this entity and what
    is below it; max_depth: only so many levels below the topmost, null for all
result: lines of at most 98 characters, a heading first. A budget's line: the capability, the length of its window, name and scope;
    a bar of what is used and held, drawn in ASCII unless database and client use UTF8; the share that is used, ! when the limit
    is passed; amounts of 3 digits; when the window ends, in the session's time zone; what is left to allocate when children
    have budgets; soft. What is carried over stands behind the scope, such as +30 (since 1.1.0). Beside a blocked entity, until when (since 1.1.0)
errors: 22004 null owner_id; 22023 negative max_depth; 23514 an entity below itself, written with triggers disabled; 42501 an owner that the session may not see$$;

create function @extschema@.gov_query
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

comment on function @extschema@.gov_query(text, text[], text, text, text, numeric, text[], text, text, int, text) is
$$A page of an owner's entities and budgets with their usage, as it is now. Archived entities are left out, and their children
shown under the nearest that is not.

owner_id: one of the vendor's customers; capability_ids: the budgets of these, a row for each; null: a row for each entity,
    with null for all that is a budget's; sort_by: utilization, currentUsage, usageLimit, scopeSize, id or createdAt (the
    entity's); sort_order: asc or desc; rows without the value come last, equal ones by entity, capability, scope size, scope
    and name; sorted by utilization, currentUsage or usageLimit, of equal ones those by defaults that were not used come last; scope: all, nodeWide or scoped budgets; an entity counts as node-wide; min_utilization: 0.8 for 80 % and more;
    type_ids: entities of these types; search: part of the entity's id or display name, upper case or lower;
    under_entity_id: that entity and all below it; page_size: 1 to 100; after: "next" of the page before, with the same
    arguments
result: {"data": [...], "pagination": {"next": cursor or null}}, each row with entityId, displayName, typeId, parentId,
    capabilityId, scopeEntityIds, name, usageLimit, currentUsage, reservedUsage, remaining, allocated, utilization, cadence,
    usagePeriodStart, usagePeriodEnd, enforcement and locked; since 1.1.0 baseLimit, source ("own" for an assignment, or "default"), defaultId (of the default, or
    null), and of the entity blockedAt, blockedUntil and
    blockedReason, null while it is not blocked; and carried (over from the window before, below 0 for a debt) of a budget that
    carries something over. utilization = usage / limit, 1 for a limit of 0; allocated: the
    limits of the children's unnamed node-wide budgets of the same capability and cadence, null for scoped budgets
errors: 22004 null owner_id, sort_by, sort_order, scope, page_size or element of an array; 22023 unknown sort_by, sort_order or
    scope, an array of two dimensions, page_size out of range, after not a cursor of this query; 23514 an entity below itself, written
    with triggers disabled; 42501 not the session's owner$$;

