-- What test/t/020_model.pl calls: the engine's functions, each answer held against test/oracle.sql. A difference is an
-- exception. The result is what the history has to remember of the call, one object or several: an event or a hold, a
-- fingerprint of its row, and what is in flight because of it until the transaction ends (see oracle.sql).
create schema model;

-- Usage starts afresh when cadence, anchor or timezone change so that the present window is another, and never else; a recount draws another
-- counter, too.
create function model.watch_counter() returns trigger
language plpgsql
set search_path = public
as $$
begin
    if tg_op = 'UPDATE' and current_setting('model.recounts', true) is distinct from 'yes' then
        if (new.counter_id <> old.counter_id) <>
            (gov_window(new.cadence, new.anchor_at, new.timezone, gov_now()) is distinct from gov_window(old.cadence, old.anchor_at, old.timezone, gov_now())) then
            raise exception 'model: counter % becomes % as % becomes %', old.counter_id, new.counter_id, old, new;
        end if;
    end if;
    -- one below 0 goes on with the count of a budget by a default
    if (tg_op = 'INSERT' or new.counter_id <> old.counter_id) and new.counter_id > 0 and exists (select from gov_events as e where e.owner_id = new.owner_id and e.counter_ids @> array[new.counter_id]) then
        raise exception 'model: counter % is not new', new.counter_id;
    end if;
    return null;
end
$$;

create trigger model_watch_counter after insert or update on gov_assignments
for each row execute function model.watch_counter();

-- Every change of a row of these tables, by a trigger that sees rows where the engine's see statements.
create table model.changed
(
    n bigint generated always as identity,
    owner_id text,
    table_name text,
    action text,
    old jsonb,
    new jsonb,
    at timestamptz
);

create function model.watch_change() returns trigger
language plpgsql
set search_path = public
as $$
begin
    -- boosts that go with their budget are deleted by the engine, which says so of the budget alone
    if tg_table_name = 'gov_boosts' and pg_trigger_depth() > 1 then
        return null;
    end if;
    -- what a use creates is no change
    if tg_table_name = 'gov_entities' and tg_op = 'INSERT' and (to_jsonb(new) ->> 'created_by_use')::boolean then
        return null;
    end if;
    insert into model.changed (owner_id, table_name, action, old, new, at)
    values (coalesce(new.owner_id, old.owner_id), tg_table_name, tg_op, to_jsonb(old), to_jsonb(new), oracle.now());
    return null;
end
$$;

do $$
declare
    watched text;
begin
    foreach watched in array '{gov_entities,gov_assignments,gov_default_assignments,gov_boosts,gov_alert_policies}'::text[] loop
        execute format('create trigger model_watch_change after insert or update or delete on %s for each row execute function model.watch_change()', watched);
    end loop;
end
$$;

-- Changes of before somebody was forgotten name the former id no more: what is compared begins after them.
create table model.forgotten (owner_id text primary key, change_id bigint not null);

create function model.forgot(owner text) returns void
language sql
as $$
    delete from model.changed where owner_id = owner;
    insert into model.forgotten values (owner, (select max(c.id) from gov_changes as c where c.owner_id = owner))
    on conflict (owner_id) do update set change_id = excluded.change_id
$$;

-- The value that a column has where nobody says anything, of those that are not null then.
create function model.default_of(name text) returns jsonb
language sql immutable
as $$
    select '{"enforcement": "hard", "timezone": "UTC", "window_kind": "calendar", "strict_allocation": false, "locked": false, "is_pool": false, "carry_debt": false,
        "debt_limit": 0, "metadata": {}}'::jsonb -> name
$$;

-- What gov_changes has to say of the columns of a row, or of those of it in which another one differs.
create function model.said(item jsonb, than jsonb, key text[]) returns jsonb
language sql
as $$
    select coalesce(jsonb_object_agg(i.key, i.value), '{}')
    from jsonb_each(item) as i
    where i.key <> all ('{created_at,updated_at,counter_id,debt_counter_id,carry_from,owner_id,created_by_use,seed}' || said.key)
        and case when than is null then i.value <> coalesce(model.default_of(i.key), 'null') else i.value is distinct from than -> i.key end
$$;

-- gov_changes and gov_limit_at against the changes that the triggers have seen. Null, or the first difference.
create function model.history(owner text) returns text
language plpgsql
as $$
declare
    wrong text;
begin
    with seen as (
        select c.owner_id, c.table_name, k.key, c.action, model.said(c.old, c.new, k.names) as old, model.said(c.new, c.old, k.names) as new
        from model.changed as c
        cross join lateral (
            select case c.table_name || case when c.action = 'RECOUNT' then ' ' else '' end
                when 'gov_default_assignments ' then '{id,assignment_id,entity_id,capability_id,scope_entity_ids,name}'
                when 'gov_entities' then '{id}'
                when 'gov_alert_policies' then '{owner_id}'
                when 'gov_default_assignments' then '{id,type_id,capability_id,scope_type_ids,name}'
                else '{id,entity_id,capability_id,scope_entity_ids,name}'
            end::text[]) as n (names)
        cross join lateral (
            select n.names, jsonb_object_agg(i.key, i.value)
            from jsonb_each(coalesce(c.new, c.old)) as i
            where i.key = any (n.names)) as k (names, key)
        where c.owner_id = owner
    ), expected as (
        select s.owner_id, s.table_name, s.key, s.action,
            case when s.action in ('UPDATE', 'DELETE') then s.old end as old, case when s.action <> 'DELETE' then s.new end as new
        from seen as s
        where s.action <> 'UPDATE' or s.old <> '{}'
    ), found as (
        select c.owner_id, c.table_name, c.key, c.action, c.old, c.new
        from gov_changes as c
        where c.owner_id = owner
            and c.table_name <> 'gov_grants'
            and c.id > coalesce((select f.change_id from model.forgotten as f where f.owner_id = owner), 0)
    )
    select string_agg(d.line, E'\n')
    into wrong
    from (
        (select 'gov_changes lacks ' || e from (table expected except all table found) as e limit 1)
        union all
        (select 'gov_changes has ' || f from (table found except all table expected) as f limit 1)
    ) as d (line);
    if wrong is not null then
        return wrong;
    end if;

    select format('the limit of %s was %s at %s, and not %s', a.id, c.old -> 'usage_limit', c.at, gov_limit_at(a.id, c.at))
    into wrong
    from model.changed as c
    join gov_assignments as a on a.id = (c.new ->> 'id')::uuid
    where c.owner_id = owner
        and c.table_name = 'gov_assignments'
        and c.action = 'UPDATE'
        and c.n > (select max(i.n) from model.changed as i where i.table_name = 'gov_assignments' and i.action = 'INSERT' and (i.new ->> 'id')::uuid = a.id)
        and (gov_limit_at(a.id, c.at) is distinct from (c.old ->> 'usage_limit')::numeric
            or gov_limit_at(a.id, oracle.now()) is distinct from a.usage_limit)
    limit 1;
    return wrong;
end
$$;

-- What gov_denials has to count of an answer, if it is a denial: each budget that does not allow it, or that somebody is blocked.
create function model.denied(owner text, capability text, amount numeric, reason text, failing jsonb) returns jsonb
language sql
as $$
    select jsonb_build_object('denied', coalesce(jsonb_agg(jsonb_build_object('by', d.id, 'reason', reason, 'window', d.started, 'amount', round(amount, 9)::text, 'count', 1)), '[]'))
    from (
        select 'someone' as id, oracle.moment(date_trunc('day', oracle.now(), 'UTC')) as started
        where reason = 'Blocked'
        union all
        select a.id::text, n ->> 'usagePeriodStart'
        from (select distinct f from jsonb_array_elements(failing) as f where reason <> 'Blocked') as f (n)
        join gov_assignments as a
            on a.owner_id = owner
            and a.entity_id = n ->> 'entityId'
            and a.capability_id = capability
            and a.scope_entity_ids = array(select jsonb_array_elements_text(n -> 'scopeEntityIds'))
            and a.name = n ->> 'name'
    ) as d
$$;

-- The same of an answer with chains.
create function model.denied(owner text, capability text, amount numeric, answer jsonb) returns jsonb
language sql
as $$
    select model.denied(owner, capability, amount, answer ->> 'denied_reason', jsonb_path_query_array(answer -> 'chains', '$[*][*] ? (@.isGranted == false)'))
$$;

-- A call that is taken back at once: only that it was denied stays.
create function model.undone(call text) returns jsonb
language plpgsql
as $$
declare
    report jsonb;
begin
    begin
        execute 'select model.' || call into report;
        raise sqlstate 'XX999';
    exception
        when sqlstate 'XX999' then
            null;
    end;
    return jsonb_build_object('denied', jsonb_path_query_array(report, '$.denied[*]'));
end
$$;

-- What uses and holds were denied by budgets that there are, and by blocks: as gov_denials has it.
create function model.counted(owner text) returns table (by text, reason text, "window" text, amount numeric, count bigint)
language sql
as $$
    select coalesce(d.assignment_id::text, 'someone'), d.reason, oracle.moment(d.window_start), sum(d.amount), sum(d.denied_count)::bigint
    from gov_denials as d
    where d.owner_id = owner
        and not d.is_check
        and d.reason <> 'UnknownEntity' -- which is counted by keys that an answer does not name
        and (d.assignment_id is null or d.assignment_id in (select a.id from gov_assignments as a where a.owner_id = owner))
    group by 1, 2, 3
$$;

-- And as it was told.
create function model.told(owner text, denied jsonb) returns table (by text, reason text, "window" text, amount numeric, count bigint)
language sql
as $$
    select d.by, d.reason, d."window", sum(d.amount), sum(d.count)::bigint
    from jsonb_to_recordset(denied) as d (by text, reason text, "window" text, amount numeric, count bigint)
    where (d.by = 'someone' or d.by in (select a.id::text from gov_assignments as a where a.owner_id = owner))
        and d.reason <> 'UnknownEntity'
    group by 1, 2, 3
$$;

-- The first difference, or null.
create function model.denials(owner text, denied jsonb) returns text
language sql
as $$
    select format('%s, and by the answers %s', c, t)
    from model.counted(owner) as c
    full join model.told(owner, denied) as t on (t.by, t.reason) = (c.by, c.reason) and t."window" is not distinct from c."window"
    where (t.amount, t.count) is distinct from (c.amount, c.count)
    limit 1
$$;

-- A crash has lost some: what is left, but not more than there was.
create function model.denials_left(owner text, denied jsonb) returns jsonb
language plpgsql
as $$
declare
    wrong text;
begin
    select c::text
    into wrong
    from model.counted(owner) as c
    left join model.told(owner, denied) as t on (t.by, t.reason) = (c.by, c.reason) and t."window" is not distinct from c."window"
    where t.count is null or t.count < c.count;
    if wrong is not null then
        raise exception 'model: gov_denials after a crash: %', wrong;
    end if;
    return (select coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('amount', c.amount::text)), '[]') from model.counted(owner) as c);
end
$$;

-- A statement's outcome, errors included, without ending the transaction.
create function model.outcome(statement text) returns text
language plpgsql
as $$
begin
    execute statement;
    return 'ok';
exception
    when others then
        if sqlerrm like 'model: %' then
            raise;
        end if;
        return sqlstate || ' ' || sqlerrm;
end
$$;

-- A document that must be one of those expected.
create function model.same(what text, answer jsonb, variadic expected jsonb[]) returns void
language plpgsql
as $$
begin
    if answer is null or answer <> all (expected) then
        raise exception E'model: %: %\nexpected: %', what, answer, array_to_string(expected, E'\nor: ');
    end if;
end
$$;

-- The same for a decision, which has more columns than those that the oracle knows.
create function model.decided(what text, answer jsonb, expected jsonb[], more jsonb) returns void
language plpgsql
as $$
begin
    perform model.same(what, oracle.comparable(answer), variadic array(select e || more from unnest(expected) as e));
end
$$;

-- What a call was to create is there, exactly as it would have been, or, if nothing was to be, is not.
create function model.created(owner text, wanted jsonb, is_done boolean) returns void
language plpgsql
as $$
begin
    perform model.same('created', (
        select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'type', e.type_id, 'parent', e.parent_id, 'by_use', e.created_by_use) order by e.id), '[]')
        from gov_entities as e
        where e.owner_id = owner and e.id in (select w.item ->> 'id' from jsonb_array_elements(wanted) as w (item))), case when is_done then wanted else '[]' end);
end
$$;

create function model.would_be(owner text, dims jsonb) returns jsonb
language sql
as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', w.id, 'type', w.type_id, 'parent', w.parent_id, 'by_use', true) order by w.id), '[]')
    from oracle.would_be(owner, dims) as w
$$;

-- An event that was just recorded: what it was resolved and charged to. Answers what is to be remembered of it.
create function model.event(event_id bigint, owner text, capability text, asked numeric, dims jsonb, ids text[], key text, at timestamptz, since timestamptz, settles uuid default null, call bigint[] default null) returns jsonb
language plpgsql
set plan_cache_mode = force_generic_plan
as $$
declare
    event gov_events;
    charged text;
    expected text;
begin
    select * into strict event from gov_events where id = event_id;
    perform model.same('recorded',
        jsonb_build_object('owner', event.owner_id, 'capability', event.capability_id, 'amount', event.amount, 'entities', event.entity_ids,
            'dimensions', event.dimensions, 'key', event.idempotency_key, 'caller', event.caller, 'call', event.call_event_ids),
        jsonb_build_object('owner', owner, 'capability', capability, 'amount', round(asked, 9), 'entities', oracle.resolved(owner, dims, ids),
            'dimensions', coalesce(dims, '{}'), 'key', key, 'caller', current_setting('application_name'), 'call', call));
    if event.recorded_at not between since and oracle.now() then
        raise exception 'model: recorded at %, between % and %', event.recorded_at, since, oracle.now();
    end if;
    if event.occurred_at is distinct from least(at, event.recorded_at) then
        raise exception 'model: occurred at % and not at %', event.occurred_at, at;
    end if;
    select string_agg(format('%s [%s, %s)', c.counter_id, c.window_start, c.window_end), ', ' order by c.counter_id)
    into charged
    from unnest(event.counter_ids, event.window_starts, event.window_ends) as c (counter_id, window_start, window_end);
    select string_agg(format('%s [%s, %s)', c.counter_id, c.window_start, c.window_end), ', ' order by c.counter_id)
    into expected
    from oracle.charges(owner, capability, dims, ids, event.occurred_at) as c;
    if charged is distinct from expected then
        raise exception 'model: charged to % and not to %', charged, expected;
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'event', event_id,
        'print', md5(event::text),
        'flight', case
            when event.amount > 0 then (
                select coalesce(jsonb_agg(jsonb_build_object('assignment', a.id, 'counter', a.counter_id, 'at', event.occurred_at,
                    'is_late', c.window_end <= event.recorded_at, 'amount', event.amount::text, 'settles', settles)), '[]')
                from unnest(event.counter_ids, event.window_ends) as c (counter_id, window_end)
                join oracle.assignments() as a on a.counter_id = c.counter_id
            )
            else '[]'
        end));
end
$$;

-- The events of a call of several capabilities, by capability: in byte order of those they have ids, and the first has the key.
create function model.events(event_ids jsonb, owner text, amounts jsonb, dims jsonb, ids text[], key text, at timestamptz, since timestamptz, settles uuid default null) returns jsonb
language plpgsql
as $$
declare
    call bigint[] := array(select i.value::bigint from jsonb_each_text(event_ids) as i order by i.key collate "C");
begin
    perform model.same('events', (select jsonb_agg(k order by k) from jsonb_object_keys(event_ids) as k), (select jsonb_agg(k order by k) from jsonb_object_keys(amounts) as k));
    perform model.same('their order', to_jsonb(call), to_jsonb(array(select c from unnest(call) as c order by c)));
    return (
        select jsonb_agg(model.event(i.value::bigint, owner, i.key, (amounts ->> i.key)::numeric, dims, ids, case when i.value::bigint = call[1] then events.key end, at, since,
            settles, case when cardinality(call) > 1 then call end) order by i.key collate "C")
        from jsonb_each_text(event_ids) as i);
end
$$;

-- A use as an item of a batch, among others that are wrong.
create function model.items(owner text, capability text, amount numeric, dims jsonb, ids text[], key text, more jsonb default '{}') returns jsonb
language sql
as $$
    select jsonb_build_array(
        jsonb_build_object('ownerId', owner, 'capabilityId', 'nonsense', 'amount', amount),
        jsonb_build_object('ownerId', owner, 'capabilityId', capability, 'amount', amount, 'dimensions', dims, 'entityIds', to_jsonb(ids), 'idempotencyKey', key) || more,
        7)
$$;

-- One use that nobody has to allow, by itself or in a batch.
create function model.ingest(owner text, capability text, amount numeric, dims jsonb, ids text[], key text, ago interval, many boolean default false) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    at timestamptz := oracle.now() - ago;
    created jsonb := model.would_be(owner, dims);
    given record;
begin
    if many then
        select m.event_id, m.is_duplicate into given
        from gov_ingest_each(model.items(owner, capability, amount, dims, ids, key, jsonb_build_object('occurredAt', at))) as m
        where m.position = 2;
    else
        select * into given from gov_ingest(owner, capability, amount, dims, ids, key, at);
    end if;
    perform model.created(owner, created, true);
    if given.is_duplicate then
        raise exception 'model: a new use is the duplicate of %', given.event_id;
    end if;
    return model.event(given.event_id, owner, capability, amount, dims, ids, key, at, since);
end
$$;

-- A budget is counted again.
create function model.recount(owner text, budget gov_used_assignments, by text, ago interval) returns void
language plpgsql
as $$
declare
    since timestamptz := oracle.now() - ago;
    given record;
    drawn bigint;
    period record;
begin
    -- of what is under way the ledger says nothing
    if exists (select from gov_capabilities as c where c.id = budget.capability_id and c.kind = 'concurrency') then
        begin
            perform gov_recount(budget.id, since, by);
            raise exception 'what is under way was recounted';
        exception
            when object_not_in_prerequisite_state then
                return;
        end;
    end if;

    perform set_config('model.recounts', 'yes', true);
    select * into given from gov_recount(budget.id, since, by);
    perform set_config('model.recounts', 'no', true);
    insert into model.changed (owner_id, table_name, action, new, at)
    select owner, case budget.source when 'own' then 'gov_assignments' else 'gov_default_assignments' end, 'RECOUNT', jsonb_build_object('by', by, 'since', since) || (
            select jsonb_object_agg(i.key, i.value)
            from jsonb_each(to_jsonb(budget)) as i
            where i.key in ('id', 'entity_id', 'capability_id', 'scope_entity_ids', 'name'))
        || case budget.source when 'own' then '{}' else jsonb_build_object('id', budget.default_id, 'assignment_id', budget.id) end, oracle.now();
    select a.counter_id into drawn from gov_used_assignments as a where a.id = budget.id;
    insert into oracle.recounts
    values (
        drawn, owner, budget.capability_id,
        (select jsonb_agg((
            select jsonb_agg(e.id)
            from gov_entities as e
            where e.owner_id = owner and case by when 'recorded' then e.id = m.id else exists (select from oracle.chain(owner, e.id) as c where c.id = m.id) end))
         from unnest(budget.entity_id || budget.scope_entity_ids) as m (id)),
        coalesce(since, '-infinity'),
        coalesce((select max(e.id) from gov_events as e where e.owner_id = owner), 0),
        budget.cadence, budget.anchor_at, budget.timezone);
    select * into period from oracle.window_at(budget.cadence, budget.anchor_at, budget.timezone, oracle.now());
    perform model.same('recounted',
        jsonb_build_object('usage', trim_scale(given.usage), 'events', given.counted_events, 'start', given.window_start),
        (select jsonb_build_object('usage', trim_scale(coalesce(sum(r.amount) filter (where r.occurred_at >= period.window_start and r.occurred_at < period.window_end), 0)),
            'events', count(*), 'start', case when isfinite(period.window_start) then period.window_start end)
         from oracle.recounted(owner) as r
         where r.counter_id = drawn));
end
$$;

-- A batch.
create function model.ingest_many(owner text, items jsonb) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    given record;
    item jsonb;
    events jsonb := '[]';
begin
    for given in select * from gov_ingest_many(owner, items) loop
        item := items -> given.position - 1;
        if (given.error is null) <> (item ->> 'capabilityId' <> 'nonsense') then
            raise exception 'model: % is answered by %', item, given;
        end if;
        continue when given.error is not null;
        events := events || model.event(given.event_id, owner, item ->> 'capabilityId', (item -> 'amount')::numeric, item -> 'dimensions',
            array(select jsonb_array_elements_text(item -> 'entityIds')), null, null, since);
    end loop;
    return events;
end
$$;

-- The holds of an owner that are past their time, and that nobody has expired yet.
create function model.overdue(owner text) returns uuid[]
language plpgsql
as $$
begin
    return array(select r.id from gov_reservations as r where r.owner_id = owner and r.state = 'open' and r.expires_at <= oracle.now());
end
$$;

-- What is in flight because a call has expired some of them.
create function model.expired(overdue uuid[]) returns jsonb
language plpgsql
as $$
begin
    return (
        select jsonb_build_object('flight', coalesce(jsonb_agg(jsonb_build_object('hold', r.id)), '[]'))
        from gov_reservations as r
        where r.id = any (overdue) and r.state <> 'open'
    );
end
$$;

-- Check and record at once; "first" is the event of an earlier call with the key. A granted call answers the state after it, a
-- repeated one the present state.
create function model.consume(owner text, capability text, amount numeric, dims jsonb, ids text[], key text, in_flight jsonb, first bigint default null, many boolean default false) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    overdue uuid[] := model.overdue(owner);
    expected jsonb[] := oracle.answers(owner, capability, amount, dims, ids, in_flight);
    created jsonb := model.would_be(owner, dims);
    given record;
    chains jsonb;
begin
    if many then
        select m.is_granted, m.denied_reason, m.remaining, m.retry_at, m.event_id, m.is_duplicate into given
        from gov_consume_many(model.items(owner, capability, amount, dims, ids, key)) as m
        where m.position = 2;
    else
        select * into given from gov_consume(owner, capability, amount, dims, ids, key);
    end if;
    perform model.created(owner, created, given.is_granted and first is null);
    perform model.same('granted', to_jsonb(given.is_granted), variadic array(select e -> 'is_granted' from unnest(expected) as e where first is null) || array(select to_jsonb(true) where first is not null));
    if given.is_granted then
        expected := oracle.answers(owner, capability, 0, dims, ids, in_flight, true);
    end if;
    if many then                                                                        -- a batch has no chains
        chains := expected[1] ->> 'chains';
        expected := array(select e || '{"chains": null}' from unnest(expected) as e);
    end if;
    perform model.decided('gov_consume', to_jsonb(given), expected,
        jsonb_build_object('event_id', coalesce(first, case when given.is_granted then given.event_id end), 'is_duplicate', first is not null));
    if first is not null or not given.is_granted then
        return jsonb_build_array(model.expired(overdue), model.denied(owner, capability, amount, to_jsonb(given) || case when many then jsonb_build_object('chains', chains) else '{}' end));
    end if;
    return jsonb_build_array(model.event(given.event_id, owner, capability, amount, dims, ids, key, null, since), model.expired(overdue));
end
$$;

-- The same, where a denial is an error that names the budgets in its way.
create function model.require(owner text, capability text, amount numeric, dims jsonb, ids text[], key text, in_flight jsonb, first bigint default null) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    overdue uuid[] := model.overdue(owner);
    expected jsonb[] := oracle.answers(owner, capability, amount, dims, ids, in_flight);
    created jsonb := model.would_be(owner, dims);
    event_id bigint;
    message text;
    failing text;
begin
    begin
        event_id := gov_require(owner, capability, amount, dims, ids, key);
    exception
        when sqlstate 'GV001' then
            get stacked diagnostics message = message_text, failing = pg_exception_detail;
    end;
    perform model.created(owner, created, message is null and first is null);
    if first is not null then
        perform model.same('gov_require again', to_jsonb(event_id), to_jsonb(first));
        return '{}';
    end if;
    perform model.same('gov_require', jsonb_build_object('message', message, 'failing', (
            select jsonb_agg(n order by n)
            from jsonb_array_elements(case when failing like 'Failing budgets: %' then substr(failing, length('Failing budgets: ') + 1)::jsonb end) as n
        )), variadic array(
            select jsonb_build_object('message', format('use of "%s" denied: %s', capability, e ->> 'denied_reason'), 'failing', (
                select jsonb_agg(distinct n)
                from jsonb_path_query((e ->> 'chains')::jsonb, '$[*][*] ? (@.isGranted == false)') as n
                where e ->> 'denied_reason' not in ('Blocked', 'UnknownEntity')
            ))
            from unnest(expected) as e
            where not (e -> 'is_granted')::boolean
            union all
            select '{"message": null, "failing": null}'
            from unnest(expected) as e
            where (e -> 'is_granted')::boolean
        ));
    if message is not null then
        -- what was expired was expired in the subtransaction that failed
        return model.denied(owner, capability, amount, substring(message from 'denied: (.*)$'),
            case when failing like 'Failing budgets: %' then substr(failing, length('Failing budgets: ') + 1)::jsonb end);
    end if;
    return jsonb_build_array(model.event(event_id, owner, capability, amount, dims, ids, key, null, since), model.expired(overdue));
end
$$;

-- Give back of an event, or be refused: of what is left, to the counters that the event names and that there still are.
create function model.reverse(reversed bigint, asked numeric, key text) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    old gov_events;
    event gov_events;
    given record;
    remaining numeric;
    refusal text;
begin
    select * into strict old from gov_events where id = reversed;
    remaining := old.amount + (select coalesce(sum(r.amount), 0) from gov_events as r where r.reverses = reversed);
    begin
        select * into given from gov_reverse(reversed, asked, key);
    exception
        when invalid_parameter_value then
            refusal := sqlstate;
    end;
    perform model.same('gov_reverse', jsonb_build_object('refusal', refusal), jsonb_build_object('refusal',
        case when old.reverses is not null or remaining <= 0 or round(asked, 9) > remaining then '22023' end));
    if refusal is not null then
        return '{"refused": true}';
    end if;
    if given.is_duplicate then
        raise exception 'model: a new reversal is the duplicate of %', given.event_id;
    end if;
    select * into strict event from gov_events where id = given.event_id;
    perform model.same('reversed', to_jsonb(event) - '{id,request_hash,recorded_at,counter_ids,window_starts,window_ends,draws}'::text[],
        (to_jsonb(old) || '{"call_event_ids": null, "quantities": null, "prices": null}') - '{id,request_hash,recorded_at,counter_ids,window_starts,window_ends,draws}'::text[]
            || jsonb_build_object('amount', -coalesce(round(asked, 9), remaining), 'idempotency_key', key, 'caller', current_setting('application_name'), 'reverses', reversed));
    if event.recorded_at not between since and oracle.now() then
        raise exception 'model: recorded at %, between % and %', event.recorded_at, since, oracle.now();
    end if;
    perform model.same('given back to',
        (select coalesce(jsonb_agg(c order by c.counter_id), '[]') from unnest(event.counter_ids, event.window_starts, event.window_ends) as c (counter_id, window_start, window_end)),
        (select coalesce(jsonb_agg(c order by c.counter_id), '[]')
         from (
             select c.* from unnest(old.counter_ids, old.window_starts, old.window_ends) as c (counter_id, window_start, window_end)
             union all
             select r.counter_id, w.window_start, w.window_end
             from oracle.recounts as r
             cross join lateral oracle.window_at(r.cadence, r.anchor_at, r.timezone, old.occurred_at) as w
             where r.owner = old.owner_id and r.capability = old.capability_id and r.through_id >= old.id and r.since <= old.occurred_at
               and not exists (
                   select
                   from jsonb_array_elements(r.sets) as s (ids)
                   where not exists (select from jsonb_array_elements_text(s.ids) as i (id) where i.id = any (old.entity_ids))
               )) as c
         where c.counter_id in (select a.counter_id from oracle.assignments() as a where a.owner_id = old.owner_id)));
    return jsonb_build_object('event', given.event_id, 'print', md5(event::text), 'touches', reversed);
end
$$;

-- The same call again, which made an event.
create function model.reverse_again(reversed bigint, asked numeric, key text, first bigint) returns jsonb
language plpgsql
as $$
begin
    perform model.same('gov_reverse again', (select to_jsonb(r) from gov_reverse(reversed, asked, key) as r), jsonb_build_object('event_id', first, 'is_duplicate', true));
    return jsonb_build_object('touches', reversed);
end
$$;

-- A hold's row, but for its state, which time changes.
create function model.print(hold gov_reservations) returns text
language sql
as $$
    select md5((to_jsonb(hold) - '{state,updated_at}'::text[])::text)
$$;

-- What is to be remembered of a hold, with what is in flight because of it.
create function model.hold(hold gov_reservations, flight jsonb default null) returns jsonb
language sql
as $$
    select jsonb_build_object('hold', hold.id, 'state', hold.state, 'print', model.print(hold), 'event', hold.event_id,
        'flight', coalesce(flight, jsonb_build_array(jsonb_build_object('hold', hold.id))))
$$;

-- Hold an amount.
create function model.reserve(owner text, capability text, amount numeric, dims jsonb, ids text[], key text, ttl interval, in_flight jsonb) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    overdue uuid[] := model.overdue(owner);
    expected jsonb[] := oracle.answers(owner, capability, amount, dims, ids, in_flight);
    created jsonb := model.would_be(owner, dims);
    given record;
    hold gov_reservations;
begin
    select * into given from gov_reserve(owner, capability, amount, dims, ids, key, ttl);
    perform model.created(owner, created, given.is_granted);
    perform model.same('granted', to_jsonb(given.is_granted), variadic array(select e -> 'is_granted' from unnest(expected) as e));
    if not given.is_granted then
        perform model.decided('gov_reserve', to_jsonb(given), expected, '{"reservation_id": null, "expires_at": null, "is_duplicate": false, "state": null}');
        return jsonb_build_array(model.expired(overdue), model.denied(owner, capability, amount, to_jsonb(given)));
    end if;
    expected := oracle.answers(owner, capability, 0, dims, ids, in_flight, true);
    select * into hold from gov_reservations where id = given.reservation_id;
    perform model.decided('gov_reserve', to_jsonb(given), expected,
        jsonb_build_object('reservation_id', hold.id, 'expires_at', hold.expires_at, 'is_duplicate', false, 'state', 'open'));
    if hold.expires_at not between since + ttl and oracle.now() + ttl then
        raise exception 'model: % from % is not %', ttl, since, hold.expires_at;
    end if;
    perform model.same('the hold',
        to_jsonb(hold) - '{id,expires_at,created_at,updated_at,request_hash,assignment_ids}'::text[],
        jsonb_build_object('owner_id', owner, 'capability_id', capability, 'amount', round(amount, 9), 'entity_ids', coalesce(ids, '{}'), 'dimensions', coalesce(dims, '{}'),
            'idempotency_key', key, 'caller', current_setting('application_name'), 'state', 'open', 'settled_amount', null, 'event_id', null,
            'amounts', null, 'assignment_amounts', null, 'settled_amounts', null, 'event_ids', null, 'quantities', null));
    perform model.same('held against',
        (select coalesce(jsonb_agg(a.id order by a.id), '[]') from unnest(hold.assignment_ids) as a (id)),
        (select coalesce(jsonb_agg(b.id order by b.id), '[]') from oracle.budgets(owner, capability, dims, ids) as b));
    return jsonb_build_array(
        model.hold(hold, jsonb_build_array(jsonb_build_object('hold', hold.id, 'assignments', hold.assignment_ids, 'amount', hold.amount::text))),
        model.expired(overdue));
end
$$;

-- The same call again, of a hold in a state.
create function model.reserve_again(owner text, capability text, amount numeric, dims jsonb, ids text[], key text, ttl interval, in_flight jsonb, first uuid, state text) returns jsonb
language plpgsql
as $$
declare
    given record;
begin
    select * into given from gov_reserve(owner, capability, amount, dims, ids, key, ttl);
    perform model.decided('gov_reserve again', to_jsonb(given), oracle.answers(owner, capability, 0, dims, ids, in_flight, true), jsonb_build_object('reservation_id', first,
        'expires_at', (select r.expires_at from gov_reservations as r where r.id = first), 'is_duplicate', true, 'state', state));
    return '{}';
end
$$;

-- Several capabilities in one call.
create function model.zero(amounts jsonb) returns jsonb
language sql
return (select jsonb_object_agg(k, 0) from jsonb_object_keys(amounts) as k);

create function model.rounded(amounts jsonb) returns jsonb
language sql
return (select jsonb_object_agg(a.key, trim_scale(round(a.value::numeric, 9))) from jsonb_each_text(amounts) as a);

create function model.decided_all(what text, answer jsonb, amounts jsonb, expected jsonb[], more jsonb) returns void
language plpgsql
as $$
begin
    perform model.same(what, oracle.comparable_all(answer, amounts), variadic array(select e || more from unnest(expected) as e));
end
$$;

-- What gov_denials has to count of a denial: each budget under its capability, or under each that somebody is blocked.
create function model.denied_all(owner text, amounts jsonb, reason text, failing jsonb) returns jsonb
language sql
as $$
    select jsonb_build_object('denied', coalesce(jsonb_agg(d.item), '[]'))
    from jsonb_each_text(amounts) as a
    cross join jsonb_array_elements(model.denied(owner, a.key, a.value::numeric, reason,
        jsonb_path_query_array(failing, '$[*] ? (@.capabilityId == $c)', jsonb_build_object('c', a.key))) -> 'denied') as d (item)
$$;

create function model.denied_all(owner text, amounts jsonb, answer jsonb) returns jsonb
language sql
as $$
    select model.denied_all(owner, amounts, answer ->> 'denied_reason', jsonb_path_query_array(answer -> 'chains', '$[*][*] ? (@.isGranted == false)'))
$$;

-- The ids of the call that has recorded an event, by capability.
create function model.call_of(event_id bigint) returns jsonb
language sql
return (select jsonb_object_agg(e.capability_id, e.id) from gov_events as e
        where e.id = any (select unnest(coalesce(h.call_event_ids, array[h.id])) from gov_events as h where h.id = call_of.event_id));

-- Of what is given by quantities an event keeps these, and the prices that make its amount; another one keeps nothing.
create function model.kept(event_ids jsonb, given jsonb) returns void
language plpgsql
as $$
declare
    wrong text;
begin
    select e::text
    into wrong
    from jsonb_each_text(event_ids) as i
    join gov_events as e on e.id = i.value::bigint
    where e.quantities is distinct from case when jsonb_typeof(given -> i.key) = 'object' then given -> i.key end
        or (e.quantities is null) <> (e.prices is null)
        or e.amount <> round((select sum(q.value::numeric * (e.prices -> q.key ->> 'price')::numeric * 3 / (e.prices -> q.key ->> 'per')::numeric) from jsonb_each_text(e.quantities) as q) / 3, 9);
    if wrong is not null then
        raise exception 'model: % for %', wrong, given;
    end if;
end
$$;

-- What of amounts is given by quantities, as a hold keeps it.
create function model.quantities(given jsonb) returns jsonb
language sql
return (select jsonb_object_agg(g.key, g.value) from jsonb_each(given) as g where jsonb_typeof(g.value) = 'object');

create function model.ingest_all(owner text, given_amounts jsonb, dims jsonb, ids text[], key text, ago interval) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    at timestamptz := oracle.now() - ago;
    amounts jsonb := oracle.priced(given_amounts, coalesce(least(at, since), since));
    created jsonb := model.would_be(owner, dims);
    given record;
begin
    select * into given from gov_ingest_all(owner, given_amounts, dims, ids, key, at);
    perform model.created(owner, created, true);
    if given.is_duplicate then
        raise exception 'model: a new use is the duplicate of %', given.event_ids;
    end if;
    perform model.kept(given.event_ids, given_amounts);
    return model.events(given.event_ids, owner, amounts, dims, ids, key, at, since);
end
$$;

create function model.consume_all(owner text, given_amounts jsonb, dims jsonb, ids text[], key text, in_flight jsonb, first bigint default null) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    amounts jsonb := oracle.priced(given_amounts, since);
    overdue uuid[] := model.overdue(owner);
    expected jsonb[] := oracle.answers_all(owner, amounts, dims, ids, in_flight);
    created jsonb := model.would_be(owner, dims);
    given record;
begin
    select * into given from gov_consume_all(owner, given_amounts, dims, ids, key);
    perform model.created(owner, created, given.is_granted and first is null);
    perform model.same('granted', to_jsonb(given.is_granted), variadic array(select e -> 'is_granted' from unnest(expected) as e where first is null) || array(select to_jsonb(true) where first is not null));
    if given.is_granted then
        expected := oracle.answers_all(owner, model.zero(amounts), dims, ids, in_flight, true);
    end if;
    perform model.decided_all('gov_consume_all', to_jsonb(given), amounts, expected,
        jsonb_build_object('event_ids', case when first is not null then model.call_of(first) when given.is_granted then given.event_ids end, 'is_duplicate', first is not null));
    if first is not null or not given.is_granted then
        return jsonb_build_array(model.expired(overdue), model.denied_all(owner, amounts, to_jsonb(given)));
    end if;
    perform model.kept(given.event_ids, given_amounts);
    return model.events(given.event_ids, owner, amounts, dims, ids, key, null, since) || model.expired(overdue);
end
$$;

create function model.require_all(owner text, given_amounts jsonb, dims jsonb, ids text[], key text, in_flight jsonb, first bigint default null) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    amounts jsonb := oracle.priced(given_amounts, since);
    overdue uuid[] := model.overdue(owner);
    expected jsonb[] := oracle.answers_all(owner, amounts, dims, ids, in_flight);
    created jsonb := model.would_be(owner, dims);
    event_ids jsonb;
    message text;
    failing text;
begin
    begin
        event_ids := gov_require_all(owner, given_amounts, dims, ids, key);
    exception
        when sqlstate 'GV001' then
            get stacked diagnostics message = message_text, failing = pg_exception_detail;
    end;
    perform model.created(owner, created, message is null and first is null);
    if first is not null then
        perform model.same('gov_require_all again', event_ids, model.call_of(first));
        return '{}';
    end if;
    perform model.same('gov_require_all', jsonb_build_object('message', message), variadic array(
        select jsonb_build_object('message', case when not (e -> 'is_granted')::boolean then format('use of %s denied: %s',
            coalesce('"' || (e ->> 'denied_capability_id') || '"', (select string_agg('"' || k || '"', ', ' order by k collate "C") from jsonb_object_keys(amounts) as k)), e ->> 'denied_reason') end)
        from unnest(expected) as e));
    if message is not null then
        return model.denied_all(owner, amounts, substring(message from 'denied: (.*)$'),
            case when failing like 'Failing budgets: %' then substr(failing, length('Failing budgets: ') + 1)::jsonb end);
    end if;
    perform model.kept(event_ids, given_amounts);
    return model.events(event_ids, owner, amounts, dims, ids, key, null, since) || model.expired(overdue);
end
$$;

create function model.reserve_all(owner text, given_amounts jsonb, dims jsonb, ids text[], key text, ttl interval, in_flight jsonb) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    amounts jsonb := oracle.priced(given_amounts, since);
    overdue uuid[] := model.overdue(owner);
    expected jsonb[] := oracle.answers_all(owner, amounts, dims, ids, in_flight);
    created jsonb := model.would_be(owner, dims);
    first text := (select k from jsonb_object_keys(amounts) as k order by k collate "C" limit 1);
    is_of_several boolean := (select count(*) > 1 from jsonb_object_keys(amounts));
    given record;
    hold gov_reservations;
begin
    select * into given from gov_reserve_all(owner, given_amounts, dims, ids, key, ttl);
    perform model.created(owner, created, given.is_granted);
    perform model.same('granted', to_jsonb(given.is_granted), variadic array(select e -> 'is_granted' from unnest(expected) as e));
    if not given.is_granted then
        perform model.decided_all('gov_reserve_all', to_jsonb(given), amounts, expected, '{"reservation_id": null, "expires_at": null, "is_duplicate": false, "state": null, "amounts": null}');
        return jsonb_build_array(model.expired(overdue), model.denied_all(owner, amounts, to_jsonb(given)));
    end if;
    expected := oracle.answers_all(owner, model.zero(amounts), dims, ids, in_flight, true);
    select * into hold from gov_reservations where id = given.reservation_id;
    perform model.decided_all('gov_reserve_all', to_jsonb(given), amounts, expected,
        jsonb_build_object('reservation_id', hold.id, 'expires_at', hold.expires_at, 'is_duplicate', false, 'state', 'open', 'amounts', model.rounded(amounts)));
    if hold.expires_at not between since + ttl and oracle.now() + ttl then
        raise exception 'model: % from % is not %', ttl, since, hold.expires_at;
    end if;
    perform model.same('the hold',
        to_jsonb(hold) - '{id,expires_at,created_at,updated_at,request_hash,assignment_ids,assignment_amounts}'::text[],
        jsonb_build_object('owner_id', owner, 'capability_id', first, 'amount', round((amounts ->> first)::numeric, 9), 'entity_ids', coalesce(ids, '{}'), 'dimensions', coalesce(dims, '{}'),
            'idempotency_key', key, 'caller', current_setting('application_name'), 'state', 'open', 'settled_amount', null, 'event_id', null,
            'amounts', case when is_of_several then model.rounded(amounts) end, 'settled_amounts', null, 'event_ids', null, 'quantities', model.quantities(given_amounts)));
    perform model.same('held against',
        (select coalesce(jsonb_agg(jsonb_build_array(a.id, coalesce(a.amount, hold.amount)) order by a.id), '[]') from unnest(hold.assignment_ids, hold.assignment_amounts) as a (id, amount)),
        (select coalesce(jsonb_agg(jsonb_build_array(b.id, round(a.value::numeric, 9)) order by b.id), '[]') from jsonb_each_text(amounts) as a, oracle.budgets(owner, a.key, dims, ids) as b));
    return jsonb_build_array(
        model.hold(hold, (select coalesce(jsonb_agg(jsonb_build_object('hold', hold.id, 'assignments', array[a.id], 'amount', coalesce(a.amount, hold.amount)::text)), jsonb_build_array(jsonb_build_object('hold', hold.id)))
                          from unnest(hold.assignment_ids, hold.assignment_amounts) as a (id, amount))),
        model.expired(overdue));
end
$$;

create function model.reserve_all_again(owner text, amounts jsonb, dims jsonb, ids text[], key text, ttl interval, in_flight jsonb, first uuid, state text) returns jsonb
language plpgsql
as $$
declare
    given record;
begin
    select * into given from gov_reserve_all(owner, amounts, dims, ids, key, ttl);
    perform model.decided_all('gov_reserve_all again', to_jsonb(given), amounts, oracle.answers_all(owner, model.zero(amounts), dims, ids, in_flight, true), jsonb_build_object('reservation_id', first,
        'expires_at', (select r.expires_at from gov_reservations as r where r.id = first), 'is_duplicate', true, 'state', state, 'amounts', (select coalesce(r.amounts, jsonb_build_object(r.capability_id, r.amount)) from gov_reservations as r where r.id = first)));
    return '{}';
end
$$;

-- Settle a hold, of one capability or several.
create function model.settle_all(id uuid, amounts jsonb, state text) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    held gov_reservations;
    hold gov_reservations;
    given record;
    all_held jsonb;
    given_amounts jsonb;
    used jsonb;
    events jsonb;
begin
    select * into strict held from gov_reservations as r where r.id = settle_all.id;
    all_held := coalesce(held.amounts, jsonb_build_object(held.capability_id, held.amount)) || coalesce(held.quantities, '{}');
    given_amounts := coalesce(model.zero(all_held) || amounts, all_held);
    used := model.rounded(oracle.priced(given_amounts, since));
    select * into given from gov_settle_all(id, amounts);
    select * into strict hold from gov_reservations as r where r.id = settle_all.id;
    if state = 'settled' then
        perform model.same('gov_settle_all again', to_jsonb(given), jsonb_build_object('event_ids', coalesce(held.event_ids, jsonb_build_object(held.capability_id, held.event_id)), 'is_duplicate', true));
        perform model.same('settled again', to_jsonb(hold), to_jsonb(held));
        return model.hold(hold);
    end if;
    perform model.same('gov_settle_all', to_jsonb(given), jsonb_build_object('event_ids', given.event_ids, 'is_duplicate', false));
    perform model.kept(given.event_ids, given_amounts);
    events := model.events(given.event_ids, held.owner_id, used, held.dimensions, held.entity_ids, null, null, since, case held.state when 'open' then id end);
    perform model.same('settled', to_jsonb(hold) - 'updated_at',
        to_jsonb(held) - 'updated_at' || jsonb_build_object('state', 'settled', 'settled_amount', used -> held.capability_id, 'event_id', given.event_ids -> held.capability_id,
            'settled_amounts', used, 'event_ids', given.event_ids));
    return jsonb_build_array(model.hold(hold)) || events;
end
$$;

-- Settle a hold, which is in the state given.
create function model.settle(id uuid, amount numeric, state text, many boolean default false) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    held gov_reservations;
    hold gov_reservations;
    given record;
    used numeric;
    event jsonb;
begin
    select * into strict held from gov_reservations as r where r.id = settle.id;
    used := round(coalesce(amount, held.amount), 9);
    if many then
        select m.event_id, m.is_duplicate into given
        from gov_settle_many(jsonb_build_array(7, jsonb_build_object('reservationId', id, 'amount', amount), jsonb_build_object('reservationId', gen_random_uuid()))) as m
        where m.position = 2;
    else
        select * into given from gov_settle(id, amount);
    end if;
    select * into strict hold from gov_reservations as r where r.id = settle.id;
    if state = 'settled' then
        perform model.same('gov_settle again', to_jsonb(given), jsonb_build_object('event_id', held.event_id, 'is_duplicate', true));
        perform model.same('settled again', to_jsonb(hold), to_jsonb(held));
        return model.hold(hold);
    end if;
    -- of what is under way nothing is used up
    if exists (select from gov_capabilities as c where c.id = held.capability_id and c.kind = 'concurrency') then
        perform model.same('gov_settle', to_jsonb(given), '{"event_id": null, "is_duplicate": false}');
        perform model.same('settled', to_jsonb(hold) - 'updated_at', to_jsonb(held) - 'updated_at' || '{"state": "settled", "settled_amount": 0, "event_id": null}');
        return model.hold(hold);
    end if;
    perform model.same('gov_settle', to_jsonb(given), jsonb_build_object('event_id', given.event_id, 'is_duplicate', false));
    event := model.event(given.event_id, held.owner_id, held.capability_id, used, held.dimensions, held.entity_ids, null, null, since,
        case held.state when 'open' then id end);
    perform model.same('settled', to_jsonb(hold) - 'updated_at',
        to_jsonb(held) - 'updated_at' || jsonb_build_object('state', 'settled', 'settled_amount', used, 'event_id', given.event_id));
    return jsonb_build_array(model.hold(hold), event);
end
$$;

-- Release a hold; whether it was open is known.
create function model.release(id uuid, state text) returns jsonb
language plpgsql
as $$
declare
    held gov_reservations;
    hold gov_reservations;
begin
    select * into strict held from gov_reservations as r where r.id = release.id;
    perform model.same('gov_release', to_jsonb(gov_release(id)), to_jsonb(state = 'open'));
    select * into strict hold from gov_reservations as r where r.id = release.id;
    perform model.same('released', to_jsonb(hold) - 'updated_at',
        to_jsonb(held) - 'updated_at' || jsonb_build_object('state', case state when 'open' then 'released' else state end));
    return model.hold(hold);
end
$$;

-- Extend a hold that is open; refused while something that it involves is blocked.
create function model.extend(id uuid, ttl interval) returns jsonb
language plpgsql
as $$
declare
    since timestamptz := oracle.now();
    held gov_reservations;
    hold gov_reservations;
    until timestamptz;
    refusal text;
begin
    select * into strict held from gov_reservations as r where r.id = extend.id;
    begin
        until := gov_extend(id, ttl);
    exception
        when sqlstate 'GV001' then
            get stacked diagnostics refusal = message_text;
    end;
    perform model.same('gov_extend', jsonb_build_object('refusal', refusal),
        jsonb_build_object('refusal', case when oracle.blocked_until(held.owner_id, held.dimensions, held.entity_ids, oracle.now()) is not null then format('extension of hold "%s" denied: Blocked', id) end));
    if refusal is not null then
        return '{"refused": true}' || model.denied(held.owner_id, held.capability_id, 0, 'Blocked', null);
    end if;
    select * into strict hold from gov_reservations as r where r.id = extend.id;
    if until not between since + ttl and oracle.now() + ttl then
        raise exception 'model: % from % is not %', ttl, since, until;
    end if;
    perform model.same('extended', to_jsonb(hold) - 'updated_at', to_jsonb(held) - 'updated_at' || jsonb_build_object('expires_at', until));
    return model.hold(hold, jsonb_build_array(jsonb_build_object('hold', id, 'until', until)));
end
$$;

-- What an owner's ledger and holds are, a line each; past its time an open hold is an expired one.
create function model.rows(owner text) returns table (line text)
language sql
as $$
    select format('%s %s', e.id, md5(e::text))
    from gov_events as e
    where e.owner_id = owner
    union all
    select format('%s %s %s', r.id, case when r.state = 'open' and r.expires_at <= oracle.now() then 'expired' else r.state end, model.print(r))
    from gov_reservations as r
    where r.owner_id = owner
$$;

-- What of an owner's ledger and holds, and of the counts of budgets by defaults, must stay when somebody is forgotten.
create function model.digest(owner text) returns text
language sql
as $$
    select md5(string_agg(s.line, ' ' order by s.line))
    from (
        select (to_jsonb(e) - '{entity_ids,dimensions,request_hash}'::text[])::text as line from gov_events as e where e.owner_id = owner
        union all
        select (to_jsonb(r) - '{entity_ids,dimensions,request_hash,state,updated_at}'::text[])::text from gov_reservations as r where r.owner_id = owner
        union all
        select distinct concat_ws(' ', n.default_id, n.seed, n.salt, n.assignment_id, n.counter_id, n.retired)
        from gov_default_counts as n
        join gov_default_assignments as d on d.id = n.default_id and d.seed = n.seed
        where n.owner_id = owner
    ) as s
$$;

-- All that an owner has, but for the numbers that a move to another server changes: a line for each row, with its table. What the worker
-- may change meanwhile is not in it, such as who was denied by checks.
create function model.belongings(owner text, is_quiet boolean) returns setof text
language sql
as $$
    select concat('event ', (to_jsonb(e) - '{id,reverses,call_event_ids,counter_ids,draws}'::text[])) from gov_events as e where e.owner_id = owner
    union all
    select concat_ws(' ', 'reversal', o.amount, o.recorded_at, e.amount, e.recorded_at) from gov_events as e join gov_events as o on o.id = e.reverses where e.owner_id = owner
    union all
    select concat_ws(' ', 'call', e.recorded_at, e.capability_id, (select string_agg(o.capability_id || o.amount, ' ' order by o.id) from gov_events as o where o.id = any (e.call_event_ids)))
    from gov_events as e where e.owner_id = owner and e.call_event_ids is not null
    union all
    select concat_ws(' ', 'draw', d.grant_id, sum(d.amount)) from gov_event_draws as d join gov_grants as g on g.id = d.grant_id where g.owner_id = owner group by d.grant_id
    union all
    select 'charged ' || concat_ws(' ', e.recorded_at, a.id, count(*)) from gov_events as e join gov_assignments as a on a.counter_id = any (e.counter_ids) where e.owner_id = owner group by e.recorded_at, a.id
    union all
    select concat('hold ', (to_jsonb(r) - '{event_id,event_ids,state,updated_at}'::text[]), coalesce((select o.amount || ' ' || o.recorded_at from gov_events as o where o.id = r.event_id), ''))
    from gov_reservations as r where r.owner_id = owner
    union all
    select concat('usage ', (to_jsonb(u) - '{counter_id}'::text[])) from gov_usage as u where u.owner_id = owner and is_quiet
    union all
    select concat('hour ', to_jsonb(u)) from gov_usage_by_time as u where u.owner_id = owner
    union all
    select 'grant usage ' || concat_ws(' ', g.id, u.amount, u.last_at, u.pruned_amount) from gov_grant_usage as u left join gov_grants as g on g.counter_id = u.counter_id where u.owner_id = owner
    union all
    select concat('count ', to_jsonb(n)) from gov_default_counts as n where n.owner_id = owner and is_quiet
    union all
    select concat('recount ', (to_jsonb(r) - '{counter_id,through_id}'::text[])) from gov_recounts as r where r.owner_id = owner
    union all
    select concat('alert ', (to_jsonb(a) - '{id,event_id}'::text[])) from gov_alerts as a where a.owner_id = owner
    union all
    select concat('change ', (to_jsonb(c) - 'id')) from gov_changes as c where c.owner_id = owner and c.action not in ('FREEZE', 'THAW')
    union all
    select concat('limit ', to_jsonb(l)) from gov_limit_history as l where l.owner_id = owner
    union all
    select concat('denial ', to_jsonb(d)) from gov_denials as d where d.owner_id = owner and not d.is_check
    union all
    select concat('entity ', to_jsonb(e)) from gov_entities as e where e.owner_id = owner
    union all
    select concat('assignment ', (to_jsonb(a) - '{counter_id,debt_counter_id}'::text[])) from gov_assignments as a where a.owner_id = owner
    union all
    select concat('default ', to_jsonb(d)) from gov_default_assignments as d where d.owner_id = owner
    union all
    select concat('boost ', to_jsonb(b)) from gov_boosts as b where b.owner_id = owner
    union all
    select concat('grant ', (to_jsonb(g) - '{counter_id,closed_at}'::text[])) from gov_grants as g where g.owner_id = owner
    union all
    select concat('request ', to_jsonb(r)) from gov_increase_requests as r where r.owner_id = owner
    union all
    select concat('price ', to_jsonb(p)) from gov_prices as p where p.owner_id = owner
    union all
    select concat('policy ', to_jsonb(p)) from gov_alert_policies as p where p.owner_id = owner
$$;

create table model.chunks (n bigint generated always as identity, chunk jsonb not null);
create table model.belonged (line text not null);

-- Null, or what an owner had and has no more, and has and did not have.
create function model.moved(owner text, is_quiet boolean) returns text
language sql
as $$
    select string_agg(d.what, E'\n' order by d.what)
    from (
        (select 'gone: ' || x.line as what from (select b.line from model.belonged as b except all select model.belongings(owner, is_quiet)) as x limit 5)
        union all
        (select 'new: ' || x.line from (select model.belongings(owner, is_quiet) as line except all select b.line from model.belonged as b) as x limit 5)
    ) as d
$$;

-- The fingerprints of all those rows; and the keys whose calls nobody knows any more.
create function model.prints(owner text) returns jsonb
language sql
as $$
    select jsonb_build_object(
        'event', (select coalesce(jsonb_object_agg(e.id, md5(e::text)), '{}') from gov_events as e where e.owner_id = owner),
        'hold', (select coalesce(jsonb_object_agg(r.id, model.print(r)), '{}') from gov_reservations as r where r.owner_id = owner),
        'unknown', (
            select coalesce(jsonb_agg(k.idempotency_key), '[]')
            from (
                select e.owner_id, e.idempotency_key, e.request_hash from gov_events as e
                union all
                select r.owner_id, r.idempotency_key, r.request_hash from gov_reservations as r
            ) as k
            where k.owner_id = owner and k.idempotency_key is not null and k.request_hash is null))
$$;

-- Nothing names an entity any more: neither as one, nor under its keys. Null, or the first that does.
create function model.named(owner text, entity text) returns text
language sql
as $$
    select coalesce(
        (select e::text from gov_events as e where e.owner_id = owner and entity = any (e.entity_ids) limit 1),
        (select u::text from gov_usage_by_time as u where u.owner_id = owner and u.entity_id = entity limit 1),
        (select r::text from gov_reservations as r where r.owner_id = owner and entity = any (r.entity_ids) limit 1),
        (select a::text from gov_assignments as a where a.owner_id = owner and (a.entity_id = entity or entity = any (a.scope_entity_ids)) limit 1),
        (select d::text from gov_default_counts as d where d.owner_id = owner and (d.entity_id = entity or entity = any (d.scope_entity_ids)) limit 1),
        (select n::text from gov_entities as n where n.owner_id = owner and entity in (n.id, n.parent_id) limit 1),
        (select f::text from gov_forgotten as f where f.owner_id = owner limit 1))
$$;

-- What gov_holds shows of an owner. Null, or what is wrong.
create function model.shown(owner text) returns text
language plpgsql
as $$
declare
    before timestamptz := oracle.now();
    shown jsonb;
    expected jsonb;
begin
    select jsonb_object_agg(h.id, to_jsonb(h) - '{age,time_left}'::text[]
        || jsonb_build_object('times are right', h.created_at + h.age between before and oracle.now() and h.expires_at - h.time_left between before and oracle.now()))
    into shown
    from gov_holds as h
    where h.owner_id = owner;
    select jsonb_object_agg(r.id, to_jsonb(r) - '{request_hash,state,settled_amount,event_id,updated_at,assignment_amounts,settled_amounts,event_ids}'::text[]
        || jsonb_build_object('times are right', true, 'amounts', coalesce(r.amounts, jsonb_build_object(r.capability_id, r.amount)), 'budgets', (
            select coalesce(jsonb_agg(jsonb_build_object('assignmentId', a.id, 'entityId', a.entity_id, 'scopeEntityIds', a.scope_entity_ids, 'name', a.name)
                                      order by array_position(r.assignment_ids, a.id)), '[]')
            from oracle.assignments() as a
            where a.id = any (r.assignment_ids)
        )))
    into expected
    from gov_reservations as r
    where r.owner_id = owner and r.state = 'open' and r.expires_at > before;
    if shown is distinct from expected then
        return format('gov_holds: %s, and not %s', shown, expected);
    end if;
    return null;
end
$$;

-- When all is rolled up: the sums kept are those of the ledger. Null, or the first difference.
create function model.sums(owner text) returns text
language sql
as $$
    with used as (
        -- The clock of a history runs for days: short windows are merged meanwhile.
        select c.counter_id, coalesce(m.window_start, c.window_start) as window_start, max(c.window_end) as window_end, sum(c.amount) as amount, count(*) as event_count
        from (
            select c.counter_id, c.window_start, c.window_end, e.amount
            from gov_events as e
            cross join unnest(e.counter_ids, e.window_starts, e.window_ends) as c (counter_id, window_start, window_end)
            where e.owner_id = owner
            union all
            select r.counter_id, w.window_start, w.window_end, r.amount
            from oracle.recounted(owner) as r
            cross join oracle.window_at(r.cadence, r.anchor_at, r.timezone, r.occurred_at) as w
        ) as c
        left join gov_usage as m on m.counter_id = c.counter_id and m.merged_windows > 1 and c.window_start >= m.window_start and c.window_start < m.window_end
        where c.counter_id in (select a.counter_id from oracle.assignments() as a where a.owner_id = owner)
        group by c.counter_id, coalesce(m.window_start, c.window_start)
    ), hourly as (
        select e.capability_id, x.entity_id, date_trunc('hour', e.occurred_at, 'UTC') as hour, sum(e.amount) as amount, count(*) as event_count
        from gov_events as e, unnest(case when e.entity_ids = '{}' then '{""}' else e.entity_ids end) as x (entity_id)
        where e.owner_id = owner
        group by e.capability_id, x.entity_id, date_trunc('hour', e.occurred_at, 'UTC')
    )
    select coalesce(
        (select format('gov_usage: %s, and by the ledger %s', u, s)
         from (select g.* from gov_usage as g join oracle.assignments() as a on a.counter_id = g.counter_id where g.owner_id = owner) as u
         full join used as s on s.counter_id = u.counter_id and s.window_start = u.window_start
         where (s.window_end, s.amount, s.event_count) is distinct from (u.window_end, u.amount, u.event_count)
         limit 1),
        (select format('gov_usage_hourly: %s, and by the ledger %s', u, s)
         from (select * from gov_usage_hourly where owner_id = owner) as u
         full join hourly as s on (s.capability_id, s.entity_id, s.hour) = (u.capability_id, u.entity_id, u.hour)
         where (s.amount, s.event_count) is distinct from (u.amount, u.event_count)
         limit 1))
$$;

-- The ids of the alerts looked at so far.
create table model.looked_at (alert_id bigint);

-- The budgets that alerts may be about: those that there are, and those that everybody's defaults have given, in whose place an owner's
-- default has come while a use of them was in flight.
create function model.alerting(owner text) returns table (id uuid, counter_id bigint, is_pool boolean)
language sql
as $$
    select a.id, a.counter_id, a.is_pool
    from oracle.assignments() as a
    where a.owner_id = owner
    union
    select n.assignment_id, n.counter_id, false
    from gov_default_counts as n
    join gov_default_assignments as d on d.id = n.default_id and d.seed = n.seed and d.owner_id is null
    join gov_default_assignments as o on o.owner_id = n.owner_id and (o.type_id, o.capability_id, o.scope_type_ids, o.name) = (d.type_id, d.capability_id, d.scope_type_ids, d.name)
    where n.owner_id = owner
$$;

-- A transaction with these events has just committed: every threshold that it has carried a budget to, in its present window, has been
-- alerted. Of the alerts that are new each is about a budget that there is, usage that reached it, and an event of that budget and window;
-- and when nothing else can have happened meanwhile, about what is used now. Null, or the first that is wrong.
create function model.alerts(owner text, events bigint[], is_quiet boolean) returns text
language plpgsql
as $$
declare
    wrong text;
begin
    select format('none at %s per cent: %s has used %s', t.threshold, a, u.amount)
    into wrong
    from (
        select c.counter_id, c.window_start
        from gov_events as e, unnest(e.counter_ids, e.window_starts, e.window_ends) as c (counter_id, window_start, window_end)
        where e.id = any (events) and oracle.now() >= c.window_start and oracle.now() < c.window_end
        group by c.counter_id, c.window_start
        having sum(e.amount) > 0
    ) as c
    join oracle.assignments() as a on a.counter_id = c.counter_id
    cross join lateral unnest(coalesce(a.alert_thresholds, (select p.thresholds from gov_alert_policies as p where p.owner_id = owner), (select p.thresholds from gov_alert_policies as p where p.owner_id is null))) as t (threshold)
    cross join lateral (
        select sum(e.amount) as amount
        from gov_events as e, unnest(e.counter_ids, e.window_starts) as x (counter_id, window_start)
        where e.owner_id = owner and x.counter_id = c.counter_id and x.window_start = c.window_start
    ) as u
    -- what was recounted has been alerted by nobody
    where not exists (select from oracle.recounts as r where r.counter_id = c.counter_id)
        and u.amount > 0
        and u.amount >= oracle.limit_at(a, oracle.now()) * t.threshold * 0.01
        and not exists (
            select
            from gov_alerts as l
            where l.assignment_id = a.id
                and l.threshold = t.threshold
                -- those of a pool are armed again by each grant
                and l.window_start = case when a.is_pool
                    then coalesce((select max(g.effective_at) from gov_grants as g where g.assignment_id = a.id and g.effective_at <= oracle.now()), '-infinity')
                    else c.window_start
                end)
    limit 1;
    if wrong is not null then
        return wrong;
    end if;

    select l::text
    into wrong
    from gov_alerts as l
    where l.owner_id = owner
        and l.id not in (select k.alert_id from model.looked_at as k)
        and (l.usage <= 0
            or l.usage < l.usage_limit * l.threshold * 0.01
            or not exists (
                select
                from model.alerting(owner) as a
                where a.id = l.assignment_id
                    and (l.event_id is null or exists (
                        select
                        from gov_events as e, unnest(e.counter_ids, e.window_starts) as x (counter_id, window_start)
                        where e.id = l.event_id and e.owner_id = owner and x.counter_id = a.counter_id and (x.window_start = l.window_start or a.is_pool)
                    ))
                    and (not is_quiet or l.usage = (
                        select sum(e.amount)
                        from gov_events as e, unnest(e.counter_ids, e.window_starts) as x (counter_id, window_start)
                        where e.owner_id = owner and x.counter_id = a.counter_id and (x.window_start = l.window_start or a.is_pool)
                    ) + (
                        select coalesce(sum(r.amount), 0)
                        from oracle.recounted(owner) as r, oracle.window_at(r.cadence, r.anchor_at, r.timezone, r.occurred_at) as w
                        where r.counter_id = a.counter_id and w.window_start = l.window_start and not a.is_pool
                    ))))
    limit 1;
    insert into model.looked_at
    select l.id from gov_alerts as l where l.owner_id = owner and l.id not in (select k.alert_id from model.looked_at as k);
    return 'this is not right: ' || wrong;
end
$$;
