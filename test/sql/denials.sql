-- What was denied is in gov_denials: counted by what denies, whatever becomes of the transaction.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
-- Until so many denials of the owner are written.
create procedure helper.await_denials(owner text, wanted bigint)
language plpgsql
as $$
begin
    for round in 1..4000 loop
        perform gov_maintain();
        commit;
        exit when (select coalesce(sum(denied_count), 0) from gov_denials where owner_id = owner) >= wanted;
        perform pg_sleep(0.005);
    end loop;
end
$$;
create view helper.denials as
select
    d.owner_id,
    d.entity_id,
    a.entity_id as budget_of,
    d.capability_id as capability,
    d.reason,
    d.dimension_key as dimension,
    case when d.is_check then 'checks' else 'uses' end as kind,
    d.denied_count as denied,
    trim_scale(d.amount) as amount,
    d.last_entity_id as last_entity,
    d.last_caller,
    case
        when d.window_start is null and d.window_end is null then 'never'
        when d.window_end - d.window_start = interval '1 day' then 'day'
        else 'window'
    end as span,
    d.first_at <= d.last_at and d.first_at >= coalesce(d.window_start, d.first_at) and d.last_at < coalesce(d.window_end, 'infinity') as in_it
from gov_denials d
left join gov_assignments a on a.id = d.assignment_id;
\set ECHO all
call helper.organisation('denied');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('denied', 'acme', 'tokens', '', 100, 'P100Y'),
       ('denied', 'ann', 'tokens', '', 10, null);
set governance.caller = 'first';

-- Each kind of call, under the budget that does not allow it, by the reason that the caller got.
select gov_allowed('denied', 'tokens', 11, null, '{bot}'), gov_allowed('denied', 'tokens', 10, null, '{bot}');
select is_granted from gov_check('denied', 'tokens', 12, '{"agentId": "bot"}');
select is_granted from gov_consume('denied', 'tokens', 13, null, '{bot}');
select is_granted from gov_reserve('denied', 'tokens', 14.5, null, '{ann}');
select helper.outcome($$select gov_require('denied', 'tokens', 15, null, '{bot}')$$);
call helper.await_denials('denied', 5);
select * from helper.denials where owner_id = 'denied' order by kind;

-- A denial that a rollback follows counts all the same, in a savepoint and in a read-only transaction too.
set governance.caller = 'second';
begin;
savepoint s;
select is_granted from gov_consume('denied', 'tokens', 11, null, '{ann}');
rollback to s;
rollback;
begin read only;
select gov_allowed('denied', 'tokens', 11, null, '{ann}');
rollback;
call helper.await_denials('denied', 7);
select budget_of, kind, denied, amount, last_entity, last_caller from helper.denials where owner_id = 'denied' order by kind;

-- A call that several budgets deny counts under each of them; a soft one denies nothing.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, enforcement)
values ('denied', 'gpt', 'tokens', '', 5, 'P1D', 'hard'),
       ('denied', 'eng', 'tokens', '', 1, 'P1D', 'soft');
select is_granted, denied_reason from gov_consume('denied', 'tokens', 101, '{"model": "gpt", "userId": "ann"}');
select is_duplicate from gov_ingest('denied', 'tokens', 100, null, '{ben}');
select is_granted, denied_reason from gov_consume('denied', 'tokens', 1, '{"userId": "cyd"}');
call helper.await_denials('denied', 11);
select budget_of, reason, kind, denied, amount, last_entity, span, in_it from helper.denials where owner_id = 'denied' order by budget_of, reason, kind;

-- What was denied within a transaction that has made the budget itself.
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('denied', 'opus', 'calls', 1, 'P1D');
select is_granted from gov_consume('denied', 'calls', 2, null, '{opus}');
rollback;
call helper.await_denials('denied', 12);
select entity_id, budget_of, capability, kind, denied, last_entity from helper.denials where owner_id = 'denied' and capability = 'calls';

-- Whoever is blocked: by entity and day, and nothing of its budgets.
select gov_block('denied', 'eng');
select gov_allowed('denied', 'tokens', 1000, null, '{bot}');
select is_granted from gov_consume('denied', 'tokens', 1, '{"userId": "ben"}');
select gov_unblock('denied', 'eng');
select reservation_id as hold from gov_reserve('denied', 'calls', 1, null, '{bot}') \gset
select gov_block('denied', 'bot');
select helper.outcome(format('select gov_extend(%L, %L)', :'hold', '1 hour'));
select gov_unblock('denied', 'bot'), gov_release(:'hold');
call helper.await_denials('denied', 15);
select entity_id, budget_of, capability, kind, denied, amount, last_entity, span, in_it from helper.denials where owner_id = 'denied' and reason = 'Blocked' order by entity_id, capability, kind;

-- What nothing governs: by dimension key, never by what the caller put there.
set governance.on_ungoverned = 'deny';
select count(*) filter (where gov_allowed('denied', 'calls', 1, jsonb_build_object('userId', 'random-' || n, 'requestId', n))) from generate_series(1, 50) as n;
select gov_allowed('denied', 'calls', 1, '{"model": "gpt", "userId": "ben"}'), gov_allowed('denied', 'calls', 1, '{"requestId": "x"}');
select is_granted from gov_consume('denied', 'calls', 3, null, '{nobody}');
reset governance.on_ungoverned;
call helper.await_denials('denied', 69);
select entity_id, dimension, kind, denied, amount, last_entity, span, in_it from helper.denials where owner_id = 'denied' and reason = 'Ungoverned' order by dimension, kind;

-- A budget that is deleted leaves what it has denied; its entity is there, as long as the row was written before.
delete from gov_assignments where owner_id = 'denied' and entity_id = 'gpt';
select entity_id, reason, denied from helper.denials where owner_id = 'denied' and entity_id = 'gpt';

-- Long names, and callers of every length.
insert into gov_entities (owner_id, id, type_id) values ('denied', left(repeat('ü', 255), 255), 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('denied', left(repeat('ü', 255), 255), 'tokens', 0, 'P1D');
create function helper.call_as(caller text, owner text, entity text) returns boolean
language sql
as $$
    select set_config('governance.caller', caller, false) is null or gov_allowed(owner, 'tokens', 1, null, array[entity])
$$;
select count(*) filter (where helper.call_as(left(repeat('é', n), 255), 'denied', left(repeat('ü', 255), 255))) from generate_series(0, 255) as n;
call helper.await_denials('denied', 325);
select denied, length(entity_id) as entity, length(last_entity) as last_entity, length(last_caller) as caller from helper.denials where owner_id = 'denied' and length(entity_id) = 255;

-- Nobody writes it but the engine, and an owner takes its rows along, written or not.
select gov_allowed('denied', 'tokens', 1000, null, '{bot}');
begin;
select gov_delete_owner('denied');
rollback;
call helper.await_denials('denied', 327);
select sum(denied) from helper.denials where owner_id = 'denied';
select gov_allowed('denied', 'tokens', 1000, null, '{bot}');
select gov_delete_owner('denied');
select count(*) from gov_maintain();
select count(*) from gov_denials where owner_id = 'denied';
