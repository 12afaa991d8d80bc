# What budgets carry over: a random history with a stopped clock against a model of the contract; many clients at short windows, judged by
# the ledger; a crash, a standby and its promotion, a dump.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $seed = $ENV{CARRYING_SEED} // int(rand(1e9));
note "CARRYING_SEED=$seed";
srand $seed;

my $node = gov_node('carrying', init => { allows_streaming => 1 }, conf => "timezone = 'UTC'\ngovernance.usage_merge_after = 0");

$node->safe_psql('postgres', q{
	insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('user', '{}');
	insert into gov_capabilities (id) values ('tokens');
});

# ---------------------------------------------------------------- a random history

# The model: uses, limits, boosts and what is held. It stands in tables, so it is rolled back with what it is the model of.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id, created_at) values ('model', 'acme', 'org', '2026-03-20Z');
	insert into gov_entities (owner_id, id, type_id, parent_id, created_at) values ('model', 'ann', 'user', 'acme', '2026-03-20Z');
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, carry_unused_max, carry_debt, created_at) values
		('model', 'ann', 'tokens', 'day', 100, 'P1D', 60, false, '2026-03-25 10:00Z'),
		('model', 'ann', 'tokens', 'plain', 150, 'P1D', null, false, '2026-03-25 10:00Z'),
		('model', 'acme', 'tokens', 'both', 110, 'P1D', 1000, true, '2026-03-26 11:00Z');
	insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit, cadence, carry_debt, created_at) values
		('model', 'user', 'tokens', 'debt', 70, 'PT12H', true, '2026-03-24Z');

	create schema model;
	create table model.clock (at timestamptz);
	insert into model.clock values ('2026-03-28 11:17:23.456Z');
	create table model.budget (name text, cadence interval, most numeric, debt boolean, made timestamptz);
	insert into model.budget values
		('day', '1 day', 60, false, '2026-03-25 10:00Z'),
		('plain', '1 day', null, false, '2026-03-25 10:00Z'),
		('both', '1 day', 1000, true, '2026-03-26 11:00Z'),
		('debt', '12 hours', null, true, '2026-03-24Z');
	create table model.limits (n serial, name text, at timestamptz, usage_limit numeric);
	insert into model.limits (name, at, usage_limit) values ('day', '2026-01-01Z', 100), ('plain', '2026-01-01Z', 150), ('both', '2026-01-01Z', 110), ('debt', '2026-01-01Z', 70);
	create table model.boosts (name text, starts timestamptz, ends timestamptz, amount numeric);
	create table model.used (event bigint, at timestamptz, amount numeric);
	create table model.held (id uuid, amount numeric);
	-- A late use of a window older than that before the present one counts from its commit; so does what was given back to a window, where
	-- time has gone on since, and what was used of one that is older by now.
	create table model.waiting (waits boolean);
	create table model.given_back (gives boolean);
	create table model.begun (at timestamptz);

	create function model.now() returns timestamptz language sql as 'select at from model.clock';

	create function model.stop_clock() returns void language sql as $$
		select set_config('governance.fault_clock', (extract(epoch from model.now() - timestamptz '2000-01-01 00:00Z') * 1000000)::bigint::text, false)
	$$;

	create function model.start_of(b model.budget, at timestamptz) returns timestamptz language sql as $$
		select date_bin(b.cadence, at, timestamptz '2001-01-01Z')
	$$;

	create function model.usage(b model.budget, moment timestamptz) returns numeric language sql as $$
		select coalesce(sum(u.amount), 0) from model.used u where model.start_of(b, u.at) = model.start_of(b, moment)
	$$;

	create function model.limit_at(b model.budget, moment timestamptz, is_included boolean) returns numeric language sql as $$
		select l.usage_limit from model.limits l where l.name = b.name and (l.at < moment or is_included and l.at = moment) order by l.n desc limit 1
	$$;

	-- Window by window from the one in which it was made.
	create function model.carried(b model.budget) returns numeric language plpgsql as $$
	declare
		starts timestamptz := model.start_of(b, b.made);
		carried numeric := 0;
		own numeric;
		remains numeric;
	begin
		while starts + b.cadence <= model.now() loop
			own := model.limit_at(b, starts + b.cadence, false);
			remains := own + carried - model.usage(b, starts);
			carried := case when remains >= 0 then least(remains, own, coalesce(b.most, 0)) when b.debt then remains else 0 end;
			starts := starts + b.cadence;
		end loop;
		return carried;
	end $$;

	create function model.in_force(b model.budget) returns numeric language sql as $$
		select greatest(model.limit_at(b, model.now(), true) + model.carried(b)
			+ coalesce((select sum(x.amount) from model.boosts x where x.name = b.name and x.starts <= model.now() and x.ends > model.now()), 0), 0)
	$$;

	create function model.holding() returns numeric language sql as 'select coalesce(sum(amount), 0) from model.held';

	create function model.fits(amount numeric) returns boolean language sql as $$
		select bool_and(model.usage(b, model.now()) + model.holding() + amount <= model.in_force(b)) from model.budget b
	$$;

	create function model.expected() returns text language sql as $$
		select string_agg(format('%s %s+%s of %s (%s)', b.name, trim_scale(model.usage(b, model.now())), trim_scale(model.holding()),
			trim_scale(model.in_force(b)), case when b.most is not null or b.debt then trim_scale(model.carried(b)) end), ', ' order by b.name)
		from model.budget b
	$$;

	create function model.answered() returns text language sql as $$
		select string_agg(format('%s %s+%s of %s (%s)', h.name, h.current_usage, h.reserved_usage, h.usage_limit, h.carried), ', ' order by h.name)
		from gov_headroom('model', 'tokens', 0, null, '{ann}') h
	$$;

	create function model.queried() returns text language sql as $$
		select string_agg(format('%s %s+%s of %s (%s)', r ->> 'name', r ->> 'currentUsage', r ->> 'reservedUsage', r ->> 'usageLimit', r ->> 'carried'), ', ' order by r ->> 'name')
		from jsonb_array_elements(gov_query('model', '{tokens}') -> 'data') r
	$$;

	create function model.reported() returns text language sql as $$
		select string_agg(format('%s %s+%s of %s (%s)', t.name, t.current_usage, t.reserved_usage, t.usage_limit, t.carried), ', ' order by t.name)
		from gov_tree('model', '{tokens}') t
	$$;

	create function model.chosen(most int) returns int language sql as 'select floor(random() * most)::int';

	-- What comes before the window that comes before the present one of any budget.
	create function model.is_older(at timestamptz) returns boolean language sql as $$
		select bool_or(at < model.start_of(b, model.now()) - b.cadence) from model.budget b
	$$;

	create function model.act() returns text language plpgsql as $$
	declare
		what constant int := model.chosen(17);
		amount numeric := model.chosen(60) + model.chosen(2) * 0.25;
		late timestamptz;
		fits boolean;
		granted boolean;
		id uuid;
		event bigint;
		reversed bigint;
		chosen text;
	begin
		if what < 4 then
			fits := model.fits(amount);
			select c.is_granted, c.event_id into granted, event from gov_consume('model', 'tokens', amount, null, '{ann}') c;
			if fits <> granted then
				raise exception 'consume % granted: %, fits: %', amount, granted, fits;
			end if;
			if granted then
				insert into model.used values (event, model.now(), amount);
			end if;
			return 'consume ' || amount;
		elsif what < 7 then
			late := model.now() - model.chosen(16 * 3600 * 1000) * interval '1 millisecond' * (1 + 5 * (model.chosen(6) / 5));
			late := greatest(late, '2026-03-26 11:30Z');
			amount := case when model.chosen(4) = 0 then -amount / 4 else amount end;
			event := (select i.event_id from gov_ingest('model', 'tokens', amount, null, '{ann}', occurred_at => late) i);
			insert into model.used values (event, late, amount);
			insert into model.waiting select true where model.is_older(late);
			insert into model.given_back select true where amount < 0;
			return format('ingest %s at %s', amount, late);
		elsif what = 7 then
			event := (select i.event_id from gov_ingest('model', 'tokens', -amount / 4, null, '{ann}') i);
			insert into model.used values (event, model.now(), -amount / 4);
			insert into model.given_back values (true);
			return 'correct';
		elsif what = 8 then
			amount := amount / 4;
			fits := model.fits(amount);
			select reservation_id, is_granted into id, granted from gov_reserve('model', 'tokens', amount, null, '{ann}', ttl => '100 years');
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
				event := (select s.event_id from gov_settle(id, amount / 4) s);
				insert into model.used values (event, model.now(), amount / 4);
				return 'settle ' || amount / 4;
			elsif id is not null then
				perform gov_release(id);
				return 'release';
			end if;
			return 'nothing held';
		elsif what = 11 then
			select u.event, u.at, u.amount / 2 into reversed, late, amount from model.used u
			where u.amount > 0 and u.event is not null order by random() limit 1;
			if reversed is null then
				return 'nothing to reverse';
			end if;
			perform gov_reverse(reversed, amount);
			update model.used u set event = null where u.event = reversed;
			insert into model.used values (null, late, -amount);
			insert into model.given_back values (true);
			insert into model.waiting select true where model.is_older(late);
			return format('reverse %s of %s', amount, late);
		elsif what = 12 then
			chosen := (array['day', 'plain', 'both', 'debt'])[1 + model.chosen(4)];
			amount := amount * 2 + 10;
			update gov_assignments set usage_limit = amount where owner_id = 'model' and name = chosen;
			update gov_default_assignments set usage_limit = amount where owner_id = 'model' and name = chosen;
			insert into model.limits (name, at, usage_limit) values (chosen, model.now(), amount);
			return format('limit of %s %s', chosen, amount);
		elsif what = 13 then
			chosen := (array['day', 'plain', 'both', 'debt'])[1 + model.chosen(4)];
			amount := case when model.chosen(3) = 0 then -amount - 1 else amount + 1 end;
			late := model.now() + model.chosen(20) * interval '1 hour' + interval '1 second';
			perform gov_boost('model', case when chosen = 'both' then 'acme' else 'ann' end, 'tokens', amount, late, null, chosen, valid_from => model.now());
			insert into model.boosts values (chosen, model.now(), late, amount);
			return format('boost of %s by %s until %s', chosen, amount, late);
		elsif what = 14 and model.chosen(3) = 0 then
			update gov_assignments set carry_unused_max = amount where owner_id = 'model' and name = 'day';
			update model.budget set most = amount where name = 'day';
			return format('carries %s', amount);
		else
			update model.clock set at = clock.at + model.chosen(7 * 3600 * 1000) * interval '1 millisecond' * (1 + 10 * (model.chosen(14) / 13));
			perform model.stop_clock();
			insert into model.waiting select true from model.given_back union all select true from model.begun b where model.is_older(b.at);
			return 'now ' || model.now();
		end if;
	end $$;

	create function model.agree(what text) returns void language plpgsql as $$
	begin
		if exists (select from model.waiting) then
			return;
		end if;
		if model.answered() is distinct from model.expected() then
			raise exception '%: % instead of %', what, model.answered(), model.expected();
		end if;
		if model.queried() is distinct from model.expected() then
			raise exception '%: gov_query says % instead of %', what, model.queried(), model.expected();
		end if;
		if model.reported() is distinct from model.expected() then
			raise exception '%: gov_tree says % instead of %', what, model.reported(), model.expected();
		end if;
	end $$;

	-- Some actions in one transaction, of which some are rolled back; the clock goes on.
	create function model.step() returns text language plpgsql as $$
	declare
		did text := '';
		time_then timestamptz;
	begin
		perform model.stop_clock();
		insert into model.begun values (model.now());
		for n in 1..1 + model.chosen(3) loop
			exit when exists (select from model.waiting);
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
					insert into model.waiting select true from model.given_back where time_then > model.now();
					update model.clock set at = time_then;
					insert into model.waiting select true from model.begun b where model.is_older(b.at);
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
	my $steps = $ENV{CARRYING_STEPS} // 200;
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
		gov_ask($session, 'truncate model.waiting, model.given_back, model.begun');
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
		diag("CARRYING_SEED=$seed: $said");
		diag($_) foreach splice(@did, -8);
		last;
	}
	cmp_ok(scalar @did, '==', $steps, 'a random history agrees with the model');
	$session->quit;
}

# ---------------------------------------------------------------- many clients

# Short windows that follow one another, limits that bind, transactions that outlast their window and are rolled back or not, savepoints,
# loads anew all the time.
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) values ('many', 'acme', 'org');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'many', 'user-' || n, 'user', 'acme' from generate_series(1, 3) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_unused_max, carry_debt)
	values ('many', 'acme', 'tokens', 90, 'PT3S', 1000, true);
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_unused_max)
	select 'many', 'user-' || n, 'tokens', 40, 'PT3S', 25 from generate_series(1, 3) n;
});
my $dir = PostgreSQL::Test::Utils::tempdir;

append_to_file("$dir/use.sql", <<'SQL');
\set user random(1, 3)
\set amount random(1, 4)
\set way random(1, 9)
\if :way <= 4
select gov_consume('many', 'tokens', :amount, null, array['user-' || :user]);
\elif :way = 5
begin;
select gov_consume('many', 'tokens', :amount, null, array['user-' || :user]);
\sleep 400 ms
rollback;
\elif :way = 6
begin;
savepoint a;
select gov_consume('many', 'tokens', :amount, null, array['user-' || :user]);
rollback to a;
select gov_consume('many', 'tokens', :amount, null, array['user-' || :user]);
\sleep 300 ms
commit;
\elif :way = 7
\sleep 700 ms
\elif :way = 8
\sleep 30 ms
\else
select gov_refresh();
\endif
SQL
$node->command_ok([ 'pgbench', '-n', '-c', '10', '-j', '2', '-T', '14', '-f', "$dir/use.sql", 'postgres' ], 'many clients');

# What each window had, from the ledger alone.
$node->safe_psql('postgres', q{
	create function judged(of_owner text) returns table (entity text, starts timestamptz, used numeric, carried numeric, own numeric) language plpgsql as $$
	declare
		a gov_assignments;
		remains numeric;
	begin
		for a in select * from gov_assignments g where g.owner_id = of_owner and g.usage_limit is not null loop
			carried := 0;
			entity := a.entity_id;
			own := a.usage_limit;
			starts := (select w.window_start from gov_window(a.cadence, at => a.created_at) w);
			while starts <= gov_now() loop
				used := (select coalesce(sum(e.amount), 0) from gov_events e cross join lateral unnest(e.counter_ids, e.window_starts) x (counter_id, window_start)
					where e.owner_id = of_owner and x.counter_id = a.counter_id and x.window_start = starts);
				return next;
				remains := own + carried - used;
				carried := case when remains >= 0 then least(remains, own, coalesce(a.carry_unused_max, 0)) when a.carry_debt then remains else 0 end;
				starts := (select w.window_end from gov_window(a.cadence, at => starts) w);
			end loop;
		end loop;
	end $$});
cmp_ok($node->safe_psql('postgres', q{select count(*) from judged('many') where used > 0}), '>', 10, 'windows were used');
is($node->safe_psql('postgres', q{select * from judged('many') where used > own + carried}), '', 'none past its limit and what was carried into it');
cmp_ok($node->safe_psql('postgres', q{select count(*) from judged('many') where used > own}), '>', 0, 'and some had more than their own');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');

# ---------------------------------------------------------------- a crash, a standby, a dump

$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id, created_at) select 'last', id, 'user', '2026-01-01Z' from unnest('{unused,used,over}'::text[]) id;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, carry_unused_max, carry_debt, created_at)
	select 'last', id, 'tokens', 10, 'P1Y', 7, true, now() - interval '3 years' from unnest('{unused,used,over}'::text[]) id;
	update gov_assignments set usage_limit = 12 where owner_id = 'last';
});

sub carried
{
	my ($server, $db) = @_;

	return $server->safe_psql($db // 'postgres', q{
		select h.entity_id, h.current_usage, h.usage_limit, h.carried from unnest('{over,unused,used}'::text[]) i (id),
		lateral gov_headroom('last', 'tokens', 0, null, array[i.id]) h order by 1});
}

sub reported
{
	my ($server, $db) = @_;

	return $server->safe_psql($db // 'postgres', q{select entity_id, current_usage, usage_limit, carried from gov_budgets where owner_id = 'last' order by 1});
}

my $before = q{date_trunc('year', now(), 'UTC') - interval '1 day'};
is(carried($node), "over|0|19|7\nunused|0|19|7\nused|0|19|7", 'years of which nothing was used, which had a smaller limit');
$node->safe_psql('postgres', "select gov_ingest('last', 'tokens', 14, null, '{used}', null, $before)");
my $open = $node->background_psql('postgres');
$open->query_safe("begin; select gov_ingest('last', 'tokens', 30, null, '{over}', null, $before)");
is(carried($node), "over|0|0|-13\nunused|0|19|7\nused|0|15|3", 'what is in flight of the year before takes from the present one');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('carrying_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->stop('immediate');
eval { $open->quit };
$node->start;
is(carried($node), "over|0|19|7\nunused|0|19|7\nused|0|15|3", 'and gives it back when the server crashes');
$node->safe_psql('postgres', "select gov_ingest('last', 'tokens', 25, null, '{over}', null, $before)");
my $kept = carried($node);
is($kept, "over|0|4|-8\nunused|0|19|7\nused|0|15|3", 'a debt');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'as the ledger says');

$node->wait_for_catchup($standby);
is(carried($standby), $kept, 'a standby answers the same');
is(reported($standby), $kept, 'and so do its reports');
is($standby->safe_psql('postgres', q{select is_granted, remaining from gov_check('last', 'tokens', 7, null, '{over}')}), 'f|4', 'and so does its gate');

my $dump = "$dir/dump";
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dump');
$node->safe_psql('postgres', 'create database restored');
$node->command_ok([ 'pg_restore', '-d', 'restored', $dump ], 'restore');
is(carried($node, 'restored'), $kept, 'a restored database carries the same');
is(reported($node, 'restored'), $kept, 'and says so');
is($node->safe_psql('restored', 'select * from gov_verify()'), '', 'as its ledger says');

$node->stop;
$standby->promote;
is(carried($standby), $kept, 'a promoted standby carries the same');
is($standby->safe_psql('postgres', q{select is_granted, remaining from gov_consume('last', 'tokens', 4, null, '{over}')}), 't|0', 'and goes on');
is($standby->safe_psql('postgres', 'select * from gov_verify()'), '', 'as its ledger says');
$standby->stop;

done_testing();
