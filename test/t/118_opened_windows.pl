# Windows that begin with a first use: a random history with a stopped clock against a model of the contract; many clients, judged by the
# ledger; a crash, a standby and its promotion, a dump.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $seed = $ENV{OPENED_SEED} // int(rand(1e9));
note "OPENED_SEED=$seed";

my $node = gov_node('opened', init => { allows_streaming => 1 }, conf => "timezone = 'UTC'\ngovernance.usage_merge_after = 0");

$node->safe_psql('postgres', q{
	insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('user', '{}');
	insert into gov_capabilities (id) values ('tokens'), ('calls');
	insert into gov_prices (capability_id, quantity, price, per, valid_from) values ('tokens', 'quarter', 1, 4, '2020-01-01');
});

# ---------------------------------------------------------------- a random history

# The model: windows that were opened, uses, and what is held. It stands in tables, so it is rolled back with what it is the model of.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) values ('model', 'acme', 'org');
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('model', 'ann', 'user', 'acme');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind, timezone) values
		('model', 'ann', 'tokens', 100, 'PT1H', 'first_use', 'UTC'), ('model', 'acme', 'tokens', 400, 'P1D', 'first_use', 'Europe/Berlin');
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('model', 'ann', 'tokens', 'calendar', null, 'PT1H');

	create schema model;
	create table model.clock (at timestamptz);
	insert into model.clock values ('2026-03-28 11:17:23.456Z');
	create table model.budget (entity text, most numeric, cadence interval, zone text);
	insert into model.budget values ('ann', 100, '1 hour', 'UTC'), ('acme', 400, '1 day', 'Europe/Berlin');
	create table model.opened (entity text, starts timestamptz, ends timestamptz);
	create table model.used (entity text, starts timestamptz, amount numeric);
	create table model.held (id uuid, amount numeric);

	create function model.now() returns timestamptz language sql as 'select at from model.clock';

	create function model.stop_clock() returns void language sql as $$
		select set_config('governance.fault_clock', (extract(epoch from model.now() - timestamptz '2000-01-01 00:00Z') * 1000000)::bigint::text, false)
	$$;

	-- The window of a budget that holds a time.
	create function model.window_at(of text, at timestamptz) returns model.opened language sql as $$
		select * from model.opened o where o.entity = of and o.starts <= at and o.ends > at order by o.starts desc limit 1
	$$;

	create function model.usage(of text) returns numeric language sql as $$
		select coalesce(sum(u.amount), 0) from model.used u where u.entity = of and u.starts = (model.window_at(of, model.now())).starts
	$$;

	create function model.holding() returns numeric language sql as 'select coalesce(sum(amount), 0) from model.held';

	-- A use of a time counts in the window that holds the time, or begins one; a correction begins none.
	create function model.use(at timestamptz, amount numeric) returns void language plpgsql as $$
	declare
		b model.budget;
		w model.opened;
		next timestamptz;
	begin
		for b in select * from model.budget loop
			w := model.window_at(b.entity, at);
			if w.starts is null and amount > 0 then
				next := (select min(o.starts) from model.opened o where o.entity = b.entity and o.starts > at);
				w := (b.entity, at, least((at at time zone b.zone + b.cadence) at time zone b.zone, next));
				insert into model.opened values (w.*);
			end if;
			if w.starts is not null and amount <> 0 then
				insert into model.used values (b.entity, w.starts, amount);
			end if;
		end loop;
	end $$;

	create function model.fits(amount numeric) returns boolean language sql as $$
		select bool_and(model.usage(b.entity) + model.holding() + amount <= b.most) from model.budget b
	$$;

	create function model.expected() returns text language sql as $$
		select string_agg(format('%s %s+%s [%s, %s)', b.entity, trim_scale(model.usage(b.entity)), trim_scale(model.holding()), w.starts, w.ends), ' ' order by b.entity)
		from model.budget b cross join lateral model.window_at(b.entity, model.now()) w
	$$;

	create function model.answered() returns text language sql as $$
		select string_agg(format('%s %s+%s [%s, %s)', h.entity_id, trim_scale(h.current_usage), trim_scale(h.reserved_usage), h.usage_period_start, h.usage_period_end), ' ' order by h.entity_id)
		from gov_headroom('model', 'tokens', 0, null, '{ann}') h where h.name = ''
	$$;

	create function model.queried() returns text language sql as $$
		select string_agg(format('%s %s+%s [%s, %s)', r ->> 'entityId', r ->> 'currentUsage', r ->> 'reservedUsage', (r ->> 'usagePeriodStart')::timestamptz, (r ->> 'usagePeriodEnd')::timestamptz), ' ' order by r ->> 'entityId')
		from jsonb_array_elements(gov_query('model', '{tokens}') -> 'data') r where r ->> 'name' = ''
	$$;

	create function model.chosen(most int) returns int language sql as 'select floor(random() * most)::int';

	-- One use, in one of the ways to ask for it: alone, with another capability, by quantities, or as an item of a batch.
	create function model.consume(amount numeric, way int) returns boolean language sql as $$
		select case way
			when 0 then (select is_granted from gov_consume('model', 'tokens', amount, null, '{ann}'))
			when 1 then (select is_granted from gov_consume_all('model', jsonb_build_object('tokens', amount, 'calls', 1), null, '{ann}'))
			when 2 then (select is_granted from gov_consume_all('model', jsonb_build_object('tokens', jsonb_build_object('quarter', 4 * amount)), null, '{ann}'))
			else (select is_granted from gov_consume_many(jsonb_build_array(jsonb_build_object('ownerId', 'model', 'capabilityId', 'tokens', 'amount', amount, 'entityIds', '{ann}'::text[]))))
		end
	$$;

	create function model.ingest(amount numeric, at timestamptz, way int) returns void language plpgsql as $$
	begin
		perform case way
			when 0 then (select event_id from gov_ingest('model', 'tokens', amount, null, '{ann}', occurred_at => at))
			when 1 then (select (event_ids ->> 'tokens')::bigint from gov_ingest_all('model', jsonb_build_object('tokens', amount, 'calls', 1), null, '{ann}', occurred_at => at))
			when 2 then (select (event_ids ->> 'tokens')::bigint from gov_ingest_all('model', jsonb_build_object('tokens', jsonb_build_object('quarter', 4 * amount)), null, '{ann}', occurred_at => at))
			else (select event_id from gov_ingest_each(jsonb_build_array(jsonb_build_object('ownerId', 'model', 'capabilityId', 'tokens', 'amount', amount, 'entityIds', '{ann}'::text[], 'occurredAt', at))))
		end;
	end $$;

	create function model.act() returns text language plpgsql as $$
	declare
		what constant int := model.chosen(13);
		way constant int := model.chosen(4);
		others numeric[];
		said boolean[];
		amount numeric := model.chosen(40) + model.chosen(2) * 0.25;
		at timestamptz;
		fits boolean;
		granted boolean;
		id uuid;
	begin
		if what < 4 then
			fits := model.fits(amount);
			granted := model.consume(amount, way);
			if fits <> granted then
				raise exception 'consume % granted: %, fits: %', amount, granted, fits;
			end if;
			if granted then
				perform model.use(model.now(), amount);
			end if;
			return format('consume %s, way %s', amount, way);
		elsif what = 12 then
			-- a batch, each item of which sees what those before it have used
			others := array[amount, model.chosen(40) * 0.5, 0, model.chosen(80)];
			said := array(
				select m.is_granted
				from gov_consume_many((select jsonb_agg(jsonb_build_object('ownerId', 'model', 'capabilityId', 'tokens', 'amount', o.amount, 'entityIds', '{ann}'::text[]) order by o.n)
					from unnest(others) with ordinality o (amount, n))) m
				order by m.position);
			for n in 1..cardinality(others) loop
				fits := model.fits(others[n]);
				if fits <> said[n] then
					raise exception 'item % of % granted: %, fits: %', n, others, said[n], fits;
				end if;
				if fits then
					perform model.use(model.now(), others[n]);
				end if;
			end loop;
			return 'consume many ' || others::text;
		elsif what < 7 then
			at := model.now() - model.chosen(4 * 3600 * 1000) * interval '1 millisecond' * model.chosen(3);
			amount := case when model.chosen(4) = 0 then -amount / 4 else amount / 4 end;
			perform model.ingest(amount, at, way);
			perform model.use(at, amount);
			return format('ingest %s at %s, way %s', amount, at, way);
		elsif what = 7 then
			perform gov_ingest('model', 'tokens', -amount / 4, null, '{ann}');
			perform model.use(model.now(), -amount / 4);
			return 'correct';
		elsif what = 8 then
			amount := amount / 4;
			fits := model.fits(amount);
			if way < 2 then
				select reservation_id, is_granted into id, granted from gov_reserve('model', 'tokens', amount, null, '{ann}', ttl => '100 years');
			else
				select reservation_id, is_granted into id, granted from gov_reserve_all('model', jsonb_build_object('tokens', jsonb_build_object('quarter', 4 * amount), 'calls', 1), null, '{ann}', ttl => '100 years');
			end if;
			if fits <> granted then
				raise exception 'reserve % granted: %, fits: %', amount, granted, fits;
			end if;
			if granted then
				insert into model.held values (id, amount);
			end if;
			return 'reserve ' || amount;
		elsif what < 11 then
			delete from model.held h where h.id = (select x.id from model.held x limit 1) returning h.id into id;
			if id is not null and what = 9 then
				perform gov_settle_all(id, jsonb_build_object('tokens', amount / 4));
				perform model.use(model.now(), amount / 4);
				return 'settle ' || amount / 4;
			elsif id is not null then
				perform gov_release(id);
				return 'release';
			end if;
			return 'nothing held';
		else
			update model.clock set at = clock.at + model.chosen(50 * 60 * 1000) * interval '1 millisecond' * (1 + 20 * (model.chosen(12) / 11));
			perform model.stop_clock();
			return 'now ' || model.now();
		end if;
	end $$;

	create function model.agree(what text) returns void language plpgsql as $$
	begin
		if model.answered() is distinct from model.expected() then
			raise exception '%: % instead of %', what, model.answered(), model.expected();
		end if;
		if model.queried() is distinct from model.expected() then
			raise exception '%: gov_query says % instead of %', what, model.queried(), model.expected();
		end if;
	end $$;

	-- Some actions in one transaction, of which some are rolled back; the clock goes on.
	create function model.step() returns text language plpgsql as $$
	declare
		did text := '';
		time_then timestamptz;
	begin
		perform model.stop_clock();
		for n in 1..1 + model.chosen(3) loop
			begin
				did := did || '; ' || model.act();
				if model.chosen(4) = 0 then
					perform model.agree(did);
					did := did || ' (rolled back)';
					time_then := model.now();
					raise exception using errcode = 'MD001';
				end if;
			exception
				when sqlstate 'MD001' then
					update model.clock set at = time_then;
					perform model.stop_clock();
			end;
			perform model.agree(did);
		end loop;
		return did;
	end $$;
});

SKIP:
{
	skip 'built without -DGOV_FAULTS', 1 if $node->psql('postgres', 'show governance.fault_clock') != 0;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $steps = $ENV{OPENED_STEPS} // 400;
	my @did;

	gov_ask($session, 'select setseed(' . ($seed % 1000) / 1000 . ')');
	foreach my $n (1 .. $steps)
	{
		my $whole = int(rand(4)) > 0;
		my $said;

		if ($whole)
		{
			$said = gov_ask($session, 'select model.step()');
		}
		else
		{
			# The clock goes on when all else is rolled back.
			$said = gov_ask($session, 'begin; select model.step(); select model.step()');
			my $now = gov_ask($session, 'select model.now()');
			gov_ask($session, 'rollback');
			gov_ask($session, "update model.clock set at = '$now'");
		}
		gov_ask($session, 'select model.stop_clock()');
		push @did, ($whole ? '' : 'rolled back: ') . $said;
		$said = $said =~ /ERROR/ ? "a step failed " : "";
		$said .= gov_ask($session, q{select 'agree' from (select model.agree('after')) a});
		if ($n % 5 == 0)
		{
			gov_ask($session, 'select gov_maintain()') if $n % 2 == 0;
			gov_ask($session, 'select gov_refresh()');
			$said .= gov_ask($session, q{select 'agree' from (select model.agree('loaded anew')) a});
			gov_ask($session, 'set governance.use_cache = off');
			$said .= gov_ask($session, q{select 'agree' from (select model.agree('from the tables')) a});
			gov_ask($session, 'reset governance.use_cache');
			$said .= 'exact' if gov_ask($session, 'select count(*) from gov_verify()') eq '0';
		}
		next if $said =~ /^agree(agreeagreeexact)?$/;
		fail("step $n agrees with the model");
		diag("OPENED_SEED=$seed: $said");
		diag($_) foreach splice(@did, -8);
		last;
	}
	cmp_ok(scalar @did, '==', $steps, 'a random history agrees with the model');
	is( gov_ask($session, q{
		select count(*) from (
			(select u.entity_id, u.window_start, u.window_end, sum(u.amount) from (
				select a.entity_id, t.window_start, t.window_end, e.amount from gov_events e
				cross join lateral unnest(e.counter_ids, e.window_starts, e.window_ends) as t (counter_id, window_start, window_end)
				join gov_assignments a on a.counter_id = t.counter_id and a.owner_id = 'model' and a.name = '') u
			group by 1, 2, 3)
			except
			select o.entity, o.starts, o.ends, sum(u.amount) from model.opened o join model.used u using (entity, starts) group by 1, 2, 3) x}),
		'0', 'the ledger has the windows of the model');
	$session->quit;
}

# ---------------------------------------------------------------- many clients

# Short windows, limits that bind, rollbacks, savepoints, loads anew all the time.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) values ('many', 'acme', 'org');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'many', 'user-' || n, 'user', 'acme' from generate_series(1, 3) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind) values ('many', 'acme', 'tokens', 50, 'PT1S', 'first_use');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind)
	select 'many', 'user-' || n, 'tokens', 20, 'PT2S', 'first_use' from generate_series(1, 3) n;
});
my $dir = PostgreSQL::Test::Utils::tempdir;

append_to_file("$dir/use.sql", <<'SQL');
\set user random(1, 3)
\set amount random(1, 4)
\set way random(1, 8)
\if :way <= 4
select gov_consume('many', 'tokens', :amount, null, array['user-' || :user]);
\elif :way = 5
begin;
select gov_consume('many', 'tokens', :amount, null, array['user-' || :user]);
\sleep 20 ms
rollback;
\elif :way = 6
begin;
savepoint a;
select gov_consume('many', 'tokens', :amount, null, array['user-' || :user]);
rollback to a;
select gov_consume('many', 'tokens', :amount, null, array['user-' || :user]);
commit;
\elif :way = 7
\sleep 400 ms
\else
select gov_refresh();
\endif
SQL
$node->command_ok([ 'pgbench', '-n', '-c', '12', '-j', '2', '-T', '12', '-f', "$dir/use.sql", 'postgres' ], 'many clients');
$node->safe_psql('postgres', q{
	create view opened as
	select a.entity_id, a.usage_limit, t.window_start, t.window_end, sum(e.amount) as amount, min(e.occurred_at) as first, max(e.occurred_at) as last
	from gov_events e
	cross join lateral unnest(e.counter_ids, e.window_starts, e.window_ends) as t (counter_id, window_start, window_end)
	join gov_assignments a on a.counter_id = t.counter_id and a.owner_id = 'many'
	group by 1, 2, 3, 4});
cmp_ok($node->safe_psql('postgres', 'select count(*) from opened'), '>', 10, 'many windows were opened');
is($node->safe_psql('postgres', 'select * from opened where amount > usage_limit'), '', 'none is past its limit');
is($node->safe_psql('postgres', 'select * from opened where first < window_start or last >= window_end'), '', 'each use is in its window');
is( $node->safe_psql('postgres', q{
	select * from (select o.*, lead(o.window_start) over (partition by o.entity_id order by o.window_start) as next from opened o) x where x.next < x.window_end}),
	'', 'no two windows overlap');
cmp_ok($node->safe_psql('postgres', 'select count(*) from opened where amount > usage_limit - 4'), '>', 0, 'and some are used up');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

# ---------------------------------------------------------------- a crash, a standby, a dump

$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) select 'last', id, 'user' from unnest('{kept,shared,lost}'::text[]) id;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind)
	select 'last', id, 'tokens', 10, 'P7D', 'first_use' from unnest('{kept,shared,lost}'::text[]) id;
});

sub windows
{
	my ($server, $db) = @_;

	return $server->safe_psql($db // 'postgres', q{
		select h.entity_id, h.current_usage, h.usage_period_start, h.usage_period_end from unnest('{kept,shared,lost}'::text[]) i (id),
		lateral gov_headroom('last', 'tokens', 0, null, array[i.id]) h order by 1});
}

my $open = $node->background_psql('postgres');
$open->query_safe(q{begin; select count(gov_consume('last', 'tokens', 3, null, array[id])) from unnest('{shared,lost}'::text[]) id});
$node->safe_psql('postgres', q{select count(gov_consume('last', 'tokens', 4, null, array[id])) from unnest('{kept,shared}'::text[]) id});
my $shared = $node->safe_psql('postgres', q{select usage_period_start from gov_headroom('last', 'tokens', 0, null, '{shared}')});
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('opened_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->stop('immediate');
eval { $open->quit };
$node->start;
my $kept = windows($node);
like($kept, qr/^kept\|4\|.+\nlost\|0\|\|\nshared\|4\|\Q$shared\E\|.+$/, 'a crash leaves the windows of those who have committed');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'as the ledger says');

$node->wait_for_catchup($standby);
is(windows($standby), $kept, 'a standby answers with the same windows');
is( $standby->safe_psql('postgres', q{select entity_id, current_usage, usage_period_start, usage_period_end from gov_budgets where owner_id = 'last' order by 1}),
	$kept, 'and so do its reports');
is($standby->safe_psql('postgres', q{select is_granted, remaining from gov_check('last', 'tokens', 7, null, '{kept}')}), 'f|6', 'and so does its gate');

my $dump = "$dir/dump";
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dump');
$node->safe_psql('postgres', 'create database restored');
$node->command_ok([ 'pg_restore', '-d', 'restored', $dump ], 'restore');
is(windows($node, 'restored'), $kept, 'a restored database has the same windows');
is($node->safe_psql('restored', q{select is_granted from gov_consume('last', 'tokens', 6, null, '{kept}')}), 't', 'and goes on in them');
is($node->safe_psql('restored', 'select * from gov_verify()'), '', 'as its ledger says');

# Late uses look for their windows in a tail that is not rolled up while the transaction goes on; each takes no row apart but its own budget's.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) select 'crowd', 'agent-' || n, 'user' from generate_series(1, 2000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, window_kind)
	select owner_id, id, 'tokens', 1000, 'PT1H', 'first_use' from gov_entities where owner_id = 'crowd'});
is( $node->safe_psql('postgres', q{
		set statement_timeout = '10s';
		begin;
		select count(*) from gov_ingest_many('crowd', (
			select jsonb_agg(jsonb_build_object('capabilityId', 'tokens', 'entityIds', jsonb_build_array('agent-' || n))) from generate_series(1, 2000) n));
		select count(*) from gov_ingest_many('crowd', (
			select jsonb_agg(jsonb_build_object('capabilityId', 'tokens', 'entityIds', jsonb_build_array('agent-' || n), 'occurredAt', now() - interval '1 second')) from generate_series(1, 2000) n));
		commit}),
	"2000\n2000", 'late uses of thousands of budgets');

$node->stop;
$standby->promote;
is(windows($standby), $kept, 'a promoted standby has the same windows');
is($standby->safe_psql('postgres', q{select is_granted, remaining from gov_consume('last', 'tokens', 6, null, '{kept}')}), 't|0', 'and goes on in them');
is($standby->safe_psql('postgres', 'select * from gov_verify()'), '', 'as its ledger says');

done_testing();
