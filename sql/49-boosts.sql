/* Boosts: what is added to a limit for a time, or taken off it */

create function @extschema@._gov_require_budget(owner_id text, entity_id text, capability_id text, name text, scope_entity_ids text[])
returns @extschema@.gov_assignments
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
    budget @extschema@.gov_assignments;
begin
    perform @extschema@._gov_require_owner($1);
    perform @extschema@._gov_require_list('scope_entity_ids', array_ndims($5));
    missing := case
        when $2 is null then 'entity_id'
        when $3 is null then 'capability_id'
        when $4 is null then 'name'
        when $5 is null or array_position($5, null) is not null then 'scope_entity_ids'
    end;
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be or contain null', missing),
            hint = 'gov_list_assignments() shows what there is.';
    end if;

    select a.*
    into budget
    from @extschema@.gov_assignments a
    where a.owner_id = $1
        and a.entity_id = $2
        and a.capability_id = $3
        and a.scope_entity_ids = @extschema@._gov_sorted($5)
        and a.name = $4;
    if budget.id is null then
        raise exception using
            errcode = 'undefined_object',
            message = format('entity "%s" of owner "%s" has no such budget for capability "%s"', left($2, 200), left($1, 200), left($3, 200)),
            detail = format('Its name would be "%s", its scope %s.', left($4, 200), left(@extschema@._gov_sorted($5)::text, 200)),
            hint = 'gov_list_assignments() shows what there is.';
    end if;
    return budget;
end
$$;

comment on function @extschema@._gov_require_budget(text, text, text, text, text[]) is
    'internal: a budget by its key; refuses a null argument (22004), an owner that the session may not see (42501), and one that there is not (42704)';

create function @extschema@.gov_boost
(
    owner_id text,
    entity_id text,
    capability_id text,
    amount numeric,
    until timestamptz default null,
    reason text default null,
    name text default '',
    scope_entity_ids text[] default '{}',
    valid_from timestamptz default now()
)
returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    budget constant @extschema@.gov_assignments := @extschema@._gov_require_budget($1, $2, $3, $7, $8);
    begins constant timestamptz := $9;
    ends constant timestamptz := nullif($5, 'infinity');
    wrong text;
    boost uuid;
begin
    if amount is null or begins is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', case when amount is null then 'amount' else 'valid_from' end),
            hint = 'Leave valid_from out for a boost that begins now.';
    end if;
    if not isfinite(begins) then
        wrong := 'argument "valid_from" must be a finite time';
    elsif ends <= begins then
        wrong := 'argument "until" must be after "valid_from"';
    elsif round(amount, 9) = 0 or not (abs(amount) < 1000000000000000000) then
        wrong := 'argument "amount" must be a number other than 0 with at most 18 digits before the point';
    elsif reason = '' or length(reason) > 1000 then
        wrong := 'argument "reason" must have 1 to 1000 characters';
    end if;
    if wrong is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = wrong,
            hint = 'A negative amount makes the limit smaller; without "until" it stays so.';
    end if;

    insert into @extschema@.gov_boosts (owner_id, entity_id, capability_id, scope_entity_ids, name, amount, valid_from, valid_until, reason)
    values (budget.owner_id, budget.entity_id, budget.capability_id, budget.scope_entity_ids, budget.name, $4, begins, ends, $6)
    returning id into boost;
    return boost;
end
$$;

comment on function @extschema@.gov_boost(text, text, text, numeric, timestamptz, text, text, text[], timestamptz) is
$$Adds to the limit of a budget for a time, or takes something off it. The limit in force is usage_limit and all boosts of that
moment, and never less than 0. Nothing has to run for a boost to begin or to end, and no session grants on one a microsecond after
its end. To end one early, update valid_until of gov_boosts, or delete the row.

owner_id, entity_id, capability_id, name, scope_entity_ids: of the budget; amount: in the capability's unit, exact to 9 decimals;
    negative: a cut; until: when it ends, exclusive (null: never); reason: for people to read, 1 to 1000 characters; valid_from:
    when it begins
result: the id of the boost in gov_boosts
errors: 22004 null argument; 22023 an amount of 0, until not after valid_from, reason too long; 23514 a budget without limit;
    42501 an owner that the session may not see or change; 42704 no such budget; 54000 more than 16 boosts that have not ended
since: 1.1.0$$;
