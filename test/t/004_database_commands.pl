# DROP DATABASE, CREATE DATABASE … TEMPLATE and ALTER DATABASE … RENAME while the database's rollup worker runs.
# Each waits five seconds for other sessions to leave and fails then; the worker has to make way by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('commands', extension => 0);

# Ingest, and see the worker of the database.
sub wake_worker
{
	my ($db) = @_;

	gov_use($node, $db, 1);
	$node->poll_query_until('postgres',
		"select count(*) = 1 from pg_stat_activity where datname = '$db' and backend_type like 'governance%'")
	  or die "no worker in $db";
	return;
}

sub succeeds
{
	my ($sql) = @_;
	my ($ret, $stdout, $stderr) = $node->psql('postgres', $sql);

	is($ret, 0, "$sql with a worker running") or diag $stderr;
	return;
}

$node->safe_psql('postgres', 'create database origin');
$node->safe_psql('origin', 'create extension governance');
gov_build($node, 'origin');

foreach my $round (1, 2)
{
	my $copy = "copy$round";
	my $renamed = "renamed$round";

	wake_worker('origin');
	succeeds("create database $copy template origin");
	is( gov_counts($node, $copy),
		gov_counts($node, 'origin'),
		'the copy has the counts of its template');
	gov_is_exact($node, $copy, 'the copy');

	# The copy goes its own way.
	gov_use($node, $copy, 10);
	is( gov_counts($node, 'origin'),
		join(' ', map { "$_-1=$round" } qw(agent dept org team user)),
		'the template is not touched by its copy');

	wake_worker($copy);
	succeeds("alter database $copy rename to $renamed");
	wake_worker($renamed);
	gov_is_exact($node, $renamed, 'the renamed copy');
	ok( $node->poll_query_until($renamed,
			'select watermark = (select max(id) from gov_events) from gov_rollup_state'),
		'the renamed copy is rolled up');

	wake_worker($renamed);
	succeeds("drop database $renamed");
}

# The name again: nothing of the dropped one is seen.
$node->safe_psql('postgres', 'create database copy1');
$node->safe_psql('copy1', 'create extension governance');
gov_build($node, 'copy1');
is( gov_counts($node, 'copy1'),
	join(' ', map { "$_-1=0" } qw(agent dept org team user)),
	'a database of a dropped one\'s name starts at nothing');
gov_is_exact($node, 'origin', 'the template');

unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/,
	'no process died of it');
$node->stop;
done_testing();
