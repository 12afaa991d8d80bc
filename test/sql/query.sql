-- gov_query: every argument, against the view gov_budgets.
\getenv dir PG_ABS_SRCDIR
\set ECHO none
\i :dir/helpers.sql
\i :dir/query_oracle.sql
\set ECHO all
call helper.organisation('query');
insert into gov_capabilities (id) values ('seats') on conflict do nothing;

-- Names to search, an archived team between its users and the company, and times of creation.
update gov_entities set display_name = case id when 'ann' then '100% Änn_B' when 'ben' then 'Ben' else null end
where owner_id = 'query' and id in ('ann', 'ben', 'bot');
update gov_entities set archived_at = '2026-01-01' where owner_id = 'query' and id = 'ops';
insert into gov_entities (owner_id, id, type_id, parent_id, created_at)
values ('query', 'dee', 'user', 'ops', '2020-01-01'), ('query', 'eve', 'user', 'cyd', '2020-01-01 00:00:00.000001'), ('query', 'old', 'user', null, '2019-01-01');

insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, enforcement, locked)
values ('query', 'acme', 'tokens', '{}', '', 1000, 'P100Y', 'hard', true),
       ('query', 'acme', 'tokens', '{}', 'second', 900, null, 'soft', false),
       ('query', 'acme', 'tokens', '{gpt}', '', 30, 'P100Y', 'hard', false),
       ('query', 'acme', 'tokens', '{gpt,opus}', '', 40, 'P100Y', 'hard', false),
       ('query', 'acme', 'tokens', '{opus}', '', null, null, 'hard', false),
       ('query', 'acme', 'calls', '{}', '', 7, 'P50Y', 'hard', false),
       ('query', 'eng', 'tokens', '{}', '', 300, 'P100Y', 'hard', false),
       ('query', 'eng', 'tokens', '{}', 'other', 200, 'P100Y', 'hard', false),
       ('query', 'eng', 'calls', '{}', '', 0, null, 'soft', false),
       ('query', 'ops', 'tokens', '{}', '', 500, 'P100Y', 'hard', false),
       ('query', 'ann', 'tokens', '{}', '', 30, 'P100Y', 'hard', false),
       ('query', 'ann', 'tokens', '{gpt}', '', 0.000000003, null, 'soft', false),
       ('query', 'ben', 'tokens', '{}', '', 60, 'P10Y', 'soft', false),
       ('query', 'bot', 'tokens', '{}', '', null, null, 'hard', false),
       ('query', 'bot', 'calls', '{}', '', 999999999999999999, null, 'hard', false),
       ('query', 'cyd', 'tokens', '{}', '', 90, 'P100Y', 'soft', false),
       ('query', 'dee', 'tokens', '{}', '', 3, null, 'soft', false),
       ('query', 'eve', 'tokens', '{}', '', 5, null, 'hard', false),
       ('query', 'gpt', 'seats', '{}', '', 5, null, 'hard', false);

-- A new budget, an idle one.
select gov_query('query', '{seats}');

-- Thirds and halves in several sizes, a correction below zero, more than 64 bits of billionths.
select count(gov_ingest('query', 'tokens', 10, '{"model": "gpt"}', '{ann}')),
       count(gov_ingest('query', 'tokens', 20, null, '{ben}')),
       count(gov_ingest('query', 'tokens', 30.000000001, null, '{cyd}')),
       count(gov_ingest('query', 'tokens', 1, null, '{dee}')),
       count(gov_ingest('query', 'tokens', -2, null, '{eve}')),
       count(gov_ingest('query', 'calls', 3.5, null, '{eng}')),
       count(gov_ingest('query', 'calls', 123456789012345.678901234, null, '{bot}'));
select is_granted, expires_at > now() as is_open from gov_reserve('query', 'tokens', 4.25, null, '{cyd}', null, '100 years');

-- The customer's page: usage against limit, the fullest first.
select r.line ->> 'entityId' as entity, r.line ->> 'typeId' as type, r.line ->> 'parentId' as parent, r.line -> 'scopeEntityIds' as scope,
       r.line ->> 'name' as name, r.line ->> 'currentUsage' as usage, r.line ->> 'reservedUsage' as held, r.line ->> 'usageLimit' as lim,
       r.line ->> 'remaining' as remaining, r.line ->> 'allocated' as allocated, r.line ->> 'utilization' as utilization,
       r.line ->> 'cadence' as cadence, r.line ->> 'usagePeriodStart' as start, r.line ->> 'enforcement' as enforcement, r.line ->> 'locked' as locked
from jsonb_array_elements(gov_query('query', '{tokens,calls}') -> 'data') with ordinality as r (line, n)
order by r.n;
select jsonb_pretty(gov_query('query', '{tokens}', under_entity_id => 'cyd', page_size => 1) #- '{pagination,next}');

-- The tree: the users of the archived team are below the company.
select r.line ->> 'entityId' as entity, r.line ->> 'parentId' as parent, r.line ->> 'displayName' as name
from jsonb_array_elements(gov_query('query') -> 'data') with ordinality as r (line, n)
order by r.n;

-- Every order of every choice of budgets, and every filter, page by page, equals what the view says.
create table query_asked as
select c.capabilities, s.sort_by, o.sort_order, w.scope, m.min_utilization, null::text[] as types, null as search, null as under
from (values (null::text[]), ('{}'), ('{tokens}'), ('{tokens,calls,nothing}')) as c (capabilities),
     unnest('{utilization,currentUsage,usageLimit,scopeSize,id,createdAt}'::text[]) as s (sort_by),
     unnest('{asc,desc}'::text[]) as o (sort_order),
     unnest('{all,nodeWide,scoped}'::text[]) as w (scope),
     (values (null::numeric), (0.33333333333333333333)) as m (min_utilization)
union all
select c.capabilities, s.sort_by, 'desc', w.scope, null, t.types, f.search, u.under
from (values (null::text[]), ('{tokens,calls}')) as c (capabilities),
     unnest('{utilization,id}'::text[]) as s (sort_by),
     unnest('{all,scoped}'::text[]) as w (scope),
     (values (null::text[]), ('{user,nothing}'), ('{}')) as t (types),
     (values (null), ('N')) as f (search),
     (values (null), ('ops'), ('nothing')) as u (under);
create table query_wrong as
select a.*
from query_asked as a
cross join lateral (select oracle.rows('query', a.capabilities, a.sort_by, a.sort_order, a.scope, a.min_utilization, a.types, a.search, a.under) as rows offset 0) as e,
     unnest('{1,3,100}'::int[]) as p (page_size)
where oracle.pages('query', a.capabilities, a.sort_by, a.sort_order, a.scope, a.min_utilization, a.types, a.search, a.under, p.page_size) is distinct from e.rows;
select * from query_wrong limit 10;

-- What stands in those combinations.
select count(*) as rows,
       jsonb_array_length(oracle.rows('query', '{tokens,calls}', 'id', 'asc', 'scoped', null, null, null, null)) as scoped,
       jsonb_array_length(oracle.rows('query', '{tokens,calls}', 'id', 'asc', 'all', 0.33333333333333333333, null, null, null)) as utilized,
       jsonb_array_length(oracle.rows('query', '{tokens,calls}', 'id', 'asc', 'all', null, null, null, 'ops')) as below
from jsonb_array_elements(oracle.rows('query', '{tokens,calls}', 'id', 'asc', 'all', null, null, null, null));

-- Search: parts of ids and display names, whatever the case; no pattern.
select s.search, (select string_agg(r.line ->> 'entityId', ' ') from jsonb_array_elements(gov_query('query', null, 'id', 'asc', search => s.search) -> 'data') as r (line)) as found
from unnest('{"",BEN,e,%,_,0% Ä,\\,"b ",zz}'::text[]) as s (search);

-- Usage, limit and a hold as they are now, without another look at the tables of budgets.
select gov_query('query', '{tokens}', under_entity_id => 'dee') #> '{data,0,currentUsage}' as usage;
select count(gov_ingest('query', 'tokens', 0.5, null, '{dee}'));
select gov_query('query', '{tokens}', under_entity_id => 'dee') #> '{data,0,currentUsage}' as usage;
update gov_assignments set usage_limit = 6 where owner_id = 'query' and entity_id = 'dee';
select gov_query('query', '{tokens}', under_entity_id => 'dee') #> '{data,0,utilization}' as utilization;

-- A transaction sees what it has written, of rows and of usage, and takes it back.
begin;
update gov_assignments set usage_limit = 15 where owner_id = 'query' and entity_id = 'dee';
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('query', 'dee', 'calls', 2);
update gov_assignments set cadence = 'P10Y' where owner_id = 'query' and entity_id = 'eve';
select count(gov_ingest('query', x.capability, 1, null, '{dee,eve}')) from unnest('{calls,tokens}'::text[]) as x (capability);
select is_granted from gov_reserve('query', 'tokens', 0.5, null, '{dee,eve}');
select r.line ->> 'entityId' as entity, r.line ->> 'capabilityId' as capability, r.line ->> 'currentUsage' as usage, r.line ->> 'reservedUsage' as held, r.line ->> 'utilization' as utilization
from jsonb_array_elements(gov_query('query', '{tokens,calls}', 'id', 'asc', type_ids => '{user}', under_entity_id => 'ops') -> 'data') as r (line);
select oracle.rows('query', '{tokens,calls}', 'utilization', 'desc', 'all', null, null, null, null)
       = oracle.pages('query', '{tokens,calls}', 'utilization', 'desc', 'all', null, null, null, null, 2) as is_right;
savepoint before;
select count(gov_ingest('query', 'tokens', 100, null, '{dee}'));
select gov_query('query', '{tokens}', under_entity_id => 'dee') #> '{data,0,currentUsage}' as usage;
rollback to before;
select gov_query('query', '{tokens}', under_entity_id => 'dee') #> '{data,0,currentUsage}' as usage;
rollback;
select gov_query('query', '{tokens}', under_entity_id => 'dee') #> '{data,0}' ->> 'utilization' as utilization;
select oracle.rows('query', '{tokens,calls}', 'utilization', 'desc', 'all', null, null, null, null)
       = oracle.pages('query', '{tokens,calls}', 'utilization', 'desc', 'all', null, null, null, null, 2) as is_right;

-- What a transaction gives back counts for itself at once.
begin;
select count(gov_ingest('query', 'tokens', -1, null, '{dee}'));
select gov_query('query', '{tokens}', under_entity_id => 'dee') #> '{data,0,currentUsage}' as usage;
rollback;

-- Cursors: of one query only, of any server, and of no garbage.
select gov_query('query', '{tokens}', page_size => 2) #>> '{pagination,next}' as by_utilization \gset
select gov_query('query', '{tokens}', 'id', page_size => 2) #>> '{pagination,next}' as by_id \gset
select gov_query('query', page_size => 2) #>> '{pagination,next}' as by_entity \gset
select gov_query('query', '{tokens}', page_size => 2, after => :'by_utilization') -> 'data' = gov_query('query', '{tokens}', page_size => 7, after => :'by_utilization') #- '{data,2}' #- '{data,2}' #- '{data,2}' #- '{data,2}' #- '{data,2}' -> 'data' as page_size_may_change;
select jsonb_array_length(gov_query('query', '{tokens}', 'id', page_size => 2, after => :'by_id') -> 'data') as rows;
select gov_query('query', '{tokens}', 'id', page_size => 2, after => :'by_utilization');
select gov_query('query', '{tokens}', page_size => 2, after => :'by_id');
select gov_query('query', '{tokens}', 'id', 'asc', page_size => 2, after => :'by_id');
select gov_query('query', '{calls}', 'id', page_size => 2, after => :'by_id');
select gov_query('query', '{tokens}', 'id', search => '', page_size => 2, after => :'by_id');
select gov_query('other', '{tokens}', 'id', page_size => 2, after => :'by_id');
select gov_query('query', '{tokens}', 'id', page_size => 2, after => :'by_entity');
select gov_query('query', '{tokens}', 'id', after => '');
select gov_query('query', '{tokens}', 'id', after => 'x');
select gov_query('query', '{tokens}', 'id', after => 'ä');
select gov_query('query', '{tokens}', 'id', after => left(:'by_id', -4));
select gov_query('query', '{tokens}', 'id', after => :'by_id' || 'AAAA');
select gov_query('query', '{tokens}', after => left(:'by_utilization', -4));
select gov_query('query', '{tokens}', after => :'by_utilization' || :'by_utilization');

-- Bad arguments.
select gov_query(null);
select gov_query('query', sort_by => null);
select gov_query('query', sort_by => 'name');
select gov_query('query', sort_by => 'UTILIZATION');
select gov_query('query', sort_order => null);
select gov_query('query', sort_order => 'DESC');
select gov_query('query', scope => null);
select gov_query('query', scope => '');
select gov_query('query', page_size => null);
select gov_query('query', page_size => 0);
select gov_query('query', page_size => 101);
select gov_query('query', '{tokens,null}');
select gov_query('query', type_ids => '{null}');

-- Owners that there are not, and rows past the last.
select gov_query('nobody'), gov_query('nobody', '{tokens}');
select gov_query('');

drop table query_asked, query_wrong;
drop schema oracle cascade;
