-- First uses: what a dimension does whose value is no entity of its key's type. Checks answer as if what a use would create were there.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
-- every call that asks, and then the use itself
create function helper.calls(owner text, dims jsonb, amount numeric default 1) returns table (call text, granted boolean, reason text, retry_at timestamptz, shown text)
language sql
as $$
    select 'allowed', gov_allowed(owner, 'tokens', amount, dims), null::text, null::timestamptz, null::text
    union all
    select 'headroom', null, null, null, (select string_agg(h.entity_id || '=' || h.remaining, ' ' order by h.chain, h.entity_id collate "C") from gov_headroom(owner, 'tokens', amount, dims) h)
    union all
    select 'check', is_granted, denied_reason, retry_at, helper.show(chains) from gov_check(owner, 'tokens', amount, dims)
    union all
    select 'reserve', is_granted, denied_reason, retry_at, helper.show(chains) from gov_reserve(owner, 'tokens', amount, dims)
    union all
    select 'consume', is_granted, denied_reason, retry_at, helper.show(chains) from gov_consume(owner, 'tokens', amount, dims)
$$;
create function helper.created(owner text) returns table (entity text)
language sql
as $$
    select concat_ws(' < ', e.id || ' (' || e.type_id || ')', e.parent_id)
    from gov_entities e
    where e.owner_id = owner and e.created_by_use
    order by e.id collate "C"
$$;
\set ECHO all
call helper.organisation('first');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
values ('first', 'acme', 'tokens', 100, 'P100Y'),
       ('first', 'eng', 'tokens', 20, null);

-- What types say is ignored where they say nothing else: as before.
select is_granted, denied_reason from gov_consume('first', 'tokens', 1, '{"userId": "nobody", "teamId": "eng"}');
select * from helper.created('first');

-- deny: checks, consumes and reserves; what has happened is recorded.
update gov_entity_types set on_unknown = 'deny' where id = 'model';
select * from helper.calls('first', '{"teamId": "eng", "model": "unheard-of"}');
select * from helper.calls('first', '{"teamId": "eng", "model": "gpt"}');
select event_id is not null as recorded from gov_ingest('first', 'tokens', 1, '{"teamId": "eng", "model": "unheard-of"}');
select entity_ids, dimensions from gov_events where owner_id = 'first' order by id desc limit 1;
-- an id of another type is unknown too, an archived entity is known, and entity_ids are never asked
select is_granted, denied_reason from gov_check('first', 'tokens', 1, '{"model": "ann"}');
select is_granted, denied_reason from gov_check('first', 'tokens', 1, '{"modelId": "opus"}');
update gov_entities set archived_at = now() where owner_id = 'first' and id = 'opus';
select is_granted, denied_reason from gov_check('first', 'tokens', 1, '{"modelId": "opus"}');
select is_granted, denied_reason from gov_check('first', 'tokens', 1, null, '{eng,unheard-of}');
-- null is absent; what cannot be an id is no entity
select is_granted, denied_reason from gov_check('first', 'tokens', 1, '{"teamId": "eng", "model": null}');
select v.what, c.is_granted, c.denied_reason
from (values ('empty', ''), ('256', repeat('x', 256)), ('2000', repeat('x', 2000)), ('control', E'a\x01b'), ('255', repeat('x', 255))) v (what, id),
    gov_check('first', 'tokens', 1, jsonb_build_object('model', v.id)) c;
-- the order of reasons: Blocked, UnknownEntity, and only then what budgets say
select is_granted, denied_reason, retry_at from gov_check('first', 'tokens', 1000, '{"teamId": "eng", "model": "unheard-of"}');
select gov_block('first', 'eng', 'infinity');
select is_granted, denied_reason, retry_at from gov_check('first', 'tokens', 1, '{"teamId": "eng", "model": "unheard-of"}');
select gov_unblock('first', 'eng');
set governance.on_ungoverned = error;
select is_granted, denied_reason from gov_check('first', 'tokens', 1, '{"model": "unheard-of"}');
reset governance.on_ungoverned;
-- the error names the dimension, and says what to do
\set VERBOSITY default
select gov_require('first', 'tokens', 1, '{"model": "unheard-of"}');
\set VERBOSITY sqlstate

-- create: a granted use does, below what parent_key resolves to.
update gov_entity_types set on_unknown = 'create', parent_key = 'teamId' where id = 'user';
update gov_entity_types set on_unknown = 'create', parent_key = 'userId' where id = 'agent';
select * from helper.calls('first', '{"userId": "dee", "teamId": "eng"}');
select * from helper.created('first');
-- from then on it is an entity like others: its team is charged without being named
select helper.usage('first', 'tokens', null, '{"userId": "dee"}');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('first', 'dee', 'tokens', 5, null);
select is_granted, denied_reason, helper.show(chains) from gov_consume('first', 'tokens', 6, '{"userId": "dee"}');
-- checks, denied calls and headroom create nothing
select gov_allowed('first', 'tokens', 1, '{"userId": "eve", "teamId": "eng"}');
select is_granted, denied_reason from gov_consume('first', 'tokens', 50, '{"userId": "eve", "teamId": "eng"}');
select is_granted, denied_reason from gov_reserve('first', 'tokens', 50, '{"userId": "eve", "teamId": "eng"}');
select is_granted, denied_reason from gov_consume('first', 'tokens', 1, '{"userId": "eve", "teamId": "eng", "model": "unheard-of"}');
set governance.on_ungoverned = deny;
select is_granted, denied_reason from gov_consume('first', 'tokens', 1, '{"userId": "eve"}');
reset governance.on_ungoverned;
select * from helper.created('first');
-- ingest creates whatever the limits; so does each event of a batch
select event_id is not null as recorded from gov_ingest('first', 'tokens', 50, '{"userId": "eve", "teamId": "eng"}');
select position, error is null as recorded from gov_ingest_many('first', '[
    {"capabilityId": "tokens", "dimensions": {"userId": "fay", "teamId": "ops"}},
    {"capabilityId": "tokens", "dimensions": {"userId": "fay"}},
    {"capabilityId": "tokens", "amount": "none", "dimensions": {"userId": "gus"}},
    {"capabilityId": "tokens", "dimensions": {"agentId": "bot-2", "userId": "hal"}}]') order by position;
select * from helper.created('first');
select entity_ids from gov_events where owner_id = 'first' order by id desc limit 3;
-- an unknown parent of a type that creates is created too; of one that ignores there is none
select is_granted, helper.show(chains) from gov_consume('first', 'tokens', 1, '{"agentId": "bot-3", "userId": "ida", "teamId": "ops"}');
select is_granted, helper.show(chains) from gov_consume('first', 'tokens', 1, '{"agentId": "bot-4", "userId": "joe", "teamId": "new-team"}');
-- a dimension that names something else is no parent
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": "kim", "teamId": "gpt"}');
select * from helper.created('first') where entity ~ '(bot-[34]|ida|joe|kim)';
-- never created over: an id of another type names nothing
select is_granted, helper.show(chains) from gov_consume('first', 'tokens', 1, '{"userId": "eng", "agentId": "eng"}');
select type_id, created_by_use from gov_entities where owner_id = 'first' and id = 'eng';
-- entity_ids never create, but see what a dimension of the same call would
select is_granted, helper.show(chains) from gov_check('first', 'tokens', 1, '{"userId": "lea", "teamId": "ops"}', '{lea,max}');
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": "lea", "teamId": "ops"}', '{max,lea}');
select entity_ids from gov_events where owner_id = 'first' order by id desc limit 1;
select * from helper.created('first') where entity ~ '(lea|max)';
-- what no entity can be is denied, and recorded
select v.what, c.is_granted, c.denied_reason, i.event_id is not null as recorded
from (values ('empty', ''), ('256', repeat('x', 256)), ('control', E'a\x01b'), ('255', repeat('y', 255))) v (what, id),
    gov_consume('first', 'tokens', 1, jsonb_build_object('userId', v.id)) c,
    gov_ingest('first', 'tokens', 1, jsonb_build_object('userId', v.id)) i;
select length(id) from gov_entities where owner_id = 'first' and created_by_use and length(id) > 10;
select gov_upsert_entity_types('[{"id": "x", "onUnknown": "create"}]') -> 0 ->> 'onUnknown' as without_keys;
delete from gov_entity_types where id = 'x';
-- numbers and booleans are ids as ever
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": 4711, "teamId": "ops"}');
select * from helper.created('first') where entity ~ '^4711';

-- Two keys of one type, and one id under two types: the first in the order of the keys.
update gov_entity_types set attribution_keys = '{managerId,userId}' where id = 'user';
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": "nat", "managerId": "nat", "teamId": "ops"}');
select is_granted from gov_consume('first', 'tokens', 1, '{"agentId": "otto", "userId": "otto", "teamId": "ops"}');
select * from helper.created('first') where entity ~ '^(nat|otto)';
-- types that name each other, or themselves, as parents: the first is below the other, and nothing below itself
update gov_entity_types set parent_key = 'managerId' where id = 'user';
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": "pia", "managerId": "quin"}');
update gov_entity_types set parent_key = 'agentId' where id = 'user';
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": "ray", "agentId": "bot-5"}');
update gov_entity_types set parent_key = 'userId' where id = 'user';
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": "sue"}');
update gov_entity_types set parent_key = 'teamId' where id = 'user';
select * from helper.created('first') where entity ~ '^(pia|quin|ray|bot-5|sue)';

-- Keys: a repeated call creates nothing, not even what was deleted meanwhile.
select is_granted, is_duplicate from gov_consume('first', 'tokens', 1, '{"userId": "tom"}', null, 'key-1');
delete from gov_entities where owner_id = 'first' and id = 'tom';
select is_granted, is_duplicate from gov_consume('first', 'tokens', 1, '{"userId": "tom"}', null, 'key-1');
select count(*) from helper.created('first') where entity ~ '^tom';
-- A hold that is settled creates nothing either, and is recorded; the reserve has created.
select reservation_id as hold from gov_reserve('first', 'tokens', 1, '{"userId": "uma", "teamId": "ops"}') \gset
select * from helper.created('first') where entity ~ '^uma';
delete from gov_entities where owner_id = 'first' and id = 'uma';
select event_id is not null as recorded from gov_settle(:'hold', 2);
select count(*) from helper.created('first') where entity ~ '^uma';
select entity_ids from gov_events where owner_id = 'first' order by id desc limit 1;

-- Within one transaction: seen at once, gone with a savepoint, and by what else the transaction does.
begin;
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": "vic", "teamId": "ops"}');
select helper.usage('first', 'tokens', null, '{"userId": "vic"}');
savepoint one;
select is_granted from gov_consume('first', 'tokens', 1, '{"agentId": "bot-6", "userId": "vic"}');
select helper.usage('first', 'tokens', '{bot-6}');
rollback to one;
select helper.usage('first', 'tokens', '{bot-6}');
savepoint two;
select is_granted from gov_consume('first', 'tokens', 1, '{"agentId": "bot-7", "userId": "vic"}');
release two;
select helper.usage('first', 'tokens', '{bot-7}');
-- a change of the catalog in between
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('first', 'bot-7', 'tokens', 1, null);
select is_granted, denied_reason, helper.show(chains) from gov_consume('first', 'tokens', 2, '{"agentId": "bot-7"}');
select is_granted from gov_consume('first', 'tokens', 1, '{"agentId": "bot-8", "userId": "wes", "teamId": "ops"}');
select helper.usage('first', 'tokens', null, '{"agentId": "bot-8"}');
delete from gov_entities where owner_id = 'first' and id = 'bot-8';
select helper.usage('first', 'tokens', '{bot-8}');
select is_granted from gov_consume('first', 'tokens', 1, '{"agentId": "bot-8", "userId": "wes"}');
commit;
select * from helper.created('first') where entity ~ '^(vic|wes|bot-[678])';
select helper.usage('first', 'tokens', '{bot-7}');
begin;
select is_granted from gov_consume('first', 'tokens', 1, '{"userId": "xia", "teamId": "ops"}');
rollback;
select count(*) from helper.created('first') where entity ~ '^xia';
select helper.usage('first', 'tokens', '{xia}');

-- A batch of which an item is wrong, in a transaction that has changed the types.
begin;
update gov_entity_types set display_name = 'Users' where id = 'user';
select position, error from gov_ingest_many('first', '[
    {"capabilityId": "tokens", "dimensions": {"userId": "zoe", "teamId": "ops"}},
    {"capabilityId": "nonsense"},
    {"capabilityId": "tokens", "dimensions": {"userId": "zoe"}}]') order by position;
select * from helper.created('first') where entity ~ '^zoe';
rollback;

-- A chain of 64 is full: what would be below its end is denied, and recorded.
insert into gov_entities (owner_id, id, type_id, parent_id)
select 'deep', 'level-' || n, case when n = 63 or n = 64 then 'team' else 'org' end, case when n > 1 then 'level-' || n - 1 end from generate_series(1, 64) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('deep', 'level-1', 'tokens', 100, null);
select * from helper.calls('deep', '{"userId": "ann", "teamId": "level-64"}');
select * from helper.calls('deep', '{"userId": "ann", "agentId": "bot", "teamId": "level-63"}');
select event_id is not null as recorded from gov_ingest('deep', 'tokens', 1, '{"userId": "ann", "teamId": "level-64"}');
select is_granted from gov_consume('deep', 'tokens', 1, '{"userId": "ann", "teamId": "level-63"}');
select * from helper.created('deep');

-- The bound: past it uses are denied, and recorded without creating.
call helper.organisation('full');
set governance.created_entities_max = 2;
select value as refused from gov_stats where name = 'creations_refused' \gset
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "one", "teamId": "eng"}');
begin;
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "two", "teamId": "eng"}');
select is_granted, denied_reason from gov_consume('full', 'tokens', 1, '{"userId": "three", "teamId": "eng"}');
rollback;
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "two", "teamId": "eng"}');
select * from helper.calls('full', '{"userId": "three", "teamId": "eng"}');
select event_id is not null as recorded from gov_ingest('full', 'tokens', 1, '{"userId": "three", "teamId": "eng"}');
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "two"}');
select value - :refused as refused from gov_stats where name = 'creations_refused';
select * from helper.created('full');
set governance.created_entities_max = 0;
select is_granted, denied_reason from gov_check('full', 'tokens', 1, '{"userId": "three", "teamId": "eng"}');
reset governance.created_entities_max;
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "three", "teamId": "eng"}');
set governance.created_entities_max = -1;

-- Users' own triggers, columns and constraints on the table are honoured. Triggers run as the extension's owner, and name what they use with its schema.
create table helper.seen (id text, display_name text);
grant all on schema helper to public;
create function helper.greet() returns trigger language plpgsql as $$ begin new.display_name := 'user ' || new.id; return new; end $$;
create function helper.see() returns trigger language plpgsql as $$ begin insert into helper.seen values (new.id, new.display_name); return null; end $$;
select n.nspname as gov from pg_extension e join pg_namespace n on n.oid = e.extnamespace where extname = 'governance' \gset
select format($$create function helper.give() returns trigger language plpgsql as 'begin insert into %I.gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values (new.owner_id, new.id, ''tokens'', 3, null); return null; end'$$, :'gov') \gexec
alter table gov_entities add column helper_tier text;
alter table gov_entities alter column helper_tier set default 'free';
create trigger helper_greet before insert on gov_entities for each row execute function helper.greet();
create trigger helper_see after insert on gov_entities for each row execute function helper.see();
create trigger helper_give after insert on gov_entities for each row execute function helper.give();
begin;
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "four", "teamId": "eng"}');
-- what they add counts from the next call on
select is_granted, denied_reason, helper.show(chains) from gov_consume('full', 'tokens', 4, '{"userId": "four"}');
commit;
select is_granted, denied_reason, helper.show(chains) from gov_consume('full', 'tokens', 4, '{"userId": "four"}');
select e.display_name, e.helper_tier, s.display_name as seen from gov_entities e join helper.seen s using (id) where owner_id = 'full';
alter table gov_entities add constraint helper_short check (length(id) < 20) not valid;
select is_granted from gov_consume('full', 'tokens', 1, jsonb_build_object('userId', repeat('y', 20)));
alter table gov_entities drop constraint helper_short;
drop trigger helper_greet on gov_entities;
alter table gov_entities add check (helper_tier <> 'free') not valid;
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "of-a-tier"}');
alter table gov_entities alter column helper_tier drop default;
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "of-a-tier"}');
alter table gov_entities add check (id <> 'forbidden') not valid;
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "forbidden"}');
select conname from pg_constraint where conrelid = 'gov_entities'::regclass and conname ~ '^gov_entities_(helper|id_check1)' order by 1;
create trigger helper_greet before insert on gov_entities for each row execute function helper.greet();
create or replace function helper.greet() returns trigger language plpgsql as $$ begin new.parent_id := 'ops'; return new; end $$;
select is_granted from gov_consume('full', 'tokens', 1, '{"userId": "five", "teamId": "eng"}');
drop trigger helper_greet on gov_entities;
drop trigger helper_see on gov_entities;
drop trigger helper_give on gov_entities;
alter table gov_entities drop column helper_tier, drop constraint gov_entities_id_check1;
select helper.usage('full', 'tokens', null, '{"userId": "five"}');

-- The catalog functions: what they show, and what they refuse.
select x.item - '{createdAt,updatedAt,description,displayName}'::text[] as item
from jsonb_array_elements(gov_upsert_entity_types('[
    {"id": "device", "attributionKeys": ["deviceId"], "onUnknown": "create", "parentKey": "userId"},
    {"id": "region", "attributionKeys": ["region"], "onUnknown": "deny"}]')) x (item);
select (gov_upsert_entity_types('[{"id": "device", "displayName": "Device"}]') -> 0) - '{createdAt,updatedAt}'::text[];
select (gov_upsert_entity_types('[{"id": "device", "onUnknown": "ignore", "parentKey": null}]') -> 0) - '{createdAt,updatedAt}'::text[];
select gov_get_entity('full', 'one') -> 'createdByUse' as created, gov_get_entity('full', 'eng') -> 'createdByUse' as made;
\set VERBOSITY terse
select gov_upsert_entity_types('[{"id": "device", "onUnknown": "maybe"}]');
select gov_upsert_entity_types('[{"id": "device", "onUnknown": null}]');
select gov_upsert_entity_types('[{"id": "device", "onUnknown": 1}]');
select gov_upsert_entity_types(jsonb_build_array(jsonb_build_object('id', 'device', 'parentKey', repeat('x', 256))));
\set VERBOSITY default
\set SHOW_CONTEXT never
select gov_upsert_entity_types('[{"id": "device", "onUnknown": "deny", "attributionKeys": ["deviceId", "userId"]}]');
insert into gov_entity_types (id, attribution_keys, on_unknown) values ('phone', '{userId,region}', 'deny');
update gov_entity_types set attribution_keys = attribution_keys || '{region}' where id = 'user';
\set VERBOSITY terse
update gov_entity_types set on_unknown = 'never' where id = 'user';
update gov_entity_types set parent_key = '' where id = 'user';
\set VERBOSITY sqlstate
-- a key of a type that ignores may be shared, and one statement may hand a key over
insert into gov_entity_types (id, attribution_keys) values ('phone', '{region}');
update gov_entity_types set on_unknown = case id when 'phone' then 'deny' else 'ignore' end where id in ('phone', 'region');
-- with a shared key, another type's entity is known to its own type and unknown to this one
insert into gov_entities (owner_id, id, type_id) values ('full', 'eu', 'region'), ('full', 'nokia', 'phone');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('full', 'eu', 'tokens', 10, null);
select is_granted, denied_reason, helper.show(chains) from gov_check('full', 'tokens', 1, '{"region": "eu"}');
select is_granted, denied_reason, helper.show(chains) from gov_check('full', 'tokens', 1, '{"region": "nokia"}');
delete from gov_assignments where owner_id = 'full' and entity_id = 'eu';
delete from gov_entities where owner_id = 'full' and id in ('eu', 'nokia');
delete from gov_entity_types where id in ('phone', 'region', 'device');

-- What the engine creates is no change of anybody's; what somebody does with it is.
select count(*) from gov_changes where owner_id = 'full' and key ->> 'id' = 'one';
update gov_entities set display_name = 'One' where owner_id = 'full' and id = 'one';
select action, new from gov_changes where owner_id = 'full' and key ->> 'id' = 'one';

-- Counted under the dimension, never under what it said.
call helper.roll_up();
select count(*) from gov_maintain();
select dimension_key, entity_id, is_check, sum(denied_count) as n from gov_denials where owner_id = 'first' and reason = 'UnknownEntity' group by 1, 2, 3 order by 1, 2, 3;

-- An older name of a type in a session that has not seen the change: in force at the commit.
update gov_entity_types set on_unknown = 'ignore', parent_key = null where id in ('user', 'agent', 'model');
update gov_entity_types set attribution_keys = '{userId}' where id = 'user';
select is_granted, denied_reason from gov_consume('first', 'tokens', 1, '{"userId": "yan", "teamId": "ops"}');
select count(*) from helper.created('first') where entity ~ '^yan';
select count(*) from gov_verify();
select gov_delete_owner(o) is not null from unnest('{first,deep,full}'::text[]) o;
