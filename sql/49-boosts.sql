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
        select b.id, b.owner_id, b.entity_id, b.capability_id, b.scope_entity_ids, b.name, b.usage_limit
        into budget.id, budget.owner_id, budget.entity_id, budget.capability_id, budget.scope_entity_ids, budget.name, budget.usage_limit
        from @extschema@._gov_inherited_budgets($1, $2) b
        where b.capability_id = $3
            and b.scope_entity_ids = @extschema@._gov_sorted($5)
            and b.name = $4;
    end if;
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
errors: GV003 the owner is frozen; 22004 null argument; 22023 an amount of 0, until not after valid_from, reason too long; 23514 a budget without limit;
    42501 an owner that the session may not see or change; 42704 no such budget; 54000 more than 16 boosts that have not ended
since: 1.1.0$$;

/* Requests: who may not raise a limit asks for more, and who may answers */

-- Ids only: any role may listen. A full queue keeps no request from being made.
create function @extschema@._gov_tell_request(id uuid)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select pg_notify('governance_requests', jsonb_build_object('requestIds', jsonb_build_array($1))::text)
    where pg_notification_queue_usage() < 1
$$;

comment on function @extschema@._gov_tell_request(uuid) is 'internal: tells who listens on governance_requests of a request that was made, answered or withdrawn';

create function @extschema@.gov_request_increase
(
    owner_id text,
    entity_id text,
    capability_id text,
    amount numeric,
    until timestamptz default null,
    reason text default null,
    name text default '',
    scope_entity_ids text[] default '{}'
)
returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    budget constant @extschema@.gov_assignments := @extschema@._gov_require_budget($1, $2, $3, $7, $8);
    ends constant timestamptz := nullif($5, 'infinity');
    wrong text;
    request uuid;
begin
    if amount is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "amount" must not be null',
            hint = 'Say how much more is needed.';
    end if;
    if round(amount, 9) <= 0 or not (amount < 1000000000000000000) then
        wrong := 'argument "amount" must be a number above 0 with at most 18 digits before the point';
    elsif ends <= @extschema@.gov_now() then
        wrong := 'argument "until" is not a time to come';
    elsif reason = '' or length(reason) > 1000 then
        wrong := 'argument "reason" must have 1 to 1000 characters';
    end if;
    if wrong is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = wrong,
            hint = 'Say how much more is needed, until when (null: for ever), and why.';
    end if;
    if budget.usage_limit is null then
        raise exception using
            errcode = 'check_violation',
            message = 'a budget without a limit cannot be raised',
            detail = format('The usage_limit of the budget of entity "%s" for capability "%s" is null.', left($2, 200), left($3, 200)),
            hint = 'It denies nothing.';
    end if;

    insert into @extschema@.gov_increase_requests (owner_id, entity_id, capability_id, scope_entity_ids, name, amount, valid_until, reason)
    values (budget.owner_id, budget.entity_id, budget.capability_id, budget.scope_entity_ids, budget.name, $4, ends, $6)
    returning id into request;
    perform @extschema@._gov_tell_request(request);
    return request;
end
$$;

comment on function @extschema@.gov_request_increase(text, text, text, numeric, timestamptz, text, text, text[]) is
$$Asks for more of a budget, for a time. Whoever listens on governance_requests is told the id: {"requestIds": [...]}.

owner_id, entity_id, capability_id, name, scope_entity_ids: of the budget; amount: how much more, in the capability's unit; until:
    when it is to end (null: never); reason: for people to read, 1 to 1000 characters
result: the id of the request in gov_increase_requests
errors: GV003 the owner is frozen; 22004 null argument; 22023 an amount that is not above 0, until not in the future, reason too long; 23514 a budget without
    limit; 42501 an owner that the session may not see or change; 42704 no such budget; 54000 more than 100 open requests of the owner
since: 1.1.0$$;

create function @extschema@.gov_withdraw_increase(id uuid)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    withdrawn boolean;
begin
    if $1 is null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = 'argument "id" must not be null',
            hint = 'Give the id that gov_request_increase returned.';
    end if;
    update @extschema@.gov_increase_requests r
    set state = 'withdrawn'
    where r.id = $1
        and @extschema@.gov_owner_visible(r.owner_id)
        and r.state = 'open';
    withdrawn := found;
    if withdrawn then
        perform @extschema@._gov_tell_request($1);
    elsif not exists (select from @extschema@.gov_increase_requests r where r.id = $1 and @extschema@.gov_owner_visible(r.owner_id)) then
        raise exception using
            errcode = 'undefined_object',
            message = format('request "%s" does not exist', $1),
            hint = 'Give the id that gov_request_increase returned.';
    end if;
    return withdrawn;
end
$$;

comment on function @extschema@.gov_withdraw_increase(uuid) is
$$Withdraws a request that is open.

id: of the request
result: whether it was open
errors: GV003 the owner is frozen; 22004 null; 42704 unknown request, or another owner's than governance.owner
since: 1.1.0$$;

create function @extschema@.gov_decide_increase
(
    id uuid,
    approve boolean,
    amount numeric default null,
    until timestamptz default null,
    note text default null
)
returns uuid
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    missing constant text := case when $1 is null then 'id' when $2 is null then 'approve' end;
    request @extschema@.gov_increase_requests;
    boost uuid;
begin
    if missing is not null then
        raise exception using
            errcode = 'null_value_not_allowed',
            message = format('argument "%s" must not be null', missing),
            hint = 'gov_increase_requests shows what waits for an answer.';
    end if;
    if $5 = '' or length($5) > 1000 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "note" must have 1 to 1000 characters',
            hint = 'Leave it out to give none.';
    end if;

    if $3 <= 0 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'argument "amount" must be above 0',
            hint = 'Decline the request, or take something off the limit with gov_boost.';
    end if;

    select r.*
    into request
    from @extschema@.gov_increase_requests r
    where r.id = $1
        and @extschema@.gov_owner_visible(r.owner_id)
    for update;
    if request.id is null then
        raise exception using
            errcode = 'undefined_object',
            message = format('request "%s" does not exist', $1),
            hint = 'gov_increase_requests shows what waits for an answer.';
    end if;
    if request.state <> 'open' then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = format('request "%s" is not open any more', $1),
            detail = format('Its state is "%s".', request.state),
            hint = 'Change or delete the boost that it made, or make another with gov_boost.';
    end if;

    if $2 then
        boost := @extschema@.gov_boost(
            request.owner_id,
            request.entity_id,
            request.capability_id,
            coalesce($3, request.amount),
            until => coalesce($4, request.valid_until),
            reason => request.reason,
            name => request.name,
            scope_entity_ids => request.scope_entity_ids);
    end if;
    update @extschema@.gov_increase_requests r
    set state = case when $2 then 'approved' else 'declined' end,
        note = $5,
        boost_id = boost
    where r.id = $1;
    perform @extschema@._gov_tell_request($1);
    return boost;
end
$$;

comment on function @extschema@.gov_decide_increase(uuid, boolean, numeric, timestamptz, text) is
$$Answers a request for more. Approval makes a boost that begins now.

id: of the request; approve: true makes the boost, false declines; amount, until: of the boost, where it is not to be as asked;
    "infinity": for ever; note: for people to read, 1 to 1000 characters
result: the id of the boost in gov_boosts; null when it was declined
errors: GV003 the owner is frozen; 22004 null id or approve; 22023, 23514, 42704 and 54000 as of gov_boost; 42501 an owner that the session may not see or
    change; 42704 unknown request; 55000 it is not open any more
since: 1.1.0$$;
