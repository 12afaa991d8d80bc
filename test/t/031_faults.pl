# Whatever fails, wherever it fails: n = 1, 2, ... until a history of calls passes, the n-th allocation, statement, row or
# wait in it fails, or the session dies there. After each, the counts are the ledger's, nothing is pinned, claimed or leaked,
# what was acknowledged is recorded and nothing else, and the session goes on (src/base/fault.c has the points).
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use GovSession;
use GovTest;

# The rounds of the worker would meddle with what is counted here; gov_maintain is one of the histories.
my $node = gov_node('faults', conf => <<CONF);
governance.cache_size = '4MB'
governance.rollup_interval = '1h'
autovacuum = off
fsync = off
restart_after_crash = on
CONF

if ($node->psql('postgres', 'show governance.fault_at') != 0)
{
	$node->stop;
	plan skip_all => 'built without -DGOV_FAULTS';
}

$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('user', '{userId}'), ('model', '{model}');
insert into gov_entity_types (id, attribution_keys, on_unknown, parent_key) values ('guest', '{guest}', 'create', 'userId'), ('toy', '{toy}', 'create', 'guest'), ('pet', '{pet}', 'deny', null);
insert into gov_entity_types (id) values ('visitor');
insert into gov_capabilities (id) values ('tokens'), ('calls'), ('seconds');

insert into gov_default_assignments (type_id, capability_id, scope_type_ids, usage_limit, alert_thresholds) values ('visitor', 'tokens', '{}', 100, '{}'), ('visitor', 'tokens', '{model}', 50, '{50}');

-- acme <- eng <- ann <- bot, the models, a root with many budgets, and one whose window lasts ten seconds. Budgets without
-- cadence and scope count all that the ledger has of their entity.
create procedure customer(owner text) language sql as $$
	insert into gov_entities (owner_id, id, type_id, parent_id)
	values (owner, 'acme', 'org', null), (owner, 'eng', 'org', 'acme'), (owner, 'ann', 'user', 'eng'), (owner, 'bot', 'user', 'ann'),
		(owner, 'gpt', 'model', null), (owner, 'opus', 'model', null), (owner, 'many', 'org', null), (owner, 'clock', 'org', null),
		(owner, 'tight', 'org', null);
	insert into gov_entities (owner_id, id, type_id, parent_id) select owner, 'leaf-' || n, 'user', 'eng' from generate_series(1, 40) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, scope_entity_ids, name, enforcement)
	values (owner, 'acme', 'tokens', 1000000, null, '{}', '', 'hard'), (owner, 'acme', 'tokens', 1, 'P100Y', '{}', 'century', 'soft'),
		(owner, 'eng', 'tokens', 500000, null, '{}', '', 'hard'), (owner, 'bot', 'tokens', 400000, null, '{}', '', 'hard'),
		(owner, 'bot', 'tokens', 1000, 'P10Y', '{gpt}', '', 'hard'), (owner, 'gpt', 'tokens', null, null, '{}', '', 'hard'),
		(owner, 'clock', 'tokens', 1000000, 'PT10S', '{}', '', 'hard'), (owner, 'clock', 'tokens', 1000000, null, '{}', 'ever', 'hard'),
		(owner, 'tight', 'tokens', 10, null, '{}', '', 'hard');
	insert into gov_entities (owner_id, id, type_id, parent_id) values (owner, 'meter', 'org', 'acme');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind)
	values (owner, 'meter', 'tokens', 100000, 'PT10S', 'first_use'), (owner, 'meter', 'calls', 100000, 'P1D', 'first_use'), (owner, 'acme', 'calls', 100000, 'P1M', 'calendar');
	insert into gov_prices (owner_id, capability_id, quantity, price, per, valid_from) values (owner, 'tokens', 'in', 1, 3, '2020-01-01'), (owner, 'tokens', 'out', 2, 1, '2020-01-01');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name) select owner, 'many', 'tokens', 100000 + n, 'b' || n from generate_series(1, 25) n;
$$;

-- What is not as it must be when nobody is in a transaction; null when all is well. In PL/pgSQL, a session plans it once.
create function wrong(owner text) returns text language plpgsql volatile as $$
begin
	return (
		with used as materialized (
			select x.entity_id, sum(v.amount) as amount
			from gov_events v, lateral (select distinct unnest(v.entity_ids)) x (entity_id)
			where v.owner_id = owner and v.capability_id = 'tokens'
			group by x.entity_id),
		counted as materialized (
			select x.counter_id, sum(v.amount) as amount
			from gov_events v, unnest(v.counter_ids) x (counter_id)
			where v.owner_id = owner
			group by x.counter_id)
		select string_agg(what, E'\n')
		from (
			select 'pinned: ' || c.counter_id from gov_cached_counters() c where c.is_pinned
			union all
			select 'counts ' || h.current_usage || ' of ' || coalesce(u.amount, 0) || ': ' || h.entity_id || ' ' || h.name
			from gov_headroom(owner, 'tokens', 0, null, array(select e.id from gov_entities e where e.owner_id = owner and e.id not like '% %')) h
			left join used u using (entity_id)
			where h.cadence is null and h.scope_entity_ids = '{}' and h.current_usage <> coalesce(u.amount, 0)
			union all
			select 'verify: ' || v from gov_verify() v
			union all
			select format('event %s of %s has %s', v.id, v.dimensions, v.entity_ids)
			from gov_events v
			where v.owner_id = owner and v.dimensions ? 'guest' and not (v.entity_ids @> array[v.dimensions ->> 'guest', 'ann', 'acme']
				and exists (select from gov_entities e where e.owner_id = owner and e.id = v.dimensions ->> 'guest' and e.parent_id = 'ann'))
			union all
			select format('%s was created for nothing', e.id)
			from gov_entities e
			where e.owner_id = owner and e.created_by_use
				and not exists (select from gov_events v where v.owner_id = owner and e.id = any (v.entity_ids))
				and not exists (select from gov_reservations r where r.owner_id = owner and e.id = any (array(select value from jsonb_each_text(r.dimensions))))
			union all
			select format('alert at %s per cent of %s: %s has used %s', t.threshold, l.usage, a.entity_id, coalesce(c.amount, 0))
			from gov_assignments a
			left join counted c using (counter_id)
			cross join unnest(a.alert_thresholds) t (threshold)
			left join gov_alerts l on l.assignment_id = a.id and l.threshold = t.threshold
			where a.owner_id = owner and (coalesce(c.amount, 0) >= a.usage_limit * t.threshold / 100) <> (l.id is not null)
		) s (what));
end
$$;

-- Until a session has ended, and the worker has no hold left to expire.
create procedure wait_until_gone(process int) language plpgsql as $$
begin
	while exists (select from gov_reservations where state = 'open' and expires_at <= clock_timestamp() + interval '10 ms') loop
		perform gov_maintain();
		commit;
	end loop;
	while exists (select from pg_stat_activity where pid = process or (backend_type like 'governance%' and xact_start is not null)) loop
		perform pg_stat_clear_snapshot(), pg_sleep(0.002);
	end loop;
end
$$;

-- Rounds until the ledger is rolled up: each takes what the one before it has fenced.
create procedure roll_up() language plpgsql as $$
begin
	loop
		perform gov_maintain();
		commit;
		exit when not exists (select from gov_events where id > coalesce((select watermark from gov_rollup_state), 0));
		perform pg_sleep(0.002);
	end loop;
end
$$;
SQL

# ---------------------------------------------------------------- histories

sub call { my ($function, $more) = @_; return "select 'event ' || event_id from $function(:'owner', 'tokens', $more);\n"; }

sub reserve { my ($more) = @_; return "select reservation_id as h from gov_reserve(:'owner', 'tokens', $more) \\gset\n"; }

sub settle { my ($amount) = @_; return "select 'event ' || event_id from gov_settle(:'h', $amount);\n"; }

# The events of a call of several capabilities, a line each.
sub call_all { my ($call) = @_; return "select 'event ' || i.value from $call c, jsonb_each_text(c.event_ids) i;\n"; }

# Of the use with the key 'reversed', if it was recorded.
sub reverse_used { my ($more) = @_; return "select event_id from (select id from gov_events where owner_id = :'owner' and idempotency_key = 'reversed ' || :n) e, gov_reverse(e.id, $more);\n"; }

# sql       what is done, with the variables owner and n
# events    how many it records when nothing fails
# together  it is one transaction: all of them or none
# caught    it goes on after an error in part of it
# before    what another session does before each round
# cold      it is the first thing that its session does
# fatal     rounds in which the session dies are made too
my %histories = (
	ingest => {
		cold => 1,
		fatal => 1,
		events => 5,
		sql => call('gov_ingest', q{3, null, '{bot}'})
		  . call('gov_ingest', q{2, '{"model": "gpt", "request": 7}', '{bot}'})
		  . call('gov_ingest', q{1, null, '{bot,opus,nobody}'})
		  . call('gov_ingest', q{-1, null, '{ann}'})
		  . call('gov_ingest', q{4, '{"model": "gpt"}', '{bot}', null, now() - interval '20 years'}),
	},
	consume => {
		events => 3,
		sql => call('gov_consume', q{1.5, '{"model": "gpt"}', '{bot}'})
		  . "select is_granted from gov_consume(:'owner', 'tokens', 1e9, null, '{bot}');\n"
		  . "select 'event ' || gov_require(:'owner', 'tokens', 2, null, '{leaf-1}');\n"
		  . "select gov_require(:'owner', 'tokens', 2000, null, '{bot,gpt}');\n"
		  . "begin; select event_id from gov_consume(:'owner', 'tokens', 9, null, '{ann}'); rollback;\n"
		  . call('gov_consume', q{0.25, null, '{ann}'}),
	},
	several => {
		cold => 1,
		fatal => 1,
		events => 5,
		sql => call_all(q{gov_consume_all(:'owner', jsonb_build_object('tokens', 3, 'calls', 1), '{"model": "gpt"}', '{bot}', 'several ' || :n)})
		  . call_all(q{gov_consume_all(:'owner', jsonb_build_object('calls', 1, 'tokens', 3), '{"model": "gpt"}', '{bot}', 'several ' || :n)})
		  . "select reservation_id as h from gov_reserve_all(:'owner', jsonb_build_object('tokens', 9, 'calls', 1), null, '{bot}') \\gset\n"
		  . call_all(q{gov_settle_all(:'h', jsonb_build_object('tokens', 4, 'seconds', 2))})
		  . "begin; select event_ids from gov_ingest_all(:'owner', jsonb_build_object('tokens', 5, 'calls', -1), null, '{ann}'); rollback;\n"
		  . "select reservation_id as h from gov_reserve_all(:'owner', jsonb_build_object('tokens', 2, 'seconds', 1), null, '{leaf-1}') \\gset\n"
		  . "select gov_release(:'h');\n",
	},
	metered => {
		cold => 1,
		fatal => 1,
		events => 8,
		sql => call_all(q{gov_consume_all(:'owner', jsonb_build_object('tokens', jsonb_build_object('in', 6, 'out', 1), 'calls', 1), '{"model": "gpt"}', '{meter}', 'metered ' || :n)})
		  . q{
			select 'event ' || event_id from gov_consume_many(jsonb_build_array(
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', 2, 'entityIds', array['meter']),
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'calls', 'amount', 1, 'entityIds', array['meter'], 'idempotencyKey', 'counted ' || :n)))
			where event_id is not null;
		}
		  . "begin; select event_ids from gov_consume_all(:'owner', jsonb_build_object('tokens', jsonb_build_object('in', 1), 'calls', 1), null, '{meter}'); rollback;\n"
		  . "select reservation_id as h from gov_reserve_all(:'owner', jsonb_build_object('tokens', jsonb_build_object('in', 9), 'calls', 1), null, '{meter}') \\gset\n"
		  . call_all(q{gov_settle_all(:'h', jsonb_build_object('tokens', jsonb_build_object('in', 5)))})
		  . call_all(q{gov_ingest_all(:'owner', jsonb_build_object('tokens', jsonb_build_object('out', 1), 'calls', 2), null, '{meter}', null, now() - interval '2 days')}),
	},
	query => {
		cold => 1,
		events => 2,
		sql => "select count(gov_query(:'owner', '{tokens}'));\n"
		  . call('gov_ingest', q{3, null, '{bot}'})
		  . "select count(gov_query(:'owner', '{tokens}', page_size => 2));\n"
		  . "update gov_entities set display_name = 'Name ' || :n where owner_id = :'owner' and id = 'ann';\n"
		  . "select count(gov_query(:'owner', '{tokens}', 'id'));\n"
		  . "begin; update gov_assignments set usage_limit = 1000001 where owner_id = :'owner' and entity_id = 'acme'; select count(gov_query(:'owner')); rollback;\n"
		  . call('gov_ingest', q{1, '{"model": "gpt"}', '{bot}'})
		  . "select count(gov_query(:'owner', '{tokens}'));\n",
	},
	keyed => {
		fatal => 1,
		events => 2,
		sql => call('gov_consume', q{3, null, '{bot}', 'key ' || :n})
		  . call('gov_consume', q{3, null, '{bot}', 'key ' || :n})
		  . call('gov_ingest', q{-2, null, '{ann}', 'other key ' || :n})
		  . "select event_id from gov_ingest(:'owner', 'tokens', 4, null, '{ann}', 'key ' || :n);\n",
	},
	batch => {
		events => 3,
		sql => q{
			select 'event ' || event_id from gov_ingest_many(:'owner', jsonb_build_array(
				jsonb_build_object('capabilityId', 'tokens', 'amount', 2, 'entityIds', array['bot']),
				jsonb_build_object('capabilityId', 'nonsense'),
				jsonb_build_object('capabilityId', 'tokens', 'amount', -1, 'entityIds', array['leaf-2', 'gpt'], 'idempotencyKey', 'item ' || :n),
				jsonb_build_object('capabilityId', 'tokens', 'amount', -1, 'entityIds', array['leaf-2', 'gpt'], 'idempotencyKey', 'item ' || :n),
				jsonb_build_object('capabilityId', 'tokens', 'entityIds', array['leaf-3'], 'idempotencyKey', 'another ' || :n)))
			where event_id is not null;
		},
	},
	many => {
		cold => 1,
		fatal => 1,
		events => 7,
		sql => q{
			select 'event ' || event_id from gov_consume_many(jsonb_build_array(
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', 2, 'entityIds', array['bot']),
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'nonsense'),
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', 1e9, 'entityIds', array['bot'], 'idempotencyKey', 'use ' || :n),
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', 1, 'entityIds', array['leaf-4', 'gpt'], 'idempotencyKey', 'use ' || :n),
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', 1, 'dimensions', jsonb_build_object('guest', 'used ' || :n, 'userId', 'ann'), 'idempotencyKey', 'another use ' || :n)))
			where event_id is not null;
			select 'event ' || event_id from gov_ingest_each(jsonb_build_array(
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'entityIds', array['leaf-5']),
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', -1, 'entityIds', array['leaf-5'], 'idempotencyKey', 'each ' || :n)));
		}
		  . reserve(q{3, null, '{bot}'})
		  . q{
			select reservation_id as other from gov_reserve(:'owner', 'tokens', 2, null, '{leaf-6}') \gset
			select 'event ' || event_id from gov_settle_many(jsonb_build_array(
				jsonb_build_object('reservationId', :'other', 'amount', 1), jsonb_build_object('reservationId', :'h'), jsonb_build_object('reservationId', gen_random_uuid())))
			where event_id is not null;
		},
	},
	own_changes => {
		cold => 1,
		fatal => 1,
		events => 4,
		together => 1,
		sql => q{
			begin;
			insert into gov_entities (owner_id, id, type_id, parent_id) values (:'owner', 'new ' || :n, 'user', 'ann');
			insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values (:'owner', 'new ' || :n, 'tokens', 10);
			update gov_assignments set usage_limit = 500000 + :n where owner_id = :'owner' and entity_id = 'eng';
			insert into gov_capabilities (id) values (:'owner' || :n);
			select event_id from gov_consume(:'owner', 'tokens', 4, null, array['new ' || :n]);
			select event_id from gov_consume(:'owner', 'tokens', 7, null, array['new ' || :n]);
			update gov_assignments set usage_limit = 12 where owner_id = :'owner' and entity_id = 'new ' || :n;
			select event_id from gov_consume(:'owner', 'tokens', 7, null, array['new ' || :n, 'bot']);
			select event_id from gov_ingest(:'owner', :'owner' || :n, 1, null, '{bot}');
			select event_id from gov_ingest(:'owner', 'tokens', -3, null, '{bot}');
			commit;
		},
	},
	first_use => {
		cold => 1,
		fatal => 1,
		events => 5,
		sql => call('gov_consume', q{1, jsonb_build_object('guest', 'guest ' || :n, 'userId', 'ann')})
		  . call('gov_ingest', q{2, jsonb_build_object('toy', 'toy ' || :n, 'guest', 'guest ' || :n, 'userId', 'ann')})
		  . "select is_granted from gov_consume(:'owner', 'tokens', 1e9, jsonb_build_object('guest', 'none ' || :n, 'userId', 'ann'));\n"
		  . "select is_granted from gov_consume(:'owner', 'tokens', 1, '{\"pet\": \"cat\", \"guest\": \"none\", \"userId\": \"ann\"}');\n"
		  . reserve(q{3, jsonb_build_object('toy', 'another toy ' || :n, 'guest', 'another ' || :n, 'userId', 'ann')})
		  . settle('2')
		  . call('gov_consume', q{1, jsonb_build_object('guest', 'keyed ' || :n, 'userId', 'ann'), null, 'first ' || :n})
		  . q{
			select 'event ' || event_id from gov_ingest_many(:'owner', jsonb_build_array(
				jsonb_build_object('capabilityId', 'tokens', 'dimensions', jsonb_build_object('guest', 'many ' || :n, 'userId', 'ann'))));
		},
	},
	first_use_together => {
		fatal => 1,
		events => 4,
		together => 1,
		caught => 1,
		sql => q{
			begin;
			select event_id from gov_consume(:'owner', 'tokens', 1, jsonb_build_object('guest', 'in ' || :n, 'userId', 'ann'));
			select event_id from gov_consume(:'owner', 'tokens', 1, jsonb_build_object('guest', 'in ' || :n));
			insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values (:'owner', 'in ' || :n, 'tokens', 10, 'P100Y');
			select event_id from gov_consume(:'owner', 'tokens', 1, jsonb_build_object('toy', 'toy in ' || :n, 'guest', 'in ' || :n));
			select is_granted from gov_consume(:'owner', 'tokens', 11, jsonb_build_object('toy', 'other toy in ' || :n, 'guest', 'in ' || :n));
			savepoint a;
			select event_id from gov_consume(:'owner', 'tokens', 1, jsonb_build_object('guest', 'out ' || :n, 'userId', 'ann'));
			rollback to a;
			select event_id from gov_consume(:'owner', 'tokens', 1, jsonb_build_object('guest', 'other ' || :n, 'userId', 'ann'));
			commit;
		},
	},
	changes => {
		events => 3,
		sql => q{
			insert into gov_entities (owner_id, id, type_id, parent_id) values (:'owner', 'brief ' || :n, 'user', 'ann');
			insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values (:'owner', 'brief ' || :n, 'tokens', 10);
		}
		  . call('gov_consume', q{4, null, array['brief ' || :n]})
		  . q{
			update gov_assignments set cadence = 'P100Y' where owner_id = :'owner' and entity_id = 'brief ' || :n;
		}
		  . call('gov_consume', q{5, null, array['brief ' || :n]})
		  . q{
			update gov_entities set parent_id = 'acme' where owner_id = :'owner' and id = 'brief ' || :n;
			update gov_entities set archived_at = now() where owner_id = :'owner' and id = 'brief ' || :n;
		}
		  . call('gov_consume', q{6, null, array['brief ' || :n]})
		  . q{
			delete from gov_assignments where owner_id = :'owner' and entity_id = 'brief ' || :n;
			delete from gov_entities where owner_id = :'owner' and id = 'brief ' || :n;
		},
	},
	recounts => {
		cold => 1,
		fatal => 1,
		events => 3,
		sql => call('gov_ingest', q{3, null, '{bot}'})
		  . q{
			select usage from gov_recount((select id from gov_assignments where owner_id = :'owner' and entity_id = 'bot' and cadence is null));
		}
		  . call('gov_consume', q{2, '{"model": "gpt"}', '{bot}'})
		  . q{
			begin;
			insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit) values (:'owner', 'eng', 'tokens', 'recounted ' || :n, 1000000);
			select usage from gov_recount((select id from gov_assignments where owner_id = :'owner' and name = 'recounted ' || :n), by => 'tree');
			savepoint a;
			select usage from gov_recount((select id from gov_assignments where owner_id = :'owner' and entity_id = 'eng' and name = ''), by => 'tree');
			rollback to a;
			select gov_allowed(:'owner', 'tokens', 1, null, '{bot}');
			commit;
		}
		  . call('gov_consume', q{1, null, '{bot}'})
		  . q{
			delete from gov_assignments where owner_id = :'owner' and name = 'recounted ' || :n;
		},
	},
	defaults => {
		cold => 1,
		fatal => 1,
		events => 6,
		sql => "insert into gov_entities (owner_id, id, type_id, parent_id) values (:'owner', 'guest-' || :n, 'visitor', 'ann');\n"
		  . call('gov_consume', q{4, null, array['guest-' || :n]})
		  . call('gov_consume', q{26, null, array['guest-' || :n, 'gpt']})
		  . call('gov_consume', q{25, null, array['guest-' || :n, 'gpt']})
		  . q{
			begin;
			insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values (:'owner', 'guest-' || :n, 'tokens', 500);
			select event_id from gov_consume(:'owner', 'tokens', 90, null, array['guest-' || :n]);
			rollback;
			insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values (:'owner', 'guest-' || :n, 'tokens', 500);
		}
		  . call('gov_consume', q{40, null, array['guest-' || :n, 'opus']})
		  . "delete from gov_assignments where owner_id = :'owner' and entity_id = 'guest-' || :n;\n"
		  . reserve(q{3, null, array['guest-' || :n]})
		  . settle(2)
		  . "update gov_default_assignments set usage_limit = 100 + :n % 2 where type_id = 'visitor' and scope_type_ids = '{}';\n"
		  . call('gov_ingest', q{-2, null, array['guest-' || :n, 'opus']})
		  . q{
			delete from gov_entities where owner_id = :'owner' and id = 'guest-' || :n;
			insert into gov_entities (owner_id, id, type_id, parent_id) values (:'owner', 'guest-' || :n || ' again', 'visitor', 'ann');
		}
		  . call('gov_consume', q{4, null, array['guest-' || :n || ' again']}),
	},
	alerts => {
		cold => 1,
		fatal => 1,
		events => 5,
		sql => q{
			insert into gov_entities (owner_id, id, type_id) values (:'owner', 'alerted ' || :n, 'user');
			insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds)
			values (:'owner', 'alerted ' || :n, 'tokens', 10, '{50,100,120}');
		}
		  . call('gov_ingest', q{4, null, array['alerted ' || :n]})
		  . call('gov_ingest', q{2, null, array['alerted ' || :n]})
		  . q{
			select 'event ' || event_id from gov_ingest_many(:'owner', jsonb_build_array(
				jsonb_build_object('capabilityId', 'tokens', 'amount', 3, 'entityIds', array['alerted ' || :n]),
				jsonb_build_object('capabilityId', 'tokens', 'amount', 2, 'entityIds', array['alerted ' || :n])));
		}
		  . call('gov_ingest', q{2, null, array['alerted ' || :n]}),
	},
	savepoints => {
		events => 3,
		caught => 1,
		sql => q{
			begin;
			select event_id from gov_consume(:'owner', 'tokens', 1, null, '{bot}');
			savepoint a;
			select event_id from gov_consume(:'owner', 'tokens', 10, null, '{leaf-1,many}');
			select event_id from gov_ingest(:'owner', 'tokens', -5, null, '{bot}');
			rollback to a;
			savepoint b;
			select event_id from gov_ingest(:'owner', 'tokens', -3, null, '{leaf-4}', 'saved ' || :n);
			release b;
			select event_id from gov_consume(:'owner', 'tokens', 2, null, '{bot,leaf-5}');
			commit;
		},
	},
	pools => {
		cold => 1,
		fatal => 1,
		events => 7,
		sql => q{
			insert into gov_entities (owner_id, id, type_id, parent_id) values (:'owner', 'vault ' || :n, 'org', null), (:'owner', 'teller ' || :n, 'user', 'vault ' || :n);
			insert into gov_assignments (owner_id, entity_id, capability_id, is_pool) values (:'owner', 'vault ' || :n, 'tokens', true);
			select from gov_grant_credits(:'owner', 'vault ' || :n, 'tokens', 10, reference => 'one ' || :n);
		}
		  . call('gov_consume', q{4, null, array['teller ' || :n]})
		  . call('gov_ingest', q{9, null, array['teller ' || :n]})
		  . "select from gov_grant_credits(:'owner', 'vault ' || :n, 'tokens', 20, '2099-01-01', 'two ' || :n);\n"
		  . "begin; select event_id from gov_consume(:'owner', 'tokens', 5, null, array['teller ' || :n]); rollback;\n"
		  . call('gov_consume', q{5, null, array['teller ' || :n], 'drawn ' || :n})
		  . "select coalesce(reservation_id, :'h') as h from gov_reserve(:'owner', 'tokens', 6, null, array['teller ' || :n]) \\gset\n"
		  . settle('20')
		  . "select 'event ' || r.event_id from gov_events e, gov_reverse(e.id, 2) r where e.owner_id = :'owner' and e.idempotency_key = 'drawn ' || :n;\n"
		  . q{
			select gov_void_grant(g.id) from gov_grants g where g.owner_id = :'owner' and g.reference = 'two ' || :n;
			select from gov_grant_credits(:'owner', 'vault ' || :n, 'tokens', 90, reference => 'three ' || :n);
			select 'event ' || event_id from gov_consume_many(jsonb_build_array(
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', 1, 'entityIds', array['teller ' || :n]),
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', 900, 'entityIds', array['teller ' || :n]),
				jsonb_build_object('ownerId', :'owner', 'capabilityId', 'tokens', 'amount', 2, 'entityIds', array['teller ' || :n], 'idempotencyKey', 'many draw ' || :n)))
			where event_id is not null;
		},
	},
	reversals => {
		cold => 1,
		fatal => 1,
		events => 5,
		sql => q{
			with used as materialized (select event_id from gov_ingest(:'owner', 'tokens', 9, '{"model": "gpt"}', '{bot}', 'reversed ' || :n)),
			given as materialized (select r.event_id from used u, gov_reverse(u.event_id, 4, 'refund ' || :n) r)
			select 'event ' || u.event_id || E'\nevent ' || g.event_id from used u, given g;
		}
		  . reverse_used(q{4, 'refund ' || :n})
		  . call('gov_ingest', q{2, null, '{ann}', 'used ' || :n})
		  . "select 'event ' || r.event_id from gov_events e, gov_reverse(e.id) r where e.owner_id = :'owner' and e.idempotency_key = 'used ' || :n;\n"
		  . 'begin; ' . reverse_used('null') . "rollback;\n"
		  . reverse_used(q{null, 'rest ' || :n}) =~ s/event_id/'event ' || event_id/r
		  . reverse_used(q{null, 'rest ' || :n}) =~ s/event_id/'event ' || event_id/r,
	},
	forgetting => {
		cold => 1,
		fatal => 1,
		events => 2,
		sql => q{
			insert into gov_entities (owner_id, id, type_id, parent_id) values (:'owner', 'brief ' || :n, 'user', 'ann');
			insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values (:'owner', 'brief ' || :n, 'tokens', 10);
		}
		  . call('gov_ingest', q{3, null, array['brief ' || :n]})
		  . "select gov_forget_entity(:'owner', 'brief ' || :n, 'gone ' || :n);\n"
		  . call('gov_ingest', q{2, null, array['ann']})
		  . "select is_granted from gov_check(:'owner', 'tokens', 8, null, array['gone ' || :n]);\n"
		  . "select 1 from gov_maintain();\n",
	},
	blocks => {
		fatal => 1,
		events => 4,
		caught => 1,
		sql => q{
			select set_config('test.owner', :'owner', false), set_config('test.n', :'n', false);
			do $$
			declare
				owner text := current_setting('test.owner');
				n text := current_setting('test.n');
			begin
				for i in 1 .. 3 loop
					begin
						perform gov_consume(owner, 'tokens', i, null, array['bot', 'leaf-' || i]);
						begin
							perform gov_ingest(owner, 'tokens', -i, null, array['many'], format('block %s %s', n, i));
							if i = 2 then
								raise exception 'no';
							end if;
						exception
							when raise_exception then null;
						end;
						if i = 3 then
							update gov_assignments set usage_limit = 10 * i where owner_id = owner and entity_id = 'leaf-3';
							perform gov_consume(owner, 'tokens', i, null, array['leaf-3']);
							raise exception 'no';
						end if;
					exception
						when others then null;
					end;
				end loop;
				perform gov_consume(owner, 'tokens', 1, null, array['bot']);
			end $$;
		},
	},
	many => {
		events => 3,
		together => 1,
		sql => q{
			begin;
			select event_id from gov_ingest(:'owner', 'tokens', 1, null, array['many', 'bot', 'gpt'] || array(select 'leaf-' || n from generate_series(1, 10) n)
				|| array(select 'nobody-' || n from generate_series(1, 10) n));
			savepoint a;
			select event_id from gov_consume(:'owner', 'tokens', 1, null, '{many}');
			savepoint b;
			select event_id from gov_consume(:'owner', 'tokens', 1, null, '{many}');
			select count(*) from gov_headroom(:'owner', 'tokens', 1, null, '{many,bot,leaf-7}');
			commit;
		},
	},
	check => {
		cold => 1,
		events => 0,
		sql => q{
			select gov_allowed(:'owner', 'tokens', 1, '{"model": "gpt"}', '{bot}');
			select is_granted, chains from gov_check(:'owner', 'tokens', 1, null, '{bot,many}');
			set governance.on_unavailable = 'deny';
			select count(*) from gov_headroom(:'owner', 'tokens', 1, null, '{leaf-1,opus}');
			select gov_allowed(:'owner', 'tokens', 1, null, '{leaf-2}');
			set governance.use_cache = off;
			select is_granted from gov_check(:'owner', 'tokens', 1, null, '{bot,many}');
			reset governance.use_cache;
		},
	},
	holds => {
		cold => 1,
		events => 4,
		sql => reserve(q{5, '{"model": "gpt"}', '{bot}'})
		  . settle('3') . settle('7')
		  . reserve(q{4, null, '{bot,many}'})
		  . settle('6')
		  . reserve(q{2, null, '{leaf-1}'})
		  . "select gov_extend(:'h', interval '1 hour');\n"
		  . "select gov_release(:'h'), gov_release(:'h');\n"
		  . settle('2')
		  . reserve(q{1.5, null, '{ann}'})
		  . settle('null')
		  . "select is_granted from gov_reserve(:'owner', 'tokens', 1e9, null, '{bot}');\n"
		  . reserve(q{2, null, '{ann}', null, interval '1 ms'})
		  . settle('1'),
	},
	hold_keys => {
		fatal => 1,
		events => 1,
		sql => reserve(q{5, null, '{bot}', 'hold ' || :n})
		  . reserve(q{5, null, '{bot}', 'hold ' || :n})
		  . "select event_id from gov_consume(:'owner', 'tokens', 5, null, '{bot}', 'hold ' || :n);\n"
		  . settle('4')
		  . reserve(q{5, null, '{bot}', 'hold ' || :n}),
	},
	holds_together => {
		events => 3,
		together => 1,
		sql => "begin;\n"
		  . reserve(q{5, null, '{bot}'})
		  . "select event_id from gov_settle(:'h', 2);\n"
		  . "update gov_assignments set usage_limit = 500000 + :n where owner_id = :'owner' and entity_id = 'eng';\n"
		  . reserve(q{5, null, '{ann}'})
		  . "select event_id from gov_consume(:'owner', 'tokens', 2, null, '{ann}');\n"
		  . "select event_id from gov_settle(:'h');\n"
		  . reserve(q{5, null, '{leaf-1}'})
		  . "select gov_release(:'h');\n"
		  . "commit;\n",
	},
	expired => {
		events => 1,
		before => sub {
			my ($owner) = @_;
			checker()->ask(qq{
				select gov_release(id) from gov_reservations where owner_id = '$owner' and state = 'open';
				select gov_ingest('$owner', 'tokens', -current_usage, null, '{tight}') from gov_headroom('$owner', 'tokens', 0, null, '{tight}')});
		},
		sql => reserve(q{8, null, '{tight}', null, interval '2 ms'})
		  . "select pg_sleep(0.003);\n"
		  . "select gov_allowed(:'owner', 'tokens', 9, null, '{tight}');\n"
		  . call('gov_consume', q{9, null, '{tight}'})
		  . "select gov_release(:'h');\n",
	},
	turn => {
		events => 2,
		before => sub {
			my ($owner) = @_;
			checker()->ask("select gov_allowed('$owner', 'tokens', 1, null, '{clock,bot}')");
			turn_windows();
		},
		sql => call('gov_consume', q{5, null, '{clock,bot}'})
		  . "select is_granted from gov_check(:'owner', 'tokens', 1, null, '{clock}');\n"
		  . call('gov_ingest', q{-1, null, '{clock}'}),
	},
	maintain => {
		fatal => 1,
		events => 1,
		before => sub {
			my ($owner) = @_;
			checker()->ask("select gov_ingest('$owner', 'tokens', n, null, array['bot', 'leaf-' || n]) from generate_series(1, 30) n");
		},
		sql => "select 1 from gov_maintain();\n" . call('gov_ingest', q{7, null, '{bot}'}) . "select 1 from gov_maintain();\n",
	});

# ---------------------------------------------------------------- the loop

my $clock_offset = 0;
my $rounds = 0;
my $doer;
my $checker;
my %largest;

# Run a script in a session of its own, which is there when this begins; answers what it prints, and its errors. The next session is
# one of the same psql, if its connection was not cut.
sub run_in_new_session
{
	my ($script) = @_;

	$doer //= GovSession->new($node, 'doer');
	my ($out, $is_there) = $doer->run("\\set VERBOSITY verbose\n$script\n\\connect\n");
	leave($doer) if !$is_there;
	return $out;
}

# The session that checks keeps its plans, as long as the server lives.
sub checker
{
	$checker //= GovSession->new($node, 'checker');
	return $checker;
}

sub leave
{
	$_[0]->close if $_[0];
	$_[0] = undef;
	return;
}

sub await_clock_offset
{
	my ($session) = @_;

	foreach (1 .. 1000 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $session->ask("select setting from pg_settings where name = 'governance.clock_offset'") eq $clock_offset;
		usleep(1000);
	}
	die 'the clock is not set';
}

# Move the clock ten windows on.
sub turn_windows
{
	$clock_offset += 100;
	checker()->ask("alter system set governance.clock_offset = '$clock_offset'; select from pg_reload_conf()");
	await_clock_offset($_) foreach grep { defined } $checker, $doer;
	return;
}

sub history_script
{
	my ($history, $owner, $n, $action, $point, $caller) = @_;
	my $begin = $history->{cold} ? '' : "select from gov_allowed('$owner', 'tokens', 0, null, '{opus}');";

	return <<EOS;
\\set owner '$owner'
\\set n $n
\\set h 00000000-0000-0000-0000-000000000000
\\echo pid
select pg_backend_pid();
set governance.caller = '$caller';
set statement_timeout = '20s';
$begin
set governance.fault_action = '$action';
set governance.fault_point = '$point';
set governance.fault_at = $n;
$history->{sql}
rollback;
\\echo left
show governance.fault_at;
set governance.fault_at = 0;
reset governance.caller;
reset governance.on_unavailable;
reset governance.use_cache;
\\echo next
select is_granted and not is_duplicate from gov_consume('$owner', 'tokens', 1, null, '{bot,many}');
do \$\$ begin
	update gov_events set amount = 0 where false;
	raise 'the ledger is not guarded';
exception
	when insufficient_privilege then null;
end \$\$;
select every(h.current_usage = (select sum(v.amount) from gov_events v where v.owner_id = '$owner' and 'bot' = any (v.entity_ids) and v.capability_id = 'tokens'))
from gov_headroom('$owner', 'tokens', 1, null, '{bot}') h where h.entity_id = 'bot';
EOS
}

# What another session finds afterwards; a claim that is left would make it wait. With nothing cached, memory is the hash tables:
# more of it is memory that nobody frees.
sub check_script
{
	my ($owner, $pid, $caller) = @_;
	return <<EOS;
set statement_timeout = '9s';
call wait_until_gone($pid);
select 'wrong: ' || wrong('$owner');
select 'recorded ' || id from gov_events where caller = '$caller';
select from gov_refresh();
select 'memory ' || value from gov_stats where name = 'cache_used_bytes';
EOS
}

# One round: has the history met its fault, and how much memory is left? What is wrong goes onto the list.
sub run_once
{
	my ($history, $owner, $n, $action, $point, $problems) = @_;
	my $caller = "$owner $action $n";
	my $problem = sub { push @$problems, "$caller, $point: $_[0]" };
	my $log_end = -s $node->logfile;
	my $out = run_in_new_session(history_script($history, $owner, $n, $action, $point, $caller));
	my ($pid) = $out =~ /^pid\n(\d+)$/m;
	my ($left) = $out =~ /^left\n(\d+)$/m;
	my $is_hit = !$left;
	my $has_failed = $out =~ /(?:ERROR|FATAL): .*(?:fault point|cache is full)$/m;

	die "no session: $out" if !defined $pid;
	$problem->("the session does not go on: $out")
	  if $action eq 'error' && $out !~ /^next\nt\nt$/m;
	foreach my $line (grep { /(ERROR|FATAL|PANIC|WARNING): / } split /\n/, $out)
	{
		$problem->($line)
		  unless $line =~ /: (?:fault point|terminating connection at a fault point|governance cache is full)$/
		  || $line =~ /ERROR:  (?:25P02|GV001|23503|23505|3B001|42704|55000)|WARNING:  25P01/;
	}

	if ($action eq 'crash')
	{
		$has_failed = $is_hit;
		leave($checker);

		# until it is noticed that a backend was killed, the server goes on
		$node->wait_for_log(qr/all server processes terminated; reinitializing/, $log_end) if $is_hit;
		gov_await($node, 'postgres', 'select true');
	}
	my ($found) = checker()->run(check_script($owner, $pid, $caller));
	my ($trouble, $memory) = $found =~ /\A(.*?)^(?:recorded \d+\n)*memory (\d+)\n\z/ms;
	my %told = map { $_ => 1 } $out =~ /^event (\d+)$/mg;
	my %recorded = map { $_ => 1 } $found =~ /^recorded (\d+)$/mg;
	my $wanted = $has_failed ? ($history->{together} ? 0 : keys %told) : $history->{events};

	$problem->($trouble // $found) if ($trouble // $found) ne "\n";
	$problem->("$wanted events and not " . keys %recorded)
	  if keys %recorded != $wanted && !($history->{caught} && $is_hit);
	$problem->("was told of event $_") foreach grep { !$recorded{$_} } keys %told;
	return ($is_hit, $memory);
}

# All rounds of a history.
sub run_until_it_passes
{
	my ($name, $action, $point) = @_;
	my $history = $histories{$name};
	my $owner = "$name $action";
	my @problems;
	my $n = 0;

	checker()->ask("call customer('$owner')");

	# A call that finds nothing in the cache loads all that the owner's tail names: without this, each round would have more points.
	my $prepare = sub {
		checker()->ask('call roll_up()');
		$history->{before}->($owner) if $history->{before};
	};

	# nothing is hit so far out
	$prepare->();
	my ($is_hit, $before) = run_once($history, $owner, 1000000, 'error', $point, \@problems);
	do
	{
		my $memory;

		$prepare->();
		($is_hit, $memory) = run_once($history, $owner, ++$n, $action, $point, \@problems);
		push @problems, "$n: $memory bytes are left, and not $before"
		  if $memory != $before && $action ne 'crash';
	} while ($is_hit && @problems < 5);

	is(join("\n", @problems), '', "$name: all is well whichever of its " . ($n - 1) . " points ($point) ends in $action");
	cmp_ok($n, '>', 1, "$name: there are points");
	$rounds += $n;
	$largest{$action} = $n - 1 if ($largest{$action} // 0) < $n - 1;
	checker()->ask("select gov_delete_owner('$owner')");
	return;
}

# ---------------------------------------------------------------- every history

my @only = split /,/, $ENV{FAULT_HISTORIES} // '';
foreach my $name (sort keys %histories)
{
	next if @only && !grep { $_ eq $name } @only;
	run_until_it_passes($name, 'error', 'all');
	run_until_it_passes($name, 'fatal', 'all') if $histories{$name}{fatal};
}

# kill -9 in the middle of a load and around each row: the server restarts, and what was not acknowledged was not counted.
run_until_it_passes('ingest', 'crash', 'load');
run_until_it_passes('keyed', 'crash', 'row');
run_until_it_passes('hold_keys', 'crash', 'row');
run_until_it_passes('pools', 'crash', 'row');
note "$rounds rounds, at most " . join ', ', map { "$largest{$_} points for $_" } sort keys %largest;

# ---------------------------------------------------------------- a server that has just started

# The first allocation of all is the hash table of a stripe.
$node->safe_psql('postgres', "call customer('first')");
foreach my $n (1 .. 4)
{
	leave($checker);
	leave($doer);
	$node->restart;
	my @problems;
	run_once($histories{ingest}, 'first', $n, 'error', 'cache', \@problems);
	is(join("\n", @problems), '', "allocation $n after a start fails");
}

# ---------------------------------------------------------------- waits

sub wait_for
{
	my ($condition) = @_;
	$node->poll_query_until('postgres', "select $condition") or die "never: $condition";
	return;
}

# A session stops in a load that it has claimed, and another waits for it. Whichever way either of them ends, the next one is served.
$node->safe_psql('postgres', "call customer('wait')");
my $ingest = "select is_duplicate from gov_ingest('wait', 'tokens', 1, null, '{bot}')";
foreach my $end ('cancel', 'terminate')
{
	foreach my $n (1 .. 2)
	{
		my $loader = $node->background_psql('postgres', on_error_stop => 0);
		my $pid = $loader->query_safe('select pg_backend_pid()');

		$node->safe_psql('postgres', 'select gov_refresh()');
		$loader->query_safe("set governance.fault_action = 'pause'; set governance.fault_point = 'load'; set governance.fault_at = $n");
		$loader->{stdin} .= "$ingest;\n";
		$loader->{run}->pump_nb;
		wait_for("exists (select from pg_stat_activity where pid = $pid and state = 'active' and wait_event_type = 'Extension')");

		my $out = run_in_new_session("set governance.fault_point = 'wait'; set governance.fault_at = 2; begin; $ingest; rollback; show governance.fault_at;\n");
		like($out, qr/^ERROR:  40P01: fault point\n.*^0\n\z/ms, "waiting for a load fails, and it did wait, $end $n");

		$node->safe_psql('postgres', "select pg_${end}_backend($pid)");
		$out = run_in_new_session("set statement_timeout = '9s'; begin; $ingest; select wrong('other'); commit;\n");
		like($out, qr/\Af\npinned: /, "the next one is served, $end $n");
		if ($end eq 'cancel')
		{
			$loader->{run}->pump until $loader->{stderr} =~ /ERROR/;
			$loader->{stderr} = '';
			is($loader->query_safe($ingest), 'f', 'and so is the cancelled session');
			$loader->quit;
		}
		wait_for("not exists (select from pg_stat_activity where pid = $pid)");
		is($node->safe_psql('postgres', "select wrong('wait')"), '', "all is well, $end $n");
	}
}

# Waiting for a key that another session has in flight fails; afterwards it is a duplicate, or free.
my $keyed = "select is_duplicate from gov_consume('wait', 'tokens', 1, null, '{bot}', 'k')";
foreach my $end ('rollback', 'commit')
{
	my $first = $node->background_psql('postgres', on_error_stop => 0);

	is($first->query_safe("begin; $keyed"), 'f', 'a key is in flight');
	my $out = run_in_new_session("set governance.fault_point = 'wait'; set governance.fault_at = 1; begin; $ingest; $keyed; rollback;\n");
	like($out, qr/\Af\nERROR:  40P01: fault point\n/, "waiting for it fails, before the $end");
	$first->query_safe($end);
	$out = run_in_new_session("begin; $keyed; rollback; select wrong('wait');\n");
	is($out, $end eq 'commit' ? "t\n\n" : "f\n\n", "and after the $end it is what it is");
	$first->quit;
}

leave($checker);
leave($doer);
$node->stop;
done_testing();
