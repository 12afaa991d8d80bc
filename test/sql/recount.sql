-- A budget is counted again from the ledger: what was recorded for its entity and scope, or what is now below it.
\i test/helpers.sql

call helper.organisation('rec');
set governance.caller = 'tester';

create function helper.ingest(amount numeric, entities text[], dims jsonb default null, at timestamptz default null) returns void
language sql as $$ select from gov_ingest('rec', 'tokens', amount, dims, entities, null, at) $$;

create function helper.budget(entity text, scope text[] default '{}', called text default '') returns uuid
language sql as $$ select id from gov_assignments where owner_id = 'rec' and entity_id = entity and scope_entity_ids = scope and name = called $$;

-- What was recounted, and what a call sees then.
create function helper.recount(entity text, since timestamptz default null, by text default 'recorded', scope text[] default '{}') returns text
language sql as $$
    select format('%s, was %s; %s events in %s windows%s', r.usage, r.former_usage, r.counted_events, r.counted_windows, ' since ' || r.counted_since)
    from gov_recount(helper.budget(entity, scope), since, by) r
$$;

create view helper.windows as
select a.entity_id, a.scope_entity_ids, u.window_start, u.window_end, u.amount, u.event_count, u.counter_id = a.counter_id as present
from gov_usage u
join gov_assignments a on a.id = u.assignment_id
where u.owner_id = 'rec'
order by 1, 2, 7 desc, 3;

create view helper.counts as
select b.entity_id || coalesce('{' || nullif(array_to_string(b.scope_entity_ids, ','), '') || '}', '') as budget,
    trim_scale(b.current_usage) as usage, trim_scale(b.reserved_usage) as held
from gov_budgets b
where b.owner_id = 'rec'
order by 1;

-- A cap added in mid-month sees the month: rows that are rolled up, and rows that are not.
select helper.ingest(5, '{ann}'), helper.ingest(7, '{bot}'), helper.ingest(-2, '{ann}'), helper.ingest(100, '{cyd}') \gset
call helper.roll_up();
select helper.ingest(1, '{eng}'), helper.ingest(0.5, '{ben}') \gset
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('rec', 'eng', 'tokens', 20, 'P100Y'), ('rec', 'acme', 'tokens', null, null);
table helper.counts;
select helper.recount('eng');
select helper.recount('acme');
table helper.counts;
select is_granted, remaining from gov_consume('rec', 'tokens', 9, null, '{ann}');
select is_granted, remaining from gov_consume('rec', 'tokens', 8, null, '{ann}');
table helper.counts;
call helper.roll_up();
table helper.counts;
table helper.windows;
select gov_refresh() \gset
table helper.counts;
select count(*) as wrong from gov_verify();

-- Again: the same, and nothing is counted twice.
select helper.recount('eng'), helper.recount('acme');
table helper.windows;
select count(*) from gov_recounts where owner_id = 'rec';
select count(*) as wrong from gov_verify();

-- In the transaction that makes the budget, and then uses it.
begin;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('rec', 'ann', 'tokens', 30, 'P100Y');
select helper.recount('ann');
select helper.usage('rec', 'tokens', '{ann}');
select is_granted, remaining from gov_consume('rec', 'tokens', 100, null, '{ann}');
savepoint a;
update gov_assignments set usage_limit = 100 where owner_id = 'rec' and entity_id in ('eng', 'ann');
select is_granted, remaining from gov_consume('rec', 'tokens', 3, null, '{ann}');
select helper.usage('rec', 'tokens', '{ann}');
commit;
select helper.usage('rec', 'tokens', '{ann}');
call helper.roll_up();
select gov_refresh() \gset
select helper.usage('rec', 'tokens', '{ann}');
select count(*) as wrong from gov_verify();
-- rolled back
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('rec', 'cyd', 'tokens', 300, 'P100Y');
begin;
select helper.recount('cyd');
rollback;
begin;
savepoint a;
select helper.recount('cyd');
rollback to a;
select helper.usage('rec', 'tokens', '{cyd}');
commit;
select helper.usage('rec', 'tokens', '{cyd}');
select helper.recount('cyd');
select helper.usage('rec', 'tokens', '{cyd}');

-- A scope: the entities of the scope were in the call too.
select helper.ingest(11, '{ann}', '{"model": "gpt"}'), helper.ingest(13, '{bot,gpt}'), helper.ingest(17, '{cyd,gpt}'), helper.ingest(19, '{ann,opus}') \gset
insert into gov_assignments (owner_id, entity_id, scope_entity_ids, capability_id, usage_limit, cadence)
values ('rec', 'eng', '{gpt}', 'tokens', 1000, 'P100Y'), ('rec', 'acme', '{gpt,ann}', 'tokens', 1000, 'P100Y'), ('rec', 'gpt', '{eng}', 'tokens', 1000, 'P100Y');
select helper.recount('eng', scope => '{gpt}'), helper.recount('acme', scope => '{ann,gpt}'), helper.recount('gpt', scope => '{eng}');
table helper.counts;
-- another capability is not counted
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('rec', 'ops', 'calls', 1000, 'P100Y');
select helper.recount('ops');
select gov_ingest('rec', 'calls', 1, null, '{cyd}') is not null as used;
select helper.recount('ops');
select count(*) as wrong from gov_verify();

-- A department that got a team sees what that has used.
insert into gov_entities (owner_id, id, type_id) values ('rec', 'corp', 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('rec', 'corp', 'tokens', 1000, 'P100Y');
select gov_move_entity('rec', 'ops', 'corp') is not null as moved;
select helper.recount('corp'), helper.recount('corp', by => 'tree');
select helper.recount('acme'), helper.recount('acme', by => 'tree');
select helper.ingest(1000, '{cyd}') \gset
call helper.roll_up();
table helper.counts;
select entity_id, counted_by, cardinality(member_ids) as members, sets from gov_recounts r join gov_assignments a on a.id = r.assignment_id where r.owner_id = 'rec' order by 1, 2, 3, 4;
-- the tree as it was then is what gov_verify counts by
select gov_move_entity('rec', 'ops', 'acme') is not null as moved;
select count(*) as wrong from gov_verify();
select helper.recount('corp', by => 'tree'), helper.recount('corp', by => 'recorded');
select count(*) as wrong from gov_verify();

-- Windows of the past, late events, and times to begin at. It is a year's budget.
insert into gov_entities (owner_id, id, type_id) values ('rec', 'old', 'org');
select count(helper.ingest(d, '{old}', null, date_trunc('year', gov_now()) - d * interval '1 year')) from generate_series(0, 6) d \gset
select helper.ingest(10, '{old}', null, date_trunc('year', gov_now()) - interval '2 years 1 second') \gset
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('rec', 'old', 'tokens', 100, 'P1Y');
create view helper.years as
select extract(year from w.window_start) - extract(year from gov_now()) as year, w.amount, w.event_count, w.present
from helper.windows w
where w.entity_id = 'old'
order by 1, 4;
select regexp_replace(helper.recount('old'), ' since.*', '');
table helper.years;
select helper.ingest(3, '{old}', null, date_trunc('year', gov_now()) - interval '3 years') \gset
call helper.roll_up();
table helper.years;
select count(*) as wrong from gov_verify();
-- from then on: what was counted of earlier windows stays
select regexp_replace(helper.recount('old', date_trunc('year', gov_now()) - interval '2 years'), ' since.*', '');
table helper.years;
select regexp_replace(helper.recount('old', date_trunc('year', gov_now()) - interval '4 years' + interval '1 second'), ' since.*', '');
table helper.years;
select count(*) as wrong from gov_verify();
-- another cadence: all windows of today's rule
update gov_assignments set cadence = 'P2Y', anchor_at = date_trunc('year', gov_now()) where owner_id = 'rec' and entity_id = 'old';
select regexp_replace(helper.recount('old'), ' since.*', '');
table helper.years;
select count(*) as wrong from gov_verify();

-- Holds stay held against the budgets that they were made on.
insert into gov_entities (owner_id, id, type_id) values ('rec', 'h', 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('rec', 'h', 'tokens', 100, 'P100Y');
select reservation_id as hold from gov_reserve('rec', 'tokens', 40, null, '{h}') \gset
select helper.ingest(7, '{h}') \gset
select helper.recount('h');
select helper.usage('rec', 'tokens', '{h}');
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('rec', 'h', 'tokens', 'second', 100, 'P100Y');
select usage from gov_recount(helper.budget('h', '{}', 'second'));
select helper.usage('rec', 'tokens', '{h}');
select event_id is not null as settled from gov_settle(:'hold', 4);
select helper.usage('rec', 'tokens', '{h}');
select usage, former_usage from gov_recount(helper.budget('h'));
call helper.roll_up();
select gov_refresh() \gset
select helper.usage('rec', 'tokens', '{h}');
select count(*) as wrong from gov_verify();

-- Who recounted is written down; what that has changed is not.
select action, key - 'id' as key, old, new - 'since' as new, caller from gov_changes
where owner_id = 'rec' and table_name = 'gov_assignments' and key ->> 'entity_id' in ('corp', 'h')
order by id;

-- gov_verify notices a count that is wrong.
update gov_usage set amount = amount + 1 where owner_id = 'rec' and assignment_id = helper.budget('h');
select entity_id, counted_by, counted, recorded from gov_verify() where counted_by = 'rollup';
update gov_usage set amount = amount - 1 where owner_id = 'rec' and assignment_id = helper.budget('h');
begin;
delete from gov_recounts where owner_id = 'rec' and assignment_id = helper.budget('h');
select entity_id, counted_by, counted, recorded from gov_verify() where counted_by = 'rollup';
rollback;
select count(*) as wrong from gov_verify();

-- Bad input.
select helper.outcome($$select gov_recount('00000000-0000-4000-8000-000000000000')$$) as "no budget",
    helper.outcome($$select gov_recount(null)$$) as "no id",
    helper.outcome($$select gov_recount(helper.budget('h'), 'infinity')$$) as "infinite",
    helper.outcome($$select gov_recount(helper.budget('h'), '-infinity')$$) as "-infinite",
    helper.outcome($$select gov_recount(helper.budget('h'), gov_now() + interval '1 minute')$$) as future,
    helper.outcome($$select gov_recount(helper.budget('h'), null, 'trees')$$) as "by trees",
    helper.outcome($$select gov_recount(helper.budget('h'), null, null)$$) as "by null",
    helper.outcome($$select gov_ingest('rec', 'tokens', 1, null, '{h}'); select gov_recount(helper.budget('h'))$$) as "used itself";
begin;
select reservation_id is not null as held from gov_reserve('rec', 'tokens', 1, null, '{h}');
select gov_recount(helper.budget('h'));
rollback;
begin read only;
select gov_recount(helper.budget('h'));
rollback;
begin isolation level serializable;
select usage from gov_recount(helper.budget('h'));
commit;
insert into gov_entities (owner_id, id, type_id) select 'rec', 's' || n, 'org' from generate_series(1, 64) n;
insert into gov_assignments (owner_id, entity_id, scope_entity_ids, capability_id) select 'rec', 'h', array_agg('s' || n), 'tokens' from generate_series(1, 64) n;
select helper.outcome(format('select gov_recount(%L)', id)) as "a wide scope" from gov_assignments where owner_id = 'rec' and cardinality(scope_entity_ids) = 64;
select helper.outcome($$update gov_assignments set counter_id = 0 where owner_id = 'rec' and entity_id = 'h'$$) as "by hand";

-- What gov_verify asks, asked by hand.
select helper.outcome(format('select _gov_recounted(%L, %L, %L, 1, %L, %L, %L, %L, %L, 1)', 'rec', 'tokens', '-infinity', cadence, anchor_at, 'UTC', '{h}', '{1}')) as recounted,
    helper.outcome(format('select _gov_recount_window_start(%L, %L, %L, now())', cadence, anchor_at, 'UTC')) as window_start
from (values ('P1Q', null), ('P1M', 'infinity')) v (cadence, anchor_at);

-- Nothing is left of a budget, or an owner.
delete from gov_assignments where owner_id = 'rec' and entity_id = 'h' and name = 'second';
select count(*) from gov_recounts r where r.owner_id = 'rec' and not exists (select from gov_assignments a where a.id = r.assignment_id);
select gov_delete_owner('rec') is not null as gone;
select count(*) from gov_recounts where owner_id = 'rec';
drop schema helper cascade;
