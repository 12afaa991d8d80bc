# LISTEN governance_alerts, from ordinary clients: psql, and the application in examples/python that follows the alerts with psycopg. Who
# listens is told at the commit that crossed, once for each transaction, ids alone, and reads the rows under its own rights.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

# The rollup raises what no commit has crossed: here it would only come between.
my $node = gov_node('listen', conf => "governance.rollup_interval = '1h'");
my $example = "$FindBin::RealBin/../../examples/python/alerts.py";
my $patience = $PostgreSQL::Test::Utils::timeout_default;
my @running;

END
{
	local $?;
	$_->kill_kill foreach @running;
}

gov_build($node, 'postgres', agents => 4, limit => 100);
gov_build($node, 'postgres', owner => 'other', limit => 100);
$node->safe_psql('postgres', q{
	select gov_set_alert_policy(null, '{50, 80, 100}');
	create role watcher login;
	create role acme_portal login;
	alter role acme_portal set governance.owner = 'acme';
	select gov_grant('watcher', 'reader'), gov_grant('acme_portal', 'tenant')});
$node->safe_psql('template1', 'create database elsewhere template template0');

# ---------------------------------------------------------------- psql

my %listener = map { $_ => $node->background_psql($_, on_error_stop => 0) } qw(postgres elsewhere);
$_->query_safe('listen governance_alerts') foreach values %listener;

# What psql has been told, as lists of ids.
sub told
{
	my ($database) = @_;
	my $out = $listener{$database}->query('select');

	return map { decode_json($_)->{alertIds} } $out =~ /^Asynchronous notification "governance_alerts" with payload "(.*)" received/mg;
}

sub ids
{
	my ($where) = @_;
	return $node->safe_psql('postgres', "select string_agg(a.id::text, ' ' order by a.id) from gov_alerts a join gov_assignments g on g.id = a.assignment_id where $where");
}

sub is_told
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($wanted, $name) = @_;

	is(join(' | ', map { join ' ', sort { $a <=> $b } @$_ } told('postgres')), $wanted, $name);
	return;
}

gov_use($node, 'postgres', 49);
is_told('', 'below the thresholds nobody is told');
gov_use($node, 'postgres', 1);
is_told(ids(q{entity_id = 'agent-1'}), 'at the first one there is a notification');
gov_use($node, 'postgres', 60);
is_told(ids(q{entity_id = 'agent-1' and threshold > 50}), 'two thresholds are one');
gov_use($node, 'postgres', 500);
is_told('', 'and no more');

my $user = $node->background_psql('postgres');
$user->query_safe(q{begin; select gov_ingest('acme', 'tokens', 90, null, '{agent-2}')});
is_told('', 'nothing before the commit');
$user->query_safe(q{savepoint a; select gov_ingest('acme', 'tokens', 90, null, '{agent-3}'); rollback to a});
$user->query_safe(q{select gov_ingest('acme', 'tokens', 55, null, '{agent-4}')});
$user->query_safe('commit');
is_told(ids(q{entity_id in ('agent-2', 'agent-4')}), 'all of a transaction with it, and nothing of a savepoint');
is(ids(q{entity_id = 'agent-3'}), '', 'which has no row');
$user->query_safe(q{begin; select gov_ingest('acme', 'tokens', 90, null, '{agent-3}'); rollback});
is_told('', 'nothing of a transaction that was rolled back');
$user->quit;
is(scalar(told('elsewhere')), 0, 'nothing in another database');

# A long list is split, at ids.
$node->safe_psql('postgres', <<'SQL');
insert into gov_entities (owner_id, id, type_id) select 'other', 'crowd-' || n, 'agent' from generate_series(1, 300) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds)
select 'other', 'crowd-' || n, 'tokens', 10, '{10,20,30,40,50,60,70,80,90,100}' from generate_series(1, 300) n;
begin;
select count(*) from generate_series(1, 300) n, gov_ingest('other', 'tokens', 10, null, array['crowd-' || n]) i;
commit;
SQL
my @lists = told('postgres');
cmp_ok(scalar @lists, '>', 1, 'three thousand at once are more than one');
is(join(' ', sort { $a <=> $b } map { @$_ } @lists), ids(q{entity_id like 'crowd-%'}), 'each of them in one');
# ---------------------------------------------------------------- requests

# Made, answered, withdrawn: each tells the id, at its commit.
$listener{postgres}->query_safe('listen governance_requests');
sub is_told_of_request
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($sql, $wanted, $name) = @_;

	$node->safe_psql('postgres', $sql);
	my @told = $listener{postgres}->query('select') =~ /^Asynchronous notification "governance_requests" with payload "(.*)" received/mg;
	is(join(' ', map { @{ decode_json($_)->{requestIds} } } @told), $wanted, $name);
	return;
}
$node->safe_psql('postgres', q{create function request(n int) returns uuid language sql as 'select id from gov_increase_requests order by created_at offset n - 1 limit 1'});
$node->safe_psql('postgres', q{select gov_request_increase('acme', 'agent-1', 'tokens', 5)});
is_told_of_request('select', $node->safe_psql('postgres', 'select request(1)'), 'a request is told');
is_told_of_request(q{begin; select gov_request_increase('acme', 'agent-1', 'tokens', 6); rollback}, '', 'one that is rolled back is not');
is_told_of_request(q{select gov_decide_increase(request(1), true)}, $node->safe_psql('postgres', 'select request(1)'), 'its answer is');
$node->safe_psql('postgres', q{select gov_request_increase('acme', 'agent-2', 'tokens', 5)});
$listener{postgres}->query('select');
is_told_of_request(q{select gov_withdraw_increase(request(2))}, $node->safe_psql('postgres', 'select request(2)'), 'and its withdrawal');

$_->quit foreach values %listener;

# ---------------------------------------------------------------- the example

my ($python) = grep { my ($out, $err); eval { IPC::Run::run([ $_, '-c', 'import psycopg' ], '>', \$out, '2>', \$err) } } 'python3', '/usr/bin/python3';

sub start_follower
{
	my ($role) = @_;
	my $follower = { out => '', err => '' };

	local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)} = ($node->host, $node->port, $role, 'postgres');
	push @running, $follower->{process} = IPC::Run::start([ $python, '-B', '-u', $example ], '<', \undef, '>', \$follower->{out}, '2>', \$follower->{err},
		IPC::Run::timeout($patience));
	return $follower;
}

sub alerts_of
{
	my ($follower) = @_;

	return join "\n", map { my $alert = decode_json($_); "$alert->{id} $alert->{owner_id} $alert->{entity_id} $alert->{threshold} $alert->{usage}" } $follower->{out} =~ /^(.*)\n/mg;
}

sub alerts_there
{
	my ($where) = @_;
	return $node->safe_psql('postgres', "select concat_ws(' ', a.id, a.owner_id, entity_id, threshold, usage) from gov_alerts a join gov_assignments g on g.id = a.assignment_id where $where order by a.id");
}

# It says what is there, and nothing twice; ids are not committed in order.
sub says
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($follower, $where, $name) = @_;
	my $wanted = alerts_there($where);
	my $count = split /\n/, $wanted;

	$follower->{process}->pump while ($follower->{out} =~ tr/\n//) < $count;
	is(join("\n", sort { $a <=> $b } split /\n/, alerts_of($follower)), $wanted, "psycopg: $name");
	return;
}

SKIP:
{
	skip 'python3 has no psycopg (Debian: python3-psycopg)', 1 unless $python;

	my ($watcher, $portal) = map { start_follower($_) } qw(watcher acme_portal);

	says($watcher, 'true', 'first what was raised before');
	says($portal, q{a.owner_id = 'acme'}, 'of its own customer, for a pinned role');

	# what is no list of ids, from whoever likes to
	$node->safe_psql('postgres', qq{notify governance_alerts; notify governance_alerts, 'no'; notify governance_alerts, '{"alertIds": ["x"]}'; notify governance_alerts, '[1]'});
	gov_use($node, 'postgres', 100, owner => 'other');
	gov_use($node, 'postgres', 100, agent => 'agent-3');
	says($watcher, 'true', 'and then each new one');

	# It is told of every customer's, and may read its own.
	says($portal, q{a.owner_id = 'acme'}, 'a customer reads its own');

	# While it is away, alerts are raised.
	$node->stop('immediate');
	$node->start;
	gov_use($node, 'postgres', 40, agent => 'agent-4');
	says($watcher, 'true', 'it connects again after a crash of the server');
	gov_use($node, 'postgres', 40, agent => 'agent-4');
	says($watcher, 'true', 'and misses none afterwards, and says none twice');
	like($watcher->{err}, qr/connecting again/, 'psycopg: it did connect again');
	$_->{process}->signal('INT') foreach $watcher, $portal;
	eval { $_->{process}->finish } foreach $watcher, $portal;
}

$node->stop;
done_testing();
