-- Amounts: numeric, exact to 9 decimals, up to 18 digits before the point.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('amounts');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('amounts', 'bot', 'tokens', 0.3, 'P100Y'),
       ('amounts', 'eng', 'tokens', null, 'P100Y'),
       ('amounts', 'ops', 'tokens', 999999999999999999.999999999, 'P100Y'),
       ('amounts', 'gpt', 'tokens', 10, 'P100Y');

-- 0.1 + 0.2 is 0.3, not a billionth more or less.
select is_duplicate from gov_ingest('amounts', 'tokens', 0.1, entity_ids => '{bot}');
select is_granted, remaining from gov_check('amounts', 'tokens', 0.2, entity_ids => '{bot}');
select is_granted, remaining from gov_check('amounts', 'tokens', 0.200000001, entity_ids => '{bot}');
select is_duplicate from gov_ingest('amounts', 'tokens', 0.2, entity_ids => '{bot}');
select is_granted, remaining, helper.show(chains) from gov_check('amounts', 'tokens', 0, entity_ids => '{bot}');
select gov_allowed('amounts', 'tokens', 0.000000001, entity_ids => '{bot}');
select is_duplicate from gov_ingest('amounts', 'tokens', 0.000000001, entity_ids => '{bot}');
select is_granted, remaining, helper.show(chains) from gov_check('amounts', 'tokens', 0, entity_ids => '{bot}');
select is_duplicate from gov_ingest('amounts', 'tokens', -0.300000001, entity_ids => '{bot}');
select helper.usage('amounts', 'tokens', '{bot}');

-- More decimals are rounded, half away from zero; the ledger keeps what was counted.
create table helper.rounding (n int, given numeric);
insert into helper.rounding
values (1, 0.0000000005), (2, 0.00000000049999999), (3, -0.0000000005), (4, -0.0000000004), (5, 1.9999999995),
       (6, -1.9999999995), (7, 2.0000000014), (8, 2.5000000015000), (9, 1e-30), (10, 7.000), (11, 1e2), (12, 123456789012345678.1234567885);
select count(i.event_id) as recorded
from helper.rounding as r, gov_ingest('amounts', 'tokens', r.given, jsonb_build_object('row', r.n), '{ben}') as i;
select (e.dimensions ->> 'row')::int as n, r.given, e.amount
from gov_events as e
join helper.rounding as r on r.n = (e.dimensions ->> 'row')::int
where e.owner_id = 'amounts'
order by 1;
-- the sum of what was kept
select helper.usage('amounts', 'tokens', '{ben}');
-- a check rounds as well
select gov_allowed('amounts', 'tokens', 10.0000000004, entity_ids => '{gpt}') as down, gov_allowed('amounts', 'tokens', 10.0000000005, entity_ids => '{gpt}') as up;

-- Eighteen digits and nine decimals fit, and the sums of such amounts.
select is_granted, remaining from gov_check('amounts', 'tokens', 999999999999999999.999999999, entity_ids => '{ops}');
select is_duplicate from gov_ingest('amounts', 'tokens', 999999999999999999.9999999994, entity_ids => '{ops}');
select is_granted, remaining, helper.show(chains) from gov_check('amounts', 'tokens', 0, entity_ids => '{ops}');
select count(gov_ingest('amounts', 'tokens', 999999999999999999.999999999, entity_ids => '{ops}')) as recorded from generate_series(2, 40) as n;
select is_granted, denied_reason, remaining, helper.show(chains) from gov_check('amounts', 'tokens', 999999999999999999.999999999, entity_ids => '{ops}');
call helper.roll_up();
select gov_refresh() \gset
select helper.usage('amounts', 'tokens', '{ops}');
select count(gov_ingest('amounts', 'tokens', -999999999999999999.999999999, entity_ids => '{ops}')) as recorded from generate_series(1, 41) as n;
select is_granted, remaining, helper.show(chains) from gov_check('amounts', 'tokens', 0, entity_ids => '{ops}');

-- What does not fit, and what is no number.
select call, helper.outcome(call)
from unnest(array[
    $$select gov_ingest('amounts', 'tokens', 1000000000000000000, null, '{gpt}')$$,
    $$select gov_ingest('amounts', 'tokens', -1000000000000000000, null, '{gpt}')$$,
    $$select gov_ingest('amounts', 'tokens', 999999999999999999.9999999995, null, '{gpt}')$$,
    $$select gov_ingest('amounts', 'tokens', 1e1000, null, '{gpt}')$$,
    $$select gov_ingest('amounts', 'tokens', 'NaN', null, '{gpt}')$$,
    $$select gov_ingest('amounts', 'tokens', 'Infinity', null, '{gpt}')$$,
    $$select gov_ingest('amounts', 'tokens', '-Infinity', null, '{gpt}')$$,
    $$select gov_check('amounts', 'tokens', 1000000000000000000, null, '{gpt}')$$,
    $$select gov_check('amounts', 'tokens', 'NaN', null, '{gpt}')$$,
    $$select gov_check('amounts', 'tokens', 'Infinity', null, '{gpt}')$$,
    $$select gov_check('amounts', 'tokens', -1, null, '{gpt}')$$,
    $$select gov_check('amounts', 'tokens', -0.000000001, null, '{gpt}')$$,
    $$select gov_check('amounts', 'tokens', -0.0, null, '{gpt}')$$,
    $$select gov_allowed('amounts', 'tokens', -1, null, '{gpt}')$$,
    $$select gov_headroom('amounts', 'tokens', -1, null, '{gpt}')$$
]) as call;
select helper.usage('amounts', 'tokens', '{gpt}');
call helper.roll_up();
select a.entity_id, trim_scale(u.amount) as amount, u.event_count
from gov_usage as u
join gov_assignments as a on a.id = u.assignment_id
where u.owner_id = 'amounts'
order by a.entity_id;
select count(*) as wrong from gov_verify('amounts');
select gov_delete_owner('amounts');
