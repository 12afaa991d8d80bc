# A NOTIFY queue that is nearly full, which any login can bring about: uses are recorded and alerts raised all the same; that they are
# not told is counted, and said in gov_stats and in the log.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

# Without a worker: who rolls up is said below.
my $node = gov_node('notify_full', conf => 'max_worker_processes = 0');
my $has_small_queue = $node->safe_psql('postgres', q{select count(*) from pg_settings where name = 'max_notify_queue_pages'});

$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id) values ('org');
insert into gov_capabilities (id) values ('tokens');
insert into gov_entities (owner_id, id, type_id) select 'acme', 'org-' || n, 'org' from generate_series(1, 600) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds)
select 'acme', 'org-' || n, 'tokens', 10, '{10,50,100}' from generate_series(1, 600) n;
SQL

my $listener = $node->background_psql('postgres', on_error_stop => 0);
gov_ask($listener, 'listen governance_alerts');

# The ids that were told since the last time.
sub told
{
	return join ' ', sort { $a <=> $b } map { split /, / } gov_ask($listener, 'select 1') =~ /"alertIds": \[([0-9, ]+)\]/g;
}

sub alerts
{
	my ($entity) = @_;
	return $node->safe_psql('postgres', qq{
		select string_agg(l.id::text, ' ' order by l.id) from gov_alerts l join gov_assignments a on a.id = l.assignment_id where a.entity_id = '$entity'});
}

sub untold { return $node->safe_psql('postgres', q{select value from gov_stats where name = 'alerts_not_told'}); }

sub use_of { my ($entity, $amount) = @_; return "select is_duplicate from gov_ingest('acme', 'tokens', $amount, null, '{$entity}')"; }

# ---------------------------------------------------------------- as if it were full

my $full = q{set governance.fault_point = 'notify'; set governance.fault_at = 1};

is(untold(), '0', 'nothing was left untold yet');
is($node->safe_psql('postgres', use_of('org-1', 5)), 'f', 'a use that crosses two thresholds');
is(told(), alerts('org-1'), 'is told');
is($node->safe_psql('postgres', "$full; " . use_of('org-2', 5) . '; show governance.fault_at'), "f\n0", 'with a full queue it is recorded');
is(() = alerts('org-2') =~ /\d+/g, 2, 'its alerts are written');
is(told(), '', 'and not told');
is(untold(), '2', 'which is counted');
is($node->safe_psql('postgres', use_of('org-2', 5)), 'f', 'when there is room again');
is(told(), (split / /, alerts('org-2'))[2], 'alerts are told again');
is($node->safe_psql('postgres', "$full; " . use_of('org-3', 5) . '; show governance.fault_at'), "f\n0", 'another one');
is(() = slurp_file($node->logfile) =~ /LOG:  the NOTIFY queue is nearly full/g, 1, 'the log is told once a minute');

# A late event is looked at by the rollup alone, which goes on too.
sub late_use_of { my ($entity) = @_; return "select is_duplicate from gov_ingest('acme', 'tokens', 5, null, '{$entity}', null, '2020-06-01 00:00Z')"; }

$node->safe_psql('postgres', q{update gov_assignments set cadence = 'P1D' where entity_id in ('org-4', 'org-5'); } . late_use_of('org-4'));
is($node->safe_psql('postgres', "$full; select rolled_up > 0 from gov_maintain(); show governance.fault_at"), "t\n0", 'the rollup moves');
is(() = alerts('org-4') =~ /\d+/g, 2, 'what it finds crossed is written');
is(told(), '', 'and not told');
is(untold(), '6', 'which is counted too');

# ---------------------------------------------------------------- what is rolled back is not told, and PREPARE is refused

$node->safe_psql('postgres', late_use_of('org-5'));
is($node->safe_psql('postgres', q{begin; savepoint s; select rolled_up > 0 from gov_maintain(); rollback to s; commit}), 't', 'a rollup that is rolled back to a savepoint');
is(told(), '', 'tells nothing');
$node->safe_psql('postgres', q{begin; savepoint s; select gov_maintain(); release s; commit});
is(told(), alerts('org-5'), 'one whose savepoint is released tells');

# ---------------------------------------------------------------- really full

SKIP:
{
	skip 'before PostgreSQL 17 the queue has 8 GB', 1 unless $has_small_queue;

	$node->append_conf('postgresql.conf', 'max_notify_queue_pages = 64');
	$listener->quit;
	$node->restart;

	# One session reads nothing, and others fill the queue, up to the last page and all the time.
	my $idle = $node->background_psql('postgres', on_error_stop => 0);
	my $fill = q{select pg_notify('noise', repeat('x', 7000) || n || random()) from generate_series(1, 10) n};

	gov_ask($idle, 'listen noise');
	gov_ask($idle, 'begin; select 1');
	foreach (1 .. 30) { $node->psql('postgres', $fill); }
	isnt(($node->psql('postgres', "$fill; $fill; $fill; $fill; $fill; $fill; $fill"))[0], 0, 'no NOTIFY goes through');

	my $failed = 0;
	foreach my $n (10 .. 60)
	{
		$failed++ if $node->psql('postgres', use_of("org-$n", 5)) != 0;
	}
	is($failed, 0, 'all uses that cross thresholds do');
	is($node->safe_psql('postgres', q{select count(*) from gov_alerts l join gov_assignments a on a.id = l.assignment_id where a.entity_id in (select 'org-' || n from generate_series(10, 60) n)}),
		'102', 'their alerts are written');
	is(untold(), '102', 'and counted as not told');

	# Between our look and our commit nobody else gets in.
	gov_ask($idle, 'rollback; unlisten *; listen noise; begin; select 1');
	my ($out, $err) = ('', '');
	my $tmp = PostgreSQL::Test::Utils::tempdir();
	append_to_file("$tmp/fill.sql", q{select pg_notify('noise', repeat('x', 3000) || random());} . "\n");
	local %ENV = $node->_get_env();
	my @fillers = map { IPC::Run::start([ 'pgbench', '-n', '-c', '1', '-T', '5', '-f', "$tmp/fill.sql", 'postgres' ], '>', \$out, '2>', \$err) } 1 .. 3;
	my $user = $node->background_psql('postgres', on_error_stop => 0);
	my @errors = grep { /ERROR/ } map { gov_ask($user, use_of("org-$_", 5)) } 100 .. 500;
	$_->finish foreach @fillers;
	is_deeply(\@errors, [], 'a queue that gets full meanwhile fails no use');
	$user->quit;
	$idle->quit;
}

is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'all is counted');
$listener->quit unless $has_small_queue;
$node->stop;
done_testing();
