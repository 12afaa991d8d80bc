-- Blocks: what involves a blocked entity is denied, whatever its budgets say; what is recorded all the same counts.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
create function helper.ask(owner text, entities text[], amount numeric default 1) returns table (call text, granted boolean, reason text, retry_at timestamptz)
language sql
as $$
    select 'allowed', gov_allowed(owner, 'tokens', amount, null, entities), null, null
    union all
    select 'check', is_granted, denied_reason, retry_at from gov_check(owner, 'tokens', amount, null, entities)
    union all
    select 'consume', is_granted, denied_reason, retry_at from gov_consume(owner, 'tokens', amount, null, entities)
    union all
    select 'reserve', is_granted, denied_reason, retry_at from gov_reserve(owner, 'tokens', amount, null, entities)
$$;
\set ECHO all
call helper.organisation('blocks');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('blocks', 'acme', 'tokens', 100, 'P100Y'),
       ('blocks', 'ann', 'tokens', 10, null);
select reservation_id as hold from gov_reserve('blocks', 'tokens', 3, null, '{bot}') \gset
select reservation_id as other from gov_reserve('blocks', 'tokens', 2, null, '{ann}') \gset

-- An agent in a loop is stopped; it, and nobody beside or above it.
select gov_block('blocks', 'bot', reason => 'retries without end');
select blocked_at is not null as blocked, blocked_until, blocked_reason from gov_entities where owner_id = 'blocks' and id = 'bot';
select * from helper.ask('blocks', '{bot}');
select call, granted from helper.ask('blocks', '{ann}');
-- by a dimension, and as one of several
select is_granted, denied_reason from gov_consume('blocks', 'tokens', 1, '{"agentId": "bot"}');
select is_granted, denied_reason from gov_consume('blocks', 'tokens', 1, null, '{gpt,ben,bot}');
-- the budgets are shown as they are
select helper.show(chains) from gov_check('blocks', 'tokens', 1, null, '{bot}');
-- an error says who is blocked, and what to do
\set VERBOSITY default
select gov_require('blocks', 'tokens', 1, null, '{bot}');
\set VERBOSITY sqlstate
-- a hold is not extended, and nothing of it changes
select gov_extend(:'hold', '1 hour');
select expires_at < now() + interval '6 minutes' as as_before, state from gov_reservations where id = :'hold';
select gov_extend(:'other', '1 hour') > now() + interval '50 minutes' as extended;
-- what is recorded counts, and a hold is settled or released
select event_id is not null as recorded from gov_ingest('blocks', 'tokens', 1, null, '{bot}');
select event_id is not null as settled from gov_settle(:'hold', 2);
select gov_release(:'other');
select helper.usage('blocks', 'tokens', '{bot}');
-- it ends
select gov_unblock('blocks', 'bot'), gov_unblock('blocks', 'bot');
select call, granted from helper.ask('blocks', '{bot}');
select blocked_at, blocked_until, blocked_reason from gov_entities where owner_id = 'blocks' and id = 'bot';

-- A blocked team stops all below it, also what has no budget at all, and for other capabilities.
select gov_block('blocks', 'eng', '2099-12-31');
select * from helper.ask('blocks', '{bot}');
select is_granted, denied_reason, retry_at, chains from gov_check('blocks', 'calls', 1, null, '{ben}');
select call, granted from helper.ask('blocks', '{cyd}');
-- of two blocks the one that ends last decides, and one without end has none
select gov_block('blocks', 'bot', '2098-01-01');
select retry_at from gov_check('blocks', 'tokens', 1, null, '{bot}');
select gov_block('blocks', 'bot');
select retry_at from gov_check('blocks', 'tokens', 1, null, '{bot}');
-- also archived; a scope that names it is not concerned unless the call is
select gov_archive_entities('blocks', '{eng}');
select granted, reason from helper.ask('blocks', '{ben}') where call = 'check';
select gov_unarchive_entities('blocks', '{eng}');

-- What the budgets deny as well has to end too.
select gov_unblock('blocks', 'eng'), gov_unblock('blocks', 'bot');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('blocks', 'cyd', 'tokens', 5, 'P100Y'), ('blocks', 'ops', 'tokens', 0, null);
select gov_block('blocks', 'cyd', '2099-12-31');
select denied_reason, retry_at from gov_check('blocks', 'tokens', 50, null, '{cyd}');
delete from gov_assignments where owner_id = 'blocks' and entity_id = 'ops';
select denied_reason, retry_at from gov_check('blocks', 'tokens', 50, null, '{cyd}');
select denied_reason, retry_at from gov_check('blocks', 'tokens', 1, null, '{cyd}');
select gov_block('blocks', 'cyd', '2100-12-31');
select denied_reason, retry_at from gov_check('blocks', 'tokens', 1, null, '{cyd}');
-- before what governance.on_ungoverned says
set governance.on_ungoverned = error;
select gov_block('blocks', 'gpt');
select is_granted, denied_reason from gov_check('blocks', 'tokens', 1, null, '{gpt}');
reset governance.on_ungoverned;

-- A key that was used before the block still has its answer.
select is_granted, is_duplicate from gov_consume('blocks', 'tokens', 1, null, '{opus}', 'before');
select gov_block('blocks', 'opus');
select is_granted, is_duplicate from gov_consume('blocks', 'tokens', 1, null, '{opus}', 'before');

-- Plain SQL does the same, in the transaction that does it at once, and a rollback takes it back.
begin;
update gov_entities set blocked_at = now(), blocked_until = '2099-12-31' where owner_id = 'blocks' and id = 'acme';
select granted, reason, retry_at from helper.ask('blocks', '{bot}') where call = 'consume';
rollback;
select granted, reason from helper.ask('blocks', '{bot}') where call = 'consume';
-- one that is over denies nothing, and to block again begins anew
update gov_entities set blocked_at = '2020-01-01', blocked_until = '2020-02-01', blocked_reason = 'then' where owner_id = 'blocks' and id = 'bot';
select granted, reason from helper.ask('blocks', '{bot}') where call = 'consume';
select gov_unblock('blocks', 'bot');
update gov_entities set blocked_at = '2020-01-01', blocked_until = '2020-02-01' where owner_id = 'blocks' and id = 'bot';
select gov_block('blocks', 'bot', 'infinity');
select blocked_at > '2026-01-01' as anew, blocked_until from gov_entities where owner_id = 'blocks' and id = 'bot';
-- while one in force keeps its beginning
update gov_entities set blocked_at = '2020-01-01' where owner_id = 'blocks' and id = 'bot';
select gov_block('blocks', 'bot', '2099-12-31', 'longer');
select blocked_at, blocked_until, blocked_reason from gov_entities where owner_id = 'blocks' and id = 'bot';
select gov_get_entity('blocks', 'bot') - '{createdAt,updatedAt,metadata}'::text[];

-- Every report says who is blocked, and of a block that is over nothing.
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('blocks', 'bot', 'tokens', 10);
create function helper.blocked(owner text) returns table (report text, entity text, at boolean, until timestamptz, reason text)
language sql
as $$
    select 'budgets', b.entity_id, b.blocked_at is not null, b.blocked_until, b.blocked_reason from gov_budgets b where b.owner_id = owner
    union all
    select 'part', b.entity_id, b.blocked_at is not null, b.blocked_until, b.blocked_reason from gov_budgets b where b.owner_id = owner and b.entity_id = 'bot'
    union all
    select 'tree', t.entity_id, t.blocked_at is not null, t.blocked_until, t.blocked_reason from gov_tree(owner) t
    union all
    select 'below', t.entity_id, t.blocked_at is not null, t.blocked_until, t.blocked_reason from gov_tree(owner, '{tokens}', 'eng') t
    union all
    select 'query', q ->> 'entityId', q -> 'blockedAt' <> 'null', (q ->> 'blockedUntil')::timestamptz, q ->> 'blockedReason'
    from jsonb_array_elements(gov_query(owner, '{tokens}') -> 'data') q
    union all
    select 'page', q ->> 'entityId', q -> 'blockedAt' <> 'null', (q ->> 'blockedUntil')::timestamptz, q ->> 'blockedReason'
    from jsonb_array_elements(gov_query(owner, under_entity_id => 'eng') -> 'data') q
$$;
select * from helper.blocked('blocks') where at order by 1, 2;
select substring(r from 'bot.*') from gov_report('blocks', 'tokens', 'eng') r where r ~ 'blocked';
update gov_entities set blocked_until = '2020-02-01' where owner_id = 'blocks' and id = 'bot';
select * from helper.blocked('blocks') where at or until is not null or reason is not null order by 1, 2;
select gov_block('blocks', 'eng', gov_now() + '400 days');
select string_agg(report, ' ' order by report) from helper.blocked('blocks') where at and entity = 'eng';
select count(*) from gov_report('blocks', 'tokens') r where r ~ '\(team\) blocked until [A-Z][a-z]{2} 20[0-9]{2}$';
select gov_unblock('blocks', 'eng');
update gov_entities set blocked_until = '2099-12-31' where owner_id = 'blocks' and id = 'bot';

-- Bad input changes nothing.
select gov_block(null, 'bot');
select gov_block('blocks', null);
select gov_block('blocks', 'nobody');
select gov_unblock('blocks', 'nobody');
select gov_unblock('nobody', 'bot');
select gov_block('blocks', 'bot', now() - interval '1 second');
select gov_block('blocks', 'bot', '-infinity');
select gov_block('blocks', 'bot', reason => '');
select gov_block('blocks', 'bot', reason => repeat('x', 1001));
update gov_entities set blocked_until = '2099-12-31' where owner_id = 'blocks' and id = 'ben';
update gov_entities set blocked_reason = 'no' where owner_id = 'blocks' and id = 'ben';
update gov_entities set blocked_at = 'infinity' where owner_id = 'blocks' and id = 'ben';
select blocked_at, blocked_until, blocked_reason from gov_entities where owner_id = 'blocks' and id in ('bot', 'ben') order by id;
select gov_delete_owner('blocks');
