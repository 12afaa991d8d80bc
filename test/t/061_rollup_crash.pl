# The server dies in the middle of a rollup, and of the deletion of old events: what gov_usage_hourly has and the tail has not is what
# was used, gov_attribution's sums are the ledger's for every grouping, and gov_verify finds nothing. What was used is known from a
# table of the application's own, written in the same transactions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('rollup_crash', conf => <<CONF);
governance.rollup_interval = '50ms'
restart_after_crash = on
timezone = 'UTC'
CONF

$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('team', '{}'), ('user', '{userId}'), ('agent', '{agentId}'), ('model', '{model}');
insert into gov_capabilities (id) values ('tokens'), ('calls');
insert into gov_entities (owner_id, id, type_id, parent_id)
select o, e.id, e.type_id, e.parent_id
from unnest('{acme,other}'::text[]) o,
	(values ('org', 'org', null), ('team-1', 'team', 'org'), ('team-2', 'team', 'org'), ('user-1', 'user', 'team-1'), ('user-2', 'user', 'team-2'),
		('user-3', 'user', 'team-2'), ('agent-1', 'agent', 'user-1'), ('agent-2', 'agent', 'user-2'), ('gpt', 'model', null), ('opus', 'model', null)) e (id, type_id, parent_id);
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select owner_id, id, 'tokens', 1e9, c from gov_entities, unnest('{P1Y,PT1H}'::text[]) c where id like 'team%' or (id = 'org' and c = 'P1Y')
on conflict do nothing;

-- What was used, with the entities that it resolves to, by type.
create table used (owner_id text, capability_id text, amount numeric, occurred_at timestamptz, dimensions jsonb, entities text[], by_type jsonb);

create procedure use(times int) language plpgsql as $$
declare
	owner text;
	capability text;
	amount numeric;
	named text[];
	dims jsonb;
	at timestamptz;
begin
	for i in 1 .. times loop
		owner := case when random() < 0.8 then 'acme' else 'other' end;
		capability := case when random() < 0.8 then 'tokens' else 'calls' end;
		amount := round((random() * 20 - 4)::numeric, 3);
		named := array(select e from unnest('{user-1,user-3,agent-1,agent-2,nobody}'::text[]) e where random() < 0.3);
		dims := jsonb_strip_nulls(jsonb_build_object(
			'model', (array['gpt', 'opus', 'unknown', null])[1 + floor(random() * 4)],
			'feature', (array['chat', 'search', null])[1 + floor(random() * 3)],
			'n', floor(random() * 2)));
		at := gov_now() - case when random() < 0.3 then random() * interval '50 hours' else interval '0' end;
		perform gov_ingest(owner, capability, amount, dims, named, null, at);

		with recursive up as (
			select e.id, e.type_id, e.parent_id from gov_entities e where e.owner_id = owner and e.id = any (named || (dims ->> 'model'))
			union
			select e.id, e.type_id, e.parent_id from up join gov_entities e on e.owner_id = owner and e.id = up.parent_id
		)
		insert into used
		select owner, capability, amount, at, dims, coalesce(array_agg(id), '{}'),
			coalesce((select jsonb_object_agg(type_id, ids) from (select type_id, jsonb_agg(id) as ids from up group by type_id) t), '{}')
		from up;
		if random() < 0.3 then
			commit;
		end if;
	end loop;
end
$$;

-- Hours that are not as used, in gov_usage_hourly and the tail together.
create function wrong_hours() returns text language sql as $$
	with shown as (
		select owner_id, capability_id, entity_id, hour, sum(amount) as amount, sum(event_count) as event_count
		from (
			select owner_id, capability_id, entity_id, hour, amount, event_count from gov_usage_hourly
			union all
			select e.owner_id, e.capability_id, coalesce(x.entity_id, ''), date_trunc('hour', e.occurred_at), e.amount, 1
			from gov_events e
			left join lateral unnest(e.entity_ids) x (entity_id) on true
			where e.id > coalesce((select watermark from gov_rollup_state), 0)
		) h
		group by 1, 2, 3, 4
	),
	wanted as (
		select u.owner_id, u.capability_id, coalesce(x.entity_id, ''), date_trunc('hour', u.occurred_at), sum(u.amount), count(*)
		from used u
		left join lateral unnest(u.entities) x (entity_id) on true
		group by 1, 2, 3, 4
	)
	select string_agg(d::text, E'\n') from (
		(select 'shown', s.* from shown s except all select 'shown', w.* from wanted w)
		union all
		(select 'used', w.* from wanted w except all select 'used', s.* from shown s)
	) d
$$;

-- Groups of gov_attribution that are not as used, by any of these names, with and without buckets.
create function wrong_groups() returns text language plpgsql as $$
declare
	names text[] := '{team,user,agent,model,feature}';
	grouping text[];
	bucket interval;
	owner text;
	wrong text;
	missing text;
begin
	for i in 0 .. (1 << cardinality(names)) - 1 loop
		grouping := array(select names[n] from generate_series(1, cardinality(names)) n where i & (1 << (n - 1)) > 0);
		owner := case when i % 3 = 0 then 'other' else 'acme' end;
		bucket := (array[null, interval '1 hour', interval '1 day'])[1 + i % 3];
		execute format($q$
			with wanted as (
				select jsonb_build_object(%1$s) as group_key, case when $2 is not null then date_bin($2, occurred_at, '2001-01-01') end as bucket_start,
					sum(amount) as amount, count(*) as event_count
				from used %2$s
				where owner_id = $1 and capability_id = 'tokens'
				group by 1, 2
			),
			shown as (
				select * from gov_attribution($1, 'tokens', $3, '-infinity', 'infinity', $2)
			)
			select string_agg(d::text, E'\n') from (
				(select 'shown', s.* from shown s except all select 'shown', w.* from wanted w)
				union all
				(select 'used', w.* from wanted w except all select 'used', s.* from shown s)
			) d $q$,
			(select string_agg(format('%L, %I.value', g, g), ', ') from unnest(grouping) g),
			(select string_agg(case when g = 'feature' then format(' cross join lateral (select dimensions -> %L as value) %I', g, g)
				else format(' left join lateral jsonb_array_elements(by_type -> %L) %I on true', g, g) end, '') from unnest(grouping) g))
		into missing using owner, bucket, grouping;
		wrong := concat_ws(E'\n', wrong, grouping::text || ': ' || missing);
	end loop;
	return wrong;
end
$$;

-- What stops a writer of a row until the key is free.
create function stop_here() returns trigger language plpgsql as $$
begin
	perform pg_advisory_xact_lock_shared(4711);
	return coalesce(new, old);
end
$$;
create trigger stop_here before insert on gov_usage_by_time for each row when (new.entity_id = 'team-2') execute function stop_here();
create trigger stop_here before insert or update on gov_usage for each row when (new.window_end < 'infinity') execute function stop_here();
create trigger stop_here before insert or update on gov_rollup_state for each row execute function stop_here();
create trigger stop_here before delete on gov_events for each row when (old.id % 10 = 5) execute function stop_here();
alter table gov_usage_by_time disable trigger stop_here;
alter table gov_usage disable trigger stop_here;
alter table gov_rollup_state disable trigger stop_here;
alter table gov_events disable trigger stop_here;
SQL

my $is_pruned = 0;

sub all_is_right
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($when) = @_;

	is(gov_await($node, 'postgres', 'select wrong_hours()'), '', "$when: gov_usage_hourly and the tail are what was used");
	is($node->safe_psql('postgres', 'select * from gov_verify()'), '', "$when: gov_verify finds nothing");
	return;
}

sub roll_up
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($when) = @_;

	gov_roll_up($node, 'postgres');
	all_is_right($when);
	is($node->safe_psql('postgres', 'select wrong_groups()'), '', "$when: gov_attribution is what was used, for every grouping")
	  unless $is_pruned;
	return;
}

# Have the worker stop at a row; answers its process. The key goes when its session does.
sub stop_worker_at
{
	my ($table, $key) = @_;
	my $stopped = q{select pid from pg_stat_activity where backend_type like 'governance%' and wait_event = 'advisory'};

	$node->safe_psql('postgres', "alter table $table enable trigger stop_here");
	$key->query_safe('select pg_advisory_lock(4711)');
	$node->safe_psql('postgres', 'call use(30)');
	$node->poll_query_until('postgres', "select count(*) = 1 from ($stopped) s") or die "no rollup stops at $table";
	return $node->safe_psql('postgres', $stopped);
}

my %disasters = (
	'the worker is killed' => sub {
		my ($pid) = @_;
		is(kill(9, $pid), 1, 'killed');
	},
	'an immediate stop' => sub {
		$node->stop('immediate');
		$node->start;
	},
	'the postmaster is killed' => sub {
		$node->kill9;
		foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
		{
			# its processes go by themselves, and keep the shared memory until then
			$node->{_pid} = undef;
			last if $node->start(fail_ok => 1);
			select undef, undef, undef, 0.1;
		}
	});

sub crash_at
{
	my ($table, $how) = @_;
	my $key = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = stop_worker_at($table, $key);

	all_is_right("stopped at $table") if $how eq 'the worker is killed';
	$disasters{$how}->($pid);
	eval { $key->quit };
	gov_await($node, 'postgres', "alter table $table disable trigger stop_here");
	all_is_right("$how at $table");
	roll_up("$how at $table, then rolled up");
	return;
}

$node->safe_psql('postgres', 'call use(100)');
roll_up('at first');
crash_at('gov_usage_by_time', $_) foreach sort keys %disasters;
crash_at('gov_usage', 'the worker is killed');
crash_at('gov_rollup_state', 'the worker is killed');

# ---------------------------------------------------------------- wherever gov_maintain dies

# n = 1, 2, ... until nothing is in its way. Without a worker, which would do it first.
sub crash_everywhere
{
	my ($what) = @_;

	foreach my $n (1 .. 100)
	{
		my ($out, $err) = ('', '');

		gov_await($node, 'postgres', 'call use(10)');
		my $status = $node->psql('postgres',
			"set governance.fault_action = 'crash'; set governance.fault_point = 'statement'; set governance.fault_at = $n; select 1 from gov_maintain(); show governance.fault_at",
			stdout => \$out, stderr => \$err);
		if ($status == 0)
		{
			cmp_ok($n, '>', 3, "$what: $n rounds");
			return;
		}
		is(gov_await($node, 'postgres', 'select wrong_hours()'), '', "$what dies at its statement $n");
		# the first answer may have come before it was noticed that a backend is gone
		is(gov_await($node, 'postgres', 'select * from gov_verify()'), '', "$what dies at its statement $n: verified");
	}
	die "$what never passes";
}

SKIP:
{
	skip 'built without -DGOV_FAULTS', 1 if $node->psql('postgres', 'show governance.fault_at') != 0;
	$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
	$node->restart;
	crash_everywhere('a rollup');
	roll_up('after all of them');
}

# ---------------------------------------------------------------- with retention

$is_pruned = 1;
$node->append_conf('postgresql.conf', "governance.event_retention = '1s'");
SKIP:
{
	skip 'built without -DGOV_FAULTS', 1 if $node->psql('postgres', 'show governance.fault_at') != 0;
	$node->restart;
	crash_everywhere('a deletion');
}
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
crash_at('gov_events', $_) foreach sort keys %disasters;
crash_at('gov_usage_by_time', 'the worker is killed');
ok($node->poll_query_until('postgres', 'select count(*) = 0 from gov_events, gov_maintain()'), 'in the end the ledger is empty');
all_is_right('and nothing is lost');
is( $node->safe_psql('postgres', q{select sum(amount) from gov_usage_hourly where owner_id = 'acme' and capability_id = 'tokens' and entity_id = 'org'}),
	$node->safe_psql('postgres', q{select sum(amount) from used where owner_id = 'acme' and capability_id = 'tokens' and 'org' = any (entities)}),
	'the sums are there');

$node->stop;
done_testing();
