-- What specifications (test/specs) do in one step: a call each, which says in one notice what came of it.  test/check runs this
-- file in their database, behind the extension.  The owner is always "iso", and the capability "tokens".
--
-- Nothing here depends on the extension before it is run, so that a specification can drop that.
create schema spec;

-- The hold that a specification is about; one that has none leaves it empty.
create table spec.hold (id uuid, expires_at timestamptz);

create function spec.held() returns uuid
language sql as 'select id from spec.hold';

-- "granted on acme, 4 left": the first budget of the chain, which need not be the one that denies.
create function spec.told(is_granted boolean, denied_reason text, remaining numeric, chains jsonb, is_duplicate boolean, state text default null) returns text
language sql as $$
    select concat_ws(', ',
        case when is_granted then 'granted' else denied_reason end || coalesce(' on ' || (chains #>> '{0,0,entityId}'), ', ungoverned'),
        trim_scale(remaining) || ' left',
        case when is_duplicate then 'a duplicate' end,
        nullif(state, 'open'))
$$;

create procedure spec.check_for(amount numeric, entity text)
language plpgsql as $$
declare
    r record;
begin
    select * into r from gov_check('iso', 'tokens', amount, null, array[entity]);
    raise notice '%', spec.told(r.is_granted, r.denied_reason, r.remaining, r.chains, false);
end $$;

create procedure spec.consume(amount numeric, entity text, key text default null)
language plpgsql as $$
declare
    r record;
begin
    select * into r from gov_consume('iso', 'tokens', amount, null, array[entity], key);
    raise notice '%', spec.told(r.is_granted, r.denied_reason, r.remaining, r.chains, r.is_duplicate);
end $$;

create procedure spec.reserve(amount numeric, entity text, key text default null, ttl interval default '5 minutes')
language plpgsql as $$
declare
    r record;
begin
    select * into r from gov_reserve('iso', 'tokens', amount, null, array[entity], key, ttl);
    raise notice '%', spec.told(r.is_granted, r.denied_reason, r.remaining, r.chains, r.is_duplicate, r.state);
end $$;

create procedure spec.ingest(amount numeric, entity text, key text default null)
language plpgsql as $$
begin
    if (select is_duplicate from gov_ingest('iso', 'tokens', amount, null, array[entity], key)) then
        raise notice 'a duplicate';
    end if;
end $$;

-- Reserves, and remembers the hold for what follows.
create procedure spec.take_hold(amount numeric, entity text, ttl interval default '5 minutes')
language plpgsql as $$
begin
    insert into spec.hold
    select reservation_id, expires_at
    from gov_reserve('iso', 'tokens', amount, null, array[entity], null, ttl);
end $$;

-- Waits until the holds are past their time.
create procedure spec.pass()
language plpgsql as $$
begin
    while clock_timestamp() <= (select max(expires_at) from spec.hold) loop
        perform pg_sleep(0.01);
    end loop;
end $$;

-- A call that is to be granted within a second: the worker may have the hold in hand that is past its time.
create procedure spec.soon(call text, amount numeric, entity text)
language plpgsql as $$
declare
    r record;
begin
    for round in 1..100 loop
        execute format('select * from %I(%L, %L, %s, null, array[%L])', 'gov_' || call, 'iso', 'tokens', amount, entity) into r;
        exit when r.is_granted;
        perform pg_sleep(0.01);
    end loop;
    raise notice '%', spec.told(r.is_granted, r.denied_reason, r.remaining, r.chains, false);
end $$;

-- No hold of "iso" is open past its time.
create procedure spec.sweep()
language plpgsql as $$
begin
    for round in 1..1000 loop
        perform gov_maintain();
        commit;
        exit when not exists (select from gov_reservations where owner_id = 'iso' and state = 'open' and expires_at < clock_timestamp());
        perform pg_sleep(0.01);
    end loop;
end $$;

create procedure spec.settle(amount numeric default null)
language plpgsql as $$
begin
    raise notice '%', case when (select is_duplicate from gov_settle(spec.held(), amount)) then 'a duplicate' else 'settled' end;
end $$;

create procedure spec.release()
language plpgsql as $$
begin
    raise notice '%', case when gov_release(spec.held()) then 'released' else 'not open' end;
end $$;

create procedure spec.extend()
language plpgsql as $$
begin
    raise notice '%', case when gov_extend(spec.held(), '1 hour') > clock_timestamp() + interval '50 minutes' then 'extended' else 'not for an hour' end;
end $$;

-- Gives back of the first use that is in the ledger.
create procedure spec.reverse(amount numeric default null, key text default null)
language plpgsql as $$
declare
    r record;
    told text := 'a duplicate';
begin
    begin
        select * into r from gov_reverse((select min(id) from gov_events where owner_id = 'iso'), amount, key);
        if not r.is_duplicate then
            told := 'gave back ' || trim_scale(-e.amount) from gov_events e where e.id = r.event_id;
        end if;
    exception
        when invalid_parameter_value or undefined_object or unique_violation then
            told := sqlerrm;
    end;
    raise notice '%', regexp_replace(told, 'event [0-9]+', 'the event');
end $$;

-- What a statement raises, or that it does not; several answers may be allowed.
create procedure spec.attempt(statement text, variadic allowed text[] default '{}')
language plpgsql as $$
declare
    answer text := 'done';
begin
    begin
        execute statement;
    exception
        when others then answer := sqlstate;
    end;
    raise notice '%', case when answer = any (allowed) then array_to_string(allowed, ' or ') else answer end;
end $$;

-- The ledger, what is used and held of the limits of these entities' budgets, the holds, and how many rows gov_verify has.
create procedure spec.look(variadic entities text[])
language plpgsql as $$
declare
    told text;
begin
    select format('%s; %s; %s; %s wrong',
        (select format('%s events of %s', count(*), trim_scale(coalesce(sum(amount), 0))) from gov_events where owner_id = 'iso'),
        (select string_agg(format('%s %s+%s/%s per %s', entity_id, trim_scale(current_usage), trim_scale(reserved_usage), usage_limit, cadence), ', ' order by entity_id)
         from gov_headroom('iso', 'tokens', 0, null, entities)),
        (select coalesce(string_agg(concat_ws(' ', state, trim_scale(amount), 'for ' || trim_scale(settled_amount)), ', ' order by state, amount), 'no holds')
         from gov_reservations where owner_id = 'iso'),
        (select count(*) from gov_verify('iso')))
    into told;
    raise notice '%', told;
end $$;

-- Where an entity stands.
create procedure spec.look_at(entity text)
language plpgsql as $$
begin
    raise notice '%', (
        select format('%s %s%s', id, coalesce('below ' || parent_id, 'is a root'), case when archived_at is not null then ', archived' end)
        from gov_entities
        where owner_id = 'iso'
            and id = entity);
end $$;

-- A use by a guest of a crew, neither of whom need be there.
create procedure spec.use_by(amount numeric, who text, crew text default null)
language plpgsql as $$
declare
    r record;
begin
    select * into r from gov_consume('iso', 'tokens', amount, jsonb_build_object('guestId', who, 'crewId', crew));
    raise notice '%', spec.told(r.is_granted, r.denied_reason, r.remaining, r.chains, r.is_duplicate);
end $$;

-- What uses have created, and which entities the events name.
create procedure spec.look_at_created()
language plpgsql as $$
begin
    raise notice '%; %', (
        select coalesce(string_agg(concat_ws(' below ', id, parent_id), ', ' order by id), 'nothing')
        from gov_entities
        where owner_id = 'iso'
            and created_by_use), (
        select string_agg(concat_ws(' ', trim_scale(amount), array_to_string(entity_ids, '+')), ', ' order by amount, entity_ids)
        from gov_events
        where owner_id = 'iso');
end $$;

-- Everything of "iso" is gone.
create procedure spec.clear()
language plpgsql as $$
begin
    delete from spec.hold;
    perform gov_delete_owner('iso');
end $$;

-- What was drawn from each grant of "iso", and is left of it; what its pools owe; and how many rows gov_verify has.
create procedure spec.look_at_grants()
language plpgsql as $$
begin
    raise notice '%; owed %; % wrong',
        (select coalesce(string_agg(format('%s: %s drawn, %s left', g.category, b.drawn, b.remaining), ', ' order by g.category), 'no grants')
         from gov_grants g
         join gov_grant_balances b on b.grant_id = g.id and b.owner_id = g.owner_id
         where g.owner_id = 'iso'),
        (select coalesce(trim_scale(sum(d.amount)), 0) from gov_event_draws d where d.owner_id = 'iso' and d.grant_id is null and d.assignment_id is not null),
        (select count(*) from gov_verify('iso'));
end $$;
