# Killed backends, a killed worker and an immediate stop under load: what clients were told is recorded is in the ledger
# once, and the counts are the ledger's, wherever the rollup was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant CLIENTS => 4;

my $node = gov_node('crash', conf => 'restart_after_crash = on');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $script = "$dir/ingest.sql";
my $client = "backend_type = 'client backend' and pid <> pg_backend_pid()";
my %acknowledged;

gov_build($node, 'postgres', agents => 20);

# Every transaction carries a key of its client and number, so pgbench's own log says what was acknowledged.
append_to_file($script, <<'EOS');
\set n :n + 1
\set agent random(1, 20)
\set amount random(1, 5)
select event_id from gov_ingest('acme', 'tokens', :amount, null, array['agent-' || :agent::text],
	concat(:round::text, '/', :client_id::text, '/', :n::text));
select is_duplicate from gov_reverse((select id from gov_events where owner_id = 'acme'
	and idempotency_key = concat(:round::text, '/', :client_id::text, '/', (:n - :n % 8)::text)), 0.125)
where :n % 8 < 5 and :n > 8;
EOS

# Load the server until something happens to it; note what was acknowledged.
sub load_until
{
	my ($round, $disaster) = @_;
	my $before =
	  $node->safe_psql('postgres', 'select count(*) from gov_events');
	my ($out, $err) = ('', '');
	local %ENV = $node->_get_env();
	my $load = IPC::Run::start(
		[
			'pgbench', '-n', '-M', 'prepared', '-c', CLIENTS, '-T', '120',
			'-f', $script, '-D', 'n=0', '-D', "round=$round",
			'-l', '--log-prefix', "$dir/round$round", 'postgres'
		],
		'>',
		\$out,
		'2>',
		\$err);

	$node->poll_query_until('postgres',
		"select count(*) > $before + 1500 from gov_events")
	  or die "no load: $err";
	$disaster->();
	$load->finish;
	foreach my $log (glob "$dir/round$round.*")
	{
		foreach my $line (split /\n/, slurp_file($log))
		{
			my ($client, $number) = split / /, $line;
			my $key = "$round/$client";

			$acknowledged{$key} = $number
			  if $number > ($acknowledged{$key} // 0);
		}
	}
	return;
}

sub kill_backend
{
	my ($where) = @_;
	my $deadline = time() + 60;
	my $pid = '';

	# it may be between two statements just now
	while ($pid eq '')
	{
		die "nobody to kill: $where\n" if time() > $deadline;
		$pid = $node->safe_psql('postgres', "select pid from pg_stat_activity where $where limit 1");
	}

	is(kill(9, $pid), 1, "killed process $pid");
	return;
}

# The server is back: every acknowledged key is there, at most one more of each client, and everything adds up.
sub is_recovered
{
	my ($round) = @_;
	my $wanted = join ', ',
	  map { "('$_', $acknowledged{$_})" } sort keys %acknowledged;

	gov_await($node, 'postgres', 'select true');
	is($node->safe_psql('postgres',
		"select client, acknowledged, recorded from (
		   select client, acknowledged, count(*) filter (where idempotency_key <> '') as recorded,
		          max(split_part(idempotency_key, '/', 3)::int) as highest
		   from (values $wanted) w (client, acknowledged)
		   left join gov_events on idempotency_key like client || '/%' group by 1, 2) s
		 where recorded not between acknowledged and acknowledged + 1 or recorded <> highest"),
		'', "$round: each client's acknowledged events are recorded");
	gov_is_exact($node, 'postgres', "$round, agent $_", agent => "agent-$_")
	  foreach (1, 20);
	return;
}

load_until(1, sub { kill_backend($client) });
is_recovered('a killed backend');

# The same with a worker that is never at rest, and then with the worker as the victim.
gov_set($node, 'governance.rollup_interval', '20ms');
load_until(
	2,
	sub {
		$node->poll_query_until('postgres',
			'select watermark > 0 from gov_rollup_state')
		  or die 'nothing is rolled up';
		kill_backend($client);
	});
is_recovered('a killed backend, rolling up');

load_until(
	3,
	sub {
		$node->poll_query_until('postgres',
			"select count(*) > 0 from pg_stat_activity where datname = 'postgres' and backend_type like 'governance%'")
		  or die 'no worker';
		kill_backend("backend_type like 'governance%'");
	});
is_recovered('a killed worker');

# The same with a session that counts budgets again all the time as the victim, in the middle of it and right after.
append_to_file("$dir/recount.sql", "select usage from gov_recount((select id from gov_assignments where entity_id = 'agent-1'));\n"
	  . "select usage from gov_recount((select id from gov_assignments where entity_id = 'org-1'), by => 'tree');\n");
foreach my $round (4, 5)
{
	my $recounter;

	load_until(
		$round,
		sub {
			local %ENV = $node->_get_env();
			$recounter = IPC::Run::start([ 'pgbench', '-n', '-c', '1', '-T', '120', '-f', "$dir/recount.sql", 'postgres' ], '>', \my $out, '2>', \my $err);
			$node->poll_query_until('postgres', 'select count(*) > 4 from gov_changes where action = $$RECOUNT$$') or die 'nothing is recounted';
			kill_backend("query like '%gov_recount%' and state = 'active' and pid <> pg_backend_pid()");
		});
	$recounter->finish;
	is_recovered("a killed recount, $round");
}

# An immediate stop, with clients that note the ids they were given.
my @clients;
append_to_file("$dir/ingests.sql",
	"select event_id from gov_ingest('acme', 'tokens', 1, null, array['agent-1']);\n" x 100000);
foreach my $n (1 .. CLIENTS)
{
	local %ENV = $node->_get_env();
	push @clients,
	  IPC::Run::start(
		[ 'psql', '-XAtq', '-f', "$dir/ingests.sql", 'postgres' ],
		'>', "$dir/ids$n", '2>', "$dir/errors$n");
}
my $before = $node->safe_psql('postgres', 'select count(*) from gov_events');
$node->poll_query_until('postgres',
	"select count(*) > $before + 1000 from gov_events")
  or die 'no load';
$node->stop('immediate');
$_->finish foreach @clients;
$node->start;

my @ids = map { split /\n/, slurp_file("$dir/ids$_") } 1 .. CLIENTS;
cmp_ok(scalar @ids, '>', 900, 'the clients were given ids');
$node->safe_psql('postgres', 'create table acknowledged (id bigint primary key)');
$node->safe_psql('postgres', "copy acknowledged from stdin;\n" . join("\n", @ids) . "\n\\.\n");
is( $node->safe_psql('postgres',
		'select count(*) from acknowledged where id not in (select id from gov_events)'),
	'0', 'immediate stop: every id given to a client is in the ledger');
is_recovered('an immediate stop');

gov_roll_up($node, 'postgres');
is_recovered('rolled up');
is( $node->safe_psql('postgres',
		"select trim_scale(sum(u.amount)) from gov_usage u join gov_assignments a on a.id = u.assignment_id where a.entity_id = 'org-1'"),
	$node->safe_psql('postgres', 'select trim_scale(sum(amount)) from gov_events'),
	'gov_usage holds all of it');

$node->stop;
done_testing();
