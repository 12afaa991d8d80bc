# gov_query, gov_tree and gov_budgets against what test/report_oracle.sql finds in the base tables: random owners with random trees,
# budgets and usage, asked with random sorts, filters and page sizes, walked by the cursor, while usage, catalog and clock go on.
#
# A run follows from its seed alone. A failing one prints it:
#     SEED=n prove ...         runs that seed and no other
#     QUERY_SEEDS=n prove ...  runs that many
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;
use GovRandom;
use GovSession;
use GovTest;

my @seeds = defined $ENV{SEED} ? ($ENV{SEED}) : (1 .. $ENV{QUERY_SEEDS} // 3);
my $node = gov_node('query',
	init => { allows_streaming => 1, extra => [ '--locale=C.UTF-8', '--encoding=UTF8' ] },
	conf => "fsync = off\nautovacuum = off\ngovernance.cache_size = '4MB'");

$node->safe_psql('postgres', slurp_file("$FindBin::RealBin/../report_oracle.sql"));

my @owners = ('acme', "o'%_ ß");
my @types = ('org', 'team', 'Agent', 'model x');
my @capabilities = ('tokens', 'calls', 'Ä-credits');
my @cadences = ('PT1H', 'P1D', 'P1D', 'P1W', 'P1M', 'P1M', 'P1M', 'P3M', undef);
my (%entities, @sessions, $session, $offset, $next);

sub ask { return $session->ask($_[0]); }

# Go on in any session; but for one, each may keep what it has read.
sub change_session { $session = one_of(@sessions); return; }

# A change of the catalog, which its rules may refuse.
sub try_change
{
	my ($sql) = @_;
	ask("do \$do\$ begin $sql; exception when others then if sqlstate !~ '^(23503|23505|23514|55000)' then raise; end if; end \$do\$");
	return;
}

sub sql_text
{
	my ($value) = @_;
	return 'null' unless defined $value;
	return "'" . $value =~ s/'/''/gr . "'";
}

sub sql_array
{
	my ($values) = @_;
	return 'null' unless defined $values;
	return 'array[' . join(', ', map { sql_text($_) } @$values) . ']::text[]';
}

# Any of a list, each at most once, in any order.
sub some_of { my ($share, @list) = @_; return shuffle grep { chance($share) } @list; }

# ---------------------------------------------------------------- the clock

# Windows are an hour and longer, and it is always a few minutes past one.
sub move_clock
{
	my ($hours) = @_;

	$offset += 3600 * $hours;
	my $before = ask('select extract(epoch from gov_now())');
	$node->append_conf('postgresql.conf', "governance.clock_offset = '${offset}s'");
	$node->reload;
	foreach my $psql (@sessions)
	{
		foreach (1 .. 1000)
		{
			last if $psql->ask("select extract(epoch from gov_now()) >= $before + 3600 * $hours") eq 't';
			select(undef, undef, undef, 0.01);
		}
	}
	await_expiry();
	return;
}

# Holds whose time has passed stop counting within a second.
sub await_expiry
{
	foreach (1 .. 1000)
	{
		return if ask(q{select count(*) from gov_reservations where state = 'open' and expires_at <= gov_now()}) == 0;
		select(undef, undef, undef, 0.01);
	}
	die "holds do not expire\n";
}

# ---------------------------------------------------------------- random customers

sub an_entity { return one_of(@{ $entities{ $_[0] } }); }

sub new_entity
{
	my ($owner) = @_;
	my $id = one_of('e', 'E', 'é', 'a b', 'x%', 'x_', 'x\\y', '"q"', "it''s", 'zz') . ++$next;
	my $parent = chance(0.15) ? undef : an_entity($owner);
	my $type = one_of(@types);

	push @{ $entities{$owner} }, $id;
	try_change('insert into gov_entities (owner_id, id, type_id, parent_id, display_name, archived_at, created_at) values ('
		  . join(', ', map { sql_text($_) } $owner, $id, $type, $parent,
			one_of(undef, 'Team É', 'TEAM é', '100%', 'back\\slash', "name $next", 'under_score'),
			chance(0.15) ? '2026-01-01' : undef, one_of('2026-01-01', '2026-01-02', '2026-01-02', '2026-01-02 00:00:00.000001'))
		  . ')');
	return;
}

sub random_limit { return one_of(undef, 0, 1, 3, 7.5, 10, 10, 40, 100, '33.333333333', '123456789012345678', '0.000000001'); }

sub new_budget
{
	my ($owner) = @_;
	my $scope = chance(0.3) ? [ map { an_entity($owner) } 1 .. one_of(1, 1, 2, 3) ] : [];

	try_change('insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, timezone, enforcement, locked) values ('
		  . join(', ', sql_text($owner), sql_text(an_entity($owner)), sql_text(one_of(@capabilities)), sql_array($scope),
			map { sql_text($_) } one_of('', '', '', 'rate', 'Rate', 'é'), random_limit(), one_of(@cadences), one_of(undef, undef, '2020-01-31 10:00Z'),
			one_of('UTC', 'UTC', 'America/New_York', 'Asia/Kolkata'), one_of('hard', 'hard', 'soft'), one_of('true', 'false'))
		  . ') on conflict do nothing');
	return;
}

sub a_budget
{
	my ($owner) = @_;
	return ask('select id from gov_assignments where owner_id = ' . sql_text($owner) . ' order by entity_id, capability_id, scope_entity_ids, name offset ' . int(rand(30)) . ' limit 1') || undef;
}

sub populate
{
	my ($owner) = @_;

	$entities{$owner} = [];
	foreach my $id ('root', 'Root')
	{
		push @{ $entities{$owner} }, $id;
		ask('insert into gov_entities (owner_id, id, type_id) values (' . sql_text($owner) . ", '$id', 'org')");
	}
	new_entity($owner) foreach 1 .. 25;
	new_budget($owner) foreach 1 .. 60;
	return;
}

# ---------------------------------------------------------------- what happens

sub target
{
	my ($owner) = @_;
	my $dims = chance(0.3) ? '{"model": ' . '"' . (an_entity($owner) =~ s/(["\\])/\\$1/gr) . '", "feature": "chat"}' : undef;
	return (sql_text($owner), sql_text(one_of(@capabilities)), one_of(1, 1, 2, 3, 5, 0, 7.25, '0.000000001', '12.5', int(rand(60))),
		sql_array(chance(0.1) ? undef : [ map { an_entity($owner) } 1 .. one_of(1, 1, 2) ]), sql_text($dims));
}

sub ingest
{
	my ($owner) = @_;
	my ($name, $capability, $amount, $ids, $dims) = target($owner);
	my $sign = chance(0.25) ? '-' : '';
	my $ago = chance(0.2) ? "gov_now() - interval '" . one_of('1 minute', '2 hours', '1 day', '8 days', '40 days') . "'" : 'null';

	return "truth.ingest($name, $capability, $sign$amount, $ids, $dims, $ago)";
}

sub consume { return 'truth.consume(' . join(', ', target($_[0])) . ')'; }

sub reserve { return 'truth.reserve(' . join(', ', target($_[0]), "interval '" . one_of('30 minutes', '5 hours', '100 days') . "'") . ')'; }

sub end_hold
{
	my ($owner) = @_;
	my $hold = ask('select id from gov_reservations where owner_id = ' . sql_text($owner) . " and state = 'open' order by amount, id limit 1") || return ingest($owner);
	return one_of("truth.settle('$hold', null)", "truth.settle('$hold', 2.5)", "gov_release('$hold')");
}

sub usage_call
{
	my ($owner) = @_;
	return weighted([ 6, \&ingest ], [ 3, \&consume ], [ 3, \&reserve ], [ 2, \&end_hold ])->($owner);
}

# A leaf moves, an inner entity is archived, a budget is changed; the tables' rules may refuse.
sub change_catalog
{
	my ($owner) = @_;
	my $name = sql_text($owner);
	my $entity = sql_text(an_entity($owner));
	my $budget = a_budget($owner);

	return new_entity($owner) if chance(0.15);
	return new_budget($owner) if chance(0.2) || !defined $budget;
	my $window = one_of('cadence = ' . sql_text(one_of(@cadences)), "timezone = 'Europe/Berlin'");
	my $sql = one_of(
		'update gov_assignments set usage_limit = ' . sql_text(random_limit()) . " where id = '$budget'",
		'update gov_assignments set usage_limit = ' . sql_text(random_limit()) . ", locked = not locked, enforcement = 'soft' where id = '$budget'",
		"update gov_assignments set $window where id = '$budget'",
		"delete from gov_assignments where id = '$budget'",
		"update gov_entities set archived_at = case when archived_at is null then now() end where owner_id = $name and id = $entity",
		"update gov_entities set archived_at = case when archived_at is null then now() end where owner_id = $name and id = $entity",
		"update gov_entities set parent_id = " . one_of('null', sql_text(an_entity($owner))) . " where owner_id = $name and id = $entity",
		"update gov_entities set blocked_at = date_trunc('milliseconds', gov_now()), blocked_until = "
		  . one_of('null', "date_trunc('milliseconds', gov_now()) + '" . one_of('1 hour', '30 hours') . "'")
		  . ', blocked_reason = ' . sql_text(one_of(undef, 'why "not"')) . " where owner_id = $name and id = $entity",
		"update gov_entities set blocked_at = null, blocked_until = null, blocked_reason = null where owner_id = $name and id = $entity",
		"update gov_entities set display_name = 'renamed %' where owner_id = $name and id = $entity",
		"update gov_entities set type_id = 'model x' where owner_id = $name and id = $entity");
	return change_default() if chance(0.15);
	my $before = $sql =~ /cadence|timezone/ ? ask("select counter_id from gov_assignments where id = '$budget'") : undef;
	try_change($sql);
	ask("call truth.restart('$budget')") if defined $before && ask("select counter_id from gov_assignments where id = '$budget'") ne $before;
	return;
}

# What entities have by defaults of their type. The owners share one; its name keeps it apart from assignments, most of the time.
sub change_default
{
	my $seeds = "select string_agg(id || ' ' || seed, ',') from gov_default_assignments";
	my %before = map { split / / } split /,/, ask($seeds);
	try_change(one_of(
		'update gov_default_assignments set usage_limit = ' . sql_text(random_limit()) . ' where type_id = ' . sql_text(one_of(@types)),
		'update gov_default_assignments set cadence = ' . sql_text(one_of(@cadences)) . ' where type_id = ' . sql_text(one_of(@types)),
		"update gov_default_assignments set locked = not locked, enforcement = 'soft' where type_id = 'team'"));
	my %after = map { split / / } split /,/, ask($seeds);
	foreach my $default (grep { $after{$_} ne $before{$_} } keys %after)
	{
		ask("delete from truth.charged where assignment_id in (select md5('$default' || e.id)::uuid from gov_entities e)");
	}
	return;
}

sub use_or_change
{
	my ($owner) = @_;

	if (chance(0.2)) { change_catalog($owner); }
	else { ask('select ' . usage_call($owner)); }
	return;
}

my @other_work = ('do $$ begin perform gov_maintain(); end $$', 'select gov_drop_cache()', 'select gov_refresh()',
	(q{select count(*) from generate_series(0, 59) as g where gov_allowed('crowd', 'tokens', 1, entity_ids => array['c' || g])}) x 3);

sub step
{
	my ($owner) = @_;

	change_session();
	if (chance(0.03)) { move_clock(one_of(1, 1, 6, 24, 24, 168, 744)); }
	elsif (chance(0.04)) { ask(one_of(@other_work)); }
	else { use_or_change($owner); }
	return;
}

# ---------------------------------------------------------------- questions

sub random_capabilities { return one_of([@capabilities], [@capabilities], [ one_of(@capabilities) ], [ some_of(0.6, @capabilities), 'no such' ], [ 'tokens', 'tokens' ], undef); }

sub random_query
{
	my ($owner) = @_;
	my $capabilities = chance(0.02) ? [] : random_capabilities();
	my $is_tree = !defined $capabilities;

	return join(', ',
		sql_text($owner), sql_array($capabilities),
		sql_text(one_of('utilization', 'utilization', 'currentUsage', 'usageLimit', 'scopeSize', 'id', 'createdAt')),
		sql_text(one_of('asc', 'desc')),
		sql_text($is_tree ? 'all' : one_of('all', 'all', 'nodeWide', 'scoped')),
		$is_tree || chance(0.7) ? 'null' : one_of(0, 0.1, 0.5, 1, 1.5, -1),
		sql_array(chance(0.7) ? undef : one_of([ one_of(@types) ], [ some_of(0.5, @types), 'no such' ])),
		sql_text(chance(0.7) ? undef : one_of('e', 'É', 'TEAM', '%', '_', '\\', "'", '"', 'ROOT', '0', 'x%', 'x_', '', 'no such')),
		sql_text(chance(0.7) ? undef : one_of(an_entity($owner), 'root', 'Root', 'no such')),
		one_of(1, 2, 3, 7, 20, 100, 100, 'null'));
}

sub random_tree
{
	my ($owner) = @_;
	return join(', ', sql_text($owner), sql_array(random_capabilities()), sql_text(chance(0.6) ? undef : one_of(an_entity($owner), 'root', 'no such')));
}

# Everything that can be asked, some of it; what is wrong, or nothing.
sub check
{
	my ($owner, $queries) = @_;
	my @calls = ((map { 'truth.check_query(' . random_query($owner) . ')' } 1 .. $queries),
		'truth.check_tree(' . random_tree($owner) . ')', (map { "truth.$_(" . sql_text($owner) . ')' } 'check_budgets', 'check_gate'));

	foreach my $call (@calls)
	{
		my $answer = ask("select $call");
		return "select $call\n$answer" if $answer ne '';
	}
	return;
}

sub play
{
	my ($seed) = @_;

	srand($seed);
	$next = 0;
	populate($_) foreach @owners;
	ask(q{
		delete from gov_default_assignments;
		insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit, cadence, enforcement) values
			('acme', 'team', 'tokens', 'each', 10, 'P1M', 'hard'), (null, 'team', 'tokens', 'each', 3, 'P1D', 'hard'),
			(null, 'Agent', 'calls', 'each', null, 'P1W', 'hard'), (null, 'model x', 'tokens', 'each', 0, null, 'soft')});
	foreach my $round (1 .. 12)
	{
		my $owner = one_of(@owners);
		step($owner) foreach 1 .. 15;
		my $wrong = check($owner, 5);
		return "round $round: $wrong" if defined $wrong;

		# in a transaction with what it has done itself
		change_session();
		my $writer = $session;
		ask('begin');
		ask('select ' . usage_call($owner)) foreach 1 .. one_of(1, 3);
		change_catalog($owner) if chance(0.5);
		$wrong = check($owner, 2);
		return "round $round, in a transaction: $wrong" if defined $wrong;

		# others look at it meanwhile; after it they know better
		change_session();
		ask('select gov_query(' . sql_text($owner) . q{, '{tokens,calls}')}) if $session != $writer;
		$writer->ask(one_of('commit', 'rollback'));
		change_session();
		$wrong = check($owner, 2);
		return "round $round, after it: $wrong" if defined $wrong;

		# a change of the catalog that is not committed is nobody else's
		$session = $writer = $sessions[0];
		ask('begin');
		change_catalog($owner) foreach 1 .. 2;
		$session = $sessions[1];
		$wrong = check($owner, 1);
		return "round $round, while another changes the catalog: $wrong" if defined $wrong;
		$writer->ask(one_of('commit', 'rollback'));
		$wrong = check($owner, 1);
		return "round $round, after another has changed the catalog: $wrong" if defined $wrong;
	}
	return;
}

# ----------------------------------------------------------------

# It is five past noon in the middle of next month.
$session = GovSession->new($node, 'query');
$offset = ask(q{select floor(extract(epoch from date_trunc('month', now()) + interval '1 month 14 days 12 hours 5 minutes' - now()))});
$node->append_conf('postgresql.conf', "governance.clock_offset = '${offset}s'");
$node->restart;
$session->close;
@sessions = map { GovSession->new($node, "query$_") } 1 .. 3;
$session = $sessions[0];
$sessions[2]->ask('set governance.query_memory = 0');
ask(qq{insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('team', '{team}'), ('Agent', '{}'), ('model x', '{model}')});
ask('insert into gov_capabilities (id) values ' . join(', ', map { "('$_')" } @capabilities));

# Others, whose budgets push everything else out of the cache.
ask(q{insert into gov_entities (owner_id, id, type_id) select 'crowd', 'c' || n, 'org' from generate_series(0, 59) as n});
ask(q{insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence)
	select 'crowd', 'c' || n, 'tokens', lpad(m::text, 255, 'x'), 10, 'P1M' from generate_series(0, 59) as n, generate_series(1, 120) as m});

# The columns are those of the contract.
my @columns = qw(entity_id display_name type_id parent_id capability_id scope_entity_ids name usage_limit current_usage reserved_usage remaining allocated
  utilization cadence usage_period_start usage_period_end enforcement locked);
my @later = qw(base_limit blocked_at blocked_until blocked_reason source default_id carried);

is(ask(q{select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = 'gov_budgets'::regclass and attnum > 0}), "owner_id @columns @later", 'the columns of gov_budgets');
is(ask(q{select string_agg(a.name, ' ' order by a.n) from pg_proc p, unnest(p.proargnames, p.proargmodes) with ordinality as a (name, mode, n) where proname = 'gov_tree' and a.mode in ('t', 'o')}),
	"@columns depth path @later", 'the columns of gov_tree');

my $used = 0;

foreach my $seed (@seeds)
{
	my $wrong = eval { play($seed) };
	$wrong = $@ if $@ ne '';
	ok(!defined $wrong, "SEED=$seed") or diag("SEED=$seed\n$wrong");
	foreach my $psql (@sessions) { eval { $psql->ask('rollback') }; }
	$used += ask('select count(*) from truth.budgets(' . sql_text($_) . ') where current_usage <> 0') foreach @owners;
	last if $seed == $seeds[-1];
	foreach my $name (map { sql_text($_) } @owners)
	{
		ask("select gov_delete_owner($name)");
		is(ask("select truth.check_query($name, '{tokens}', 'id', 'asc', 'all', null, null, null, null, 20), truth.check_budgets($name)"), '|', 'nothing is left');
	}
}
cmp_ok($used, '>', 10 * @seeds, 'there was something to see');
cmp_ok(gov_stat($node, 'postgres', 'cache_evictions'), '>', 0, 'also when it had been pushed out of the cache');

# ---------------------------------------------------------------- elsewhere

# What the last seed has left, read from the tables, and on a standby.
sub is_right
{
	my ($where) = @_;
	my $wrong = eval { my $found; $found //= check($_, 10) foreach @owners; $found };

	$wrong = $@ if $@ ne '';
	return ok(!defined $wrong, $where) || diag($wrong);
}

change_session();
ask('set governance.use_cache = off');
is_right('without the cache');
ask('set governance.use_cache = on');
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('query_standby');
my @primary_sessions = @sessions;

$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $reader = GovSession->new($standby, 'standby');
foreach my $round (1 .. 3)
{
	$session = $sessions[0];
	use_or_change(one_of(@owners)) foreach 1 .. 10;
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	$session = $reader;
	is_right("on a standby, round $round");
}
$standby->promote;
is_right('promoted');
@sessions = ($reader, GovSession->new($standby, 'new'));
foreach (1 .. 2)
{
	change_session();
	use_or_change(one_of(@owners)) foreach 1 .. 10;
	is_right('used after that');
}
$_->close foreach @sessions;
@sessions = @primary_sessions;
$session = $sessions[0];
$standby->stop;

# ---------------------------------------------------------------- as it is printed

ask('delete from gov_default_assignments');

# Defaults: by utilization, the fullest first, 20 rows; times and numbers as chains print them.
ask(q{insert into gov_entities (owner_id, id, type_id) select 'plain', 'e' || lpad(n::text, 2, '0'), 'team' from generate_series(1, 25) n});
ask(q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) select 'plain', id, 'tokens', 10, 'P1M' from gov_entities where owner_id = 'plain'});
ask(q{select gov_ingest('plain', 'tokens', 1.50 * n, null, array['e' || lpad(n::text, 2, '0')]) from generate_series(1, 25) n});
is(ask(q{select string_agg(d ->> 'entityId', ' ' order by n) from jsonb_array_elements(gov_query('plain', '{tokens}') -> 'data') with ordinality as x (d, n)}),
	join(' ', map { sprintf 'e%02d', $_ } reverse 6 .. 25), 'the defaults');
is(ask(q{select string_agg(d ->> 'entityId', ' ' order by n) from jsonb_array_elements(gov_query('plain') -> 'data') with ordinality as x (d, n)}),
	join(' ', map { sprintf 'e%02d', $_ } 1 .. 20), 'the defaults of tree mode: nothing to sort by');
is(ask(q{select d -> 'currentUsage' || (d -> 'utilization') || (d -> 'remaining') from jsonb_array_elements(gov_query('plain', '{tokens}', page_size => 1) -> 'data') d}), '[37.5, 3.75, -27.5]', 'numbers');
ask(q{insert into gov_entities (owner_id, id, type_id, display_name) values ('search', 'ÉCOLE', 'team', null), ('search', 'b', 'team', 'Straße Ä')});
is(ask(qq{select string_agg(coalesce(gov_query('search', search => s) #>> '{data,0,entityId}', 'none'), ' ' order by n) from unnest(array['école', 'ÉcO', 'STRAßE', 'ä', 'ecole', 'strasse']) with ordinality as x (s, n)}),
	'ÉCOLE ÉCOLE b b none none', 'a search knows the capitals of the locale');
is(ask(q{select string_agg(distinct k, ' ' order by k) from jsonb_array_elements(gov_query('plain', '{tokens}') -> 'data') as d, jsonb_object_keys(d) as k}),
	join(' ', sort map { s/_(\w)/\u$1/gr } @columns, grep { $_ ne 'carried' } @later), 'the keys of a row, which carries nothing');
is( ask(q{select c.node -> 'usagePeriodStart' = d -> 'usagePeriodStart' and c.node -> 'usagePeriodEnd' = d -> 'usagePeriodEnd' and jsonb_typeof(d -> 'usagePeriodEnd') = 'string'
		from jsonb_array_elements(gov_query('plain', '{tokens}', sort_by => 'id', sort_order => 'asc', page_size => 1) -> 'data') d,
		(select chains -> 0 -> 0 as node from gov_check('plain', 'tokens', 0, null, '{e01}')) c}), 't', 'times as in chains');

$_->close foreach @sessions;
$node->stop;
done_testing();
