# Random histories of usage, holds, catalog changes, rollbacks, turning windows and evictions, in several sessions that keep
# what gov_query has read.  Whatever the history:
#
#   - when no other transaction is under way, every page of gov_query in every session is what the view gov_budgets says, also
#     in the transaction that has changed the catalog itself
#   - when others have usage in flight, gov_query shows of a budget what gov_headroom shows of it
#
# GOV_SEED=n repeats a history, GOV_STEPS=n makes it longer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovSession;
use GovTest;

use constant NOISE => 6000;

my $seed = $ENV{GOV_SEED} // int(rand(1_000_000));
my $steps = $ENV{GOV_STEPS} // 400;

srand($seed);
note "seed $seed";

# No window may end but where the test turns it: start at noon in the middle of next month.
my $node = gov_node('query');
my $offset = $node->safe_psql('postgres',
	q{select floor(extract(epoch from date_trunc('month', now()) + interval '1 month 14 days 12 hours' - now()))});
$node->append_conf('postgresql.conf', "governance.cache_size = '4MB'\ngovernance.clock_offset = '${offset}s'");
$node->restart;

# Two owners to look at, and others with so much that their use evicts those.
my @owners = qw(acme globex);

$node->safe_psql('postgres', q{
	insert into gov_entity_types (id, attribution_keys) values ('org', '{org}'), ('team', '{team}'), ('user', '{user}'), ('model', '{model}');
	insert into gov_capabilities (id) values ('tokens'), ('calls')});
foreach my $owner (@owners)
{
	$node->safe_psql('postgres', qq{
		insert into gov_entities (owner_id, id, type_id) values ('$owner', 'org', 'org'), ('$owner', 'gpt', 'model');
		insert into gov_entities (owner_id, id, type_id, parent_id) select '$owner', 'team-' || n, 'team', 'org' from generate_series(1, 4) n;
		insert into gov_entities (owner_id, id, type_id, parent_id) select '$owner', 'user-' || n, 'user', 'team-' || (1 + n % 4) from generate_series(1, 20) n;
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, scope_entity_ids)
		select '$owner', e.id, c.id, 10 * (1 + abs(hashtext(e.id)) % 10), k.cadence, s.scope
		from gov_entities e, gov_capabilities c, (values (null, '{}'::text[]), ('P1D', '{gpt}')) s (x, scope),
			lateral (select case abs(hashtext(e.id || c.id)) % 3 when 0 then null when 1 then 'P1D' else 'P1M' end as cadence) k
		where e.owner_id = '$owner' and e.type_id <> 'model'});
}
$node->safe_psql('postgres', qq{
	insert into gov_entities (owner_id, id, type_id) select 'noise-' || n % 64, 'user-' || n, 'user' from generate_series(1, ${\NOISE}) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name)
	select 'noise-' || n % 64, 'user-' || n, 'tokens', 50, m || repeat(' of a model', 20) from generate_series(1, ${\NOISE}) n, generate_series(1, 3) m});
$node->safe_psql('postgres', slurp_file("$FindBin::RealBin/../query_oracle.sql"));

# ---------------------------------------------------------------- sessions

my @sessions = map { GovSession->new($node, "session-$_") } 1 .. 4;

# Too little for both owners; nothing kept at all.
$sessions[1]->ask("set governance.query_memory = '24kB'");
$sessions[2]->ask('set governance.query_memory = 0');

sub pick { return $_[ rand @_ ]; }
sub one_in { return rand($_[0]) < 1; }
sub sql_text { return defined $_[0] ? "'$_[0]'" : 'null'; }

sub others_are_idle
{
	my ($session) = @_;

	return !grep { $_ != $session && $_->{is_open} } @sessions;
}

my %done;
my @trail;

# Errors are part of the history: those of rules, of rows locked by another session, of denials.
sub try
{
	my ($session, $what, $sql) = @_;

	push @trail, "$session->{name}: $sql";
	$done{$what}++;
	return 1 if eval { $session->ask($sql); 1 };
	my $error = $@;

	die $error unless $error =~ /^ERROR:/m;
	$done{"$what failed"}++;
	$session->ask('rollback') if $session->{is_open};
	$session->{is_open} = 0;
	$session->{savepoint} = 0;
	$session->{has_changes} = 0;
	return 0;
}

sub user { return 'user-' . (1 + int rand 20); }
sub team { return 'team-' . (1 + int rand 4); }

my $made = 0;

# Catalog changes wait for row locks, so only one transaction at a time has some.
sub may_change
{
	my ($session) = @_;

	return !grep { $_ != $session && $_->{has_changes} } @sessions;
}

sub change
{
	my ($session, $owner) = @_;

	return unless may_change($session);
	my $entity = pick(user(), team());
	my $sql = pick(
		"update gov_assignments set usage_limit = " . pick('null', 0, 1 + int rand 50) . " where owner_id = '$owner' and entity_id = '$entity'",
		"update gov_assignments set cadence = " . pick('null', "'P1D'", "'P1W'", "'P1M'") . " where owner_id = '$owner' and entity_id = '$entity' and capability_id = 'tokens'",
		"update gov_assignments set timezone = " . pick("'Asia/Tokyo'", "'UTC'") . ", anchor_at = " . pick('null', "'2026-01-31 03:00+00'") . " where owner_id = '$owner' and entity_id = '$entity'",
		"update gov_assignments set locked = not locked, enforcement = " . pick("'soft'", "'hard'") . " where owner_id = '$owner' and entity_id = '$entity'",
		"update gov_entities set display_name = " . pick('null', "'Name $made'") . " where owner_id = '$owner' and id = '$entity'",
		"insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('$owner', '$entity', 'tokens', 'more-" . ++$made . "', 20, " . pick('null', "'P1D'") . ')',
		"delete from gov_assignments where owner_id = '$owner' and entity_id = '$entity' and name <> '' and name <> 'more-$made'",
		"insert into gov_entities (owner_id, id, type_id, parent_id) values ('$owner', 'extra-" . ++$made . "', 'user', '$entity'); insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('$owner', 'extra-$made', 'calls', 9)",
		"update gov_entities set parent_id = '" . team() . "' where owner_id = '$owner' and id = (select e.id from gov_entities e where e.owner_id = '$owner' and e.id like 'extra-%' and not exists (select from gov_entities c where c.owner_id = e.owner_id and c.parent_id = e.id) limit 1)",
		"update gov_default_assignments set usage_limit = " . pick('null', 0, 1 + int rand 50) . " where type_id = '" . pick(qw(user team)) . "'",
		"update gov_default_assignments set cadence = " . pick('null', "'P1D'", "'P1M'") . " where type_id = 'user' and capability_id = 'tokens'",
		"insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('$owner', '$entity', 'tokens', 'each', 30, " . pick('null', "'P1D'") . ')',
		"delete from gov_assignments where owner_id = '$owner' and entity_id = '$entity' and name = 'each'",
		"delete from gov_assignments where owner_id = '$owner' and entity_id = '$entity' and capability_id = 'tokens' and scope_entity_ids = '{}' and name = ''",
		"insert into gov_boosts (owner_id, entity_id, capability_id, name, amount, valid_until) values ('$owner', '$entity', 'tokens', 'each', 3, " . pick('null', "gov_now() + interval '1 day'") . ')',
		"update gov_entities set archived_at = " . pick('null', 'now()') . " where owner_id = '$owner' and id = '$entity'");
	$session->{has_changes} = 1 if $session->{is_open};
	try($session, 'change', $sql);
	return;
}

sub use_some
{
	my ($session, $owner) = @_;
	my $arguments = "'$owner', '" . pick('tokens', 'calls') . "', ";
	my $entities = "array['" . user() . "']";
	my $dimensions = pick('null', q('{"model": "gpt"}'));
	my $amount = pick(1, 2, 0.25, 0.000000001, 7.5);

	if (one_in(6))
	{
		try($session, 'correct', "select count(gov_ingest($arguments - $amount, $dimensions, $entities))");
	}
	elsif (one_in(3))
	{
		try($session, 'reserve', "select count(gov_reserve($arguments $amount, $dimensions, $entities, null, '" . pick('10 days', '2 hours') . "'))");
	}
	elsif (one_in(3))
	{
		try($session, 'consume', "select count(gov_consume($arguments $amount, $dimensions, $entities))");
	}
	else
	{
		try($session, 'ingest', "select count(gov_ingest($arguments $amount, $dimensions, $entities))");
	}
	return;
}

# Of another transaction's hold nobody knows; one that two sessions end at a time makes one of them wait.
sub end_hold
{
	my ($session, $owner) = @_;

	return unless others_are_idle($session);
	my $call = pick('gov_settle(id, amount / 2)', 'gov_settle(id, amount + 1)', 'gov_settle(id)', 'gov_release(id)', "gov_extend(id, '3 days')");
	try($session, 'end hold',
		"select count($call) from (select id, amount from gov_reservations where owner_id = '$owner' and state = 'open' and expires_at > gov_now() order by random() limit 1) h");
	return;
}

sub begin_or_end
{
	my ($session) = @_;

	if (!$session->{is_open})
	{
		$session->ask('begin');
		$session->{is_open} = 1;
		return;
	}
	if (one_in(3))
	{
		try($session, 'savepoint', $session->{savepoint} ? pick('rollback to s', 'release s') : 'savepoint s');
		$session->{savepoint} = $trail[-1] =~ /savepoint s|rollback to/ && $session->{is_open};
		return;
	}
	try($session, 'end', pick('commit', 'rollback'));
	$session->{$_} = 0 foreach qw(is_open savepoint has_changes);
	return;
}

sub evict
{
	my ($session) = @_;

	# this makes every sheet be read anew
	return try($session, 'drop cache', 'select gov_drop_cache()') if one_in(10);
	my $from = 1 + int rand NOISE / 2;
	return try($session, 'noise',
		"select count(gov_allowed('noise-' || n % 64, 'tokens', 1, null, array['user-' || n])) from generate_series($from, $from + ${\(NOISE / 2)}) n");
}

# A day further; holds past their time are taken out by the worker.
sub turn
{
	return if grep { $_->{is_open} } @sessions;
	$offset += 86400;
	$node->safe_psql('postgres', "alter system set governance.clock_offset = '${offset}s'");
	$node->reload;
	foreach my $session (@sessions)
	{
		1 until $session->ask("select current_setting('governance.clock_offset')::interval = interval '$offset seconds'") eq 't';
	}
	$node->poll_query_until('postgres',
		q{select count(gov_allowed(o, 'tokens', 0)) = 2 and not exists (select from gov_reservations where state = 'open' and expires_at <= gov_now()) from unnest('{acme,globex}'::text[]) o})
	  or die 'holds do not expire';
	$done{turn}++;
	return;
}

# ---------------------------------------------------------------- what must hold

my $wrong = 0;

sub compare
{
	my ($session, $owner) = @_;
	my $arguments = join ', ', map { $_ } "'$owner'",
	  sql_text(pick(undef, '{tokens}', '{tokens}', '{tokens,calls}', '{tokens,calls}')),
	  "'" . pick(qw(utilization utilization currentUsage usageLimit scopeSize id createdAt)) . "'",
	  "'" . pick(qw(asc desc)) . "'",
	  "'" . pick(qw(all all nodeWide scoped)) . "'",
	  pick('null', 'null', '0.3'),
	  sql_text(pick(undef, undef, '{user}')),
	  sql_text(pick(undef, undef, 'R-1')),
	  sql_text(pick(undef, undef, team()));
	my $size = pick(1, 7, 30, 100);
	my $answer = $session->ask("select oracle.pages($arguments, $size) = oracle.rows($arguments)");

	$done{$session->{has_changes} ? 'compare own changes' : $session->{is_open} ? 'compare own usage' : 'compare'}++;
	return if $answer eq 't';
	$wrong++;
	diag "$session->{name}: ($arguments), pages of $size";
	diag $session->ask(qq{
		select 'gov_query ' || p::text from (select p from jsonb_array_elements(oracle.pages($arguments, $size)) p except select r from jsonb_array_elements(oracle.rows($arguments)) r) x
		union all
		select 'gov_budgets ' || p::text from (select r from jsonb_array_elements(oracle.rows($arguments)) r except select p from jsonb_array_elements(oracle.pages($arguments, $size)) p) x (p)});
	return;
}

# While others are at work: the same as the gate says, in this very session, of one entity or of all.
sub compare_with_gate
{
	my ($session, $owner) = @_;
	my $entity = pick(user(), team());
	my ($ids, $under, $where) = one_in(2) ?
	  ("array['$entity']", "'$entity'", "= '$entity'") :
	  ("array(select id from gov_entities where owner_id = '$owner')", 'null', 'is not null');
	my $asked = qq{select string_agg(format('%s:%s %s %s', r ->> 'entityId', r ->> 'name', r ->> 'currentUsage', r ->> 'reservedUsage'), ', '
			order by r ->> 'entityId' collate "C", r ->> 'name' collate "C")
		from jsonb_array_elements(oracle.pages('$owner', '{tokens}', 'utilization', 'desc', 'nodeWide', null, null, null, $under, 100)) r
		where r ->> 'entityId' $where};
	my $before = $session->ask($asked);
	my $gate = $session->ask(qq{select string_agg(h.line, ', ' order by h.entity_id collate "C", h.name collate "C")
		from (select distinct entity_id, name, format('%s:%s %s %s', entity_id, name, current_usage, reserved_usage) as line
			from gov_headroom('$owner', 'tokens', 0, null, $ids) where entity_id $where and scope_entity_ids = '{}') h});
	my $after = $session->ask($asked);

	$done{'compare with the gate'}++;
	return if $before eq $gate && $gate eq $after;
	$wrong++;
	diag "$session->{name}: $owner\ngov_query $before\ngov_headroom $gate\ngov_query $after";
	return;
}

# ---------------------------------------------------------------- what rarely happens by chance

sub shown
{
	return $sessions[0]->ask(q{select concat_ws('+', r -> 'currentUsage', r -> 'reservedUsage')
		from jsonb_array_elements(gov_query('acme', '{tokens}', scope => 'nodeWide', under_entity_id => 'user-1') -> 'data') r});
}

sub await_eviction
{
	foreach (1 .. 20)
	{
		$sessions[3]->ask("select count(gov_allowed('noise-' || n % 64, 'tokens', 1, null, array['user-' || n])) from generate_series(1, ${\NOISE}) n");
		return 1 if $sessions[3]->ask(q{select not exists (select from gov_cached_counters() c join gov_assignments a using (counter_id)
			where a.owner_id = 'acme' and a.entity_id = 'user-1')}) eq 't';
	}
	return 0;
}

my $ingest = q{select count(gov_ingest('acme', 'tokens', 1, null, '{user-1}'))};

is(shown(), '0+0', 'as the tables say');
$sessions[3]->ask($ingest);
ok(await_eviction(), 'used, and evicted again');
is(shown(), '1+0', 'between two queries of a session');
$sessions[3]->ask($ingest);
is(shown(), '2+0', 'counted in memory');
ok(await_eviction(), 'evicted');
$sessions[3]->ask($ingest);
is(shown(), '3+0', 'and counted elsewhere in memory');
$sessions[3]->ask(q{select count(gov_reserve('acme', 'tokens', 5, null, '{user-1}', 'hold'))});
is(shown(), '3+5', 'held');
$sessions[3]->ask(q{begin; select count(gov_settle(id, 2)) from gov_reservations where idempotency_key = 'hold'});
is(shown(), '5+3', 'a settlement in flight: nothing twice, nothing free');
is($sessions[3]->ask(q{select concat_ws('+', r -> 'currentUsage', r -> 'reservedUsage')
	from jsonb_array_elements(gov_query('acme', '{tokens}', scope => 'nodeWide', under_entity_id => 'user-1') -> 'data') r}), '5+0', 'settled for the one who does it');
$sessions[3]->ask('rollback');
is(shown(), '3+5', 'and rolled back');

# ---------------------------------------------------------------- histories

# Budgets by defaults, of one owner and of both, used and unused.
$node->safe_psql('postgres', q{
	insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit, cadence) values
		('acme', 'user', 'tokens', 'each', 20, 'P1D'), (null, 'user', 'tokens', 'each', 40, 'P1M'), (null, 'user', 'tokens', '', 40, 'P1M'),
		(null, 'team', 'tokens', 'each', 100, 'P1M'), (null, 'model', 'calls', '', null, 'P1D')});

for (1 .. $steps)
{
	my $session = pick(@sessions);
	my $owner = pick(@owners);
	my $dice = rand 100;

	if ($dice < 30) { use_some($session, $owner); }
	elsif ($dice < 42) { change($session, $owner); }
	elsif ($dice < 48) { end_hold($session, $owner); }
	elsif ($dice < 60) { begin_or_end($session); }
	elsif ($dice < 63) { evict($session); }
	elsif ($dice < 64) { turn(); }
	elsif ($dice < 75) { compare_with_gate($session, $owner); }
	elsif (!grep { $_->{is_open} } @sessions)
	{
		compare($_, $owner) foreach @sessions;
	}
	elsif (others_are_idle($session)) { compare($session, $owner); }
	else
	{
		# let it become quiet
		my ($open) = grep { $_->{is_open} } @sessions;
		begin_or_end($open);
	}
	last if $wrong > 0;
}
diag join "\n", splice(@trail, @trail > 40 ? -40 : 0) if $wrong;
is($wrong, 0, "gov_query is right all the time (seed $seed)");

# That was no history of nothing.
note join ', ', map { "$done{$_} $_" } sort keys %done;
foreach my $what ('ingest', 'correct', 'reserve', 'consume', 'end hold', 'change', 'noise', 'compare', 'compare with the gate')
{
	cmp_ok($done{$what} // 0, '>', 0, "$what");
}
cmp_ok(gov_stat($node, 'postgres', 'cache_evictions'), '>', 0, 'nodes were evicted');

foreach my $session (@sessions)
{
	$session->ask('rollback') if $session->{is_open};
	$session->{is_open} = $session->{has_changes} = 0;
}
compare($sessions[0], $_) foreach @owners;
is($wrong, 0, 'and at the end');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'the counts equal the ledger');

# What is kept goes when it may not be kept any more.
my $kept = q{select count(*) from pg_backend_memory_contexts where name = 'governance sheet'};
is($sessions[0]->ask("select from gov_query('$_')") // '', '', "$_ is read") foreach @owners;
is($sessions[0]->ask($kept), scalar(@owners), 'and kept, in place of its parts');
$sessions[0]->ask('set governance.query_memory = 0');
$sessions[0]->ask("select from gov_query('$owners[0]')");
is($sessions[0]->ask($kept), '0', 'no longer, once it may not be');
done_testing();
