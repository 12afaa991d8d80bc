-- Holds and time: across the turn of a window, and past their own end.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- Waits until the clock has passed a moment.
create procedure helper.wait_until(moment timestamptz)
language plpgsql
as $$
begin
    while clock_timestamp() <= moment loop
        perform pg_sleep(0.005);
    end loop;
end
$$;

-- A call that is to be granted within a second: the worker may have the hold in hand that is past its end.
create function helper.soon(call text, out is_granted boolean, out remaining numeric, out show text)
language plpgsql
as $$
begin
    for round in 1..100 loop
        execute format('select is_granted, remaining, helper.show(chains) from %s', call) into is_granted, remaining, show;
        exit when is_granted;
        perform pg_sleep(0.01);
    end loop;
end
$$;
\set ECHO all
call helper.organisation('turn');

-- Two budgets on one entity: the day ends in two seconds and the next one is whole, the century does not end.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, anchor_at)
values ('turn', 'ann', 'tokens', 'day', 10, 'P1D', clock_timestamp() + interval '2 seconds'),
       ('turn', 'ann', 'tokens', 'century', 40, 'P100Y', null);
select is_granted, helper.show(chains) from gov_consume('turn', 'tokens', 3, null, '{ann}');
select reservation_id as partial from gov_reserve('turn', 'tokens', 4, null, '{ann}', 'partial') \gset
select reservation_id as more from gov_reserve('turn', 'tokens', 2, null, '{ann}', 'more') \gset
select reservation_id as released from gov_reserve('turn', 'tokens', 1, null, '{ann}', 'released') \gset
select is_granted, denied_reason, remaining, helper.show(chains) from gov_reserve('turn', 'tokens', 1, null, '{ann}');
select anchor_at as turn from gov_assignments where owner_id = 'turn' and name = 'day' \gset
call helper.wait_until(:'turn');

-- Usage starts again, what is held is held in the new window.
select helper.usage('turn', 'tokens', '{ann}');
select is_granted, denied_reason, remaining from gov_consume('turn', 'tokens', 4, null, '{ann}');
select is_granted, remaining, helper.show(chains) from gov_consume('turn', 'tokens', 3, null, '{ann}');
-- also when it is loaded anew
select gov_refresh() \gset
select helper.usage('turn', 'tokens', '{ann}');
-- settled in it, for less and for more, the use belongs to it; released, it was never there
select is_duplicate from gov_settle(:'partial', 1);
select helper.usage('turn', 'tokens', '{ann}');
select is_duplicate from gov_settle(:'more', 5);
select helper.usage('turn', 'tokens', '{ann}');
select gov_release(:'released');
select helper.usage('turn', 'tokens', '{ann}');
call helper.roll_up();
select a.name, trim_scale(u.amount) as amount, u.event_count
from gov_usage as u join gov_assignments as a on a.id = u.assignment_id
where a.owner_id = 'turn'
order by a.name, u.window_start;
select helper.usage('turn', 'tokens', '{ann}');
select count(*) as wrong from gov_verify('turn');

-- A turn inside one transaction: reserved before it, settled after it.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, anchor_at)
values ('turn', 'ben', 'tokens', 'soon', 10, 'P1D', clock_timestamp() + interval '1 second');
begin;
select is_granted, remaining from gov_consume('turn', 'tokens', 7, null, '{ben}');
select reservation_id as within, is_granted, remaining from gov_reserve('turn', 'tokens', 3, null, '{ben}') \gset
select :'is_granted' as is_granted, :'remaining' as remaining;
select anchor_at as turn from gov_assignments where owner_id = 'turn' and name = 'soon' \gset
call helper.wait_until(:'turn');
select helper.usage('turn', 'tokens', '{ben}');
savepoint s;
select is_duplicate from gov_settle(:'within', 8);
select helper.usage('turn', 'tokens', '{ben}');
rollback to s;
select helper.usage('turn', 'tokens', '{ben}');
select is_duplicate from gov_settle(:'within', 2);
select helper.usage('turn', 'tokens', '{ben}');
commit;
select helper.usage('turn', 'tokens', '{ben}');
select count(*) as wrong from gov_verify('turn');

-- Past its end nobody counts it, though nobody has called and whether or not it was swept yet.
call helper.organisation('end');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('end', 'ann', 'tokens', '', 10, 'P100Y');
select reservation_id as brief, expires_at as brief_end, expires_at between clock_timestamp() and clock_timestamp() + interval '0.5 seconds' as half_a_second
from gov_reserve('end', 'tokens', 6, null, '{ann}', 'brief', '500 milliseconds') \gset
select :'half_a_second' as half_a_second;
select is_granted, remaining, helper.show(chains) from gov_reserve('end', 'tokens', 2, null, '{ann}', 'long', '1 hour');
call helper.wait_until(:'brief_end');
select * from helper.soon($$gov_check('end', 'tokens', 8, null, '{ann}')$$);
select is_granted from gov_check('end', 'tokens', 8.1, null, '{ann}');
select idempotency_key from gov_holds where owner_id = 'end';
select count(*) as wrong from gov_verify('end');
-- extending it is too late, releasing it releases nothing, and says so in the row
select helper.outcome(format('select gov_extend(%L, ''1 hour'')', :'brief')) as extend;
select gov_release(:'brief');
select state, settled_amount, event_id from gov_reservations where id = :'brief';
-- the same call with its key gets it as it is: it holds nothing
select is_granted, reservation_id = :'brief' as same, expires_at = :'brief_end' as same_end, is_duplicate, state, helper.show(chains)
from gov_reserve('end', 'tokens', 6, null, '{ann}', 'brief', '1 hour');
-- late settling records all the same, once
select is_duplicate, event_id as late from gov_settle(:'brief', 7) \gset
select :'is_duplicate' as is_duplicate;
select event_id = :late as same, is_duplicate from gov_settle(:'brief');
select state, settled_amount, event_id = :late as same from gov_reservations where id = :'brief';
select helper.usage('end', 'tokens', '{ann}');

-- A charge that it would deny does not wait for anybody.
select reservation_id as last, expires_at as last_end, is_granted, remaining from gov_reserve('end', 'tokens', 1, null, '{ann}', 'last', '300 milliseconds') \gset
select :'is_granted' as is_granted, :'remaining' as remaining;
call helper.wait_until(:'last_end');
select * from helper.soon($$gov_consume('end', 'tokens', 1, null, '{ann}')$$);
-- its use comes on top of what was granted since
select is_duplicate from gov_settle(:'last');
select helper.usage('end', 'tokens', '{ann}');
select is_granted, denied_reason, remaining from gov_reserve('end', 'tokens', 0, null, '{ann}');
-- a reserve as well; and when its transaction rolls back, the next one is granted the same
select is_duplicate from gov_ingest('end', 'tokens', -9, null, '{ann}');
select expires_at as third_end, is_granted, remaining from gov_reserve('end', 'tokens', 8, null, '{ann}', 'third', '300 milliseconds') \gset
select :'is_granted' as is_granted, :'remaining' as remaining;
call helper.wait_until(:'third_end');
begin;
select * from helper.soon($$gov_reserve('end', 'tokens', 7, null, '{ann}')$$);
rollback;
select * from helper.soon($$gov_reserve('end', 'tokens', 8, null, '{ann}', 'fourth')$$);
select idempotency_key, state from gov_reservations where owner_id = 'end' order by created_at;

-- Extended in time it lives on; shortened, it ends sooner.
select reservation_id as kept, expires_at as kept_end from gov_reserve('end', 'calls', 1, null, '{ann}', 'kept', '1 second') \gset
select gov_extend(:'kept', '1 hour') > :'kept_end' as later;
call helper.wait_until(:'kept_end');
select state from gov_reservations where id = :'kept';
select gov_extend(:'kept', '100 milliseconds') as kept_end \gset
call helper.wait_until(:'kept_end');
select gov_release(:'kept');
select state from gov_reservations where id = :'kept';
-- its own, taken and past its end in one transaction
begin;
select reservation_id as own, expires_at as own_end from gov_reserve('end', 'tokens', 0, null, '{ann}', 'own', '100 milliseconds') \gset
call helper.wait_until(:'own_end');
select helper.outcome(format('select gov_extend(%L, ''1 hour'')', :'own')) as extend, gov_release(:'own') as release;
select is_duplicate from gov_settle(:'own', 0.5);
commit;
select state, settled_amount from gov_reservations where id = :'own';
call helper.roll_up();
select helper.usage('end', 'tokens', '{ann}');
select count(*) as wrong from gov_verify();
select gov_delete_owner(id) from unnest('{turn,end}'::text[]) as owner (id);
