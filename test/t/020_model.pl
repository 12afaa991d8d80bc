# Random histories against a model of what must come out.
#
# Three sessions take turns: catalog changes, usage up and down, late and with keys, savepoints, commits and rollbacks, rounds of
# the rollup, a dropped cache. After each step random calls are answered by the engine and by test/oracle.sql, which reads
# only tables; what the other sessions have in flight is not in tables, so it is kept here and handed to the oracle: what they
# took counts, what they gave back does not until they commit.
#
# A history follows from its seed alone. A failing one prints itself and its seed:
#     SEED=n prove ...         runs that seed and no other
#     MODEL_SEEDS=n prove ...  runs that many (8 unless told)
#     MODEL_STEPS=n            of so many steps each (120 unless told)
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @seeds = defined $ENV{SEED} ? ($ENV{SEED}) : (1 .. ($ENV{MODEL_SEEDS} // 8));
my $steps = $ENV{MODEL_STEPS} // 120;

# The cadences are long, or so short that an event of some time ago is of an earlier window.
my @cadences = ('P100Y', 'P100Y', undef, 'P1Y', 'P1M', 'P1W', 'P1D', 'PT1H', 'P3M');
my @anchors = (undef, undef, undef, '2020-01-31 10:00Z', '2019-03-10 02:30:00.5Z');
my @timezones = ('UTC', 'UTC', 'America/New_York', 'Asia/Kolkata');
my @capabilities = ('tokens', 'tokens', 'calls');
my %keys_of = (org => 'orgId', team => 'teamId', user => 'userId', model => 'model');

my $node = PostgreSQL::Test::Cluster->new('model');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'governance'
autovacuum = off
statement_timeout = '20s'
lock_timeout = '10s'
});
$node->start;
$node->safe_psql('postgres', 'create extension governance');
$node->safe_psql('postgres', slurp_file('test/oracle.sql'));
$node->safe_psql('postgres', <<'SQL');
create schema model;

-- A statement's outcome, errors included, without ending the transaction.
create function model.outcome(statement text) returns text
language plpgsql
as $$
begin
    execute statement;
    return 'ok';
exception
    when others then
        return sqlstate || ' ' || sqlerrm;
end
$$;

-- What an event was resolved and charged to, held against the oracle; the answer is its charges.
create function model.charges(event gov_events, owner text, capability text, amount numeric, dims jsonb, ids text[], key text, at timestamptz) returns jsonb
language plpgsql
as $$
declare
    charged text;
    expected text;
begin
    if event.amount <> round(amount, 9) or event.owner_id <> owner or event.capability_id <> capability or event.idempotency_key is distinct from key then
        raise exception 'model: recorded %', event;
    end if;
    if event.entity_ids <> oracle.resolved(owner, dims, ids) then
        raise exception 'model: resolved to % and not to %', event.entity_ids, oracle.resolved(owner, dims, ids);
    end if;
    if at < event.recorded_at and event.occurred_at <> at or coalesce(at, 'infinity') >= event.recorded_at and event.occurred_at <> event.recorded_at then
        raise exception 'model: occurred at % and not at %', event.occurred_at, at;
    end if;
    select string_agg(format('%s [%s, %s)', c.counter_id, c.window_start, c.window_end), ', ' order by c.counter_id)
    into charged
    from unnest(event.counter_ids, event.window_starts, event.window_ends) as c (counter_id, window_start, window_end);
    select string_agg(format('%s [%s, %s)', c.counter_id, c.window_start, c.window_end), ', ' order by c.counter_id)
    into expected
    from oracle.charges(owner, capability, dims, ids, event.occurred_at) as c;
    if charged is distinct from expected then
        raise exception 'model: charged to % and not to %', charged, expected;
    end if;
    return (
        select coalesce(jsonb_agg(jsonb_build_object('counter', c.id, 'at', event.occurred_at, 'amount', event.amount)), '[]')
        from unnest(event.counter_ids) as c (id)
    );
end
$$;

-- One use. Answers its charges, or that it is a duplicate.
create function model.ingest(owner text, capability text, amount numeric, dims jsonb, ids text[], key text, at timestamptz) returns jsonb
language plpgsql
as $$
declare
    given record;
    event gov_events;
begin
    select * into given from gov_ingest(owner, capability, amount, dims, ids, key, at);
    if given.is_duplicate then
        return jsonb_build_object('duplicate', given.event_id);
    end if;
    select * into event from gov_events where id = given.event_id;
    return model.charges(event, owner, capability, amount, dims, ids, key, at);
end
$$;

-- A batch. Answers the charges that take headroom.
create function model.ingest_many(owner text, items jsonb) returns jsonb
language plpgsql
as $$
declare
    given record;
    item jsonb;
    event gov_events;
    taken jsonb := '[]';
begin
    for given in select * from gov_ingest_many(owner, items) loop
        item := items -> given.position - 1;
        if (given.error is null) <> (item ->> 'capabilityId' <> 'nonsense') then
            raise exception 'model: % is answered by %', item, given;
        end if;
        continue when given.error is not null;
        select * into event from gov_events where id = given.event_id;
        taken := taken || case
            when event.amount > 0 then model.charges(event, owner, item ->> 'capabilityId', (item -> 'amount')::numeric, item -> 'dimensions', array(select jsonb_array_elements_text(item -> 'entityIds')), null, null)
            else '[]'
        end;
    end loop;
    return taken;
end
$$;
SQL

# ---- small things

my ($seed, @history, @sessions, %known, $entities, $next_name, %used_keys, $failed, $cache_is_small);

sub one_of { return $_[int(rand(@_))]; }
sub chance { return rand() < $_[0]; }

sub literal
{
	my ($value) = @_;
	return 'null' unless defined $value;
	$value =~ s/'/''/g;
	return "'$value'";
}

# Run a statement in a session; the history remembers it.
sub run
{
	my ($n, $sql) = @_;
	push @history, "s$n: $sql";
	my $output = $sessions[$n]{psql}->query($sql);
	my $error = $sessions[$n]{psql}{stderr};
	$error =~ s/^psql:\S+\s*//mg;
	die "$error\n" if $error ne '';
	return $output;
}

sub transaction_of { return $sessions[ $_[0] ]{levels}; }

sub idle { return !grep { defined $_->{levels} } @sessions; }

# Only one session at a time has uncommitted catalog changes: two would wait for one another's rows.
sub may_change_catalog
{
	my ($n) = @_;
	return !grep { $_ != $n && $sessions[$_]{changed_catalog} } 0 .. $#sessions;
}

# What others than this session have taken and not yet committed.
sub in_flight
{
	my ($n) = @_;
	my @charges;
	for my $other (grep { $_ != $n } 0 .. $#sessions)
	{
		next unless defined $sessions[$other]{levels};
		push @charges, map { @{ $_->{charges} } } @{ $sessions[$other]{levels} };
	}
	return '[' . join(', ', @charges) . ']';
}

# ---- what can happen

sub random_call
{
	my @ids = map { one_of(@$entities)->{id} } 1 .. one_of(0, 1, 1, 1, 2, 3);
	push @ids, 'nobody' if chance(0.05);
	my %dims;
	for (1 .. one_of(0, 0, 1, 1, 2))
	{
		my $entity = one_of(@$entities);
		$dims{ chance(0.9) ? $keys_of{ $entity->{type} } : 'other' } = $entity->{id};
	}
	$dims{requestId} = 'r' . int(rand(1000)) if chance(0.2);
	my $ids = chance(0.1) && !@ids ? undef : '{' . join(',', @ids) . '}';
	my $dims = %dims || chance(0.5) ? '{' . join(', ', map { qq("$_": "$dims{$_}") } sort keys %dims) . '}' : undef;
	return (one_of(@capabilities), $dims, $ids);
}

sub random_amount
{
	return one_of(0, 1, 1, 2, 5, 7.25, 0.000000001, int(rand(40)), sprintf('%.9f', rand(10)), '12.3456789015');
}

sub use_something
{
	my ($n, $entity) = @_;
	my ($capability, $dims, $ids) = random_call();
	$ids = "{$entity}" if defined $entity;
	my $amount = random_amount();
	$amount = "-$amount" if chance(0.25);
	my $at = 'null::timestamptz';
	$at = "clock_timestamp() - interval '" . one_of('10 minutes', '1 hour', '1 day', '9 days', '40 days', '400 days', '150 years') . "'" if chance(0.2);
	$at = "clock_timestamp() + interval '4 minutes'" if chance(0.03);
	my $key = chance(0.15) ? "k$seed-" . $next_name++ : undef;
	my $answer = run($n, 'select model.ingest(' . join(', ', literal("o$seed"), literal($capability), $amount, literal($dims), literal($ids), literal($key), $at) . ')');
	die "a new use is a duplicate: $answer\n" if $answer =~ /duplicate/;

	my $levels = transaction_of($n);
	if (defined $levels)
	{
		my ($charges) = $answer =~ /^\[(.*)\]$/ or die "no charges in $answer\n";
		push @{ $levels->[-1]{charges} }, $charges if $charges ne '' && $amount > 0;
		push @{ $levels->[-1]{keys} }, [ $key, $capability, $amount, $dims, $ids ] if defined $key;
	}
	elsif (defined $key)
	{
		$used_keys{$key} = [ $capability, $amount, $dims, $ids ];
	}
	return;
}

sub use_many
{
	my ($n) = @_;
	my @items;
	for (1 .. one_of(1, 2, 3, 5))
	{
		my ($capability, $dims, $ids) = random_call();
		$capability = 'nonsense' if chance(0.1);
		my $names = defined $ids && $ids =~ /^\{(.+)\}$/ ? join(', ', map { qq("$_") } split(',', $1)) : '';
		my $amount = (chance(0.3) ? '-' : '') . random_amount();
		push @items, qq({"capabilityId": "$capability", "amount": $amount, "entityIds": [$names], "dimensions": ) . ($dims // '{}') . '}';
	}
	my $answer = run($n, 'select model.ingest_many(' . literal("o$seed") . ', ' . literal('[' . join(', ', @items) . ']') . ')');
	my ($charges) = $answer =~ /^\[(.*)\]$/ or die "no charges in $answer\n";
	my $levels = transaction_of($n);
	push @{ $levels->[-1]{charges} }, $charges if defined $levels && $charges ne '';
	return;
}

sub use_key_again
{
	my ($n) = @_;
	my @keys = sort keys %used_keys or return;
	my $key = one_of(@keys);
	my ($capability, $amount, $dims, $ids) = @{ $used_keys{$key} };
	my $same = chance(0.6);
	$amount = "1 + $amount" unless $same;
	my $call = 'select 1 / is_duplicate::int from gov_ingest(' . join(', ', literal("o$seed"), literal($capability), $amount, literal($dims), literal($ids), literal($key)) . ')';
	my $answer = run($n, 'select model.outcome(' . literal($call) . ')');
	die "key $key again: $answer\n" if $same ? $answer ne 'ok' : $answer !~ /^23505/;
	return;
}

# Usage that an exception block takes back.
sub use_and_fail
{
	my ($n) = @_;
	my ($capability, $dims, $ids) = random_call();
	my $amount = random_amount();
	my $call = 'select 1 / (event_id * 0) from gov_ingest(' . join(', ', literal("o$seed"), literal($capability), (chance(0.5) ? '-' : '') . $amount, literal($dims), literal($ids), literal("never$seed")) . ')';
	my $answer = run($n, 'select model.outcome(' . literal($call) . ')');
	die "a failing use: $answer\n" unless $answer =~ /^22012/;
	return;
}

sub random_budget
{
	my @scope = chance(0.3) ? (map { one_of(@$entities)->{id} } 1 .. one_of(1, 1, 2)) : ();
	return (one_of(@$entities)->{id}, one_of(@capabilities), '{' . join(',', @scope) . '}', chance(0.2) ? 'extra' : '');
}

sub random_limit { return one_of(undef, 0, 5, 20, 20, 50, 100, 100, '33.333333333', 1000); }

sub change_catalog
{
	my ($n) = @_;
	my $owner = literal("o$seed");
	my $some_budget = "(select id from gov_assignments where owner_id = $owner order by entity_id, capability_id, scope_entity_ids, name offset " . int(rand(12)) . ' limit 1)';
	my $some_entity = one_of(@$entities);
	my $change = one_of(
		sub { "update gov_assignments set usage_limit = " . literal(random_limit()) . " where id = $some_budget" },
		sub { "update gov_assignments set usage_limit = " . literal(random_limit()) . " where id = $some_budget" },
		sub { "update gov_assignments set enforcement = " . literal(one_of('hard', 'soft')) . " where id = $some_budget" },
		sub { "update gov_assignments set cadence = " . literal(one_of(@cadences)) . " where id = $some_budget" },
		sub { "update gov_assignments set anchor_at = " . literal(one_of(@anchors)) . ", timezone = " . literal(one_of(@timezones)) . " where id = $some_budget" },
		sub { "delete from gov_assignments where id = $some_budget" },
		sub {
			my ($entity, $capability, $scope, $name) = random_budget();
			'insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, timezone, enforcement) values ('
			  . join(', ', $owner, map { literal($_) } $entity, $capability, $scope, $name, random_limit(), one_of(@cadences), one_of(@anchors), one_of(@timezones), one_of('hard', 'hard', 'hard', 'soft'))
			  . ') on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update set usage_limit = excluded.usage_limit, cadence = excluded.cadence';
		},
		sub {
			my ($entity, $capability, $scope, $name) = random_budget();
			my $json = qq({"entityId": "$entity", "capabilityId": "$capability", "name": "$name", "usageLimit": ) . (random_limit() // 'null')
			  . ', "cadence": ' . (chance(0.3) ? 'null' : '"' . (one_of(grep { defined } @cadences)) . '"') . '}';
			"select gov_upsert_assignments($owner, " . literal("[$json]") . ')';
		},
		sub { "update gov_entities set archived_at = case when archived_at is null then now() end where owner_id = $owner and id = '$some_entity->{id}'" },
		sub { "update gov_entities set parent_id = " . literal(chance(0.2) ? undef : one_of(@$entities)->{id}) . " where owner_id = $owner and id = '$some_entity->{id}'" },
		sub {
			my $id = 'e' . $next_name++;
			my $type = one_of(sort keys %keys_of);
			push @$entities, { id => $id, type => $type };
			"insert into gov_entities (owner_id, id, type_id, parent_id) values ($owner, '$id', '$type', " . literal(chance(0.3) ? undef : $some_entity->{id}) . ')';
		},
		sub { "delete from gov_entities where owner_id = $owner and id = '$some_entity->{id}'" },
		sub { "update gov_entity_types set attribution_keys = " . literal(chance(0.7) ? "{$keys_of{user}}" : "{other,$keys_of{user}}") . " where id = 'user'" });
	my $answer = run($n, 'select model.outcome(' . literal($change->()) . ')');
	die "a catalog change: $answer\n" unless $answer =~ /^(ok|23503|23505|23514|55000|54000|22023)/;
	return unless defined transaction_of($n);
	$sessions[$n]{changed_catalog} = 1;
	use_something($n, $some_entity->{id}) if chance(0.3);
	return;
}

sub end_transaction
{
	my ($n, $commits) = @_;
	run($n, $commits ? 'commit' : 'rollback');
	if ($commits)
	{
		for my $entry (map { @{ $_->{keys} } } @{ transaction_of($n) })
		{
			my ($key, @call) = @$entry;
			$used_keys{$key} = [@call];
		}
	}
	$sessions[$n]{levels} = undef;
	$sessions[$n]{changed_catalog} = 0;
	return;
}

sub step
{
	my ($n) = @_;
	my $levels = transaction_of($n);
	my $what = rand();

	if ($what < 0.34) { use_something($n); }
	elsif ($what < 0.40) { use_many($n); }
	elsif ($what < 0.45) { use_key_again($n); }
	elsif ($what < 0.49) { use_and_fail($n); }
	elsif ($what < 0.65) { change_catalog($n) if may_change_catalog($n); }
	elsif ($what < 0.90)
	{
		if (!defined $levels)
		{
			run($n, 'begin');
			$sessions[$n]{levels} = [ { charges => [], keys => [] } ];
		}
		elsif ($what < 0.73)
		{
			run($n, 'savepoint s');
			push @$levels, { charges => [], keys => [] };
		}
		elsif ($what < 0.78 && @$levels > 1)
		{
			# a savepoint that is rolled back to is still there; half the time it is left as well
			run($n, 'rollback to s');
			$levels->[-1] = { charges => [], keys => [] };
		}
		elsif ($what < 0.82 && @$levels > 1)
		{
			run($n, 'release s');
			my $inner = pop @$levels;
			push @{ $levels->[-1]{$_} }, @{ $inner->{$_} } for qw(charges keys);
		}
		else { end_transaction($n, chance(0.65)); }
	}
	elsif ($what < 0.95) { run($n, 'do $$ begin perform gov_maintain(); end $$') unless defined $levels; }
	elsif ($what < 0.98) { run($n, 'do $$ begin perform gov_refresh(); end $$') unless defined $levels || grep { $_->{changed_catalog} } @sessions; }
	elsif (idle()) { run($n, 'truncate gov_assignments') if chance(0.3); }

	crowd_cache($n) if $cache_is_small;
	return;
}

# Reads of another owner's entities, enough of them to push everything out of a small cache.
sub crowd_cache
{
	my ($n) = @_;
	return unless chance(0.3);
	my $from = int(rand(19000));
	run($n, "select count(*) from generate_series($from, $from + 300) as g where gov_allowed('crowd', 'tokens', 1, entity_ids => array['c' || g || repeat('x', 240)])");
	return;
}

# Hold random calls of one session against the oracle, with the cache and without it.
sub compare
{
	my ($n) = @_;
	my ($capability, $dims, $ids) = random_call();
	my $call = join(', ', literal("o$seed"), literal($capability), random_amount(), literal($dims), literal($ids));
	my $difference = run($n, "select oracle.difference($call, " . literal(in_flight($n)) . ')');
	die "the engine and the oracle differ for ($call) in session $n:\n$difference\n" if $difference ne '';
	return unless chance(0.2);

	# the tables show nothing of what others have in flight
	$difference = run($n, "set governance.use_cache = off; select oracle.difference($call); set governance.use_cache = on");
	die "without the cache the engine and the oracle differ for ($call) in session $n:\n$difference\n" if $difference ne '';
	return;
}

sub begin_history
{
	$entities = [ map { { id => $_->[0], type => $_->[1] } } [ 'acme', 'org' ], [ 'eng', 'team' ], [ 'ops', 'team' ], [ 'ann', 'user' ], [ 'ben', 'user' ], [ 'cyd', 'user' ], [ 'gpt', 'model' ], [ 'opus', 'model' ] ];
	%used_keys = ();
	$next_name = 1;
	@history = ();
	run(0, "select gov_delete_owner('o$seed')");
	run(0, "insert into gov_entity_types (id, attribution_keys) values ('$_', '{$keys_of{$_}}') on conflict (id) do update set attribution_keys = excluded.attribution_keys") for sort keys %keys_of;
	run(0, "insert into gov_capabilities (id) values ('tokens'), ('calls') on conflict do nothing");
	my %parent_of = (eng => 'acme', ops => 'acme', ann => 'eng', ben => 'eng', cyd => 'ops');
	run(0, "insert into gov_entities (owner_id, id, type_id, parent_id) values " . join(', ', map { "('o$seed', '$_->{id}', '$_->{type}', " . literal($parent_of{ $_->{id} }) . ')' } @$entities));
	change_catalog(0) for 1 .. 20;
	return;
}

sub end_history
{
	for my $n (0 .. $#sessions)
	{
		end_transaction($n, chance(0.5)) if defined transaction_of($n);
	}
	my $wrong = run(0, "select string_agg(v::text, E'\\n') from gov_verify() as v");
	die "gov_verify: $wrong\n" if $wrong ne '';
	compare($_) for 0 .. $#sessions;
	run(0, 'do $$ begin perform gov_maintain(); end $$') for 1 .. 3;
	run(0, 'do $$ begin perform gov_refresh(); end $$');
	$wrong = run(0, "select string_agg(v::text, E'\\n') from gov_verify() as v");
	die "gov_verify after a refresh: $wrong\n" if $wrong ne '';
	compare($_) for 0 .. $#sessions;
	return;
}

sub connect_sessions
{
	@sessions = map { { psql => $node->background_psql('postgres', on_error_stop => 0), levels => undef, changed_catalog => 0 } } 1 .. 3;
	return;
}

sub disconnect_sessions
{
	for my $session (@sessions)
	{
		eval { $session->{psql}->quit; };
	}
	@sessions = ();
	return;
}

# One history. A session that is left in an unknown state is not used again.
sub run_history
{
	($seed) = @_;
	srand($seed);
	connect_sessions();
	my $done = eval {
		begin_history();
		for (1 .. $steps)
		{
			step(int(rand(@sessions)));
			compare(int(rand(@sessions))) for 1 .. one_of(1, 1, 2);
		}
		end_history();
		1;
	};
	my $error = $@;
	disconnect_sessions();
	ok($done, "seed $seed, " . ($cache_is_small ? 'small cache' : 'cache of the default size')) and return;
	diag("SEED=$seed\n" . join("\n", map { "$_;" } @history) . "\n$error");
	return;
}

# Half of the histories with the cache as it is, half with one that is smaller than what is read.
my @first = grep { $_ % 2 } @seeds;
my @second = grep { $_ % 2 == 0 } @seeds;

run_history($_) for @first;

if (@second)
{
	$cache_is_small = 1;
	$node->append_conf('postgresql.conf', "governance.cache_size = '4MB'");
	$node->restart;
	$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id) values ('org') on conflict do nothing;
insert into gov_capabilities (id) values ('tokens') on conflict do nothing;
insert into gov_entities (owner_id, id, type_id) select 'crowd', 'c' || g || repeat('x', 240), 'org' from generate_series(0, 20000) as g;
insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) select 'crowd', 'c' || g || repeat('x', 240), 'tokens', repeat('y', 255), 10, 'P1M' from generate_series(0, 20000, 3) as g;
SQL
	run_history($_) for @second;
}

$node->stop;
done_testing();
