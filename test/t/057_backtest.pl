# gov_backtest of the budgets really in force gives the denials that really happened.
#
# Two owners have the same entities and make the same calls at the same time, while the clock moves through the windows. One has
# budgets and consumes; the other has none and ingests. What the budgets of the first denied, as its chains said, is what a replay
# of the second's ledger against the same budgets must say: how often, how much, when first. The calls are random, and an hour of
# LLM requests (see 018_trace.pl). Random ledgers with late events, corrections and archived entities are compared with a
# slow replay in SQL.
#
#     SEED=n prove ...     runs that seed and no other

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use GovRandom;
use GovTest;

my @seeds = defined $ENV{SEED} ? ($ENV{SEED}) : (1 .. 6);
my $node = gov_node('backtest');
my $session = $node->background_psql('postgres');

sub sql { return $session->query_safe($_[0]); }

sql(<<'SQL');
insert into gov_entity_types (id, attribution_keys)
values ('org', '{}'), ('dept', '{}'), ('team', '{}'), ('user', '{}'), ('agent', '{agent}'), ('model', '{model}');
insert into gov_capabilities (id) values ('tokens'), ('calls');

create table denied (owner_id text, capability_id text, entity_id text, scope_entity_ids text[], name text, event_id bigint, amount numeric);

-- The same call for both: the twin without budgets records it, the other one asks. Calls are [capability, amount, dimensions, entities].
create procedure run_calls(kept text, free text, calls jsonb)
language plpgsql
as $$
declare
    call jsonb;
    amount numeric;
    ids text[];
    recorded bigint;
    answer record;
begin
    for call in select value from jsonb_array_elements(calls) loop
        amount := (call ->> 1)::numeric;
        ids := array(select jsonb_array_elements_text(call -> 3));
        select i.event_id into recorded from gov_ingest(free, call ->> 0, amount, nullif(call -> 2, 'null'), ids) i;
        if amount < 0 then
            perform gov_ingest(kept, call ->> 0, amount, nullif(call -> 2, 'null'), ids);
        else
            select * into answer from gov_consume(kept, call ->> 0, amount, nullif(call -> 2, 'null'), ids);
            insert into denied
            select distinct kept, call ->> 0, n.node ->> 'entityId', array(select jsonb_array_elements_text(n.node -> 'scopeEntityIds')), n.node ->> 'name', recorded, amount
            from jsonb_array_elements(answer.chains) c (chain), jsonb_array_elements(c.chain) n (node)
            where not answer.is_granted and not (n.node ->> 'isGranted')::boolean;
        end if;
        commit;
    end loop;
end
$$;

-- The budgets of an owner as a payload.
create function payload(owner text)
returns jsonb
language sql
return (
    select jsonb_agg(jsonb_build_object(
        'entityId', entity_id, 'capabilityId', capability_id, 'scopeEntityIds', scope_entity_ids, 'name', name, 'usageLimit', usage_limit,
        'cadence', cadence, 'anchorAt', anchor_at, 'timezone', timezone, 'enforcement', enforcement) order by random())
    from gov_assignments
    where owner_id = owner);

create function show(entity_id text, capability_id text, scope_entity_ids text[], name text, denied_count bigint, denied_amount numeric, first_denied_at timestamptz)
returns text
language sql
return concat_ws(' ', entity_id, capability_id, scope_entity_ids, quote_literal(name), denied_count, trim_scale(denied_amount), first_denied_at);

-- What the budgets of one denied, told by the events of the other.
create function really_denied(kept text)
returns setof text
language sql
as $$
    select show(a.entity_id, a.capability_id, a.scope_entity_ids, a.name, count(d.event_id), coalesce(sum(d.amount), 0), min(e.occurred_at))
    from gov_assignments a
    left join denied d
        on (d.owner_id, d.capability_id, d.entity_id, d.scope_entity_ids, d.name) = (a.owner_id, a.capability_id, a.entity_id, a.scope_entity_ids, a.name)
    left join gov_events e on e.id = d.event_id
    where a.owner_id = kept
    group by a.id
    order by a.entity_id, a.capability_id, cardinality(a.scope_entity_ids), a.scope_entity_ids, a.name
$$;

create function replayed(free text, assignments jsonb, from_time timestamptz default '-infinity', to_time timestamptz default 'infinity')
returns setof text
language sql
as $$
    select show(entity_id, capability_id, scope_entity_ids, name, denied_count, denied_amount, first_denied_at)
    from gov_backtest(free, assignments, from_time, to_time)
$$;

-- The same replay, event by event, in SQL.
create function slowly_replayed(owner text, assignments jsonb, from_time timestamptz, to_time timestamptz)
returns setof text
language plpgsql
as $$
declare
    event gov_events;
    denying int[];
begin
    create temp table trial on commit drop as
    select row_number() over () as n, b.*, array(select s from unnest(b."scopeEntityIds") s order by s collate "C") as scope,
        0::bigint as denied_count, 0::numeric as denied_amount, null::timestamptz as first_denied_at, e.archived_at
    from jsonb_to_recordset(assignments) b ("entityId" text, "capabilityId" text, "scopeEntityIds" text[], name text, "usageLimit" numeric,
        cadence text, "anchorAt" timestamptz, timezone text, enforcement text)
    join gov_entities e on e.owner_id = owner and e.id = b."entityId";
    create temp table used (n bigint, window_start timestamptz, amount numeric, primary key (n, window_start)) on commit drop;

    for event in
        select * from gov_events e
        where e.owner_id = owner and e.occurred_at >= from_time and e.occurred_at < to_time
        order by e.occurred_at, e.id
    loop
        create temp table concerned on commit drop as
        select t.n, coalesce(w.window_start, '-infinity') as window_start,
            event.amount >= 0 and t.enforcement = 'hard' and coalesce(u.amount, 0) + event.amount > t."usageLimit" as denies
        from trial t
        cross join lateral gov_window(t.cadence, t."anchorAt", t.timezone, event.occurred_at) w
        left join used u on u.n = t.n and u.window_start = coalesce(w.window_start, '-infinity')
        where t."capabilityId" = event.capability_id
            and t."entityId" = any (event.entity_ids)
            and t.scope <@ event.entity_ids
            and (t.archived_at is null or event.occurred_at < t.archived_at);
        if exists (select from concerned where denies) then
            update trial t
            set denied_count = t.denied_count + 1,
                denied_amount = t.denied_amount + event.amount,
                first_denied_at = coalesce(t.first_denied_at, event.occurred_at)
            from concerned c
            where c.n = t.n and c.denies;
        else
            insert into used
            select c.n, c.window_start, event.amount from concerned c
            on conflict (n, window_start) do update set amount = used.amount + excluded.amount;
        end if;
        drop table concerned;
    end loop;

    return query
    select show("entityId", "capabilityId", scope, name, denied_count, denied_amount, first_denied_at)
    from trial t
    order by "entityId" collate "C", "capabilityId" collate "C", cardinality(scope), scope collate "C", name collate "C";
end
$$;
SQL

# ---------------------------------------------------------------- the clock

my $start = sql(q{select ceil(extract(epoch from date_trunc('day', now()) + interval '2 days'))});
my $now = $start;

# Move the engine's clock to some seconds after the start; it only goes forward.
sub move_clock
{
	my ($to) = @_;
	my $real = sql('select floor(extract(epoch from clock_timestamp()))');
	my $offset = $to - $real;

	die "the clock would run backwards\n" if $to < $now;
	$now = $to;
	sql("alter system set governance.clock_offset = '${offset}s'");
	sql('select pg_reload_conf()');
	foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if sql("select current_setting('governance.clock_offset')::interval = interval '${offset}s'") eq 't';
		usleep(10_000);
	}
	die "the clock does not move\n";
}

# ---------------------------------------------------------------- random customers

my (@entities, @models);

# A tree, the same for each owner, in which entities of a level stand under any of a level above.
sub make_entities
{
	my (@owners) = @_;
	my @levels = qw(org dept team user agent);
	my @values;

	@models = map { "model-$_" } 1 .. 2;
	@entities = @models;
	push @values, map { "('$_', 'model', null)" } @models;
	foreach my $level (0 .. $#levels)
	{
		my @above = grep { !/^model/ } @entities;
		foreach my $n (1 .. ($level == 0 ? 1 : 3))
		{
			my $id = "$levels[$level]-$n";

			push @values, "('$id', '$levels[$level]', " . (@above ? literal(one_of(@above)) : 'null') . ')';
			push @entities, $id;
		}
	}
	foreach my $owner (@owners)
	{
		# parents first: a statement may name what it brings
		sql("insert into gov_entities (owner_id, id, type_id, parent_id) select '$owner', e.* from (values " . join(', ', @values) . ') as e');
	}
	return;
}

sub random_budgets
{
	my ($owner, $count, @cadences) = @_;

	foreach (1 .. $count)
	{
		my @scope = chance(0.3) ? (map { one_of(@entities) } 1 .. one_of(1, 1, 2)) : ();
		my @values = (
			literal($owner), literal(one_of(@entities)), literal(one_of('tokens', 'tokens', 'calls')), "'{" . join(',', @scope) . "}'",
			literal(one_of('', '', 'more')), literal(one_of(undef, 0, 5, 20, 50, 100, 100, '33.333333333', 200)), literal(one_of(@cadences)),
			literal(one_of(undef, undef, '2020-01-31 10:00Z', '2019-03-10 02:30:00.5Z')), literal(one_of('UTC', 'America/New_York', 'Asia/Kolkata')),
			literal(one_of('hard', 'hard', 'hard', 'soft')));

		sql('insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, timezone, enforcement) values ('
			  . join(', ', @values) . ') on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do nothing');
	}
	return;
}

sub random_use
{
	my $capability = one_of('tokens', 'tokens', 'tokens', 'calls');
	my $amount = one_of(0, 1, 2, 3, 5, 7.25, '0.000000001', 12, 30, -3, -0.5);
	my $dims = chance(0.5) ? '{"model": "' . one_of(@models) . '", "request": "r"}' : 'null';
	my @ids = map { one_of(@entities) } 1 .. one_of(0, 1, 1, 1, 2);

	push @ids, 'nobody' if chance(0.05);
	return ($capability, $amount, $dims, @ids);
}

sub random_call
{
	my ($capability, $amount, $dims, @ids) = random_use();
	return qq(["$capability", $amount, $dims, [) . join(', ', map { qq("$_") } @ids) . ']]';
}

# What was denied equals what is replayed; answers how many budgets denied something.
sub is_reproduced
{
	my ($name, $kept, $free) = @_;
	my $really = sql("select * from really_denied('$kept')");

	is(sql("select * from replayed('$free', payload('$kept'))"), $really, "$name: the replay says what happened");
	return scalar grep { !/ 0 0$/ } split /\n/, $really;
}

# ---------------------------------------------------------------- recorded runs

my $ndenying = 0;
my $day = 0;

foreach my $seed (@seeds)
{
	my ($kept, $free) = ("kept-$seed", "free-$seed");

	note "seed $seed";
	srand($seed);
	make_entities($kept, $free);
	random_budgets($kept, 25, 'PT1H', 'PT90M', 'PT6H', 'P1D', 'P3D', 'P1W', 'P1M', undef);

	# Windows of any budget turn on the hour or half past; the calls come ten minutes after, so that both twins meet the same.
	my $minutes = 10;
	foreach my $phase (1 .. 12)
	{
		move_clock($start + 86400 * $day + 60 * $minutes);
		sql("call run_calls('$kept', '$free', '[" . join(', ', map { random_call() } 1 .. 25) . "]')");
		$minutes += one_of(30, 30, 60, 60, 120, 360, 1440, 4320, 10080);
	}
	$ndenying += is_reproduced("seed $seed", $kept, $free);
	$day += 1 + int($minutes / 1440);
}
cmp_ok($ndenying, '>=', 3 * @seeds, 'there were denials, by several budgets of a run');
cmp_ok(sql('select count(distinct event_id) - count(distinct (event_id, owner_id, entity_id, scope_entity_ids, name)) from denied'),
	'<', 0, 'and uses that several budgets denied');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');

# ---------------------------------------------------------------- an hour of LLM requests

# The real one where it is at hand (see 018_trace.pl), and one that is made the same every time where it is not.
my $root = "$FindBin::RealBin/../..";
my $trace = $ENV{GOVERNANCE_TRACE} || "$root/../shared/data/azure_llm_conv_2023.csv";

unless (-r $trace)
{
	$trace = "$PostgreSQL::Test::Utils::tmp_check/generated.csv";
	system_or_bail("$^X $root/examples/demo/generate.pl > $trace");
}
{
	my @minutes;

	sql(q{
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select o.id, e.id, split_part(e.id, '-', 1), e.parent_id
		from unnest('{trace-kept,trace-free}'::text[]) o (id),
			(select 'org', null
			 union all select 'team-' || n, 'org' from generate_series(0, 4) n
			 union all select 'agent-' || n, 'team-' || n % 5 from generate_series(0, 39) n
			 union all select 'model-' || n, null from generate_series(0, 2) n) e (id, parent_id);
		insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence, enforcement)
		select 'trace-kept', b.*
		from (values ('org', 'tokens', '{}'::text[], 1900000, 'PT5M', 'hard'), ('org', 'tokens', '{model-1}', 9000000, null, 'hard'),
			('team-1', 'tokens', '{}', 90000, 'PT1M', 'hard'), ('team-2', 'tokens', '{}', 3000000, 'PT1H', 'hard'), ('team-2', 'tokens', '{model-2}', 1, 'PT1H', 'soft'),
			('team-3', 'tokens', '{}', null, 'PT1H', 'hard'), ('model-0', 'tokens', '{team-3}', 100000, 'PT2M', 'hard'), ('agent-7', 'tokens', '{}', 500000, null, 'hard')) b
		union all
		select 'trace-kept', 'agent-' || n, 'calls', '{}', 5, 'PT1M', 'hard' from generate_series(0, 39) n});

	open my $file, '<', $trace or die "cannot read $trace: $!";
	<$file>;
	while (my $line = <$file>)
	{
		$line =~ /^\S+ (\d\d):(\d\d):\S+,(\d+),(\d+)/ or die "line $.: $line";
		my $minute = 60 * $1 + $2;
		my $agent = 'agent-' . $. * 7 % 40;
		my $model = 'model-' . $. % 3;

		push @{ $minutes[$minute] }, qq(["tokens", ) . ($3 + $4) . qq(, {"agent": "$agent", "model": "$model"}, []]), qq(["calls", 1, {"agent": "$agent"}, []]);
	}
	close $file;

	# A minute of the trace takes place ten seconds into that minute of the engine's clock.
	my $ncalls = 0;
	foreach my $minute (grep { $minutes[$_] } 0 .. $#minutes)
	{
		move_clock($start + 86400 * $day + 60 * $minute + 10);
		sql("call run_calls('trace-kept', 'trace-free', '[" . join(', ', @{ $minutes[$minute] }) . "]')");
		$ncalls += @{ $minutes[$minute] };
	}
	is(sql(q{select count(*) from gov_events where owner_id = 'trace-free'}), $ncalls, 'the trace is recorded');
	cmp_ok(is_reproduced('the trace', 'trace-kept', 'trace-free'), '>=', 10, 'budgets denied');
}

# ---------------------------------------------------------------- against SQL

foreach my $seed (@seeds[ 0 .. ($#seeds < 2 ? $#seeds : 2) ])
{
	my $owner = "random-$seed";
	my $from = literal(one_of('-infinity', '2025-03-01', '2025-03-08 13:00:00.5Z'));
	my $to = literal(one_of('infinity', '2025-04-15', '2025-04-01 00:00Z'));

	srand($seed);
	make_entities($owner);
	my @events = map {
		my ($capability, $amount, $dims, @ids) = random_use();
		my $seconds = chance(0.1) ? 86400 * int(rand(60)) : sprintf('%.6f', rand(86400 * 60));

		sprintf("('%s', %s, %s::jsonb, '{%s}'::text[], %s)", $capability, $amount, literal($dims eq 'null' ? undef : $dims), join(',', @ids), $seconds);
	} 1 .. 2000;
	sql('select count(gov_ingest(' . literal($owner) . ', e.capability, e.amount, e.dims, e.ids, null, timestamptz \'2025-03-01 00:00Z\' + e.seconds * interval \'1 second\')) from (values '
		  . join(",\n", @events) . ') as e (capability, amount, dims, ids, seconds)');
	random_budgets($owner, 40, 'PT5H', 'P1D', 'P1D', 'P2D', 'P1W', 'P1M', undef);
	sql("update gov_assignments set usage_limit = usage_limit * 5 where owner_id = '$owner' and cadence is null");
	sql("update gov_entities set archived_at = '2025-04-01' where owner_id = '$owner' and id in ('user-1', 'team-2')");

	my $slowly = sql("select * from slowly_replayed('$owner', payload('$owner'), $from, $to)");

	is(sql("select * from replayed('$owner', payload('$owner'), $from, $to)"), $slowly, "seed $seed: the replay is that in SQL");
	cmp_ok(scalar(grep { !/ 0 0$/ } split /\n/, $slowly), '>=', 5, "seed $seed: budgets denied");
}

# ---------------------------------------------------------------- as a tenant, and without the engine

my $before = sql("select md5(string_agg(r, chr(10))) from replayed('free-$seeds[0]', payload('kept-$seeds[0]')) r");
my $budgets = sql("select payload('kept-$seeds[0]')");

sql("set client_min_messages = error; create role tenant login; select gov_grant('tenant', 'tenant'); alter role tenant set governance.owner = 'free-$seeds[0]'");
is( $node->safe_psql('postgres', "select md5(string_agg(r, chr(10))) from replayed('free-$seeds[0]', '$budgets') r", extra_params => [ '-U', 'tenant' ]),
	$before, 'a tenant tries limits on its own ledger');
$session->quit;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
is($node->safe_psql('postgres', "select md5(string_agg(r, chr(10))) from replayed('free-$seeds[0]', payload('kept-$seeds[0]')) r"),
	$before, 'the library need not be preloaded');

$node->stop;
done_testing();
