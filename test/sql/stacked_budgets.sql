-- Several budgets for one capability on one entity, told apart by name: all of them at once, each with its own window; and
-- what a denial tells its caller.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql

-- The failing nodes of a chains document, by name.
create function helper.failing(chains jsonb) returns text
language sql
as $$
    select string_agg(node ->> 'entityId' || coalesce(':' || nullif(node ->> 'name', ''), ''), ' ' order by c.place, n.place)
    from jsonb_array_elements(chains) with ordinality as c (chain, place),
         jsonb_array_elements(c.chain) with ordinality as n (node, place)
    where not (node ->> 'isGranted')::boolean
$$;
\set ECHO all
call helper.organisation('stack');

-- 100 a minute, 1,000,000 a month, and a lifetime, all at once. Minute and month are counted from now: no end of theirs is near.
select item ->> 'name' as name, item ->> 'usageLimit' as usage_limit, item ->> 'cadence' as cadence
from jsonb_array_elements(gov_upsert_assignments('stack', jsonb_build_array(
    jsonb_build_object('entityId', 'bot', 'capabilityId', 'calls', 'name', 'minute', 'usageLimit', 100, 'cadence', 'PT1M', 'anchorAt', clock_timestamp()),
    jsonb_build_object('entityId', 'bot', 'capabilityId', 'calls', 'name', 'month', 'usageLimit', 1000000, 'cadence', 'P1M', 'anchorAt', clock_timestamp()),
    jsonb_build_object('entityId', 'bot', 'capabilityId', 'calls', 'name', 'lifetime', 'usageLimit', 1000150, 'cadence', null)))) as item;

-- The present window of one of them begins now: with its usage afresh, as when it has turned.
create procedure helper.next(which text)
language sql
as $$
    update gov_assignments set anchor_at = clock_timestamp() where owner_id = 'stack' and name = which
$$;

-- A use, and which budget's end a denial says to wait for.
create function helper.use(amount numeric, out granted boolean, out reason text, out remaining numeric, out failing text, out retry text, out chains text)
language sql
as $$
    select c.is_granted, c.denied_reason, c.remaining, helper.failing(c.chains),
           coalesce((select a.name from gov_assignments as a, gov_window(a.cadence, a.anchor_at) as w where a.owner_id = 'stack' and w.window_end = c.retry_at), 'unknown ' || c.retry_at),
           helper.show(c.chains)
    from gov_consume('stack', 'calls', amount, null, '{bot}') as c
$$;
select * from helper.use(60);
select * from helper.use(40);
-- the tightest denies
select * from helper.use(1);
-- more than the tightest is: the reason says that no window of it would help
select * from helper.use(101);

-- The next minute: only that one starts again.
call helper.next('minute');
select * from helper.use(51);
-- many minutes on, the month is nearly full: 49 are left of it, 199 of the lifetime
select is_duplicate from gov_ingest('stack', 'calls', 999800, null, '{bot}');
call helper.next('minute');
select helper.usage('stack', 'calls', '{bot}');
select * from helper.use(50);
select * from helper.use(49);
-- two fail: the later end, the month's
select * from helper.use(52);
-- all three: the lifetime never ends, so there is no time to come back
select * from helper.use(151);

-- A new month, and of the lifetime 150: the next minute is granted, the one after it not, nor any later.
call helper.next('month');
select * from helper.use(99);
call helper.next('minute');
select * from helper.use(100);
call helper.next('minute');
select * from helper.use(51);
select * from helper.use(50);
select * from helper.use(1);
select count(*) as wrong from gov_verify('stack');

-- A lifetime is topped up by raising its limit: usage stays, headroom is the difference.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('stack', 'acme', 'tokens', 'credits', 10, null);
select is_granted, remaining, retry_at from gov_consume('stack', 'tokens', 9, null, '{ann}');
select is_granted, denied_reason, remaining, retry_at from gov_consume('stack', 'tokens', 2, null, '{ann}');
select item ->> 'usageLimit' as usage_limit, item ->> 'cadence' as cadence
from jsonb_array_elements(gov_upsert_assignments('stack', '[{"entityId": "acme", "capabilityId": "tokens", "name": "credits", "usageLimit": 15}]')) as item;
select is_granted, remaining, helper.show(chains) from gov_consume('stack', 'tokens', 2, null, '{ann}');
-- by an increment, as an order that was paid would do it
begin;
update gov_assignments set usage_limit = usage_limit + 5 where owner_id = 'stack' and name = 'credits';
select is_granted, remaining, helper.show(chains) from gov_consume('stack', 'tokens', 9, null, '{ann}');
rollback;
select is_granted, denied_reason, remaining, retry_at from gov_consume('stack', 'tokens', 9, null, '{ann}');
update gov_assignments set usage_limit = usage_limit + 5 where owner_id = 'stack' and name = 'credits';
select is_granted, remaining, helper.show(chains) from gov_consume('stack', 'tokens', 9, null, '{ann}');
-- lowered below what was used: over, nothing is lost, and raised again it goes on from there
update gov_assignments set usage_limit = 12 where owner_id = 'stack' and name = 'credits';
select amount, is_granted, denied_reason, remaining, retry_at, helper.show(chains) from unnest('{0,1}'::numeric[]) as amount, gov_consume('stack', 'tokens', amount, null, '{ann}');
update gov_assignments set usage_limit = 21 where owner_id = 'stack' and name = 'credits';
select amount, is_granted, denied_reason, remaining, retry_at, helper.show(chains) from unnest('{1,1}'::numeric[]) as amount, gov_consume('stack', 'tokens', amount, null, '{ann}');
-- without a limit it only counts
update gov_assignments set usage_limit = null where owner_id = 'stack' and name = 'credits';
select is_granted, remaining, helper.show(chains) from gov_consume('stack', 'tokens', 1000, null, '{ann}');
call helper.roll_up();
select helper.usage('stack', 'tokens', '{ann}');
select window_start, window_end, trim_scale(amount) as amount, event_count from gov_usage where owner_id = 'stack' and assignment_id = (select id from gov_assignments where owner_id = 'stack' and name = 'credits');

-- All failing nodes are shown, at every level and in every chain, and retry_at is the latest end of those and of no other.
call helper.organisation('levels');
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, enforcement)
values ('levels', 'bot', 'tokens', '{}', '', 1, 'P30Y', 'hard'),
       ('levels', 'bot', 'tokens', '{}', 'wide', 100, null, 'hard'),
       ('levels', 'ann', 'tokens', '{}', 'soft', 0, null, 'soft'),
       ('levels', 'eng', 'tokens', '{}', '', 2, 'P100Y', 'hard'),
       ('levels', 'eng', 'tokens', '{gpt}', '', 2, 'P50Y', 'hard'),
       ('levels', 'acme', 'tokens', '{}', 'a', 5, 'P200Y', 'hard'),
       ('levels', 'acme', 'tokens', '{}', 'b', 4, 'P30Y', 'hard'),
       ('levels', 'gpt', 'tokens', '{}', '', 3, 'P100Y', 'hard'),
       ('levels', 'opus', 'tokens', '{}', '', 9, null, 'hard');
select amount, c.is_granted, c.denied_reason, c.remaining, c.retry_at, helper.failing(c.chains)
from unnest('{1,2,3,4,5,6,101}'::numeric[]) as amount, gov_check('levels', 'tokens', amount, '{"model": "gpt"}', '{bot}') as c;
-- in the order of the chains, once though two chains reach it
select is_granted, denied_reason, remaining, retry_at, helper.failing(chains), helper.show(chains)
from gov_consume('levels', 'tokens', 4.5, '{"model": "gpt"}', '{bot,ben,cyd,bot}');
-- one that does not fail and never resets leaves retry_at alone; one that does, not
select amount, is_granted, denied_reason, remaining, retry_at, helper.failing(chains)
from unnest('{3.5,9.5}'::numeric[]) as amount, gov_check('levels', 'tokens', amount, null, '{gpt,opus}');
-- headroom says the same, a row per budget
select chain, entity_id, scope_entity_ids, name, is_granted, is_over_limit, trim_scale(remaining) as remaining
from gov_headroom('levels', 'tokens', 4.5, '{"model": "gpt"}', '{bot,ben}');
-- retry_at counts the failing windows as they are: the budget is full, not the amount too large
select is_granted, remaining from gov_consume('levels', 'tokens', 1, '{"model": "gpt"}', '{bot}');
select amount, is_granted, denied_reason, remaining, retry_at, helper.failing(chains)
from unnest('{0,1}'::numeric[]) as amount, gov_consume('levels', 'tokens', amount, '{"model": "gpt"}', '{bot}');
-- an application answers 429 with Retry-After from the columns alone
select is_granted, denied_reason, greatest(1, ceil(extract(epoch from retry_at - '2026-11-20 00:00Z'::timestamptz)))::bigint as retry_after
from gov_check('levels', 'tokens', 1, null, '{bot}');

-- Names are told apart as they are written, and kept in byte order; the empty name is the first.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
values ('levels', 'cyd', 'calls', '', 9, null),
       ('levels', 'cyd', 'calls', 'a', 8, null),
       ('levels', 'cyd', 'calls', 'B', 7, null),
       ('levels', 'cyd', 'calls', 'ä', 6, null),
       ('levels', 'cyd', 'calls', 'a b', 5, null);
select is_granted, remaining, helper.show(chains) from gov_consume('levels', 'calls', 5, null, '{cyd}');
select is_granted, remaining, helper.failing(chains) from gov_consume('levels', 'calls', 3, null, '{cyd}');
-- one goes, the rest stay as they are
delete from gov_assignments where owner_id = 'levels' and entity_id = 'cyd' and name in ('a b', 'ä');
select is_granted, remaining, helper.show(chains) from gov_consume('levels', 'calls', 2, null, '{cyd}');
-- a new one counts from its creation
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('levels', 'cyd', 'calls', 'a b', 5, null);
select is_granted, remaining, helper.show(chains) from gov_consume('levels', 'calls', 1, null, '{cyd}');
-- a second of one name is none
select helper.outcome($$insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('levels', 'cyd', 'calls', 'a', 1, 'P1D')$$);

-- A window that turns beside others that do not: the first ends in a moment, the next lasts a day.
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, anchor_at)
values ('levels', 'opus', 'calls', 'day', 2, 'P1D', clock_timestamp() + interval '2 seconds'),
       ('levels', 'opus', 'calls', 'century', 3, 'P100Y', null),
       ('levels', 'opus', 'calls', 'ever', 4, null, null);
select is_granted, remaining, helper.show(chains) from gov_consume('levels', 'calls', 2, null, '{opus}');
select is_granted, denied_reason, remaining, retry_at = a.anchor_at as at_its_end, helper.failing(chains)
from gov_assignments as a, gov_consume('levels', 'calls', 1, null, '{opus}')
where a.owner_id = 'levels' and a.name = 'day';
do $$
begin
    while clock_timestamp() <= (select anchor_at from gov_assignments where owner_id = 'levels' and name = 'day') loop
        perform pg_sleep(0.01);
    end loop;
end
$$;
select helper.usage('levels', 'calls', '{opus}');
select is_granted, remaining, helper.show(chains) from gov_consume('levels', 'calls', 1, null, '{opus}');
select is_granted, denied_reason, remaining, retry_at, helper.failing(chains) from gov_consume('levels', 'calls', 1, null, '{opus}');
-- the earlier window stays
call helper.roll_up();
select trim_scale(u.amount) as amount, u.window_end = a.anchor_at as is_the_earlier
from gov_usage as u join gov_assignments as a on a.id = u.assignment_id
where a.owner_id = 'levels' and a.name = 'day'
order by u.window_start;
select gov_refresh() \gset
select helper.usage('levels', 'calls', '{opus}');
select count(*) as wrong from gov_verify();
select gov_delete_owner(id) from unnest('{stack,levels}'::text[]) as owner (id);
