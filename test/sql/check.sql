-- The decision: gov_check, gov_allowed and gov_headroom.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\set ECHO all
call helper.organisation('check');

-- Three budgets on one chain, all of them asked.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('check', 'bot', 'tokens', 10, 'P100Y'),
       ('check', 'eng', 'tokens', 25, 'P50Y'),
       ('check', 'acme', 'tokens', null, null);
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'tokens', 4, entity_ids => '{bot}');
-- the amount is 1 unless it is given
select is_granted, remaining from gov_check('check', 'tokens', entity_ids => '{bot}');
-- just enough
select is_granted, denied_reason, remaining, retry_at from gov_check('check', 'tokens', 10, entity_ids => '{bot}');
-- more than the limit itself: no waiting would help, and the reason says so
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'tokens', 10.000000001, entity_ids => '{bot}');
-- a check changes nothing
select is_granted, remaining, helper.show(chains) from gov_check('check', 'tokens', 10, entity_ids => '{bot}');
select count(*) from gov_events where owner_id = 'check';

-- What others of the team used leaves less: the least headroom of the set is what remains.
select event_id is not null as recorded, is_duplicate from gov_ingest('check', 'tokens', 20, entity_ids => '{ben}');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'tokens', 5, entity_ids => '{bot}');
-- only the team's budget fails, and its window ends in 2051
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'tokens', 6, entity_ids => '{bot}');
-- both fail: the latest end; and the amount alone is larger than one hard limit
select is_granted, denied_reason, remaining, retry_at
from gov_check('check', 'tokens', 11, entity_ids => '{bot}');
-- the other entity of the team
select is_granted, denied_reason, remaining, retry_at from gov_check('check', 'tokens', 11, entity_ids => '{ben}');
-- a failing budget that never resets leaves no time to try again
update gov_assignments set usage_limit = 22 where owner_id = 'check' and entity_id = 'acme';
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'tokens', 6, entity_ids => '{bot}');
-- one that never resets and allows does not
update gov_assignments set usage_limit = 1000 where owner_id = 'check' and entity_id = 'acme';
select is_granted, denied_reason, remaining, retry_at from gov_check('check', 'tokens', 6, entity_ids => '{bot}');

-- The amount 0 is granted at the limit and denied over it.
select is_duplicate from gov_ingest('check', 'tokens', 5, entity_ids => '{ben}');
select is_granted, denied_reason, remaining, retry_at from gov_check('check', 'tokens', 0, entity_ids => '{ben}');
select is_duplicate from gov_ingest('check', 'tokens', 0.5, entity_ids => '{ben}');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'tokens', 0, entity_ids => '{ben}');

-- A limit of 0: nothing but 0 passes, and 1 is more than the limit.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('check', 'bot', 'calls', 0, 'P100Y');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'calls', 0, entity_ids => '{bot}');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'calls', 1, entity_ids => '{bot}');

-- No limit: counted, never blocks, and nothing remains or runs out.
update gov_assignments set usage_limit = null where owner_id = 'check' and capability_id = 'calls';
select is_duplicate from gov_ingest('check', 'calls', 123456, entity_ids => '{bot}');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'calls', 999999999999999999, entity_ids => '{bot}');

-- Soft: shown over its limit, never in the way, and no part of what remains.
update gov_assignments set usage_limit = 100000, enforcement = 'soft' where owner_id = 'check' and capability_id = 'calls';
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'calls', 1, entity_ids => '{bot}');
-- beside a hard one, the hard one alone decides, and alone makes the reason
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('check', 'ann', 'calls', 200000, 'P50Y');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'calls', 200000, entity_ids => '{bot}');
select is_duplicate from gov_ingest('check', 'calls', 1, entity_ids => '{ann}');
select is_granted, denied_reason, remaining, retry_at, helper.show(chains)
from gov_check('check', 'calls', 200000, entity_ids => '{bot}');

-- gov_allowed is is_granted alone, and takes its arguments the same way.
select amount, gov_allowed('check', 'calls', amount, entity_ids => '{bot}')
from (values (0), (199999), (199999.000000001), (200001)) as t (amount);
select gov_allowed('check', 'calls', 199999, '{"userId": "ann"}'), gov_allowed('check', 'calls', 200000, '{"userId": "ann"}'), gov_allowed('check', 'calls');

-- gov_headroom has the same nodes as typed rows.
select chain, entity_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage, remaining, is_granted, is_over_limit, enforcement, cadence
from gov_headroom('check', 'calls', 200000, entity_ids => '{bot}');
select entity_id, usage_period_start, usage_period_end from gov_headroom('check', 'calls', 200000, entity_ids => '{bot}');
select entity_id, current_usage, remaining, usage_period_start, usage_period_end
from gov_headroom('check', 'tokens', 0, entity_ids => '{acme}');

-- Prepared, as an application asks it, also when the plan becomes generic.
prepare gate (text, text, numeric, jsonb, text[]) as select gov_allowed($1, $2, $3, $4, $5);
execute gate ('check', 'calls', 199999, null, '{bot}');
execute gate ('check', 'calls', 200000, null, '{bot}');
execute gate ('check', 'calls', 199999, null, '{bot}');
execute gate ('check', 'calls', 200000, null, '{bot}');
execute gate ('check', 'calls', 199999, null, '{bot}');
execute gate ('check', 'calls', 200000, null, '{bot}');
execute gate ('check', 'calls', 200000, null, null);
deallocate gate;

-- In the middle of a query over a table, once per row and in any place.
select e.id, gov_allowed('check', 'calls', 200000, entity_ids => array[e.id])
from gov_entities as e
where e.owner_id = 'check'
  and e.type_id in ('user', 'agent')
order by e.id;
select count(*)
from gov_entities as e
where e.owner_id = 'check'
  and not gov_allowed('check', 'calls', 200000, entity_ids => array[e.id]);

-- An archived entity's own budgets are suspended: not asked, not shown. Its place in the chain stays.
update gov_entities set archived_at = '2026-01-01' where owner_id = 'check' and id = 'ann';
select is_granted, remaining, helper.show(chains) from gov_check('check', 'calls', 200000, entity_ids => '{bot}');
update gov_entities set archived_at = '2026-01-01' where owner_id = 'check' and id = 'eng';
select is_granted, remaining, helper.show(chains) from gov_check('check', 'tokens', 9, entity_ids => '{bot}');
-- what is used meanwhile is not counted there
select is_duplicate from gov_ingest('check', 'tokens', 2, entity_ids => '{bot}');
update gov_entities set archived_at = null where owner_id = 'check';
select helper.usage('check', 'tokens', '{bot}');
select count(*) as wrong from gov_verify('check');
select gov_delete_owner('check');
