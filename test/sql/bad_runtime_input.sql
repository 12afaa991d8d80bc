-- What malformed run-time calls get: a table of call and SQLSTATE. The messages say which argument, the hints what to write; nothing changes.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('bad');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('bad', 'bot', 'tokens', 100, 'P100Y'),
       ('bad', 'acme', 'tokens', null, null);
select is_duplicate from gov_ingest('bad', 'tokens', 5, null, '{bot}', 'used');
call helper.roll_up();

-- Everything that a call could have changed: the ledger, the counts, the catalog.
create function helper.state() returns text
language sql
as $$
    select md5(concat(
        (select string_agg(e::text, ' ' order by e.id) from gov_events as e),
        (select string_agg(u::text, ' ' order by u.counter_id, u.window_start) from gov_usage as u),
        (select string_agg(a::text, ' ' order by a.id) from gov_assignments as a),
        (select string_agg(n::text, ' ' order by n.owner_id, n.id) from gov_entities as n),
        (select count(*) from gov_reservations),
        helper.usage('bad', 'tokens', '{bot}')
    ))
$$;
create table helper.before as select helper.state() as state;

-- Runs each call in a subtransaction; says its SQLSTATE, message and hint, and when it had an effect.
create function helper.refused(calls text[]) returns table (call text, code text, message text, hint text)
language plpgsql
as $$
begin
    foreach call in array calls loop
        begin
            execute call;
            code := '00000';
            message := 'accepted';
            hint := '';
        exception
            when others then
                get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
        end;
        return next;
    end loop;
    if helper.state() <> (table helper.before) then
        raise exception 'something changed';
    end if;
end
$$;

-- Every run-time call refuses NULLs and unknown capabilities alike.
select r.code, r.call
from helper.refused((
    select array_agg(format('select * from %s(%s)', f.name, a.args) order by f.name, a.n)
    from (values ('gov_check'), ('gov_allowed'), ('gov_headroom'), ('gov_ingest')) as f (name),
         (values (1, $$null, 'tokens'$$),
                 (2, $$'bad', null$$),
                 (3, $$'bad', 'tokens', null$$),
                 (4, $$'bad', 'tokens', 1, null, '{bot,NULL}'$$),
                 (5, $$null, null, null$$),
                 (6, $$'bad', 'no-such'$$),
                 (7, $$'bad', 'TOKENS', 1, null, '{bot}'$$),
                 (8, $$'bad', 'tokens', 'NaN'$$),
                 (9, $$'bad', 'tokens', 'Infinity'$$),
                 (10, $$'bad', 'tokens', 1e18$$),
                 (11, $$'bad', 'tokens', 1, '[]'$$),
                 (12, $$'bad', 'tokens', 1, '"bot"'$$),
                 (13, $$'bad', 'tokens', 1, '7'$$),
                 (14, $$'bad', 'tokens', 1, 'null'$$),
                 (15, $$'bad', 'tokens', 1, '{"agentId": {"id": "bot"}}'$$),
                 (16, $$'bad', 'tokens', 1, '{"agentId": ["bot"]}'$$),
                 (17, $$'bad', 'tokens', 1, '{"requestId": []}'$$)) as a (n, args)
)) as r;

-- With their messages.
\x on
select r.*
from helper.refused(array[
    $$select gov_check(null, 'tokens')$$,
    $$select gov_check('bad', null)$$,
    $$select gov_check('bad', 'tokens', null)$$,
    $$select gov_check('bad', 'tokens', 1, null, '{bot,NULL}')$$,
    $$select gov_check('bad', 'tokens', -1)$$,
    $$select gov_check('bad', 'tokens', 'NaN')$$,
    $$select gov_check('bad', 'tokens', 1e18)$$,
    $$select gov_check('bad', 'no-such')$$,
    $$select gov_check('bad', 'tokens', 1, '[]')$$,
    $$select gov_check('bad', 'tokens', 1, '{"agentId": {"id": "bot"}}')$$,
    $$select gov_ingest('bad', 'tokens', 1, null, null, '')$$,
    $$select gov_ingest('bad', 'tokens', 1, null, null, repeat('k', 256))$$,
    $$select gov_ingest('bad', 'tokens', 1, null, null, E'line\nbreak')$$,
    $$select gov_ingest('bad', 'tokens', 6, null, '{bot}', 'used')$$,
    $$select gov_ingest('bad', 'tokens', 1, null, '{bot}', null, clock_timestamp() + interval '6 minutes')$$,
    $$select gov_ingest('bad', 'tokens', 1, null, '{bot}', null, 'infinity')$$,
    $$select gov_ingest('bad', 'tokens', 1, null, '{bot}', null, '-infinity')$$,
    $$select gov_ingest('', 'tokens', 1)$$,
    $$select gov_ingest(repeat('o', 256), 'tokens', 1)$$,
    $$select * from gov_ingest_many(null, '[]')$$,
    $$select * from gov_ingest_many('bad', null)$$,
    $$select * from gov_ingest_many('bad', '[]')$$,
    $$select * from gov_ingest_many('bad', '{}')$$,
    $$select * from gov_ingest_many('bad', '"x"')$$,
    $$select * from gov_ingest_many('bad', (select jsonb_agg(7) from generate_series(1, 10001)))$$,
    $$select * from gov_ingest_many('', '[7]')$$,
    $$select * from gov_ingest_each(null)$$,
    $$select * from gov_ingest_each('[]')$$,
    $$select * from gov_consume_many(null)$$,
    $$select * from gov_consume_many('[]')$$,
    $$select * from gov_consume_many('7')$$,
    $$select * from gov_consume_many((select jsonb_agg(7) from generate_series(1, 10001)))$$,
    $$select * from gov_settle_many(null)$$,
    $$select * from gov_settle_many('{}')$$,
    $$select * from gov_settle_many((select jsonb_agg(7) from generate_series(1, 10001)))$$,
    $$select gov_window('P1X')$$,
    $$select gov_window('P0D')$$,
    $$select gov_window('P1M2D')$$,
    $$select gov_window('P10000D')$$,
    $$select gov_window('P01D')$$,
    $$select gov_window('')$$,
    $$select gov_window('p1m')$$,
    $$select gov_window('P1M', null, 'Mars/Phobos')$$,
    $$select gov_window('P1M', null, '')$$,
    $$select gov_window('P1M', 'infinity')$$,
    $$select gov_window('P1M', null, 'UTC', 'infinity')$$,
    $$select gov_window('P1M', null, 'UTC', '-infinity')$$
]) as r;
\x off

-- Errors in items of a batch are answers, and say which argument of which item.
select m.position, m.error
from gov_ingest_many('bad', '[
    {"capabilityId": null},
    {},
    {"capabilityId": "no-such"},
    {"capabilityId": "tokens", "amount": null},
    {"capabilityId": "tokens", "amount": "seven"},
    {"capabilityId": "tokens", "amount": true},
    {"capabilityId": "tokens", "amount": 1e18},
    {"capabilityId": "tokens", "entityIds": ["bot", null]},
    {"capabilityId": "tokens", "entityIds": "bot"},
    {"capabilityId": "tokens", "entityIds": [7]},
    {"capabilityId": "tokens", "dimensions": []},
    {"capabilityId": "tokens", "dimensions": {"a": []}},
    {"capabilityId": "tokens", "idempotencyKey": ""},
    {"capabilityId": "tokens", "idempotencyKey": 7},
    {"capabilityId": "tokens", "amount": 6, "entityIds": ["bot"], "idempotencyKey": "used"},
    {"capabilityId": "tokens", "occurredAt": "infinity"},
    {"capabilityId": "tokens", "occurredAt": "soon"},
    {"capabilityId": "tokens", "ownerId": "other"},
    [],
    null
]') as m
order by m.position;
select helper.state() = state as unchanged from helper.before;
select count(*) as wrong from gov_verify('bad');
select gov_delete_owner('bad');
